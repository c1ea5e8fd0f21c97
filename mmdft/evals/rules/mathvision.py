"""Rules of MathVision: its authors' own, a strict one, and those of two toolkits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from mmdft.evals.arithmetic import evaluate
from mmdft.evals.choices import letter
from mmdft.evals.rules.judging import judge, verdict
from mmdft.evals.rules.mathvision_official import official_answer, official_equal
from mmdft.evals.rules.staged import strict
from mmdft.evals.rules.vlmevalkit import ASKS_ITS_JUDGE, inferred
from mmdft.evals.symbolic import Comparison
from mmdft.records import Example, Extraction, Prediction, Verdict

__all__ = ["lmms_eval", "official", "strict", "vlmevalkit"]

_TOLERANCE = 1e-6


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


def vlmevalkit(example: Example, prediction: Prediction) -> Verdict:
    """VLMEvalKit's rule (e8e78f05), as far as it goes without its judge.

    An option by its letter alone; else the whole response must be the gold, as text or within
    1e-6. Where the original evaluates model text, `arithmetic.evaluate` reads it.
    """
    response, gold = prediction.response, example.answer or ""
    text = inferred(response, example.choices) if example.choices else response.strip()
    right = text is not None and _close(gold, text)
    if text is None or not (right or example.choices):
        none = Extraction(answer=None, stage="none")
        return verdict(example, prediction, "vlmevalkit", none, "unscored", ASKS_ITS_JUDGE)
    found = Extraction(answer=text, stage="prefetch")
    return verdict(example, prediction, "vlmevalkit", found, "correct" if right else "wrong")


def lmms_eval(example: Example, prediction: Prediction) -> Verdict:
    """lmms-eval's rule (75571cf) for `mathvision_test`: the official rule; its prompt differs."""
    return replace(official(example, prediction), rules="lmms_eval")


def _close(gold: str, answer: str) -> bool:
    gold, answer = gold.lower().strip(), answer.lower().strip()
    if gold == answer:
        return True
    a, b = evaluate(gold, mixed_numbers=False), evaluate(answer, mixed_numbers=False)
    return a is not None and b is not None and abs(Fraction(a) - Fraction(b)) < _TOLERANCE


def _gold_value(example: Example) -> str:
    letters = [letter(i) for i in range(len(example.choices))]
    return example.choices[letters.index(example.answer)] if example.answer in letters else ""
