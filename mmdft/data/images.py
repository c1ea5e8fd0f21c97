"""Opening images safely: what is decoded, and what is refused with the reason."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmdft.errors import DataError
from mmdft.records import ImageRef

# A decoded image of this size takes 300 MB; nothing that a VLM is shown comes near it.
MAX_DECODED_PIXELS = 100_000_000
# Beyond this the Qwen resize is undefined (qwen_vl_utils.vision_process.MAX_RATIO).
MAX_ASPECT_RATIO = 200

# What Pillow was seen to raise on damaged files, depending on the format (found by fuzzing).
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)

Image.init()
# Not all that Pillow opens: EPS, for one, would run Ghostscript on the file.
IMAGE_FORMATS = tuple(
    name
    for name in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
    if name in Image.OPEN
)


def open_image(ref: ImageRef) -> Image.Image:
    """Decode an image to RGB: upright, transparency on white, 16 bits scaled to 8.

    Raises:
        DataError: it cannot be decoded whole, is animated, too large or too elongated.
    """
    try:
        source = ref.path or io.BytesIO(ref.data or b"")
        with Image.open(source, formats=IMAGE_FORMATS) as image:
            _check_size(image, ref)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image), ref)
    except UnidentifiedImageError as error:
        raise DataError(
            f"{ref.label}: not an image, {_first_bytes(ref)}; it must be a whole file of one of "
            f"{', '.join(IMAGE_FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{ref.label}: too large to be decoded safely (decompression bomb: {error}); "
            "scale it down"
        ) from error
    except _BROKEN as error:
        raise DataError(
            f"{ref.label}: cannot be decoded ({error}); copy or download it again"
        ) from error


def _first_bytes(ref: ImageRef) -> str:
    """What a file that is no image begins with, for the message: often it is an error page."""
    if ref.path is None:
        start = (ref.data or b"")[:16]
    else:
        with ref.path.open("rb") as stream:
            start = stream.read(16)
    return f"it begins with {start!r}" if start else "it is empty"


def _check_size(image: Image.Image, ref: ImageRef) -> None:
    width, height = image.size
    if width * height > MAX_DECODED_PIXELS:
        raise DataError(f"{ref.label}: {width}x{height} pixels is too large; scale it down")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise DataError(f"{ref.label}: {width}x{height} is too elongated; crop or pad it")
    # A camera's MPO is a JPEG whose further frames are previews of the first.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{ref.label}: animated, {image.n_frames} frames; save the one you mean")  # type: ignore[attr-defined]


def _to_rgb(image: Image.Image, ref: ImageRef) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # 16-bit greyscale is full scale at 65535; Pillow's own conversion clips it to white.
        values = np.asarray(image, dtype=np.float64)
        if image.mode == "F" or values.min() < 0 or values.max() > 65_535:
            raise DataError(f"{ref.label}: 32-bit pixels have no fixed white; save it in 8 bits")
        return Image.fromarray((values / 257).round().astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        overlay = image.convert("RGBA")
        white = Image.new("RGBA", overlay.size, "white")
        return Image.alpha_composite(white, overlay).convert("RGB")
    return image.convert("RGB")
