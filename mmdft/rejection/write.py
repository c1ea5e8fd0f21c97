"""Kept answers as rows of a training file, with their images beside it.

A row is native where the native format can say it: an optional system prompt, and one user turn of
images followed by a text. Any other conversation is a row of the format `messages`. Both may stand
in one file, since a row's format is told by its fields. The answer is taken word for word, with its
reasoning as the model wrote it.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from mmdft.data.images import IMAGE_FORMATS
from mmdft.data.sources import with_choices
from mmdft.files import write_bytes
from mmdft.records import Example, ImageRef, Turn

IMAGES = "images"


def training_row(
    example: Example,
    sample: int,
    response: str,
    meta: Mapping[str, Any],
    image_name: Callable[[ImageRef], str],
) -> dict[str, Any]:
    """A row that mmdft reads as the example with this reply.

    Args:
        example: the question, as it was asked; ends with the user's turn.
        sample: the answer's number.
        response: the answer, not blank.
        meta: the row's `meta`.
        image_name: an image's path, relative to the file.
    """
    row: dict[str, Any] = {"id": f"{example.id}-{sample}"}
    row |= _native(example, response, image_name) or _messages(example, response, image_name)
    row["answer"] = example.answer
    if example.category:
        row["category"] = example.category
    return row | {"meta": dict(meta)}


def _native(
    example: Example, response: str, image_name: Callable[[ImageRef], str]
) -> dict[str, Any] | None:
    """The native fields; None if these turns would not be read from them again."""
    fields: dict[str, Any] = {}
    turns = example.turns
    if turns[0].role == "system":
        if len(turns[0].parts) != 1 or not turns[0].text.strip():
            return None
        fields["system"] = turns[0].text
        turns = turns[1:]
    if len(turns) != 1 or not turns[0].parts:
        return None
    *images, text = turns[0].parts
    shown = [image_name(ref) for ref in images if isinstance(ref, ImageRef)]
    if len(shown) != len(images) or not isinstance(text, str):
        return None
    options = with_choices("", example.choices)
    question = text.removesuffix(options)
    if not question.strip():
        return None
    if shown:
        fields["images"] = shown
    fields["question"] = question
    if example.choices and question != text:
        fields["choices"] = list(example.choices)
    return fields | {"response": response}


def _messages(
    example: Example, response: str, image_name: Callable[[ImageRef], str]
) -> dict[str, Any]:
    messages = [
        {"role": turn.role, "content": _content(turn, image_name)} for turn in example.turns
    ]
    return {"messages": [*messages, {"role": "assistant", "content": response}]}


def _content(turn: Turn, image_name: Callable[[ImageRef], str]) -> str | list[dict[str, str]]:
    if len(turn.parts) == 1 and isinstance(turn.parts[0], str):
        return turn.parts[0]
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image", "image": image_name(part)}
        for part in turn.parts
    ]


class ImagesBeside:
    """Puts images into the folder of a training file and names them; each only once.

    A file's name is the hash of its content, so a write that was cut short is done again with the
    same result. An image that is a file on the same disk is linked, not copied.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[ImageRef, str] = {}

    def __call__(self, ref: ImageRef) -> str:
        """The image's path, relative to the folder."""
        if ref not in self._names:
            self._names[ref] = self._put(ref)
        return self._names[ref]

    def _put(self, ref: ImageRef) -> str:
        content = ref.path.read_bytes() if ref.path is not None else ref.data or b""
        with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            ending = str(image.format).lower()
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        name = f"{IMAGES}/{digest}.{ending}"
        target = self.folder / name
        if not target.exists() and (ref.path is None or not _linked(ref.path, target)):
            write_bytes(target, content)
        return name


def _linked(path: Path, target: Path) -> bool:
    """Whether the file could be linked: not to another disk, and not on every kind of one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), target)
    except OSError:
        return False
    return True
