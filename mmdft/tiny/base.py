"""The shipped base before it has learnt anything: sizes, processor and tokenizer of `mmdft/tiny`.

`data/tiny_base` holds the recipe that trains it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import Qwen2VLImageProcessor

from mmdft.tiny.build import write_model
from mmdft.tiny.families import FAMILY_BUILDERS, TinyParts, TinySize
from mmdft.tiny.templates import qwen

BASE_SIZE = TinySize(
    layers=4, width=192, heads=6, vision_layers=4, vision_width=128, vision_heads=4, init=0.05
)
# The kinds of figures that it is trained on; the other basic ones, it has never seen.
FAMILIES = (
    "triangle_perimeter",
    "triangle_angle",
    "rectangle_area",
    "rectangle_perimeter",
    "circle_circumference",
    "polygon_sides",
    "grid_area",
    "bar_max",
    "bar_min",
    "bar_count",
    "bar_sum",
    "line_change",
    "fraction_parts",
)
# How often, and what, in JSON, line by line.
TEXTS = Path(__file__).parent / "base_texts.txt"
# A visual token is 28 x 28 pixels; it has learnt pictures of 112 x 112, 16 tokens.
MIN_PIXELS, MAX_PIXELS = 28 * 28, 112 * 112


def build_base(out: Path, *, seed: int = 0) -> Path:
    """Write the untrained base and its processor into `out`, which must be new or empty.

    Raises:
        ConfigError: the folder is not empty.
    """
    return write_model(out, base_parts(BASE_SIZE, base_texts()), seed=seed, init=BASE_SIZE.init)


def base_parts(size: TinySize, texts: Sequence[str]) -> TinyParts:
    """Qwen2.5-VL in small, as `build_tiny` makes it, but for how pictures and chats are written."""
    parts = FAMILY_BUILDERS["qwen2_5_vl"](size, texts)
    parts.processor.image_processor = Qwen2VLImageProcessor(
        min_pixels=MIN_PIXELS,
        max_pixels=MAX_PIXELS,
        # White becomes 0, so that empty paper adds nothing to a patch: it learns to read sooner.
        image_mean=[1.0, 1.0, 1.0],
        image_std=[0.3, 0.3, 0.3],
    )
    # No system turn by default: it would be a tenth of every row.
    parts.processor.chat_template = qwen(None)
    return parts


def base_texts() -> list[str]:
    """What the base's tokenizer is learnt from: questions, and chains in both styles.

    They were drawn once from the basic figures and the exercises in reading, and are kept as a
    file, since the vocabulary must stay as it is when figures change.
    """
    texts = []
    for line in TEXTS.read_text(encoding="utf-8").splitlines():
        times, text = line.split("\t", maxsplit=1)
        texts += [json.loads(text)] * int(times)
    return texts
