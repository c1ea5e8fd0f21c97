"""Sources to rows, and rows to Examples: what joins `readers` and `formats`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmdft.config import SourceConfig
from mmdft.data.fields import Origin, join_reply, row_id, with_choices
from mmdft.data.formats import FORMATS, detect, format_of
from mmdft.data.readers import each_row
from mmdft.errors import DataError
from mmdft.files import parse_json
from mmdft.records import Example

__all__ = [
    "FORMATS",
    "Origin",
    "detect",
    "format_of",
    "join_reply",
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
    for number, row in each_row(source.path, source.limit):
        yield origin_of(source, number), row


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
    )


def to_example(row: Any, origin: Origin, format_name: str | None) -> Example:
    """Turn one row (a mapping, or a line of JSON) into an Example, by `format_of`.

    Raises:
        DataError: the row cannot be used; the message names the field and the mend.
    """
    row = parse_row(row)
    return FORMATS[format_of(row, origin, format_name)](row, origin)


def parse_row(row: Any) -> Mapping[str, Any]:
    """A row as a mapping, parsed first if it is a line of JSON."""
    if isinstance(row, bytes):
        row = parse_json(row)
    if not isinstance(row, Mapping):
        raise DataError(f"a row must be an object, this one is {type(row).__name__}")
    return row
