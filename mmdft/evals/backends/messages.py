"""A prompt as the messages of OpenAI's chat completions: text, and images inside data URLs."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, TypeAlias

from PIL import Image

from mmdft.data.images import IMAGE_FORMATS, open_image
from mmdft.records import ImageRef, Turn

Pixels: TypeAlias = tuple[int | None, int | None]
"""Smallest and largest area of an image in pixels; None has no such bound."""

# What any server decodes, by Pillow's names.
_MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def chat_messages(turns: Sequence[Turn], pixels: Pixels) -> list[dict[str, Any]]:
    """The turns as messages, their images in reading order.

    Raises:
        DataError: an image cannot be opened.
    """
    return [{"role": turn.role, "content": _content(turn, pixels)} for turn in turns]


def data_url(ref: ImageRef, pixels: Pixels) -> str:
    """An image as a data URL: the file's own bytes, or where it must change, a PNG.

    It must change if its area is out of bounds, if it is of a kind that not every server knows, or
    if a plain decoder would show it otherwise than `open_image`: turned, or its transparency lost.

    Raises:
        DataError: it cannot be opened.
    """
    image = open_image(ref)
    size = fitted_size(image.width, image.height, pixels)
    content = ref.path.read_bytes() if ref.path is not None else ref.data or b""
    mime = _mime_as_it_is(content, image) if size == image.size else None
    if mime is None:
        mime, content = _MIME["PNG"], _png(image.resize(size, Image.Resampling.BICUBIC))
    return f"data:{mime};base64,{b64encode(content).decode()}"


def fitted_size(width: int, height: int, pixels: Pixels) -> tuple[int, int]:
    """The width and height nearest to an image's own whose area is within bounds.

    The aspect ratio is kept to within a pixel. No area is above the largest; where no size with
    that ratio reaches the smallest below it, the area is the next smaller one.
    """
    smallest, largest = pixels
    area = width * height
    if largest is not None and area > largest:
        return _scaled_down(width, height, largest)
    if smallest is None or area >= smallest:
        return width, height
    scale = math.sqrt(smallest / area)
    larger = math.ceil(width * scale), math.ceil(height * scale)
    if largest is not None and larger[0] * larger[1] > largest:
        return _scaled_down(width, height, largest)
    return larger


def _scaled_down(width: int, height: int, largest: int) -> tuple[int, int]:
    scale = math.sqrt(largest / (width * height))
    # One pixel at the least; the other side then has what the area leaves.
    columns = min(max(1, math.floor(width * scale)), largest)
    return columns, min(max(1, math.floor(height * scale)), largest // columns)


def _content(turn: Turn, pixels: Pixels) -> str | list[dict[str, Any]]:
    if all(isinstance(part, str) for part in turn.parts):
        return turn.text
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": data_url(part, pixels)}}
        for part in turn.parts
    ]


def _mime_as_it_is(content: bytes, image: Image.Image) -> str | None:
    """The MIME type of a file that a plain decoder shows as `image`; None if it does not."""
    with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as plain:
        if plain.format not in _MIME or plain.mode not in ("RGB", "L"):
            return None
        same = plain.size == image.size and plain.convert("RGB").tobytes() == image.tobytes()
        return _MIME[plain.format] if same else None


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
