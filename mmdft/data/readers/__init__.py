"""Files to raw rows: one after the other, or by number.

What a row means is `sources`' affair. A row that cannot be read stands in its place as a DataError
that says why, so that it is one bad row and the rest of the file is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from mmdft.config import hub_name
from mmdft.data.readers.paths import METADATA, files_of
from mmdft.data.readers.shards import TarRows
from mmdft.data.readers.tables import (
    TableRows,
    hub_table,
    parquet_rows,
    parquet_table,
    saved_table,
    table_rows,
)
from mmdft.data.readers.text import Lines, TextTable, image_folder_row, vlmeval_row
from mmdft.errors import DataError
from mmdft.files import jsonl_lines, read_json

__all__ = ["Rows", "each_row", "files_of", "open_rows"]


class Rows(Protocol):
    """Rows by their place; each is its number in the file, from 1, and the row as it stands.

    The number is that of the (first) line in a text file, else the row's own.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[int, Any]: ...


def each_row(
    path: Path, limit: int | None = None, subset: str | None = None, split: str = "train"
) -> Iterator[tuple[int, Any]]:
    """Every row of one of `files_of` in order, with its number; JSONL lines are left unparsed.

    Args:
        path: the file, the folder of a saved dataset, or `hf://owner/name`.
        limit: only so many rows, from the top.
        subset: of a dataset of the hub.
        split: of a dataset of the hub.

    Raises:
        DataError: the file is missing, of another kind, or broken as a whole.
    """
    name = path.name.removesuffix(".gz")
    hub = hub_name(path)
    if hub is not None:
        rows: Iterator[Any] = table_rows(hub_table(hub, subset, split))
    elif path.is_dir():
        rows = table_rows(saved_table(path))
    elif name.endswith(".jsonl"):
        lines: Iterator[tuple[int, Any]] = jsonl_lines(path)
        if path.name in METADATA:
            lines = ((number, _changed(image_folder_row, line)) for number, line in lines)
        return itertools.islice(lines, limit)
    elif name.endswith(".json"):
        rows = iter(_json_rows(path))
    elif path.name.endswith(".parquet"):
        rows = parquet_rows(path)
    else:
        indexed = _indexed(path, limit)
        return (indexed[place] for place in range(len(indexed)))
    return itertools.islice(enumerate(rows, start=1), limit)


def open_rows(
    path: Path, limit: int | None = None, subset: str | None = None, split: str = "train"
) -> Rows:
    """The rows of one of `files_of` by their place, each read when it is asked for.

    Of text files and tar shards the places are kept, 8 to some 100 bytes a row; parquet and
    datasets of the hub are copied to `datasets`' cache in a form that is read by place; JSON and
    gzipped files are held in memory.

    Args and Raises are those of `each_row`.
    """
    hub = hub_name(path)
    if hub is not None:
        return TableRows(hub_table(hub, subset, split), limit)
    if path.is_dir():
        return TableRows(saved_table(path), limit)
    if path.name in METADATA and path.name.endswith(".jsonl"):
        return _Changed(Lines(path, limit), image_folder_row)
    if path.name.endswith(".jsonl"):
        return Lines(path, limit)
    if path.name.endswith(".parquet"):
        return TableRows(parquet_table(path), limit)
    if path.name.endswith((".jsonl.gz", ".json", ".json.gz")):
        return list(each_row(path, limit))
    return _indexed(path, limit)


class _Changed:
    """Rows changed when they are read."""

    def __init__(self, rows: Rows, change: Callable[[Any], Any]) -> None:
        self.rows, self.change = rows, change

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        number, row = self.rows[index]
        return number, _changed(self.change, row)


def _changed(change: Callable[[Any], Any], row: Any) -> Any:
    try:
        return change(row)
    except DataError as error:
        return error


def _indexed(path: Path, limit: int | None) -> Rows:
    """The files that are read by place in either way, after one pass over them."""
    if path.name.endswith(".tsv"):
        return TextTable(path, "\t", vlmeval_row, limit)
    if path.name in METADATA:
        return TextTable(path, ",", image_folder_row, limit)
    if path.name.endswith(".tar"):
        return TarRows(path, limit)
    if path.name.endswith((".tar.gz", ".tgz", ".tsv.gz", ".parquet.gz")):
        raise DataError(f"{path}: packed as a whole, which is not read by place; gunzip it first")
    raise DataError(
        f"{path}: unknown kind of file; expected .jsonl, .json, .parquet, .tsv, .tar, the folder "
        "of a saved dataset, a folder of images with a metadata.jsonl or metadata.csv, or "
        "hf://owner/name"
    )


def _json_rows(path: Path) -> list[Any]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a JSON source must be an array of rows")
    return rows
