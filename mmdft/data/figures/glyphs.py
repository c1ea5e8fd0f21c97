"""A primer for a vision tower that starts from nothing: tiny pictures of one label each.

A row is a conversation of some turns: a picture, and what is written on it. The reply comes right
after the picture, so the tower is taught by every token of it, where in a whole figure a token of
the reply must first find its place.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from PIL.Image import Image

from mmdft.data.figures.canvas import UNITS, Canvas
from mmdft.data.figures.figure import STYLES
from mmdft.data.figures.reading import paint_paper, sample_paper
from mmdft.data.figures.writer import encode_png, store_png
from mmdft.errors import DataError
from mmdft.files import write_jsonl

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ?"
MIN_SIDE = 28
# Between a label's ink and the picture's border, in pixels.
_FREE = 1


def write_glyphs(out: Path, *, num: int, seed: int = 0, side: int = 28, turns: int = 8) -> Path:
    """Write `num` conversations of `turns` pictures each, and return the JSONL's path.

    `out/train.jsonl` has rows in the messages format; the PNGs lie under `out/images/`. Labels are
    numbers from 0 to 99, capital letters and the question mark, anywhere in the picture, in any
    ink on any light paper.

    Args:
        out: the folder to write to; it is made if missing.
        num: how many rows.
        seed: names the set.
        side: of a picture, in pixels, from 28 (one visual token of Qwen2.5-VL) to 112.
        turns: pictures to a row.

    Raises:
        DataError: an argument is wrong, or the folder cannot be written.
    """
    if not MIN_SIDE <= side <= UNITS:
        raise DataError(f"side must be from {MIN_SIDE} to {UNITS} pixels, got {side}")
    if num < 1 or turns < 1:
        raise DataError(f"num and turns must be 1 or more, got {num} and {turns}")
    path = out / "train.jsonl"
    try:
        rows = [_row(out, Random(f"glyphs:{seed}:{i}"), seed, i, side, turns) for i in range(num)]
        write_jsonl(path, rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def _row(out: Path, rng: Random, seed: int, index: int, side: int, turns: int) -> dict[str, Any]:
    images, messages = [], []
    for _ in range(turns):
        label = _label(rng)
        png = encode_png(_glyph(label, rng, side))
        images.append(store_png(out, "images", "glyph", png))
        messages.append({"role": "user", "content": "<image>"})
        messages.append({"role": "assistant", "content": label})
    return {
        "id": f"glyphs-{seed}-{index}",
        "images": images,
        "messages": messages,
        "category": "glyphs",
    }


def _label(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.3:
        return str(rng.randrange(10))
    return str(rng.randrange(100)) if kind < 0.8 else rng.choice(LETTERS)


def _glyph(label: str, rng: Random, side: int) -> Image:
    """The label on a picture as large as the canvas's corner, at the canvas's own scale."""
    canvas = Canvas(UNITS, STYLES["plain"])
    paint_paper(canvas, sample_paper(rng))
    width, height = canvas.text_size(label)
    x = rng.uniform(width / 2 + _FREE, side - width / 2 - _FREE)
    y = rng.uniform(height / 2 + _FREE, side - height / 2 - _FREE)
    canvas.text((x, y), label)
    return canvas.finish().crop((0, 0, side, side))
