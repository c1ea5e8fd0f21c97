"""Geometry with theorems, coordinates, angles, similarity and solids: the table of families.

What the columns mean is said in `mmdft.data.figures.families`. These have a look of their own each
(`looks`), smaller labels, and so a smallest size of 224 pixels.
"""

from __future__ import annotations

from mmdft.data.figures import reasoned, theorems
from mmdft.data.figures.figure import Family

SIZE = 224
TRIPLES = ((3, 4, 5), (6, 8, 10), (5, 12, 13), (9, 12, 15), (8, 15, 17), (12, 16, 20))
OOD_TRIPLES = ((15, 20, 25), (18, 24, 30), (20, 21, 29), (10, 24, 26), (16, 30, 34), (21, 28, 35))
ANGLES = range(30, 101, 5)
OOD_ANGLES = tuple(angle for angle in range(31, 100) if angle % 5)

GEOMETRY_FAMILIES: dict[str, Family] = {
    "thales_leg": Family(
        sample=theorems.sample_thales,
        paint=theorems.paint_thales,
        solve=theorems.solve_thales,
        key=("leg", "other", "color", "radius_told"),
        ranges={"triple": TRIPLES},
        ood_ranges={"triple": OOD_TRIPLES},
        min_size=SIZE,
    ),
    "tangent_length": Family(
        sample=theorems.sample_tangent,
        paint=theorems.paint_tangent,
        solve=theorems.solve_tangent,
        key=("radius", "distance", "color", "look"),
        ranges={"triple": TRIPLES},
        ood_ranges={"triple": OOD_TRIPLES},
        min_size=SIZE,
    ),
    "inscribed_angle": Family(
        sample=theorems.sample_inscribed,
        paint=theorems.paint_inscribed,
        solve=theorems.solve_inscribed,
        key=("angle", "corner", "color"),
        ranges={"angle": range(30, 61, 5)},
        ood_ranges={"angle": tuple(a for a in range(31, 60) if a % 5)},
        min_size=SIZE,
    ),
    "crossing_chords": Family(
        sample=theorems.sample_chords,
        paint=theorems.paint_chords,
        solve=theorems.solve_chords,
        key=("parts",),
        ranges={"part": range(3, 16)},
        ood_ranges={"part": range(16, 41)},
        min_size=SIZE,
    ),
    "similar_triangles": Family(
        sample=theorems.sample_similar,
        paint=theorems.paint_similar,
        solve=theorems.solve_similar,
        key=("side", "factor", "base"),
        ranges={"side": range(3, 10), "factor": (2, 3), "base": range(3, 13)},
        ood_ranges={"side": range(10, 21), "factor": (2, 3), "base": range(13, 31)},
        min_size=SIZE,
    ),
    "exterior_angle": Family(
        sample=reasoned.sample_exterior,
        paint=reasoned.paint_exterior,
        solve=reasoned.solve_exterior,
        key=("left", "top"),
        ranges={"angle": ANGLES},
        ood_ranges={"angle": OOD_ANGLES},
        min_size=SIZE,
    ),
    "parallel_lines": Family(
        sample=reasoned.sample_parallels,
        paint=reasoned.paint_parallels,
        solve=reasoned.solve_parallels,
        key=("left", "right"),
        ranges={"angle": ANGLES},
        ood_ranges={"angle": OOD_ANGLES},
        min_size=SIZE,
    ),
    "notched_area": Family(
        sample=reasoned.sample_notch,
        paint=reasoned.paint_notch,
        solve=reasoned.solve_notch,
        key=("width", "height", "cut"),
        ranges={"side": range(2, 13)},
        ood_ranges={"side": range(13, 31)},
        min_size=SIZE,
    ),
    "grid_distance": Family(
        sample=reasoned.sample_distance,
        paint=reasoned.paint_distance,
        solve=reasoned.solve_distance,
        key=("a", "b", "unit"),
        ranges={"triple": ((3, 4, 5),), "unit": range(2, 10)},
        ood_ranges={"triple": ((6, 8, 10),), "unit": range(10, 20)},
        min_size=SIZE,
    ),
    "grid_triangle": Family(
        sample=reasoned.sample_grid_triangle,
        paint=reasoned.paint_grid_triangle,
        solve=reasoned.solve_grid_triangle,
        key=("a", "b", "apex"),
        ranges={"base": (2, 4, 6), "height": range(2, 7)},
        ood_ranges={"base": (8, 10), "height": range(7, 10)},
        min_size=SIZE,
    ),
    "cuboid_volume": Family(
        sample=reasoned.sample_cuboid,
        paint=reasoned.paint_cuboid,
        solve=reasoned.solve_cuboid_volume,
        key=("edges",),
        ranges={"edge": range(2, 11)},
        ood_ranges={"edge": range(11, 21)},
        min_size=SIZE,
    ),
    "cuboid_surface": Family(
        sample=reasoned.sample_cuboid,
        paint=reasoned.paint_cuboid,
        solve=reasoned.solve_cuboid_surface,
        key=("edges",),
        ranges={"edge": range(2, 11)},
        ood_ranges={"edge": range(11, 21)},
        min_size=SIZE,
    ),
}
