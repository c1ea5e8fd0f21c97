r"""DynaMath: 501 seed questions, and up to ten variants of each.

The authors' repository has the seeds as `dataset.json`, and a `dataset.json` for each variant in
the folders `trial1` to `trial10`; the hub's DynaMath/DynaMath_Sample has a split for each variant.
They ask for a JSON object with "solution" and "short answer". The wording here is ours, so compare
figures with theirs with care.
"""

from __future__ import annotations

import re

from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, identity, optional_text, text
from mmdft.evals.benchmarks.scores import Judged, Score, accuracy_of, is_right, is_scored, share
from mmdft.evals.question import options_in_question
from mmdft.records import Example

NUM_VARIANTS = 10
_VARIANTS = tuple(f"sample_variant{number}" for number in range(1, NUM_VARIANTS + 1))
PUBLISHED = Published(
    splits={
        "seeds": ("dataset.json",),
        **{
            name: (
                f"sample{number}-*.parquet",
                f"data/sample{number}-*.parquet",
                f"trial{number}/dataset.json",
            )
            for number, name in enumerate(_VARIANTS, start=1)
        },
    },
    default=_VARIANTS,
)
PROMPT = (
    "\n\nAnswer with one JSON object and nothing else: "
    '{"solution": "<your reasoning, step by step>", "short answer": "<the final answer>"}. '
)
ANSWER_FORMS = {
    "float": "The short answer is a number, with three decimals where it is not whole.",
    "multiple choice": "The short answer is the letter of one option.",
    "text": "The short answer is in the form that the question asks for.",
}


def example(row: Row) -> Example:
    """The question, and the form of the answer. The seed is the cluster of its variants."""
    kind = text(row, "answer_type")
    question = text(row, "question")
    form = ANSWER_FORMS.get(kind, ANSWER_FORMS["float"])
    subject = " ".join(text(row, "subject").split())
    seed = identity(row, "qid", "id", "index")
    variant = _variant(row)
    return Example(
        id=seed if variant is None else f"{seed}-{variant}",
        turns=asked(row, question + PROMPT + form, "decoded_image", "image"),
        answer=optional_text(row, "answer", "ground_truth"),
        choices=options_in_question(question) if kind == "multiple choice" else (),
        category=subject,
        meta={
            "subject": subject,
            "level": text(row, "level", "knowledge_level"),
            "answer_type": kind,
            "seed": seed,
            "variant": variant,
        },
    )


def _variant(row: Row) -> str | None:
    """The variant that a row is of, by its column, else by the name of its split or file."""
    if (own := optional_text(row, "varid", "variant")) is not None:
        return own
    for name in (row.split, row.file.stem, row.file.parent.name):
        if match := re.fullmatch(r"(?:sample_variant|sample|trial)(\d+)(?:-.*)?", name):
            return match[1]
    return None


def _all_right(judged: Judged) -> tuple[float, ...]:
    scored = [verdict for _, verdict in judged if is_scored(verdict)]
    if len(scored) < len(judged) or len(judged) < 2:
        return (0, 0)
    return (1, all(is_right(verdict) for verdict in scored))


SCORES = (
    accuracy_of("average", lambda _: True),
    # Over the seeds of which two or more variants were judged: a single one has no worst case.
    Score(name="worst case", counts=_all_right, value=share),
)
