"""GeoQA's test set, 754 problems of geometry.

https://github.com/chen-judge/GeoQA at dcedb17. It is published as pickles, which are not read here
because loading one can run anything; save the test set as JSON or JSONL with the fields `subject`
(or `question`), `choices`, `label` (a choice's place from 0), `image`. The open-ended form of R1-V
(`question`, `ground_truth`, `image_path`) is read as it is. The wording of the prompt is ours.
"""

from __future__ import annotations

from mmdft.data.sources import with_choices
from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, optional_text, text, texts
from mmdft.evals.choices import letter
from mmdft.records import Example

PUBLISHED = Published(
    splits={"test": ("test.json", "test.jsonl", "geoqa_test_prompts.jsonl")},
    default=("test",),
    # The image of a pickled problem is an array of grey values, and the kinds of all problems are
    # in a pickle of their own, sub_dataset_dict.pk.
    pickled=(
        "test.jsonl beside it, one problem a line, with id, subject (the text), choices (a list of "
        "texts), label (the right choice's place from 0), image (the path of a PNG that you save "
        "from its array) and type (its Angle, Length or Other in sub_dataset_dict.pk)"
    ),
)
PROMPT = "\nGive the answer as the letter of the choice."
OPEN_PROMPT = "\nGive the answer as a number."
KINDS = ("Angle", "Length", "Other")


def example(row: Row) -> Example:
    """The problem with its choices; without them it is open-ended."""
    choices = texts(row, "choices")
    kind = optional_text(row, "type", "problem_type") or ""
    if kind.capitalize() not in ("", *KINDS):
        kind = "Other"
    return Example(
        id=optional_text(row, "id", "index") or str(row.number),
        turns=asked(
            row,
            with_choices(text(row, "question", "subject", "problem"), choices)
            + (PROMPT if choices else OPEN_PROMPT),
            "image",
            "images",
            "image_path",
        ),
        answer=_gold(row, choices) if choices else text(row, "ground_truth", "answer"),
        choices=choices,
        category=kind.capitalize(),
        meta={"problem_type": kind.capitalize()},
    )


def _gold(row: Row, choices: tuple[str, ...]) -> str:
    """The letter of the choice that `label` counts from 0, or the answer as it stands."""
    label = optional_text(row, "label")
    if label is None:
        return text(row, "answer", "ground_truth")
    if not label.isdecimal() or int(label) >= len(choices):
        raise row.error(f"'label' is {label!r}; it must be a choice's place from 0")
    return letter(int(label))
