"""Rectangles, circles, polygons and shapes on a grid."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.canvas import CENTER, UNITS, Canvas, centroid, fit, polar
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, add, comma


def sample_rectangle(rng: Random, ranges: Ranges) -> Params:
    """Width and height of a rectangle, neither more than 2.5 times the other."""
    while True:
        width, height = rng.choice(ranges["side"]), rng.choice(ranges["side"])
        if max(width, height) <= 2.5 * min(width, height):
            right, color = rng.randrange(2), rng.choice(COLORS)
            return {"width": width, "height": height, "right": right, "color": color}


def paint_rectangle(canvas: Canvas, params: Params) -> None:
    """The rectangle with its width below and its height to one side; to scale, or as `drawn`."""
    width, height = params["width"], params["height"]
    x, y = params.get("drawn", (width, height))
    points = [(0, 0), (x, 0), (x, y), (0, y)]
    margins = (6, 26) if params["right"] else (26, 6)
    corners = fit(points, canvas.box(margins[0], 6, margins[1], 22))
    a, b, c, d = corners
    canvas.polygon(corners, canvas.tint(params["color"]))
    inside = centroid(corners)
    canvas.label_edge(c, d, str(width), inside)
    canvas.label_edge(*((b, c) if params["right"] else (a, d)), str(height), inside)


def solve_rectangle_area(params: Params) -> Solution:
    """Width times height."""
    width, height = params["width"], params["height"]
    area = width * height
    return Solution(
        values=comma([width, height]),
        steps=(f"{width} x {height} = {area}.",),
        answer=str(area),
    )


def solve_rectangle_perimeter(params: Params) -> Solution:
    """Twice the sum of width and height."""
    width, height = params["width"], params["height"]
    half = width + height
    return Solution(
        values=comma([width, height]),
        steps=(f"{width} + {height} = {half}.", f"2 x {half} = {2 * half}."),
        answer=str(2 * half),
    )


def sample_circle(rng: Random, ranges: Ranges) -> Params:
    """A radius, and the size it is drawn at, which says nothing of its value."""
    return {
        "radius": rng.choice(ranges["radius"]),
        "drawn": rng.choice(ranges["drawn"]),
        "right": rng.randrange(2),
        "color": rng.choice(COLORS),
    }


def paint_circle(canvas: Canvas, params: Params) -> None:
    """A circle with its centre and one labelled radius."""
    drawn = params["drawn"]
    canvas.circle(CENTER, drawn, canvas.tint(params["color"]))
    reach = drawn - canvas.style.line_width
    rim = (CENTER[0] + (reach if params["right"] else -reach), CENTER[1])
    canvas.line([CENTER, rim])
    canvas.disc(CENTER, 4)
    canvas.label_edge(CENTER, rim, str(params["radius"]), (CENTER[0], UNITS))


def solve_circle_area(params: Params) -> Solution:
    """The radius squared, in multiples of pi."""
    radius = params["radius"]
    area = radius * radius
    return Solution(values=str(radius), steps=(f"{radius} x {radius} = {area}.",), answer=str(area))


def solve_circle_circumference(params: Params) -> Solution:
    """Twice the radius, in multiples of pi."""
    radius = params["radius"]
    return Solution(
        values=str(radius), steps=(f"2 x {radius} = {2 * radius}.",), answer=str(2 * radius)
    )


def sample_polygon(rng: Random, ranges: Ranges) -> Params:
    """A polygon, nearly regular: `radii` are percent of the drawn radius, one a corner."""
    num_sides = rng.choice(ranges["num_sides"])
    return {
        "num_sides": num_sides,
        "radius": rng.choice(ranges["radius"]),
        "radii": [rng.choice(ranges["percent"]) for _ in range(num_sides)],
        "turn": rng.randrange(360 // num_sides),
        "shift": [rng.randint(-3, 3), rng.randint(-3, 3)],
        "color": rng.choice(COLORS),
    }


def paint_polygon(canvas: Canvas, params: Params) -> None:
    """The polygon, filled, with a thick outline and a dot at every corner."""
    num_sides = params["num_sides"]
    center = (CENTER[0] + params["shift"][0], CENTER[1] + params["shift"][1])
    points = [
        polar(center, params["radius"] * percent / 100, params["turn"] + 360 * i / num_sides)
        for i, percent in enumerate(params["radii"])
    ]
    canvas.polygon(points, canvas.color(params["color"]), canvas.style.line_width + 1)
    for point in points:
        canvas.disc(point, canvas.style.line_width + 2)


def solve_polygon_sides(params: Params) -> Solution:
    """The number of sides."""
    num_sides = params["num_sides"]
    return Solution(values=f"{num_sides} sides", steps=(), answer=str(num_sides))


def solve_polygon_angle_sum(params: Params) -> Solution:
    """(n - 2) times 180."""
    num_sides = params["num_sides"]
    parts = num_sides - 2
    steps = (f"{num_sides} - 2 = {parts}.", f"{parts} x 180 = {parts * 180}.")
    return Solution(values=f"{num_sides} sides", steps=steps, answer=str(parts * 180))


def sample_composite(rng: Random, ranges: Ranges) -> Params:
    """An L: a wide rectangle below, a narrow one on top of it at one side."""
    top = rng.choice(ranges["top"])
    return {
        "top": top,
        "bottom": top + rng.choice(ranges["notch"]),
        "upper": rng.choice(ranges["upper"]),
        "lower": rng.choice(ranges["lower"]),
        "mirror": rng.randrange(2),
        "color": rng.choice(COLORS),
    }


def paint_composite(canvas: Canvas, params: Params) -> None:
    """The L with four of its edges labelled."""
    top, bottom = params["top"], params["bottom"]
    upper, lower = params["upper"], params["lower"]
    flip = -1 if params["mirror"] else 1
    outline = [(0, 0), (top, 0), (top, upper), (bottom, upper)]
    outline += [(bottom, upper + lower), (0, upper + lower)]
    margins = (24, 6) if params["mirror"] else (6, 24)
    box = canvas.box(margins[0], 20, margins[1], 20)
    points = fit([(flip * x, y) for x, y in outline], box)
    canvas.polygon(points, canvas.tint(params["color"]))
    a, b, c, d, e, f = points
    inside = (a[0], f[1])
    canvas.label_edge(a, b, str(top), inside)
    canvas.label_edge(b, c, str(upper), inside)
    canvas.label_edge(d, e, str(lower), inside)
    canvas.label_edge(e, f, str(bottom), c)


def solve_composite_area(params: Params) -> Solution:
    """The two rectangles, added."""
    top, bottom = params["top"], params["bottom"]
    upper, lower = params["upper"], params["lower"]
    parts = [top * upper, bottom * lower]
    return Solution(
        values=comma([top, upper, bottom, lower]),
        steps=(
            f"{top} x {upper} = {parts[0]}.",
            f"{bottom} x {lower} = {parts[1]}.",
            *add(parts),
        ),
        answer=str(sum(parts)),
    )


def sample_grid(rng: Random, ranges: Ranges) -> Params:
    """A rectangle of whole cells on a square grid, and where it stands."""
    num_cells = rng.choice(ranges["num_cells"])
    width, height = rng.choice(ranges["side"]), rng.choice(ranges["side"])
    return {
        "num_cells": num_cells,
        "width": width,
        "height": height,
        "column": rng.randint(0, num_cells - width),
        "row": rng.randint(0, num_cells - height),
        "cell": rng.choice(ranges["cell"]),
        "shift": [rng.randint(-2, 2), rng.randint(-2, 2)],
        "color": rng.choice(COLORS),
    }


def paint_grid(canvas: Canvas, params: Params) -> None:
    """The grid with the rectangle's cells filled."""
    num_cells, cell = params["num_cells"], params["cell"]
    left, top = ((UNITS - num_cells * cell) // 2 + shift for shift in params["shift"])
    x, y = left + params["column"] * cell, top + params["row"] * cell
    box = (x, y, x + params["width"] * cell, y + params["height"] * cell)
    canvas.rectangle(box, canvas.color(params["color"]), 0)
    end = num_cells * cell
    for i in range(num_cells + 1):
        canvas.line([(left + i * cell, top), (left + i * cell, top + end)], 1.5)
        canvas.line([(left, top + i * cell), (left + end, top + i * cell)], 1.5)
    canvas.rectangle(box, None, canvas.style.line_width + 1)


def solve_grid_area(params: Params) -> Solution:
    """Cells across times cells up."""
    width, height = params["width"], params["height"]
    area = width * height
    return Solution(
        values=f"{width} wide, {height} high",
        steps=(f"{width} x {height} = {area}.",),
        answer=str(area),
    )
