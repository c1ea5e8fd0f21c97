"""Opening images safely: what is decoded, and what is refused with the reason."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

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

# The names of text chunks of a PNG in which Pillow looks for the orientation.
_EXIF_NAMES = (b"Raw profile type exif", b"XML:com.adobe.xmp")

_NO_WHITE = "32-bit pixels have no fixed white; save it in 8 bits"

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
    with _opened(ref) as (_, image):
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image, ref)


def image_size(ref: ImageRef) -> tuple[int, int]:
    """Width and height of what `open_image` gives, read from the image's header.

    Raises:
        DataError: as `open_image`, but for what only decoding shows, such as a cut end.
    """
    with _opened(ref) as (stream, image):
        width, height = image.size
        # Pillow has turned a TIFF's size already.
        is_turned = image.format != "TIFF" and _orientation(stream, image) in (5, 6, 7, 8)
        return (height, width) if is_turned else (width, height)


def refuse_other_size(ref: ImageRef, now: tuple[int, int], then: tuple[int, int]) -> None:
    """See that an image still has the (width, height) that its tokens were made for.

    Raises:
        DataError: it has another.
    """
    if now != then:
        shown = ["x".join(map(str, each)) for each in (now, then)]
        raise DataError(
            f"{ref.label}: {shown[0]} pixels now, {shown[1]} when it was loaded; put the image of "
            "then back, or start again in another folder"
        )


@contextmanager
def _opened(ref: ImageRef) -> Iterator[tuple[BinaryIO, Image.Image]]:
    """An image whose header was read, in its stream; all that goes wrong while open is told."""
    try:
        with (
            ref.path.open("rb") if ref.path is not None else io.BytesIO(ref.data or b"") as stream,
            Image.open(stream, formats=IMAGE_FORMATS) as image,
        ):
            _check_header(image, ref)
            yield stream, image
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


def _orientation(stream: BinaryIO, image: Image.Image) -> Any:
    """How a camera was held (EXIF, 1 to 8), without decoding its picture."""
    behind = image.format == "PNG" and _has_exif_behind(stream)
    # Of a PNG whose header has none, Pillow's own method decodes the picture to look behind it.
    exif = image.getexif() if behind else Image.Image.getexif(image)
    return exif.get(ExifTags.Base.Orientation)


def _has_exif_behind(stream: BinaryIO) -> bool:
    """Whether a PNG may say how it is held behind its picture, where few programs write that."""
    place = stream.tell()
    stream.seek(8)
    behind = found = False
    while not found and len(head := stream.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        name = stream.read(min(size, 21)) if behind else b""
        found = behind and (kind == b"eXIf" or name.startswith(_EXIF_NAMES))
        behind |= kind == b"IDAT"
        stream.seek(size + 4 - len(name), io.SEEK_CUR)
    stream.seek(place)
    return found


def _first_bytes(ref: ImageRef) -> str:
    """What a file that is no image begins with, for the message: often it is an error page."""
    if ref.path is None:
        start = (ref.data or b"")[:16]
    else:
        with ref.path.open("rb") as stream:
            start = stream.read(16)
    return f"it begins with {start!r}" if start else "it is empty"


def _check_header(image: Image.Image, ref: ImageRef) -> None:
    width, height = image.size
    if width * height > MAX_DECODED_PIXELS:
        raise DataError(f"{ref.label}: {width}x{height} pixels is too large; scale it down")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise DataError(f"{ref.label}: {width}x{height} is too elongated; crop or pad it")
    # A camera's MPO is a JPEG whose further frames are previews of the first.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{ref.label}: animated, {image.n_frames} frames; save the one you mean")  # type: ignore[attr-defined]
    if image.mode == "F":
        raise DataError(f"{ref.label}: {_NO_WHITE}")


def _to_rgb(image: Image.Image, ref: ImageRef) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        # 16-bit greyscale is full scale at 65535; Pillow's own conversion clips it to white.
        values = np.asarray(image, dtype=np.float64)
        if values.min() < 0 or values.max() > 65_535:
            raise DataError(f"{ref.label}: {_NO_WHITE}")
        return Image.fromarray((values / 257).round().astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        overlay = image.convert("RGBA")
        white = Image.new("RGBA", overlay.size, "white")
        return Image.alpha_composite(white, overlay).convert("RGB")
    return image.convert("RGB")
