"""Areas made of parts: a rectangle without a corner, a ring, a rectangle with a round hole."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.canvas import CENTER, UNITS, Canvas, Point, fit, polar
from mmdft.data.figures.figure import Params, Ranges, Solution, comma
from mmdft.data.figures.looks import common
from mmdft.data.figures.marks import arrow, middle


def sample_notch(rng: Random, ranges: Ranges) -> Params:
    """A rectangle without a corner; half the figures tell a fifth side."""
    while True:
        width, height, dx, dy = (rng.choice(ranges["side"]) for _ in range(4))
        wide, deep = width - dx, height - dy
        is_plain = min(wide, deep, dx, dy) >= 2 and 0.5 < width / height < 2 and wide != dx
        if is_plain and min(wide, dx) * 4 > width and min(deep, dy) * 3 > height:
            told = rng.random() < 0.5
            sides = {"width": width, "height": height, "cut": [dx, dy], "right_told": told}
            return sides | common(rng, 2, turns=True)


def paint_notch(canvas: Canvas, params: Params) -> None:
    """The corner at the upper right is gone; the four sides that tell all are labelled."""
    width, height, (dx, dy) = params["width"], params["height"], params["cut"]
    outline: list[Point] = [
        (0, 0),
        (width - dx, 0),
        (width - dx, dy),
        (width, dy),
        (width, height),
        (0, height),
    ]
    points = fit(outline, canvas.box(16, 10, 14, 16))
    canvas.polygon(points, canvas.tint(params["color"]))
    a, b, c, d, e, f = points
    inside = ((a[0] + b[0]) / 2, (d[1] + e[1]) / 2)
    canvas.label_edge(f, e, str(width), inside)
    canvas.label_edge(a, f, str(height), inside)
    canvas.label_edge(b, c, str(dy), a)
    canvas.label_edge(c, d, str(dx), (d[0], d[1] - 9))
    if params["right_told"]:
        canvas.label_edge(d, e, str(height - dy), inside)


def solve_notch(params: Params) -> Solution:
    """The whole less the corner; or the two rectangles that are left."""
    width, height, (dx, dy) = params["width"], params["height"], params["cut"]
    answer = width * height - dx * dy
    steps: tuple[str, ...] = (
        f"{width} x {height} = {width * height}.",
        f"{dx} x {dy} = {dx * dy}.",
        f"{width * height} - {dx * dy} = {answer}.",
    )
    if params["path"] == 1:
        wide, low = width - dx, height - dy
        steps = (
            f"{width} - {dx} = {wide}.",
            f"{wide} x {height} = {wide * height}.",
            f"{height} - {dy} = {low}.",
            f"{dx} x {low} = {dx * low}.",
            f"{wide * height} + {dx * low} = {answer}.",
        )
    values = comma([width, height, dx, dy])
    return Solution(values=values, steps=steps, answer=str(answer))


def sample_ring(rng: Random, ranges: Ranges) -> Params:
    """Two circles about one point; half the figures have a chord that does not matter."""
    while True:
        outer, inner = rng.choice(ranges["radius"]), rng.choice(ranges["radius"])
        if 0.4 <= inner / outer <= 0.75:
            turn, chord = rng.randrange(20, 71), rng.random() < 0.5
            sides = {"outer": outer, "inner": inner, "turn": turn, "chord": chord}
            return sides | common(rng, 2, turns=True)


def paint_ring(canvas: Canvas, params: Params) -> None:
    """Both circles to scale, a radius of each told."""
    radius = 47.0 - canvas.style.inset
    small = radius * params["inner"] / params["outer"]
    canvas.circle(CENTER, radius, canvas.tint(params["color"]))
    canvas.circle(CENTER, small, canvas.style.background)
    turns = (params["turn"], 180 + params["turn"] / 2)
    for reach, turn in zip((radius, small), turns, strict=True):
        arrow(canvas, CENTER, polar(CENTER, reach, turn))
    canvas.disc(CENTER, 1.8)
    if params["chord"]:
        canvas.dashes(polar(CENTER, radius, 290), polar(CENTER, radius, 345))
    # Where there is room, in the ring; the arrow's head tells how far the line goes.
    at = 0.42 * radius + 0.58 * small if small < 0.58 * radius else small * 0.55
    canvas.plate(polar(CENTER, at, turns[0]), str(params["outer"]))
    canvas.plate(polar(CENTER, 0.46 * small, turns[1]), str(params["inner"]))


def solve_ring(params: Params) -> Solution:
    """The outer radius squared less the inner; or their difference times their sum."""
    outer, inner = params["outer"], params["inner"]
    answer = outer**2 - inner**2
    steps: tuple[str, ...] = (
        f"{outer} x {outer} = {outer**2}.",
        f"{inner} x {inner} = {inner**2}.",
        f"{outer**2} - {inner**2} = {answer}.",
    )
    if params["path"] == 1:
        steps = (
            f"{outer} - {inner} = {outer - inner}.",
            f"{outer} + {inner} = {outer + inner}.",
            f"{outer - inner} x {outer + inner} = {answer}.",
        )
    return Solution(values=comma([outer, inner]), steps=steps, answer=str(answer))


def sample_hole(rng: Random, ranges: Ranges) -> Params:
    """A rectangle with a round hole, told by its radius or by its diameter."""
    while True:
        width, height = rng.choice(ranges["side"]), rng.choice(ranges["side"])
        radius = rng.choice(ranges["radius"])
        if 0.6 < height / width < 1 and 2 * radius / height < 0.88 and 3.6 * radius >= width:
            place, across = rng.choice((0.35, 0.5, 0.65)), rng.random() < 0.5
            sides = {"width": width, "height": height, "radius": radius}
            more = {"place": place, "across": across}
            return sides | more | common(rng, 2, turns=True)


def paint_hole(canvas: Canvas, params: Params) -> None:
    """The rectangle filled, the hole in the colour of the paper."""
    width, height, radius = params["width"], params["height"], params["radius"]
    corners: list[Point] = [(0, 0), (width, 0), (width, height), (0, height)]
    a, b, c, d = fit(corners, canvas.box(8, 8, 20, 20))
    canvas.polygon([a, b, c, d], canvas.tint(params["color"]))
    scale = (b[0] - a[0]) / width
    away = radius * scale + 3
    x = min(max(a[0] + (b[0] - a[0]) * params["place"], a[0] + away), b[0] - away)
    center = (x, (b[1] + c[1]) / 2)
    canvas.circle(center, radius * scale, canvas.style.background)
    start = polar(center, radius * scale, 180) if params["across"] else center
    end = polar(center, radius * scale, 0)
    canvas.line([start, end])
    if not params["across"]:
        canvas.disc(center, 1.5)
    inside = center
    canvas.label_edge(d, c, str(width), inside)
    canvas.label_edge(b, c, str(height), inside)
    near = end if params["across"] else middle(center, polar(center, radius * scale * 1.6, 0))
    told = str(2 * radius if params["across"] else radius)
    canvas.label_edge(start, near, told, (center[0], UNITS))


def solve_hole(params: Params) -> Solution:
    """The rectangle less the circle, either first; pi is 3, as the question says."""
    width, height, radius = params["width"], params["height"], params["radius"]
    whole, square = width * height, radius**2
    shown = 2 * radius if params["across"] else radius
    halved = (f"{shown} / 2 = {radius}.",) if params["across"] else ()
    hole = (*halved, f"{radius} x {radius} = {square}.", f"3 x {square} = {3 * square}.")
    rectangle = (f"{width} x {height} = {whole}.",)
    parts = (*rectangle, *hole) if params["path"] == 0 else (*hole, *rectangle)
    answer = whole - 3 * square
    steps = (*parts, f"{whole} - {3 * square} = {answer}.")
    return Solution(values=comma([width, height, shown]), steps=steps, answer=str(answer))
