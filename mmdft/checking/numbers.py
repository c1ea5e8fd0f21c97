"""Which characters of a reply, and so which of its tokens, belong to numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

# Digits with points and commas between digits; a point before the first digit and a sign belong to
# the number where nothing stands before them that they would join it to ("3-5" is 3 and 5).
_NUMBER = re.compile(r"(?:(?<![\w.)\]}%])[-+\u2212])?(?:(?<![\w.])\.)?\d+(?:[.,]\d+)*")


def number_spans(text: str) -> list[tuple[int, int]]:
    """Where the numbers of a text are, as (start, end) in characters, in order.

    A number is a run of decimal digits (of any script) with the points and commas between them.
    Its sign belongs to it if it follows no letter, digit or closing bracket, and a point before its
    first digit likewise. Each digit of the text is in exactly one number, also those of `x1` and
    `10cm`; number words ("seven"), superscripts and units are in none.

    `"x = -3.5, so 1,000/2"` gives the spans of `-3.5`, `1,000` and `2`.
    """
    return [match.span() for match in _NUMBER.finditer(text)]


def number_tokens(texts: Sequence[str]) -> list[bool]:
    """Which tokens of one stretch of text share a character with a number.

    Args:
        texts: what each token adds to the text; nothing for the later tokens of a character that
            several tokens make, which are then no numbers.
    """
    ends = list(accumulate(len(text) for text in texts))
    spans = number_spans("".join(texts))
    found = []
    place = 0
    for text, end in zip(texts, ends, strict=True):
        start = end - len(text)
        while place < len(spans) and spans[place][1] <= start:
            place += 1
        found.append(start < end and place < len(spans) and spans[place][0] < end)
    return found
