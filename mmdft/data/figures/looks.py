"""How a figure may look besides its style: paper, ink, lines, label size and grain, by the seed."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from mmdft.data.figures.figure import Color, Style

# How far paper and ink move from those of the split's style, channel by channel.
PAPERS: tuple[Color, ...] = ((0, 0, 0), (-4, -4, -14), (-12, -6, 0), (-8, -2, -10))
INKS: tuple[Color, ...] = ((0, 0, 0), (45, 10, 0), (0, 25, 60), (40, 40, 40))


def sample_look(rng: Random) -> dict[str, Any]:
    """A look; it has no say in what a figure asks, nor in its split."""
    return {
        "paper": rng.randrange(len(PAPERS)),
        "ink": rng.randrange(len(INKS)),
        "line": rng.choice((1.0, 1.4, 1.8)),
        "label": rng.choice((7, 8)),
        "grid": rng.random() < 0.5,
        "grain": rng.choice((0, 0, 0, 5)),
    }


def styled(style: Style, look: dict[str, Any]) -> Style:
    """The split's style in this look."""
    return replace(
        style,
        background=_moved(style.background, PAPERS[look["paper"]]),
        ink=_moved(style.ink, INKS[look["ink"]]),
        line_width=look["line"],
        label_size=look["label"],
    )


def grained(image: Image.Image, look: dict[str, Any]) -> Image.Image:
    """The picture with the look's grain: each value moved by at most so much, by a fixed seed."""
    if not look["grain"]:
        return image
    values = np.asarray(image, dtype=np.int16)
    most = look["grain"]
    moved = values + np.random.default_rng(0).integers(-most, most + 1, values.shape)
    return Image.fromarray(moved.clip(0, 255).astype(np.uint8))


def _moved(color: Color, by: Color) -> Color:
    red, green, blue = (min(255, max(0, c + d)) for c, d in zip(color, by, strict=True))
    return red, green, blue
