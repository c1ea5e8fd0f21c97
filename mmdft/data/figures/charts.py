"""Bars and lines. Where no number is printed, bars are stacks of blocks to be counted."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from mmdft.data.figures.canvas import UNITS, Canvas
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, add, comma

LETTERS = "ABCDEF"
LEFT, RIGHT, FLOOR = 6, UNITS - 6, UNITS - 7
# The height of one block of a stacked bar; six of them and the floor fill the picture.
BLOCK = 15


def _slots(canvas: Canvas, num_bars: int) -> list[tuple[int, int]]:
    """The left and right ends of the bars, evenly spaced."""
    step = (RIGHT - LEFT) / num_bars
    half = step * canvas.style.bar_percent / 200
    middles = (LEFT + step * (i + 0.5) for i in range(num_bars))
    return [(round(x - half), round(x + half)) for x in middles]


def sample_stacks(rng: Random, ranges: Ranges) -> Params:
    """Bars of different colours and different heights, and the one that is asked about."""
    num_bars = rng.choice(ranges["num_bars"])
    colors = rng.sample(COLORS, num_bars)
    return {
        "heights": rng.sample(list(ranges["height"]), num_bars),
        "colors": colors,
        "color": rng.choice(colors),
    }


def paint_stacks(canvas: Canvas, params: Params) -> None:
    """Each bar a stack of blocks in its own colour, on a thick floor."""
    colors = params["colors"]
    for (left, right), height, name in zip(
        _slots(canvas, len(colors)), params["heights"], colors, strict=True
    ):
        canvas.rectangle((left, FLOOR - height * BLOCK, right, FLOOR), canvas.color(name), 0)
        for i in range(1, height):
            y = FLOOR - i * BLOCK
            box = (left - 1, y - 1, right + 1, y + 1)
            canvas.rectangle(box, canvas.style.background, 0)
    canvas.line([(LEFT, FLOOR), (RIGHT, FLOOR)])


def _named(params: Params) -> str:
    pairs = zip(params["colors"], params["heights"], strict=True)
    return ", ".join(f"{name} {height}" for name, height in pairs)


def solve_bar_max(params: Params) -> Solution:
    """The colour of the highest bar."""
    top = max(params["heights"])
    answer = params["colors"][params["heights"].index(top)]
    steps = (f"{top} is the most.", f"The bar is {answer}.")
    return Solution(
        values=_named(params), steps=steps, answer=answer, choices=tuple(params["colors"])
    )


def solve_bar_min(params: Params) -> Solution:
    """The colour of the lowest bar."""
    low = min(params["heights"])
    answer = params["colors"][params["heights"].index(low)]
    steps = (f"{low} is the least.", f"The bar is {answer}.")
    return Solution(
        values=_named(params), steps=steps, answer=answer, choices=tuple(params["colors"])
    )


def solve_bar_value(params: Params) -> Solution:
    """The height of the bar of one colour."""
    color = params["color"]
    answer = params["heights"][params["colors"].index(color)]
    steps = (f"The {color} bar is {answer}.",)
    return Solution(values=_named(params), steps=steps, answer=str(answer))


def solve_bar_order(params: Params) -> Solution:
    """All bars from the lowest to the highest, each found by its height; the answer is the last."""
    order = sorted(zip(params["heights"], params["colors"], strict=True))
    return Solution(
        values=_named(params),
        steps=tuple(f"{height} is {color}." for height, color in order),
        answer=order[-1][1],
        choices=tuple(params["colors"]),
    )


def sample_bar_count(rng: Random, ranges: Ranges) -> Params:
    """A number of bars of one colour, their heights in canvas units."""
    num_bars = rng.choice(ranges["num_bars"])
    heights = [rng.choice(ranges["height"]) for _ in range(num_bars)]
    return {"heights": heights, "color": rng.choice(COLORS)}


def paint_bar_count(canvas: Canvas, params: Params) -> None:
    """Plain bars on a thick floor."""
    heights = params["heights"]
    for (left, right), height in zip(_slots(canvas, len(heights)), heights, strict=True):
        canvas.rectangle((left, FLOOR - height, right, FLOOR), canvas.color(params["color"]), 0)
    canvas.line([(LEFT, FLOOR), (RIGHT, FLOOR)])


def solve_bar_count(params: Params) -> Solution:
    """How many bars there are."""
    num_bars = len(params["heights"])
    return Solution(values=f"{num_bars} bars", steps=(), answer=str(num_bars))


def sample_labelled_bars(rng: Random, ranges: Ranges) -> Params:
    """Bars with printed values, and two of them, the higher one first."""
    num_bars = rng.choice(ranges["num_bars"])
    values = rng.sample(list(ranges["value"]), num_bars)
    first, second = sorted(rng.sample(range(num_bars), 2), key=lambda i: -values[i])
    return {
        "values": values,
        "first": LETTERS[first],
        "second": LETTERS[second],
        "color": rng.choice(COLORS),
    }


def paint_labelled_bars(canvas: Canvas, params: Params) -> None:
    """Bars with a letter below and a value on top."""
    values, floor = params["values"], UNITS - 22
    slots = _slots(canvas, len(values))
    tops = [floor - round(value * 60 / max(values)) for value in values]
    for (left, right), top in zip(slots, tops, strict=True):
        canvas.rectangle((left, top, right, floor), canvas.color(params["color"]), 0)
    canvas.line([(LEFT, floor), (RIGHT, floor)])
    for (left, right), top, value, letter in zip(slots, tops, values, LETTERS, strict=False):
        middle = (left + right) / 2
        canvas.text((middle, top - 9), str(value))
        canvas.text((middle, floor + 11), letter)


def solve_bar_sum(params: Params) -> Solution:
    """All bars, added from left to right."""
    values = params["values"]
    return Solution(values=comma(values), steps=add(values), answer=str(sum(values)))


def solve_bar_difference(params: Params) -> Solution:
    """The higher of two named bars, less the other."""
    high, low = (params["values"][LETTERS.index(params[k])] for k in ("first", "second"))
    names = f"{params['first']} {high}, {params['second']} {low}"
    answer = str(high - low)
    return Solution(values=names, steps=(f"{high} - {low} = {answer}.",), answer=answer)


def sample_line(rng: Random, ranges: Ranges) -> Params:
    """The values of a zigzag: labels above peaks and below valleys never meet the line."""
    num_points = rng.choice(ranges["num_points"])
    low, high = min(ranges["value"]), max(ranges["value"])
    gap = (high - low) // 4
    while True:
        values = [rng.choice(ranges["value"]) for _ in range(num_points)]
        steps = [b - a for a, b in pairwise(values)]
        turns = all(a * b < 0 for a, b in pairwise(steps))
        if turns and min(abs(step) for step in steps) >= gap and values[0] != values[-1]:
            return {"values": values, "color": rng.choice(COLORS)}


def paint_line(canvas: Canvas, params: Params) -> None:
    """A thick line through dots, each with its value."""
    values = params["values"]
    low, high = min(values), max(values)
    left, _, right, _ = canvas.box(14, 0, 14, 0)
    step = (right - left) / (len(values) - 1)
    points = [
        (left + step * i, 80 - round((value - low) * 52 / (high - low)))
        for i, value in enumerate(values)
    ]
    canvas.line([(LEFT, FLOOR), (RIGHT, FLOOR)])
    canvas.line(points, canvas.style.line_width + 1, canvas.color(params["color"]))
    for point in points:
        canvas.disc(point, 4)
    for i, (point, value) in enumerate(zip(points, values, strict=True)):
        neighbour = values[i + 1] if i + 1 < len(values) else values[i - 1]
        canvas.text((point[0], point[1] + (-13 if value > neighbour else 13)), str(value))


def solve_line_change(params: Params) -> Solution:
    """The first and the last value, the smaller taken from the larger."""
    values = params["values"]
    first, last = values[0], values[-1]
    high, low = max(first, last), min(first, last)
    steps = (f"The first is {first}, the last is {last}.", f"{high} - {low} = {high - low}.")
    return Solution(values=comma(values), steps=steps, answer=str(high - low))
