"""The strict rule that most benchmarks share."""

from __future__ import annotations

from mmdft.evals.extract import extract
from mmdft.evals.rules.judging import by_choice, judge
from mmdft.evals.symbolic import Comparison, compare
from mmdft.evals.text import bare_text
from mmdft.records import Example, Prediction, Verdict


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The staged extraction; equal as option, exact number, expression or text. No rounding.

    The symbolic comparison is bounded; one that hits its limit leaves the prediction unscored.
    """

    def equal(gold: str, answer: str) -> Comparison:
        return compare(bare_text(gold), bare_text(answer))

    return judge(
        example,
        prediction,
        rules="strict",
        extraction=extract(
            prediction.response, choices=example.choices, truncated=prediction.truncated
        ),
        compare=by_choice(example, equal),
    )
