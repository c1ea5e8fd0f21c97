"""Rows of text files, found by where they start: JSON lines, and tables of VLMEvalKit's kind."""

from __future__ import annotations

import csv
import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any, BinaryIO

from mmdft.errors import DataError
from mmdft.files import parse_json

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_BOM = b"\xef\xbb\xbf"


class Lines:
    """A JSONL file's lines, unparsed, so that one broken line is one bad row."""

    def __init__(self, path: Path, limit: int | None) -> None:
        self.path = path
        self.starts = array("q")
        # For each blank line, how many rows stand before it: with them places become numbers.
        self.blanks = array("q")
        start = 0
        with _opened(path) as stream:
            for line in stream:
                if line.strip():
                    if limit is not None and len(self.starts) == limit:
                        break
                    self.starts.append(start)
                else:
                    self.blanks.append(len(self.starts))
                start += len(line)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> tuple[int, bytes]:
        # Opened each time: a data loader's workers would share one open file's place.
        with self.path.open("rb") as stream:
            stream.seek(self.starts[index])
            line = stream.readline().removesuffix(b"\n")
        return index + 1 + bisect_right(self.blanks, index), line


class TextTable:
    """A table with a header line, by the quoting rules of csv; a row's number is its first line.

    Args:
        path: the file.
        delimiter: what stands between fields.
        change: makes the row of a mapping from column to text.
        limit: only so many rows, from the top.

    Raises:
        DataError: the file is missing, or its header is no header.
    """

    def __init__(
        self,
        path: Path,
        delimiter: str,
        change: Callable[[dict[str, str]], Any],
        limit: int | None = None,
    ) -> None:
        self.path, self.delimiter, self.change = path, delimiter, change
        self.starts = array("q")
        self.numbers = array("q")
        with _opened(path) as stream:
            records = _records(stream, delimiter)
            self.header = self._header(next(records, None))
            for start, number, record in records:
                if limit is not None and len(self.starts) == limit:
                    break
                if record:
                    self.starts.append(start)
                    self.numbers.append(number)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        with self.path.open("rb") as stream:
            stream.seek(self.starts[index])
            _, _, record = next(_records(stream, self.delimiter))
        return self.numbers[index], self._row(record)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return (self[index] for index in range(len(self)))

    def _header(self, first: tuple[int, int, list[str] | DataError] | None) -> list[str]:
        record = first[2] if first else []
        if isinstance(record, DataError):
            raise DataError(f"{self.path}: the header: {record}") from record
        names = [_decoded(name) for name in record]
        if not names or not all(names) or len(set(names)) < len(names):
            raise DataError(
                f"{self.path}: the first line must name the columns, each once; found {names}"
            )
        return names

    def _row(self, record: list[str] | DataError) -> Any:
        if isinstance(record, DataError):
            return record
        if len(record) != len(self.header):
            return DataError(
                f"{len(record)} fields under a header of {len(self.header)}; put a field that "
                "holds the delimiter, a line break or a quote between double quotes"
            )
        try:
            values = map(_decoded, record)
            return self.change(dict(zip(self.header, values, strict=True)))
        except DataError as error:
            return error


def vlmeval_row(cells: dict[str, str]) -> dict[str, Any]:
    """A row of VLMEvalKit's tables as a native one; its columns stay beside what is made of them.

    `image` (base64, several as a list) or `image_path` becomes `image`, the filled ones of the
    columns A, B, C, ... `choices`, and `index` the `id`.

    Raises:
        DataError: an option is missing between others, or the image is another row's.
    """
    row: dict[str, Any] = dict(cells)
    image, path = cells.get("image", "").strip(), cells.get("image_path", "").strip()
    if image.isdecimal() and len(image) <= 64:
        raise DataError(
            f"column 'image' is {image}, the index of a row with the same image; "
            "put the image itself there"
        )
    if image:
        row["image"] = [_image(text) for text in _listed(image)]
    elif path:
        row["image"] = _listed(path)
    if "question" in cells and "choices" not in cells:
        options = [cells[letter] for letter in ascii_uppercase if letter in cells]
        filled = [option for option in options if option.strip()]
        if options[: len(filled)] != filled:
            raise DataError(
                "an option is empty between others, which would change their letters; fill it, or "
                "leave the row out"
            )
        row["choices"] = filled
    if "index" in cells:
        row.setdefault("id", cells["index"] or None)
    return row


def image_folder_row(row: Any) -> Any:
    """A row of an image folder's metadata, its `file_name` made the native field `images`.

    A line of JSON is parsed; a broken one stays as it is.

    Raises:
        DataError: the row names no image.
    """
    if isinstance(row, bytes):
        row = parse_json(row)
    if not isinstance(row, Mapping) or row.get("images") or row.get("image"):
        return row
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError("column 'file_name' is missing or empty; it names the row's image")
    return {**row, "images": [name]}


def _listed(text: str) -> list[str]:
    """One text, or those of a list as Python or JSON prints it."""
    if not (text.startswith("[") and text.endswith("]")):
        return [text]
    return [item.strip(" \n'\"") for item in text[1:-1].split(",") if item.strip()]


def _image(text: str) -> str:
    packed = "".join(text.split())
    # A path has a dot or another sign that base64 has not.
    return f"data:image;base64,{packed}" if _BASE64.fullmatch(packed) else text


def _records(stream: BinaryIO, delimiter: str) -> Iterator[tuple[int, int, list[str] | DataError]]:
    """Each record's first byte, its first line, and its fields, their bytes as Latin-1.

    The fields are decoded apart, so that one that is not UTF-8 is one bad row.
    """
    # Set for the whole process: csv knows no other way. An image is far above its 128 KiB.
    csv.field_size_limit(sys.maxsize)
    position = stream.tell()
    line_number = 0

    def lines() -> Iterator[str]:
        nonlocal position, line_number
        for line in stream:
            text = line if position else line.removeprefix(_BOM)
            position += len(line)
            line_number += 1
            yield text.decode("latin-1")

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        start, number = position, line_number + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield (
                start,
                number,
                DataError(
                    f"not a row of the table ({error}); double the quotes within a quoted field"
                ),
            )
            continue
        yield start, number, record


def _decoded(text: str) -> str:
    raw = text.encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 text (byte {error.start} of a field); save it as UTF-8"
        ) from error


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
