"""We-Math testmini: 525 problems asked whole and step by step, and its four dimensions.

https://github.com/We-Math/We-Math at a57a0e8, We-Math/We-Math on the hub. The rows hold no prompt;
the wording here is ours and asks for the form that the authors' rule reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, optional_text, text
from mmdft.evals.benchmarks.scores import Judged, Score, accuracy_of, is_right, is_scored, share
from mmdft.evals.benchmarks.wemath_concepts import CATEGORIES
from mmdft.evals.choices import letter
from mmdft.records import Example

PUBLISHED = Published(
    splits={"testmini": ("testmini.json", "data/testmini.json")}, default=("testmini",)
)
PROMPT = (
    "\nThink it through first and then choose one option. Reply in exactly this form:\n"
    "<Thought process>: <<your reasoning, step by step>>\n"
    "<Answer>: <<the letter of the option>>"
)
_KEY = re.compile(r"([23])steps_([123]|multi)")
_MARK = re.compile(r"(?:^|[;\s])([A-H])[.．、](?!\s*(?:;|$))\s*")


def example(row: Row) -> Example:
    """The question with its options; an item is a step of a problem, or the problem as a whole."""
    key = text(row, "key")
    match = _KEY.fullmatch(key)
    if match is None:
        raise row.error(f"'key' is {key!r}; expected one like 2steps_1 or 3steps_multi")
    problem = text(row, "ID")
    answer = text(row, "answer").strip().upper()
    listed = optional_text(row, "option")
    choices = options(listed) if listed is not None else tuple(_columns(row))
    shown = "\n".join(f"{letter(i)}. {choice}" for i, choice in enumerate(choices) if choice)
    return Example(
        id=f"{problem}/{match[2]}",
        turns=asked(
            row,
            f"{text(row, 'question')}\n{shown}{PROMPT}",
            "image",
            "image_path",
            below=("", "data"),
        ),
        answer=answer,
        choices=choices,
        category=optional_text(row, "knowledge concept") or "",
        meta={
            "problem": problem,
            "key": key,
            "steps": int(match[1]),
            "part": match[2],
            "knowledge": optional_text(row, "knowledge concept") or "",
        },
    )


def options(listed: str) -> tuple[str, ...]:
    """The options of a text such as `A. 3;B. 4; E. No correct answer`, at their letters' places.

    A mark is followed by the option: `;C.;` within one marks nothing. Letters go up; one that is
    left out has an empty option, so that the others keep theirs.
    """
    marks = list(_MARK.finditer(listed))
    texts: list[str] = []
    start = 0
    for place, mark in enumerate(marks):
        skipped = ord(mark[1]) - ord("A") - len(texts)
        later = {other[1] for other in marks[place:]}
        if skipped < 0 or any(letter(len(texts) + gap) in later for gap in range(skipped)):
            continue
        if texts:
            texts[-1] = listed[start : mark.start()].strip(" ;")
        start = mark.end()
        texts += [*[""] * skipped, listed[start:].strip(" ;")]
    return tuple(texts)


def _columns(row: Row) -> list[str]:
    """The options of VLMEvalKit's table, which has a column for each."""
    choices = row.values.get("choices")
    return choices if isinstance(choices, list) else []


def _condition(judged: Judged) -> tuple[bool, bool, bool] | None:
    """Whether all steps are right, whether any is, and whether the whole is; None if one lacks."""
    right = {example.meta["part"]: is_right(v) for example, v in judged if is_scored(v)}
    steps = judged[0][0].meta["steps"]
    if set(right) != {"multi", *(str(number) for number in range(1, steps + 1))}:
        return None
    whole = right.pop("multi")
    return all(right.values()), any(right.values()), whole


def _four(judged: Judged, loose: bool) -> tuple[float, ...]:
    """One problem as (problems, IK, IG, CM, RM): each is of exactly one of the four."""
    if (condition := _condition(judged)) is None:
        return (0, 0, 0, 0, 0)
    every, some, whole = condition
    mastered = whole and (some if loose else every)
    return (1, not whole and not every, not whole and every, mastered, whole and not mastered)


def _strict(judged: Judged) -> tuple[float, ...]:
    return _four(judged, loose=False)


def _loose(judged: Judged) -> tuple[float, ...]:
    return _four(judged, loose=True)


def _score(sums: Sequence[float]) -> float | None:
    problems, _, general, mastered, _ = sums
    return (mastered + 0.5 * general) / problems if problems else None


def _rate(place: int) -> Callable[[Sequence[float]], float | None]:
    return lambda sums: share((sums[0], sums[place]))


def _rote(sums: Sequence[float]) -> float | None:
    """Rote memorisation, of the problems that are right as a whole."""
    return share((sums[3] + sums[4], sums[4]))


def _category(name: str, concepts: Sequence[str]) -> Score:
    """The mean over the category's concepts of the accuracy on the steps that are of each.

    As in the authors' `evaluation/accuracy.py`, a concept without a step does not count.
    """

    def counts(judged: Judged) -> tuple[float, ...]:
        found = dict.fromkeys(concepts, (0, 0))
        for item, verdict in judged:
            concept = item.meta["knowledge"]
            if concept in found and item.meta["part"] != "multi" and is_scored(verdict):
                n, right = found[concept]
                found[concept] = (n + 1, right + is_right(verdict))
        return tuple(number for pair in found.values() for number in pair)

    def value(sums: Sequence[float]) -> float | None:
        rates = [right / n for n, right in zip(sums[::2], sums[1::2], strict=True) if n]
        return sum(rates) / len(rates) if rates else None

    return Score(name=name, counts=counts, value=value)


SCORES = (
    Score(name="score (strict)", counts=_strict, value=_score),
    Score(name="score (loose)", counts=_loose, value=_score),
    Score(name="insufficient knowledge", counts=_strict, value=_rate(1)),
    Score(name="inadequate generalization", counts=_strict, value=_rate(2)),
    Score(name="complete mastery (strict)", counts=_strict, value=_rate(3)),
    Score(name="complete mastery (loose)", counts=_loose, value=_rate(3)),
    Score(name="rote memorization (strict)", counts=_strict, value=_rote),
    Score(name="rote memorization (loose)", counts=_loose, value=_rote),
    accuracy_of("one step", lambda e: e.meta["part"] != "multi"),
    accuracy_of("two steps", lambda e: e.meta["key"] == "2steps_multi"),
    accuracy_of("three steps", lambda e: e.meta["key"] == "3steps_multi"),
    *(_category(name, concepts) for name, concepts in CATEGORIES.items()),
)
