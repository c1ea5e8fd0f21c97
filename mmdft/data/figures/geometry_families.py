"""Plane geometry with theorems, angles, proportion and areas: the table of families.

What the columns mean is said in `mmdft.data.figures.families`. These have a look of their own each
(`looks`), smaller labels, and so a smallest size of 224 pixels.
"""

from __future__ import annotations

from mmdft.data.figures import angles, areas, circles, similar
from mmdft.data.figures.figure import Family
from mmdft.data.figures.triples import chains, triples

SIZE = 224
TRIPLES, OOD_TRIPLES = triples(5, 71), triples(71, 100)
CHAINS, OOD_CHAINS = chains(5, 66), chains(66, 100)
ANGLES = range(30, 101, 5)
OOD_ANGLES = tuple(angle for angle in range(31, 100) if angle % 5)
# What the two sides of the halved angle are to each other.
RATIOS = ((1, 2), (2, 1), (2, 3), (3, 2), (3, 4), (4, 3), (4, 5), (5, 4))

GEOMETRY_FAMILIES: dict[str, Family] = {
    "thales_leg": Family(
        sample=circles.sample_thales,
        paint=circles.paint_thales,
        solve=circles.solve_thales,
        key=("leg", "other"),
        ranges={"triple": TRIPLES},
        ood_ranges={"triple": OOD_TRIPLES},
        min_size=SIZE,
    ),
    "tangent_length": Family(
        sample=circles.sample_tangent,
        paint=circles.paint_tangent,
        solve=circles.solve_tangent,
        key=("radius", "distance"),
        ranges={"triple": TRIPLES},
        ood_ranges={"triple": OOD_TRIPLES},
        min_size=SIZE,
    ),
    "inscribed_angle": Family(
        sample=circles.sample_inscribed,
        paint=circles.paint_inscribed,
        solve=circles.solve_inscribed,
        key=("angle",),
        ranges={"angle": tuple(angle for angle in range(28, 63) if angle % 3)},
        ood_ranges={"angle": range(30, 61, 3)},
        min_size=SIZE,
    ),
    "crossing_chords": Family(
        sample=circles.sample_chords,
        paint=circles.paint_chords,
        solve=circles.solve_chords,
        key=("parts",),
        ranges={"part": range(3, 16)},
        ood_ranges={"part": range(16, 41)},
        min_size=SIZE,
    ),
    "similar_triangles": Family(
        sample=similar.sample_similar,
        paint=similar.paint_similar,
        solve=similar.solve_similar,
        key=("side", "factor", "base"),
        ranges={"side": range(3, 10), "factor": (2, 3), "base": range(3, 13)},
        ood_ranges={"side": range(10, 21), "factor": (2, 3), "base": range(13, 31)},
        min_size=SIZE,
    ),
    "midsegment_perimeter": Family(
        sample=similar.sample_midsegment,
        paint=similar.paint_midsegment,
        solve=similar.solve_midsegment,
        key=("sides",),
        ranges={"half": range(3, 13)},
        ood_ranges={"half": range(13, 31)},
        min_size=SIZE,
    ),
    "bisector_perimeter": Family(
        sample=similar.sample_bisector,
        paint=similar.paint_bisector,
        solve=similar.solve_bisector,
        key=("left", "right", "parts"),
        ranges={"ratio": RATIOS, "long": range(2, 7), "short": range(2, 6)},
        ood_ranges={"ratio": RATIOS, "long": range(7, 13), "short": range(6, 12)},
        min_size=SIZE,
    ),
    "pythagoras_chain": Family(
        sample=similar.sample_chain,
        paint=similar.paint_chain,
        solve=similar.solve_chain,
        key=("sides",),
        ranges={"chain": CHAINS},
        ood_ranges={"chain": OOD_CHAINS},
        min_size=SIZE,
    ),
    "exterior_angle": Family(
        sample=angles.sample_exterior,
        paint=angles.paint_exterior,
        solve=angles.solve_exterior,
        key=("left", "top"),
        ranges={"angle": ANGLES},
        ood_ranges={"angle": OOD_ANGLES},
        min_size=SIZE,
    ),
    "parallel_lines": Family(
        sample=angles.sample_parallels,
        paint=angles.paint_parallels,
        solve=angles.solve_parallels,
        key=("left", "right"),
        ranges={"angle": ANGLES},
        ood_ranges={"angle": OOD_ANGLES},
        min_size=SIZE,
    ),
    "parallel_bend": Family(
        sample=angles.sample_bend,
        paint=angles.paint_bend,
        solve=angles.solve_bend,
        key=("upper", "lower"),
        ranges={"angle": range(30, 76, 5)},
        ood_ranges={"angle": tuple(a for a in range(31, 75) if a % 5)},
        min_size=SIZE,
    ),
    "polygon_corner": Family(
        sample=angles.sample_corners,
        paint=angles.paint_corners,
        solve=angles.solve_corners,
        key=("angles", "missing"),
        ranges={"num_sides": (4, 5), "angle": range(60, 131, 5)},
        ood_ranges={"num_sides": (4, 5), "angle": tuple(a for a in range(61, 130) if a % 5)},
        min_size=SIZE,
    ),
    "notched_area": Family(
        sample=areas.sample_notch,
        paint=areas.paint_notch,
        solve=areas.solve_notch,
        key=("width", "height", "cut"),
        ranges={"side": range(2, 13)},
        ood_ranges={"side": range(13, 31)},
        min_size=SIZE,
    ),
    "ring_area": Family(
        sample=areas.sample_ring,
        paint=areas.paint_ring,
        solve=areas.solve_ring,
        key=("outer", "inner"),
        ranges={"radius": range(2, 16)},
        ood_ranges={"radius": range(16, 31)},
        min_size=SIZE,
    ),
    "holed_area": Family(
        sample=areas.sample_hole,
        paint=areas.paint_hole,
        solve=areas.solve_hole,
        key=("width", "height", "radius"),
        ranges={"side": range(6, 20), "radius": range(2, 7)},
        ood_ranges={"side": range(20, 41), "radius": range(7, 14)},
        min_size=SIZE,
    ),
}
