"""A chat template's own text, with marks where content goes: rendered once for each shape of chat.

What a template writes depends on the roles, on which parts are images, and on white space at the
edges of texts, which some strip; not on what the texts say. So it is rendered with a mark in place
of each text's core, and the same outline serves all conversations of one shape.

Where a reply starts is decided by the generation prompt: what the template writes for the turns
before it, with the assistant's turn opened. The reply is what the template then shows up to its
end-of-turn token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from jinja2.exceptions import TemplateError

from mmdft.errors import DataError, ModelError
from mmdft.records import Turn

# Private-use characters: no chat template contains them, and content never goes through one.
_MARK = re.compile("\ue000(\\d+)\ue001")
_THINKING = re.compile(r"(\s*<think>)(.*?)(</think>)(.*)", re.DOTALL)
# A generation prompt may open the reasoning for the model.
_OPENED = re.compile(r"<think>\s*\Z")

Shape: TypeAlias = tuple[tuple[str, tuple[str | None, ...]], ...]
"""Role and parts of each turn: a text with marks for its content, None for an image."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the chat, of the template's own text (str) and of content (its number).

    `is_special`: one special token of the template. `reply`: the number of the assistant's turn
    that it is trained for, None if it is not; `opened` is what the generation prompt has written of
    that reply already.
    """

    parts: tuple[str | int, ...]
    is_special: bool = False
    reply: int | None = None
    opened: str = ""


def shape_of(turns: Sequence[Turn]) -> tuple[Shape, list[str]]:
    """The shape of a conversation, and the content that goes where its marks are."""
    shape = []
    contents: list[str] = []
    for turn in turns:
        parts: list[str | None] = []
        texts = [part for part in turn.parts if isinstance(part, str)]
        if turn.role == "assistant":
            # Parts are the author's cuts; a template may show the reply's reasoning by itself.
            if thinking := _THINKING.fullmatch(turn.text):
                opens, reasoning, closes, rest = thinking.groups()
                # Nothing but white space may be stripped from both ends: no mark in between.
                inner = _marked(reasoning, contents) if reasoning.strip() else reasoning
                parts = [opens + inner + closes + _marked(rest, contents)]
            else:
                parts = [_marked(turn.text, contents)]
        elif len(texts) == len(turn.parts) and (turn.role == "system" or not texts):
            # Some templates show but the first part of a system turn, or need one part at least.
            parts = [_marked("".join(texts), contents)]
        else:
            for part in turn.parts:
                parts.append(_marked(part, contents) if isinstance(part, str) else None)
        shape.append((turn.role, tuple(parts)))
    return tuple(shape), contents


def outline(shape: Shape, processor: Any, *, generate: bool) -> tuple[Stretch, ...]:
    """The template's text for a conversation.

    Args:
        shape: of `shape_of`.
        processor: the model's `AutoProcessor`.
        generate: whether to open the assistant's turn at the end.

    Returns:
        Stretches in order; each special token of the template is one by itself, and so is what is
        trained of a reply, but for its end-of-turn token, which is the next.

    Raises:
        DataError: the template refuses this conversation, or cannot show its replies as they would
            be generated.
        ModelError: the template does not allow the mask to be proven.
    """
    return _outline(shape, processor, str(processor.chat_template), generate)


def opened_reasoning(processor: Any) -> str:
    r"""What the generation prompt has written of the reply: `<think>\n`, or nothing."""
    prompt = _apply((("user", ("?",)),), processor, str(processor.chat_template), True)
    opened = _OPENED.search(prompt)
    return opened.group() if opened else ""


@lru_cache(maxsize=64)
def special_tokens(tokenizer: Any) -> dict[str, int]:
    """The special tokens by their text, the longest first."""
    # A tokenizer may flag a token as special without naming it among its special tokens.
    flagged = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    found = sorted(flagged.union(tokenizer.all_special_tokens), key=len, reverse=True)
    return {token: tokenizer.convert_tokens_to_ids(token) for token in found}


def split_specials(text: str, tokenizer: Any) -> Iterator[tuple[str, bool]]:
    """The template's own text as pieces: special tokens, and the text between them."""
    pattern = "(" + "|".join(map(re.escape, special_tokens(tokenizer))) + ")"
    for index, field in enumerate(re.split(pattern, text)):
        if field:
            yield field, index % 2 == 1


def _marked(text: str, contents: list[str]) -> str:
    """A mark for a text, between the white space at its edges: some templates strip that."""
    core = text.strip()
    mark = f"\ue000{len(contents)}\ue001"
    contents.append(core)
    if len(core) == len(text):
        return mark
    start = len(text) - len(text.lstrip())
    return text[:start] + mark + text[start + len(core) :]


@lru_cache(maxsize=4096)
def _outline(shape: Shape, processor: Any, template: str, generate: bool) -> tuple[Stretch, ...]:
    text = _apply(shape, processor, template, generate)
    replies = [place for place, (role, _) in enumerate(shape) if role == "assistant"]
    wanted = [mark for _, parts in shape for part in parts for mark in _MARK.findall(part or "")]
    if _MARK.findall(text) != wanted:
        earlier = [shape[turn][1][0] or "" for turn in replies if turn < len(shape) - 1]
        if any("<think>" in reply for reply in earlier) or (
            earlier and opened_reasoning(processor)
        ):
            raise DataError(_SHOWN_DIFFERENTLY)
        raise ModelError("the chat template drops, repeats or reorders turns; the mask is unsure")
    stretches: list[Stretch] = []
    place = 0
    for number, turn in enumerate(replies):
        if turn == 0:
            raise DataError("the conversation begins with the assistant's turn")
        skeleton = shape[turn][1][0] or ""
        prompt = _apply(shape[:turn], processor, template, True)
        start, end, opened = _reply_span(text, prompt, skeleton, turn == len(shape) - 1)
        stretches += _template_stretches(text[place:start], processor)
        stretches.append(Stretch(_parts(text[start:end]), reply=number, opened=opened))
        token, is_special = next(split_specials(text[end:], processor.tokenizer), ("", False))
        if not is_special:
            raise ModelError(
                "the chat template closes the assistant's turn without a special token; "
                "the mask is unsure"
            )
        stretches.append(Stretch((token,), is_special=True, reply=number))
        place = end + len(token)
    stretches += _template_stretches(text[place:], processor)
    return tuple(stretches)


_SHOWN_DIFFERENTLY = (
    "this model's chat template shows an earlier reply without the reasoning it was generated "
    "with; give each reply a row of its own"
)


def _reply_span(text: str, prompt: str, skeleton: str, is_last: bool) -> tuple[int, int, str]:
    """Where what is trained of a reply starts and ends, and what the prompt has of it already."""
    opened = _OPENED.search(prompt)
    if not text.startswith(prompt):
        if opened and not is_last:
            raise DataError(_SHOWN_DIFFERENTLY)
        raise ModelError(
            "the chat template's generation prompt is not how it begins the assistant's turn; "
            "the mask is unsure"
        )
    *_, last = _MARK.finditer(skeleton)
    end = text.index(last.group(), len(prompt)) + len(last.group())
    # A template that strips texts leaves nothing of this.
    behind = skeleton[last.end() :]
    end += len(behind) if text.startswith(behind, end) else 0
    shown = _squeezed(text[len(prompt) : end])
    if shown == _squeezed(skeleton):
        return len(prompt), end, ""
    if opened and _squeezed("<think>") + shown == _squeezed(skeleton):
        return len(prompt), end, opened.group()
    if opened:
        raise DataError(
            "the reply has no <think>...</think>, which this model's chat template opens for it; "
            "give the reasoning with `reply: think`, or use the family's instruct model"
        )
    raise ModelError(
        "the chat template adds to the assistant's replies or changes them; the mask is unsure"
    )


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _template_stretches(text: str, processor: Any) -> Iterator[Stretch]:
    """What is not trained: special tokens, and what stands between them."""
    parts: list[str | int] = []
    for part in _parts(text):
        if isinstance(part, int):
            parts.append(part)
            continue
        for piece, is_special in split_specials(part, processor.tokenizer):
            if not is_special:
                parts.append(piece)
                continue
            if parts:
                yield Stretch(tuple(parts))
                parts = []
            yield Stretch((piece,), is_special=True)
    if parts:
        yield Stretch(tuple(parts))


def _parts(text: str) -> tuple[str | int, ...]:
    """Split a text at its marks, which become numbers."""
    fields = _MARK.split(text)
    return tuple(int(field) if index % 2 else field for index, field in enumerate(fields) if field)


@lru_cache(maxsize=4096)
def _apply(shape: Shape, processor: Any, template: str, generate: bool) -> str:
    chat = [
        {
            "role": role,
            "content": [
                {"type": "image"} if part is None else {"type": "text", "text": part}
                for part in parts
            ],
        }
        for role, parts in shape
    ]
    try:
        text: str = processor.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=generate
        )
    except (ValueError, TypeError) as error:
        # There is none, or it is for texts alone.
        raise ModelError(f"the model's chat template: {error}") from error
    except TemplateError as error:
        raise DataError(f"the model's chat template refuses the conversation: {error}") from error
    return text
