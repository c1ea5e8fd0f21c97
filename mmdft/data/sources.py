"""Sources to rows, and rows to Examples: what joins `readers` and `formats`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from mmdft.config import SourceConfig
from mmdft.data.fields import OWN_PIXELS, Origin, join_reply, row_id, with_choices
from mmdft.data.formats import FORMATS, detect, format_of
from mmdft.data.readers import Rows, each_row, files_of, open_rows
from mmdft.errors import DataError
from mmdft.files import parse_json
from mmdft.records import Example

__all__ = [
    "FORMATS",
    "Origin",
    "detect",
    "format_of",
    "join_reply",
    "open_sources",
    "origin_of",
    "parse_row",
    "read_rows",
    "row_id",
    "to_example",
    "with_choices",
]


def read_rows(source: SourceConfig) -> Iterator[tuple[Origin, Any]]:
    """Yield every row of a source with its origin, as it stands in the file.

    Raises:
        DataError: the file is missing, of another kind, or broken as a whole.
    """
    rows = (
        (origin_of(file, number), row)
        for file in _files(source)
        for number, row in each_row(file.path, source.limit, file.subset, file.split)
    )
    yield from islice(rows, source.limit)


def open_sources(sources: Sequence[SourceConfig]) -> list[tuple[SourceConfig, Rows]]:
    """The rows of each file of the sources by their place, with that file as its own source.

    Raises:
        DataError: as `read_rows`.
    """
    opened = []
    for source in sources:
        left = source.limit
        for file in _files(source):
            if left == 0:
                break
            rows = open_rows(file.path, left, file.subset, file.split)
            left = None if left is None else left - len(rows)
            opened.append((file, rows))
    return opened


def _files(source: SourceConfig) -> list[SourceConfig]:
    return [source.model_copy(update={"path": path}) for path in files_of(source.path)]


def origin_of(source: SourceConfig, row: int) -> Origin:
    """Where the row of this number comes from."""
    return Origin(
        file=source.path,
        row=row,
        image_root=source.image_root or source.path.parent,
        reply=source.reply,
        system=source.system,
        reasoning=source.reasoning,
        map=source.map,
        pixels=(source.min_pixels, source.max_pixels),
        allow_remote=source.allow_remote,
    )


def to_example(row: Any, origin: Origin, format_name: str | None) -> Example:
    """Turn one row (a mapping, or a line of JSON) into an Example, by `format_of`.

    Raises:
        DataError: the row cannot be used; the message names the field and the mend.
    """
    row = parse_row(row)
    example = FORMATS[format_of(row, origin, format_name)](row, origin)
    if origin.pixels == (None, None):
        return example
    return replace(example, meta={**example.meta, OWN_PIXELS: origin.pixels})


def parse_row(row: Any) -> Mapping[str, Any]:
    """A row as a mapping, parsed first if it is a line of JSON.

    Raises:
        DataError: it is no mapping, or its reader could not read it.
    """
    if isinstance(row, DataError):
        raise row
    if isinstance(row, bytes):
        row = parse_json(row)
    if not isinstance(row, Mapping):
        raise DataError(f"a row must be an object, this one is {type(row).__name__}")
    return row
