"""Cylinders and cones; volumes and surfaces are multiples of pi."""

from __future__ import annotations

import math
from random import Random

from mmdft.data.figures.canvas import Canvas, Point, fit
from mmdft.data.figures.circles import leg_steps
from mmdft.data.figures.figure import Params, Ranges, Solution, comma
from mmdft.data.figures.looks import common
from mmdft.data.figures.marks import ellipse, measure, right_angle
from mmdft.data.figures.solids import third_steps

# How much of its width a circle seen from the side is high.
FLAT = 0.3


def sample_cylinder(rng: Random, ranges: Ranges) -> Params:
    """Radius and height; the diameter is told in half of the figures, in place of the radius."""
    while True:
        radius, height = rng.choice(ranges["radius"]), rng.choice(ranges["height"])
        if 0.8 <= height / radius <= 3.2:
            across = rng.random() < 0.5
            return {"radius": radius, "height": height, "across": across} | common(rng, 2)


def paint_cylinder(canvas: Canvas, params: Params) -> None:
    """From a little above; radius or diameter above the upper disc, the height at the side."""
    radius, height = params["radius"], params["height"]
    wide: list[Point] = [(-radius, 0), (radius, 0), (-radius, height), (radius, height)]
    bounds: list[Point] = [(0, -FLAT * radius), (0, height + FLAT * radius)]
    a, b, c, d, *_ = fit([*wide, *bounds], canvas.box(10, 18, 24, 6))
    center, low = ((a[0] + b[0]) / 2, a[1]), ((c[0] + d[0]) / 2, c[1])
    half = (b[0] - a[0]) / 2
    high = FLAT * half
    tint = canvas.tint(params["color"])
    canvas.polygon(
        [*ellipse(low, half, high, 180, 360), *ellipse(center, half, high, 360, 180)], tint
    )
    canvas.polygon(ellipse(center, half, high), canvas.style.background)
    hidden = ellipse(low, half, high, 0, 180)
    for i in range(0, 60, 4):
        canvas.line(hidden[i : i + 3], 0.5)
    start = a if params["across"] else center
    canvas.line([start, b], 0.8)
    if not params["across"]:
        canvas.disc(center, 1.5)
    top, bottom = (b[0] + 5, b[1]), (d[0] + 5, d[1])
    measure(canvas, top, bottom)
    left, right = ((x, a[1] - high - 5) for x in (start[0], b[0]))
    measure(canvas, left, right)
    told = 2 * radius if params["across"] else radius
    canvas.label_edge(left, right, str(told), low)
    canvas.label_edge(top, bottom, str(height), center)


def solve_cylinder_volume(params: Params) -> Solution:
    """The radius squared times the height, in one order or the other."""
    radius, height = params["radius"], params["height"]
    first, told = _radius(params)
    square, side = radius**2, radius * height
    steps = (
        (f"{radius} x {radius} = {square}.", f"{square} x {height} = {square * height}.")
        if params["path"] == 0
        else (f"{radius} x {height} = {side}.", f"{side} x {radius} = {square * height}.")
    )
    answer = str(square * height)
    return Solution(values=comma([told, height]), steps=(*first, *steps), answer=answer)


def solve_cylinder_surface(params: Params) -> Solution:
    """Two discs and the side; or the circumference times radius and height together."""
    radius, height = params["radius"], params["height"]
    first, told = _radius(params)
    around, square = 2 * radius, radius**2
    answer = around * (radius + height)
    steps: tuple[str, ...] = (
        f"{radius} x {radius} = {square}.",
        f"2 x {square} = {2 * square}.",
        f"2 x {radius} = {around}.",
        f"{around} x {height} = {around * height}.",
        f"{2 * square} + {around * height} = {answer}.",
    )
    if params["path"] == 1:
        steps = (
            f"{radius} + {height} = {radius + height}.",
            f"2 x {radius} = {around}.",
            f"{around} x {radius + height} = {answer}.",
        )
    return Solution(values=comma([told, height]), steps=(*first, *steps), answer=str(answer))


def _radius(params: Params) -> tuple[tuple[str, ...], int]:
    """The step from the diameter, if that is told; and the number that is told."""
    radius = params["radius"]
    if params["across"]:
        return (f"{2 * radius} / 2 = {radius}.",), 2 * radius
    return (), radius


def sample_cone(rng: Random, ranges: Ranges) -> Params:
    """Radius, height and slant of a cone; its slant is told, its height, or both."""
    radius, height, slant = rng.choice(ranges["triple"])
    if rng.random() < 0.5 and radius > 0.7 * height:
        radius, height = height, radius
    told = rng.choice(("slant", "height", "both"))
    sides = {"radius": radius, "height": height, "slant": slant, "told": told}
    return sides | common(rng, 2)


def paint_cone(canvas: Canvas, params: Params) -> None:
    """From a little above; radius and height dashed, the slant at the side."""
    radius, height = params["radius"], params["height"]
    bounds: list[Point] = [(-radius, 0), (radius, 0), (0, -height), (0, FLAT * radius), (0, 0)]
    _, b, top, _, foot = fit(bounds, canvas.box(8, 8, 8, 6))
    half = b[0] - foot[0]
    high = FLAT * half
    # The outline leaves the ellipse where the lines from the top touch it.
    touch = math.degrees(math.asin(high / (foot[1] - top[1])))
    front = ellipse(foot, half, high, 180 - touch, 360 + touch)
    canvas.polygon([top, *front], canvas.tint(params["color"]))
    hidden = ellipse(foot, half, high, touch, 180 - touch)
    for i in range(0, 60, 4):
        canvas.line(hidden[i : i + 3], 0.5)
    canvas.dashes(top, foot)
    canvas.dashes(foot, b)
    right_angle(canvas, foot, b, top, 4)
    canvas.plate((foot[0] + half * 0.5, foot[1]), str(radius))
    if params["told"] != "slant":
        canvas.plate((foot[0], (foot[1] + top[1]) / 2), str(height))
    if params["told"] != "height":
        canvas.label_edge(top, front[-1], str(params["slant"]), foot)


def solve_cone(params: Params) -> Solution:
    """A third of radius squared times height; Pythagoras first if only the slant is told."""
    radius, height, slant = params["radius"], params["height"], params["slant"]
    hidden = params["told"] == "slant"
    first = leg_steps(slant, radius, height, params["path"]) if hidden else ()
    steps = (*first, *third_steps(radius, radius**2, height, params["path"]))
    values = comma([radius, slant if hidden else height])
    return Solution(values=values, steps=steps, answer=str(radius**2 * height // 3))
