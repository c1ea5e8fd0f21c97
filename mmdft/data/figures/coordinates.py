"""A grid with axes, and distances and areas on it."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.canvas import Canvas, Point
from mmdft.data.figures.figure import Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import common

NUM = 10
CELL, LEFT, BOTTOM = 8.0, 20, 96


def place(x: float, y: float) -> Point:
    """Where a point of the grid lies on the canvas."""
    return LEFT + CELL * x, BOTTOM - CELL * y


def paint_grid(canvas: Canvas) -> None:
    """Axes from 0 to NUM, every unit a line."""
    shade = canvas.color("blue")
    faint = (shade[0] // 3 + 160, shade[1] // 3 + 160, min(255, shade[2] // 3 + 160))
    for i in range(NUM + 1):
        canvas.line([place(i, 0), place(i, NUM)], 0.4, faint)
        canvas.line([place(0, i), place(NUM, i)], 0.4, faint)
    canvas.line([place(0, NUM), place(0, 0), place(NUM, 0)])


def paint_numbers(canvas: Canvas, unit: int = 1) -> None:
    """Every second line's number; upwards a line is `unit`."""
    for i in range(0, NUM + 1, 2):
        canvas.text((place(i, 0)[0], BOTTOM + 9), str(i))
        if i:
            canvas.text((LEFT - 10, place(0, i)[1]), str(i * unit))


def sample_distance(rng: Random, ranges: Ranges) -> Params:
    """Two points on a grid at a whole distance, not level; and how long a square's side is."""
    across, up, distance = rng.choice(ranges["triple"])
    if rng.random() < 0.5:
        across, up = up, across
    x, y = rng.randrange(11 - across), rng.randrange(11 - up)
    rises = rng.random() < 0.5
    a, b = ([x, y], [x + across, y + up]) if rises else ([x, y + up], [x + across, y])
    unit = rng.choice(ranges["unit"])
    return {"a": a, "b": b, "distance": distance, "unit": unit} | common(rng, 2)


def paint_distance(canvas: Canvas, params: Params) -> None:
    """The points and the segment between them."""
    paint_grid(canvas)
    ends = [place(*params["a"]), place(*params["b"])]
    canvas.line(ends, None, canvas.color(params["color"]))
    for end in ends:
        canvas.disc(end, 2.2, canvas.color(params["color"]))
    paint_numbers(canvas)


def solve_distance(params: Params) -> Solution:
    """Pythagoras over the differences of the coordinates; the unit at the end or the beginning."""
    (x0, y0), (x1, y1) = params["a"], params["b"]
    low, high = sorted((y0, y1))
    across, up, distance, unit = x1 - x0, high - low, params["distance"], params["unit"]
    steps: tuple[str, ...] = (f"{x1} - {x0} = {across}.", f"{high} - {low} = {up}.")
    if params["path"] == 1:
        steps += (f"{across} x {unit} = {across * unit}.", f"{up} x {unit} = {up * unit}.")
        across, up, distance = across * unit, up * unit, distance * unit
    steps += (
        f"{across} x {across} = {across**2}.",
        f"{up} x {up} = {up**2}.",
        f"{across**2} + {up**2} = {distance**2}.",
        f"{distance} x {distance} = {distance**2}.",
    )
    answer = params["distance"] * unit
    last = f"{distance} x {unit} = {answer}." if params["path"] == 0 else f"The line is {answer}."
    return Solution(values=comma([x0, y0, x1, y1, unit]), steps=(*steps, last), answer=str(answer))


def sample_triangle(rng: Random, ranges: Ranges) -> Params:
    """A triangle on a grid with a level base of even length."""
    base, height = rng.choice(ranges["base"]), rng.choice(ranges["height"])
    x, y = rng.randrange(11 - base), rng.randrange(11 - height)
    apex = [rng.randrange(11), y + height]
    return {"a": [x, y], "b": [x + base, y], "apex": apex} | common(rng, 2)


def paint_triangle(canvas: Canvas, params: Params) -> None:
    """The triangle with its corners on the grid."""
    paint_grid(canvas)
    points = [place(*params[name]) for name in ("a", "b", "apex")]
    canvas.polygon(points, canvas.tint(params["color"]))
    for point in points:
        canvas.disc(point, 2)
    paint_numbers(canvas)


def solve_triangle(params: Params) -> Solution:
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


def sample_four(rng: Random, ranges: Ranges) -> Params:
    """A quadrilateral with a corner on each side of a rectangle, and a whole area."""
    while True:
        wide, high = rng.choice(ranges["side"]), rng.choice(ranges["side"])
        x, y = rng.randrange(11 - wide), rng.randrange(11 - high)
        a, c = rng.randrange(1, wide), rng.randrange(1, wide)
        b, d = rng.randrange(1, high), rng.randrange(1, high)
        corners = [[x + a, y], [x + wide, y + b], [x + c, y + high], [x, y + d]]
        if (wide * high + (a - c) * (d - b)) % 2 == 0 and max(abs(a - c), abs(b - d)) >= 1:
            return {"corners": corners} | common(rng, 2)


def paint_four(canvas: Canvas, params: Params) -> None:
    """The quadrilateral with its corners on the grid."""
    paint_grid(canvas)
    points = [place(*corner) for corner in params["corners"]]
    canvas.polygon(points, canvas.tint(params["color"]))
    for point in points:
        canvas.disc(point, 2)
    paint_numbers(canvas)


def solve_four(params: Params) -> Solution:
    """The rectangle around it less four right triangles; or by crossed products."""
    corners = params["corners"]
    values = comma([value for corner in corners for value in corner])
    if params["path"] == 1:
        ahead = [p[0] * q[1] for p, q in zip(corners, [*corners[1:], corners[0]], strict=True)]
        back = [q[0] * p[1] for p, q in zip(corners, [*corners[1:], corners[0]], strict=True)]
        steps = []
        for turn, products in ((0, ahead), (1, back)):
            for i, product in enumerate(products):
                p, q = corners[(i + turn) % 4], corners[(i + 1 - turn) % 4]
                steps.append(f"{p[0]} x {q[1]} = {product}.")
            steps += add(products)
        double = sum(ahead) - sum(back)
        steps += [f"{sum(ahead)} - {sum(back)} = {double}.", f"{double} / 2 = {double // 2}."]
        return Solution(values=values, steps=tuple(steps), answer=str(double // 2))
    (low, east, up, west) = corners
    wide, high = east[0] - west[0], up[1] - low[1]
    steps = [f"{east[0]} - {west[0]} = {wide}.", f"{up[1]} - {low[1]} = {high}."]
    steps.append(f"{wide} x {high} = {wide * high}.")
    products = []
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        across, along = abs(x1 - x0), abs(y1 - y0)
        steps.append(f"{max(x0, x1)} - {min(x0, x1)} = {across}.")
        steps.append(f"{max(y0, y1)} - {min(y0, y1)} = {along}.")
        steps.append(f"{across} x {along} = {across * along}.")
        products.append(across * along)
    cut = sum(products)
    steps += [*add(products), f"{cut} / 2 = {cut // 2}."]
    answer = wide * high - cut // 2
    steps.append(f"{wide * high} - {cut // 2} = {answer}.")
    return Solution(values=values, steps=tuple(steps), answer=str(answer))
