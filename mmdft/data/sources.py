"""Raw rows to Examples: one pure function per known format, in a literal table.

To add a format, write a function `(row, origin) -> Example` and name it in FORMATS; say in `detect`
how its rows are recognised.
"""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmdft.config import SourceConfig
from mmdft.errors import DataError
from mmdft.files import jsonl_lines, parse_json, read_json, resolve_inside
from mmdft.records import Example, ImageRef, Role, Turn

ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a row comes from, and how its source is to be read."""

    file: Path
    row: int
    image_root: Path
    reply: Literal["plain", "think", "boxed"]
    system: str | None

    @property
    def id(self) -> str:
        """The id of a row that has none of its own."""
        return f"{self.file.stem}:{self.row}"


def read_rows(source: SourceConfig) -> Iterator[tuple[Origin, Any]]:
    """Yield every row of a source with its origin, as it stands in the file.

    JSONL (plain or gzipped), a JSON array, parquet with image bytes, or the folder of a dataset
    saved by `datasets`.

    Raises:
        DataError: the file is missing, of another kind, or broken as a whole.
    """
    path = source.path
    root = source.image_root or path.parent
    for number, row in itertools.islice(_numbered(path), source.limit):
        yield (
            Origin(
                file=path, row=number, image_root=root, reply=source.reply, system=source.system
            ),
            row,
        )


def _numbered(path: Path) -> Iterator[tuple[int, Any]]:
    name = path.name.removesuffix(".gz")
    if path.is_dir():
        yield from enumerate(_saved_rows(path), start=1)
    elif name.endswith(".jsonl"):
        # Left unparsed, so that one broken line is one bad row.
        yield from jsonl_lines(path)
    elif name.endswith(".json"):
        rows = read_json(path)
        if not isinstance(rows, list):
            raise DataError(f"{path}: a JSON source must be an array of rows")
        yield from enumerate(rows, start=1)
    elif name.endswith(".parquet"):
        yield from enumerate(_parquet_rows(path), start=1)
    else:
        raise DataError(
            f"{path}: unknown kind of file; expected .jsonl, .json, .parquet "
            "or the folder of a saved dataset"
        )


def _saved_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of `Dataset.save_to_disk`, memory-mapped; images stay as they are stored."""
    import datasets

    try:
        table = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not the folder of a saved dataset ({error})") from error
    if isinstance(table, datasets.DatasetDict):
        splits = ", ".join(sorted(table))
        raise DataError(f"{path}: holds several splits ({splits}); give the folder of one")
    # The arrow form does not decode images: that is done once, and safely, by open_image.
    for batch in table.with_format("arrow").iter(batch_size=64):
        yield from batch.to_pylist()


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


def to_example(row: Any, origin: Origin, format_name: str | None) -> Example:
    """Turn one row (a mapping, or a line of JSON) into an Example, in the format named or detected.

    Raises:
        DataError: the row cannot be used; the message names the field and the mend.
    """
    row = parse_row(row)
    return FORMATS[format_name or detect(row)](row, origin)


def parse_row(row: Any) -> Mapping[str, Any]:
    """A row as a mapping, parsed first if it is a line of JSON."""
    if isinstance(row, bytes):
        row = parse_json(row)
    if not isinstance(row, Mapping):
        raise DataError(f"a row must be an object, this one is {type(row).__name__}")
    return row


def row_id(row: Mapping[str, Any], origin: Origin) -> str:
    """The row's own id, or the one made of its file and number."""
    return str(row["id"]) if row.get("id") is not None else origin.id


def detect(row: Mapping[str, Any]) -> str:
    """Name the format of a row by its fields."""
    if "messages" in row:
        return "messages"
    if "question" in row:
        return "native"
    if "problem" in row and "image_path" in row:
        return "wethink"
    raise DataError(
        "no known format: looked for 'messages' (chat), 'question' (native) or 'problem' with "
        f"'image_path' (wethink), found {', '.join(sorted(map(str, row)))}"
    )


def native(row: Mapping[str, Any], origin: Origin) -> Example:
    """`{"id"?, "images"?, "question", "reasoning"?, "answer", "choices"?, "category"?, "meta"?}`.

    A field `response` is taken as the whole reply, word for word; otherwise the reply is made of
    `reasoning` and `answer` in the source's `reply` form.
    """
    question = _text(row, "question")
    answer = _answer(row)
    if answer is None:
        raise DataError("field 'answer' is missing or empty; every training row needs one")
    choices = row.get("choices") or []
    if not _is_list_of_text(choices):
        raise DataError("field 'choices' must be a list of strings")
    if len(choices) > 26:
        raise DataError(f"field 'choices' has {len(choices)} entries; there are 26 letters")
    meta = row.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise DataError("field 'meta' must be an object")
    response = row.get("response")
    if response is None:
        response = join_reply(row.get("reasoning"), answer, origin.reply)
    elif not isinstance(response, str) or not response.strip():
        raise DataError("field 'response' must be a non-empty string")
    turns = (
        *_system(origin),
        Turn(
            role="user",
            parts=(*_images(row, origin), with_choices(question, choices)),
        ),
        Turn(role="assistant", parts=(response,)),
    )
    return Example(
        id=row_id(row, origin),
        turns=turns,
        answer=answer,
        choices=tuple(choices),
        category=str(row.get("category") or ""),
        meta=dict(meta),
    )


def messages(row: Mapping[str, Any], origin: Origin) -> Example:
    """OpenAI-style chat: `{"messages": [{"role", "content"}], "images"?, "answer"?}`.

    Content is a string or a list of parts: `text`, `image_url` (a path or a data URL), or `image`,
    whose file is in the part or, in order, in the row's `images`. Images of a row without image
    parts stand before the first user text.
    """
    raw = row.get("messages")
    if not isinstance(raw, list) or not raw:
        raise DataError("field 'messages' must be a non-empty list")
    waiting = _images(row, origin)
    turns = [_turn(message, waiting, origin) for message in raw]
    if waiting and not any(isinstance(p, ImageRef) for t in turns for p in t.parts):
        first = next((i for i, t in enumerate(turns) if t.role == "user"), None)
        if first is not None:
            turns[first] = Turn(role="user", parts=(*waiting, *turns[first].parts))
            waiting = []
    if waiting:
        raise DataError(f"{len(waiting)} of the row's 'images' have no place in its messages")
    if turns[-1].role != "assistant" or not turns[-1].text.strip():
        raise DataError("the last message must be a non-empty reply of the assistant")
    if turns[0].role != "system":
        turns = [*_system(origin), *turns]
    return Example(
        id=row_id(row, origin),
        turns=tuple(turns),
        answer=_answer(row),
        category=str(row.get("category") or ""),
    )


def wethink(row: Mapping[str, Any], origin: Origin) -> Example:
    """WeThink's rows: `{"problem", "answer", "refined_cot", "image_path", "category"?}`.

    Its questions hold media tags such as `<image>` as plain text; they stay text here.
    """
    reasoning = row.get("refined_cot")
    if isinstance(reasoning, str):
        # Some releases carry the tags that the reply form adds.
        reasoning = reasoning.replace("<think>", "").replace("</think>", "")
    return native(
        {
            "id": row.get("id"),
            "question": row.get("problem"),
            "reasoning": reasoning,
            "answer": row.get("answer"),
            "images": row.get("image_path"),
            "category": row.get("category"),
        },
        origin,
    )


FORMATS: dict[str, Callable[[Mapping[str, Any], Origin], Example]] = {
    "native": native,
    "messages": messages,
    "wethink": wethink,
}


def join_reply(reasoning: Any, answer: str, form: Literal["plain", "think", "boxed"]) -> str:
    """The demonstration: reasoning and answer as one reply, in one of three forms."""
    if reasoning is not None and not isinstance(reasoning, str):
        raise DataError("field 'reasoning' must be a string")
    reasoning = (reasoning or "").strip()
    lead = f"{reasoning}\n" if reasoning else ""
    if form == "think":
        return f"<think>{reasoning}</think>\n<answer>{answer}</answer>"
    if form == "boxed":
        return f"{lead}The answer is \\boxed{{{answer}}}."
    return f"{lead}Answer: {answer}"


def with_choices(question: str, choices: Sequence[str]) -> str:
    """The question with its options, one a line, lettered (A), (B), ..."""
    lines = [f"({chr(ord('A') + i)}) {choice}" for i, choice in enumerate(choices)]
    return "\n".join([question, *lines])


def image_ref(value: Any, origin: Origin) -> ImageRef:
    """An image given by path, data URL, or `{"bytes", "path"}` as parquet files hold it.

    Raises:
        DataError: the path leaves the image root, is a web address, or there is no such file.
    """
    if isinstance(value, Mapping):
        data = value.get("bytes")
        if isinstance(data, bytes):
            return ImageRef(data=data)
        value = value.get("path")
    if not isinstance(value, str) or not value:
        raise DataError("an image must be a path, a data URL or {'bytes': ...}")
    if value.startswith("data:"):
        _, _, encoded = value.partition("base64,")
        try:
            return ImageRef(data=base64.b64decode(encoded, validate=True))
        except ValueError as error:
            raise DataError(f"an image's data URL is not valid base64 ({error})") from error
    if value.lower().startswith(("http://", "https://")):
        raise DataError(f"image {value!r} is a web address; download it and give its path")
    return ImageRef(path=resolve_inside(origin.image_root, value.removeprefix("file://")))


def _turn(message: Any, waiting: list[ImageRef], origin: Origin) -> Turn:
    """One message; its bare image parts take the next of the `waiting` images off the list."""
    name = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(name, str) or name not in ROLES:
        raise DataError("every message needs a 'role' of system, user or assistant")
    role, content = ROLES[name], message.get("content")
    if isinstance(content, str):
        return Turn(role=role, parts=(content,))
    if not isinstance(content, list):
        raise DataError("a message's 'content' must be a string or a list of parts")
    return Turn(role=role, parts=tuple(_part(part, waiting, origin) for part in content))


def _part(part: Any, waiting: list[ImageRef], origin: Origin) -> str | ImageRef:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    if kind == "image_url":
        url = part.get("image_url")
        return image_ref(url.get("url") if isinstance(url, Mapping) else url, origin)
    if kind == "image" and part.get("image"):
        return image_ref(part["image"], origin)
    if kind == "image":
        if not waiting:
            raise DataError("more image parts than entries in the row's 'images'")
        return waiting.pop(0)
    raise DataError(f"unknown content part {kind!r}; expected text, image or image_url")


def _system(origin: Origin) -> tuple[Turn, ...]:
    return (Turn(role="system", parts=(origin.system,)),) if origin.system else ()


def _images(row: Mapping[str, Any], origin: Origin) -> list[ImageRef]:
    """The row's `images`, or its single `image`."""
    images = row.get("images") or row.get("image") or []
    return [image_ref(i, origin) for i in (images if isinstance(images, list) else [images])]


def _answer(row: Mapping[str, Any]) -> str | None:
    """The row's answer as text; None if it is missing or blank."""
    answer = row.get("answer")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        if not math.isfinite(answer):
            raise DataError(f"field 'answer' is {answer}; give it as a string if it is meant")
        return str(answer)
    if answer is not None and not isinstance(answer, str):
        raise DataError("field 'answer' must be a string or a number")
    return answer if answer and answer.strip() else None


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"field {key!r} is missing or empty")
    return value


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
