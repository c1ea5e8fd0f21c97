"""Histograms, box plots and scattered points."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.axes import (
    BOTTOM,
    LEFT,
    NAMES,
    NUM_TICKS,
    RIGHT,
    axes,
    axis_numbers,
    faint,
    height_of,
    mark,
    middles,
)
from mmdft.data.figures.canvas import UNITS, Canvas, Point
from mmdft.data.figures.figure import Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import common


def paint_histogram(canvas: Canvas, params: Params) -> None:
    """Bars that touch, with the edges of the bins below."""
    axes(canvas, params)
    counts, width = params["counts"], (RIGHT - LEFT) / len(params["counts"])
    for i, count in enumerate(counts):
        box = (
            LEFT + width * i,
            height_of(count, params["step"]),
            LEFT + width * (i + 1),
            BOTTOM,
        )
        canvas.rectangle(box, canvas.tint(params["color"]), 0.8)
    axis_numbers(canvas, params["step"])
    for i in range(len(counts) + 1):
        x = LEFT + width * i
        canvas.text((min(x, UNITS - 8), BOTTOM + 9), str(params["first"] + params["width"] * i))


def sample_histogram(rng: Random, ranges: Ranges) -> Params:
    """Counts of four or five bins, and an edge between two of them."""
    num, step = rng.choice((4, 5)), rng.choice(ranges["step"])
    counts = [step * rng.randrange(1, NUM_TICKS + 1) for _ in range(num)]
    width, place = rng.choice((5, 10)), rng.randrange(2, num - 1)
    first = width * rng.randrange(3)
    return {
        "step": step,
        "counts": counts,
        "first": first,
        "width": width,
        "edge": first + width * place,
    } | common(rng, 2)


def solve_histogram(params: Params) -> Solution:
    """The bins below the edge; or all bins less those above."""
    counts = params["counts"]
    place = (params["edge"] - params["first"]) // params["width"]
    below, above = counts[:place], counts[place:]
    answer = str(sum(below))
    if params["path"] == 0:
        return Solution(values=comma(below), steps=add(below), answer=answer)
    steps, total = list(add(counts)), sum(counts)
    for count in above:
        steps.append(f"{total} - {count} = {total - count}.")
        total -= count
    return Solution(values=comma(counts), steps=tuple(steps), answer=answer)


def sample_box(rng: Random, ranges: Ranges) -> Params:
    """Least, quartiles, median and most of one or two box plots; the first is asked about."""
    step = rng.choice(ranges["step"])
    num = rng.choice((1, 2))
    marks = [sorted(rng.sample(range(1, 2 * NUM_TICKS), 5)) for _ in range(num)]
    boxes = [[mark * step // 2 for mark in each] for each in marks]
    return {"step": step, "boxes": boxes} | common(rng, 2)


def paint_box(canvas: Canvas, params: Params) -> None:
    """Box plots, every mark at a tick or half-way between two."""
    axes(canvas, params)
    places = middles(len(params["boxes"]) + 1)
    for x, marks in zip(places, params["boxes"], strict=False):
        low, first, median, third, high = (height_of(m, params["step"]) for m in marks)
        canvas.line([(x, low), (x, high)], 1)
        for y in (low, high):
            canvas.line([(x - 5, y), (x + 5, y)], 1)
        canvas.rectangle((x - 8, third, x + 8, first), canvas.tint(params["color"]), 1)
        canvas.line([(x - 8, median), (x + 8, median)], 2)
    axis_numbers(canvas, params["step"])
    for x, name in zip(places[: len(params["boxes"])], NAMES, strict=False):
        canvas.text((x, BOTTOM + 7), name)


def solve_box(params: Params) -> Solution:
    """The upper quartile less the lower; or the parts of the box on both sides of the median."""
    _, first, median, third, _ = params["boxes"][0]
    answer = third - first
    if params["path"] == 0:
        steps: tuple[str, ...] = (f"{third} - {first} = {answer}.",)
        return Solution(values=comma([first, third]), steps=steps, answer=str(answer))
    above, below = third - median, median - first
    steps = (
        f"{third} - {median} = {above}.",
        f"{median} - {first} = {below}.",
        f"{above} + {below} = {answer}.",
    )
    return Solution(values=comma([first, median, third]), steps=steps, answer=str(answer))


def sample_scatter(rng: Random, ranges: Ranges) -> Params:
    """Points on both sides of a line, more above than below; that some are hollow says nothing."""
    above, below = rng.choice(ranges["above"]), rng.choice(ranges["below"])
    spots = [(x, y) for x in range(8) for y in range(4)]
    points = [[x, y + 5] for x, y in rng.sample(spots, above)]
    points += [[x, y] for x, y in rng.sample(spots, below)]
    hollow = [rng.random() < 0.3 for _ in points]
    return {
        "points": points,
        "hollow": hollow,
        "num_above": above,
        "num_below": below,
    } | common(rng, 2)


def paint_scatter(canvas: Canvas, params: Params) -> None:
    """Two axes without numbers, the line, and the points."""
    canvas.line([(8, 6), (8, 104), (106, 104)], 1)
    canvas.line([(8, _spot(0, 4.25)[1]), (106, _spot(0, 4.25)[1])], 1.6, canvas.color("red"))
    color = canvas.color("blue" if params["color"] == "red" else params["color"])
    for point, is_hollow in zip(params["points"], params["hollow"], strict=True):
        center = _spot(*point)
        mark(canvas, center, 3, color, params)
        if is_hollow:
            mark(canvas, center, 1.5, canvas.style.background, params)


def _spot(x: float, y: float) -> Point:
    return 17 + 11.5 * x, 98 - 10.5 * y


def solve_scatter(params: Params) -> Solution:
    """The points above the line less those below; or all, less those below, twice."""
    above, below = params["num_above"], params["num_below"]
    last = f"{above} - {below} = {above - below}."
    if params["path"] == 0:
        return Solution(values=comma([above, below]), steps=(last,), answer=str(above - below))
    num = above + below
    steps = (f"{num} - {below} = {above}.", last)
    return Solution(values=comma([num, below]), steps=steps, answer=str(above - below))


def sample_corner(rng: Random, ranges: Ranges) -> Params:
    """Points of two sorts on a grid, none on the two lines that are asked about."""
    unit, right, up = rng.choice(ranges["unit"]), rng.randrange(2, 6), rng.randrange(2, 6)
    spots = [(x, y) for x in range(1, 9) for y in range(1, 9) if x != right and y != up]
    while True:
        points = [list(spot) for spot in rng.sample(spots, rng.choice(ranges["num"]))]
        # None of the four corners is empty.
        if len({(x > right, y > up) for x, y in points}) == 4:
            told = {"right": right * unit, "up": up * unit}
            return {"points": points, "unit": unit} | told | common(rng, 2)


def paint_corner(canvas: Canvas, params: Params) -> None:
    """Axes from 0 to 8, a line and a number for every unit, and the points."""
    num, unit = 8, params["unit"]
    cell = 10.5
    for i in range(1, num + 1):
        canvas.line([(19 + cell * i, 10), (19 + cell * i, 96)], 0.4, faint(canvas))
        canvas.line([(19, 96 - cell * i), (105, 96 - cell * i)], 0.4, faint(canvas))
    canvas.line([(19, 8), (19, 96), (107, 96)], 1)
    for x, y in params["points"]:
        at = (19 + cell * x, 96 - cell * y)
        mark(canvas, at, 2.6, canvas.color(params["color"]), params)
    for i in range(0, num + 1, 2):
        canvas.text((19 + cell * i, 104.5), str(i * unit))
        if i:
            canvas.text((10.5, 96 - cell * i), str(i * unit))


def solve_corner(params: Params) -> Solution:
    """All less those on the left, less the low ones on the right; or low and left exchanged."""
    points = params["points"]
    asked = (params["right"] // params["unit"], params["up"] // params["unit"])
    one, other = (0, 1) if params["path"] == 0 else (1, 0)
    first = sum(point[one] < asked[one] for point in points)
    second = sum(p[one] > asked[one] and p[other] < asked[other] for p in points)
    num, left = len(points), len(points) - first
    answer = left - second
    steps = (f"{num} - {first} = {left}.", f"{left} - {second} = {answer}.")
    return Solution(values=comma([num, first, second]), steps=steps, answer=str(answer))
