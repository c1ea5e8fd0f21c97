"""Shapes that are not drawn to scale: only who reads their labels knows what they measure.

Where a shape is to scale, its form gives its few numbers away, and a model may learn the forms by
heart instead of reading.
"""

from __future__ import annotations

from random import Random

from mmdft.data.figures.figure import COLORS, Params, Ranges
from mmdft.data.figures.triangles import sample_triangle_angle, sample_triangle_perimeter


def sample_loose_rectangle(rng: Random, ranges: Ranges) -> Params:
    """Any width and height on a rectangle of any form."""
    return {
        "width": rng.choice(ranges["side"]),
        "height": rng.choice(ranges["side"]),
        "right": rng.randrange(2),
        "color": rng.choice(COLORS),
        "drawn": [rng.randrange(40, 101), rng.randrange(40, 101)],
    }


def sample_loose_triangle(rng: Random, ranges: Ranges) -> Params:
    """Any three sides on a triangle with others."""
    drawn = sample_triangle_perimeter(rng, ranges)
    sides = [rng.choice(ranges["side"]) for _ in range(3)]
    return {**drawn, "sides": sides, "drawn": drawn["sides"]}


def sample_loose_angle(rng: Random, ranges: Ranges) -> Params:
    """Three angles on a triangle with others."""
    params, other = sample_triangle_angle(rng, ranges), sample_triangle_angle(rng, ranges)
    return {**params, "drawn": other["angles"]}
