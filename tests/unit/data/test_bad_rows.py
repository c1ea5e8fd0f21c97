"""Every odd row is trained on as a person would read it, or set aside with its reason and mend."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.dataset import RenderedDataset, load_examples
from mmdft.data.images import open_image
from mmdft.data.render import render
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import pixel_budget
from mmdft.records import Example, Rendered

Load = Callable[[str], Any]
RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
GOOD: dict[str, Any] = {"question": "How many?", "answer": "4"}


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def halves(mode: str, left: Any, right: Any, size: tuple[int, int] = (112, 56)) -> Image.Image:
    """An image whose left half is of one colour and its right half of another."""
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def palette() -> Image.Image:
    image = halves("P", 0, 1)
    image.putpalette([*RED, *BLUE])
    return image


def turned() -> bytes:
    image = halves("RGB", RED, BLUE)
    exif = image.getexif()
    exif[0x0112] = 6  # to be shown after a quarter turn clockwise
    return encode(image, "JPEG", exif=exif, quality=95)


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (56, 56), colour) for colour in (RED, BLUE, WHITE)]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims a size, with next to no data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, content)
        for name, content in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(bytes(1000))),
            (b"IEND", b""),
        )
    )


@pytest.fixture
def load(processor: Load, tmp_path: Path) -> Callable[..., Example | str]:
    """One row, in a file of its own below `tmp_path/data`: its example, or why it was set aside."""
    model = processor("qwen2_5_vl")
    (tmp_path / "data").mkdir()
    source = SourceConfig(path=tmp_path / "data" / "rows.jsonl")

    def run(row: Any, image: bytes | None = None, name: str = "figure.png") -> Example | str:
        if image is not None:
            (tmp_path / "data" / name).write_bytes(image)
        # A good row stands beside it: it must stay, and the bad one be named by its line.
        line = row if isinstance(row, bytes) else json.dumps(row).encode()
        source.path.write_bytes(json.dumps({**GOOD, "id": "good"}).encode() + b"\n" + line + b"\n")
        config = DataConfig(max_bad_fraction=0.5)
        budget = pixel_budget(model, None, None)
        found = load_examples([source], config, model, budget)
        assert found.examples[0].id == "good"
        bads = found.bad
        if not bads:
            _, example = found.examples
            rendered = RenderedDataset(found.rows, model, budget)[1]
            if isinstance(rendered, Rendered):
                assert len(rendered.ids) == found.lengths[1]
                return example
            # What only decoding shows is found when the row's turn comes.
            bads = [rendered]
        streamed = StreamedDataset([source], config, model, budget)[1]
        [bad] = bads
        assert streamed == bad
        assert (bad.source, bad.row) == (str(source.path), 2)
        assert "\n" not in bad.reason
        # What is wrong, then what to do; "must be a string" says both.
        assert re.search("; .| must ", bad.reason), f"a reason without a mend: {bad.reason}"
        return bad.reason

    return run


# --- images that are shown ---


@pytest.mark.parametrize(
    ("content", "left", "right"),
    [
        pytest.param(
            encode(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "JPEG", quality=95),
            RED,
            BLACK,
            id="CMYK JPEG",
        ),
        pytest.param(
            encode(Image.fromarray(np.repeat([[0] * 56 + [65_535] * 56], 56, 0).astype(np.uint16))),
            BLACK,
            WHITE,
            id="16 bits",
        ),
        pytest.param(encode(palette(), transparency=1), RED, WHITE, id="palette with transparency"),
        pytest.param(encode(halves("RGBA", (*RED, 255), (*BLUE, 0))), RED, WHITE, id="alpha"),
        pytest.param(encode(halves("LA", (0, 255), (0, 0))), BLACK, WHITE, id="grey with alpha"),
    ],
)
def test_shown_on_white_paper(
    load: Callable[..., Any], content: bytes, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    example = load({**GOOD, "images": ["figure.png"]}, content)
    assert isinstance(example, Example), example
    [ref] = example.images
    image = open_image(ref)
    assert image.mode == "RGB" and image.size == (112, 56)
    for place, colour in ((10, left), (100, right)):
        shown = image.getpixel((place, 28))
        assert np.abs(np.subtract(shown, colour)).max() <= 3


def test_a_turned_photograph_has_the_size_it_is_shown_in(
    load: Callable[..., Any], processor: Load
) -> None:
    example = load({**GOOD, "images": ["figure.jpg"]}, turned(), "figure.jpg")
    assert isinstance(example, Example), example
    image = open_image(example.images[0])
    assert image.size == (56, 112)
    top, bottom = image.getpixel((28, 10)), image.getpixel((28, 100))
    assert np.abs(np.subtract((top, bottom), (RED, BLUE))).max() <= 3
    model = processor("qwen2_5_vl")
    rendered = render(example, model, pixel_budget(model, None, None))
    assert rendered.images["image_grid_thw"].tolist() == [[1, 8, 4]]


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((1, 1), 4),  # enlarged to 56 x 56, the least that the processor takes
        ((200, 1), 7),
        ((1, 200), 7),
        ((50_000, 250), 2 * 505),  # the same shape within the largest area
    ],
)
def test_odd_sizes_are_fitted(
    load: Callable[..., Any], processor: Load, size: tuple[int, int], tokens: int
) -> None:
    example = load({**GOOD, "images": ["figure.png"]}, encode(Image.new("1", size)))
    assert isinstance(example, Example), example
    model = processor("qwen2_5_vl")
    rendered = render(example, model, pixel_budget(model, None, None))
    assert sum(rendered.image_tokens) == tokens


def test_a_small_figure_keeps_its_size(processor: Load) -> None:
    # 3136 = 56 x 56 pixels is the least of Qwen2-VL and Qwen2.5-VL; Qwen3-VL asks for 65536.
    for family, size in (("qwen2_vl", 112), ("qwen2_5_vl", 112), ("qwen2_5_vl", 56)):
        budget = pixel_budget(processor(family), None, None)
        assert budget.min_pixels == 3136
        assert budget.fitted_size(size, size) == (size, size)
    asked = pixel_budget(processor("qwen2_5_vl"), 200_000, None)
    assert asked.fitted_size(112, 112) == (448, 448)


# --- images that are not ---

PHOTO = encode(Image.effect_noise((56, 56), 60))
REFUSED = {
    "cut": (PHOTO[:700], "cannot be decoded (", "; copy or download it again"),
    "empty": (b"", "not an image, it is empty", "must be a whole file of one of PNG, JPEG"),
    "a text": (
        b"I am not a picture.\n" * 9,
        "not an image, it begins with b'I am not a pictu'",
        "must be a whole file",
    ),
    "animated GIF": (animated("GIF"), "animated, 3 frames", "save the one you mean"),
    "animated PNG": (animated("PNG"), "animated, 3 frames", "save the one you mean"),
    "animated WebP": (animated("WEBP"), "animated, 3 frames", "save the one you mean"),
    "too elongated": (
        encode(Image.new("1", (201, 1))),
        "201x1 is too elongated",
        "crop or pad it",
    ),
    "too wide": (
        encode(Image.new("1", (50_000, 100))),
        "50000x100 is too elongated",
        "crop or pad it",
    ),
    "too many pixels": (
        bomb(10_000, 10_001),
        "10000x10001 pixels is too large",
        "scale it down",
    ),
    "a bomb": (bomb(50_000, 50_000), "decompression bomb", "scale it down"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("kind", REFUSED)
def test_an_image_that_cannot_be_shown(load: Callable[..., Any], kind: str, embedded: bool) -> None:
    content, reason, mend = REFUSED[kind]
    image = "figure.png"
    if embedded:
        image = "data:image/png;base64," + base64.b64encode(content).decode()
    found = load({**GOOD, "id": "bad", "images": [image]}, content)
    assert isinstance(found, str)
    assert found.startswith("<embedded image>: " if embedded else "/")
    assert reason in found and found.index(mend) >= found.index(reason)


@pytest.mark.parametrize(
    ("name", "reason", "mend"),
    [
        ("gone.png", "image gone.png: no such file below", "start from the source's image_root"),
        ("../secret.png", "lies outside of", "put the file below that folder"),
        ("{root}/secret.png", "lies outside of", "put the file below that folder"),
        ("file://{root}/secret.png", "lies outside of", "put the file below that folder"),
        ("link.png", "lies outside of", "put the file below that folder"),
        ("links/secret.png", "lies outside of", "put the file below that folder"),
        ("loop.png", "not a file name|no such file", "image_root"),
        (".", "no such file below", "image_root"),
        ("http://example.org/a.png", "is a web address", "download it and give its path"),
        ("HTTPS://example.org/a.png", "is a web address", "download it and give its path"),
        ("s3://bucket/a.png", "is a web address", "download it and give its path"),
        ("data:image/png;base64,??", "not valid base64", ""),
    ],
)
def test_a_path_that_is_not_taken(
    load: Callable[..., Any], tmp_path: Path, name: str, reason: str, mend: str
) -> None:
    (tmp_path / "secret.png").write_bytes(PHOTO)
    os.symlink(tmp_path / "secret.png", tmp_path / "data" / "link.png")
    os.symlink(tmp_path, tmp_path / "data" / "links")
    os.symlink(tmp_path / "data" / "loop.png", tmp_path / "data" / "loop.png")
    found = load({**GOOD, "images": [name.format(root=tmp_path)]})
    assert isinstance(found, str)
    assert re.search(reason, found) and mend in found


def test_paths_and_links_within_the_root_are_taken(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "data" / "real.png").write_bytes(PHOTO)
    os.symlink("real.png", tmp_path / "data" / "link.png")
    for name in ("link.png", "../data/real.png", f"{tmp_path}/data/real.png"):
        example = load({**GOOD, "images": [name]})
        assert isinstance(example, Example), example
        assert example.images[0].path == (tmp_path / "data" / "real.png").resolve()


# --- rows ---

CHAT = [{"from": "human", "value": "<image> and <image>"}, {"from": "gpt", "value": "4"}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"conversations": CHAT, "images": ["figure.png"]}, "2 marks <image> .* for 1 images"),
        ({"conversations": CHAT}, "2 marks <image> .* for 0 images; there must be one for each"),
        (
            {"conversations": CHAT, "images": ["figure.png"] * 3},
            "2 marks <image> .* for 3 images; there must be one for each",
        ),
        ({**GOOD, "answer": ""}, "'answer' is missing or empty; every training row needs one"),
        ({**GOOD, "answer": " \n"}, "'answer' is missing or empty; every training row needs one"),
        ({**GOOD, "answer": None}, "'answer' is missing or empty"),
        ({**GOOD, "answer": ["4"]}, "'answer' must be a string or a number"),
        ({**GOOD, "answer": True}, "'answer' must be a string or a number"),
        ({**GOOD, "question": 5}, "'question' must be a string, this one is int"),
        ({**GOOD, "question": ""}, "'question' is missing or empty; every row needs it"),
        ({**GOOD, "choices": "3, 4"}, "'choices' must be a list of strings"),
        ({**GOOD, "choices": [3, 4]}, "'choices' must be a list of strings"),
        ({**GOOD, "reasoning": ["3"]}, "'reasoning' must be a string"),
        ({**GOOD, "system": 3}, "'system' must be a string"),
        ({**GOOD, "images": 0}, "must be a path, .*, this one is int"),
        ({**GOOD, "images": False}, "must be a path, .*, this one is bool"),
        ({**GOOD, "images": [None]}, "must be a path, .*, this one is NoneType"),
        ({**GOOD, "images": [""]}, "must be a path, .*, this one is empty"),
        ({**GOOD, "images": {"bytes": "abc"}}, "must be a path, a data URL"),
        ({"messages": "hello"}, "'messages' must be a non-empty list"),
        ({"messages": [["user", "hello"]]}, "every message needs a 'role'"),
        (
            {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": ""}]},
            "the last message must be a non-empty reply",
        ),
        ([GOOD], "a row must be an object, this one is list"),
        (b"null", "a row must be an object, this one is NoneType"),
        (b'{"question": "?", "answer', "not valid JSON"),
        (b'{"question": "?", "answer": "4"} {"more": 1}', "not valid JSON"),
        (b'{"question": "\xff", "answer": "4"}', r"not UTF-8 text \(byte 14\)"),
        (json.dumps(GOOD).encode("utf-16-le").replace(b"\n", b""), "not valid JSON|not UTF-8"),
    ],
)
def test_a_row_that_cannot_be_used(load: Callable[..., Any], row: Any, reason: str) -> None:
    found = load(row, PHOTO)
    assert isinstance(found, str), "the row was taken"
    assert re.search(reason, found)


@pytest.mark.parametrize("nothing", [None, "", []])
def test_no_image_is_a_row_of_text(load: Callable[..., Any], nothing: Any) -> None:
    example = load({**GOOD, "images": nothing})
    assert isinstance(example, Example) and not example.images
