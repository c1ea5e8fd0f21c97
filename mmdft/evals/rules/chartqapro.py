"""Rules of ChartQAPro: its authors' own, which gives parts of a point, and a strict one.

Source: `evaluate_predictions.py` of https://github.com/vis-nlp/ChartQAPro. Lists are compared
element by element; an element marked as a year must be the same text, a number may be off by 5 %,
and other text has the part of a point that ANLS gives it. The script means to compare fact
checking and multiple choice exactly as well, and does not; nor does this.
"""

from __future__ import annotations

import ast
import re

from mmdft.evals.extract import extract
from mmdft.evals.rules.chartqa import TOLERANCE, read_equal
from mmdft.evals.rules.judging import judge, verdict
from mmdft.evals.rules.mathvista_official import edit_distance
from mmdft.evals.symbolic import Comparison
from mmdft.evals.text import bare_text
from mmdft.records import Example, Extraction, Prediction, Verdict

# Of ANLS: texts that differ in half of the longer one or more have nothing in common.
_THRESHOLD = 0.5
_LIST = re.compile(r"\[(.*)\]")
# An element of a list that has no quotes, up to a comma; those with blanks fall into several.
_UNQUOTED = re.compile(r"(?<!['\w])\w[^,]*?(?!['\w])")
# Longer texts are no list of answers, and parsing takes memory.
_LONGEST = 20_000


def official(example: Example, prediction: Prediction) -> Verdict:
    """The authors' rule on the whole response; correct is a whole point.

    The part of a point is in `detail`; the score "relaxed accuracy" is their figure.
    """
    answer = prediction.response if prediction.response.strip() else None
    found = Extraction(answer=answer, stage="response" if answer else "none")
    if answer is None or example.answer is None:
        return verdict(example, prediction, "official", found, "no_answer")
    points = credit(example, answer)
    return verdict(
        example,
        prediction,
        "official",
        found,
        "correct" if points == 1 else "wrong",
        f"{points:.2f} of a point" if 0 < points < 1 else "",
    )


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The staged extraction; every element the same text, or a number within 5 %, years exact."""
    years = _years(example)

    def equal(gold: str, answer: str) -> Comparison:
        wanted, given = _elements(gold), _elements(answer)
        flags = years * len(wanted) if len(years) < len(wanted) else years
        return Comparison(
            len(wanted) == len(given)
            and all(
                read_equal(a, b, exact=flag)
                for a, b, flag in zip(wanted, given, flags, strict=False)
            )
        )

    return judge(
        example,
        prediction,
        rules="strict",
        extraction=extract(prediction.response, truncated=prediction.truncated),
        compare=equal,
    )


def credit(example: Example, answer: str) -> float:
    """The official part of a point, from 0 to 1, that an answer gets."""
    gold, answer = (text.strip(".").strip("\n") for text in (example.answer or "", answer))
    wanted = _as_list(_quoted(gold)) or _as_list(gold) or [gold]
    given = _as_list(answer) or [answer]
    years = _years(example)
    if len(years) < len(wanted):
        years = years * len(wanted)
    points = [
        float(a.strip().lower() == b.strip().lower()) if year else _credit_of_one(a, b)
        for a, b, year in zip(wanted, given, years, strict=False)
    ]
    return sum(points) / max(len(wanted), len(given))


def _credit_of_one(gold: str, answer: str) -> float:
    gold, answer = (text.strip().strip("%").strip() for text in (gold, answer))
    wanted, given = _to_float(gold), _to_float(answer)
    if wanted is not None and given is not None:
        if wanted == 0:
            return float(given == 0)
        return float(abs(given - wanted) / abs(wanted) <= TOLERANCE)
    return anls(gold, answer)


def anls(gold: str, answer: str) -> float:
    """Normalised Levenshtein similarity of two texts; 0 where it is half or less."""
    a, b = (" ".join(text.lower().split()) for text in (gold, answer))
    longest = max(len(a), len(b))
    # The difference in length alone may exceed the threshold, and long responses are many.
    if longest and abs(len(a) - len(b)) >= _THRESHOLD * longest:
        return 0.0
    distance = edit_distance(a, b) / longest if longest else 0.0
    return 1 - distance if distance < _THRESHOLD else 0.0


def _years(example: Example) -> list[bool]:
    given = example.meta.get("years") or ["NO"]
    return [str(flag).upper() == "YES" for flag in given]


def _to_float(text: str) -> float | None:
    try:
        return float(text.strip().strip("%"))
    except ValueError:
        return None


def _quoted(gold: str) -> str:
    """A list whose elements stand without quotes, with them."""
    match = _LIST.fullmatch(gold.strip())
    return gold if match is None else "[" + _UNQUOTED.sub(r"'\g<0>'", match[1]) + "]"


def _as_list(text: str) -> list[str] | None:
    """The list that a text prints; its elements as text. Nothing is evaluated but literals."""
    if len(text) > _LONGEST:
        return None
    try:
        parsed = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return [str(item).strip(" '") for item in parsed] if isinstance(parsed, list) else None


def _elements(text: str) -> list[str]:
    text = bare_text(text)
    match = _LIST.fullmatch(text)
    return [bare_text(part.strip(" '\"")) for part in match[1].split(",")] if match else [text]
