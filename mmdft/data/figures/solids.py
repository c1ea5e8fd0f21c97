"""Solids with flat faces in oblique view: boxes and pyramids."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.canvas import Canvas, Point, centroid, fit
from mmdft.data.figures.circles import leg_steps
from mmdft.data.figures.figure import Params, Ranges, Solution, comma
from mmdft.data.figures.looks import common
from mmdft.data.figures.marks import middle, right_angle


def sample_cuboid(rng: Random, ranges: Ranges) -> Params:
    """Three different edges."""
    while True:
        edges = [rng.choice(ranges["edge"]) for _ in range(3)]
        if len(set(edges)) == 3 and max(edges) <= 3 * min(edges):
            return {"edges": edges} | common(rng, 2)


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


def sample_pyramid(rng: Random, ranges: Ranges) -> Params:
    """A square pyramid by half its base edge, height and slant height; either height is told."""
    half, height, slant = rng.choice(ranges["triple"])
    told = rng.choice(("slant", "height", "both"))
    edges = {"half": half, "height": height, "slant": slant, "told": told}
    return edges | common(rng, 2)


def paint_pyramid(canvas: Canvas, params: Params) -> None:
    """In oblique view; the height from the middle of the base, the slant height on the side."""
    half, height = params["half"], params["height"]
    base: list[Point] = [(0, 0), (2 * half, 0), (2.9 * half, -0.7 * half)]
    base.append((0.9 * half, -0.7 * half))
    foot = centroid(base)
    outline: list[Point] = [*base, foot, (foot[0], foot[1] - height)]
    a, b, c, d, foot, top = fit(outline, canvas.box(8, 8, 18, 20))
    canvas.polygon([a, b, top], canvas.tint(params["color"]))
    canvas.polygon([b, c, top], canvas.style.background)
    for hidden in (a, c, top):
        canvas.dashes(d, hidden, 0.6)
    side = middle(b, c)
    canvas.dashes(top, foot)
    canvas.dashes(foot, side)
    canvas.line([top, side], 0.8)
    right_angle(canvas, foot, side, top, 4)
    canvas.label_edge(a, b, str(2 * half), foot)
    if params["told"] != "slant":
        canvas.plate((foot[0], foot[1] * 0.64 + top[1] * 0.36), str(height))
    if params["told"] != "height":
        at = (top[0] * 0.32 + side[0] * 0.68, top[1] * 0.32 + side[1] * 0.68)
        canvas.plate(at, str(params["slant"]))


def solve_pyramid(params: Params) -> Solution:
    """A third of base times height; where only the slant height is told, Pythagoras first."""
    half, height, slant = params["half"], params["height"], params["slant"]
    edge = 2 * half
    steps: tuple[str, ...] = ()
    values = [edge, height]
    if params["told"] == "slant":
        values = [edge, slant]
        steps = (f"{edge} / 2 = {half}.", *leg_steps(slant, half, height, params["path"]))
    square, answer = edge * edge, edge * edge * height // 3
    steps += third_steps(edge, square, height, params["path"])
    return Solution(values=comma(values), steps=steps, answer=str(answer))


def third_steps(side: int, square: int, height: int, path: int) -> tuple[str, ...]:
    """A third of square times height: divided at the end, or where it first goes."""
    first = f"{side} x {side} = {square}."
    if path == 0 or height % 3:
        whole = square * height
        return (first, f"{square} x {height} = {whole}.", f"{whole} / 3 = {whole // 3}.")
    third = height // 3
    return (f"{height} / 3 = {third}.", first, f"{square} x {third} = {square * third}.")
