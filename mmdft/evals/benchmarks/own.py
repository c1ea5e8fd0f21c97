"""Questions of your own, and mmdft's drawn figures: a JSONL file of native rows."""

from __future__ import annotations

from mmdft.data.sources import with_choices
from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, is_blank, optional_text, text, texts
from mmdft.evals.choices import index_of, index_of_wording
from mmdft.records import Example, Turn

PUBLISHED = Published(splits={"test": ("*.jsonl",)}, default=("test",), one_file=True)
PROMPT = "(A) first option\n(B) second option"


def example(row: Row) -> Example:
    """The question with its options, and nothing else. A row without an id has its number."""
    choices = texts(row, "choices")
    answer = optional_text(row, "answer")
    if answer is not None and choices and not _names_one(answer, choices):
        raise row.error(
            f"answer {answer!r} is neither the text nor the letter of one of the choices "
            f"{list(choices)}; correct the row"
        )
    meta = row.values.get("meta") or {}
    if not isinstance(meta, dict):
        raise row.error(f"'meta' must be an object, not {type(meta).__name__}")
    prompt = with_choices(text(row, "question"), choices)
    shown = [key for key in ("images", "image") if not is_blank(row.values.get(key))]
    return Example(
        id=optional_text(row, "id") or str(row.number),
        turns=asked(row, prompt, *shown) if shown else (Turn(role="user", parts=(prompt,)),),
        answer=answer,
        choices=choices,
        category=optional_text(row, "category") or "",
        meta=meta,
    )


def _names_one(answer: str, choices: tuple[str, ...]) -> bool:
    return index_of_wording(answer, choices) is not None or index_of(answer, choices) is not None
