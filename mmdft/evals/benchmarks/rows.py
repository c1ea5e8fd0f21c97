"""The fields of a benchmark's rows as values; every error names the file and the row."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.data.fields import Origin, image_ref
from mmdft.errors import DataError
from mmdft.files import resolve_inside
from mmdft.records import ImageRef, Turn

# A list printed into one cell of a table is a few hundred characters long.
_LONGEST_LIST = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a benchmark's data.

    Attributes:
        where: What messages call it: file, line or key, and the row's own id.
        number: Its number in its file, from 1.
        key: Its key, where the file is one object of rows.
        file: The file that it stands in; the split's name for a dataset of the hub.
        split: The split that it was read as; "" where a file was named.
        roots: Where image paths may start: the file's folder, and the benchmark's.
        values: The fields as they stand.
        images: Whether the images are wanted.
    """

    where: str
    number: int
    key: str | None
    file: Path
    split: str
    roots: tuple[Path, ...]
    values: Mapping[str, Any]
    images: bool

    def error(self, message: str) -> DataError:
        """The error that this row is not as it should be."""
        return DataError(f"{self.where}: {message}")


def is_blank(value: Any) -> bool:
    """Whether a field says nothing: tables have nan or an empty text where a value is missing."""
    return value in (None, "", []) or (isinstance(value, float) and not math.isfinite(value))


def text(row: Row, *keys: str) -> str:
    """The first of the fields that is there, a text or a number, as text."""
    found = optional_text(row, *keys)
    if found is None:
        state = repr(row.values[keys[0]]) if keys[0] in row.values else "missing"
        named = " or ".join(map(repr, keys))
        raise row.error(f"{named} must be a text but is {state}; take the data as published")
    return found


def optional_text(row: Row, *keys: str) -> str | None:
    """The first of the fields that is there as text; None where none is."""
    for key in keys:
        value = row.values.get(key)
        if is_blank(value):
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise row.error(f"{key!r} must be a text but is {value!r}")
        return str(value)
    return None


def texts(row: Row, *keys: str) -> tuple[str, ...]:
    """The first of the fields that is there, a list of texts or one as Python prints it."""
    for key in keys:
        value = row.values.get(key)
        if is_blank(value):
            continue
        if isinstance(value, str) and value.startswith("["):
            value = _printed_list(value)
        if not isinstance(value, list) or not all(
            isinstance(item, str | int | float) for item in value
        ):
            raise row.error(f"{key!r} must be a list of texts but is {row.values[key]!r}")
        return tuple(str(item) for item in value)
    return ()


def _printed_list(value: str) -> Any:
    try:
        return ast.literal_eval(value) if len(value) <= _LONGEST_LIST else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def first_of(row: Row, key: str) -> str | None:
    """The text of a field that may be a list of texts, of which the first is meant."""
    value = row.values.get(key)
    if isinstance(value, list):
        value = value[0] if value else None
    return None if is_blank(value) else str(value)


def identity(row: Row, *keys: str) -> str:
    """The row's id: the first of the fields that is there, a text or a whole number."""
    for key in keys:
        value = row.values.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    if row.key is not None:
        return row.key
    raise row.error(f"{' or '.join(map(repr, keys))} must be a text or a whole number")


def asked(
    row: Row,
    prompt: str,
    *keys: str,
    otherwise: str | None = None,
    below: Sequence[str] = ("", "images"),
) -> tuple[Turn, ...]:
    """The one user turn: the images first, then the prompt.

    Args:
        row: The row.
        prompt: The text.
        keys: The fields that may hold the images, one or a list; the first that is there is taken.
        otherwise: The image's path where none of them is there.
        below: Folders below the data's own in which an image may lie.

    Raises:
        DataError: images are wanted, and there is none or one cannot be found.
    """
    if not row.images:
        return (Turn(role="user", parts=(prompt,)),)
    given = [row.values[key] for key in keys if not is_blank(row.values.get(key))] or [otherwise]
    if given[0] is None:
        raise row.error(f"no image: {' or '.join(map(repr, keys))} is missing or empty")
    values = given[0] if isinstance(given[0], list) else [given[0]]
    return (Turn(role="user", parts=(*(_image(row, value, below) for value in values), prompt)),)


def _image(row: Row, value: Any, below: Sequence[str]) -> ImageRef:
    if isinstance(value, Mapping) and not isinstance(value.get("bytes"), bytes):
        value = value.get("path")
    try:
        if isinstance(value, str) and not value.startswith("data:"):
            return ImageRef(path=_file(row.roots, value, below))
        # Of bytes and data URLs; where paths start plays no part.
        origin = Origin(
            file=row.file, row=row.number, image_root=row.roots[0], reply="plain", system=None
        )
        return image_ref(value, origin)
    except DataError as error:
        raise row.error(f"image {error}") from error


def _file(roots: Sequence[Path], name: str, below: Sequence[str]) -> Path:
    if Path(name).is_absolute():
        raise DataError(f"{name}: lies outside of {roots[0]}; put the file below that folder")
    problems = []
    for root in roots:
        for folder in below:
            try:
                return resolve_inside(root, f"{folder}/{name}" if folder else name)
            except DataError as error:
                problems.append(error)
    raise problems[0]
