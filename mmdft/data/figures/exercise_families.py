"""Exercises for a model that is to see: the table of families.

What the columns mean is said in `mmdft.data.figures.families`. They are no benchmark: they teach
what digits look like, wherever they stand and in whatever ink, that labels are to be read and not
guessed from a shape, and to find a thing by its number.
"""

from __future__ import annotations

from mmdft.data.figures import charts, loose, reading, shapes, triangles
from mmdft.data.figures.basic_families import (
    CORNERS,
    OOD_CORNERS,
    OOD_RECTANGLE,
    OOD_STACKS,
    RECTANGLE,
    STACKS,
)
from mmdft.data.figures.figure import Family

EXERCISE_FAMILIES: dict[str, Family] = {
    "reading": Family(
        sample=reading.sample_numbers,
        paint=reading.paint_numbers,
        solve=reading.solve_reading,
        key=("numbers",),
        ranges={"count": (1, 1, 1, 2, 2, 3, 4), "number": range(100)},
        ood_ranges={"count": (5, 6), "number": range(100)},
    ),
    "number_sum": Family(
        sample=reading.sample_numbers,
        paint=reading.paint_numbers,
        solve=reading.solve_number_sum,
        key=("numbers",),
        ranges={"count": (2, 2, 3, 3, 4), "number": range(1, 41)},
        ood_ranges={"count": (5, 6), "number": range(1, 41)},
    ),
    "number_product": Family(
        sample=reading.sample_numbers,
        paint=reading.paint_numbers,
        solve=reading.solve_number_product,
        key=("numbers",),
        ranges={"count": (2,), "number": range(2, 13)},
        ood_ranges={"count": (2,), "number": range(13, 26)},
    ),
    "bar_order": Family(
        sample=charts.sample_stacks,
        paint=charts.paint_stacks,
        solve=charts.solve_bar_order,
        key=("heights", "colors"),
        ranges=STACKS,
        ood_ranges=OOD_STACKS,
    ),
    "loose_rectangle_area": Family(
        sample=loose.sample_loose_rectangle,
        paint=shapes.paint_rectangle,
        solve=shapes.solve_rectangle_area,
        key=("width", "height"),
        ranges=RECTANGLE,
        ood_ranges=OOD_RECTANGLE,
    ),
    "loose_rectangle_perimeter": Family(
        sample=loose.sample_loose_rectangle,
        paint=shapes.paint_rectangle,
        solve=shapes.solve_rectangle_perimeter,
        key=("width", "height"),
        ranges=RECTANGLE,
        ood_ranges=OOD_RECTANGLE,
    ),
    "loose_triangle_perimeter": Family(
        sample=loose.sample_loose_triangle,
        paint=triangles.paint_triangle_perimeter,
        solve=triangles.solve_triangle_perimeter,
        key=("sides",),
        ranges={"side": range(3, 13)},
        ood_ranges={"side": range(13, 26)},
    ),
    "loose_triangle_angle": Family(
        sample=loose.sample_loose_angle,
        paint=triangles.paint_triangle_angle,
        solve=triangles.solve_triangle_angle,
        key=("angles", "missing"),
        ranges={"angle": CORNERS},
        ood_ranges={"angle": OOD_CORNERS},
    ),
}
