"""Exercises in reading: the table of families.

What the columns mean is said in `mmdft.data.figures.families`. They are no benchmark: a model that
is to see is taught by them what digits look like, wherever they stand and in whatever ink.
"""

from __future__ import annotations

from mmdft.data.figures import reading
from mmdft.data.figures.figure import Family

READING_FAMILIES: dict[str, Family] = {
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
}
