"""Rows of columnar tables: parquet, saved datasets, and datasets of the hub.

All in the arrow form, which does not decode images: that is done once, and safely, by
`mmdft.data.images.open_image`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdft.errors import DataError


class TableRows:
    """Rows of a table of `datasets`, in the arrow form."""

    def __init__(self, table: Any, limit: int | None) -> None:
        self.table = table
        self.length = len(table) if limit is None else min(limit, len(table))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[int, Any]:
        [row] = self.table[index].to_pylist()
        return index + 1, row


def table_rows(table: Any) -> Iterator[dict[str, Any]]:
    """The rows of a table of `datasets` in order."""
    return (row for batch in table.iter(batch_size=64) for row in batch.to_pylist())


def saved_table(path: Path) -> Any:
    """What `Dataset.save_to_disk` wrote, memory-mapped.

    Raises:
        DataError: the folder is of another kind, or holds several splits.
    """
    import datasets

    try:
        table = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not the folder of a saved dataset, nor one of images with a "
            f"metadata.jsonl or metadata.csv ({error})"
        ) from error
    if isinstance(table, datasets.DatasetDict):
        splits = ", ".join(sorted(table))
        raise DataError(f"{path}: holds several splits ({splits}); give the folder of one")
    return table.with_format("arrow")


def hub_table(name: str, subset: str | None, split: str) -> Any:
    """A dataset of the hub, copied to `datasets`' cache and memory-mapped.

    Args:
        name: its id, such as `owner/name`.
        subset: one of its configurations; None is the only or default one.
        split: one of its splits, or a part of one, such as `train[:1000]`.

    Raises:
        DataError: it cannot be reached or read, or has no such subset or split.
    """
    import datasets

    try:
        table = datasets.load_dataset(name, subset, split=split)
    except (
        OSError,
        ValueError,
        RuntimeError,
        datasets.exceptions.DatasetsError,
        datasets.exceptions.DatasetGenerationError,
    ) as error:
        reason = " ".join(str(error).split())
        which = f"hf://{name}, split {split}" + (f", subset {subset}" if subset else "")
        raise DataError(
            f"{which}: cannot be loaded ({reason}); see that the id, subset and split exist and "
            "the hub is in reach, or save it with Dataset.save_to_disk and give the folder"
        ) from error
    return table.with_format("arrow")


def parquet_table(path: Path) -> Any:
    """A parquet file by place: as a memory-mapped copy in `datasets`' cache.

    Raises:
        DataError: the file is missing or broken.
    """
    import datasets

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        table = datasets.Dataset.from_parquet(str(path))
    except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise DataError(f"{path}: not a whole parquet file ({error})") from error
    return table.with_format("arrow")


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows as they are stored: images stay `{"bytes", "path"}`, in whatever column they are.

    Raises:
        DataError: the file is missing or broken.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=64):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: not a whole parquet file ({error})") from error
