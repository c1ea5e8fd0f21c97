"""Numbers written as words: "twelve", "twenty-five", "one hundred and five"."""

from __future__ import annotations

import re

_BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: i for i, word in enumerate(_BELOW_TWENTY.split())}
_SMALL |= {word: 10 * i for i, word in enumerate(_TENS.split(), start=2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORD = "|".join(sorted([*_SMALL, *_LARGE, "hundred"], key=len, reverse=True))
NUMBER_WORDS = re.compile(
    rf"(?<![\w-])(?:{_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_WORD}))*\b", re.IGNORECASE
)


def number_words(text: str) -> int | None:
    """The number that the whole of `text` names, or None."""
    text = text.strip()
    if NUMBER_WORDS.fullmatch(text) is None:
        return None
    total, group, last = 0, 0, 10**12
    for word in re.split(r"[\s-]+", text.casefold()):
        if word == "and":
            continue
        if word in _SMALL:
            value = _SMALL[word]
            # "two three" is no number, nor is "twelve four".
            if value >= last or (last < 100 and (last < 20 or value >= 10)):
                return None
            group, last = group + value, value or 1
        elif word == "hundred":
            group, last = (group or 1) * 100, 100
        else:
            total, group, last = total + (group or 1) * _LARGE[word], 0, _LARGE[word]
    return total + group
