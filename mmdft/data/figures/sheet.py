"""One figure of each family beside the other, with its name: what there is, at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from mmdft.data.figures.families import FAMILIES
from mmdft.data.figures.generate import draw

SIDE, GAP, CAPTION, COLUMNS = 132, 10, 18, 8


def contact_sheet(families: Sequence[str] | None = None, *, seed: int = 0) -> Image.Image:
    """A picture of the first training figure of each family, in 256 colours.

    Raises:
        DataError: a family is unknown.
    """
    names = list(FAMILIES) if families is None else list(families)
    rows = -(-len(names) // COLUMNS)
    wide, high = SIDE + GAP, SIDE + CAPTION + GAP
    sheet = Image.new("RGB", (min(COLUMNS, len(names)) * wide + GAP, rows * high + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for number, name in enumerate(names):
        x, y = GAP + number % COLUMNS * wide, GAP + number // COLUMNS * high
        figure = draw(name, seed=seed, index=0, size=2 * SIDE)
        sheet.paste(figure.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        pen.rectangle((x - 1, y - 1, x + SIDE, y + SIDE), outline=(200, 200, 200))
        caption = ImageFont.load_default(size=12)
        pen.text((x, y + SIDE + 2), name, fill="black", font=caption)
    return sheet.quantize(256)
