"""Triangles in proportion, and right triangles one on another."""

from __future__ import annotations

import math
from random import Random

from mmdft.data.figures.canvas import Canvas, Point, centroid, fit
from mmdft.data.figures.figure import Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import common
from mmdft.data.figures.marks import angle_arc, measure, middle, right_angle, toward


def triangle_of(base: float, left: float, right: float) -> list[Point]:
    """Base corners and apex of a triangle with these sides."""
    x = (base**2 + left**2 - right**2) / (2 * base)
    return [(0.0, 0.0), (base, 0.0), (x, -math.sqrt(left**2 - x**2))]


def sample_similar(rng: Random, ranges: Ranges) -> Params:
    """A triangle cut by a line parallel to its base."""
    side, factor, base = (rng.choice(ranges[name]) for name in ("side", "factor", "base"))
    sides = {"side": side, "factor": factor, "base": base, "lean": rng.randrange(25, 61)}
    return sides | common(rng, 2, turns=True)


def paint_similar(canvas: Canvas, params: Params) -> None:
    """Apex above; the small triangle tinted, its side and the whole side on the left."""
    factor = params["factor"]
    left, right, apex = (34.0, 96.0), (107.0, 96.0), (34 + params["lean"] * 0.73, 20.0)
    near, far = (toward(apex, p, math.dist(apex, p) / factor) for p in (left, right))
    canvas.polygon([apex, near, far], canvas.tint(params["color"]))
    canvas.polygon([left, right, apex])
    # The whole side has a line of its own, beside the triangle.
    bar = _beside(apex, left, 20)
    measure(canvas, *bar)
    canvas.plate(middle(*bar), str(params["side"] * factor))
    canvas.label_edge(near, far, str(params["base"]), apex)
    canvas.label_edge(apex, near, str(params["side"]), right)
    canvas.label_edge(left, right, "?", apex)


def solve_similar(params: Params) -> Solution:
    """Both triangles have one shape: by the factor, or by cross products."""
    side, base, whole = params["side"], params["base"], params["side"] * params["factor"]
    answer = base * params["factor"]
    steps = (
        (f"{whole} / {side} = {params['factor']}.", f"{base} x {params['factor']} = {answer}.")
        if params["path"] == 0
        else (f"{base} x {whole} = {base * whole}.", f"{base * whole} / {side} = {answer}.")
    )
    return Solution(values=comma([side, whole, base]), steps=steps, answer=str(answer))


def sample_midsegment(rng: Random, ranges: Ranges) -> Params:
    """A triangle of even sides; the middles of the sides make a smaller one."""
    while True:
        sides = [2 * rng.choice(ranges["half"]) for _ in range(3)]
        base, left, right = sides
        least, _, most = sorted(sides)
        if len(set(sides)) < 3 or least < 0.6 * most or most > 0.82 * (sum(sides) - most):
            continue
        apex = triangle_of(base, left, right)[2]
        if 0.2 < apex[0] / base < 0.8 and -apex[1] / base > 0.55:
            return {"sides": sides} | common(rng, 2, turns=True)


def paint_midsegment(canvas: Canvas, params: Params) -> None:
    """The triangle with a measure along each side, and the small one in it, D, E and F."""
    base, left, right = params["sides"]
    a, b, c = fit(triangle_of(base, left, right), canvas.box(24, 14, 24, 24))
    inner = [middle(a, b), middle(b, c), middle(c, a)]
    canvas.polygon([a, b, c])
    canvas.polygon(inner, canvas.tint(params["color"]))
    inside = centroid([a, b, c])
    # A number beside half a side would be taken for that half's length.
    bars = [_beside(p, q, 15) for p, q in ((a, b), (b, c), (c, a))]
    for bar in bars:
        measure(canvas, *bar)
    for p, q, name in ((a, b, "D"), (b, c, "E"), (c, a, "F")):
        canvas.label_edge(p, q, name, inside)
    for bar, side in zip(bars, (base, right, left), strict=True):
        canvas.plate(toward(*bar, 0.8 * math.dist(*bar)), str(side))


def _beside(p: Point, q: Point, away: float) -> tuple[Point, Point]:
    """The segment moved by so much to its right hand."""
    length = math.dist(p, q)
    dx, dy = -(q[1] - p[1]) / length * away, (q[0] - p[0]) / length * away
    return (p[0] + dx, p[1] + dy), (q[0] + dx, q[1] + dy)


def solve_midsegment(params: Params) -> Solution:
    """Each side of the small triangle is half a side: halved first, or added first."""
    sides = params["sides"]
    answer = sum(sides) // 2
    if params["path"] == 0:
        steps = [f"{side} / 2 = {side // 2}." for side in sides]
        steps += add([side // 2 for side in sides])
    else:
        steps = [*add(sides), f"{sum(sides)} / 2 = {answer}."]
    return Solution(values=comma(sides), steps=tuple(steps), answer=str(answer))


def sample_bisector(rng: Random, ranges: Ranges) -> Params:
    """Sides AB and AC and the part BD of the base; the angle at A is halved by AD."""
    while True:
        one, two = rng.choice(ranges["ratio"])
        long, short = rng.choice(ranges["long"]), rng.choice(ranges["short"])
        left, right = one * long, two * long
        parts = [one * short, two * short]
        base = sum(parts)
        if not abs(left - right) * 1.3 < base < (left + right) * 0.8:
            continue
        apex = triangle_of(base, left, right)[2]
        if 0.1 < apex[0] / base < 0.9 and -apex[1] / base > 0.5:
            return {"left": left, "right": right, "parts": parts} | common(rng, 2, turns=True)


def paint_bisector(canvas: Canvas, params: Params) -> None:
    """The triangle ABC and the line AD, with equal arcs at A."""
    left, right, (near, _) = params["left"], params["right"], params["parts"]
    base = sum(params["parts"])
    corners = [*triangle_of(base, left, right), (float(near), 0.0)]
    b, c, a, d = fit(corners, canvas.box(20, 16, 20, 22))
    canvas.polygon([b, d, a], canvas.tint(params["color"]))
    canvas.polygon([b, c, a])
    angle_arc(canvas, a, b, d, 9)
    angle_arc(canvas, a, d, c, 9)
    inside = centroid([a, b, c])
    canvas.label_edge(b, a, str(left), inside)
    canvas.label_edge(a, c, str(right), inside)
    canvas.label_edge(b, d, str(near), a)
    canvas.label_out(a, inside, "A")
    canvas.label_out(b, inside, "B")
    canvas.label_out(c, inside, "C")
    canvas.label_edge((d[0] - 1, d[1]), (d[0] + 1, d[1]), "D", a)


def solve_bisector(params: Params) -> Solution:
    """The parts of the base are as the sides; then the perimeter, in one order or the other."""
    left, right, (near, far) = params["left"], params["right"], params["parts"]
    first = (f"{right} x {near} = {right * near}.", f"{right * near} / {left} = {far}.")
    order = [left, right, near, far] if params["path"] == 0 else [near, far, left, right]
    answer = str(left + right + near + far)
    return Solution(values=comma([left, right, near]), steps=(*first, *add(order)), answer=answer)


def sample_chain(rng: Random, ranges: Ranges) -> Params:
    """Two right triangles; the long side of the first is a leg of the second."""
    sides = list(rng.choice(ranges["chain"]))
    if rng.random() < 0.5:
        sides[:2] = sides[1::-1]
    return {"sides": sides, "mirror": rng.randrange(2)} | common(rng, 2, turns=True)


def paint_chain(canvas: Canvas, params: Params) -> None:
    """The first triangle tinted, the second on its long side; right angles are marked."""
    one, two, long, third, _ = params["sides"]
    # From a over b to c; then d, at a right angle to the line from a to c.
    a, b, c = (0.0, 0.0), (float(one), 0.0), (float(one), float(-two))
    d = (c[0] - third * two / long, c[1] - third * one / long)
    points = [a, b, c, d]
    if params["mirror"]:
        points = [(-x, y) for x, y in points]
    a, b, c, d = fit(points, canvas.box(18, 16, 18, 16))
    canvas.polygon([a, b, c], canvas.tint(params["color"]))
    canvas.polygon([a, c, d])
    right_angle(canvas, b, a, c)
    right_angle(canvas, c, a, d)
    canvas.label_edge(a, b, str(one), c)
    canvas.label_edge(b, c, str(two), a)
    canvas.label_edge(c, d, str(third), a)
    canvas.label_edge(a, d, "?", c)


def solve_chain(params: Params) -> Solution:
    """Pythagoras twice; the shared side is worked out, or only its square."""
    one, two, long, third, answer = params["sides"]
    root = (f"{long} x {long} = {long**2}.",) if params["path"] == 0 else ()
    steps = (
        f"{one} x {one} = {one**2}.",
        f"{two} x {two} = {two**2}.",
        f"{one**2} + {two**2} = {long**2}.",
        *root,
        f"{third} x {third} = {third**2}.",
        f"{long**2} + {third**2} = {answer**2}.",
        f"{answer} x {answer} = {answer**2}.",
        f"The length is {answer}.",
    )
    return Solution(values=comma([one, two, third]), steps=steps, answer=str(answer))
