"""The letters of figures: the font that ships with Pillow, and some that ship with matplotlib."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

FONTS: dict[str, tuple[str, float]] = {
    "pillow": ("", 1.0),
    "sans": ("DejaVuSans.ttf", 0.95),
    "serif": ("DejaVuSerif.ttf", 0.95),
    "slanted": ("DejaVuSans-Oblique.ttf", 0.95),
    "roman": ("STIXGeneral.ttf", 1.04),
}
"""Of each its file, and by how much it is enlarged so that all have digits of one height.

None with a dotted zero, which reads as an 8 where it is blurred.
"""


@lru_cache(maxsize=64)
def font(name: str, pixels: float) -> ImageFont.FreeTypeFont:
    """One of FONTS at a size; where it is Pillow's, that is its size as it stands."""
    file, enlarged = FONTS[name]
    # Raqm, where it is installed, would kern otherwise than the basic layout does.
    layout = ImageFont.Layout.BASIC
    if file:
        path = _folder() / file
        return ImageFont.truetype(path, round(pixels * enlarged), layout_engine=layout)
    found = ImageFont.load_default(size=pixels)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError("figures need a Pillow with FreeType; install Pillow from a wheel")
    return found.font_variant(layout_engine=layout)


@lru_cache(maxsize=1)
def _folder() -> Path:
    # Here, because basic figures do without it and loading it takes a while.
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
