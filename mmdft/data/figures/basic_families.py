"""A reading and a step or two, legible at 112 pixels: the table of families.

What the columns mean is said in `mmdft.data.figures.families`. The quickstart and the tiny models'
tokenizer are made of these, so they stay as they are, pixel by pixel, when families are added.
"""

from __future__ import annotations

from mmdft.data.figures import charts, pies, shapes, triangles
from mmdft.data.figures.figure import Family, Ranges

CORNERS = range(30, 121, 5)
OOD_CORNERS = tuple(angle for angle in range(31, 120) if angle % 5)
WEDGES = range(45, 136, 5)
OOD_WEDGES = tuple(angle for angle in range(46, 135) if angle % 5)
SHARES = range(15, 71, 5)
OOD_SHARES = tuple(share for share in range(16, 70) if share % 5)
TRIPLES = ((3, 4, 5), (6, 8, 10), (9, 12, 15), (12, 16, 20), (5, 12, 13), (8, 15, 17))
OOD_TRIPLES = ((15, 20, 25), (18, 24, 30), (21, 28, 35), (20, 21, 29), (10, 24, 26), (16, 30, 34))

RECTANGLE: Ranges = {"side": range(2, 13)}
OOD_RECTANGLE: Ranges = {"side": range(13, 26)}
CIRCLE: Ranges = {"radius": range(2, 13), "drawn": range(38, 49)}
OOD_CIRCLE: Ranges = {"radius": range(13, 21), "drawn": range(32, 38)}
POLYGON: Ranges = {
    "num_sides": range(3, 9),
    "radius": range(38, 45),
    "percent": range(97, 101),
}
OOD_POLYGON: Ranges = {
    "num_sides": range(3, 9),
    "radius": range(28, 36),
    "percent": range(88, 101),
}
STACKS: Ranges = {"num_bars": (3, 4), "height": range(1, 7)}
OOD_STACKS: Ranges = {"num_bars": (2, 5), "height": range(1, 7)}
BARS: Ranges = {"num_bars": (3, 4), "value": range(1, 13)}
OOD_BARS: Ranges = {"num_bars": (3, 4), "value": range(15, 31)}

CIRCLE_KEY = ("radius", "drawn", "right", "color")
POLYGON_KEY = ("num_sides", "radius", "radii", "turn", "shift", "color")

BASIC_FAMILIES: dict[str, Family] = {
    "triangle_perimeter": Family(
        sample=triangles.sample_triangle_perimeter,
        paint=triangles.paint_triangle_perimeter,
        solve=triangles.solve_triangle_perimeter,
        key=("sides",),
        ranges={"side": range(3, 13)},
        ood_ranges={"side": range(13, 26)},
    ),
    "triangle_angle": Family(
        sample=triangles.sample_triangle_angle,
        paint=triangles.paint_triangle_angle,
        solve=triangles.solve_triangle_angle,
        key=("angles", "missing"),
        ranges={"angle": CORNERS},
        ood_ranges={"angle": OOD_CORNERS},
    ),
    "triangle_area": Family(
        sample=triangles.sample_triangle_area,
        paint=triangles.paint_triangle_area,
        solve=triangles.solve_triangle_area,
        key=("base", "height", "foot"),
        ranges={"base": range(4, 15), "height": range(2, 13), "foot": range(30, 71, 5)},
        ood_ranges={"base": range(16, 31), "height": range(13, 25), "foot": range(30, 71, 5)},
    ),
    "right_triangle": Family(
        sample=triangles.sample_right_triangle,
        paint=triangles.paint_right_triangle,
        solve=triangles.solve_right_triangle,
        key=("sides", "missing", "mirror", "color", "percent"),
        ranges={"triple": TRIPLES, "percent": range(80, 101, 2)},
        ood_ranges={"triple": OOD_TRIPLES, "percent": range(80, 101, 2)},
    ),
    "angle_sum_line": Family(
        sample=triangles.sample_angle_sum_line,
        paint=triangles.paint_angle_sum_line,
        solve=triangles.solve_angle_sum_line,
        key=("angles", "missing"),
        ranges={"num_angles": (2, 3), "angle": WEDGES},
        ood_ranges={"num_angles": (2, 3), "angle": OOD_WEDGES},
    ),
    "rectangle_area": Family(
        sample=shapes.sample_rectangle,
        paint=shapes.paint_rectangle,
        solve=shapes.solve_rectangle_area,
        key=("width", "height"),
        ranges=RECTANGLE,
        ood_ranges=OOD_RECTANGLE,
    ),
    "rectangle_perimeter": Family(
        sample=shapes.sample_rectangle,
        paint=shapes.paint_rectangle,
        solve=shapes.solve_rectangle_perimeter,
        key=("width", "height"),
        ranges=RECTANGLE,
        ood_ranges=OOD_RECTANGLE,
    ),
    "circle_area": Family(
        sample=shapes.sample_circle,
        paint=shapes.paint_circle,
        solve=shapes.solve_circle_area,
        key=CIRCLE_KEY,
        ranges=CIRCLE,
        ood_ranges=OOD_CIRCLE,
    ),
    "circle_circumference": Family(
        sample=shapes.sample_circle,
        paint=shapes.paint_circle,
        solve=shapes.solve_circle_circumference,
        key=CIRCLE_KEY,
        ranges=CIRCLE,
        ood_ranges=OOD_CIRCLE,
    ),
    "polygon_sides": Family(
        sample=shapes.sample_polygon,
        paint=shapes.paint_polygon,
        solve=shapes.solve_polygon_sides,
        key=POLYGON_KEY,
        ranges=POLYGON,
        ood_ranges=OOD_POLYGON,
    ),
    "polygon_angle_sum": Family(
        sample=shapes.sample_polygon,
        paint=shapes.paint_polygon,
        solve=shapes.solve_polygon_angle_sum,
        key=POLYGON_KEY,
        ranges=POLYGON,
        ood_ranges=OOD_POLYGON,
    ),
    "composite_area": Family(
        sample=shapes.sample_composite,
        paint=shapes.paint_composite,
        solve=shapes.solve_composite_area,
        key=("top", "bottom", "upper", "lower"),
        ranges={
            "top": range(3, 7),
            "notch": range(3, 7),
            "upper": range(3, 7),
            "lower": range(2, 7),
        },
        ood_ranges={
            "top": range(7, 12),
            "notch": range(7, 12),
            "upper": range(7, 12),
            "lower": range(7, 12),
        },
    ),
    "grid_area": Family(
        sample=shapes.sample_grid,
        paint=shapes.paint_grid,
        solve=shapes.solve_grid_area,
        key=("num_cells", "width", "height", "column", "row", "cell", "shift", "color"),
        ranges={"num_cells": (5,), "side": range(1, 6), "cell": range(18, 21)},
        ood_ranges={"num_cells": (6,), "side": range(2, 7), "cell": range(13, 16)},
    ),
    "bar_max": Family(
        sample=charts.sample_stacks,
        paint=charts.paint_stacks,
        solve=charts.solve_bar_max,
        key=("heights", "colors"),
        ranges=STACKS,
        ood_ranges=OOD_STACKS,
    ),
    "bar_min": Family(
        sample=charts.sample_stacks,
        paint=charts.paint_stacks,
        solve=charts.solve_bar_min,
        key=("heights", "colors"),
        ranges=STACKS,
        ood_ranges=OOD_STACKS,
    ),
    "bar_value": Family(
        sample=charts.sample_stacks,
        paint=charts.paint_stacks,
        solve=charts.solve_bar_value,
        key=("heights", "colors"),
        ranges=STACKS,
        ood_ranges=OOD_STACKS,
    ),
    "bar_count": Family(
        sample=charts.sample_bar_count,
        paint=charts.paint_bar_count,
        solve=charts.solve_bar_count,
        key=("heights", "color"),
        ranges={"num_bars": range(2, 7), "height": range(30, 96)},
        ood_ranges={"num_bars": range(3, 8), "height": range(20, 70)},
    ),
    "bar_sum": Family(
        sample=charts.sample_labelled_bars,
        paint=charts.paint_labelled_bars,
        solve=charts.solve_bar_sum,
        key=("values",),
        ranges=BARS,
        ood_ranges=OOD_BARS,
    ),
    "bar_difference": Family(
        sample=charts.sample_labelled_bars,
        paint=charts.paint_labelled_bars,
        solve=charts.solve_bar_difference,
        key=("values",),
        ranges=BARS,
        ood_ranges=OOD_BARS,
    ),
    "line_change": Family(
        sample=charts.sample_line,
        paint=charts.paint_line,
        solve=charts.solve_line_change,
        key=("values",),
        ranges={"num_points": (3, 4), "value": range(1, 13)},
        ood_ranges={"num_points": (3, 4), "value": range(20, 60)},
    ),
    "pie_share": Family(
        sample=pies.sample_pie,
        paint=pies.paint_pie,
        solve=pies.solve_pie_share,
        key=("shares", "missing"),
        ranges={"num_shares": (3, 4), "share": SHARES},
        ood_ranges={"num_shares": (3, 4), "share": OOD_SHARES},
    ),
    "fraction_parts": Family(
        sample=pies.sample_parts,
        paint=pies.paint_parts,
        solve=pies.solve_fraction_parts,
        key=("num_parts", "filled", "radius", "turn", "color"),
        ranges={"num_parts": range(3, 9), "radius": range(42, 50), "scattered": (0,)},
        ood_ranges={"num_parts": range(3, 9), "radius": range(28, 37), "scattered": (1,)},
    ),
}
