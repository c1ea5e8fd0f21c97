r"""Rules of DynaMath: its authors' own, and a strict one.

Both read the `"short answer"` of the JSON object that the prompt asks for, code fences and prose
around it tolerated, and LaTeX with single backslashes (`"\frac{1}{2}"`) taken as written.
Source of the official one: `evaluation/gpt4o/gpt_4o_json_eval.py` of
https://github.com/DynaMath/DynaMath at 598c3c3, which minds the case, compares only floats as
numbers, and has a response without that key fail: it is no answer here. The strict rule goes on to
the staged extraction.
"""

from __future__ import annotations

import json
import math
import re

from mmdft.evals.arithmetic import evaluate
from mmdft.evals.choices import folded
from mmdft.evals.extract import extract, visible_text
from mmdft.evals.numeric import parse_number, split_unit
from mmdft.evals.rules.judging import by_choice, judge
from mmdft.evals.symbolic import Comparison
from mmdft.records import Example, Extraction, Prediction, Verdict

# Absolute; https://github.com/DynaMath/DynaMath at 598c3c3.
TOLERANCE = 0.001

_SHORT_ANSWER = re.compile(
    r'"short[ _]answer"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|([^",}\n]+))', re.DOTALL
)
_LATEX_COMMAND = re.compile(r"(?<!\\)\\(?!u[0-9a-fA-F]{4})[A-Za-z]{2,}")


def short_answer(response: str) -> str | None:
    """The last `"short answer"` of a response's JSON, or None where it is missing or empty."""
    found = _SHORT_ANSWER.findall(visible_text(response) or "")
    if not found:
        return None
    quoted, bare = found[-1]
    return (_unescaped(quoted) if quoted else bare).strip() or None


def official(example: Example, prediction: Prediction) -> Verdict:
    """A float within 0.001, the letter in the first three characters, or the gold in the answer."""
    answer = short_answer(prediction.response)
    extraction = Extraction(answer=answer, stage="json" if answer else "none")
    compare = _OFFICIAL.get(str(example.meta.get("answer_type")), _official_text)
    return judge(example, prediction, rules="official", extraction=extraction, compare=compare)


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The same tolerance on numbers, but the whole answer must be one; text must be equal."""
    extraction = Extraction(answer=None, stage="none")
    if answer := short_answer(prediction.response):
        inside = extract(answer, choices=example.choices)
        extraction = Extraction(answer=inside.answer or answer, stage="json")
    else:
        extraction = extract(
            prediction.response, choices=example.choices, truncated=prediction.truncated
        )
    text = example.meta.get("answer_type") == "text"
    compare = by_choice(example, _strict_text if text else _strict_number)
    return judge(example, prediction, rules="strict", extraction=extraction, compare=compare)


def _unescaped(quoted: str) -> str:
    if _LATEX_COMMAND.search(quoted):
        return quoted.replace('\\"', '"')  # to JSON, "\\frac" is a form feed and "rac"
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except json.JSONDecodeError:
        return quoted


def _official_number(gold: str, answer: str) -> Comparison:
    # Only what stands before the first blank, and before its pi.
    given = answer if answer.isdigit() else answer.split(" ")[0]
    before, has_pi, _ = given.partition("π")
    try:
        return Comparison(
            abs(float(before) * (math.pi if has_pi else 1) - float(gold)) <= TOLERANCE
        )
    except ValueError:
        return Comparison(False)


def _official_letter(gold: str, answer: str) -> Comparison:
    return Comparison(answer == gold if len(answer) == 1 else gold in answer[:3])


def _official_text(gold: str, answer: str) -> Comparison:
    return Comparison(gold in answer)


_OFFICIAL = {"float": _official_number, "multiple choice": _official_letter}


def _strict_number(gold: str, answer: str) -> Comparison:
    wanted, given = _value(gold), _value(answer)
    return Comparison(wanted is not None and given is not None and abs(wanted - given) <= TOLERANCE)


def _value(text: str) -> float | None:
    if "=" in text:
        text = text.rsplit("=", 1)[1]
    value = parse_number(text)
    exact = evaluate(split_unit(text)[0]) if value is None else value
    try:
        return None if exact is None else float(exact)
    except OverflowError:
        return None


def _strict_text(gold: str, answer: str) -> Comparison:
    # "(4,3)" and "(4, 3)" are the same text.
    return Comparison("".join(folded(gold).split()) == "".join(folded(answer).split()))
