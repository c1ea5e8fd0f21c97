"""Rendered tokens as few bytes, for the time until their example's turn comes."""

from __future__ import annotations

import zlib
from array import array
from itertools import pairwise

from mmdft.records import Rendered


def stored(rendered: Rendered) -> bytes:
    """The tokens of an example, packed; its images' tensors are left out."""
    ids = array("i", rendered.ids).tobytes()
    flags = (rendered.mask, rendered.segments, rendered.image_tokens)
    return zlib.compress(ids + b"".join(map(bytes, flags)), 1)


def unstored(content: bytes, name: str) -> Rendered:
    """What `stored` packed.

    Args:
        content: of `stored`.
        name: the example's id.
    """
    unpacked = zlib.decompress(content)
    num = len(unpacked) // (array("i").itemsize + 3)
    ends = [len(unpacked) - part * num for part in (3, 2, 1, 0)]
    ids = array("i")
    ids.frombytes(unpacked[: ends[0]])
    mask, segments, image_tokens = (unpacked[a:b] for a, b in pairwise(ends))
    return Rendered(
        id=name,
        ids=tuple(ids),
        mask=tuple(map(bool, mask)),
        segments=tuple(segments),
        image_tokens=tuple(map(bool, image_tokens)),
        images={},
    )
