"""The answers of the figures beside the basic ones, by another route than the package takes.

Where it can be, the answer is measured in the drawing: from the corners that were drawn and one
length that is told.
"""

from __future__ import annotations

import cmath
import json
import math
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from figure_checks import ADDED, outlines, problems

from mmdft.data.figures import FAMILIES, SPLITS


def whole(value: float) -> int:
    assert abs(value - round(value)) < 1e-6, value
    return round(value)


def on_circle(degrees: float) -> complex:
    return cmath.rect(1, math.radians(degrees))


def angle_between(one: complex, other: complex) -> int:
    return whole(abs(math.degrees(cmath.phase(one / other))))


def angle_at(corner: Any, p: Any, q: Any) -> int:
    at = complex(*corner)
    return angle_between(complex(*p) - at, complex(*q) - at)


def around(points: Any) -> float:
    return sum(math.dist(p, q) for p, q in pairwise([*points, points[0]]))


def thales(p: dict[str, Any]) -> int:
    """The third corner as the crossing of two circles about the ends of the diameter."""
    x = p["leg"] ** 2 / p["diameter"]
    y = math.sqrt(p["leg"] ** 2 - x * x)
    assert abs(abs(complex(x - p["diameter"] / 2, y)) - p["diameter"] / 2) < 1e-9
    return whole(abs(complex(p["diameter"] - x, -y)))


def tangent(p: dict[str, Any]) -> int:
    touch = cmath.rect(p["radius"], math.acos(p["radius"] / p["distance"]))
    return whole(abs(p["distance"] - touch))


def inscribed(p: dict[str, Any]) -> int:
    a, b = on_circle(270 - p["angle"]), on_circle(270 + p["angle"])
    top = on_circle(90 + p["corner"])
    assert angle_between(a - top, b - top) == p["angle"]
    return angle_between(-a, b - a)


def chords(p: dict[str, Any]) -> int:
    """Where the circle through three of the ends meets the other chord's line again."""
    a, b, c, _ = p["parts"]
    middle_x = (b - a) / 2
    # The centre is as far from (-a, 0) as from (0, -c).
    middle_y = ((middle_x + a) ** 2 - middle_x**2 - c * c) / (2 * c)
    return whole(2 * middle_y + c)


def midsegment(p: dict[str, Any]) -> int:
    outer, inner = outlines(p, "midsegment_perimeter").polygons
    for point, (one, other) in zip(inner, pairwise([*outer, outer[0]]), strict=True):
        assert math.dist(point, one) == pytest.approx(math.dist(point, other))
    scale = p["sides"][0] / math.dist(*outer[:2])
    assert [scale * math.dist(*side) for side in pairwise([*outer, outer[0]])] == pytest.approx(
        [p["sides"][0], p["sides"][2], p["sides"][1]]
    )
    return whole(scale * around(inner))


def bisector(p: dict[str, Any]) -> int:
    (b, d, a), (_, c, _) = outlines(p, "bisector_perimeter").polygons
    halves = [
        cmath.phase((complex(*p_) - complex(*a)) / (complex(*q) - complex(*a)))
        for p_, q in ((b, d), (d, c))
    ]
    assert halves[0] == pytest.approx(halves[1])
    scale = p["left"] / math.dist(a, b)
    assert scale * math.dist(a, c) == pytest.approx(p["right"])
    assert scale * math.dist(b, d) == pytest.approx(p["parts"][0])
    return whole(scale * around([a, b, c]))


def chain(p: dict[str, Any]) -> int:
    (a, b, c), (_, _, d) = outlines(p, "pythagoras_chain").polygons
    assert angle_at(b, a, c) == 90 == angle_at(c, a, d)
    scale = p["sides"][0] / math.dist(a, b)
    assert scale * math.dist(b, c) == pytest.approx(p["sides"][1])
    assert scale * math.dist(c, d) == pytest.approx(p["sides"][3])
    return whole(scale * math.dist(a, d))


def exterior(p: dict[str, Any]) -> int:
    _, (a, b, c) = (s for s in outlines(p, "exterior_angle").polygons if len(s) == 3)
    assert angle_at(a, b, c) == p["left"] and angle_at(c, a, b) == p["top"]
    return angle_at(b, c, (b[0] + 1, b[1]))


def bend(p: dict[str, Any]) -> int:
    canvas = outlines(p, "parallel_bend")
    (a, corner, b) = canvas.lines[2]
    assert angle_at(a, (5, a[1]), corner) == 180 - p["upper"]
    assert angle_at(b, (107, b[1]), corner) == p["lower"]
    assert {f"{180 - p['upper']}°", f"{p['lower']}°", "?"} == canvas.texts.keys()
    return angle_at(corner, a, b)


def polygon_corner(p: dict[str, Any]) -> int:
    (points,) = outlines(p, "polygon_corner").polygons
    num = len(points)
    found = [angle_at(q, points[i - 1], points[(i + 1) % num]) for i, q in enumerate(points)]
    assert found == p["angles"]
    return found[p["missing"]]


def parallels(p: dict[str, Any]) -> int:
    return angle_between(on_circle(180 + p["left"]), on_circle(360 - p["right"]))


def notched(p: dict[str, Any]) -> int:
    dx, dy = p["cut"]
    squares = product(range(p["width"]), range(p["height"]))
    return sum(not (x >= p["width"] - dx and y < dy) for x, y in squares)


def ring(p: dict[str, Any]) -> int:
    """By the drawn circles: each is an outline's disc and a smaller one on it."""
    canvas = outlines(p, "ring_area")
    outer, inner = canvas.discs[0][1], canvas.discs[2][1]
    scale = p["outer"] / outer
    assert scale * inner == pytest.approx(p["inner"])
    return whole((math.pi * (scale * outer) ** 2 - math.pi * (scale * inner) ** 2) / math.pi)


def holed(p: dict[str, Any]) -> int:
    canvas = outlines(p, "holed_area")
    scale = p["width"] / math.dist(*canvas.polygons[0][:2])
    center, radius = canvas.discs[0]
    left, top = canvas.polygons[0][0]
    right, bottom = canvas.polygons[0][2]
    assert left < center[0] - radius and center[0] + radius < right
    assert top < center[1] - radius and center[1] + radius < bottom
    told = str(2 * p["radius"] if p["across"] else p["radius"])
    assert canvas.texts.keys() == {str(p["width"]), str(p["height"]), told}
    return whole(scale**2 * ((right - left) * (bottom - top) - 3 * radius**2))


def shoelace(points: list[list[int]]) -> int:
    double = sum(a * d - b * c for (a, b), (c, d) in pairwise([*points, points[0]]))
    return whole(abs(double) / 2)


def pick(p: dict[str, Any]) -> int:
    """Points inside and half of those on the edges, less one."""
    sides = list(pairwise([*p["corners"], p["corners"][0]]))
    inside = edge = 0
    for x, y in product(range(11), range(11)):
        turns = [(b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) for a, b in sides]
        inside += min(turns) > 0
        edge += min(turns) == 0
    return whole(inside + edge / 2 - 1)


def on_axes(p: dict[str, Any], points: Any) -> Any:
    """Points as they are read from the axes."""
    return np.array(points) * [1, p["unit"]]


def middle(p: dict[str, Any]) -> int:
    a, b, _ = on_axes(p, p["points"])
    half = a + (b - a) * 0.5
    return whole(half[0] + half[1])


def slope(p: dict[str, Any]) -> int:
    ends = on_axes(p, [p["a"], p["b"]])
    return whole(np.polyfit(ends[:, 0], ends[:, 1], 1)[0])


def meeting(p: dict[str, Any]) -> int:
    """The crossing of the drawn lines, as two equations; then back from drawing to axes."""
    canvas = outlines(p, "lines_meeting")
    drawn = [ends for ends in canvas.lines if len(ends) == 2][-2:]
    rows = [((q[1] - p_[1]), -(q[0] - p_[0])) for p_, q in drawn]
    right = [r[0] * p_[0] + r[1] * p_[1] for r, (p_, _) in zip(rows, drawn, strict=True)]
    y = np.linalg.solve(np.array(rows), np.array(right))[1]
    zero, ten = canvas.lines[22][1][1], canvas.lines[22][0][1]
    return whole((zero - y) / (zero - ten) * 10 * p["unit"])


def cubes(p: dict[str, Any]) -> int:
    return np.ones(p["edges"]).size


def faces(p: dict[str, Any]) -> int:
    """Faces of unit cubes that have no neighbour."""
    filled = np.pad(np.ones(p["edges"], dtype=int), 1)
    return sum(int(np.abs(np.diff(filled, axis=axis)).sum()) for axis in range(3))


def slices(height: int, section: Any) -> int:
    """Simpson's rule over the height: exact where sections are squares of a line."""
    low, half, top = (Fraction(section(Fraction(height) * t)) for t in (0, Fraction(1, 2), 1))
    volume = Fraction(height) * (low + 4 * half + top) / 6
    assert volume.denominator == 1
    return int(volume)


def pyramid(p: dict[str, Any]) -> int:
    assert math.hypot(p["half"], p["height"]) == p["slant"]
    return slices(p["height"], lambda z: (2 * p["half"] * (1 - z / p["height"])) ** 2)


def cone(p: dict[str, Any]) -> int:
    height = math.sqrt(p["slant"] ** 2 - p["radius"] ** 2)
    assert height == p["height"]
    return slices(p["height"], lambda z: (p["radius"] * (1 - z / p["height"])) ** 2)


def can(p: dict[str, Any]) -> int:
    """The rectangle that the side unrolls to, and both discs, by the diameter."""
    across = 2 * p["radius"]
    return whole((math.pi * across * p["height"] + 2 * math.pi * across**2 / 4) / math.pi)


def series(p: dict[str, Any], name: str) -> Any:
    return np.array(p["values"])["PQRS".index(p[name])]


EXPECTED = {
    "thales_leg": thales,
    "tangent_length": tangent,
    "inscribed_angle": inscribed,
    "crossing_chords": chords,
    "similar_triangles": lambda p: (
        Fraction(p["base"]) / Fraction(p["side"], p["side"] * p["factor"])
    ),
    "midsegment_perimeter": midsegment,
    "bisector_perimeter": bisector,
    "pythagoras_chain": chain,
    "exterior_angle": exterior,
    "parallel_lines": parallels,
    "parallel_bend": bend,
    "polygon_corner": polygon_corner,
    "notched_area": notched,
    "ring_area": ring,
    "holed_area": holed,
    "grid_distance": lambda p: whole(abs(complex(*p["a"]) - complex(*p["b"])) * p["unit"]),
    "grid_triangle": lambda p: shoelace([p["a"], p["b"], p["apex"]]),
    "grid_quadrilateral": pick,
    "grid_middle": middle,
    "grid_slope": slope,
    "lines_meeting": meeting,
    "cuboid_volume": cubes,
    "cuboid_surface": faces,
    "pyramid_volume": pyramid,
    "cylinder_volume": lambda p: slices(p["height"], lambda _: p["radius"] ** 2),
    "cylinder_surface": can,
    "cone_volume": cone,
    "grouped_bars": lambda p: (series(p, "one") - series(p, "other")).sum(),
    "line_gap": lambda p: (series(p, "one") - series(p, "other"))["ABCD".index(p["group"])],
    "line_rise": lambda p: np.diff(series(p, "one")).sum() - np.diff(series(p, "other")).sum(),
    "axis_mean": lambda p: whole(float(np.mean(p["values"]))),
    "stacked_sum": lambda p: np.array(p["values"])[:, "PQRS".index(p["one"])].sum(),
    "histogram_below": lambda p: sum(
        count
        for i, count in enumerate(p["counts"])
        if p["first"] + (i + 0.5) * p["width"] < p["edge"]
    ),
    "box_quartiles": lambda p: whole(float(np.subtract(*np.percentile(p["boxes"][0], [75, 25])))),
    "scatter_count": lambda p: sum(1 if y > 4.25 else -1 for _, y in p["points"]),
    "scatter_corner": lambda p: sum(
        x * p["unit"] > p["right"] and y * p["unit"] > p["up"] for x, y in p["points"]
    ),
    "table_cell": lambda p: p["values"][p["missing"][0]][p["missing"][1]],
    "table_cost": lambda p: np.prod(p["rows"], axis=1)[
        ["PQRS".index(p["one"]), "PQRS".index(p["other"])]
    ].sum(),
    "heat_rows": lambda p: (series(p, "one") - series(p, "other")).sum(),
    "stacked_part": lambda p: p["values"][p["missing"][0]][p["missing"][1]],
    "pie_amount": lambda p: (
        Fraction(p["total"], 100)
        * (p["shares"][p["colors"].index(p["one"])] - p["shares"][p["colors"].index(p["other"])])
    ),
}


def test_there_are_enough_and_all_are_checked() -> None:
    assert len(FAMILIES) == 63
    assert EXPECTED.keys() == set(ADDED)


@pytest.mark.parametrize("family", ADDED)
def test_answers_are_exact(family: str) -> None:
    entry = FAMILIES[family]
    answers = set()
    for split in SPLITS:
        for problem in problems(family, split, 50):
            assert problem.solution.answer == str(EXPECTED[family](problem.params)), problem.params
            assert int(problem.solution.answer) > 0
            assert json.loads(json.dumps(problem.params)) == problem.params
            assert set(entry.key) <= problem.params.keys()
            answers.add(problem.solution.answer)
    assert len(answers) >= 6
