"""Angles to be chased: outside a triangle, between parallels, in a polygon."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

from mmdft.data.figures.canvas import Canvas, Point, centroid, fit
from mmdft.data.figures.figure import Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import common
from mmdft.data.figures.marks import angle_arc, middle, wedge


def _triangle(left: int, right: int) -> list[Point]:
    """Base corners and apex of a triangle with these angles at its base, in degrees."""
    a, b = math.radians(left), math.radians(right)
    side = math.sin(b) / math.sin(a + b)
    return [(0.0, 0.0), (1.0, 0.0), (side * math.cos(a), -side * math.sin(a))]


def sample_exterior(rng: Random, ranges: Ranges) -> Params:
    """Angles at the left and at the top; half the figures also tell a side."""
    while True:
        left, top = rng.choice(ranges["angle"]), rng.choice(ranges["angle"])
        if 30 <= 180 - left - top <= 110 and top >= 35:
            side = rng.randrange(3, 20) if rng.random() < 0.5 else None
            return {"left": left, "top": top, "side": side} | common(rng, 2, turns=True)


def paint_exterior(canvas: Canvas, params: Params) -> None:
    """The base goes on to the right; the angle outside is asked for."""
    left, top = params["left"], params["top"]
    points = fit([*_triangle(left, 180 - left - top), (1.55, 0.0)], canvas.box(21, 16, 8, 20))
    a, b, c, far = points
    canvas.polygon([a, b, c], canvas.tint(params["color"]), 0)
    canvas.sector(b, 9, *wedge(b, far, c), canvas.color(params["color"]))
    canvas.polygon([a, b, c])
    canvas.line([b, far])
    angle_arc(canvas, a, b, c)
    angle_arc(canvas, c, a, b)
    inside = centroid([a, b, c])
    canvas.label_out(a, inside, f"{left}°")
    canvas.label_out(c, inside, f"{top}°")
    canvas.label_wedge(b, *wedge(b, far, c), "?", clear=9)
    if params["side"] is not None:
        canvas.label_edge(a, c, str(params["side"]), inside)


def solve_exterior(params: Params) -> Solution:
    """The sum of the two far angles; or by the third angle of the triangle."""
    left, top = params["left"], params["top"]
    answer = left + top
    steps: tuple[str, ...] = (f"{left} + {top} = {answer}.",)
    if params["path"] == 1:
        third = 180 - answer
        steps = (*steps, f"180 - {answer} = {third}.", f"180 - {third} = {answer}.")
    return Solution(values=comma([left, top]), steps=steps, answer=str(answer))


def sample_parallels(rng: Random, ranges: Ranges) -> Params:
    """The angles that two lines make with the upper parallel, on its outer sides."""
    while True:
        left, right = rng.choice(ranges["angle"]), rng.choice(ranges["angle"])
        if max(left, right) < 90 and 40 <= 180 - left - right <= 110:
            return {"left": left, "right": right} | common(rng, 2, turns=True)


def paint_parallels(canvas: Canvas, params: Params) -> None:
    """Two parallels, and from a point of the upper one two lines down to the lower one."""
    # Alternate angles: the triangle below has the same ones at its base.
    a, b, c = fit(_triangle(params["left"], params["right"]), canvas.box(26, 22, 26, 20))
    canvas.polygon([a, b, c], canvas.tint(params["color"]))
    for y in (a[1], c[1]):
        canvas.line([(5, y), (107, y)])
    sides = [((5.0, c[1]), a, params["left"]), ((107.0, c[1]), b, params["right"])]
    for far, foot, _ in sides:
        angle_arc(canvas, c, far, foot, 9)
    for far, foot, angle in sides:
        canvas.label_wedge(c, *wedge(c, far, foot), f"{angle}°", clear=9)
    canvas.label_out(c, middle(a, b), "A")
    canvas.label_out(a, (a[0], a[1] - 9), "B")
    canvas.label_out(b, (b[0], b[1] - 9), "C")


def solve_parallels(params: Params) -> Solution:
    """What is left of the straight angle at A; the two are also the triangle's base angles."""
    left, right = params["left"], params["right"]
    answer = 180 - left - right
    steps = (
        (f"{left} + {right} = {left + right}.", f"180 - {left + right} = {answer}.")
        if params["path"] == 0
        else (f"180 - {left} = {180 - left}.", f"{180 - left} - {right} = {answer}.")
    )
    return Solution(values=comma([left, right]), steps=steps, answer=str(answer))


def sample_bend(rng: Random, ranges: Ranges) -> Params:
    """A bent line between parallels: its angles with them; the upper one told from outside."""
    while True:
        upper, lower = rng.choice(ranges["angle"]), rng.choice(ranges["angle"])
        if (
            upper + lower <= 125
            and 0.5 < math.tan(math.radians(upper)) / math.tan(math.radians(lower)) < 2
        ):
            return {"upper": upper, "lower": lower} | common(rng, 2, turns=True)


def paint_bend(canvas: Canvas, params: Params) -> None:
    """From A on the upper line to the right and down to P, from there back to B on the lower."""
    up, low = (math.radians(params[name]) for name in ("upper", "lower"))
    top, bottom = 20.0, 92.0
    # How far the ends lie left of P, and where it is between the lines.
    share = math.tan(up) / (math.tan(up) + math.tan(low))
    y = top + (bottom - top) * share
    run = (y - top) / math.tan(up)
    p = (56 + run / 2 + 4, y)
    a, b = (p[0] - run, top), (p[0] - run, bottom)
    for line in (top, bottom):
        canvas.line([(5, line), (107, line)])
    canvas.line([a, p, b], None, canvas.color(params["color"]))
    left, right = (5.0, top), (107.0, bottom)
    angle_arc(canvas, a, left, p, 6)
    angle_arc(canvas, b, right, p, 9)
    angle_arc(canvas, p, a, b, 7)
    canvas.label_wedge(a, *wedge(a, left, p), f"{180 - params['upper']}°", clear=6)
    canvas.label_wedge(b, *wedge(b, right, p), f"{params['lower']}°", clear=9)
    canvas.label_wedge(p, *wedge(p, a, b), "?", clear=7)


def solve_bend(params: Params) -> Solution:
    """A third parallel through the bend; or the line goes on to the lower one: a triangle."""
    upper, lower = params["upper"], params["lower"]
    answer, outer = upper + lower, 180 - upper
    first = f"180 - {outer} = {upper}."
    steps: tuple[str, ...] = (first, f"{upper} + {lower} = {answer}.")
    if params["path"] == 1:
        # The triangle's angles: the upper one again, the lower one, and what is beside the bend.
        steps = (
            first,
            f"180 - {upper} = {outer}.",
            f"{outer} - {lower} = {180 - answer}.",
            f"180 - {180 - answer} = {answer}.",
        )
    return Solution(values=comma([outer, lower]), steps=steps, answer=str(answer))


def sample_corners(rng: Random, ranges: Ranges) -> Params:
    """A convex polygon's angles, one to be found, and all sides but two; half tell a side."""
    while True:
        num = rng.choice(ranges["num_sides"])
        angles = [rng.choice(ranges["angle"]) for _ in range(num - 1)]
        angles.append((num - 2) * 180 - sum(angles))
        if angles[-1] not in ranges["angle"]:
            continue
        lengths = [rng.randrange(8, 13) for _ in range(num - 2)]
        corners = _closed(angles, lengths)
        if corners is None:
            continue
        sides = [math.dist(p, q) for p, q in pairwise([*corners, corners[0]])]
        wide, high = (max(along) - min(along) for along in zip(*corners, strict=True))
        # Else the labels of two corners may meet.
        if min(sides) * 1.35 > max(sides) and 0.9 < wide / high < 1.5:
            told = rng.randrange(3, 20) if rng.random() < 0.5 else None
            missing = {"angles": angles, "missing": rng.randrange(num), "side": told}
            return missing | {"lengths": lengths} | common(rng, 2, turns=True)


def _closed(angles: list[int], lengths: list[int]) -> list[Point] | None:
    """The corners of the polygon with these angles and first sides; None if it does not close."""
    corners, direction = [(0.0, 0.0)], 0.0
    for angle, length in zip(angles[1:], lengths, strict=False):
        x, y = corners[-1]
        corners.append((x + length * math.cos(direction), y - length * math.sin(direction)))
        direction += math.radians(180 - angle)
    x, y = corners[-1]
    # The last two sides: along `direction`, then back to the start.
    back = direction + math.radians(180 - angles[-1])
    det = math.sin(back - direction)
    one = (-x * math.sin(back) - y * math.cos(back)) / det
    two = (x * math.sin(direction) + y * math.cos(direction)) / det
    if one <= 0 or two <= 0:
        return None
    return [*corners, (x + one * math.cos(direction), y - one * math.sin(direction))]


def paint_corners(canvas: Canvas, params: Params) -> None:
    """The polygon with its angles inside, a question mark in one."""
    corners = _closed(params["angles"], params["lengths"])
    if corners is None:
        raise ValueError(f"no polygon with the angles {params['angles']}")
    corners = fit(corners, canvas.box(10, 10, 10, 16))
    canvas.polygon(corners, canvas.tint(params["color"]))
    num = len(corners)
    rays = [(p, corners[(i + 1) % num], corners[i - 1]) for i, p in enumerate(corners)]
    for ray in rays:
        angle_arc(canvas, *ray, radius=5)
    for i, ray in enumerate(rays):
        text = "?" if i == params["missing"] else f"{params['angles'][i]}°"
        canvas.label_wedge(ray[0], *wedge(*ray), text, clear=5)
    if params["side"] is not None:
        canvas.label_edge(corners[0], corners[1], str(params["side"]), centroid(corners))


def solve_corners(params: Params) -> Solution:
    """The polygon's sum of angles less those known: their sum, or one after the other."""
    angles, num = params["angles"], len(params["angles"])
    known = [angle for i, angle in enumerate(angles) if i != params["missing"]]
    total, answer = (num - 2) * 180, angles[params["missing"]]
    steps = [f"{num} - 2 = {num - 2}.", f"{num - 2} x 180 = {total}."]
    if params["path"] == 0:
        steps += [*add(known), f"{total} - {sum(known)} = {answer}."]
    else:
        for angle in known:
            steps.append(f"{total} - {angle} = {total - angle}.")
            total -= angle
    return Solution(values=comma(known), steps=tuple(steps), answer=str(answer))
