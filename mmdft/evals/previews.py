"""Small forms of images, for pages and for folders that must stay small."""

from __future__ import annotations

import io

from PIL import Image

from mmdft.data.images import open_image
from mmdft.records import ImageRef

LONGEST_SIDE = 512
_QUALITY = 50


def preview(ref: ImageRef) -> tuple[bytes, str]:
    """An image as a WebP of at most 512 pixels a side, some 6 kB, and the ending of its name.

    Raises:
        DataError: the image cannot be decoded.
    """
    image = open_image(ref)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=_QUALITY, method=1)
    return stream.getvalue(), "webp"
