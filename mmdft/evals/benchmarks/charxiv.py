"""CharXiv's reasoning questions on charts of papers; the golds of the test split are withheld.

https://github.com/princeton-nlp/CharXiv at 7ebe88f (`data/reasoning_val.json`, `images/`),
princeton-nlp/CharXiv on the hub. Questions come with an instruction by the answer's kind; its
wording here is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmdft.errors import DataError
from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, is_blank, optional_text, text
from mmdft.evals.benchmarks.scores import accuracy_of
from mmdft.files import read_json
from mmdft.records import Example

KINDS = ("text in chart", "text in general", "number in chart", "number in general")
PUBLISHED = Published(
    splits={
        "validation": (
            "reasoning_val.json", "data/reasoning_val.json", "val.parquet", "data/val*.parquet",
        ),
        "test": ("reasoning_test.json", "data/reasoning_test.json", "test.parquet"),
    },
    default=("validation",),
)  # fmt: skip
INSTRUCTIONS = {
    "text in chart": "Answer with text that stands in the chart, and with full names unless the "
    "question asks for letters; several terms are separated by commas.",
    "text in general": "If the question gives options or says how to answer, keep to that; else "
    "answer with a short phrase.",
    "number in chart": "Answer with a number that stands in the chart.",
    "number in general": "Answer with a number",
}
PROMPT = "\n" + INSTRUCTIONS["number in chart"]


def example(row: Row) -> Example:
    """The question and the instruction; of computed numbers it says the gold's decimals."""
    kind = _kind(row)
    answer = optional_text(row, "answer", "reasoning_a")
    instruction = INSTRUCTIONS[kind]
    if kind == "number in general":
        instruction += f"{_decimals(answer)}."
    figure = optional_text(row, "figure_id", "index")
    if figure is None:
        figure = (optional_text(row, "figure_path") or str(row.number)).rpartition("/")[2]
        figure = figure.rpartition(".")[0] or figure
    about = {**_about(row.file).get(figure, {}), **row.values}
    known = {
        key: str(about[name])
        for key, name in (("subject", "category"), ("year", "year"), ("subplots", "num_subplots"))
        if not is_blank(about.get(name))
    }
    return Example(
        id=figure,
        turns=asked(
            row,
            f"{text(row, 'query', 'reasoning_q', 'question')}\n{instruction}",
            "image",
            otherwise=f"{figure}.jpg",
        ),
        answer=answer,
        category=known.get("subject", ""),
        meta={
            "answer_type": kind,
            "question_source": optional_text(row, "qa_source", "reasoning_q_source"),
            **known,
        },
    )


@lru_cache(maxsize=4)
def _about(file: Path) -> Mapping[str, dict[str, Any]]:
    """What the authors' repository says of the figures, in a file beside the questions."""
    beside = file.with_name(file.name.replace("reasoning_", "image_metadata_"))
    if beside == file or not beside.is_file():
        return {}
    content = read_json(beside)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise DataError(f"{beside}: must be an object, figure -> what is known of it")
    return content


def _kind(row: Row) -> str:
    named = text(row, "inst_category", "reasoning_a_type")
    by_number = dict(zip(("1", "2", "3", "4"), KINDS, strict=True))
    kind = by_number.get(named.removesuffix(".0"), named.lower().replace("-", " "))
    if kind not in KINDS:
        raise row.error(f"the answer's kind is {named!r}; there are 1 to 4: {', '.join(KINDS)}")
    return kind


def _decimals(answer: str | None) -> str:
    """What the authors say of the number: it is whole, or has as many decimals as the gold."""
    if answer is None:
        return ""
    places = len(answer.partition(".")[2])
    return f" with {places} decimal places" if places else ", which is whole"


SCORES = tuple(
    accuracy_of(kind, lambda e, k=kind: e.meta.get("answer_type") == k)  # type: ignore[misc]
    for kind in KINDS
)
