"""Rules of ChartQA: relaxed accuracy as published, and a strict one that reads an answer first.

Published, the whole response is the answer: `5 %` is 0.05 and not 5, `977,633` is no number, a gold
of 0 wants the same text, and a year may be off by a hundred. A response of more than an answer is
wrong.
"""

from __future__ import annotations

import re
from fractions import Fraction

from mmdft.evals.choices import folded
from mmdft.evals.extract import extract
from mmdft.evals.extraction.numbers import numeric_value
from mmdft.evals.numeric import Quantity, parse_quantity
from mmdft.evals.rules.judging import judge
from mmdft.evals.symbolic import Comparison
from mmdft.evals.text import bare_text
from mmdft.records import Example, Extraction, Prediction, Verdict

# Relative to the gold.
TOLERANCE = 0.05
_EXACT_TOLERANCE = Fraction(1, 20)
_YEAR = re.compile(r"(?:1[89]|20)\d\d")


def official(example: Example, prediction: Prediction) -> Verdict:
    """Relaxed accuracy of the whole response."""
    response = prediction.response
    answer = response if response.strip() else None
    return judge(
        example,
        prediction,
        rules="official",
        extraction=Extraction(answer=answer, stage="response" if answer else "none"),
        compare=lambda gold, given: Comparison(relaxed_equal(gold, given)),
    )


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The staged extraction, and the same tolerance; a gold that reads as a year wants that year.

    Numbers are read with their units and separators. A percent sign may be left out.
    """
    return judge(
        example,
        prediction,
        rules="strict",
        extraction=extract(prediction.response, truncated=prediction.truncated),
        compare=lambda gold, answer: Comparison(read_equal(gold, answer)),
    )


def relaxed_equal(gold: str, answer: str) -> bool:
    """The published comparison of two texts."""
    wanted, given = _to_float(gold), _to_float(answer)
    if wanted and given is not None:
        return abs(given - wanted) / abs(wanted) <= TOLERANCE
    return gold.lower() == answer.lower()


def read_equal(gold: str, answer: str, *, exact: bool = False) -> bool:
    """Whether two texts are the same, or two numbers within the tolerance of each other."""
    gold, answer = bare_text(gold), bare_text(answer)
    if folded(gold) == folded(answer):
        return True
    if exact or _YEAR.fullmatch(gold):
        return numeric_value(gold) is not None and numeric_value(gold) == numeric_value(answer)
    return any(_near(a, b) for a, b in _readings(gold, answer))


def _to_float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def _readings(gold: str, answer: str) -> list[tuple[Fraction, Fraction]]:
    """The pairs of values that the two may mean: 5 % is 5 or 0.05 where only one has the sign."""
    a, b = parse_quantity(gold), parse_quantity(answer)
    if a is None or b is None:
        x, y = numeric_value(gold), numeric_value(answer)
        return [] if x is None or y is None else [(Fraction(x), Fraction(y))]
    if a.unit == b.unit or not (a.unit and b.unit):
        pairs = [(a.value, b.value)]
        if a.unit != b.unit and "percent" in (a.unit, b.unit):
            pairs.append((_resolved(a), _resolved(b)))
        return pairs
    return []


def _resolved(quantity: Quantity) -> Fraction:
    return quantity.value / 100 if quantity.unit == "percent" else quantity.value


def _near(gold: Fraction, answer: Fraction) -> bool:
    return abs(answer - gold) <= abs(gold) * _EXACT_TOLERANCE
