"""Circles whose question wants a theorem: Thales, tangents, angles at the circle, chords."""

from __future__ import annotations

import math
from random import Random

from mmdft.data.figures.canvas import CENTER, UNITS, Canvas, Point, fit, polar
from mmdft.data.figures.figure import Params, Ranges, Solution, comma
from mmdft.data.figures.looks import common
from mmdft.data.figures.marks import angle_arc, bearing, measure, middle, toward, wedge

RADIUS = 37


def leg_steps(hypotenuse: int, leg: int, other: int, path: int) -> tuple[str, ...]:
    """From the hypotenuse and a leg to the other leg: by squares, or by a product."""
    square = other * other
    root = f"{other} x {other} = {square}."
    if path == 0:
        return (
            f"{hypotenuse} x {hypotenuse} = {hypotenuse**2}.",
            f"{leg} x {leg} = {leg**2}.",
            f"{hypotenuse**2} - {leg**2} = {square}.",
            root,
        )
    less, more = hypotenuse - leg, hypotenuse + leg
    return (
        f"{hypotenuse} - {leg} = {less}.",
        f"{hypotenuse} + {leg} = {more}.",
        f"{less} x {more} = {square}.",
        root,
    )


def sample_thales(rng: Random, ranges: Ranges) -> Params:
    """A right triangle over a diameter; half the figures also tell the radius."""
    leg, other, diameter = rng.choice(ranges["triple"])
    if rng.random() < 0.5:
        leg, other = other, leg
    told = diameter % 2 == 0 and rng.random() < 0.5
    sides = {"leg": leg, "other": other, "diameter": diameter, "radius_told": told}
    return sides | common(rng, 2, turns=True)


def paint_thales(canvas: Canvas, params: Params) -> None:
    """The circle, the triangle on its diameter, and the diameter's measure below."""
    center = (CENTER[0], 47.0)
    a, b = polar(center, RADIUS, 180), polar(center, RADIUS, 0)
    turn = 2 * math.degrees(math.atan2(params["other"], params["leg"]))
    c = polar(center, RADIUS, 180 - turn)
    canvas.circle(center, RADIUS, canvas.style.background)
    canvas.polygon([a, b, c], canvas.tint(params["color"]))
    left, right = ((p[0], center[1] + RADIUS + 7) for p in (a, b))
    measure(canvas, left, right)
    down = polar(center, RADIUS, 285)
    if params["radius_told"]:
        canvas.line([center, down])
    canvas.disc(center, 1.5)
    canvas.label_edge(left, right, str(params["diameter"]), center)
    for end, text in ((a, str(params["leg"])), (b, "?")):
        half = middle(end, c)
        if RADIUS - math.dist(center, half) > 8:
            canvas.plate(half, text)
        else:
            # So near to the circle, inside the triangle.
            canvas.label_edge(end, c, text, polar(half, 9, bearing(center, half)))
    if params["radius_told"]:
        canvas.plate(middle(center, down), str(params["diameter"] // 2))


def solve_thales(params: Params) -> Solution:
    """By Thales the angle is right: the other leg by Pythagoras, as squares or as a product."""
    diameter, leg, other = params["diameter"], params["leg"], params["other"]
    steps = (*leg_steps(diameter, leg, other, params["path"]), f"The length is {other}.")
    return Solution(values=comma([diameter, leg]), steps=steps, answer=str(other))


def sample_tangent(rng: Random, ranges: Ranges) -> Params:
    """Radius, and the distance of a point from the centre; half the figures tell a chord too."""
    one, two, distance = rng.choice(ranges["triple"])
    radius, tangent = (two, one) if rng.random() < 0.5 and two < 0.82 * distance else (one, two)
    chord = 3 * radius // 2 if rng.random() < 0.5 else None
    sides = {"radius": radius, "tangent": tangent, "distance": distance, "chord": chord}
    return sides | {"lift": rng.randrange(-3, 4)} | common(rng, 2, turns=True)


def paint_tangent(canvas: Canvas, params: Params) -> None:
    """A circle, a point outside, the tangent from there, and the point's distance below."""
    radius, distance, chord = params["radius"], params["distance"], params["chord"]
    touch = math.acos(radius / distance)
    touching = (radius * math.cos(touch), -radius * math.sin(touch))
    corners = [(-radius, -radius), (-radius, radius), (distance, 0), (0, 0), touching]
    lift = params["lift"]
    *_, outside, center, point = fit(corners, canvas.box(10, 13 + lift, 12, 25 - lift))
    scale = (outside[0] - center[0]) / distance
    below = center[1] + radius * scale + 6
    low_center, low_outside = (center[0], below), (outside[0], below)
    canvas.circle(center, radius * scale, canvas.tint(params["color"]))
    canvas.line([center, point, outside, center])
    measure(canvas, low_center, low_outside)
    canvas.dashes(center, low_center, 0.5)
    canvas.dashes(outside, low_outside, 0.5)
    if chord is not None:
        low = center[1] + math.sqrt(radius**2 - chord**2 / 4) * scale
        left, right = ((center[0] + side * chord / 2 * scale, low) for side in (-1, 1))
        canvas.line([left, right])
        canvas.label_edge(left, middle(left, right), str(chord), (left[0], low + 9))
    canvas.disc(center, 1.5)
    canvas.label_edge(low_center, low_outside, str(distance), center)
    canvas.label_edge(center, toward(center, point, 0.8 * radius * scale), str(radius), outside)
    canvas.label_edge(point, outside, "?", center)


def solve_tangent(params: Params) -> Solution:
    """The tangent meets the radius at a right angle: Pythagoras."""
    distance, radius, tangent = params["distance"], params["radius"], params["tangent"]
    steps = (*leg_steps(distance, radius, tangent, params["path"]), f"The length is {tangent}.")
    return Solution(values=comma([distance, radius]), steps=steps, answer=str(tangent))


def sample_inscribed(rng: Random, ranges: Ranges) -> Params:
    """The angle at the circle, and where its corner lies; half the figures tell the radius."""
    # Farther aside, a line from the corner would run along a radius.
    angle = rng.choice(ranges["angle"])
    most = min(25, angle - 18)
    corner = rng.randrange(-most, most + 1)
    room = angle + abs(corner)
    radius = rng.randrange(3, 20 if room >= 76 else 10) if room >= 58 else None
    return {"angle": angle, "corner": corner, "radius": radius} | common(rng, 2, turns=True)


def paint_inscribed(canvas: Canvas, params: Params) -> None:
    """A chord below, its angle at the circle above, and the centre joined to its ends."""
    angle = params["angle"]
    a, b = polar(CENTER, RADIUS, 270 - angle), polar(CENTER, RADIUS, 270 + angle)
    top = polar(CENTER, RADIUS, 90 + params["corner"])
    canvas.circle(CENTER, RADIUS, canvas.style.background)
    canvas.polygon([a, CENTER, b], canvas.tint(params["color"]))
    canvas.line([a, top, b])
    angle_arc(canvas, top, a, b)
    # The radius that is farther from the lines.
    end = a if params["corner"] > 0 else b
    canvas.disc(CENTER, 1.5)
    canvas.label_out(top, CENTER, f"{angle}°")
    canvas.label_out(a, CENTER, "A")
    canvas.label_out(b, CENTER, "B")
    canvas.label_wedge(CENTER, *wedge(CENTER, a, b), "O")
    if params["radius"] is not None:
        half = middle(CENTER, end)
        canvas.label_edge(CENTER, half, str(params["radius"]), (CENTER[0], UNITS))


def solve_inscribed(params: Params) -> Solution:
    """The central angle is twice it; the triangle with two radii has two equal angles."""
    angle = params["angle"]
    answer, central = 90 - angle, 2 * angle
    steps: tuple[str, ...] = (f"90 - {angle} = {answer}.",)
    if params["path"] == 0:
        steps = (
            f"{angle} x 2 = {central}.",
            f"180 - {central} = {180 - central}.",
            f"{180 - central} / 2 = {answer}.",
        )
    return Solution(values=str(angle), steps=steps, answer=str(answer))


def sample_chords(rng: Random, ranges: Ranges) -> Params:
    """Two chords that cross: the parts of one, and a part of the other."""
    while True:
        a, b, c = (rng.choice(ranges["part"]) for _ in range(3))
        if a * b % c or a * b // c not in ranges["part"]:
            continue
        d = a * b // c
        across = math.hypot(a + b, c - d)
        is_legible = min(a, b, c, d) > 0.13 * across
        if len({a, b, c, d}) == 4 and is_legible and 0.45 < (a + b) / (c + d) < 2.2:
            return {"parts": [a, b, c, d]} | common(rng, 2, turns=True)


def paint_chords(canvas: Canvas, params: Params) -> None:
    """Both chords to scale; the angle between them is right."""
    a, b, c, d = params["parts"]
    # Ends at distances a, b, c, d from the crossing lie on one circle, as ab = cd.
    ends: list[Point] = [(-a, 0), (b, 0), (0, -c), (0, d)]
    x, y = (b - a) / 2, (d - c) / 2
    radius = math.dist((x, y), ends[0])
    corners = [(x - radius, y - radius), (x + radius, y + radius), (0.0, 0.0), (x, y), *ends]
    _, _, cross, center, *ends = fit(corners, canvas.box(6, 6, 6, 6))
    canvas.circle(center, math.dist(center, ends[0]), canvas.tint(params["color"]))
    canvas.line(ends[:2])
    canvas.line(ends[2:])
    # Beside each part, towards the middle of the circle.
    outside = (2 * cross[0] - center[0], 2 * cross[1] - center[1])
    for end, text in zip(ends, (str(a), str(b), str(c), "?"), strict=True):
        canvas.label_edge(cross, end, text, outside)


def solve_chords(params: Params) -> Solution:
    """The parts of both chords have the same product; or the same ratio, crosswise."""
    a, b, c, d = params["parts"]
    steps: tuple[str, ...] = (f"{a} x {b} = {a * b}.", f"{a * b} / {c} = {d}.")
    if params["path"] == 1 and a % c == 0:
        steps = (f"{a} / {c} = {a // c}.", f"{a // c} x {b} = {d}.")
    elif params["path"] == 1:
        steps = (f"{b} x {a} = {a * b}.", f"{a * b} / {c} = {d}.")
    return Solution(values=comma([a, b, c]), steps=steps, answer=str(d))
