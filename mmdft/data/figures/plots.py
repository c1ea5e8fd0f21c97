"""Bars and lines on axes, with a legend where there are several series."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.axes import (
    BOTTOM,
    LEFT,
    NAMES,
    NUM_TICKS,
    RIGHT,
    SERIES,
    axes,
    axis_numbers,
    bar,
    group_names,
    height_of,
    legend,
    legend_names,
    mark,
    middles,
)
from mmdft.data.figures.canvas import Canvas
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import common


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
        "one": SERIES[first],
        "other": SERIES[second],
        "group": NAMES[group],
    } | common(rng, 2)


def paint_grouped(canvas: Canvas, params: Params) -> None:
    """Bars side by side, a group at a time."""
    axes(canvas, params)
    values, colors = params["values"], params["colors"]
    places = middles(len(values[0]))
    wide = (places[1] - places[0]) * 0.8 / len(colors)
    for row, (series, name) in enumerate(zip(values, colors, strict=True)):
        for x, value in zip(places, series, strict=True):
            left = x + wide * (row - len(colors) / 2)
            top = height_of(value, params["step"])
            bar(canvas, (left + 0.4, top, left + wide - 0.4, BOTTOM), name, params)
    canvas.line([(LEFT, BOTTOM), (RIGHT, BOTTOM)], 1)
    legend(canvas, colors)
    axis_numbers(canvas, params["step"])
    group_names(canvas, len(places))
    legend_names(canvas, colors)


def solve_grouped(params: Params) -> Solution:
    """The difference of two series' totals; added up apart, or group by group."""
    one = params["values"][SERIES.index(params["one"])]
    other = params["values"][SERIES.index(params["other"])]
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
    axes(canvas, params)
    values, colors = params["values"], params["colors"]
    places = middles(len(values[0]))
    for series, name in zip(values, colors, strict=True):
        points = [
            (x, height_of(value, params["step"])) for x, value in zip(places, series, strict=True)
        ]
        canvas.line(points, 1.4, canvas.color(name))
        for point in points:
            mark(canvas, point, 2, canvas.color(name), params)
    legend(canvas, colors)
    axis_numbers(canvas, params["step"])
    group_names(canvas, len(places))
    legend_names(canvas, colors)


def solve_gap(params: Params) -> Solution:
    """The difference of two lines at a group; or the ticks between them, times a tick."""
    place = NAMES.index(params["group"])
    one = params["values"][SERIES.index(params["one"])][place]
    other = params["values"][SERIES.index(params["other"])][place]
    step, answer = params["step"], one - other
    if params["path"] == 0 or step == 1:
        steps: tuple[str, ...] = (f"{one} - {other} = {answer}.",)
        return Solution(values=comma([one, other]), steps=steps, answer=str(answer))
    high, low = one // step, other // step
    steps = (f"{high} - {low} = {high - low}.", f"{high - low} x {step} = {answer}.")
    return Solution(values=comma([high, low, step]), steps=steps, answer=str(answer))


def sample_rise(rng: Random, ranges: Ranges) -> Params:
    """Lines of two series that rise from the first group to the last, one of them more."""
    while True:
        params = sample_series(rng, ranges)
        one, other = (params["values"][SERIES.index(params[name])] for name in ("one", "other"))
        ends = [{row[place] for row in params["values"]} for place in (0, -1)]
        is_clear = all(len(end) == len(params["values"]) for end in ends)
        if is_clear and one[-1] - one[0] > other[-1] - other[0] > 0:
            return params | {"last": NAMES[len(one) - 1]}


def solve_rise(params: Params) -> Solution:
    """The rise of one line less that of the other; or what is added less what is taken away."""
    one, other = (params["values"][SERIES.index(params[name])] for name in ("one", "other"))
    (a, b), (c, d) = (one[0], one[-1]), (other[0], other[-1])
    answer = b - a - d + c
    steps: tuple[str, ...] = (
        f"{b} - {a} = {b - a}.",
        f"{d} - {c} = {d - c}.",
        f"{b - a} - {d - c} = {answer}.",
    )
    if params["path"] == 1:
        steps = (
            f"{b} + {c} = {b + c}.",
            f"{a} + {d} = {a + d}.",
            f"{b + c} - {a + d} = {answer}.",
        )
    return Solution(values=comma([a, b, c, d]), steps=steps, answer=str(answer))


def sample_mean(rng: Random, ranges: Ranges) -> Params:
    """Bars on an axis, their mean a whole number."""
    step = rng.choice(ranges["step"])
    while True:
        num = rng.choice((3, 4, 5))
        values = [step * rng.randrange(1, NUM_TICKS + 1) for _ in range(num)]
        if sum(values) % num == 0 and len(set(values)) > 1:
            return {"step": step, "values": values} | common(rng, 2)


def paint_mean(canvas: Canvas, params: Params) -> None:
    """Bars without numbers, to be read from the axis."""
    axes(canvas, params)
    places = middles(len(params["values"]))
    half = (places[1] - places[0]) * 0.3
    for x, value in zip(places, params["values"], strict=True):
        top = height_of(value, params["step"])
        bar(canvas, (x - half, top, x + half, BOTTOM), params["color"], params)
    canvas.line([(LEFT, BOTTOM), (RIGHT, BOTTOM)], 1)
    axis_numbers(canvas, params["step"])
    group_names(canvas, len(places))


def solve_mean(params: Params) -> Solution:
    """The sum over the number; or the lowest bar, and the mean of what is above it."""
    values, num, least = params["values"], len(params["values"]), min(params["values"])
    answer = sum(values) // num
    if params["path"] == 0:
        steps = [*add(values), f"{sum(values)} / {num} = {answer}."]
    else:
        more = [value - least for value in values if value > least]
        steps = [f"{least + extra} - {least} = {extra}." for extra in more]
        steps += [*add(more), f"{sum(more)} / {num} = {answer - least}."]
        steps.append(f"{least} + {answer - least} = {answer}.")
    return Solution(values=comma(values), steps=tuple(steps), answer=str(answer))


def sample_stacked(rng: Random, ranges: Ranges) -> Params:
    """Stacked bars whose edges meet the ticks; a part that does not stand on the axis is asked."""
    step, num = rng.choice(ranges["step"]), rng.choice((2, 3))
    colors = rng.sample(COLORS, rng.choice((2, 3)))
    values = []
    for _ in range(num):
        while True:
            parts = [rng.randrange(1, NUM_TICKS - 1) for _ in colors]
            if sum(parts) <= NUM_TICKS:
                break
        values.append([step * part for part in parts])
    return {
        "step": step,
        "colors": colors,
        "values": values,
        "one": SERIES[rng.randrange(1, len(colors))],
    } | common(rng, 2)


def paint_stacked(canvas: Canvas, params: Params) -> None:
    """Each bar's parts one on the other, without numbers."""
    axes(canvas, params)
    places = middles(len(params["values"]))
    for x, parts in zip(places, params["values"], strict=True):
        low = 0
        for part, name in zip(parts, params["colors"], strict=True):
            box = (x - 8, height_of(low + part, params["step"]), x + 8)
            bar(canvas, (*box, height_of(low, params["step"])), name, params)
            low += part
    canvas.line([(LEFT, BOTTOM), (RIGHT, BOTTOM)], 1)
    legend(canvas, params["colors"])
    axis_numbers(canvas, params["step"])
    group_names(canvas, len(places))
    legend_names(canvas, params["colors"])


def solve_stacked(params: Params) -> Solution:
    """Upper less lower edge, bar by bar; or all upper edges less all lower ones."""
    place = SERIES.index(params["one"])
    lows = [sum(parts[:place]) for parts in params["values"]]
    tops = [sum(parts[: place + 1]) for parts in params["values"]]
    parts = [top - low for top, low in zip(tops, lows, strict=True)]
    answer = sum(parts)
    if params["path"] == 0:
        steps = [f"{t} - {b} = {t - b}." for t, b in zip(tops, lows, strict=True)]
        steps += add(parts)
    else:
        steps = [*add(tops), *add(lows), f"{sum(tops)} - {sum(lows)} = {answer}."]
    values = comma([value for pair in zip(tops, lows, strict=True) for value in pair])
    return Solution(values=values, steps=tuple(steps), answer=str(answer))
