"""From a path to the rows of a benchmark: a folder as published, a file, a dataset of the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mmdft.config import hub_name
from mmdft.data.readers import each_row, files_of
from mmdft.data.readers.text import TextTable, vlmeval_row
from mmdft.data.sources import parse_row
from mmdft.errors import DataError
from mmdft.evals.benchmarks.rows import Row
from mmdft.files import read_json

# What rows are called by, for messages.
_NAMES = ("id", "pid", "sample_index", "ID", "figure_id", "question_id", "index")
# VLMEvalKit puts the index of another row where the image is the same as that row's.
_LONGEST_REFERENCE = 64
_PICKLES = (".pk", ".pkl", ".pickle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """How the rows of a benchmark are published.

    Attributes:
        splits: Split -> its files below the folder, as patterns; the first that matches is taken.
            Files named `.gz` and the parquet files of a hub's repository are found beside these.
        default: The splits that are read where none is named. In a folder, the splits that are
            there are read if they are of these, or a single one.
        subsets: Hub id -> the configuration to load, where the default one is another.
        one_file: Whether a split is one file, so that several that match must be chosen from.
        pickled: Where the authors publish pickles: the fields to save as JSON lines instead.
    """

    splits: Mapping[str, tuple[str, ...]]
    default: tuple[str, ...]
    subsets: Mapping[str, str] = field(default_factory=dict)
    one_file: bool = False
    pickled: str = ""


def rows(
    path: Path, published: Published, *, limit: int | None, images: bool, split: str | None
) -> Iterator[Row]:
    """The rows of a benchmark in order.

    Args:
        path: Its folder, one of its files, or `hf://owner/name`.
        published: Where they lie there.
        limit: Only the first rows.
        images: Whether the images are wanted.
        split: One of the splits; None takes the default.

    Raises:
        DataError: nothing is there, several splits are, or a row cannot be read.
    """
    if split is not None and split not in published.splits:
        raise DataError(f"{path}: no split {split!r}; there are: {', '.join(published.splits)}")
    found = _hub_splits(path, published, split) or _local_files(path, published, split)
    folder = path if path.is_dir() else path.parent
    every = (
        row
        for file, name in found
        for row in _read(file, name, folder, published.subsets, limit, images)
    )
    return islice(every, limit)


def _hub_splits(path: Path, published: Published, split: str | None) -> list[tuple[Path, str]]:
    if hub_name(path) is None:
        return []
    return [(path, name) for name in ((split,) if split else published.default)]


def _local_files(path: Path, published: Published, split: str | None) -> list[tuple[Path, str]]:
    if not path.is_dir():
        if split is not None and path.is_file():
            raise DataError(f"{path}: is a file, which is a split of its own; leave out {split!r}")
        files = files_of(path)
        for file in files:
            if not file.exists():
                raise DataError(
                    f"{file}: no such file or folder; check the path of the benchmark's data"
                )
            if published.pickled and file.suffix in _PICKLES:
                raise _unread_pickle(file, published)
        return [(file, "") for file in files]
    there = {name: _files(path, name, published) for name in published.splits}
    there = {name: files for name, files in there.items() if files}
    if split is not None:
        there = {name: files for name, files in there.items() if name == split}
    elif len(there) > 1 and set(there) <= set(published.default):
        there = {name: there[name] for name in published.default if name in there}
    clear = len(there) == 1 or (bool(there) and set(there) <= set(published.default))
    if published.one_file and any(len(files) > 1 for files in there.values()):
        clear = False
    if clear:
        return [(file, name) for name, files in there.items() for file in files]
    tables = sorted(path.glob("*.tsv"))
    if not there and len(tables) == 1 and split is None:
        return [(tables[0], "")]
    if (path / "dataset_info.json").is_file() and not there and split is None:
        return [(path, "")]
    pickles = sorted(file for file in path.glob("*") if file.suffix in _PICKLES)
    if published.pickled and pickles and not there:
        raise _unread_pickle(pickles[0], published)
    named = {name: files for name, files in published.splits.items() if split in (None, name)}
    expected = ", ".join(dict.fromkeys(file for files in named.values() for file in files))
    shown = [file for files in there.values() for file in files[: 9 if published.one_file else 1]]
    names = [_below(file, path) for file in shown or tables]
    raise DataError(
        f"{path}: expected one of {expected}, found {' and '.join(names) or 'none of them'}; give "
        "the benchmark's folder and its split, or the file itself"
    )


def _unread_pickle(file: Path, published: Published) -> DataError:
    return DataError(
        f"{file}: a pickle is not read, because loading one can run any code; if you trust where "
        f"it comes from, load it yourself and save {published.pickled}"
    )


def _files(folder: Path, split: str, published: Published) -> list[Path]:
    hubs = tuple(f"{below}{split}{end}.parquet" for below in ("", "data/") for end in ("-*", ""))
    for pattern in (*published.splits[split], *hubs):
        for ending in ("", ".gz"):
            files = [file for file in folder.glob(pattern + ending) if file.is_file()]
            if files:
                return sorted(files, key=lambda file: _by_number(_below(file, folder)))
    return []


def _below(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sorts 2/data.json before 10/data.json."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _read(
    file: Path,
    split: str,
    folder: Path,
    subsets: Mapping[str, str],
    limit: int | None,
    images: bool,
) -> Iterator[Row]:
    hub = hub_name(file)
    shown = str(file) if hub is None else f"hf://{hub} {split}"
    name = file.name.removesuffix(".gz")
    keyed: Iterator[tuple[int, str | None, Any]]
    if hub is None and name.endswith(".json") and not file.is_dir():
        keyed = _json_rows(file)
    elif hub is None and name.endswith(".tsv"):
        keyed = _table_rows(file, limit, images)
    else:
        subset = subsets.get(hub or "")
        read = each_row(file, limit, subset, split if hub is not None else "train")
        keyed = ((number, None, row) for number, row in read)
    for number, key, content in keyed:
        place = f"{shown}:{number}" if key is None else f"{shown}: row {key!r}"
        try:
            values = parse_row(content)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        called = next((values[n] for n in _NAMES if values.get(n) not in (None, "")), None)
        yield Row(
            where=f"{place}: row {called!r}" if key is None else place,
            number=number,
            key=key,
            file=file,
            split=split,
            roots=tuple(dict.fromkeys((file if file.is_dir() else file.parent, folder))),
            values=values,
            images=images,
        )


def _json_rows(file: Path) -> Iterator[tuple[int, str | None, Any]]:
    """A list of rows, an object key -> row, or an object that is one row."""
    content = read_json(file)
    if isinstance(content, list):
        yield from ((number, None, row) for number, row in enumerate(content, start=1))
    elif not isinstance(content, dict):
        raise DataError(f"{file}: must be a list of rows, or one object of rows by their ids")
    elif all(isinstance(row, dict) for row in content.values()):
        yield from ((number, key, row) for number, (key, row) in enumerate(content.items(), 1))
    else:
        yield 1, None, content


def _table_rows(
    file: Path, limit: int | None, images: bool
) -> Iterator[tuple[int, str | None, Any]]:
    owners: dict[str, str] | None = None
    for number, cells in TextTable(file, "\t", dict, limit):
        if not isinstance(cells, DataError) and images and _refers(cells.get("image", "")):
            owners = _images_by_index(file) if owners is None else owners
            wanted = cells["image"].strip()
            if wanted not in owners:
                raise DataError(
                    f"{file}:{number}: its image is that of row {wanted}, and no row of this index "
                    "has an image; take the table as published"
                )
            cells = {**cells, "image": owners[wanted]}
        elif not isinstance(cells, DataError) and not images:
            cells = {name: cell for name, cell in cells.items() if name != "image"}
        try:
            yield number, None, cells if isinstance(cells, DataError) else vlmeval_row(cells)
        except DataError as error:
            yield number, None, error


def _images_by_index(file: Path) -> dict[str, str]:
    return {
        cells.get("index", "").strip(): cells["image"]
        for _, cells in TextTable(file, "\t", dict)
        if not isinstance(cells, DataError) and not _refers(cells.get("image", ""))
    }


def _refers(image: str) -> bool:
    return len(image.strip()) <= _LONGEST_REFERENCE and image.strip().isdecimal()
