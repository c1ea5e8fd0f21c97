"""Examples as the model takes them; the generation prompt is the training prefix.

Tokens, mask and image tokens follow from the images' sizes alone (`render_tokens`), so that lengths
are known before an image is decoded; `render` opens the images and adds their tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from mmdft.data.chat import ChatTokens, render_text
from mmdft.data.images import open_image, refuse_other_size
from mmdft.data.vision import (
    ImageBudget,
    expansions,
    family_of,
    fit,
    image_tensors,
    own_budget,
)
from mmdft.errors import DataError
from mmdft.records import Example, Rendered

KEPT_TOKENS = "mmdft.kept_tokens"
"""The key of `Example.meta` that says how many tokens `render` keeps of an example that is too
long; see `kept_tokens`."""


def render(example: Example, processor: Any, budget: ImageBudget) -> Rendered:
    """Render a training example: all turns, with the assistant's replies trained on.

    Args:
        example: a conversation that ends with the assistant's reply.
        processor: the model's `AutoProcessor`.
        budget: the pixel budget its images are fitted to.

    Returns:
        The tokens, up to `example.meta[KEPT_TOKENS]` if that is set.

    Raises:
        DataError: an image cannot be opened, or the example has no reply to train on.
        ModelError: the chat template does not allow the mask to be proven.
    """
    images = [open_image(ref) for ref in example.images]
    tokens = render_tokens(example, [image.size for image in images], processor, budget)
    return _with_images(tokens, images, example, processor, budget)


def render_tokens(
    example: Example, sizes: Sequence[tuple[int, int]], processor: Any, budget: ImageBudget
) -> Rendered:
    """What `render` gives, without the images' tensors.

    Args:
        example: as for `render`.
        sizes: (width, height) in pixels of each of its images, upright.
        processor: the model's `AutoProcessor`.
        budget: the pixel budget its images are fitted to.

    Raises:
        DataError: the example has no reply to train on.
        ModelError: the chat template does not allow the mask to be proven.
    """
    own = own_budget(example, budget)
    _refuse_other_prompts(example, processor)
    tokens = render_text(
        example.turns,
        processor,
        generate=False,
        answer=example.answer,
        images=expansions(sizes, processor, own),
    )
    if not any(tokens.mask):
        raise DataError("no assistant turn: there is nothing to train on")
    rendered = _rendered(example, tokens)
    most = example.meta.get(KEPT_TOKENS)
    return rendered if most is None else _cut(rendered, most)


def add_images(
    rendered: Rendered,
    example: Example,
    sizes: Sequence[tuple[int, int]],
    processor: Any,
    budget: ImageBudget,
) -> Rendered:
    """What `render` gives, of tokens that are there already.

    Args:
        rendered: the example's tokens, of `render_tokens`.
        example: as for `render`.
        sizes: those that the tokens were made for.
        processor: the model's `AutoProcessor`.
        budget: the pixel budget that the tokens were made for.

    Raises:
        DataError: an image cannot be opened, or has another size now.
    """
    images = [open_image(ref) for ref in example.images]
    for ref, image, size in zip(example.images, images, sizes, strict=True):
        refuse_other_size(ref, image.size, size)
    return _with_images(rendered, images, example, processor, budget)


def render_prompt(example: Example, processor: Any, budget: ImageBudget) -> Rendered:
    """Render what the model is shown in evaluation: the turns before the last reply, and the
    opening of the assistant's turn. Token for token the prefix that `render` trains after.
    """  # noqa: D205 - the sentence is one
    images = [open_image(ref) for ref in example.images]
    tokens = render_prompt_tokens(example, [image.size for image in images], processor, budget)
    return _with_images(tokens, images, example, processor, budget)


def render_prompt_tokens(
    example: Example, sizes: Sequence[tuple[int, int]], processor: Any, budget: ImageBudget
) -> Rendered:
    """What `render_prompt` gives, without the images' tensors; see `render_tokens`."""
    own = own_budget(example, budget)
    shown = render_text(
        example.prompt, processor, generate=True, images=expansions(sizes, processor, own)
    )
    none = len(shown.ids)
    return _rendered(example, shown._replace(mask=[False] * none, segments=[0] * none))


def kept_tokens(mask: Sequence[bool], excess: int) -> int | None:
    """How many tokens of an example stay if it loses `excess` at the end of its last reply.

    A reply that is cut has no end-of-turn token, so the model is not taught to stop there.

    Args:
        mask: which tokens are trained on, (tokens,); placeholders may be single or expanded.
        excess: tokens to lose.

    Returns:
        The number; None if not one token of the last reply would stay.
    """
    last = len(mask) - 1 - mask[::-1].index(True)
    before = next((place for place in range(last, -1, -1) if not mask[place]), -1)
    kept = len(mask) - excess
    return kept if kept > before + 1 else None


def _refuse_other_prompts(example: Example, processor: Any) -> None:
    """Refuse a reply whose prompt, by itself, would not be this training prefix."""
    if len(example.images) < 2 or not family_of(processor).single_differs:
        return
    seen = 0
    for turn in example.turns:
        if turn.role == "assistant" and seen == 1:
            raise DataError(
                "a reply to one image stands before another image; this model cuts an image that "
                "is alone otherwise than several, so give each reply a row of its own"
            )
        seen += sum(not isinstance(part, str) for part in turn.parts)


def _cut(rendered: Rendered, most: int) -> Rendered:
    kept = kept_tokens(rendered.mask, max(0, len(rendered.ids) - most))
    if kept is None:
        raise DataError(f"nothing of the last reply is left in {most} tokens")
    return replace(
        rendered,
        ids=rendered.ids[:kept],
        mask=rendered.mask[:kept],
        segments=rendered.segments[:kept],
        image_tokens=rendered.image_tokens[:kept],
    )


def _rendered(example: Example, tokens: ChatTokens) -> Rendered:
    return Rendered(
        id=example.id,
        ids=tuple(tokens.ids),
        mask=tuple(tokens.mask),
        segments=tuple(tokens.segments),
        image_tokens=tuple(tokens.image_tokens),
        images={},
    )


def _with_images(
    rendered: Rendered,
    images: Sequence[Image.Image],
    example: Example,
    processor: Any,
    budget: ImageBudget,
) -> Rendered:
    own = own_budget(example, budget)
    fitted = [fit(image, own) for image in images]
    return replace(rendered, images=image_tensors(fitted, processor, own))
