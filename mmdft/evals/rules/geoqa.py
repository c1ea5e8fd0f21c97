"""GeoQA's own rule: a number means the choice that it is within 0.001 of.

Source: `NGS_Aux.py` of https://github.com/chen-judge/GeoQA at dcedb17, where a program gives the
number. A model also gives letters; a letter is its choice. Without choices the number must be
within 0.001 of the gold.
"""

from __future__ import annotations

from fractions import Fraction

from mmdft.evals.choices import index_of
from mmdft.evals.extract import extract
from mmdft.evals.extraction.numbers import numeric_value
from mmdft.evals.rules.judging import gold_index, judge
from mmdft.evals.symbolic import Comparison
from mmdft.evals.text import bare_text
from mmdft.records import Example, Prediction, Verdict

# Absolute, and less than it.
TOLERANCE = 0.001


def official(example: Example, prediction: Prediction) -> Verdict:
    """By letter, or by the last of the choices that the number is within 0.001 of."""
    gold_choice = gold_index(example)

    def equal(gold: str, answer: str) -> Comparison:
        if gold_choice is None:
            return Comparison(_within(gold, answer))
        index = index_of(answer, example.choices)
        if index is None:
            near = [i for i, choice in enumerate(example.choices) if _within(choice, answer)]
            index = near[-1] if near else None
        reason = "" if index is not None else "the answer is none of the choices"
        return Comparison(index == gold_choice, reason)

    return judge(
        example,
        prediction,
        rules="official",
        extraction=extract(
            prediction.response, choices=example.choices, truncated=prediction.truncated
        ),
        compare=equal,
    )


def _within(gold: str, answer: str) -> bool:
    wanted, given = (numeric_value(bare_text(text)) for text in (gold, answer))
    if wanted is None or given is None:
        return False
    # Exact, as a value may lie beyond the range of floats.
    return abs(Fraction(wanted) - Fraction(given)) < TOLERANCE
