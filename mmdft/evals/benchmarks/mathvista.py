"""MathVista in its published forms: one JSON object pid -> row, a row a line, or a table.

https://github.com/lupantech/MathVista at 53d5258, and AI4Math/MathVista on the hub, whose rows
hold the prompt as `query`. The repository's `data/testmini.json` does not; the prompt is then made
as its `query.json` was: the hint on the answer's form, the question, the choices. VLMEvalKit's
table has that prompt as `question`, and the choices as a printed list.
"""

from __future__ import annotations

from typing import Any

from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, identity, is_blank, optional_text, text, texts
from mmdft.evals.choices import letter
from mmdft.records import Example

PUBLISHED = Published(
    splits={
        "testmini": ("testmini.json", "testmini.jsonl", "data/testmini.json"),
        "test": ("test.json", "test.jsonl", "data/test.json"),
    },
    default=("testmini",),
)
BREAKDOWNS = (
    "question_type", "answer_type", "language", "source", "category", "task", "context", "grade",
)  # fmt: skip
ANSWER_TYPES = ("text", "integer", "float", "list")
_CHOICE_HINT = "and provide the correct option letter, e.g., A, B, C, D, at the end."
_HINTS = {
    "integer": "requiring an integer answer and provide the final value, "
    "e.g., 1, 2, 3, at the end.",
    "list": "requiring a Python list as an answer and provide the final list, "
    "e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end.",
}
_FLOAT_HINT = (
    "requiring a floating-point number with {places} and provide the final value, "
    "e.g., {examples}, at the end."
)
_DECIMALS = {
    1: ("one decimal place", "1.2, 1.3, 1.4"),
    2: ("two decimal places", "1.23, 1.34, 1.45"),
}
PROMPT = f"Hint: Please answer the question {_CHOICE_HINT}\nQuestion: "


def example(row: Row) -> Example:
    """The row's own query, or one made as the authors make it."""
    choices = texts(row, "choices")
    kind = text(row, "answer_type")
    if kind not in ANSWER_TYPES:
        raise row.error(f"'answer_type' is {kind!r}; there are: {', '.join(ANSWER_TYPES)}")
    precision = _precision(row) if kind == "float" else None
    answer = optional_text(row, "answer")
    if answer is not None and choices and answer not in choices:
        raise row.error(
            f"answer {answer!r} is none of the choices {list(choices)}; "
            "take the file as it was published"
        )
    metadata = _metadata(row)
    return Example(
        id=identity(row, "pid", "index"),
        turns=asked(row, _prompt(row, choices, kind, precision), "decoded_image", "image"),
        answer=answer,
        choices=choices,
        category=str(metadata.get("category") or ""),
        meta={
            "question_type": "multi_choice" if choices else "free_form",
            "answer_type": kind,
            "precision": precision,
            "unit": optional_text(row, "unit"),
            **{key: metadata[key] for key in (*BREAKDOWNS[2:], "skills") if key in metadata},
        },
    )


def _metadata(row: Row) -> dict[str, Any]:
    """The fields about an item: an object in the authors' forms, columns in VLMEvalKit's table."""
    if "index" in row.values and "metadata" not in row.values:
        flat = {key: row.values[key] for key in BREAKDOWNS[2:] if not is_blank(row.values.get(key))}
        return flat | ({"skills": list(texts(row, "skills"))} if "skills" in row.values else {})
    metadata = row.values.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise row.error("'metadata' must be an object")
    return metadata


def _precision(row: Row) -> int:
    value = optional_text(row, "precision")
    number = float(value) if value and value.replace(".", "", 1).isdecimal() else None
    if number not in _DECIMALS:
        raise row.error(f"'precision' of a float must be 1 or 2 but is {row.values['precision']!r}")
    return int(number)


def _prompt(row: Row, choices: tuple[str, ...], kind: str, precision: int | None) -> str:
    if (query := optional_text(row, "query")) is not None:
        return query
    question = text(row, "question")
    if question.startswith("Hint: "):
        return question
    if choices:
        hint = f"Please answer the question {_CHOICE_HINT}"
    elif precision is not None:
        places, numbers = _DECIMALS[precision]
        hint = f"Please answer the question {_FLOAT_HINT.format(places=places, examples=numbers)}"
    elif kind in _HINTS:
        hint = f"Please answer the question {_HINTS[kind]}"
    else:
        raise row.error(f"a question without choices cannot have the answer type {kind!r}")
    unit = optional_text(row, "unit")
    lines = [f"Hint: {hint}", f"Question: {question}{f' (Unit: {unit})' if unit else ''}"]
    if choices:
        lines += ["Choices:", *(f"({letter(i)}) {choice}" for i, choice in enumerate(choices))]
    return "\n".join(lines)
