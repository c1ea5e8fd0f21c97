"""Figures and names as words, the same for pages and for Markdown. No torch here."""

from __future__ import annotations

import math

MISSING = "–"


def percent(fraction: float) -> str:
    """0.4123 -> "41.2"; a dash for what is not a number."""
    return f"{100 * fraction:.1f}" if math.isfinite(fraction) else MISSING


def signed_points(fraction: float) -> str:
    """0.0321 -> "+3.2", with a true minus sign, and no sign for what rounds to zero."""
    text = percent(abs(fraction))
    if text in ("0.0", MISSING):
        return text
    return ("+" if fraction > 0 else "\N{MINUS SIGN}") + text


def duration(seconds: float) -> str:
    """12.34 -> "12.3 s", 185 -> "3 min 05 s", 3720 -> "1 h 02 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def setting_text(value: str | bool | int | float) -> str:
    """A setting as one would write it in a configuration: 5e-05 -> "5e-5"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e+")
    return str(value)


def label(name: str) -> str:
    """A setting's name as words."""
    return name.replace("_", " ")
