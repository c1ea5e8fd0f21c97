"""Sources to examples that can be trained on, and what was left out with the reason.

Everything that could stop a run is found here, before the first step: rows are parsed, images
decoded, lengths computed. Examples then stay small; images are opened again when their turn comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch.utils.data import Dataset

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.images import open_image
from mmdft.data.mixtures import (
    duplicates,
    held_out,
    image_digests,
    picked_rows,
    repeated,
    repeated_ids,
)
from mmdft.data.render import KEPT_TOKENS, kept_tokens, render, render_tokens
from mmdft.data.segments import SEGMENTS
from mmdft.data.sources import Origin, parse_row, row_id, to_example
from mmdft.data.vision import PixelBudget
from mmdft.errors import DataError
from mmdft.files import write_jsonl
from mmdft.records import Example, Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that is not trained on, and why."""

    source: str
    row: int
    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What can be trained on, and what was set aside."""

    examples: list[Example]
    lengths: list[int]
    """tokens of each example, image tokens included"""
    segments: dict[str, int]
    """trained tokens by the part of the reply they belong to"""
    bad: list[BadRow]
    """rows that cannot be used, then those left out as duplicates or otherwise"""
    held_out: list[Example]
    """what `validation_fraction` split off"""
    notes: list[str]
    """what else a user should know, a line each"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row that can be used."""

    which: int
    """the place of its source"""
    origin: Origin
    example: Example
    length: int
    segments: Counter[str]


def load_examples(
    sources: Sequence[SourceConfig],
    config: DataConfig,
    processor: Any,
    budget: PixelBudget,
    leave_out: Callable[[Sequence[Example]], Mapping[int, str]] | None = None,
) -> Loaded:
    """Read all rows of the sources; bad ones are set aside by `config.on_bad_row`.

    What is left of them is deduplicated, split and repeated as the configuration says. Duplicates
    and what `leave_out` names are set aside too, but are not bad rows.

    Args:
        sources: the sources.
        config: the data's settings.
        processor: the model's `AutoProcessor`.
        budget: the pixel budget.
        leave_out: told the examples, says which places are not to be used, and why.

    Raises:
        DataError: a bad row with `on_bad_row: raise`; more than `max_bad_fraction` bad rows; or
            nothing left to train on.
    """
    good: list[_Row] = []
    bad: list[BadRow] = []
    with ThreadPoolExecutor() as pool:
        checks = (
            pool.submit(_check, which, origin, row, source, config, processor, budget)
            for which, source in enumerate(sources)
            for origin, row in picked_rows(source, config.seed, which)
        )
        for result in [future.result() for future in list(checks)]:
            if isinstance(result, _Row):
                good.append(result)
            elif config.on_bad_row == "raise":
                raise DataError(f"{result.source}:{result.row} (id {result.id}): {result.reason}")
            else:
                bad.append(result)
    total = len(good) + len(bad)
    names = ", ".join(str(source.path) for source in sources)
    if not total:
        raise DataError(f"{names}: no rows")
    if len(bad) / total > config.max_bad_fraction:
        first = bad[0]
        raise DataError(
            f"{names}: {len(bad)} of {total} rows are bad, more than data.max_bad_fraction="
            f"{config.max_bad_fraction}; the first: {first.source}:{first.row} "
            f"(id {first.id}): {first.reason}"
        )
    if not good:
        first = bad[0]
        raise DataError(
            f"{names}: all {total} rows are bad; the first: {first.source}:{first.row} "
            f"(id {first.id}): {first.reason}"
        )
    notes = []
    cut = sum(KEPT_TOKENS in row.example.meta for row in good)
    if cut:
        notes.append(
            f"cut at the end of their last reply to data.max_length={config.max_length:,} tokens: "
            f"{cut:,} of {len(good):,} examples"
        )
    if config.deduplicate:
        good, same = _without_duplicates(good)
        bad += same
        if same:
            notes.append(f"exact duplicates of earlier rows, set aside: {len(same):,}")
    shared = repeated_ids(row.example.id for row in good if row.example.id != row.origin.id)
    if shared is not None:
        notes.append(shared)
    if leave_out is not None:
        reasons = leave_out([row.example for row in good])
        bad += [_set_aside(good[place], why) for place, why in sorted(reasons.items())]
        good = [row for place, row in enumerate(good) if place not in reasons]
        if not good:
            raise DataError(f"{names}: no row is left; the last was left out as {bad[-1].reason}")
    held: list[_Row] = []
    if config.validation_fraction:
        good, held = _split(good, names, config)
        notes.append(
            f"held out for validation: {len(held):,} of {len(good) + len(held):,} examples"
        )
    epoch: list[_Row] = []
    for which, source in enumerate(sources):
        own = [row for row in good if row.which == which]
        places = repeated(len(own), source, config.seed, which)
        epoch += [own[place] for place in places]
        if source.repeat != 1:
            notes.append(
                f"{source.path}: {len(own):,} examples at repeat {source.repeat:g}, "
                f"{len(places):,} an epoch"
            )
    trained: Counter[str] = Counter()
    for row in epoch:
        trained.update(row.segments)
    return Loaded(
        examples=[row.example for row in epoch],
        lengths=[row.length for row in epoch],
        segments={name: trained[name] for name in SEGMENTS},
        bad=bad,
        held_out=[row.example for row in held],
        notes=notes,
    )


def _without_duplicates(rows: Sequence[_Row]) -> tuple[list[_Row], list[BadRow]]:
    examples = [row.example for row in rows]
    found = duplicates(examples, image_digests(examples))
    same = []
    for place, first in found.items():
        origin = rows[first].origin
        same.append(_set_aside(rows[place], f"duplicate of {origin.file}:{origin.row}"))
    return [row for place, row in enumerate(rows) if place not in found], same


def _split(rows: Sequence[_Row], names: str, config: DataConfig) -> tuple[list[_Row], list[_Row]]:
    """The rows to train on, and those held out."""
    examples = [row.example for row in rows]
    out = held_out(examples, image_digests(examples), config.validation_fraction, config.seed)
    sides = (
        [row for row, is_out in zip(rows, out, strict=True) if not is_out],
        [row for row, is_out in zip(rows, out, strict=True) if is_out],
    )
    if not all(sides):
        empty = "train on" if sides[1] else "validate on"
        raise DataError(
            f"{names}: data.validation_fraction={config.validation_fraction:g} of {len(rows)} "
            f"examples leaves none to {empty}; change it, or data.seed, or give more data"
        )
    return sides


def _set_aside(row: _Row, reason: str) -> BadRow:
    return BadRow(source=str(row.origin.file), row=row.origin.row, id=row.example.id, reason=reason)


def bad_row(origin: Origin, name: str, error: DataError) -> BadRow:
    """The record of a row that is set aside for this reason."""
    return BadRow(source=str(origin.file), row=origin.row, id=name, reason=str(error))


def too_long(length: int, most: int) -> DataError:
    """What is wrong with an example of that many tokens."""
    return DataError(
        f"{length} tokens, more than data.max_length={most}; raise it or lower data.max_pixels"
    )


def write_quarantine(path: Path, rows: Sequence[BadRow]) -> None:
    """Write the rows that were left out, one JSON object a line."""
    write_jsonl(path, (asdict(row) for row in rows))


class RenderedRows(Protocol):
    """What packs and the reference are made of: rendered examples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Rendered: ...


class RenderedDataset(Dataset[Rendered]):
    """Examples, rendered when they are asked for (in the data loader's workers)."""

    def __init__(self, examples: Sequence[Example], processor: Any, budget: PixelBudget) -> None:
        self.examples = examples
        self.processor = processor
        self.budget = budget

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Rendered:
        example = self.examples[index]
        try:
            return render(example, self.processor, self.budget)
        except DataError as error:
            raise DataError(f"example {example.id}: {error}") from error

    def __iter__(self) -> Iterator[Rendered]:
        return (self[index] for index in range(len(self)))


def _check(
    which: int,
    origin: Origin,
    row: Any,
    source: SourceConfig,
    config: DataConfig,
    processor: Any,
    budget: PixelBudget,
) -> _Row | BadRow:
    """Parse one row, decode its images, measure it and the parts of its replies."""
    name = origin.id
    try:
        row = parse_row(row)
        name = row_id(row, origin)
        example = to_example(row, origin, source.format)
        sizes = [open_image(ref).size for ref in example.images]
        tokens = render_tokens(example, sizes, processor, budget)
        mask, codes, length = tokens.mask, tokens.segments, len(tokens.ids)
        if length > config.max_length:
            excess = length - config.max_length
            kept = kept_tokens(mask, excess) if config.truncate == "answer" else None
            if kept is None:
                raise too_long(length, config.max_length)
            mask, codes, length = mask[:kept], codes[:kept], config.max_length
            example = replace(example, meta={**example.meta, KEPT_TOKENS: length})
    except DataError as error:
        return bad_row(origin, name, error)
    parts = zip(mask, codes, strict=True)
    return _Row(
        which=which,
        origin=origin,
        example=example,
        length=length,
        segments=Counter(SEGMENTS[code] for trained, code in parts if trained),
    )
