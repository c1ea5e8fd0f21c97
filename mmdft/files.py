"""Reading and writing files so that a failure never costs what was there before."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdft.errors import DataError


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` by way of a temporary file in the same folder, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) for every line that is not blank, plain or gzipped.

    Raises:
        DataError: the file is missing, or a line is not JSON; the message names file and line.
    """
    for number, line in jsonl_lines(path):
        try:
            value = parse_json(line)
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from error
        yield number, value


def jsonl_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, undecoded line) for every line that is not blank."""
    # Split at \n only: JSON strings may hold other line separators, such as U+2028.
    for number, line in enumerate(_read_bytes(path).split(b"\n"), start=1):
        if line.strip():
            yield number, line


def parse_json(text: bytes) -> Any:
    """Parse one JSON value; a DataError says what is wrong with it."""
    try:
        # Decoded here: json.loads guesses at other encodings, and lets half characters through.
        decoded = text.decode("utf-8-sig")
        value = json.loads(decoded)
        if "\\ud" in decoded or "\\uD" in decoded:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except UnicodeEncodeError as error:
        raise DataError(
            "an escape like \\ud800 is half a character, which no tokenizer takes; write all of it"
        ) from error
    except RecursionError as error:
        raise DataError("not usable JSON (nested too deeply); flatten it") from error
    except ValueError as error:
        raise DataError(f"not valid JSON ({error}); mend that place") from error
    return value


def read_json(path: Path) -> Any:
    """Read a JSON file, plain or gzipped.

    Raises:
        DataError: the file is missing, or is not JSON; the message names it.
    """
    try:
        return parse_json(_read_bytes(path))
    except DataError as error:
        message = str(error)
        raise DataError(message if str(path) in message else f"{path}: {message}") from error


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: named .gz but not a whole gzip file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def resolve_inside(root: Path, name: str) -> Path:
    """The file `name` below `root`, which no `..`, absolute path or link may leave.

    Raises:
        DataError: it lies outside the root, or there is no such file.
    """
    shown = name if len(name) <= 200 else f"{name[:200]}..."
    try:
        path = (root / name).resolve()
        inside, is_file = path.is_relative_to(root.resolve()), path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        # Too long, a loop of links, a null character: no file has such a name.
        raise DataError(
            f"{shown!r}: not a file name ({error.__class__.__name__}); rename it"
        ) from error
    if not inside:
        raise DataError(f"{shown}: lies outside of {root}; put the file below that folder")
    if not is_file:
        raise DataError(f"{shown}: no such file below {root}")
    return path


def drop_cut_line(path: Path) -> None:
    """Cut off a last line that a killed process left unfinished in an append-only JSONL file."""
    if not path.is_file():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        write_bytes(path, content[: content.rfind(b"\n") + 1])
