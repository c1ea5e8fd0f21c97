"""How a figure may look besides its style, by the seed: paper, ink, lines, letters, turn, wear."""

from __future__ import annotations

import io
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from mmdft.data.figures.canvas import UNITS
from mmdft.data.figures.figure import COLORS, Color, Params, Style
from mmdft.data.figures.fonts import FONTS

# How far paper and ink move from those of the split's style, channel by channel.
PAPERS: tuple[Color, ...] = ((0, 0, 0), (-4, -4, -14), (-12, -6, 0), (-8, -2, -10))
INKS: tuple[Color, ...] = ((0, 0, 0), (45, 10, 0), (0, 25, 60), (40, 40, 40))
# Degrees; upright is more frequent.
TURNS = (0, 0, 0, -7, -5, -3, 3, 5, 7)
# What happens to a finished picture; to most nothing.
WEAR = ("none", "none", "none", "none", "grain", "blur", "jpeg")
# By how much grain moves a pixel, and one in how many; a blur in canvas units; a JPEG's quality.
GRAIN, SPARSE = 10, 12
BLUR = 0.25
QUALITY = 60


def sample_look(rng: Random, *, turns: bool) -> dict[str, Any]:
    """A look; it has no say in what a figure asks, nor in its split."""
    return {
        "paper": rng.randrange(len(PAPERS)),
        "ink": rng.randrange(len(INKS)),
        "line": rng.choice((1.0, 1.4, 1.8)),
        "label": rng.choice((7, 7.5, 8)),
        "stroke": rng.choice((0.1, 0.18, 0.25)),
        "turn": rng.choice(TURNS) if turns else 0,
        "grid": rng.random() < 0.6,
        "outline": rng.random() < 0.4,
        "mark": rng.choice(("disc", "square", "diamond")),
        "font": rng.choice(tuple(FONTS)),
        "wear": rng.choice(WEAR),
        "wear_seed": rng.randrange(1000),
    }


def common(rng: Random, num_paths: int, *, turns: bool = False) -> Params:
    """What every figure with a look has beside its numbers: a colour, and a way to work it out."""
    return {
        "color": rng.choice(COLORS),
        "path": rng.randrange(num_paths),
        "look": sample_look(rng, turns=turns),
    }


def styled(style: Style, look: dict[str, Any]) -> Style:
    """The split's style in this look."""
    return replace(
        style,
        background=_moved(style.background, PAPERS[look["paper"]]),
        ink=_moved(style.ink, INKS[look["ink"]]),
        line_width=look["line"],
        label_size=look["label"],
        stroke=look["stroke"],
        font=look["font"],
    )


def worn(image: Image.Image, look: dict[str, Any]) -> Image.Image:
    """The finished picture with the look's wear."""
    match look["wear"]:
        case "grain":
            return _grained(image, look["wear_seed"])
        case "blur":
            return image.filter(ImageFilter.GaussianBlur(BLUR * image.width / UNITS))
        case "jpeg":
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=QUALITY)
            return Image.open(stream).convert("RGB")
        case _:
            return image


def _grained(image: Image.Image, seed: int) -> Image.Image:
    """Some pixels a little lighter or darker."""
    values = np.asarray(image, dtype=np.int16)
    rng = np.random.default_rng(seed)
    moves = rng.choice((-GRAIN, GRAIN), values.shape[:2])
    moves *= rng.integers(0, SPARSE, values.shape[:2]) == 0
    moved = values + moves[..., None]
    return Image.fromarray(moved.clip(0, 255).astype(np.uint8))


def _moved(color: Color, by: Color) -> Color:
    red, green, blue = (min(255, max(0, c + d)) for c, d in zip(color, by, strict=True))
    return red, green, blue
