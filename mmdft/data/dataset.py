"""Sources to examples that can be trained on, and what was left out with the reason.

What can be known without decoding an image is found here, before the first step: rows are parsed,
images' headers read, tokens made and counted. Examples then stay small; images are decoded when
their turn comes, in the data loader's workers, where one that is broken makes a bad row.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from torch.utils.data import Dataset

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.features import FeatureFolder, add_features
from mmdft.data.images import image_size
from mmdft.data.mixtures import (
    duplicates,
    held_out,
    image_digests,
    picked_rows,
    repeated,
    repeated_ids,
)
from mmdft.data.parallel import mapped_chunks
from mmdft.data.progress import told
from mmdft.data.quarantine import BadRow, bad_row, refuse_too_many
from mmdft.data.render import KEPT_TOKENS, add_images, kept_tokens, render_tokens
from mmdft.data.segments import SEGMENTS
from mmdft.data.sources import Origin, format_of, parse_row, row_id, to_example
from mmdft.data.stored import stored, unstored
from mmdft.data.vision import ImageBudget, own_budget
from mmdft.errors import DataError
from mmdft.records import Example, Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRow:
    """A row that can be used, as it is held until its turn comes."""

    source: str
    row: int
    example: Example
    sizes: tuple[tuple[int, int], ...]
    """(width, height) of each of its images, upright"""
    length: int
    """its tokens, image tokens included"""
    tokens: bytes
    """of `stored`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What can be trained on, and what was set aside."""

    rows: list[LoadedRow]
    segments: dict[str, int]
    """trained tokens by the part of the reply they belong to"""
    bad: list[BadRow]
    """rows that cannot be used, then those left out as duplicates or otherwise"""
    held_out: list[LoadedRow]
    """what `validation_fraction` split off"""
    notes: list[str]
    """what else a user should know, a line each"""
    num_rows: int
    """rows that were read"""
    num_bad: int
    """those of them that cannot be used"""

    @property
    def examples(self) -> list[Example]:
        """The example of each row."""
        return [row.example for row in self.rows]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row, image tokens included."""
        return [row.length for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row that can be used, and what is known of it beside."""

    which: int
    """the place of its source"""
    kept: LoadedRow
    format: str
    is_named: bool
    """whether the row has an id of its own"""
    segments: Counter[str]

    @property
    def example(self) -> Example:
        return self.kept.example


def load_examples(
    sources: Sequence[SourceConfig],
    config: DataConfig,
    processor: Any,
    budget: ImageBudget,
    leave_out: Callable[[Sequence[Example]], Mapping[int, str]] | None = None,
) -> Loaded:
    """Read all rows of the sources; bad ones are set aside by `config.on_bad_row`.

    What is left of them is deduplicated, split and repeated as the configuration says. Duplicates
    and what `leave_out` names are set aside too, but are not bad rows. Of images only the headers
    are read. Many rows are read by several processes.

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
    names = ", ".join(str(source.path) for source in sources)
    good, bad = _read(sources, config, processor, budget)
    num_bad, total = len(bad), len(good) + len(bad)
    refuse_too_many(names, bad, total, config.max_bad_fraction)
    formats = Counter((str(sources[row.which].path), row.format) for row in good)
    notes = [
        f"{path}: {num:,} row{'s' * (num > 1)} read as {name}"
        for (path, name), num in formats.items()
    ]
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
    shared = repeated_ids(row.example.id for row in good if row.is_named)
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
        rows=[row.kept for row in epoch],
        segments={name: trained[name] for name in SEGMENTS},
        bad=bad,
        held_out=[row.kept for row in held],
        notes=notes,
        num_rows=total,
        num_bad=num_bad,
    )


def load_row(
    row: Any,
    origin: Origin,
    source: SourceConfig,
    config: DataConfig,
    processor: Any,
    budget: ImageBudget,
) -> LoadedRow | BadRow:
    """One row as `load_examples` has it.

    Args:
        row: as it stands in its file.
        origin: where that is.
        source: its source.
        config: the data's settings.
        processor: the model's `AutoProcessor`.
        budget: the pixel budget.
    """
    found = _check((0, origin, row), [source], config, processor, budget)
    return found if isinstance(found, BadRow) else found.kept


def _read(
    sources: Sequence[SourceConfig], config: DataConfig, processor: Any, budget: ImageBudget
) -> tuple[list[_Row], list[BadRow]]:
    """The rows that can be used, and the others."""
    rows = (
        (which, origin, row)
        for which, source in enumerate(sources)
        for origin, row in picked_rows(source, config.seed, which)
    )
    check = partial(_check, sources=sources, config=config, processor=processor, budget=budget)
    good: list[_Row] = []
    bad: list[BadRow] = []
    for result in told(mapped_chunks(check, rows), "reading rows"):
        if isinstance(result, _Row):
            good.append(result)
        elif config.on_bad_row == "raise":
            raise DataError(str(result))
        else:
            bad.append(result)
    return good, bad


def _without_duplicates(rows: Sequence[_Row]) -> tuple[list[_Row], list[BadRow]]:
    examples = [row.example for row in rows]
    found = duplicates(examples, image_digests(examples))
    same = []
    for place, first in found.items():
        kept = rows[first].kept
        same.append(_set_aside(rows[place], f"duplicate of {kept.source}:{kept.row}"))
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
    kept = row.kept
    return BadRow(source=kept.source, row=kept.row, id=kept.example.id, reason=reason)


def too_long(length: int, most: int) -> DataError:
    """What is wrong with an example of that many tokens."""
    return DataError(
        f"{length} tokens, more than data.max_length={most}; raise it or lower data.max_pixels"
    )


class RenderedRows(Protocol):
    """What packs and the reference are made of: rendered examples by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Rendered | BadRow: ...


class RenderedDataset(Dataset[Rendered | BadRow]):
    """Loaded rows, their images decoded when they are asked for (in the data loader's workers).

    One with an image that cannot be decoded, or is not of the size any more that its tokens were
    made for, is a BadRow. A row with the images of the row asked for before it has its tensors.
    """

    features: FeatureFolder | None = None
    """where images' features are looked for; set by a training that keeps them"""

    def __init__(self, rows: Sequence[LoadedRow], processor: Any, budget: ImageBudget) -> None:
        self.rows = rows
        self.processor = processor
        self.budget = budget
        # Rows that share a prefix come one after the other.
        self._before: tuple[Any, Mapping[str, Any]] = None, {}

    @property
    def examples(self) -> list[Example]:
        """The example of each row."""
        return [row.example for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Rendered | BadRow:
        row = self.rows[index]
        tokens = unstored(row.tokens, row.example.id)
        shown = row.example.images, row.sizes, own_budget(row.example, self.budget)
        if shown == self._before[0]:
            return replace(tokens, images=self._before[1])
        given = tokens, row.example, row.sizes, self.processor, self.budget
        try:
            if self.features is None:
                found = add_images(*given)
            else:
                found = add_features(*given, self.features)
        except DataError as error:
            return BadRow(source=row.source, row=row.row, id=row.example.id, reason=str(error))
        self._before = shown, found.images
        return found

    def __iter__(self) -> Iterator[Rendered | BadRow]:
        return (self[index] for index in range(len(self)))


def _check(
    numbered: tuple[int, Origin, Any],
    sources: Sequence[SourceConfig],
    config: DataConfig,
    processor: Any,
    budget: ImageBudget,
) -> _Row | BadRow:
    """Parse one row, read its images' headers, make its tokens and count its replies' parts."""
    which, origin, row = numbered
    name = origin.id
    try:
        row = parse_row(row)
        name = row_id(row, origin)
        format_name = format_of(row, origin, sources[which].format)
        example = to_example(row, origin, format_name)
        sizes = tuple(image_size(ref) for ref in example.images)
        tokens = render_tokens(example, sizes, processor, budget)
        length = len(tokens.ids)
        if length > config.max_length:
            excess = length - config.max_length
            kept = kept_tokens(tokens.mask, excess) if config.truncate == "answer" else None
            if kept is None:
                raise too_long(length, config.max_length)
            length = config.max_length
            example = replace(example, meta={**example.meta, KEPT_TOKENS: length})
            tokens = render_tokens(example, sizes, processor, budget)
    except DataError as error:
        return bad_row(origin, name, error)
    parts = zip(tokens.mask, tokens.segments, strict=True)
    return _Row(
        which=which,
        kept=LoadedRow(
            source=sys.intern(str(origin.file)),
            row=origin.row,
            example=example,
            sizes=sizes,
            length=length,
            tokens=stored(tokens),
        ),
        format=format_name,
        is_named=example.id != origin.id,
        segments=Counter(SEGMENTS[code] for trained, code in parts if trained),
    )
