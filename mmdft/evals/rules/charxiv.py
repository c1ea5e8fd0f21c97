"""CharXiv: a strict rule. The authors' own is a judge model, for which no rule here stands."""

from __future__ import annotations

from mmdft.evals.choices import folded
from mmdft.evals.extract import extract
from mmdft.evals.plain import plain_equal
from mmdft.evals.rules.judging import judge
from mmdft.evals.symbolic import Comparison
from mmdft.records import Example, Prediction, Verdict


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The staged extraction; numbers exact, text the same, of several terms in any order."""
    wants_number = str(example.meta.get("answer_type", "")).startswith("number")

    def equal(gold: str, answer: str) -> Comparison:
        if wants_number:
            return Comparison(bool(plain_equal(gold, answer)))
        return Comparison(_terms(gold) == _terms(answer))

    return judge(
        example,
        prediction,
        rules="strict",
        extraction=extract(
            prediction.response, truncated=prediction.truncated, wants_number=wants_number
        ),
        compare=equal,
    )


def _terms(text: str) -> list[str]:
    return sorted(folded(part) for part in text.split(","))
