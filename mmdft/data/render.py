"""Examples as the model takes them; the generation prompt is the training prefix.

Tokens, mask and image tokens follow from the images' sizes alone (`render_tokens`), so that lengths
are known before an image is decoded; `render` opens the images and adds their tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from mmdft.data.chat import render_text
from mmdft.data.images import open_image
from mmdft.data.vision import PixelBudget, fit, image_tensors, own_budget
from mmdft.errors import DataError, ModelError
from mmdft.records import Example, Rendered

KEPT_TOKENS = "mmdft.kept_tokens"
"""The key of `Example.meta` that says how many tokens `render` keeps of an example that is too
long; see `kept_tokens`."""


def render(example: Example, processor: Any, budget: PixelBudget) -> Rendered:
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
    example: Example, sizes: Sequence[tuple[int, int]], processor: Any, budget: PixelBudget
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
    ids, mask, segments = render_text(
        example.turns, processor, generate=False, answer=example.answer
    )
    if not any(mask):
        raise DataError("no assistant turn: there is nothing to train on")
    rendered = _expanded(example, ids, mask, segments, sizes, processor, budget)
    most = example.meta.get(KEPT_TOKENS)
    return rendered if most is None else _cut(rendered, most)


def render_prompt(example: Example, processor: Any, budget: PixelBudget) -> Rendered:
    """Render what the model is shown in evaluation: the turns before the last reply, and the
    opening of the assistant's turn. Token for token the prefix that `render` trains after.
    """  # noqa: D205 - the sentence is one
    images = [open_image(ref) for ref in example.images]
    sizes = [image.size for image in images]
    ids, _, _ = render_text(example.prompt, processor, generate=True)
    none = len(ids)
    tokens = _expanded(example, ids, [False] * none, [0] * none, sizes, processor, budget)
    return _with_images(tokens, images, example, processor, budget)


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


def _expanded(
    example: Example,
    ids: list[int],
    mask: list[bool],
    segments: list[int],
    sizes: Sequence[tuple[int, int]],
    processor: Any,
    budget: PixelBudget,
) -> Rendered:
    """Expand each placeholder to the number of tokens its image has."""
    own = own_budget(example, budget)
    placeholder = processor.image_token_id
    places = ids.count(placeholder)
    if places != len(sizes):
        raise ModelError(f"the chat template makes {places} placeholders for {len(sizes)} images")
    runs = (own.num_tokens(*size) for size in sizes)
    widths = [next(runs) if token == placeholder else 1 for token in ids]
    spread = [place for place, width in enumerate(widths) for _ in range(width)]
    return Rendered(
        id=example.id,
        ids=tuple(ids[place] for place in spread),
        mask=tuple(mask[place] for place in spread),
        segments=tuple(segments[place] for place in spread),
        image_tokens=tuple(ids[place] == placeholder for place in spread),
        images={},
    )


def _with_images(
    rendered: Rendered,
    images: Sequence[Image.Image],
    example: Example,
    processor: Any,
    budget: PixelBudget,
) -> Rendered:
    own = own_budget(example, budget)
    return replace(rendered, images=image_tensors([fit(image, own) for image in images], processor))
