"""Drawn geometry and charts with exact answers: endless verified data, no download."""

from mmdft.data.figures.families import FAMILIES
from mmdft.data.figures.figure import SPLITS, STYLES, Family, Figure, Style
from mmdft.data.figures.generate import draw
from mmdft.data.figures.writer import write_figures

__all__ = ["FAMILIES", "SPLITS", "STYLES", "Family", "Figure", "Style", "draw", "write_figures"]
