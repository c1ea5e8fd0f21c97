"""Charts with axes, a legend or a table: what is asked takes more than one reading."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmdft.data.figures.canvas import UNITS, Canvas, Point
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import sample_look

LEFT, TOP, RIGHT, BOTTOM = 17.0, 16.0, 106.0, 98.0
NUM_TICKS = 6
NAMES = "ABCDEF"


def common(rng: Random, num_paths: int) -> Params:
    """What every chart has beside its numbers."""
    return {"path": rng.randrange(num_paths), "look": sample_look(rng)}


def height_of(value: float, step: int) -> float:
    """Where a value stands, on an axis of NUM_TICKS steps."""
    return BOTTOM - (BOTTOM - TOP - 4) * value / (step * NUM_TICKS)


def axes(canvas: Canvas, step: int) -> None:
    """The two axes, and a faint line at each tick."""
    shade = canvas.color("blue")
    faint = (shade[0] // 3 + 160, shade[1] // 3 + 160, min(255, shade[2] // 3 + 160))
    for tick in range(1, NUM_TICKS + 1):
        y = height_of(tick * step, step)
        canvas.line([(LEFT, y), (RIGHT, y)], 0.5, faint)
    canvas.line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], 1)


def axis_numbers(canvas: Canvas, step: int) -> None:
    """The numbers at the ticks."""
    for tick in range(NUM_TICKS + 1):
        canvas.text((LEFT - 8, height_of(tick * step, step)), str(tick * step))


def legend(canvas: Canvas, colors: Sequence[str]) -> None:
    """A square of each colour above the chart, with a letter for its series."""
    for i, name in enumerate(colors):
        x = 24 + 28 * i
        canvas.rectangle((x, 4, x + 6, 10), canvas.color(name), 0)


def legend_names(canvas: Canvas, colors: Sequence[str]) -> None:
    """The series' names, from P on."""
    for i in range(len(colors)):
        canvas.text((24 + 28 * i + 12, 7), "PQRS"[i])


def _middles(num: int) -> list[float]:
    width = (RIGHT - LEFT) / num
    return [LEFT + width * (i + 0.5) for i in range(num)]


def _group_names(canvas: Canvas, num: int) -> None:
    for x, name in zip(_middles(num), NAMES, strict=False):
        canvas.text((x, BOTTOM + 7), name)


def sample_series(rng: Random, ranges: Ranges) -> Params:
    """Two or three series over three or four groups, on an axis whose ticks their values meet."""
    step = rng.choice(ranges["step"])
    colors = rng.sample(COLORS, rng.choice((2, 3)))
    num = rng.choice((3, 4))
    first, second = rng.sample(range(len(colors)), 2)
    while True:
        values = [[step * rng.randrange(1, NUM_TICKS + 1) for _ in range(num)] for _ in colors]
        sums = [sum(row) for row in values]
        group = rng.randrange(num)
        # At the group no series covers another.
        apart = len({row[group] for row in values}) == len(values)
        if apart and sums[first] > sums[second] and values[first][group] > values[second][group]:
            break
    return {
        "step": step,
        "colors": colors,
        "values": values,
        "one": "PQRS"[first],
        "other": "PQRS"[second],
        "group": NAMES[group],
    } | common(rng, 2)


def paint_grouped(canvas: Canvas, params: Params) -> None:
    """Bars side by side, a group at a time."""
    axes(canvas, params["step"])
    values, colors = params["values"], params["colors"]
    middles = _middles(len(values[0]))
    wide = (middles[1] - middles[0]) * 0.8 / len(colors)
    for row, (series, name) in enumerate(zip(values, colors, strict=True)):
        for x, value in zip(middles, series, strict=True):
            left = x + wide * (row - len(colors) / 2)
            top = height_of(value, params["step"])
            canvas.rectangle((left + 0.4, top, left + wide - 0.4, BOTTOM), canvas.color(name), 0)
    canvas.line([(LEFT, BOTTOM), (RIGHT, BOTTOM)], 1)
    legend(canvas, colors)
    axis_numbers(canvas, params["step"])
    _group_names(canvas, len(middles))
    legend_names(canvas, colors)


def solve_grouped(params: Params) -> Solution:
    """The difference of two series' totals; added up apart, or group by group."""
    one = params["values"]["PQRS".index(params["one"])]
    other = params["values"]["PQRS".index(params["other"])]
    answer = sum(one) - sum(other)
    values = comma([*one, *other])
    if params["path"] == 0:
        last = f"{sum(one)} - {sum(other)} = {answer}."
        return Solution(values=values, steps=(*add(one), *add(other), last), answer=str(answer))
    steps, total = [*add(one)], sum(one)
    for value in other:
        steps.append(f"{total} - {value} = {total - value}.")
        total -= value
    return Solution(values=values, steps=tuple(steps), answer=str(answer))


def paint_lines(canvas: Canvas, params: Params) -> None:
    """A line for each series."""
    axes(canvas, params["step"])
    values, colors = params["values"], params["colors"]
    middles = _middles(len(values[0]))
    for series, name in zip(values, colors, strict=True):
        points = [
            (x, height_of(value, params["step"])) for x, value in zip(middles, series, strict=True)
        ]
        canvas.line(points, 1.4, canvas.color(name))
        for point in points:
            canvas.disc(point, 1.8, canvas.color(name))
    legend(canvas, colors)
    axis_numbers(canvas, params["step"])
    _group_names(canvas, len(middles))
    legend_names(canvas, colors)


def solve_gap(params: Params) -> Solution:
    """How far two lines are apart at a group."""
    place = NAMES.index(params["group"])
    one = params["values"]["PQRS".index(params["one"])][place]
    other = params["values"]["PQRS".index(params["other"])][place]
    step = f"{one} - {other} = {one - other}."
    return Solution(values=comma([one, other]), steps=(step,), answer=str(one - other))


def sample_mean(rng: Random, ranges: Ranges) -> Params:
    """Bars on an axis, their mean a whole number."""
    step = rng.choice(ranges["step"])
    while True:
        num = rng.choice((3, 4, 5))
        values = [step * rng.randrange(1, NUM_TICKS + 1) for _ in range(num)]
        if sum(values) % num == 0 and len(set(values)) > 1:
            return {
                "step": step,
                "values": values,
                "colors": [rng.choice(COLORS)],
            } | common(rng, 1)


def paint_mean(canvas: Canvas, params: Params) -> None:
    """Bars without numbers, to be read from the axis."""
    axes(canvas, params["step"])
    middles = _middles(len(params["values"]))
    half = (middles[1] - middles[0]) * 0.3
    for x, value in zip(middles, params["values"], strict=True):
        top = height_of(value, params["step"])
        color = canvas.color(params["colors"][0])
        canvas.rectangle((x - half, top, x + half, BOTTOM), color, 0)
    canvas.line([(LEFT, BOTTOM), (RIGHT, BOTTOM)], 1)
    axis_numbers(canvas, params["step"])
    _group_names(canvas, len(middles))


def solve_mean(params: Params) -> Solution:
    """The sum over the number of bars."""
    values = params["values"]
    total = sum(values)
    last = f"{total} / {len(values)} = {total // len(values)}."
    answer = str(total // len(values))
    return Solution(values=comma(values), steps=(*add(values), last), answer=answer)


def paint_histogram(canvas: Canvas, params: Params) -> None:
    """Bars that touch, with the edges of the bins below."""
    axes(canvas, params["step"])
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
        "color": rng.choice(COLORS),
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
    return {"step": step, "boxes": boxes, "color": rng.choice(COLORS)} | common(rng, 1)


def paint_box(canvas: Canvas, params: Params) -> None:
    """Box plots, every mark at a tick or half-way between two."""
    axes(canvas, params["step"])
    middles = _middles(len(params["boxes"]) + 1)
    for x, marks in zip(middles, params["boxes"], strict=False):
        low, first, median, third, high = (height_of(m, params["step"]) for m in marks)
        canvas.line([(x, low), (x, high)], 1)
        for y in (low, high):
            canvas.line([(x - 5, y), (x + 5, y)], 1)
        canvas.rectangle((x - 8, third, x + 8, first), canvas.tint(params["color"]), 1)
        canvas.line([(x - 8, median), (x + 8, median)], 2)
    axis_numbers(canvas, params["step"])
    for x, name in zip(middles[: len(params["boxes"])], NAMES, strict=False):
        canvas.text((x, BOTTOM + 7), name)


def solve_box(params: Params) -> Solution:
    """The upper quartile less the lower."""
    _, first, _, third, _ = params["boxes"][0]
    steps = (f"{third} - {first} = {third - first}.",)
    return Solution(values=comma([first, third]), steps=steps, answer=str(third - first))


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
        "color": rng.choice(COLORS),
    } | common(rng, 1)


def paint_scatter(canvas: Canvas, params: Params) -> None:
    """Two axes without numbers, the line, and the points."""
    canvas.line([(8, 6), (8, 104), (106, 104)], 1)
    canvas.line([(8, _spot(0, 4.25)[1]), (106, _spot(0, 4.25)[1])], 1.6, canvas.color("red"))
    color = canvas.color("blue" if params["color"] == "red" else params["color"])
    for point, is_hollow in zip(params["points"], params["hollow"], strict=True):
        center = _spot(*point)
        canvas.disc(center, 3, color)
        if is_hollow:
            canvas.disc(center, 1.6, canvas.style.background)


def _spot(x: float, y: float) -> Point:
    return 17 + 11.5 * x, 98 - 10.5 * y


def solve_scatter(params: Params) -> Solution:
    """The points above the line less those below."""
    above, below = params["num_above"], params["num_below"]
    steps = (f"{above} - {below} = {above - below}.",)
    return Solution(values=comma([above, below]), steps=steps, answer=str(above - below))
