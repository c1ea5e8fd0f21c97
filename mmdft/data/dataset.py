"""Sources to examples that can be trained on, and what was left out with the reason.

Everything that could stop a run is found here, before the first step: rows are parsed, images
decoded, lengths computed. Examples then stay small; images are opened again when their turn comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from torch.utils.data import Dataset

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.images import PixelBudget, open_image
from mmdft.data.render import num_tokens, render, render_text
from mmdft.data.segments import SEGMENTS
from mmdft.data.sources import Origin, parse_row, read_rows, row_id, to_example
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


def load_examples(
    sources: Sequence[SourceConfig], config: DataConfig, processor: Any, budget: PixelBudget
) -> Loaded:
    """Read all rows of the sources; bad ones are set aside by `config.on_bad_row`.

    Raises:
        DataError: a bad row with `on_bad_row: raise`; more than `max_bad_fraction` bad rows; or
            nothing left to train on.
    """
    good: list[tuple[Example, int]] = []
    trained: Counter[str] = Counter()
    bad: list[BadRow] = []
    with ThreadPoolExecutor() as pool:
        checks = (
            pool.submit(_check, origin, row, source, config, processor, budget)
            for source in sources
            for origin, row in read_rows(source)
        )
        for result in [future.result() for future in list(checks)]:
            if not isinstance(result, BadRow):
                example, length, segments = result
                good.append((example, length))
                trained.update(segments)
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
        raise DataError(f"{names}: all {total} rows are bad; the first: {bad[0].reason}")
    return Loaded(
        examples=[example for example, _ in good],
        lengths=[length for _, length in good],
        segments={name: trained[name] for name in SEGMENTS},
        bad=bad,
    )


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
    origin: Origin,
    row: Any,
    source: SourceConfig,
    config: DataConfig,
    processor: Any,
    budget: PixelBudget,
) -> tuple[Example, int, Counter[str]] | BadRow:
    """Parse one row, decode its images, measure it and the parts of its replies."""
    name = origin.id
    try:
        row = parse_row(row)
        name = row_id(row, origin)
        example = to_example(row, origin, source.format)
        ids, mask, codes = render_text(
            example.turns, processor, generate=False, answer=example.answer
        )
        sizes = [open_image(ref).size for ref in example.images]
        length = num_tokens(ids, sizes, budget)
        if length > config.max_length:
            raise too_long(length, config.max_length)
    except DataError as error:
        return bad_row(origin, name, error)
    parts = zip(mask, codes, strict=True)
    return example, length, Counter(SEGMENTS[code] for trained, code in parts if trained)
