"""Charts and tables to read off and compute with: the table of families.

What the columns mean is said in `mmdft.data.figures.families`. These have a look of their own each
(`looks`), smaller labels, and so a smallest size of 224 pixels. What is not asked for, further
series, groups, cells and boxes, is there to be passed over.
"""

from __future__ import annotations

from mmdft.data.figures import distributions, grids, parts, plots
from mmdft.data.figures.figure import Family

SIZE = 224
OOD_SHARES = tuple(share for share in range(11, 60) if share % 5)

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
    "line_rise": Family(
        sample=plots.sample_rise,
        paint=plots.paint_lines,
        solve=plots.solve_rise,
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
    "stacked_sum": Family(
        sample=plots.sample_stacked,
        paint=plots.paint_stacked,
        solve=plots.solve_stacked,
        key=("values",),
        ranges={"step": (1, 2, 5)},
        ood_ranges={"step": (3, 4, 10)},
        min_size=SIZE,
    ),
    "histogram_below": Family(
        sample=distributions.sample_histogram,
        paint=distributions.paint_histogram,
        solve=distributions.solve_histogram,
        key=("counts",),
        ranges={"step": (1, 2, 5)},
        ood_ranges={"step": (3, 4, 10)},
        min_size=SIZE,
    ),
    "box_quartiles": Family(
        sample=distributions.sample_box,
        paint=distributions.paint_box,
        solve=distributions.solve_box,
        key=("boxes",),
        ranges={"step": (2, 10)},
        ood_ranges={"step": (4, 6, 8)},
        min_size=SIZE,
    ),
    "scatter_count": Family(
        sample=distributions.sample_scatter,
        paint=distributions.paint_scatter,
        solve=distributions.solve_scatter,
        key=("points",),
        ranges={"above": range(6, 10), "below": range(1, 6)},
        ood_ranges={"above": range(10, 15), "below": range(2, 9)},
        min_size=SIZE,
    ),
    "scatter_corner": Family(
        sample=distributions.sample_corner,
        paint=distributions.paint_corner,
        solve=distributions.solve_corner,
        key=("points",),
        ranges={"unit": (1, 2, 5), "num": range(7, 15)},
        ood_ranges={"unit": (3, 4, 10), "num": range(15, 22)},
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
    "table_cost": Family(
        sample=grids.sample_cost,
        paint=grids.paint_cost,
        solve=grids.solve_cost,
        key=("rows",),
        ranges={"price": range(2, 13), "number": range(2, 10)},
        ood_ranges={"price": range(13, 41), "number": range(10, 20)},
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
        sample=parts.sample_stack,
        paint=parts.paint_stack,
        solve=parts.solve_stack,
        key=("values", "missing"),
        ranges={"part": range(6, 16)},
        ood_ranges={"part": range(16, 41)},
        min_size=SIZE,
    ),
    "pie_amount": Family(
        sample=parts.sample_pie,
        paint=parts.paint_pie,
        solve=parts.solve_pie,
        key=("total", "shares"),
        ranges={"total": range(20, 401, 20), "share": range(10, 61, 5)},
        ood_ranges={"total": range(500, 2001, 100), "share": OOD_SHARES},
        min_size=SIZE,
    ),
}
