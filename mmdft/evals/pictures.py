"""Asking without the right picture: what a model scores then, it did not see.

A benchmark's accuracy says that a model looks at the pictures only if it falls without them: to
what the questions' wording and the most frequent answers give.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from typing import TypeAlias

from PIL import Image

from mmdft.config import ShownImages
from mmdft.data.images import image_size
from mmdft.errors import DataError
from mmdft.records import Example, ImageRef

_Images: TypeAlias = tuple[ImageRef, ...]
# Images tell by their content, for files under several names are one picture.
_Content: TypeAlias = tuple[bytes, ...]


def with_pictures(examples: Sequence[Example], pictures: ShownImages) -> list[Example]:
    """The items as they are asked.

    Args:
        examples: items of one benchmark.
        pictures: kept: each with its own. blank: white ones of the same sizes. swapped: those of
            another item of its category with as many images, or where all of these have the same,
            of any item with as many. Items that share pictures share them still; the order of the
            items decides which they get.

    Raises:
        DataError: an image cannot be read, or no other item has as many.
    """
    if pictures == "blank":
        return [_shown(each, _blank(each)) for each in examples]
    if pictures == "swapped":
        return _swapped(examples)
    return list(examples)


def _shown(example: Example, images: _Images) -> Example:
    """The example with these images in place of its own."""
    left = iter(images)
    turns = [
        replace(turn, parts=tuple(p if isinstance(p, str) else next(left) for p in turn.parts))
        for turn in example.turns
    ]
    return replace(example, turns=tuple(turns))


def _blank(example: Example) -> _Images:
    try:
        return tuple(ImageRef(data=_white(*image_size(ref))) for ref in example.images)
    except DataError as error:
        raise DataError(f"item {example.id}: {error}") from error


@cache
def _white(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(stream, format="PNG")
    return stream.getvalue()


def _swapped(examples: Sequence[Example]) -> list[Example]:
    contents = [_content(each) for each in examples]
    near: dict[tuple[str, int], dict[_Content, _Images]] = {}
    far: dict[int, dict[_Content, _Images]] = {}
    for example, content in zip(examples, contents, strict=True):
        near.setdefault((example.category, len(content)), {})[content] = example.images
        far.setdefault(len(content), {})[content] = example.images
    others_near = {group: _others(pictures) for group, pictures in near.items()}
    others_far = {group: _others(pictures) for group, pictures in far.items()}
    found = []
    for example, content in zip(examples, contents, strict=True):
        if content:
            number = len(content)
            images = others_near[example.category, number].get(content)
            images = images or others_far[number].get(content)
            if images is None:
                raise DataError(
                    f"item {example.id}: no other item has {number} image(s) to swap with; ask "
                    "more items, or set evaluation.images: blank"
                )
            example = _shown(example, images)
        found.append(example)
    return found


def _others(pictures: Mapping[_Content, _Images]) -> dict[_Content, _Images]:
    """For each picture the next one; nothing if there is but one."""
    contents = list(pictures)
    following = [*contents[1:], *contents[:1]]
    return {
        content: pictures[other]
        for content, other in zip(contents, following, strict=True)
        if other != content
    }


def _content(example: Example) -> _Content:
    found = []
    for ref in example.images:
        try:
            content = (ref.data or b"") if ref.path is None else ref.path.read_bytes()
        except OSError as error:
            raise DataError(
                f"item {example.id}: {ref.label}: cannot be read ({error.strerror or error})"
            ) from error
        found.append(blake2b(content, digest_size=16).digest())
    return tuple(found)
