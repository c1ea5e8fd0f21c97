r"""Where in a response the answer stands that was taken from it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmdft.boxes import boxes
from mmdft.evals.choices import index_of_letter
from mmdft.records import Extraction

_TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_SHORT_ANSWER = re.compile(r'"short[ _]answer"\s*:\s*"?((?:[^"\\]|\\.)*?)"?\s*[,}\n]', re.DOTALL)


def answer_span(
    response: str, extraction: Extraction, choices: Sequence[str] = ()
) -> tuple[int, int] | None:
    r"""Start and end of the place, for the eye: the extraction itself says only what it read.

    It is the last `\boxed{}`, `<answer>` or "short answer" where the stage is that one; else the
    last place where the answer stands as a word, or in brackets for a letter, or where its
    option's text does. None where there is no such place.
    """
    answer = extraction.answer
    if answer is None or not response:
        return None
    staged = _STAGED.get(extraction.stage)
    if staged is not None and (span := _last(staged, response)):
        inner = _word(answer, response[span[0] : span[1]])
        return span if inner is None else (span[0] + inner[0], span[0] + inner[1])
    forms = [answer]
    if (index := index_of_letter(answer, choices)) is not None:
        forms.append(choices[index])
    for form in forms:
        if span := _word(form, response):
            return span
    # A rule that names no stage of ours, such as an official one, still reads boxes first.
    return _boxed(response)


def _last(pattern: re.Pattern[str] | None, response: str) -> tuple[int, int] | None:
    if pattern is None:
        return _boxed(response)
    found = list(pattern.finditer(response))
    return found[-1].span(1) if found and found[-1][1].strip() else None


def _boxed(response: str) -> tuple[int, int] | None:
    found = [(start, end) for _, start, end in boxes(response) if response[start:end].strip()]
    return found[-1] if found else None


def _word(answer: str, text: str) -> tuple[int, int] | None:
    """The last place of `answer` in `text` that is not part of a longer word or number."""
    if not answer.strip():
        return None
    flags = 0 if len(answer) == 1 else re.IGNORECASE
    found = None
    for match in re.finditer(
        rf"(?<!\w)(?<!\d[.,]){re.escape(answer)}(?!\w)(?![.,]\d)", text, flags
    ):
        found = match.span()
    return found


# Stage -> what it reads; None is a box.
_STAGED: dict[str, re.Pattern[str] | None] = {"tag": _TAG, "json": _SHORT_ANSWER, "boxed": None}
