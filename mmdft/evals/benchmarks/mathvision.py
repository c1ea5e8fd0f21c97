r"""MathVision, its official prompt word for word (MATH-V at a1f5cc3).

`<image1>` marks stay in the question as they do there. Options that are drawn in the figure (the
row's options are just A to E) are not listed.
"""

from __future__ import annotations

from mmdft.data.sources import with_choices
from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, identity, optional_text, text, texts
from mmdft.records import Example

PUBLISHED = Published(
    splits={"test": ("test.jsonl",), "testmini": ("testmini.jsonl",)}, default=("test",)
)
PROMPT = (
    "Please solve the problem step by step and put your answer in one "
    '"\\boxed{}". If it is a multiple choice question, only one letter is allowed in the '
    '"\\boxed{}".\n'
)


def example(row: Row) -> Example:
    """The prompt, the question and its options."""
    choices = texts(row, "options", "choices")
    listed = () if list(choices) == list("ABCDE") else choices
    subject = text(row, "subject", "category")
    level = optional_text(row, "level")
    return Example(
        id=identity(row, "id", "index"),
        turns=asked(
            row, PROMPT + with_choices(text(row, "question"), listed), "decoded_image", "image"
        ),
        answer=optional_text(row, "answer"),
        choices=choices,
        category=subject,
        meta={
            "subject": subject,
            "level": int(float(level)) if level and level.replace(".", "").isdecimal() else level,
            "answer_type": "multiple choice" if choices else "free form",
        },
    )
