"""LogicVista: 448 multiple-choice questions of five kinds of reasoning.

https://github.com/Yijia-Xiao/LogicVista at e5795f1 (`data/dataset.json`, `data/images/`),
lscpku/LogicVista on the hub. A question may have several right letters; one has the gold "3", and
one has neither question nor gold. The wording of the prompt is ours.
"""

from __future__ import annotations

from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, first_of, identity, is_blank, optional_text
from mmdft.evals.question import options_in_question
from mmdft.records import Example

PUBLISHED = Published(
    splits={"test": ("dataset.json", "data/dataset.json", "test.jsonl")}, default=("test",)
)
_BELOW = ("images", "data/images", "")
PROMPT = "\nGive the letter of the right choice, or of all that are right, such as B or A, C."


def example(row: Row) -> Example:
    """The question as it stands: the choices are in it, or in the figure."""
    question = optional_text(row, "question") or ""
    if "answer" not in row.values:
        raise row.error("'answer' must be a text but is missing; take the data as published")
    gold = row.values["answer"]
    skill = first_of(row, "skill") or ""
    capabilities = row.values.get("broad_capability")
    capability = ", ".join(capabilities) if isinstance(capabilities, list) else ""
    return Example(
        id=identity(row, "question_id", "id", "index"),
        turns=asked(row, question + PROMPT, "image", "imagename", below=_BELOW),
        answer="" if is_blank(gold) else str(gold),
        choices=options_in_question(question),
        category=skill,
        meta={"skill": skill, "capability": capability},
    )
