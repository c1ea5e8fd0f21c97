"""Circles and triangles whose question wants a theorem; drawn to scale, angles are true."""

from __future__ import annotations

import math
from random import Random

from mmdft.data.figures.canvas import CENTER, Canvas, Point, fit, polar
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, comma
from mmdft.data.figures.looks import sample_look

RADIUS = 38


def _common(rng: Random, num_paths: int) -> Params:
    return {
        "color": rng.choice(COLORS),
        "path": rng.randrange(num_paths),
        "look": sample_look(rng),
    }


def plate(canvas: Canvas, center: Point, text: str) -> None:
    """A label on a piece of paper of its own, so that no line runs through it."""
    width, height = canvas.text_size(text)
    x, y = center
    box = (x - width / 2 - 1.5, y - height / 2 - 1.5, x + width / 2 + 1.5, y + height / 2 + 1.5)
    canvas.rectangle(box, canvas.style.background, 0)
    canvas.text(center, text)


def _leg(hypotenuse: int, leg: int, other: int, path: int) -> tuple[str, ...]:
    """The steps from hypotenuse and a leg to the other leg."""
    square = other * other
    last = (f"{other} x {other} = {square}.", f"The length is {other}.")
    if path == 0:
        return (
            f"{hypotenuse} x {hypotenuse} = {hypotenuse**2}.",
            f"{leg} x {leg} = {leg**2}.",
            f"{hypotenuse**2} - {leg**2} = {square}.",
            *last,
        )
    less, more = hypotenuse - leg, hypotenuse + leg
    return (
        f"{hypotenuse} - {leg} = {less}.",
        f"{hypotenuse} + {leg} = {more}.",
        f"{less} x {more} = {square}.",
        *last,
    )


def sample_thales(rng: Random, ranges: Ranges) -> Params:
    """A right triangle over a diameter; half the figures also tell the radius."""
    leg, other, diameter = rng.choice(ranges["triple"])
    if rng.random() < 0.5:
        leg, other = other, leg
    told = diameter % 2 == 0 and rng.random() < 0.5
    return {"leg": leg, "other": other, "diameter": diameter, "radius_told": told} | _common(rng, 2)


def paint_thales(canvas: Canvas, params: Params) -> None:
    """The circle with its diameter, and the triangle on it."""
    turn = 2 * math.degrees(math.atan2(params["other"], params["leg"]))
    a, b = polar(CENTER, RADIUS, 180), polar(CENTER, RADIUS, 0)
    c = polar(CENTER, RADIUS, 180 - turn)
    canvas.circle(CENTER, RADIUS, canvas.style.background)
    canvas.polygon([a, b, c], canvas.tint(params["color"]))
    if params["radius_told"]:
        down = polar(CENTER, RADIUS, 270)
        canvas.line([CENTER, down])
        plate(canvas, (CENTER[0], CENTER[1] + RADIUS * 0.6), str(params["diameter"] // 2))
    plate(canvas, (CENTER[0] - RADIUS / 2, CENTER[1]), str(params["diameter"]))
    plate(canvas, _middle(c, a), str(params["leg"]))
    plate(canvas, _middle(b, c), "?")


def solve_thales(params: Params) -> Solution:
    """By Thales the angle is right: the other leg by Pythagoras, as squares or as a product."""
    values = [params["diameter"], params["leg"]]
    steps = _leg(params["diameter"], params["leg"], params["other"], params["path"])
    return Solution(values=comma(values), steps=steps, answer=str(params["other"]))


def sample_tangent(rng: Random, ranges: Ranges) -> Params:
    """Radius, and the distance of a point from the centre."""
    one, two, distance = rng.choice(ranges["triple"])
    radius, tangent = sorted((one, two))
    return {"radius": radius, "tangent": tangent, "distance": distance} | _common(rng, 2)


def paint_tangent(canvas: Canvas, params: Params) -> None:
    """A circle, a point outside, and the tangent from there to the circle."""
    radius, distance = params["radius"], params["distance"]
    touch = math.acos(radius / distance)
    touching = (radius * math.cos(touch), -radius * math.sin(touch))
    corners = [(-radius, -radius), (-radius, radius), (distance, 0), (0, 0), touching]
    *_, outside, center, point = fit(corners, canvas.box(10, 16, 10, 16))
    scale = (outside[0] - center[0]) / distance
    canvas.circle(center, radius * scale, canvas.tint(params["color"]))
    canvas.line([center, point, outside, center])
    plate(canvas, _middle(center, point), str(radius))
    plate(canvas, _middle(center, outside), str(distance))
    plate(canvas, _middle(point, outside), "?")


def solve_tangent(params: Params) -> Solution:
    """The tangent meets the radius at a right angle: Pythagoras."""
    steps = _leg(params["distance"], params["radius"], params["tangent"], params["path"])
    values = comma([params["distance"], params["radius"]])
    return Solution(values=values, steps=steps, answer=str(params["tangent"]))


def sample_inscribed(rng: Random, ranges: Ranges) -> Params:
    """The angle at the circle, and where its corner lies."""
    angle = rng.choice(ranges["angle"])
    return {"angle": angle, "corner": rng.randrange(-25, 26)} | _common(rng, 2)


def paint_inscribed(canvas: Canvas, params: Params) -> None:
    """A chord below, its angle at the circle above, and the centre joined to its ends."""
    angle = params["angle"]
    a, b = polar(CENTER, RADIUS, 270 - angle), polar(CENTER, RADIUS, 270 + angle)
    top = polar(CENTER, RADIUS, 90 + params["corner"])
    canvas.circle(CENTER, RADIUS, canvas.style.background)
    canvas.polygon([a, CENTER, b], canvas.tint(params["color"]))
    canvas.line([a, top, b])
    canvas.disc(CENTER, 1.5)
    canvas.text((top[0], top[1] - 8), f"{angle}°")
    canvas.text(polar(CENTER, RADIUS + 8, 270 - angle), "A")
    canvas.text(polar(CENTER, RADIUS + 8, 270 + angle), "B")
    plate(canvas, (CENTER[0], CENTER[1] - 8), "O")


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
        if len({a, b, c, d}) == 4 and 0.45 < (a + b) / (c + d) < 2.2:
            return {"parts": [a, b, c, d]} | _common(rng, 2)


def paint_chords(canvas: Canvas, params: Params) -> None:
    """Both chords to scale; the angle between them is what the circle makes it."""
    a, b, c, d = params["parts"]
    # On a right angle: ends at distances a, b, c, d from the crossing, on one circle as ab = cd.
    ends: list[Point] = [(-a, 0), (b, 0), (0, -c), (0, d)]
    middle = ((b - a) / 2, (d - c) / 2)
    radius = math.dist(middle, ends[0])
    x, y = middle
    corners = [(x - radius, y - radius), (x + radius, y + radius), (0.0, 0.0), middle, *ends]
    _, _, cross, center, *ends = fit(corners, canvas.box(6, 6, 6, 6))
    canvas.circle(center, math.dist(center, ends[0]), canvas.tint(params["color"]))
    canvas.line(ends[:2])
    canvas.line(ends[2:])
    for end, text in zip(ends, (str(a), str(b), str(c), "?"), strict=True):
        plate(canvas, _middle(cross, end), text)


def solve_chords(params: Params) -> Solution:
    """The parts of both chords have the same product."""
    a, b, c, d = params["parts"]
    first = (a, b) if params["path"] == 0 else (b, a)
    steps = (f"{first[0]} x {first[1]} = {a * b}.", f"{a * b} / {c} = {d}.")
    return Solution(values=comma([a, b, c]), steps=steps, answer=str(d))


def sample_similar(rng: Random, ranges: Ranges) -> Params:
    """A triangle cut by a line parallel to its base."""
    side, factor, base = (rng.choice(ranges[name]) for name in ("side", "factor", "base"))
    return {
        "side": side,
        "factor": factor,
        "base": base,
        "lean": rng.randrange(30, 71),
    } | _common(rng, 2)


def paint_similar(canvas: Canvas, params: Params) -> None:
    """Apex above; the small triangle tinted, its side and the whole side on the left."""
    factor = params["factor"]
    left, right, apex = (24.0, 94.0), (106.0, 94.0), (24 + params["lean"] * 0.82, 12.0)
    cut = [
        (apex[0] + (p[0] - apex[0]) / factor, apex[1] + (p[1] - apex[1]) / factor)
        for p in (left, right)
    ]
    canvas.polygon([apex, *cut], canvas.tint(params["color"]))
    canvas.polygon([left, right, apex])
    # The whole side has a line of its own, beside the triangle.
    dx, dy = apex[0] - left[0], apex[1] - left[1]
    away = 13 / math.hypot(dx, dy)
    bar = [(x + dy * away, y - dx * away) for x, y in (left, apex)]
    canvas.line(bar)
    for end, corner in zip(bar, (left, apex), strict=True):
        canvas.line([_toward(end, corner, 3), _toward(end, corner, -2)])
    plate(canvas, _middle(*bar), str(params["side"] * factor))
    plate(canvas, _middle(*cut), str(params["base"]))
    plate(canvas, _middle(apex, cut[0]), str(params["side"]))
    canvas.text((_middle(left, right)[0], 103), "?")


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


def _middle(p: Point, q: Point) -> Point:
    return (p[0] + q[0]) / 2, (p[1] + q[1]) / 2


def _toward(p: Point, q: Point, length: float) -> Point:
    """The point at so much from p on the line to q."""
    share = length / math.dist(p, q)
    return p[0] + (q[0] - p[0]) * share, p[1] + (q[1] - p[1]) * share
