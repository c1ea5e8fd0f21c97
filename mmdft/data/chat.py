"""A conversation as chat tokens, with the loss mask built beside them.

What the model's chat template writes is known from `outline`: there its special tokens count; what
is put in place of a mark is content, so special tokens in it are ordinary text. The mask is known
by construction and never searched for: it covers what the template shows of the assistant's replies
behind the generation prompt, and the one special token behind each. Each trained token also gets
its segment: reasoning, answer, end of turn, or other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from mmdft.data.outline import Stretch, outline, shape_of, special_tokens, split_specials
from mmdft.data.segments import END_OF_TURN, reply_codes
from mmdft.data.vision import Expansion, family_of, soft_token
from mmdft.errors import DataError, ModelError
from mmdft.records import ImageRef, Turn


class ChatTokens(NamedTuple):
    """Token ids; the loss mask; codes of SEGMENTS, 0 off the mask; which are an image's tokens."""

    ids: list[int]
    mask: list[bool]
    segments: list[int]
    image_tokens: list[bool]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of the chat: a special token some times over, or plain text.

    `codes` has a code of SEGMENTS for each character of a trained run and is None off the mask.
    `is_fixed`: there is nothing of the conversation in it.
    """

    text: str
    times: int = 1
    is_special: bool = False
    is_fixed: bool = True
    codes: bytes | None = None


def render_text(
    turns: Sequence[Turn],
    processor: Any,
    *,
    generate: bool,
    answer: str | None = None,
    images: Sequence[Expansion] | None = None,
) -> ChatTokens:
    """Tokens of the turns, with mask and segments.

    Args:
        turns: the conversation.
        processor: the model's `AutoProcessor`.
        generate: whether to open the assistant's turn at the end.
        answer: the gold answer, looked for in the last of the assistant's turns. It has a say in
            the segments alone.
        images: what takes the place of each image's placeholder; None leaves the placeholders.

    Raises:
        DataError: an assistant's turn is not text, or the chat template cannot show the turns.
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
    family_of(processor)
    specials = special_tokens(tokenizer)
    soft = soft_token(processor)
    tokens = ChatTokens([], [], [], [])
    for piece in _merge(_pieces(turns, processor, generate, answer, images)):
        is_trained = piece.codes is not None
        if piece.is_special:
            ids: Sequence[int] = [specials[piece.text]] * piece.times
            codes = [max(piece.codes or b"\0")] * piece.times
        elif piece.codes is not None:
            encoded = _encoded(piece.text, tokenizer, return_offsets_mapping=True)
            ids = encoded.input_ids
            # A token across a border is the answer's rather than the reasoning's, and that rather
            # than other's: in the order of their codes.
            codes = [
                max(piece.codes[start:end], default=0) for start, end in encoded.offset_mapping
            ]
        else:
            encode = _fixed_ids if piece.is_fixed else _content_ids
            ids = encode(piece.text, tokenizer)
            codes = [0] * len(ids)
        tokens.ids.extend(ids)
        tokens.mask.extend([is_trained] * len(ids))
        tokens.segments.extend(codes)
        tokens.image_tokens.extend([piece.is_special and piece.text == soft] * len(ids))
    return tokens


def _is_text(part: str | ImageRef) -> bool:
    return isinstance(part, str)


def _encoded(text: str, tokenizer: Any, **options: bool) -> Any:
    return tokenizer(
        text,
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        **options,
    )


def _content_ids(text: str, tokenizer: Any) -> list[int]:
    return _encoded(text, tokenizer).input_ids  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _fixed_ids(text: str, tokenizer: Any) -> tuple[int, ...]:
    """Of what a template writes again and again."""
    return tuple(_content_ids(text, tokenizer))


def _pieces(
    turns: Sequence[Turn],
    processor: Any,
    generate: bool,
    answer: str | None,
    images: Sequence[Expansion] | None,
) -> Iterator[_Piece]:
    """Fill the template's outline with content and images."""
    shape, contents = shape_of(turns)
    replies = sum(turn.role == "assistant" for turn in turns)
    # The turns after the last reply, if any, do not make it less the one that answers.
    stretches = outline(shape, processor, generate=generate)
    num_images = 0
    for stretch in stretches:
        if stretch.reply is not None:
            yield _reply_piece(stretch, contents, answer if stretch.reply == replies - 1 else None)
        elif not stretch.is_special:
            text = "".join(
                contents[part] if isinstance(part, int) else part for part in stretch.parts
            )
            yield _Piece(text, is_fixed=all(isinstance(part, str) for part in stretch.parts))
        elif stretch.parts[0] != processor.image_token:
            yield _Piece(str(stretch.parts[0]), is_special=True)
        else:
            num_images += 1
            if images is None:
                yield _Piece(processor.image_token, is_special=True)
            elif num_images <= len(images):
                yield from _image_pieces(images[num_images - 1], processor.tokenizer)
    if images is not None and num_images != len(images):
        raise ModelError(
            f"the chat template makes {num_images} placeholders for {len(images)} images"
        )


def _reply_piece(stretch: Stretch, contents: Sequence[str], gold: str | None) -> _Piece:
    text = "".join(contents[part] if isinstance(part, int) else part for part in stretch.parts)
    if stretch.is_special:
        codes = bytes([END_OF_TURN]) * len(text)
    else:
        codes = reply_codes(stretch.opened + text, gold)[len(stretch.opened) :]
    return _Piece(text, is_special=stretch.is_special, is_fixed=False, codes=codes)


@lru_cache(maxsize=1024)
def _image_pieces(expansion: Expansion, tokenizer: Any) -> tuple[_Piece, ...]:
    pieces = []
    for text, times in expansion:
        for piece, is_special in split_specials(text, tokenizer):
            pieces.append(_Piece(piece, times=times, is_special=is_special))
    return tuple(pieces)


def _merge(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """Join neighbouring plain text that is not trained, so that it is tokenised as the template's
    users tokenise it: the line "user" and the question in one go. A reply is a run of its own.
    """  # noqa: D205 - the sentence is one
    run: _Piece | None = None
    for piece in pieces:
        if piece.is_special or piece.codes is not None:
            if run:
                yield run
                run = None
            yield piece
        elif run:
            run = _Piece(run.text + piece.text, is_fixed=run.is_fixed and piece.is_fixed)
        else:
            run = piece
    if run:
        yield run
