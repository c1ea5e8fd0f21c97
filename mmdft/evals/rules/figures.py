"""Rules of `figures`, mmdft's own drawn figures, whose golds are exact."""

from __future__ import annotations

from mmdft.evals.extract import extract
from mmdft.evals.plain import plain_equal
from mmdft.evals.rules.judging import by_choice, judge
from mmdft.evals.symbolic import Comparison
from mmdft.records import Example, Prediction, Verdict


def exact(example: Example, prediction: Prediction) -> Verdict:
    """The staged extraction; equal as option, exact number (units stripped) or text."""
    return judge(
        example,
        prediction,
        rules="exact",
        extraction=extract(
            prediction.response, choices=example.choices, truncated=prediction.truncated
        ),
        compare=by_choice(
            example, lambda gold, answer: Comparison(bool(plain_equal(gold, answer)))
        ),
    )
