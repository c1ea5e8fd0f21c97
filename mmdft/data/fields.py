"""The fields of a row as values that every format shares: images, answer, system prompt, reply."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmdft.config import template_parts
from mmdft.data.remote import fetched
from mmdft.errors import DataError
from mmdft.files import resolve_inside
from mmdft.records import ImageRef, Turn

OWN_PIXELS = "mmdft.pixels"
"""The key of `Example.meta` under which a source has its own (min_pixels, max_pixels)."""

# What the field would mean, and is not done here: to leave it out silently changes what is trained.
_UNSUPPORTED = {
    "video": "video",
    "videos": "video",
    "audio": "audio",
    "audios": "audio",
    "tools": "tool use",
    "tool_calls": "tool use",
    "function_call": "tool use",
    "weight": "a weight of its own",
    "loss": "a weight of its own",
}

_WEB_ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)

# Up to the last closing tag, as `mmdft.data.segments` reads a reply.
_THINKING = re.compile(r"\s*<think>.*</think>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a row comes from, and how its source is to be read."""

    file: Path
    row: int
    image_root: Path
    reply: Literal["plain", "think", "boxed"]
    system: str | None
    reasoning: Literal["keep", "strip"] = "keep"
    map: Mapping[str, str | list[str]] | None = None
    pixels: tuple[int | None, int | None] = (None, None)
    """the source's own min_pixels and max_pixels"""
    allow_remote: bool = False
    """whether images at web addresses are fetched"""

    @property
    def id(self) -> str:
        """The id of a row that has none of its own."""
        return f"{self.file.stem}:{self.row}"


def row_id(row: Mapping[str, Any], origin: Origin) -> str:
    """The row's own id, or the one made of its file and number.

    Raises:
        DataError: the source's map takes the id from a column that the row has not.
    """
    if origin.map is not None:
        names = {key: value for key, value in origin.map.items() if key == "id"}
        row = mapped_fields(row, names)
    return str(row["id"]) if row.get("id") is not None else origin.id


def mapped_fields(row: Mapping[str, Any], names: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """The fields of a native row, taken from a row's columns.

    Args:
        row: a row of any table.
        names: for each field a column, a template such as "Hint: {hint}", or a list of columns, of
            which those that are there and not null are put into one list.

    Raises:
        DataError: a column is missing, or does not fit into a template.
    """
    return {field: _mapped(row, value) for field, value in names.items()}


def _mapped(row: Mapping[str, Any], value: str | list[str]) -> Any:
    if isinstance(value, list):
        found = [row[name] for name in value if row.get(name) is not None]
        return [item for part in found for item in (part if isinstance(part, list) else [part])]
    if "{" not in value and "}" not in value:
        return _column(row, value)
    text = ""
    for literal, name in template_parts(value):
        text += literal
        if name is not None:
            part = _column(row, name)
            if not _is_number(part) and not isinstance(part, str):
                kind = part if isinstance(part, float) else type(part).__name__
                raise DataError(f"column {name!r} is {kind}; a template takes text or a number")
            text += str(part)
    return text


def _is_number(value: Any) -> bool:
    # Tables say nan where a number is missing.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _column(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        found = ", ".join(sorted(map(str, row))) or "none"
        raise DataError(f"column {name!r}, which the source's map names, is missing; found {found}")
    return row[name]


def refuse_unsupported(fields: Mapping[str, Any]) -> None:
    """Refuse a row or message with a field that asks for what is not done here.

    Raises:
        DataError: it has such a field, and not an empty one.
    """
    for name, what in _UNSUPPORTED.items():
        if fields.get(name) not in (None, "", [], {}):
            raise DataError(f"field {name!r}: {what} is not supported; leave such rows out")


def images_of(row: Mapping[str, Any], origin: Origin) -> list[ImageRef]:
    """The row's `images`, or its single `image`; either may be a list or one image."""
    given = [row[name] for name in ("images", "image") if row.get(name) not in (None, "", [])]
    images = given[0] if given else []
    return [image_ref(i, origin) for i in (images if isinstance(images, list) else [images])]


def image_ref(value: Any, origin: Origin) -> ImageRef:
    """An image given by path, data URL, or `{"bytes", "path"}` as parquet files hold it.

    Raises:
        DataError: the path leaves the image root, is a web address that may not or cannot be
            fetched, or there is no such file.
    """
    if isinstance(value, Mapping):
        data = value.get("bytes")
        if isinstance(data, bytes):
            return ImageRef(data=data)
        value = value.get("path")
    if not isinstance(value, str) or not value:
        raise DataError(
            "an image must be a path, a data URL or {'bytes': ...}, this one is "
            f"{'empty' if value == '' else type(value).__name__}"
        )
    if value.startswith("data:"):
        _, _, encoded = value.partition("base64,")
        try:
            return ImageRef(data=base64.b64decode(encoded, validate=True))
        except ValueError as error:
            raise DataError(
                f"an image's data URL is not valid base64 ({error}); encode it again"
            ) from error
    if _WEB_ADDRESS.match(value):
        if origin.allow_remote:
            return ImageRef(path=fetched(value))
        raise DataError(
            f"image {value!r} is a web address; download it and give its path, or set the source's "
            "allow_remote: true"
        )
    try:
        return ImageRef(path=resolve_inside(origin.image_root, value.removeprefix("file://")))
    except DataError as error:
        raise DataError(
            f"image {error}; paths of images start from the source's image_root"
        ) from error


def answer_of(row: Mapping[str, Any]) -> str | None:
    """The row's answer as text; None if it is missing or blank."""
    answer = row.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        if not math.isfinite(answer):
            raise DataError(f"field 'answer' is {answer}; give it as a string if it is meant")
        return str(answer)
    if answer is not None and not isinstance(answer, str):
        raise DataError("field 'answer' must be a string or a number; write it as one")
    return answer if answer and answer.strip() else None


def text_of(row: Mapping[str, Any], key: str) -> str:
    """A field that must be there and hold text."""
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"field {key!r} must be a string, this one is {type(value).__name__}")
    if value is None or not value.strip():
        raise DataError(f"field {key!r} is missing or empty; every row needs it")
    return value


def choices_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The row's `choices`, at most as many as there are letters."""
    choices = row.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(item, str) for item in choices):
        raise DataError("field 'choices' must be a list of strings; write each option as one")
    if len(choices) > 26:
        raise DataError(
            f"field 'choices' has {len(choices)} entries; give at most 26, a letter each"
        )
    return tuple(choices)


def with_system(row: Mapping[str, Any], origin: Origin, turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns behind their system prompt: their own, else the row's, else the source's."""
    own = row.get("system")
    if own is not None and not isinstance(own, str):
        raise DataError("field 'system' must be a string; give the prompt as one")
    own = own if own and own.strip() else None
    if turns[0].role == "system":
        if own:
            raise DataError("the row has both a field 'system' and a system turn; keep one")
        return tuple(turns)
    text = own or origin.system
    return (Turn(role="system", parts=(text,)), *turns) if text else tuple(turns)


def with_choices(question: str, choices: Sequence[str]) -> str:
    """The question with its options, one a line, lettered (A), (B), ..."""
    lines = [f"({chr(ord('A') + i)}) {choice}" for i, choice in enumerate(choices)]
    return "\n".join([question, *lines])


def join_reply(reasoning: Any, answer: str, form: Literal["plain", "think", "boxed"]) -> str:
    """The demonstration: reasoning and answer as one reply, in one of three forms."""
    if reasoning is not None and not isinstance(reasoning, str):
        raise DataError("field 'reasoning' must be a string; join its steps to one")
    reasoning = (reasoning or "").strip()
    lead = f"{reasoning}\n" if reasoning else ""
    if form == "think":
        return f"<think>{reasoning}</think>\n<answer>{answer}</answer>"
    if form == "boxed":
        return f"{lead}The answer is \\boxed{{{answer}}}."
    return f"{lead}Answer: {answer}"


def without_thinking(reply: str) -> str:
    """A whole reply without its leading `<think>...</think>`.

    Raises:
        DataError: nothing is left, or a tag stands elsewhere, so that reasoning would stay.
    """
    match = _THINKING.match(reply)
    rest = reply[match.end() :] if match else reply
    if not rest.strip():
        raise DataError(
            "an assistant turn is empty without its <think>...</think>; set reasoning: keep, or "
            "leave such rows out"
        )
    if "<think>" in rest or "</think>" in rest:
        raise DataError(
            "an assistant turn has a think tag that is not part of a leading <think>...</think>; "
            "mend it, or set reasoning: keep"
        )
    return rest
