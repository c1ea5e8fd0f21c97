"""The questions of the training data: each row once, with the turns before its last reply.

What a training does with its rows (lengths, repeats, packing, what is held out or leaks) is left to
the training on the file that is written. Here a row must be usable and have a gold answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mmdft.config import DataConfig, SampleConfig, SourceConfig
from mmdft.data.images import open_image
from mmdft.data.mixtures import duplicates, image_digests, picked_rows
from mmdft.data.parallel import mapped_chunks
from mmdft.data.progress import told
from mmdft.data.quarantine import BadRow, bad_row, refuse_too_many
from mmdft.data.sources import Origin, format_of, parse_row, row_id, to_example
from mmdft.errors import ConfigError, DataError
from mmdft.records import Example, Turn

_NO_GOLD = "no gold answer: there is nothing to score an answer against; give the row an 'answer'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A row of the training data, to be answered anew."""

    example: Example
    """ends with the user's turn; no other question has its id"""
    row_id: str
    """the row's own id, which others may have too"""
    source: str
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is asked, and which rows are not."""

    asked: list[Question]
    bad: list[BadRow]
    """rows that cannot be used"""
    no_gold: list[BadRow]
    """rows whose answers could not be scored"""
    duplicates: list[BadRow]
    """rows that ask what an earlier one does, with `data.deduplicate`"""

    @property
    def set_aside(self) -> list[BadRow]:
        """All rows that are not asked."""
        return [*self.bad, *self.no_gold, *self.duplicates]


def read_questions(config: DataConfig, settings: SampleConfig) -> Questions:
    """Read the questions of `data.train`; every image is decoded once, so that none fails later.

    Args:
        config: the data's settings; bad rows are set aside by `on_bad_row`, `max_bad_fraction`.
        settings: `system` goes before the questions that have no system prompt of their own.

    Raises:
        ConfigError: a source has pixels of its own.
        DataError: a bad row with `on_bad_row: raise`, too many of them, or nothing left to ask.
    """
    for place, source in enumerate(config.train):
        if source.min_pixels is not None or source.max_pixels is not None:
            raise ConfigError(
                f"data.train.{place}: its own min_pixels or max_pixels; one file of answers has "
                "one pixel budget, so set data.min_pixels and data.max_pixels, or sample from "
                "this source by itself"
            )
    rows = (
        (which, origin, row)
        for which, source in enumerate(config.train)
        for origin, row in picked_rows(source, config.seed, which)
    )
    check = partial(_check, sources=config.train, system=settings.system)
    found: list[Question] = []
    bad: list[BadRow] = []
    no_gold: list[BadRow] = []
    for result in told(mapped_chunks(check, rows), "reading rows"):
        if isinstance(result, Question) and result.example.answer is None:
            no_gold.append(_set_aside(result, _NO_GOLD))
        elif isinstance(result, Question):
            found.append(result)
        elif config.on_bad_row == "raise":
            raise DataError(str(result))
        else:
            bad.append(result)
    same: list[BadRow] = []
    if config.deduplicate:
        found, same = _without_duplicates(found)
    names = ", ".join(str(source.path) for source in config.train)
    total = len(found) + len(bad) + len(no_gold) + len(same)
    refuse_too_many(names, bad, total, config.max_bad_fraction)
    if not found:
        raise DataError(f"{names}: no row to ask; the first: {[*bad, *no_gold][0]}")
    return Questions(asked=_told_apart(found), bad=bad, no_gold=no_gold, duplicates=same)


def _check(
    numbered: tuple[int, Origin, Any], sources: Sequence[SourceConfig], system: str | None
) -> Question | BadRow:
    """Parse one row and decode its images."""
    which, origin, row = numbered
    name = origin.id
    try:
        row = parse_row(row)
        name = row_id(row, origin)
        example = to_example(row, origin, format_of(row, origin, sources[which].format))
        turns = example.prompt
        if not turns or turns[-1].role != "user":
            raise DataError("no user turn before the last reply: there is no question to answer")
        if system is not None and turns[0].role != "system":
            turns = (Turn(role="system", parts=(system,)), *turns)
        for ref in example.images:
            open_image(ref)
    except DataError as error:
        return bad_row(origin, name, error)
    return Question(
        example=replace(example, turns=turns),
        row_id=example.id,
        source=str(origin.file),
        row=origin.row,
    )


def _without_duplicates(found: Sequence[Question]) -> tuple[list[Question], list[BadRow]]:
    examples = [question.example for question in found]
    places = duplicates(examples, image_digests(examples))
    same = [
        _set_aside(found[place], f"duplicate of {found[first].source}:{found[first].row}")
        for place, first in places.items()
    ]
    return [question for place, question in enumerate(found) if place not in places], same


def _told_apart(found: Iterable[Question]) -> list[Question]:
    """The questions with ids that differ: the second to have an id gets `#2` behind it."""
    found = list(found)
    taken = {question.row_id for question in found}
    seen: set[str] = set()
    questions = []
    for question in found:
        name, number = question.row_id, 1
        while name in seen or (number > 1 and name in taken):
            number += 1
            name = f"{question.row_id}#{number}"
        seen.add(name)
        questions.append(replace(question, example=replace(question.example, id=name)))
    return questions


def _set_aside(question: Question, reason: str) -> BadRow:
    return BadRow(source=question.source, row=question.row, id=question.row_id, reason=reason)
