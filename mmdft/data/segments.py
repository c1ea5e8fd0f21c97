"""Which part of a reply each of its characters belongs to: its reasoning, or its answer.

Loss and statistics can then treat the parts differently. Nothing here changes what is trained on.
"""

from __future__ import annotations

import re
from unicodedata import category

from mmdft.boxes import boxes

SEGMENTS = ("other", "reasoning", "answer", "end_of_turn")
"""A token's code is its segment's index here; 0 also stands for tokens that are not trained."""

END_OF_TURN = SEGMENTS.index("end_of_turn")

_THINKING = re.compile(r"\s*<think>.*</think>", re.DOTALL)
_ANSWER_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)


def reply_spans(text: str, answer: str | None) -> list[tuple[int, int, str]]:
    r"""Find reasoning and answer in a reply.

    The answer is, by the first of these that is in the reply,
        1. the gold answer in a last line `Answer: ...`, as the reply form "plain" writes it;
        2. behind a leading `<think>...</think>`, what stands in the last `<answer>...</answer>`,
           else all that follows; the reasoning is then what goes up to `</think>`;
        3. what stands in the last `\boxed{...}` that is closed and not blank;
        4. the last place where the gold answer stands by itself: not within a longer number or
           word, so not the 5 of `15`, `0.5` or `-5`.
    Unless rule 2 says otherwise, the reasoning is all that comes before the answer, or before its
    `\boxed{`: the words that lead up to it ("Answer: ", "The answer is ") are part of the
    reasoning. Tags, the box, and what follows the answer are in no span.

    `so 5.\nAnswer: 5` with answer `5` gives `[(0, 14, "reasoning"), (14, 15, "answer")]`.

    Args:
        text: the whole reply.
        answer: the gold answer, if this reply is the one that gives it.

    Returns:
        Spans (start, end, name of SEGMENTS) in characters: in order, not empty, not overlapping.
        An answer neither begins nor ends with white space. What is in no span is "other"; if no
        rule fits, that is the whole reply.
    """
    gold = (answer or "").strip()
    if gold and (line := re.search(rf"(?:\A|\n)Answer:\s*({re.escape(gold)})\s*\Z", text)):
        start, end = line.span(1)
        reasoning = start
    elif thinking := _THINKING.match(text):
        reasoning = thinking.end()
        tags = list(_ANSWER_TAG.finditer(text, reasoning))
        start, end = tags[-1].span(1) if tags else (reasoning, len(text))
    elif box := _last_box(text):
        reasoning, start, end = box
    elif gold and (place := _last_mention(text, gold)) is not None:
        reasoning, start, end = place, place, place + len(gold)
    else:
        return []
    found = text[start:end]
    start, end = end - len(found.lstrip()), start + len(found.rstrip())
    spans = [(0, reasoning, "reasoning"), (start, end, "answer")]
    return [span for span in spans if span[0] < span[1]]


def reply_codes(text: str, answer: str | None) -> bytes:
    """The spans of `reply_spans` as one code of SEGMENTS for each character of the reply."""
    codes = bytearray(len(text))
    for start, end, name in reply_spans(text, answer):
        codes[start:end] = bytes([SEGMENTS.index(name)]) * (end - start)
    return bytes(codes)


def _last_box(text: str) -> tuple[int, int, int] | None:
    r"""Where the last balanced `\boxed{...}` with something in it starts; and its content's span.

    Of boxes within one another, the outermost.
    """
    found = [box for box in boxes(text) if text[box[1] : box[2]].strip()]
    return found[-1] if found else None


def _last_mention(text: str, gold: str) -> int | None:
    """Start of the last place where the gold answer stands by itself."""
    start = text.rfind(gold)
    while start >= 0:
        end = start + len(gold)
        before = text[max(start - 2, 0) : start][::-1]
        if not (_begins_earlier(gold, before) or _goes_on(gold[-1], text[end : end + 2])):
            return start
        start = text.rfind(gold, 0, end - 1)
    return None


def _begins_earlier(gold: str, before: str) -> bool:
    """Whether the answer is the tail of a longer one; `before` is read from right to left."""
    # "-5" and ".5" are other numbers than 5.
    signed = gold[0].isdigit() and before[:1] in ("-", "−", ".")
    return signed or _goes_on(gold[0], before)


def _goes_on(edge: str, beyond: str) -> bool:
    """Whether a number or word whose outermost character is `edge` goes on beyond it.

    Args:
        edge: the first or last character of the number or word.
        beyond: the two characters next to it (fewer at an end of the text), the nearest first.
    """
    if not (_in_word(edge) or edge in "-−.") or not beyond:
        return False
    near, far = beyond[0], beyond[1:]
    if _in_word(near):
        return True
    if edge.isdigit() and far.isdigit():
        return near in ".,/:-−–"
    return near in "-'’" and _in_word(edge) and far != "" and _in_word(far)


def _in_word(character: str) -> bool:
    """Letters, digits and marks on them; not where words are written without spaces."""
    if "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff":
        return False
    return character.isalnum() or character == "_" or category(character).startswith("M")
