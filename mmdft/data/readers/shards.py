"""Rows of tar shards (WebDataset), read in place: nothing is extracted, no name becomes a path."""

from __future__ import annotations

import re
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdft.errors import DataError
from mmdft.files import parse_json

_IMAGES = ("jpg", "jpeg", "png", "webp")
_IGNORED = ("cls",)
# The key, folders and all, then the endings from the name's first dot on.
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)
_BLOCK = 512


class _Member(NamedTuple):
    ending: str
    start: int
    size: int


class TarRows:
    """The samples of a shard: the members whose names are the same up to the first dot.

    `.json` is the row, `.jpg`, `.jpeg`, `.png` and `.webp` are its images, `.txt` is its field
    `text`, `.cls` is left out. The key is the `id` of a row without one.

    Args:
        path: the shard.
        limit: only so many samples, from the top.

    Raises:
        DataError: the file is missing, or not a whole, plain tar file.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path = path
        samples: dict[str, list[_Member]] = {}
        for key, member in _members(path):
            samples.setdefault(key, []).append(member)
        self.keys = list(samples)[:limit]
        # Flat, for shards of many small members: objects would take more room than the index.
        self.ends = array("q")
        self.endings: list[str] = []
        self.places = array("q")
        for key in self.keys:
            for member in samples[key]:
                self.endings.append(member.ending)
                self.places.extend((member.start, member.size))
            self.ends.append(len(self.endings))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        first = self.ends[index - 1] if index else 0
        members = [
            _Member(self.endings[place], self.places[2 * place], self.places[2 * place + 1])
            for place in range(first, self.ends[index])
        ]
        try:
            return index + 1, _row(self.path, self.keys[index], members)
        except DataError as error:
            return index + 1, error

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return (self[index] for index in range(len(self)))


def _members(path: Path) -> Iterator[tuple[str, _Member]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    known: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                # tarfile keeps every header it has seen, which nothing here asks for again.
                archive.members = []  # type: ignore[attr-defined]
                if member.isdir():
                    continue
                name = _NAME.fullmatch(member.name)
                key, ending = name.groups() if name else (member.name, "")
                key = key.removeprefix("./")
                if not member.isreg() or member.issparse():
                    ending = "not a plain file"
                ending = known.setdefault(ending.lower(), ending.lower())
                yield key, _Member(ending, member.offset_data, member.size)
            end = archive.offset
        # At a header it cannot read, tarfile stops as if that were the end.
        with path.open("rb") as stream:
            stream.seek(end)
            if stream.read(_BLOCK) != bytes(_BLOCK):
                raise DataError(f"{path}: not a whole tar file (broken at byte {end})")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a whole tar file ({error})") from error


def _row(path: Path, key: str, members: Sequence[_Member]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    images: list[tuple[str, dict[str, bytes]]] = []
    texts: list[str] = []
    seen: set[str] = set()
    with path.open("rb") as stream:
        for ending, start, size in members:
            kind = ending.rpartition(".")[2]
            if kind in _IGNORED:
                continue
            if kind not in ("json", "txt", *_IMAGES):
                raise DataError(
                    f"member {key}.{ending}: only .json, .txt and {', .'.join(('', *_IMAGES))[2:]} "
                    "are read; leave it out of the shard"
                )
            if ending in seen:
                raise DataError(
                    f"member {key}.{ending} is there twice; rename one, keys must be unique"
                )
            seen.add(ending)
            stream.seek(start)
            content = stream.read(size)
            if kind == "json":
                row = _object(f"{key}.{ending}", content, row)
            elif kind == "txt":
                texts.append(_text(f"{key}.{ending}", content))
            else:
                images.append((f"{key}.{ending}", {"bytes": content}))
    if len(texts) > 1:
        raise DataError(f"{key}: has {len(texts)} .txt members; put them into one")
    if texts:
        row["text"] = texts[0]
    if images:
        row["images"] = _in_order(row, images)
    if row.get("id") is None:
        row["id"] = key
    return row


def _object(name: str, content: bytes, before: dict[str, Any]) -> dict[str, Any]:
    if before:
        raise DataError(f"member {name}: a second .json; put both into one")
    try:
        value = parse_json(content)
    except DataError as error:
        raise DataError(f"member {name}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"member {name}: must be an object, this one is {type(value).__name__}")
    return value


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(
            f"member {name}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def _in_order(row: dict[str, Any], images: Sequence[tuple[str, Any]]) -> list[Any]:
    """The images as the row orders them by name, else as they stand in the shard."""
    named = row.get("images") or row.pop("image", None) or []
    named = named if isinstance(named, list) else [named]
    if named and len(named) != len(images):
        raise DataError(
            f"the row names {len(named)} images, and the shard has {len(images)} for it; name those"
        )
    by_name = {_file_name(name): image for name, image in images}
    wanted = [_file_name(name) for name in named if isinstance(name, str)]
    if sorted(wanted) == sorted(by_name):
        return [by_name[name] for name in wanted]
    return [image for _, image in images]


def _file_name(name: str) -> str:
    return name.rpartition("/")[2].lower()
