"""What a source's path stands for: one file, the files of a pattern, or a folder of images."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from mmdft.config import hub_name
from mmdft.errors import DataError

METADATA = ("metadata.jsonl", "metadata.csv")

# {000..003} or {a,b}, the innermost or only one.
_BRACE = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{},]*(?:,[^{},]*)+))\}")
_MOST_FILES = 100_000


def files_of(path: Path) -> list[Path]:
    """The files, in order, that a source's path stands for.

    What exists under that very name is taken as it is; else braces (`{000..003}`, `{a,b}`) are
    written out, and `*`, `?` and `[...]` matched, sorted by name. Of a folder with a
    `metadata.jsonl` or `metadata.csv` (the image folders of `datasets`) it is that file.

    Raises:
        DataError: no file matches, or a folder has both files.
    """
    if hub_name(path) is not None:
        return [path]
    if path.is_dir():
        found = [path / name for name in METADATA if (path / name).is_file()]
        if len(found) > 1:
            raise DataError(f"{path}: has both {' and '.join(METADATA)}; name the one you mean")
        return found or [path]
    if path.exists():
        return [path]
    files: list[Path] = []
    for name in _without_braces(str(path)):
        if not glob.has_magic(name):
            files.append(Path(name))
            continue
        matches = sorted(glob.glob(name))
        if not matches:
            raise DataError(f"{name}: no file matches; relative paths start from {Path.cwd()}")
        files += map(Path, matches)
    return files


def _without_braces(name: str) -> Iterator[str]:
    brace = _BRACE.search(name)
    if brace is None:
        yield name
        return
    first, last, words = brace.groups()
    if words is None:
        if not 0 <= int(last) - int(first) < _MOST_FILES:
            raise DataError(f"{name}: {brace[0]} is not a range of at most {_MOST_FILES} files")
        numbers = range(int(first), int(last) + 1)
        middles = [str(number).zfill(len(first)) for number in numbers]
    else:
        middles = words.split(",")
    for middle in middles:
        yield from _without_braces(name[: brace.start()] + middle + name[brace.end() :])
