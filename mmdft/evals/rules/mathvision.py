"""Rules of MathVision: its authors' own, and a strict one."""

from __future__ import annotations

from mmdft.evals.choices import letter
from mmdft.evals.extract import extract
from mmdft.evals.rules.judging import by_choice, judge
from mmdft.evals.rules.mathvision_official import official_answer, official_equal
from mmdft.evals.symbolic import Comparison, compare
from mmdft.evals.text import bare_text
from mmdft.records import Example, Extraction, Prediction, Verdict


def official(example: Example, prediction: Prediction) -> Verdict:
    """The authors' rule (see `mathvision_official`): correct by gold letter or gold value.

    Their rule knows only right and wrong; here an extraction that is empty is told apart as no
    answer. Both count against the accuracy, so that the figure is theirs.
    """
    answer = official_answer(prediction.response) or None
    value = _gold_value(example)

    def equal(gold: str, given: str) -> Comparison:
        return Comparison(official_equal(gold, given) or official_equal(value, given))

    return judge(
        example,
        prediction,
        rules="official",
        extraction=Extraction(answer=answer, stage="official" if answer else "none"),
        compare=equal,
    )


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The staged extraction; equal as option, exact number or expression. No nearest, no rounding.

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


def _gold_value(example: Example) -> str:
    letters = [letter(i) for i in range(len(example.choices))]
    return example.choices[letters.index(example.answer)] if example.answer in letters else ""
