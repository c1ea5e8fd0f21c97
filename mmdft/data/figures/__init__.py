"""Drawn geometry and charts with exact answers: endless verified data, no download."""

from mmdft.data.figures.basic_families import BASIC_FAMILIES
from mmdft.data.figures.families import FAMILIES
from mmdft.data.figures.figure import SPLITS, STYLES, Family, Figure, Style
from mmdft.data.figures.generate import draw
from mmdft.data.figures.sheet import contact_sheet
from mmdft.data.figures.writer import encode_png, write_figures

__all__ = [
    "BASIC_FAMILIES",
    "FAMILIES",
    "SPLITS",
    "STYLES",
    "Family",
    "Figure",
    "Style",
    "contact_sheet",
    "draw",
    "encode_png",
    "write_figures",
]
