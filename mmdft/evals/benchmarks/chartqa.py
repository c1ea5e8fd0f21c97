"""ChartQA's test set: 1250 questions by people and 1250 by a machine.

https://github.com/vis-nlp/ChartQA (`test/test_human.json`, `test/test_augmented.json`,
`test/png/`), lmms-lab/ChartQA and HuggingFaceM4/ChartQA on the hub, VLMEvalKit's ChartQA_TEST.tsv.
"""

from __future__ import annotations

from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, first_of, optional_text, text
from mmdft.evals.benchmarks.scores import accuracy_of, mean_of
from mmdft.records import Example

HALVES = ("human", "augmented")
PUBLISHED = Published(
    splits={
        "test": ("test/test_*.json", "test_*.json", "test.jsonl"),
        "val": ("val/val_*.json", "val_*.json", "val.jsonl"),
    },
    default=("test",),
)
PROMPT = "\nAnswer with a single number, word or short phrase and nothing else."


def example(row: Row) -> Example:
    """The question, and that the answer is to be short."""
    half = _half(row)
    answers = row.values.get("label")
    if isinstance(answers, list) and len(answers) != 1:
        raise row.error(f"'label' has {len(answers)} answers; one is expected")
    return Example(
        id=optional_text(row, "id", "index") or f"{half}-{row.number}",
        turns=asked(
            row, text(row, "question", "query") + PROMPT, "image", "imgname", below=("png", "")
        ),
        answer=first_of(row, "label") or text(row, "answer"),
        category=half,
        meta={"half": half},
    )


def _half(row: Row) -> str:
    """Which half a row is of, by its column, else by its file's name."""
    marks = {
        "human": "human", "human_test": "human", "test_human": "human", "0": "human",
        "augmented": "augmented", "augmented_test": "augmented", "test_augmented": "augmented",
        "machine": "augmented", "1": "augmented",
    }  # fmt: skip
    named = optional_text(row, "type", "human_or_machine", "split")
    name = named or row.file.name.removesuffix(".gz").removesuffix(".json").partition("_")[2]
    if name not in marks:
        raise row.error(
            "is of neither half: none of 'type', 'human_or_machine' and 'split' says human or "
            f"augmented (found {name!r})"
        )
    return marks[name]


_PARTS = [lambda e, h=half: e.meta.get("half") == h for half in HALVES]
SCORES = (
    mean_of("mean of halves", _PARTS),
    *(accuracy_of(half, part) for half, part in zip(HALVES, _PARTS, strict=True)),
)
