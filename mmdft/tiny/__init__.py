"""Tiny models of the real architectures, saved in the hub's layout.

They load through `AutoModelForImageTextToText` and `AutoProcessor` exactly as a downloaded model
does; only the sizes differ. Tokenizers are of the family's own kind, with its special tokens, and
learnt here from the figures' own texts; chat templates write what the family's do.
"""

from mmdft.tiny.build import build_tiny, figure_texts
from mmdft.tiny.families import FAMILY_BUILDERS, TinySize
from mmdft.tiny.templates import DEFAULT_SYSTEM

__all__ = ["DEFAULT_SYSTEM", "FAMILY_BUILDERS", "TinySize", "build_tiny", "figure_texts"]
