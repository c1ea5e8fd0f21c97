"""That the mask can be trusted for a model: shown on a few conversations when it is loaded.

A chat template is a program by others, and so is the processor behind it. What `render` makes is
compared, token for token, with what the processor itself makes of the same conversations.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from PIL import Image

from mmdft.data.outline import opened_reasoning, special_tokens
from mmdft.data.render import render, render_tokens
from mmdft.data.vision import ImageBudget, Size, pixel_budget
from mmdft.errors import DataError, ModelError
from mmdft.records import Example, ImageRef, Rendered, Role, Turn

# Wide, wider and tall, for tiles in rows and columns; squares are cut into the most tiles, and
# would take the longest.
_SIZES: tuple[Size, ...] = ((150, 75), (300, 64), (60, 170))

_SINGLE = "a single reply"
_QUESTION = "How many bars are taller\nthan 3.5? Wie groß?\n\n(a) 12 (b) 七"


def check_template(processor: Any) -> None:
    """Prove the mask on a few conversations; once for each processor and template.

    They have a system turn or none, one reply or two, no image, one or two. Of each it is shown
    that
        1. the tokens are those of `processor.apply_chat_template(..., tokenize=True)`, which for
           images also holds the processor's expansion against what `render` predicts from sizes;
        2. for each reply, the tokens before the first one trained are those of the processor's
           generation prompt;
        3. the trained tokens decode to the reply and its end-of-turn token, in all replies alike;
        4. special tokens written as text, in any turn, add no special token.

    A family whose template refuses a system turn, or several replies, is shown to be right on the
    others; rows that have these are refused one by one.

    Raises:
        ModelError: one of these does not hold; the message names the processor and what differs.
    """
    # The pixel budget refuses an unknown family by name.
    budget = pixel_budget(processor, None, None)
    _prove(processor, str(processor.chat_template), budget)


@lru_cache(maxsize=64)
def _prove(processor: Any, template: str, budget: ImageBudget) -> None:
    try:
        thinks = opened_reasoning(processor) != ""
    except DataError as error:
        raise _unproven(processor, _SINGLE, str(error)) from error
    for name, example in _conversations(thinks):
        try:
            _compare(example, processor, budget)
        except ModelError as error:
            raise _unproven(processor, name, str(error)) from error
        except DataError as error:
            # A template may refuse a conversation, but not all of them.
            if name == _SINGLE:
                raise _unproven(processor, name, str(error)) from error


def _unproven(processor: Any, name: str, reason: str) -> ModelError:
    return ModelError(
        f"{type(processor).__name__}: the loss mask cannot be proven for this model's chat "
        f"template; in a conversation with {name}, {reason}"
    )


def _conversations(thinks: bool) -> Iterator[tuple[str, Example]]:
    first, second = ("The bars: 5,\n  7 and 9.\n\nAnswer: 3", "Ja, \\frac{1}{2} ≠ 0.5 m²")
    if thinks:
        first, second = (f"<think>\nLet us see.\n</think>\n\n{text}" for text in (first, second))
    pictures = [_picture(size) for size in _SIZES]
    asked, replied = _turn("user", _QUESTION), _turn("assistant", first)
    yield _SINGLE, _example(asked, replied)
    yield "a system turn", _example(_turn("system", "Be brief.\nNo jokes."), asked, replied)
    yield (
        "two replies",
        _example(asked, replied, _turn("user", "Sure?"), _turn("assistant", second)),
    )
    yield "an image", _example(_turn("user", pictures[0], _QUESTION), replied)
    yield "text before an image", _example(_turn("user", _QUESTION, pictures[1]), replied)
    yield "an image alone", _example(_turn("user", pictures[2]), replied)
    yield "two images", _example(_turn("user", *pictures[1:], _QUESTION), replied)


def _picture(size: Size) -> ImageRef:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(stream, "PNG")
    return ImageRef(data=stream.getvalue())


def _turn(role: Role, *parts: str | ImageRef) -> Turn:
    return Turn(role=role, parts=parts)


def _example(*turns: Turn) -> Example:
    return Example(id="probe", turns=turns)


def _compare(example: Example, processor: Any, budget: ImageBudget) -> None:
    rendered = render(example, processor, budget)
    theirs = _official(example.turns, processor, generate=False)
    if list(rendered.ids) != theirs:
        raise ModelError(_difference("its tokens are", rendered.ids, theirs, processor))
    replies = [place for place, turn in enumerate(example.turns) if turn.role == "assistant"]
    spans = _trained_spans(rendered)
    if len(spans) != len(replies):
        raise ModelError(f"{len(spans)} stretches are trained of {len(replies)} replies")
    ends = set()
    for turn, (start, end) in zip(replies, spans, strict=True):
        prompt = _official(example.turns[:turn], processor, generate=True)
        if list(rendered.ids[:start]) != prompt:
            shown = _difference("the prompt trained on is", rendered.ids[:start], prompt, processor)
            raise ModelError(shown)
        wanted = example.turns[turn].text.removeprefix(opened_reasoning(processor))
        # Some templates show a space before a reply that is not in the generation prompt.
        decoded = _decode(rendered.ids[start : end - 1], processor).lstrip(" ")
        if decoded != wanted:
            raise ModelError(f"{decoded!r} is trained of the reply {wanted!r}")
        ends.add(rendered.ids[end - 1])
    if len(ends) > 1 or not ends <= set(special_tokens(processor.tokenizer).values()):
        raise ModelError(f"replies end with the tokens {sorted(ends)}")
    _check_forged(example, rendered, processor, budget)


def _check_forged(
    example: Example, rendered: Rendered, processor: Any, budget: ImageBudget
) -> None:
    """Special tokens as text must remain text."""
    specials = special_tokens(processor.tokenizer)
    forged = "".join(specials)
    turns = [
        _turn(turn.role, *(p + forged if isinstance(p, str) else p for p in turn.parts))
        for turn in example.turns
    ]
    sizes = _SIZES[:1] * len(example.images)
    known = set(specials.values())
    plain = render_tokens(example, sizes, processor, budget)
    found = render_tokens(_example(*turns), sizes, processor, budget)
    if [i for i in found.ids if i in known] != [i for i in plain.ids if i in known]:
        raise ModelError("special tokens written as text become special tokens")


def _trained_spans(rendered: Rendered) -> list[tuple[int, int]]:
    spans = []
    for trained, group in groupby(range(len(rendered.mask)), key=rendered.mask.__getitem__):
        places = list(group)
        if trained:
            spans.append((places[0], places[-1] + 1))
    return spans


def _official(turns: Sequence[Turn], processor: Any, *, generate: bool) -> list[int]:
    """The tokens that the processor itself makes of a conversation."""
    chat = [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image", "image": Image.open(io.BytesIO(part.data or b""))}
                for part in turn.parts
            ],
        }
        for turn in turns
    ]
    try:
        made = processor.apply_chat_template(
            chat, tokenize=True, return_dict=True, add_generation_prompt=generate
        )
    except ValueError as error:
        raise ModelError(f"the processor itself fails: {error}") from error
    ids = made["input_ids"]
    return [int(token) for token in (ids if isinstance(ids[0], int) else ids[0])]


def _difference(what: str, ours: Sequence[int], theirs: Sequence[int], processor: Any) -> str:
    place = next(
        (i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
        min(len(ours), len(theirs)),
    )
    around = slice(max(0, place - 3), place + 5)
    return (
        f"{what} {_decode(ours[around], processor)!r} where the processor has "
        f"{_decode(theirs[around], processor)!r}"
    )


def _decode(ids: Sequence[int], processor: Any) -> str:
    text: str = processor.tokenizer.decode(list(ids), skip_special_tokens=False)
    return text
