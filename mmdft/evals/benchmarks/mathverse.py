"""MathVerse testmini: 788 problems in five versions that move information from text to figure.

https://github.com/ZrrSkywalker/MathVerse at 937b090, AI4Math/MathVerse on the hub. The rows hold
the prompt: `query_wo`, which is asked here, and `query_cot`.
"""

from __future__ import annotations

import re

from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, identity, optional_text, text
from mmdft.evals.benchmarks.scores import accuracy_of, mean_of
from mmdft.evals.question import options_in_question
from mmdft.records import Example

VERSIONS = (
    "Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only",
)  # fmt: skip
KINDS = ("multi-choice", "free-form")
PUBLISHED = Published(
    splits={"testmini": ("testmini.json", "testmini.jsonl"), "test": ("test.json", "test.jsonl")},
    default=("testmini",),
    subsets={"AI4Math/MathVerse": "testmini", "CaraJ/MathVerse-lmmseval": "testmini_version_split"},
)


def example(row: Row) -> Example:
    """The row's own prompt; the options are read out of the question's text."""
    version = " ".join(text(row, "problem_version").replace("_", " ").split())
    if version not in VERSIONS:
        raise row.error(f"'problem_version' is {version!r}; there are: {', '.join(VERSIONS)}")
    kind = text(row, "question_type")
    if kind not in KINDS:
        raise row.error(f"'question_type' is {kind!r}; there are: {', '.join(KINDS)}")
    prompt = text(row, "query_wo", "question")
    # Vision Only has no question of its own: it stands in the figure.
    written = optional_text(row, "question_for_eval", "question") or ""
    answer = optional_text(row, "answer")
    choices = _choices(written, answer) if kind == "multi-choice" else ()
    # VLMEvalKit's table has these as columns of their own.
    metadata = row.values.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else row.values
    known = {
        key: str(metadata[key]) for key in ("subject", "subfield", "source") if key in metadata
    }
    return Example(
        id=identity(row, "sample_index", "index"),
        turns=asked(row, prompt, "image"),
        answer=answer,
        choices=choices,
        category=known.get("subject", ""),
        meta={
            "problem": text(row, "problem_index", "sample_index"),
            "version": version,
            "question_type": kind,
            # The words that a judge needs, who does not see the figure.
            **({"question_for_eval": written} if written and version == "Vision Only" else {}),
            **known,
        },
    )


def _choices(question: str, answer: str | None) -> tuple[str, ...]:
    """The options; where the text has none, the letters up to D, or to the gold if it is later."""
    if listed := options_in_question(question):
        return listed
    last = answer.strip() if answer and re.fullmatch(r"\s*[A-H]\s*", answer) else "D"
    return tuple(letter for letter in "ABCDEFGH" if letter <= max(last, "D"))


_PARTS = [lambda e, v=version: e.meta.get("version") == v for version in VERSIONS]
SCORES = (
    mean_of("mean over versions", _PARTS),
    *(accuracy_of(version, part) for version, part in zip(VERSIONS, _PARTS, strict=True)),
)
