"""The table of families: what each draws from and how it asks.

"train", "validation" and "test" share ranges, questions and the "plain" style. They are disjoint by
content: a hash of the parameters named in `key` says to which of the three a figure belongs, so
the same numbers (or, where there are few numbers, the same drawing) are never in two splits. The
hash leaves the family out, so families that share a picture do not leak it to each other.

"ood" differs from all three in

* the style: other shades of the same colour names, a tinted background, blue ink, thinner lines
  and bars, slightly smaller labels, more free space around the shape (`STYLES["shifted"]`);
* the questions: each family's `OOD_QUESTIONS`, none of them among the `QUESTIONS`;
* the ranges, family by family (`ood_ranges` against `ranges`). Of the basic ones: sides, radii,
  bar and line values above those of training; angles and pie shares that are not multiples of
  5; larger triples; a grid of 6 with smaller cells in place of 5; smaller and less regular
  polygons; 2 or 5 coloured bars in place of 3 or 4; 3 to 7 plain bars, lower ones, in place of
  2 to 6; smaller circles with scattered parts.

Every ood figure has the other style, so none can be in train. Where numbers are printed, they do
not overlap either, parameter by parameter; of the triples, none is in both.
"ood" may also have one or two of the three alone (`SHIFTS`); without the other ranges, its figures
are those of "test", and so still not in train.
"""

from __future__ import annotations

from mmdft.data.figures.basic_families import BASIC_FAMILIES
from mmdft.data.figures.chart_families import CHART_FAMILIES
from mmdft.data.figures.exercise_families import EXERCISE_FAMILIES
from mmdft.data.figures.figure import Family
from mmdft.data.figures.geometry_families import GEOMETRY_FAMILIES
from mmdft.data.figures.space_families import COORDINATE_FAMILIES, SOLID_FAMILIES

FAMILIES: dict[str, Family] = {
    **BASIC_FAMILIES,
    **GEOMETRY_FAMILIES,
    **COORDINATE_FAMILIES,
    **SOLID_FAMILIES,
    **CHART_FAMILIES,
}
"""What is drawn unless families are named."""

ALL_FAMILIES: dict[str, Family] = {**FAMILIES, **EXERCISE_FAMILIES}
"""The exercises too."""

GROUPS = {
    "basic": tuple(BASIC_FAMILIES),
    "geometry": tuple(GEOMETRY_FAMILIES),
    "coordinates": tuple(COORDINATE_FAMILIES),
    "solids": tuple(SOLID_FAMILIES),
    "charts": tuple(CHART_FAMILIES),
    "exercises": tuple(EXERCISE_FAMILIES),
}
"""Families that can be asked for together."""
