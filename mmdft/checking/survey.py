"""Every row of the sources looked at once: parsed, its images decoded, its tokens counted.

What is kept of a row is some hundred bytes of numbers, so that data that memory does not hold can
be surveyed too. Images are decoded whole, which a training does only when their turn comes.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.dataset import LoadedRow, load_row
from mmdft.data.images import open_image
from mmdft.data.mixtures import content_digest, image_digests, picked_rows
from mmdft.data.parallel import mapped_chunks
from mmdft.data.progress import told
from mmdft.data.quarantine import BadRow
from mmdft.data.render import KEPT_TOKENS
from mmdft.data.segments import SEGMENTS
from mmdft.data.sources import Origin, format_of, parse_row
from mmdft.data.stored import unstored
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import ImageBudget, PixelBudget, own_budget
from mmdft.errors import DataError
from mmdft.records import ImageRef

# An image that many rows share is decoded once, if they are not too far apart.
_DECODED_KEPT = 2**16
# As `mmdft.data.dataset.too_long` says it.
_TOO_LONG = re.compile(r"(\d+) tokens, more than data\.max_length=")

Walked = tuple[int, SourceConfig, Origin, Any]
"""The place of a row's source, the source, where the row comes from, and the row as it stands."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of a row that can be used."""

    file: str
    row: int
    format: str
    length: int
    segments: Sequence[int]
    image_tokens: int
    is_cut: bool
    sizes: Sequence[tuple[int, int]]
    pixels: int
    shrunk: int
    enlarged: int
    content: bytes
    key: bytes


def _column() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Survey:
    """The rows of the sources; of the usable ones, a column for each thing that is known.

    Places count the usable rows over all sources, in the order of the files.
    """

    num_rows: Counter[int] = field(default_factory=Counter)
    """rows of each source, by its place"""
    num_usable: Counter[int] = field(default_factory=Counter)
    formats: dict[int, Counter[str]] = field(default_factory=dict)
    """how many rows of each source were read by which format"""
    bad: list[BadRow] = field(default_factory=list)
    too_long: array[int] = field(default_factory=_column)
    """tokens of those of the bad rows that have too many"""
    num_cut: int = 0
    """rows that lose the end of their reply"""
    files: list[str] = field(default_factory=list)
    file: array[int] = field(default_factory=_column)
    """of each usable row the index into `files`, as are its row there and what follows"""
    row: array[int] = field(default_factory=_column)
    length: array[int] = field(default_factory=_column)
    segments: tuple[array[int], ...] = field(
        default_factory=lambda: tuple(_column() for _ in SEGMENTS)
    )
    """its trained tokens, in the order of SEGMENTS"""
    image_tokens: array[int] = field(default_factory=_column)
    pixels: array[int] = field(default_factory=_column)
    """of all its images together, as the model gets them; 0 for a model without a pixel budget"""
    width: array[int] = field(default_factory=_column)
    """of each image, as is its height"""
    height: array[int] = field(default_factory=_column)
    num_shrunk: int = 0
    """images that the pixel budget makes smaller, beyond rounding sides to whole visual tokens"""
    num_enlarged: int = 0
    duplicates: dict[int, int] = field(default_factory=dict)
    """places of rows that are exactly like an earlier one, with that one's"""
    place_of: dict[bytes, int] = field(default_factory=dict)
    """by `key_of`, if the rows are not streamed"""
    epoch: array[int] | None = None
    """of streamed data, the place of each row of an epoch that can be used"""

    def where(self, place: int) -> str:
        """File and row of a usable row."""
        return f"{self.files[self.file[place]]}:{self.row[place]}"


def survey_sources(
    sources: Sequence[SourceConfig], config: DataConfig, processor: Any, budget: ImageBudget
) -> Survey:
    """Look at all rows that `load_examples` reads.

    Raises:
        DataError: a source cannot be read at all.
    """
    rows = (
        (which, source, origin, row)
        for which, source in enumerate(sources)
        for origin, row in picked_rows(source, config.seed, which)
    )
    survey = Survey()
    for _ in _survey(survey, rows, config, processor, budget):
        pass
    return survey


def survey_streamed(data: StreamedDataset) -> Survey:
    """Look at all rows of an epoch of streamed data, each once."""
    survey = Survey(epoch=_column())
    rows = ((which, *data.row(index)) for which, index, is_new in _epoch_of(data) if is_new)
    found = _survey(survey, rows, data.config, data.processor, data.budget)
    places = array("q", (-1 if place is None else place for place in found))
    assert survey.epoch is not None
    current = -1
    for _, _, is_new in _epoch_of(data):
        current += is_new
        if places[current] >= 0:
            survey.epoch.append(places[current])
    return survey


def key_of(row: LoadedRow) -> bytes:
    """What tells a loaded row from others: where it comes from, and its tokens."""
    return blake2b(f"{row.source}:{row.row}:".encode() + row.tokens, digest_size=16).digest()


def _epoch_of(data: StreamedDataset) -> Iterator[tuple[int, int, bool]]:
    """(source, number, whether it is another row than the one before) of each row of an epoch."""
    index = 0
    for which, places in enumerate(data.places):
        previous = None
        for place in places:
            # Rows that are repeated stand behind one another.
            yield which, index, place != previous
            previous = place
            index += 1


def _survey(
    survey: Survey,
    rows: Iterable[Walked],
    config: DataConfig,
    processor: Any,
    budget: ImageBudget,
) -> Iterator[int | None]:
    """Look at the rows, enter each, and give its place, or None for a row that cannot be used."""
    files: dict[str, int] = {}
    first: dict[bytes, int] = {}
    look = partial(_look, config=config, processor=processor, budget=budget)
    for which, seen in told(mapped_chunks(look, rows), "checking rows"):
        survey.num_rows[which] += 1
        if isinstance(seen, BadRow):
            survey.bad.append(seen)
            if over := _TOO_LONG.match(seen.reason):
                survey.too_long.append(int(over[1]))
            yield None
            continue
        place = len(survey.length)
        survey.num_usable[which] += 1
        survey.formats.setdefault(which, Counter())[seen.format] += 1
        survey.file.append(files.setdefault(seen.file, len(files)))
        if len(files) > len(survey.files):
            survey.files.append(seen.file)
        survey.row.append(seen.row)
        survey.length.append(seen.length)
        for column, count in zip(survey.segments, seen.segments, strict=True):
            column.append(count)
        survey.image_tokens.append(seen.image_tokens)
        survey.pixels.append(seen.pixels)
        survey.num_cut += seen.is_cut
        survey.width.extend(width for width, _ in seen.sizes)
        survey.height.extend(height for _, height in seen.sizes)
        survey.num_shrunk += seen.shrunk
        survey.num_enlarged += seen.enlarged
        if first.setdefault(seen.content, place) != place:
            survey.duplicates[place] = first[seen.content]
        if survey.epoch is None:
            survey.place_of[seen.key] = place
        yield place


def _look(
    walked: Walked, config: DataConfig, processor: Any, budget: ImageBudget
) -> tuple[int, _Seen | BadRow]:
    which, source, origin, content = walked
    row = load_row(content, origin, source, config, processor, budget)
    if isinstance(row, BadRow):
        return which, row
    example = row.example
    try:
        for ref in example.images:
            # An image in the row itself would be kept with its bytes.
            _decode(ref) if ref.path is None else _decode_file(ref)
    except DataError as error:
        return which, BadRow(source=row.source, row=row.row, id=example.id, reason=str(error))
    tokens = unstored(row.tokens, example.id)
    codes = zip(tokens.mask, tokens.segments, strict=True)
    trained = Counter(code for is_trained, code in codes if is_trained)
    own = own_budget(example, budget)
    areas = [width * height for width, height in row.sizes]
    # What families without a pixel budget make of an image is not known before they make it.
    fitted, shrunk, enlarged = [0], 0, 0
    if isinstance(own, PixelBudget):
        fitted = [math.prod(own.fitted_size(*size)) for size in row.sizes]
        shrunk = sum(area > own.max_pixels for area in areas)
        enlarged = sum(area < own.min_pixels for area in areas)
    return which, _Seen(
        file=row.source,
        row=row.row,
        format=format_of(parse_row(content), origin, source.format),
        length=row.length,
        segments=[trained[code] for code in range(len(SEGMENTS))],
        image_tokens=sum(tokens.image_tokens),
        is_cut=KEPT_TOKENS in example.meta,
        sizes=row.sizes,
        pixels=sum(fitted),
        shrunk=shrunk,
        enlarged=enlarged,
        content=content_digest(example, image_digests([example])),
        key=key_of(row),
    )


def _decode(ref: ImageRef) -> None:
    open_image(ref)


@lru_cache(maxsize=_DECODED_KEPT)
def _decode_file(ref: ImageRef) -> None:
    open_image(ref)
