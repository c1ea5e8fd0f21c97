"""Files to raw rows: one after the other, or by number.

JSONL (plain or gzipped), a JSON array, parquet with image bytes, or the folder of a dataset saved
by `datasets`. What a row means is `sources`' affair.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from mmdft.errors import DataError
from mmdft.files import jsonl_lines, read_json


class Rows(Protocol):
    """Rows by their place; each is (its number in the file, from 1, and the row as it stands)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[int, Any]: ...


def each_row(path: Path, limit: int | None = None) -> Iterator[tuple[int, Any]]:
    """Every row of a file in order, with its number; JSONL lines are left unparsed.

    Raises:
        DataError: the file is missing, of another kind, or broken as a whole.
    """
    name = path.name.removesuffix(".gz")
    if path.is_dir():
        batches = _saved_table(path).iter(batch_size=64)
        rows: Iterator[Any] = (row for batch in batches for row in batch.to_pylist())
    elif name.endswith(".jsonl"):
        # Left unparsed, so that one broken line is one bad row.
        return itertools.islice(jsonl_lines(path), limit)
    elif name.endswith(".json"):
        rows = iter(_json_rows(path))
    elif name.endswith(".parquet"):
        rows = _parquet_rows(path)
    else:
        raise _unknown(path)
    return itertools.islice(enumerate(rows, start=1), limit)


def open_rows(path: Path, limit: int | None = None) -> Rows:
    """The rows of a file by their place, each read when it is asked for.

    Of a JSONL file the lines' places are kept, eight bytes a row; parquet is first copied to
    `datasets`' cache in a form that is read by place; JSON and gzipped files are held in memory.

    Raises:
        DataError: as `each_row`.
    """
    if path.is_dir():
        return _TableRows(_saved_table(path), limit)
    if path.name.endswith(".jsonl"):
        return _Lines(path, limit)
    if path.name.endswith(".parquet"):
        return _TableRows(_parquet_table(path), limit)
    return _Listed(list(each_row(path, limit)))


class _Listed:
    def __init__(self, rows: list[tuple[int, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return self.rows[index]


class _Lines:
    """A JSONL file's lines, found by where they start."""

    def __init__(self, path: Path, limit: int | None) -> None:
        self.path = path
        self.starts = array("q")
        self.numbers = array("q")
        start = 0
        try:
            with path.open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    if line.strip():
                        if limit is not None and len(self.starts) == limit:
                            break
                        self.starts.append(start)
                        self.numbers.append(number)
                    start += len(line)
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file") from error

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> tuple[int, bytes]:
        # Opened each time: a data loader's workers would share one open file's place.
        with self.path.open("rb") as stream:
            stream.seek(self.starts[index])
            return self.numbers[index], stream.readline()


class _TableRows:
    """Rows of a table of `datasets`, in the arrow form."""

    def __init__(self, table: Any, limit: int | None) -> None:
        self.table = table
        self.length = len(table) if limit is None else min(limit, len(table))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[int, Any]:
        [row] = self.table[index].to_pylist()
        return index + 1, row


def _saved_table(path: Path) -> Any:
    """What `Dataset.save_to_disk` wrote, memory-mapped; images stay as they are stored."""
    import datasets

    try:
        table = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the folder of a saved dataset ({error})") from error
    if isinstance(table, datasets.DatasetDict):
        splits = ", ".join(sorted(table))
        raise DataError(f"{path}: holds several splits ({splits}); give the folder of one")
    # The arrow form does not decode images: that is done once, and safely, by open_image.
    return table.with_format("arrow")


def _parquet_table(path: Path) -> Any:
    """A parquet file by place: as a memory-mapped copy in `datasets`' cache."""
    import datasets

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        table = datasets.Dataset.from_parquet(str(path))
    except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise DataError(f"{path}: not a whole parquet file ({error})") from error
    return table.with_format("arrow")


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows as they are stored: images stay `{"bytes", "path"}`, in whatever column they are."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=64):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: not a whole parquet file ({error})") from error


def _json_rows(path: Path) -> list[Any]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a JSON source must be an array of rows")
    return rows


def _unknown(path: Path) -> DataError:
    return DataError(
        f"{path}: unknown kind of file; expected .jsonl, .json, .parquet "
        "or the folder of a saved dataset"
    )
