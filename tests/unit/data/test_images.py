"""Odd images are shown as a person would see them, or refused by name; sizes are predicted."""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import example as explicit
from hypothesis import strategies as st
from PIL import Image, ImageFile

from mmdft.data.images import image_size, open_image
from mmdft.data.vision import PixelBudget, fit, pixel_budget
from mmdft.errors import DataError, ModelError
from mmdft.records import ImageRef

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)
Load = Callable[[str], Any]


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def opened(content: bytes) -> Image.Image:
    return open_image(ImageRef(data=content))


def row_of(mode: str, pixels: list[Any]) -> Image.Image:
    """An image one pixel high."""
    image = Image.new(mode, (len(pixels), 1))
    image.putdata(pixels)
    return image


def pixels(image: Image.Image) -> list[tuple[int, ...]]:
    assert image.mode == "RGB"
    return [tuple(p) for p in np.asarray(image).reshape(-1, 3).tolist()]


def palette_of(indices: list[int]) -> Image.Image:
    image = row_of("P", indices)
    image.putpalette([*RED, *BLUE, *BLACK])
    return image


def frames() -> list[Image.Image]:
    return [Image.new("RGB", (24, 20), colour) for colour in (RED, BLUE, WHITE)]


def photograph() -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    return Image.fromarray(values)


# --- colours ---


def grey16(values: list[int]) -> bytes:
    return encode(Image.fromarray(np.array([values], dtype=np.uint16)))


COLOURS = {
    "palette": (encode(palette_of([0, 1, 2])), [RED, BLUE, BLACK]),
    "palette, one colour transparent": (
        encode(palette_of([0, 1, 2]), transparency=1),
        [RED, WHITE, BLACK],
    ),
    "palette, alpha by colour": (
        encode(palette_of([0, 1, 2]), transparency=b"\x80\x00\xff"),
        [(255, 127, 127), WHITE, BLACK],
    ),
    "grey with alpha": (
        encode(row_of("LA", [(0, 64), (0, 0), (200, 255)])),
        [(191,) * 3, WHITE, (200,) * 3],
    ),
    "colour with alpha": (
        encode(row_of("RGBA", [(10, 20, 30, 51), (10, 20, 30, 0), (10, 20, 30, 255)])),
        [(206, 208, 210), WHITE, (10, 20, 30)],
    ),
    "colour, one transparent": (
        encode(row_of("RGB", [(1, 2, 3), (3, 2, 1)]), transparency=(1, 2, 3)),
        [WHITE, (3, 2, 1)],
    ),
    "grey, one transparent": (
        encode(row_of("L", [0, 7]), transparency=0),
        [WHITE, (7, 7, 7)],
    ),
    "1 bit": (encode(row_of("1", [0, 255, 0])), [BLACK, WHITE, BLACK]),
    "16 bit grey": (
        grey16([0, 65_535, 257, 32_768, 100 * 257]),
        [BLACK, WHITE, (1,) * 3, (128,) * 3, (100,) * 3],
    ),
    "16 bit grey, all dark": (grey16([0, 128, 255]), [BLACK, BLACK, (1,) * 3]),
    "16 bit grey, PGM": (
        b"P5 3 1 65535\n" + struct.pack(">3H", 0, 65_535, 257),
        [BLACK, WHITE, (1,) * 3],
    ),
    "CMYK": (
        encode(row_of("CMYK", [(0, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)]), "TIFF"),
        [WHITE, RED, BLACK],
    ),
    "GIF of one frame": (encode(palette_of([2, 1, 0]), "GIF"), [BLACK, BLUE, RED]),
    "WebP": (encode(row_of("RGB", [RED, BLUE]), "WEBP", lossless=True), [RED, BLUE]),
    "BMP": (encode(row_of("RGB", [RED, BLUE]), "BMP"), [RED, BLUE]),
    "one pixel": (encode(row_of("RGB", [(1, 2, 3)])), [(1, 2, 3)]),
}


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_are_those_on_white_paper(kind: str) -> None:
    content, expected = COLOURS[kind]
    image = opened(content)
    assert image.size == (len(expected), 1)
    assert pixels(image) == expected


@pytest.mark.parametrize(
    ("orientation", "size", "expected"),
    [
        (1, (2, 1), [RED, BLUE]),
        (2, (2, 1), [BLUE, RED]),
        (3, (2, 1), [BLUE, RED]),
        (6, (1, 2), [RED, BLUE]),
        (8, (1, 2), [BLUE, RED]),
    ],
)
def test_turned_upright(orientation: int, size: tuple[int, int], expected: list[Any]) -> None:
    image = row_of("RGB", [RED, BLUE])
    exif = image.getexif()
    exif[0x0112] = orientation
    upright = opened(encode(image, exif=exif))
    assert upright.size == size
    assert pixels(upright) == expected


def test_a_cameras_preview_frames_are_no_animation() -> None:
    photo = photograph()
    content = encode(photo, "MPO", save_all=True, append_images=[photo.resize((12, 10))])
    assert getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == 2
    assert pixels(opened(content)) == pixels(opened(encode(photo, "JPEG")))


def test_bytes_and_file_are_the_same(tmp_path: Path) -> None:
    content = encode(photograph())
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    assert pixels(open_image(ImageRef(path=path))) == pixels(opened(content))
    assert pixels(opened(content)) == pixels(photograph())


# --- shapes ---


@pytest.mark.parametrize("size", [(1, 1), (200, 1), (1, 200), (2000, 10)])
def test_elongated_up_to_200(size: tuple[int, int]) -> None:
    assert opened(encode(Image.new("RGB", size))).size == size


@pytest.mark.parametrize("size", [(201, 1), (1, 201), (2001, 10)])
def test_too_elongated(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=f"{size[0]}x{size[1]} is too elongated; crop or pad"):
        opened(encode(Image.new("RGB", size)))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, with next to no data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, content)
        for name, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((10_000, 10_001), "10000x10001 pixels is too large; scale it down"),
        ((100_000, 90_000), "decompression bomb"),
    ],
)
def test_a_bomb_is_refused_by_its_header(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], reason: str
) -> None:
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self.size))
    with pytest.raises(DataError, match=reason):
        opened(png_header(*size))
    assert not decoded


# --- refusals ---

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
BROKEN = {
    "no bytes": (b"", "not an image"),
    "a text": (b"I am not a picture.\n" * 10, "not an image"),
    "a web page": (b"<!DOCTYPE html><html><body>404</body></html>", "not an image"),
    "a program for Ghostscript": (EPS, "not an image"),
    "half a PNG": (encode(photograph())[:700], "cannot be decoded"),
    "half a JPEG": (encode(photograph(), "JPEG")[:-200], "cannot be decoded"),
    "half a WebP": (encode(photograph(), "WEBP")[:-100], "not an image|cannot be decoded"),
    "an animated GIF": (
        encode(frames()[0], "GIF", save_all=True, append_images=frames()[1:]),
        "animated, 3 frames; save the one you mean",
    ),
    "an animated PNG": (
        encode(frames()[0], "PNG", save_all=True, append_images=frames()[1:]),
        "animated, 3 frames",
    ),
    "an animated WebP": (
        encode(frames()[0], "WEBP", save_all=True, append_images=frames()[1:]),
        "animated, 3 frames",
    ),
    "a TIFF of pages": (
        encode(frames()[0], "TIFF", save_all=True, append_images=frames()[1:]),
        "animated, 3 frames",
    ),
    "a TIFF of floats": (
        encode(Image.new("F", (4, 4), 0.5), "TIFF"),
        "32-bit pixels have no fixed white",
    ),
    "a TIFF of large integers": (
        encode(Image.new("I", (4, 4), 70_000), "TIFF"),
        "32-bit pixels have no fixed white",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_refused_by_name(tmp_path: Path, kind: str) -> None:
    content, reason = BROKEN[kind]
    path = tmp_path / "figure.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*({reason})"):
        open_image(ImageRef(path=path))
    with pytest.raises(DataError, match=f"^<embedded image>: .*({reason})"):
        opened(content)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match=f"^{re.escape(str(path))}: cannot be decoded"):
            open_image(ImageRef(path=path))


def test_an_animation_cut_anywhere_is_refused_or_its_first_frame() -> None:
    whole = encode(frames()[0], "GIF", save_all=True, append_images=frames()[1:])
    outcomes = set()
    for end in range(len(whole)):
        try:
            assert pixels(opened(whole[:end])) == [RED] * (24 * 20)
            outcomes.add("first frame")
        except DataError:
            outcomes.add("refused")
    assert outcomes == {"first frame", "refused"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "PPM", "AVIF"])
def test_damage_never_escapes_as_another_error(kind: str) -> None:
    image = photograph()
    exif = image.getexif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "AVIF") else {}
    try:
        whole = encode(image, kind, **options)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    draw = random.Random(kind)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 3, 9])):
            damaged[draw.randrange(draw.choice([64, len(whole)]))] = draw.randrange(256)
        try:
            pixels(opened(bytes(damaged[: draw.choice([len(whole), draw.randrange(len(whole))])])))
        except DataError:
            refused += 1
    assert refused > 0


# --- sizes from the header ---


def size_or_reason(of: Callable[[ImageRef], Any], content: bytes) -> Any:
    try:
        found = of(ImageRef(data=content))
    except DataError as error:
        return str(error)
    return getattr(found, "size", found)


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Any]:
    """The size, or the refusal, of an image that must not be decoded for it."""

    def read(content: bytes) -> Any:
        with monkeypatch.context() as patched:
            decoded: list[Any] = []
            patched.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self))
            found = size_or_reason(image_size, content)
            assert not decoded
            return found

    return read


def with_orientation(kind: str, orientation: int, **options: Any) -> bytes:
    image = photograph()
    exif = image.getexif()
    exif[0x0112] = orientation
    return encode(image, kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_the_size_is_the_upright_images(
    undecoded: Callable[[bytes], Any], kind: str, orientation: int
) -> None:
    try:
        content = with_orientation(kind, orientation)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    width, height = photograph().size
    assert width != height
    assert opened(content).size == ((height, width) if orientation >= 5 else (width, height))
    assert undecoded(content) == opened(content).size


def png_chunks(content: bytes) -> list[bytes]:
    chunks, place = [], 8
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4])
        chunks.append(content[place:end])
        place = end
    return chunks


def text_chunk(name: bytes, text: str) -> bytes:
    content = b"iTXt" + name + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


@pytest.mark.parametrize("where", ["in front", "behind"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_png_may_tell_its_orientation_behind_its_pixels(where: str, orientation: int) -> None:
    xmp = text_chunk(b"XML:com.adobe.xmp", f'<x tiff:Orientation="{orientation}"/>')
    plain = png_chunks(encode(photograph()))
    [exif] = [c for c in png_chunks(with_orientation("PNG", orientation)) if c[4:8] == b"eXIf"]
    for chunk in (xmp, exif):
        place = 1 if where == "in front" else -1
        content = b"\x89PNG\r\n\x1a\n" + b"".join([*plain[:place], chunk, *plain[place:]])
        size = opened(content).size
        assert size == (photograph().size if orientation < 5 else photograph().size[::-1])
        assert size_or_reason(image_size, content) == size


def test_other_texts_behind_the_pixels_are_passed_over(
    undecoded: Callable[[bytes], Any],
) -> None:
    chunks = png_chunks(encode(photograph()))
    chunks.insert(-1, text_chunk(b"date:create", "2026-01-01"))
    assert undecoded(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)) == photograph().size


NEEDS_PIXELS = ("half a PNG", "half a JPEG", "half a WebP", "a TIFF of large integers")


@pytest.mark.parametrize("kind", sorted(set(BROKEN).difference(NEEDS_PIXELS)))
def test_what_a_header_shows_is_refused_in_the_same_words(
    undecoded: Callable[[bytes], Any], kind: str
) -> None:
    content, _ = BROKEN[kind]
    assert undecoded(content) == size_or_reason(open_image, content)
    assert isinstance(undecoded(content), str)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 10_001), (100_000, 90_000), (201, 1)])
def test_bombs_and_strips_are_refused_in_the_same_words(
    undecoded: Callable[[bytes], Any], size: tuple[int, int]
) -> None:
    refused = undecoded(png_header(*size))
    assert isinstance(refused, str) and refused == size_or_reason(open_image, png_header(*size))


@pytest.mark.parametrize("kind", NEEDS_PIXELS[:2])
def test_a_cut_end_is_not_seen(undecoded: Callable[[bytes], Any], kind: str) -> None:
    assert undecoded(BROKEN[kind][0]) == photograph().size


def test_the_size_of_files(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    for missing in (path, tmp_path):
        with pytest.raises(DataError, match=f"^{re.escape(str(missing))}: cannot be decoded"):
            image_size(ImageRef(path=missing))
    path.write_bytes(with_orientation("PNG", 6))
    assert image_size(ImageRef(path=path)) == photograph().size[::-1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_a_damaged_header_gives_no_other_size(kind: str) -> None:
    """Whatever the damage: what can be decoded has the size its header says."""
    options = {} if kind in ("GIF", "BMP", "PPM") else {"exif": photograph().getexif()}
    if options:
        options["exif"][0x0112] = 6
    whole = encode(photograph(), kind, **options)
    draw = random.Random(kind)
    decoded = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 3])):
            damaged[draw.randrange(draw.choice([120, len(whole)]))] = draw.randrange(256)
        real = size_or_reason(open_image, bytes(damaged))
        if not isinstance(real, str):
            assert size_or_reason(image_size, bytes(damaged)) == real
            decoded += 1
    assert decoded > 0


# --- the pixel budget ---


def real_tokens(processor: Any, image: Image.Image, **options: Any) -> int:
    """Visual tokens by the processor's own tensors."""
    batch = processor.image_processor(images=[image], return_tensors="pt", **options)
    merge = processor.image_processor.merge_size**2
    assert batch["pixel_values"].shape[0] == batch["image_grid_thw"].prod().item()
    return int(batch["pixel_values"].shape[0]) // int(merge)


SIDES = st.integers(1, 500)
LIMITS = st.sampled_from([(None, None), (1, 4), (4, 20), (16, 100), (1, 1)])


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60)
@explicit(width=4000, height=20, limits=(4, 20))
@explicit(width=1, height=200, limits=(4, 20))
@explicit(width=1, height=1, limits=(None, None))
@given(width=SIDES, height=SIDES, limits=LIMITS)
def test_tokens_are_predicted(
    processor: Load, family: str, width: int, height: int, limits: tuple[int | None, int | None]
) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    model = processor(family)
    area = pixel_budget(model, None, None).factor ** 2
    budget = pixel_budget(model, *(limit and limit * area for limit in limits))
    fitted = fit(Image.new("RGB", (width, height)), budget)
    predicted = budget.num_tokens(width, height)
    assert fitted.size == budget.fitted_size(width, height)
    assert real_tokens(model, fitted, do_resize=False) == predicted
    # The processor's own resize differs only for images thinner than half a token.
    if limits == (None, None) and min(width, height) > budget.factor / 2:
        assert real_tokens(model, Image.new("RGB", (width, height))) == predicted


LARGE_SIDES = st.integers(1, 20_000)


@settings(max_examples=400)
@explicit(width=4000, height=20, patch=14, limits=(4, 64))
@given(
    width=LARGE_SIDES,
    height=LARGE_SIDES,
    patch=st.sampled_from([14, 16]),
    limits=st.sampled_from([(4, 64), (64, 16_384), (1, 4), (256, 1280)]),
)
def test_shape_and_area_are_kept(
    width: int, height: int, patch: int, limits: tuple[int, int]
) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    factor = 2 * patch
    smallest, largest = (limit * factor**2 for limit in limits)
    budget = PixelBudget(min_pixels=smallest, max_pixels=largest, patch_size=patch, merge_size=2)
    columns, rows = budget.fitted_size(width, height)
    assert columns % factor == rows % factor == 0
    assert columns * rows >= smallest
    assert columns * rows <= largest or min(columns, rows) == factor
    # Some one scale brings both sides to within one factor of what they became.
    least = max((columns - factor) / width, (rows - factor) / height)
    most = min((columns + factor) / width, (rows + factor) / height)
    assert least <= most
    # Inside the budget an image is only rounded: a small figure is not blown up.
    half = factor / 2
    # (Where rounding alone would pass the upper limit, qwen-vl-utils may overshoot on one side.)
    enough = (width - half) * (height - half) >= smallest and min(width, height) >= half
    if enough and (width + half) * (height + half) <= largest:
        assert width - half <= columns <= width + half
        assert height - half <= rows <= height + half


@pytest.mark.parametrize(
    ("family", "size", "tokens"),
    [
        ("qwen2_vl", (28, 28), 4),  # at least 56 x 56
        ("qwen2_5_vl", (100, 60), 4 * 2),
        ("qwen2_5_vl", (112, 112), 4 * 4),
        ("qwen2_5_vl", (1000, 1000), 35 * 35),  # 36 x 36 would be more than 1003520 pixels
        ("qwen3_vl", (100, 60), 11 * 7),  # its processor asks for 65536 pixels or more
        ("qwen3_vl", (256, 256), 8 * 8),
        ("qwen3_vl", (1000, 1000), 31 * 31),
    ],
)
def test_the_default_budget_is_the_processors(
    processor: Load, family: str, size: tuple[int, int], tokens: int
) -> None:
    assert pixel_budget(processor(family), None, None).num_tokens(*size) == tokens


def test_a_budget_of_ones_own(processor: Load) -> None:
    model = processor("qwen3_vl")
    budget = pixel_budget(model, 1024, 4 * 1024)
    assert budget == PixelBudget(min_pixels=1024, max_pixels=4096, patch_size=16, merge_size=2)
    assert budget.factor == 32
    # A largest below the processor's own smallest wins.
    assert pixel_budget(model, None, 1024).min_pixels == 1024


def test_fitting_keeps_the_picture(processor: Load) -> None:
    image = Image.new("RGB", (112, 56), RED)
    image.paste(BLUE, (56, 0, 112, 56))
    budget = pixel_budget(processor("qwen2_vl"), 28 * 28, 8 * 28 * 28)
    assert pixels(fit(image, budget)) == pixels(image)
    small = fit(image, pixel_budget(processor("qwen2_vl"), 28 * 28, 2 * 28 * 28))
    assert small.size == (56, 28)
    assert (small.getpixel((5, 14)), small.getpixel((50, 14))) == (RED, BLUE)


def test_another_kind_of_processor_is_refused(processor: Load) -> None:
    with pytest.raises(ModelError, match="Qwen2Tokenizer is not supported; use a model of one"):
        pixel_budget(processor("qwen2_vl").tokenizer, None, None)


# --- real benchmarks ---


@pytest.mark.parametrize(
    ("folder", "num"), [("dynamath/image", 501), ("mathvision_testmini/images", 304)]
)
def test_benchmark_images_open_and_are_predicted(
    processor: Load, shared: Callable[[str], Path], folder: str, num: int
) -> None:
    model = processor("qwen2_5_vl")
    budget = pixel_budget(model, None, None)
    paths = sorted(shared(f"benchmarks/{folder}").iterdir())
    assert len(paths) == num
    sample = set(random.Random(0).sample(paths, 15))
    for path in paths:
        image = open_image(ImageRef(path=path))
        assert image.mode == "RGB"
        if path in sample:
            predicted = budget.num_tokens(*image.size)
            assert real_tokens(model, fit(image, budget), do_resize=False) == predicted
            assert real_tokens(model, image) == predicted
