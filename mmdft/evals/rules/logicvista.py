"""Rules of LogicVista: the set of letters must be that of the gold.

Source: `eval/extract_accuracy.py` of https://github.com/Yijia-Xiao/LogicVista at e5795f1. The
authors have GPT-4 extract the letters; here the staged extraction stands for it, and only the
comparison is theirs. One gold is empty, which is right for an empty response alone.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mmdft.evals.extract import extract, visible_text
from mmdft.evals.rules.judging import judge, verdict
from mmdft.evals.symbolic import Comparison
from mmdft.records import Example, Extraction, Prediction, Verdict

_PART = re.compile(r"[a-z0-9]+")
# The choices are in the figure and go up to G at most.
_LETTERS = tuple("ABCDEFG")
_AND = re.compile(r"\band\b", re.IGNORECASE)
_SEVERAL = r"\(?[A-Ga-g]\)?(?:(?:\s*[,;&]\s*(?:and\s+)?|\s+and\s+)\(?[A-Ga-g]\b\)?)+"
# Several letters as all of the response, or where it says which are right.
_STATED = re.compile(
    rf"\A\W*({_SEVERAL})\W*\Z"
    rf"|(?:[Aa]nswers?|(?:correct|right)\s+(?:options?|choices?|letters?|ones?))"
    rf"\s*(?:is|are|:)\s*\**({_SEVERAL})"
)


def same_letters(gold: str, answer: str) -> bool:
    """The authors' comparison: the letters (or numbers) of both, in order, whatever their case."""
    return _letters(gold) == _letters(answer)


def official(example: Example, prediction: Prediction) -> Verdict:
    """The authors' comparison of what the staged extraction finds."""
    if example.answer == "" and not prediction.response.strip():
        none = Extraction(answer=None, stage="none")
        detail = "no answer; the official rule takes it for the empty gold"
        return verdict(example, prediction, "official", none, "correct", detail)
    return judge(
        example,
        prediction,
        rules="official",
        extraction=answer_of(example, prediction),
        compare=lambda gold, answer: Comparison(same_letters(gold, answer)),
    )


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The same comparison; the question without a gold is not scored."""
    found = answer_of(example, prediction)
    if example.answer == "":
        return verdict(example, prediction, "strict", found, "unscored", "the gold is empty")
    return judge(
        example,
        prediction,
        rules="strict",
        extraction=found,
        compare=lambda gold, answer: Comparison(same_letters(gold, answer)),
    )


def answer_of(example: Example, prediction: Prediction) -> Extraction:
    """The letter or letters that a response commits to."""
    stated = _STATED.findall(visible_text(prediction.response) or "")
    if stated:
        letters = _letters(_AND.sub(" ", "".join(stated[-1])))
        return Extraction(answer=", ".join(letters).upper(), stage="letters")
    choices = example.choices or _LETTERS
    found = extract(prediction.response, choices=choices, truncated=prediction.truncated)
    one = found.answer is not None and len(found.answer) == 1
    return replace(found, answer=found.answer.upper()) if one and found.answer else found


def _letters(text: str) -> list[str]:
    return sorted(_PART.findall(text.lower()))
