"""Geometry3K's test set, 601 problems of geometry with four choices.

https://github.com/lupantech/InterGPS at 99e6b52 (a folder for each problem, with `data.json` and
`img_diagram.png`), Yang130/geometry3k_4choices_mixed and the open-ended hiyouga/geometry3k on the
hub. The authors ask a solver and not a model; the wording here is ours.
"""

from __future__ import annotations

from mmdft.data.sources import with_choices
from mmdft.evals.arithmetic import evaluate
from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, first_of, optional_text, text, texts
from mmdft.evals.benchmarks.scores import Judged, Score, is_right, is_scored, share
from mmdft.evals.text import bare_text
from mmdft.records import Example

PUBLISHED = Published(
    splits={
        "test": ("test/*/data.json", "test.json", "test.jsonl"),
        "val": ("val/*/data.json", "val.json", "val.jsonl"),
        "validation": ("validation.jsonl",),
        "train": ("train/*/data.json", "train.json", "train.jsonl"),
    },
    default=("test",),
)
PROMPT = "\nGive the answer as the letter of the choice."
OPEN_PROMPT = "\nGive the answer as a number or an expression, without its unit."


def example(row: Row) -> Example:
    """The problem with its choices; without them it is open-ended."""
    choices = texts(row, "choices")
    # The hub's problems begin with a mark of the image's place.
    question = text(row, "compact_text", "problem_text", "problem", "question")
    question = question.removeprefix("<image>").strip()
    goal = first_of(row, "problem_type_goal")
    graph = first_of(row, "problem_type_graph")
    kinds = {"goal": goal, "graph": graph}
    return Example(
        id=optional_text(row, "id", "index") or str(row.number),
        turns=asked(
            row,
            with_choices(question, choices) + (PROMPT if choices else OPEN_PROMPT),
            "images",
            "image",
            otherwise="img_diagram.png",
        ),
        answer=text(row, "ground_truth", "answer"),
        choices=choices,
        category=goal or "",
        meta={
            "precise_values": _values(row, choices),
            **{key: value for key, value in kinds.items() if value},
        },
    )


def _values(row: Row, choices: tuple[str, ...]) -> list[float | None]:
    """The choices as numbers: the row's own, else read out of the choices."""
    given = row.values.get("precise_value")
    if isinstance(given, list):
        if not all(value is None or isinstance(value, int | float) for value in given):
            raise row.error(f"'precise_value' must be a list of numbers but is {given!r}")
        return given
    values = [evaluate(bare_text(choice)) for choice in choices]
    return [None if value is None else float(value) for value in values]


def _with_guesses(judged: Judged) -> tuple[float, ...]:
    scored = [v for _, v in judged if is_scored(v)]
    guesses = 0.25 * sum(v.status == "no_answer" for v in scored)
    return (len(scored), sum(map(is_right, scored)) + guesses)


# The authors' accuracy: a problem that is not solved counts a quarter, as a guess among four.
SCORES = (Score(name="accuracy with guesses", counts=_with_guesses, value=share),)
