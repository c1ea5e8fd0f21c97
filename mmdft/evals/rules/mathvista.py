"""Rules of MathVista: its authors', a strict one, those of two toolkits, and a symbolic one.

The authors have a judge model extract the answer; here the staged extraction stands for it. Under
`official` it reads a response as that judge does, to its very end, even where the model went on to
ask itself other questions; under the other rules it stops there.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Literal

from mmdft.evals.choices import index_of, letter
from mmdft.evals.extract import extract, visible_text
from mmdft.evals.extraction.numbers import numeric_value
from mmdft.evals.extraction.view import REFUSAL
from mmdft.evals.numeric import parse_quantity
from mmdft.evals.question import asked
from mmdft.evals.rules.judging import by_choice, gold_index, judge, verdict
from mmdft.evals.rules.mathvista_official import correct, normalised, prefetched
from mmdft.evals.rules.vlmevalkit import ASKS_ITS_JUDGE, inferred
from mmdft.evals.symbolic import Comparison, compare
from mmdft.evals.text import bare_text
from mmdft.records import Example, Extraction, Prediction, Status, Verdict

_NOTHING = Extraction(answer=None, stage="none")
_LIST = re.compile(r"\[[^\[\]]*\]")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def official(example: Example, prediction: Prediction) -> Verdict:
    """The authors' rule on the answer found; see `mathvista_official`.

    Without an answer a multiple-choice question still gets its nearest option, and may be right by
    it, as in the authors' figures; the extraction stays None and `detail` says so.
    """
    found = answer_of(example, prediction, part="last")
    right = correct(found.answer or "", example)
    status: Status = "correct" if right else "no_answer" if found.answer is None else "wrong"
    detail = ""
    if found.answer is None and example.choices:
        detail = f"no answer; the official rule takes the option {normalised('', example)!r}"
    return verdict(example, prediction, "official", found, status, detail)


def strict(example: Example, prediction: Prediction) -> Verdict:
    """No answer is no answer, no nearest option, no truncation; a float is rounded as asked."""
    return judge(
        example,
        prediction,
        rules="strict",
        extraction=answer_of(example, prediction),
        compare=by_choice(example, lambda gold, answer: _exact(example, gold, answer)),
    )


def symbolic(example: Example, prediction: Prediction) -> Verdict:
    """As strict, but expressions are compared by sympy, within its limits."""

    def equal(gold: str, answer: str) -> Comparison:
        exact = _exact(example, gold, answer)
        return exact if exact.equal else compare(bare_text(gold), bare_text(answer))

    return judge(
        example,
        prediction,
        rules="symbolic",
        extraction=answer_of(example, prediction),
        compare=by_choice(example, equal),
    )


def vlmevalkit(example: Example, prediction: Prediction) -> Verdict:
    """VLMEvalKit's rule, as far as it goes without its judge.

    A number counts only if the whole response is the gold number, and zero not even then; a list
    never does.
    """
    response, gold = prediction.response, example.answer or ""
    if example.choices:
        option = inferred(response, example.choices)
        index = gold_index(example)
        if option is None:
            return verdict(example, prediction, "vlmevalkit", _NOTHING, "unscored", ASKS_ITS_JUDGE)
        right = index is not None and option == letter(index)
        found = Extraction(answer=option, stage="prefetch")
        return verdict(example, prediction, "vlmevalkit", found, _status(right))
    if example.meta.get("answer_type") == "list":
        detail = "VLMEvalKit takes no list for right"
        return verdict(example, prediction, "vlmevalkit", _NOTHING, "wrong", detail)
    text = prefetched(response, example)
    if text is not None and float(text) != 0 and float(text) == float(gold or "nan"):
        found = Extraction(answer=text, stage="prefetch")
        return verdict(example, prediction, "vlmevalkit", found, "correct")
    return verdict(example, prediction, "vlmevalkit", _NOTHING, "unscored", ASKS_ITS_JUDGE)


def lmms_eval(example: Example, prediction: Prediction) -> Verdict:
    """lmms-eval's rule (75571cf), as far as it goes without its judge.

    The official rule, but a float is wrong whatever the judge extracts: the precision arrives as
    1.0, and rounding to it fails.
    """
    response = prediction.response.strip()
    text = prefetched(response, example) if response else ""
    found = Extraction(answer=text, stage="prefetch") if text else _NOTHING
    if example.meta.get("answer_type") == "float":
        detail = "lmms-eval takes no float for right"
        return verdict(example, prediction, "lmms_eval", found, "wrong", detail)
    if text is None:
        detail = "lmms-eval asks its judge"
        return verdict(example, prediction, "lmms_eval", found, "unscored", detail)
    right = correct(text, example)
    status: Status = "correct" if right else "wrong" if text else "no_answer"
    return verdict(example, prediction, "lmms_eval", found, status)


def answer_of(
    example: Example, prediction: Prediction, *, part: Literal["own", "last"] = "own"
) -> Extraction:
    """The answer in the form that the official rule reads: a letter, a plain number, a list.

    Text that is none of these answers no question of MathVista and counts as no answer, but for a
    text that the response marks as its answer to a multiple-choice question.
    """
    shown = visible_text(prediction.response)
    if shown is None or not shown.strip():
        return _NOTHING
    if (text := prefetched(shown.strip(), example)) is not None:
        index = index_of(text, example.choices)
        return Extraction(answer=text if index is None else letter(index), stage="prefetch")
    kind = example.meta.get("answer_type")
    if kind == "list":
        lists = _LIST.findall(shown)
        return Extraction(answer=lists[-1], stage="list") if lists else _NOTHING
    found = extract(
        prediction.response,
        choices=example.choices,
        truncated=prediction.truncated,
        question=asked(example.turns[-1].text) if example.turns else "",
        wants_number=kind in ("integer", "float"),
        part=part,
    )
    if found.answer is None or REFUSAL.search(found.answer):
        return _NOTHING  # "None" in a box is no answer
    form = _option_form if example.choices else _number_form
    return Extraction(answer=form(found.answer, example), stage=found.stage)


def _option_form(answer: str, example: Example) -> str:
    # A value that is no option keeps its unit only where the options have it.
    quantity = parse_quantity(answer)
    units = {q.unit for text in example.choices if (q := parse_quantity(text)) is not None}
    if quantity is None or not quantity.unit or quantity.unit in units:
        return answer
    return _decimal(quantity.value)


def _number_form(answer: str, example: Example) -> str:
    if _NUMBER.fullmatch(answer):
        return answer
    value = numeric_value(answer)
    return answer if value is None else _decimal(value)


def _decimal(value: Fraction | float) -> str:
    if isinstance(value, Fraction) and value.denominator == 1:
        return str(value.numerator)
    return repr(float(value))


def _exact(example: Example, gold: str, answer: str) -> Comparison:
    """Equality of numbers; a float's gold has the decimals to which the answer is rounded."""
    if example.meta.get("answer_type") == "list":
        return Comparison(_elements(gold) == _elements(answer))
    wanted, given = numeric_value(gold), numeric_value(answer)
    if wanted is None or given is None:
        return Comparison(bare_text(gold) == bare_text(answer))
    precision = example.meta.get("precision")
    if example.meta.get("answer_type") == "float" and precision is not None:
        return Comparison(round(float(given), int(precision)) == float(wanted))
    return Comparison(math.isclose(wanted, given, rel_tol=1e-9))


def _elements(text: str) -> list[str]:
    return [part.strip().strip("'\"") for part in text.strip().strip("[]").split(",")]


def _status(right: bool) -> Status:
    return "correct" if right else "wrong"
