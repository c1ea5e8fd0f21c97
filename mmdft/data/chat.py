"""A conversation as chat tokens, with the loss mask built beside them.

The model's own chat template is rendered once with a mark in place of every text part. What stands
between the marks is the template's, so its special tokens count; what replaces a mark is content,
so special tokens in it are ordinary text. The mask is known by construction and never searched for:
it covers the assistant's parts and the one special token that the template puts behind them. Each
trained token also gets its segment: reasoning, answer, end of turn, or other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmdft.data.segments import END_OF_TURN, reply_codes
from mmdft.errors import DataError, ModelError
from mmdft.records import ImageRef, Turn

# Private-use characters: no chat template contains them, and content never goes through one.
_MARK = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of the chat: one special token, or plain text; `trained` is its loss mask.

    `segments` has a code of SEGMENTS for each character of a trained run.
    """

    text: str
    special: bool
    trained: bool
    segments: bytes = b""


def render_text(
    turns: Sequence[Turn], processor: Any, *, generate: bool, answer: str | None = None
) -> tuple[list[int], list[bool], list[int]]:
    """Token ids, mask and segments of the turns, each image still a single placeholder token.

    Args:
        turns: the conversation.
        processor: the model's `AutoProcessor`.
        generate: whether to open the assistant's turn at the end.
        answer: the gold answer, looked for in the last of the assistant's turns. It has a say in
            the segments alone.

    Returns:
        Three lists of one length; segments are codes of SEGMENTS, 0 off the mask.

    Raises:
        DataError: an assistant's turn is not text.
        ModelError: the chat template does not allow the mask to be proven, or the tokenizer does
            not tell where its tokens stand.
    """
    for turn in turns:
        if turn.role == "assistant" and not (turn.parts and all(map(_is_text, turn.parts))):
            raise DataError("an assistant's turn must be text: only text can be trained on")
    tokenizer = processor.tokenizer
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} does not tell where its tokens stand in the text; "
            "save the model with a fast tokenizer (tokenizer.json)"
        )
    ids: list[int] = []
    mask: list[bool] = []
    segments: list[int] = []
    for piece in _merge(_pieces(turns, processor, generate, answer)):
        if piece.special:
            tokens, where = [tokenizer.convert_tokens_to_ids(piece.text)], [(0, len(piece.text))]
        else:
            encoded = tokenizer(
                piece.text,
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
            )
            tokens, where = encoded.input_ids, encoded.offset_mapping
        ids += tokens
        mask += [piece.trained] * len(tokens)
        # A token across a border is the answer's rather than the reasoning's, and that rather than
        # other's: in the order of their codes.
        segments += [max(piece.segments[start:end], default=0) for start, end in where]
    return ids, mask, segments


def _is_text(part: str | ImageRef) -> bool:
    return isinstance(part, str)


def _contents(turns: Sequence[Turn], answer: str | None) -> Iterator[tuple[_Piece, bool]]:
    """The text parts of the turns, and whether each closes a reply."""
    replies = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    for place, turn in enumerate(turns):
        trained = turn.role == "assistant"
        # Parts are the author's cuts: what is reasoning is seen from the whole reply.
        gold = answer if replies[-1:] == [place] else None
        codes = reply_codes(turn.text, gold) if trained else b""
        for index, part in enumerate(turn.parts):
            if isinstance(part, str):
                piece = _Piece(part, special=False, trained=trained, segments=codes[: len(part)])
                yield piece, trained and index == len(turn.parts) - 1
                codes = codes[len(part) :]


def _pieces(
    turns: Sequence[Turn], processor: Any, generate: bool, answer: str | None
) -> Iterator[_Piece]:
    """Walk the template's output: its own text, and content where it put our marks."""
    contents = list(_contents(turns, answer))
    marks = iter(range(len(contents)))
    chat = [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": f"\ue000{next(marks)}\ue001"}
                if isinstance(part, str)
                else {"type": "image"}
                for part in turn.parts
            ],
        }
        for turn in turns
    ]
    try:
        text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=generate)
    except ValueError as error:
        raise ModelError(f"the model's chat template: {error}") from error
    fields = _MARK.split(text)
    order = [int(number) for number in fields[1::2]]
    if order != list(range(len(contents))):
        raise ModelError("the chat template drops, repeats or reorders turns; the mask is unsure")
    ends_reply = False
    for position, field in enumerate(fields):
        if position % 2:
            piece, ends_reply = contents[int(field)]
            yield piece
            continue
        around = list(_template_pieces(field, processor.tokenizer))
        if ends_reply:
            if not around or not around[0].special:
                raise ModelError(
                    "the chat template closes the assistant's turn without a special token; "
                    "the mask is unsure"
                )
            end = around[0].text
            codes = bytes([END_OF_TURN]) * len(end)
            around[0] = _Piece(end, special=True, trained=True, segments=codes)
        yield from around


def _template_pieces(text: str, tokenizer: Any) -> Iterator[_Piece]:
    """Split the template's own text at its special tokens."""
    # A tokenizer may flag a token as special without naming it among its special tokens.
    flagged = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    specials = sorted(flagged.union(tokenizer.all_special_tokens), key=len, reverse=True)
    pattern = "(" + "|".join(re.escape(token) for token in specials) + ")"
    for index, field in enumerate(re.split(pattern, text)):
        if field:
            yield _Piece(field, special=index % 2 == 1, trained=False)


def _merge(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Join neighbouring plain text of one mask, so that it is tokenised as the template's users
    tokenise it: the line "user" and the question in one go. A reply always starts a run of its own.
    """  # noqa: D205 - the sentence is one
    run: _Piece | None = None
    for piece in pieces:
        if run and not piece.special and not run.special and piece.trained == run.trained:
            run = _Piece(
                run.text + piece.text,
                special=False,
                trained=run.trained,
                segments=run.segments + piece.segments,
            )
            continue
        if run:
            yield run
        run = piece
    if run:
        yield run
