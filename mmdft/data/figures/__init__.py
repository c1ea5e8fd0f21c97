"""Drawn geometry and charts with exact answers: endless verified data, no download."""

from mmdft.data.figures.basic_families import BASIC_FAMILIES
from mmdft.data.figures.facts import write_facts
from mmdft.data.figures.families import ALL_FAMILIES, FAMILIES
from mmdft.data.figures.figure import SHIFTS, SPLITS, STYLES, Family, Figure, Style
from mmdft.data.figures.generate import draw
from mmdft.data.figures.glyphs import write_glyphs
from mmdft.data.figures.sheet import contact_sheet
from mmdft.data.figures.wordy import TELLINGS, is_wordy
from mmdft.data.figures.writer import encode_png, write_figures

__all__ = [
    "ALL_FAMILIES",
    "BASIC_FAMILIES",
    "FAMILIES",
    "SHIFTS",
    "SPLITS",
    "STYLES",
    "TELLINGS",
    "Family",
    "Figure",
    "Style",
    "contact_sheet",
    "draw",
    "encode_png",
    "is_wordy",
    "write_facts",
    "write_figures",
    "write_glyphs",
]
