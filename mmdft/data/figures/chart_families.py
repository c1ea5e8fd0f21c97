"""Charts and tables to read off and compute with: the table of families.

What the columns mean is said in `mmdft.data.figures.families`. These have a look of their own each
(`looks`), smaller labels, and so a smallest size of 224 pixels. What is not asked for, further
series, groups, cells and boxes, is there to be passed over.
"""

from __future__ import annotations

from mmdft.data.figures import grids, plots
from mmdft.data.figures.figure import Family

SIZE = 224

CHART_FAMILIES: dict[str, Family] = {
    "grouped_bars": Family(
        sample=plots.sample_series,
        paint=plots.paint_grouped,
        solve=plots.solve_grouped,
        key=("values",),
        ranges={"step": (1, 2, 5)},
        ood_ranges={"step": (3, 4, 10)},
        min_size=SIZE,
    ),
    "line_gap": Family(
        sample=plots.sample_series,
        paint=plots.paint_lines,
        solve=plots.solve_gap,
        key=("values",),
        ranges={"step": (1, 2, 5)},
        ood_ranges={"step": (3, 4, 10)},
        min_size=SIZE,
    ),
    "axis_mean": Family(
        sample=plots.sample_mean,
        paint=plots.paint_mean,
        solve=plots.solve_mean,
        key=("values",),
        ranges={"step": (1, 2, 5)},
        ood_ranges={"step": (3, 4, 10)},
        min_size=SIZE,
    ),
    "histogram_below": Family(
        sample=plots.sample_histogram,
        paint=plots.paint_histogram,
        solve=plots.solve_histogram,
        key=("counts",),
        ranges={"step": (1, 2, 5)},
        ood_ranges={"step": (3, 4, 10)},
        min_size=SIZE,
    ),
    "box_quartiles": Family(
        sample=plots.sample_box,
        paint=plots.paint_box,
        solve=plots.solve_box,
        key=("boxes",),
        ranges={"step": (2, 10)},
        ood_ranges={"step": (4, 6, 8)},
        min_size=SIZE,
    ),
    "scatter_count": Family(
        sample=plots.sample_scatter,
        paint=plots.paint_scatter,
        solve=plots.solve_scatter,
        key=("points",),
        ranges={"above": range(6, 10), "below": range(1, 6)},
        ood_ranges={"above": range(10, 15), "below": range(2, 9)},
        min_size=SIZE,
    ),
    "table_cell": Family(
        sample=grids.sample_table,
        paint=grids.paint_table,
        solve=grids.solve_table,
        key=("values", "missing"),
        ranges={"value": range(2, 21)},
        ood_ranges={"value": range(21, 61)},
        min_size=SIZE,
    ),
    "heat_rows": Family(
        sample=grids.sample_heat,
        paint=grids.paint_heat,
        solve=grids.solve_heat,
        key=("values",),
        ranges={"value": range(1, 16)},
        ood_ranges={"value": range(16, 60)},
        min_size=SIZE,
    ),
    "stacked_part": Family(
        sample=grids.sample_stack,
        paint=grids.paint_stack,
        solve=grids.solve_stack,
        key=("values", "missing"),
        ranges={"part": range(6, 16)},
        ood_ranges={"part": range(16, 41)},
        min_size=SIZE,
    ),
}
