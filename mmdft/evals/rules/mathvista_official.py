r"""MathVista's own rule: from an extraction to a verdict.

Source: `evaluation/extract_answer.py` and `calculate_score.py` of
https://github.com/lupantech/MathVista at 53d5258. The rule is kept with its quirks, because a
published figure is only comparable under the rule that made it: of a multiple-choice extraction
the first `(x)` counts, an upper-case letter in range is that option and anything else, even
nothing, is the option nearest to it by edit distance; integers are truncated; floats are rounded;
all compare as text. An empty extraction is so right on about one question in six of the
multiple-choice ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmdft.evals.choices import letter
from mmdft.records import Example

_LETTER = re.compile(r"\(([a-zA-Z])\)")


def prefetched(response: str, example: Example) -> str | None:
    """What the official script takes from a response without asking its judge, or None."""
    if example.choices:
        return response if response in example.choices else None
    try:
        if example.meta.get("answer_type") == "integer":
            return str(int(response))
        if example.meta.get("answer_type") == "float":
            return str(float(response))
    except ValueError:
        pass
    return None


def normalised(extraction: str, example: Example) -> str | None:
    """The extraction in the form of the gold; None where it has no such form."""
    if example.choices:
        return _option(extraction.strip(), example.choices)
    try:
        match example.meta.get("answer_type"):
            case "integer":
                return str(int(float(extraction)))
            case "float":
                precision = example.meta.get("precision")
                return None if precision is None else str(round(float(extraction), int(precision)))
    except (ValueError, OverflowError):
        return None
    return extraction


def correct(extraction: str, example: Example) -> bool:
    """The official verdict on an extraction; "" stands for none.

    The gold of a multiple-choice question is the text of an option.
    """
    prediction, gold = normalised(extraction, example), example.answer
    return prediction is not None and gold is not None and prediction.strip() == gold.strip()


def nearest(text: str, choices: Sequence[str]) -> str:
    """The choice with the smallest edit distance to `text`, the first of several; case counts."""
    return min(choices, key=lambda choice: edit_distance(text, choice))


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance: insertions, deletions and substitutions cost one each."""
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        current = [i]
        for j, y in enumerate(b, start=1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return previous[-1]


def _option(extraction: str, choices: Sequence[str]) -> str:
    if found := _LETTER.search(extraction):
        extraction = found[1].upper()
    letters = [letter(i) for i in range(len(choices))]
    if extraction in letters:
        return choices[letters.index(extraction)]
    return nearest(extraction, choices)
