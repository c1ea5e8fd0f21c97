"""Angles to be chased, areas made of parts, points on a grid, and solids."""

from __future__ import annotations

import math
from random import Random

from mmdft.data.figures.canvas import Canvas, Point, centroid, fit
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, comma
from mmdft.data.figures.looks import sample_look
from mmdft.data.figures.theorems import plate


def _common(rng: Random, num_paths: int) -> Params:
    return {
        "color": rng.choice(COLORS),
        "path": rng.randrange(num_paths),
        "look": sample_look(rng),
    }


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
            return {"left": left, "top": top, "side": side} | _common(rng, 2)


def paint_exterior(canvas: Canvas, params: Params) -> None:
    """The base goes on to the right; the angle outside is asked for."""
    left, top = params["left"], params["top"]
    points = fit([*_triangle(left, 180 - left - top), (1.55, 0.0)], canvas.box(14, 14, 8, 22))
    a, b, c, far = points
    right = 180 - left - top
    canvas.polygon([a, b, c], canvas.tint(params["color"]), 0)
    canvas.sector(b, 9, 0, 180 - right, canvas.color(params["color"]))
    canvas.polygon([a, b, c])
    canvas.line([b, far])
    canvas.text((a[0], a[1] + 8), f"{left}°")
    canvas.text((c[0], c[1] - 8), f"{top}°")
    turn = math.radians((180 - right) / 2)
    plate(canvas, (b[0] + 16 * math.cos(turn), b[1] - 16 * math.sin(turn)), "?")
    if params["side"] is not None:
        canvas.label_edge(a, c, str(params["side"]), centroid([a, b, c]))


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
            return {"left": left, "right": right} | _common(rng, 2)


def paint_parallels(canvas: Canvas, params: Params) -> None:
    """Two parallels, and from a point of the upper one two lines down to the lower one."""
    left, right = params["left"], params["right"]
    # Alternate angles: the triangle below has the same ones at its base.
    a, b, c = fit(_triangle(left, right), canvas.box(24, 26, 24, 20))
    canvas.polygon([a, b, c], canvas.tint(params["color"]))
    for y in (a[1], c[1]):
        canvas.line([(5, y), (107, y)])
    for sign, angle in ((-1, left), (1, right)):
        turn = math.radians(angle / 2)
        away = 14 + 260 / angle
        x, y = c[0] + sign * away * math.cos(turn), c[1] + away * math.sin(turn)
        plate(canvas, (x, y), f"{angle}°")
    canvas.text((c[0], c[1] - 8), "A")
    canvas.text((a[0], a[1] + 8), "B")
    canvas.text((b[0], b[1] + 8), "C")


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


def sample_notch(rng: Random, ranges: Ranges) -> Params:
    """A rectangle without a corner."""
    while True:
        width, height, dx, dy = (rng.choice(ranges["side"]) for _ in range(4))
        wide, deep = width - dx, height - dy
        is_plain = min(wide, deep, dx, dy) >= 2 and 0.5 < width / height < 2 and wide != dx
        if is_plain and min(wide, dx) * 4 > width and min(deep, dy) * 4 > height:
            return {"width": width, "height": height, "cut": [dx, dy]} | _common(rng, 2)


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
    canvas.label_edge(b, c, str(dy), (e[0], b[1]))
    canvas.label_edge(c, d, str(dx), (c[0], e[1]))


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


CELL, LEFT, BOTTOM = 8.2, 17, 96


def _grid(canvas: Canvas, num: int) -> None:
    """Axes from 0 to `num`, every unit a line, every second one a number."""
    shade = canvas.color("blue")
    faint = (shade[0] // 3 + 160, shade[1] // 3 + 160, min(255, shade[2] // 3 + 160))
    for i in range(num + 1):
        x, y = _place(i, 0), _place(0, i)
        canvas.line([x, _place(i, num)], 0.4, faint)
        canvas.line([y, _place(num, i)], 0.4, faint)
    canvas.line([_place(0, num), _place(0, 0), _place(num, 0)])


def _numbers(canvas: Canvas, num: int) -> None:
    for i in range(0, num + 1, 2):
        canvas.text((_place(i, 0)[0], BOTTOM + 9), str(i))
        if i:
            canvas.text((LEFT - 9, _place(0, i)[1]), str(i))


def _place(x: float, y: float) -> Point:
    return LEFT + CELL * x, BOTTOM - CELL * y


def sample_distance(rng: Random, ranges: Ranges) -> Params:
    """Two points on a grid at a whole distance, not level; and how long a square's side is."""
    across, up, distance = rng.choice(ranges["triple"])
    if rng.random() < 0.5:
        across, up = up, across
    x, y = rng.randrange(11 - across), rng.randrange(11 - up)
    rises = rng.random() < 0.5
    a, b = ([x, y], [x + across, y + up]) if rises else ([x, y + up], [x + across, y])
    unit = rng.choice(ranges["unit"])
    return {"a": a, "b": b, "distance": distance, "unit": unit} | _common(rng, 1)


def paint_distance(canvas: Canvas, params: Params) -> None:
    """The points and the segment between them."""
    _grid(canvas, 10)
    ends = [_place(*params["a"]), _place(*params["b"])]
    canvas.line(ends, None, canvas.color(params["color"]))
    for end in ends:
        canvas.disc(end, 2.2, canvas.color(params["color"]))
    _numbers(canvas, 10)


def solve_distance(params: Params) -> Solution:
    """Pythagoras over the differences of the coordinates, then the unit."""
    (x0, y0), (x1, y1) = params["a"], params["b"]
    low, high = sorted((y0, y1))
    across, up, distance = x1 - x0, high - low, params["distance"]
    unit, answer = params["unit"], distance * params["unit"]
    steps = (
        f"{x1} - {x0} = {across}.",
        f"{high} - {low} = {up}.",
        f"{across} x {across} = {across**2}.",
        f"{up} x {up} = {up**2}.",
        f"{across**2} + {up**2} = {distance**2}.",
        f"{distance} x {distance} = {distance**2}.",
        f"{distance} x {unit} = {answer}.",
    )
    return Solution(values=comma([x0, y0, x1, y1, unit]), steps=steps, answer=str(answer))


def sample_grid_triangle(rng: Random, ranges: Ranges) -> Params:
    """A triangle on a grid with a level base of even length."""
    base, height = rng.choice(ranges["base"]), rng.choice(ranges["height"])
    x, y = rng.randrange(11 - base), rng.randrange(11 - height)
    apex = [rng.randrange(11), y + height]
    return {"a": [x, y], "b": [x + base, y], "apex": apex} | _common(rng, 2)


def paint_grid_triangle(canvas: Canvas, params: Params) -> None:
    """The triangle with its corners on the grid."""
    _grid(canvas, 10)
    points = [_place(*params[name]) for name in ("a", "b", "apex")]
    canvas.polygon(points, canvas.tint(params["color"]))
    for point in points:
        canvas.disc(point, 2)
    _numbers(canvas, 10)


def solve_grid_triangle(params: Params) -> Solution:
    """Half of base times height, halved at the end or at the beginning."""
    (x0, y0), (x1, _), (_, y2) = params["a"], params["b"], params["apex"]
    base, height = x1 - x0, y2 - y0
    answer = base * height // 2
    steps: tuple[str, ...] = (f"{x1} - {x0} = {base}.", f"{y2} - {y0} = {height}.")
    steps += (
        (f"{base} x {height} = {base * height}.", f"{base * height} / 2 = {answer}.")
        if params["path"] == 0
        else (f"{base} / 2 = {base // 2}.", f"{base // 2} x {height} = {answer}.")
    )
    return Solution(values=comma([x0, x1, y0, y2]), steps=steps, answer=str(answer))


def sample_cuboid(rng: Random, ranges: Ranges) -> Params:
    """Three different edges."""
    while True:
        edges = [rng.choice(ranges["edge"]) for _ in range(3)]
        if len(set(edges)) == 3 and max(edges) <= 3 * min(edges):
            return {"edges": edges} | _common(rng, 2)


def paint_cuboid(canvas: Canvas, params: Params) -> None:
    """The solid in oblique view, its hidden edges left away."""
    width, height, depth = params["edges"]
    back = (depth * 0.42, -depth * 0.42)
    corners: list[Point] = [(0, 0), (width, 0), (width, -height), (0, -height)]
    moved = [(x + back[0], y + back[1]) for x, y in corners[1:]]
    points = fit([*corners, *moved], canvas.box(16, 10, 16, 16))
    a, b, c, d, right, top_right, top_left = points
    canvas.polygon([a, b, c, d], canvas.tint(params["color"]))
    canvas.polygon([b, right, top_right, c], canvas.style.background)
    canvas.polygon([d, c, top_right, top_left], canvas.style.background)
    inside = centroid(points)
    canvas.label_edge(a, b, str(width), inside)
    canvas.label_edge(d, a, str(height), inside)
    canvas.label_edge(b, right, str(depth), inside)


def solve_cuboid_volume(params: Params) -> Solution:
    """The product of the edges, in one order or the other."""
    width, height, depth = params["edges"]
    first, second, third = (width, height, depth) if params["path"] == 0 else (height, depth, width)
    face, answer = first * second, width * height * depth
    steps = (f"{first} x {second} = {face}.", f"{face} x {third} = {answer}.")
    return Solution(values=comma(params["edges"]), steps=steps, answer=str(answer))


def solve_cuboid_surface(params: Params) -> Solution:
    """Twice the sum of three faces; or the sides around, and two faces more."""
    width, height, depth = params["edges"]
    front, side, top = width * height, height * depth, width * depth
    three = front + side + top
    steps: tuple[str, ...] = (
        f"{width} x {height} = {front}.",
        f"{height} x {depth} = {side}.",
        f"{width} x {depth} = {top}.",
        f"{front} + {side} = {front + side}.",
        f"{front + side} + {top} = {three}.",
        f"{three} x 2 = {2 * three}.",
    )
    if params["path"] == 1:
        around = 2 * (width + depth)
        steps = (
            f"{width} + {depth} = {width + depth}.",
            f"{width + depth} x 2 = {around}.",
            f"{around} x {height} = {around * height}.",
            f"{width} x {depth} = {top}.",
            f"{top} x 2 = {2 * top}.",
            f"{around * height} + {2 * top} = {2 * three}.",
        )
    return Solution(values=comma(params["edges"]), steps=steps, answer=str(2 * three))
