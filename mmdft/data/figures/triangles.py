"""Triangles, and the angles on a line. Sides are drawn to scale, angles are true."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

from mmdft.data.figures.canvas import Canvas, centroid, fit, polar
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, add, comma


def _height(base: int, left: int, right: int) -> tuple[float, float]:
    foot = (left * left + base * base - right * right) / (2 * base)
    return foot, math.sqrt(max(0.0, left * left - foot * foot))


def sample_triangle_perimeter(rng: Random, ranges: Ranges) -> Params:
    """Three sides of a triangle that is not too flat; the longest is the base."""
    while True:
        left, right, base = (rng.choice(ranges["side"]) for _ in range(3))
        if base < max(left, right) or base >= left + right:
            continue
        if _height(base, left, right)[1] >= 0.45 * base:
            return {"sides": [left, right, base], "color": rng.choice(COLORS)}


def paint_triangle_perimeter(canvas: Canvas, params: Params) -> None:
    """The triangle with its three sides labelled; to scale, or with other sides `drawn`."""
    left, right, base = params["sides"]
    x_left, x_right, x_base = params["drawn"] if "drawn" in params else params["sides"]
    foot, height = _height(x_base, x_left, x_right)
    points = fit([(0, 0), (x_base, 0), (foot, -height)], canvas.box(15, 10, 15, 22))
    a, b, c = points
    canvas.polygon(points, canvas.tint(params["color"]))
    inside = centroid(points)
    canvas.label_edge(a, c, str(left), inside)
    canvas.label_edge(c, b, str(right), inside)
    canvas.label_edge(a, b, str(base), inside)


def solve_triangle_perimeter(params: Params) -> Solution:
    """The sum of the sides."""
    sides = params["sides"]
    return Solution(values=comma(sides), steps=add(sides), answer=str(sum(sides)))


def sample_triangle_angle(rng: Random, ranges: Ranges) -> Params:
    """Angles at the left, the right and the top; one of them is to be found."""
    while True:
        left, right = rng.choice(ranges["angle"]), rng.choice(ranges["angle"])
        top = 180 - left - right
        if left <= 90 and right <= 90 and top in ranges["angle"]:
            angles = [left, right, top]
            missing = rng.randrange(3)
            return {"angles": angles, "missing": missing, "color": rng.choice(COLORS)}


def paint_triangle_angle(canvas: Canvas, params: Params) -> None:
    """The triangle with its angles written at the corners, a question mark at one."""
    drawn = params["drawn"] if "drawn" in params else params["angles"]
    left, right, _ = (math.radians(angle) for angle in drawn)
    # The law of sines, on a base of one.
    side = math.sin(right) / math.sin(left + right)
    apex = (side * math.cos(left), -side * math.sin(left))
    points = fit([(0, 0), (1, 0), apex], canvas.box(18, 22, 18, 22))
    a, b, c = points
    canvas.polygon(points, canvas.tint(params["color"]), 0)
    turns = [(a, 0, drawn[0]), (b, 180 - drawn[1], 180)]
    turns.append((c, 180 + drawn[0], 360 - drawn[1]))
    for corner, start, end in turns:
        canvas.sector(corner, 14, start, end, canvas.color(params["color"]))
    canvas.polygon(points)
    texts = [f"{angle}°" for angle in params["angles"]]
    texts[params["missing"]] = "?"
    canvas.text((a[0], a[1] + 11), texts[0])
    canvas.text((b[0], b[1] + 11), texts[1])
    canvas.text((c[0], c[1] - 11), texts[2])


def solve_triangle_angle(params: Params) -> Solution:
    """180 less the two known angles."""
    known = [a for i, a in enumerate(params["angles"]) if i != params["missing"]]
    answer = 180 - sum(known)
    steps = (*add(known), f"180 - {sum(known)} = {answer}.")
    return Solution(values=comma(known), steps=steps, answer=str(answer))


def sample_triangle_area(rng: Random, ranges: Ranges) -> Params:
    """Base, height, and where the height stands on the base, in percent."""
    while True:
        base, height = rng.choice(ranges["base"]), rng.choice(ranges["height"])
        if base * height % 2 == 0 and 0.5 <= height / base <= 1:
            foot = rng.choice(ranges["foot"])
            color = rng.choice(COLORS)
            return {"base": base, "height": height, "foot": foot, "color": color}


def paint_triangle_area(canvas: Canvas, params: Params) -> None:
    """The triangle with its base labelled below and its height inside."""
    base, height = params["base"], params["height"]
    foot = base * params["foot"] / 100
    points = fit([(0, 0), (base, 0), (foot, -height)], canvas.box(6, 6, 6, 22))
    a, b, c = points
    canvas.polygon(points, canvas.tint(params["color"]))
    ground = (c[0], a[1])
    num_dashes = 6
    for i in range(num_dashes):
        ends = [c[1] + (a[1] - c[1]) * t / num_dashes for t in (i + 0.3, i + 0.7)]
        canvas.line([(c[0], y) for y in ends])
    low = (c[0], c[1] + 0.4 * (a[1] - c[1]))
    canvas.label_edge(low, ground, str(height), a if params["foot"] < 50 else b)
    canvas.label_edge(a, b, str(base), c)


def solve_triangle_area(params: Params) -> Solution:
    """Half of base times height."""
    base, height = params["base"], params["height"]
    double = base * height
    steps = (f"{base} x {height} = {double}.", f"{double} / 2 = {double // 2}.")
    return Solution(values=comma([base, height]), steps=steps, answer=str(double // 2))


def sample_right_triangle(rng: Random, ranges: Ranges) -> Params:
    """A Pythagorean triple as (across, up, long side); one of them is to be found."""
    short, other, long = rng.choice(ranges["triple"])
    legs = [short, other] if rng.randrange(2) else [other, short]
    return {
        "sides": [*legs, long],
        "missing": rng.randrange(3),
        "mirror": rng.randrange(2),
        "color": rng.choice(COLORS),
        "percent": rng.choice(ranges["percent"]),
    }


def paint_right_triangle(canvas: Canvas, params: Params) -> None:
    """The triangle with its right angle marked and its sides labelled."""
    across, up, _ = params["sides"]
    tip = -across if params["mirror"] else across
    # The upright leg has its label outside, the long side has room for its own within the box.
    margins = (8, 26) if params["mirror"] else (26, 8)
    left, top, right, bottom = canvas.box(margins[0], 8, margins[1], 22)
    right = left + (right - left) * params["percent"] / 100
    points = fit([(0, 0), (tip, 0), (0, -up)], (left, top, right, bottom))
    corner, side, peak = points
    canvas.polygon(points, canvas.tint(params["color"]))
    step = 8 if side[0] > corner[0] else -8
    x, y = corner
    canvas.line([(x + step, y), (x + step, y - 8), (x, y - 8)], 2)
    texts = [str(value) for value in params["sides"]]
    texts[params["missing"]] = "?"
    inside = centroid(points)
    canvas.label_edge(corner, side, texts[0], inside)
    canvas.label_edge(corner, peak, texts[1], inside)
    canvas.label_edge(side, peak, texts[2], inside)


def solve_right_triangle(params: Params) -> Solution:
    """The theorem of Pythagoras, solved for the missing side."""
    sides, missing = params["sides"], params["missing"]
    answer = sides[missing]
    if missing == 2:
        values = [sides[0], sides[1]]
        a, b = sides[0] ** 2, sides[1] ** 2
        first = f"{a} + {b} = {a + b}."
    else:
        values = [sides[2], sides[1 - missing]]
        a, b = values[0] ** 2, values[1] ** 2
        first = f"{a} - {b} = {a - b}."
    steps = (first, f"{answer} x {answer} = {answer**2}.", f"The side is {answer}.")
    return Solution(values=comma(values), steps=steps, answer=str(answer))


def sample_angle_sum_line(rng: Random, ranges: Ranges) -> Params:
    """Two or three angles that make a straight line; one of them is to be found."""
    num_angles = rng.choice(ranges["num_angles"])
    while True:
        angles = [rng.choice(ranges["angle"]) for _ in range(num_angles - 1)]
        angles.append(180 - sum(angles))
        if angles[-1] in ranges["angle"]:
            missing = rng.randrange(num_angles)
            return {"angles": angles, "missing": missing, "color": rng.choice(COLORS)}


def paint_angle_sum_line(canvas: Canvas, params: Params) -> None:
    """A straight line, rays from its middle, and the angles between them."""
    inset = canvas.style.inset
    center = (56.0, 92.0 - inset)
    length = 50.0 - inset
    turns = [0]
    for angle in params["angles"]:
        turns.append(turns[-1] + angle)
    for i, (start, end) in enumerate(pairwise(turns)):
        color = params["color"]
        shade = canvas.color(color) if i == params["missing"] else canvas.tint(color)
        canvas.sector(center, 16, start, end, shade)
    canvas.line([polar(center, length, 0), polar(center, length, 180)])
    for turn in turns[1:-1]:
        reach = min(72.0, length / max(0.1, abs(polar((0, 0), 1, turn)[0])))
        canvas.line([center, polar(center, reach, turn)])
    for i, (start, end) in enumerate(pairwise(turns)):
        text = "?" if i == params["missing"] else f"{params['angles'][i]}°"
        canvas.label_wedge(center, start, end, text, clear=17)


def solve_angle_sum_line(params: Params) -> Solution:
    """180 less the known angles."""
    known = [a for i, a in enumerate(params["angles"]) if i != params["missing"]]
    answer = 180 - sum(known)
    steps = (*add(known), f"180 - {sum(known)} = {answer}.")
    return Solution(values=comma(known), steps=steps, answer=str(answer))
