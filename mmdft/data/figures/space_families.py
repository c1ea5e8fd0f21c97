"""Coordinates and solids: the tables of families.

What the columns mean is said in `mmdft.data.figures.families`, and of their looks and size in
`geometry_families`.
"""

from __future__ import annotations

from mmdft.data.figures import coordinates, lines, round_solids, solids
from mmdft.data.figures.figure import Family
from mmdft.data.figures.geometry_families import OOD_TRIPLES, SIZE, TRIPLES

# In a flatter pyramid the labels of its heights do not find room.
STEEP, OOD_STEEP = (
    tuple(triple for triple in group if triple[1] > 1.2 * triple[0])
    for group in (TRIPLES, OOD_TRIPLES)
)
EDGES = range(2, 11)
OOD_EDGES = range(11, 21)

COORDINATE_FAMILIES: dict[str, Family] = {
    "grid_distance": Family(
        sample=coordinates.sample_distance,
        paint=coordinates.paint_distance,
        solve=coordinates.solve_distance,
        key=("a", "b", "unit"),
        ranges={"triple": ((3, 4, 5),), "unit": range(2, 10)},
        ood_ranges={"triple": ((6, 8, 10),), "unit": range(10, 20)},
        min_size=SIZE,
    ),
    "grid_triangle": Family(
        sample=coordinates.sample_triangle,
        paint=coordinates.paint_triangle,
        solve=coordinates.solve_triangle,
        key=("a", "b", "apex"),
        ranges={"base": (2, 4, 6), "height": range(2, 7)},
        ood_ranges={"base": (8, 10), "height": range(7, 10)},
        min_size=SIZE,
    ),
    "grid_quadrilateral": Family(
        sample=coordinates.sample_four,
        paint=coordinates.paint_four,
        solve=coordinates.solve_four,
        key=("corners",),
        ranges={"side": range(3, 8)},
        ood_ranges={"side": range(8, 11)},
        min_size=SIZE,
    ),
    "grid_middle": Family(
        sample=lines.sample_middle,
        paint=lines.paint_middle,
        solve=lines.solve_middle,
        key=("points", "unit"),
        ranges={"unit": (1, 2)},
        ood_ranges={"unit": (5, 10)},
        min_size=SIZE,
    ),
    "grid_slope": Family(
        sample=lines.sample_slope,
        paint=lines.paint_slope,
        solve=lines.solve_slope,
        key=("a", "b", "unit"),
        ranges={"unit": (2, 3)},
        ood_ranges={"unit": (5, 10)},
        min_size=SIZE,
    ),
    "lines_meeting": Family(
        sample=lines.sample_meeting,
        paint=lines.paint_meeting,
        solve=lines.solve_meeting,
        key=("lines", "run", "unit"),
        ranges={"unit": (1, 2)},
        ood_ranges={"unit": (5, 10)},
        min_size=SIZE,
    ),
}

SOLID_FAMILIES: dict[str, Family] = {
    "cuboid_volume": Family(
        sample=solids.sample_cuboid,
        paint=solids.paint_cuboid,
        solve=solids.solve_cuboid_volume,
        key=("edges",),
        ranges={"edge": EDGES},
        ood_ranges={"edge": OOD_EDGES},
        min_size=SIZE,
    ),
    "cuboid_surface": Family(
        sample=solids.sample_cuboid,
        paint=solids.paint_cuboid,
        solve=solids.solve_cuboid_surface,
        key=("edges",),
        ranges={"edge": EDGES},
        ood_ranges={"edge": OOD_EDGES},
        min_size=SIZE,
    ),
    "pyramid_volume": Family(
        sample=solids.sample_pyramid,
        paint=solids.paint_pyramid,
        solve=solids.solve_pyramid,
        key=("half", "height"),
        ranges={"triple": STEEP},
        ood_ranges={"triple": OOD_STEEP},
        min_size=SIZE,
    ),
    "cylinder_volume": Family(
        sample=round_solids.sample_cylinder,
        paint=round_solids.paint_cylinder,
        solve=round_solids.solve_cylinder_volume,
        key=("radius", "height"),
        ranges={"radius": EDGES, "height": range(2, 16)},
        ood_ranges={"radius": OOD_EDGES, "height": range(16, 41)},
        min_size=SIZE,
    ),
    "cylinder_surface": Family(
        sample=round_solids.sample_cylinder,
        paint=round_solids.paint_cylinder,
        solve=round_solids.solve_cylinder_surface,
        key=("radius", "height"),
        ranges={"radius": EDGES, "height": range(2, 16)},
        ood_ranges={"radius": OOD_EDGES, "height": range(16, 41)},
        min_size=SIZE,
    ),
    "cone_volume": Family(
        sample=round_solids.sample_cone,
        paint=round_solids.paint_cone,
        solve=round_solids.solve_cone,
        key=("radius", "height"),
        ranges={"triple": TRIPLES},
        ood_ranges={"triple": OOD_TRIPLES},
        min_size=SIZE,
    ),
}
