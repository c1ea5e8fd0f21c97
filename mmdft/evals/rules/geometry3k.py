"""Geometry3K's own rule: a number means the choice whose value is nearest to it.

Source: `symbolic_solver/test.py` of https://github.com/lupantech/InterGPS at 99e6b52, whose solver
gives numbers. A model also gives letters; a letter is its choice. A problem without an answer
counts a quarter in the authors' accuracy, which is the score "accuracy with guesses".
"""

from __future__ import annotations

from fractions import Fraction

from mmdft.evals.choices import index_of
from mmdft.evals.extract import extract
from mmdft.evals.extraction.numbers import numeric_value
from mmdft.evals.rules.judging import gold_index, judge, verdict
from mmdft.evals.symbolic import Comparison
from mmdft.evals.text import bare_text
from mmdft.records import Example, Prediction, Verdict

NEEDS_CHOICES = "the official rule needs the choices"


def official(example: Example, prediction: Prediction) -> Verdict:
    """By letter or nearest value; wrong where a choice has no value to compare with."""
    found = extract(prediction.response, choices=example.choices, truncated=prediction.truncated)
    gold = gold_index(example)
    if gold is None:
        return verdict(example, prediction, "official", found, "unscored", NEEDS_CHOICES)
    values = example.meta.get("precise_values") or []

    def equal(_: str, answer: str) -> Comparison:
        index = index_of(answer, example.choices)
        if index is not None:
            return Comparison(index == gold)
        value = numeric_value(bare_text(answer))
        if value is None:
            return Comparison(False, "the answer is no number and no choice")
        if None in values or len(values) != len(example.choices):
            return Comparison(False, "a choice has no value")
        distances = [abs(Fraction(choice) - Fraction(value)) for choice in values]
        return Comparison(distances[gold] == min(distances))

    return judge(example, prediction, rules="official", extraction=found, compare=equal)
