"""Points and lines on a grid: middles, slopes, crossings."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmdft.data.figures.canvas import Canvas
from mmdft.data.figures.coordinates import NUM, paint_grid, paint_numbers, place
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, comma
from mmdft.data.figures.looks import common

Spot = Sequence[int]


def paint_names(canvas: Canvas, points: Sequence[Spot]) -> None:
    """A letter at each point, away from the axes' numbers."""
    for (x, y), name in zip(points, "ABC", strict=False):
        at = place(x, y)
        canvas.plate((at[0] + (6.5 if x < 8 else -6.5), at[1] + (7 if y > 8 else -7)), name)


def sample_middle(rng: Random, ranges: Ranges) -> Params:
    """A, B and C, apart from each other; A and B have a middle on the grid."""
    unit = rng.choice(ranges["unit"])
    while True:
        points = [[rng.randrange(1, 10), rng.randrange(1, 10)] for _ in range(3)]
        (x0, y0), (x1, y1), _ = points
        apart = min(max(abs(p[0] - q[0]), abs(p[1] - q[1])) for p, q in _pairs(points))
        if (x0 + x1) % 2 == 0 == (y0 + y1) % 2 and apart >= 3 and x0 != x1:
            return {"points": points, "unit": unit} | common(rng, 2)


def _pairs(points: Sequence[Spot]) -> list[tuple[Spot, Spot]]:
    return [(p, q) for i, p in enumerate(points) for q in points[:i]]


def paint_middle(canvas: Canvas, params: Params) -> None:
    """The three points with their letters."""
    paint_grid(canvas)
    for point in params["points"]:
        canvas.disc(place(*point), 2.2, canvas.color(params["color"]))
    paint_numbers(canvas, params["unit"])
    paint_names(canvas, params["points"])


def solve_middle(params: Params) -> Solution:
    """Half the sums of the coordinates; halved one by one, or all at the end."""
    unit = params["unit"]
    (x0, y0), (x1, y1) = ([x, y * unit] for x, y in params["points"][:2])
    across, up = x0 + x1, y0 + y1
    answer = (across + up) // 2
    sums = (f"{x0} + {x1} = {across}.", f"{y0} + {y1} = {up}.")
    if params["path"] == 0:
        halves = (f"{across} / 2 = {across // 2}.", f"{up} / 2 = {up // 2}.")
        last = f"{across // 2} + {up // 2} = {answer}."
        steps: tuple[str, ...] = (sums[0], halves[0], sums[1], halves[1], last)
    else:
        steps = (*sums, f"{across} + {up} = {across + up}.", f"{across + up} / 2 = {answer}.")
    return Solution(values=comma([x0, y0, x1, y1]), steps=steps, answer=str(answer))


def sample_slope(rng: Random, ranges: Ranges) -> Params:
    """A rising line through two marked points; half the figures have a falling one too."""
    unit, run, slope = rng.choice(ranges["unit"]), rng.randrange(2, 6), rng.choice((1, 2, 3))
    while slope * run > NUM:
        run -= 1
    x, y = rng.randrange(11 - run), rng.randrange(11 - slope * run)
    other = rng.randrange(7, 11) if rng.random() < 0.5 else None
    ends = {"a": [x, y], "b": [x + run, y + slope * run], "unit": unit, "other": other}
    return ends | common(rng, 2)


def paint_slope(canvas: Canvas, params: Params) -> None:
    """The line between its points, and the other one dashed."""
    paint_grid(canvas)
    if params["other"] is not None:
        canvas.dashes(place(0, params["other"]), place(params["other"], 0))
    ends = [place(*params["a"]), place(*params["b"])]
    canvas.line(ends, None, canvas.color(params["color"]))
    for end in ends:
        canvas.disc(end, 2.2, canvas.color(params["color"]))
    paint_numbers(canvas, params["unit"])


def solve_slope(params: Params) -> Solution:
    """Rise over run, either first."""
    unit = params["unit"]
    (x0, y0), (x1, y1) = ([x, y * unit] for x, y in (params["a"], params["b"]))
    run, rise = x1 - x0, y1 - y0
    both = (f"{y1} - {y0} = {rise}.", f"{x1} - {x0} = {run}.")
    steps = (*(both if params["path"] == 0 else both[::-1]), f"{rise} / {run} = {rise // run}.")
    return Solution(values=comma([x0, y0, x1, y1]), steps=steps, answer=str(rise // run))


def sample_meeting(rng: Random, ranges: Ranges) -> Params:
    """Two rising lines from the left axis, drawn to marked points; they meet farther on."""
    unit = rng.choice(ranges["unit"])
    while True:
        high, low = rng.randrange(2, 8), rng.randrange(6)
        slope, steep = rng.choice((0, 1)), rng.choice((1, 2, 3))
        run = rng.choice((2, 3))
        if steep <= slope or high <= low or (high - low) % (steep - slope):
            continue
        meeting = (high - low) // (steep - slope)
        tops = sorted((high + slope * run, low + steep * run))
        if meeting > run and tops[1] <= NUM and tops[1] - tops[0] >= 1:
            colors = rng.sample(COLORS, 2)
            lines = [[high, slope], [low, steep]]
            return {"lines": lines, "run": run, "unit": unit, "colors": colors} | common(rng, 2)


def paint_meeting(canvas: Canvas, params: Params) -> None:
    """Both lines with a point at each end."""
    paint_grid(canvas)
    run = params["run"]
    for (start, slope), name in zip(params["lines"], params["colors"], strict=True):
        ends = [place(0, start), place(run, start + slope * run)]
        canvas.line(ends, None, canvas.color(name))
        for end in ends:
            canvas.disc(end, 2.2, canvas.color(name))
    paint_numbers(canvas, params["unit"])


def solve_meeting(params: Params) -> Solution:
    """The gap over the difference of the slopes; then the height along either line."""
    unit, run = params["unit"], params["run"]
    (high, slope), (low, steep) = ([start * unit, by * unit] for start, by in params["lines"])
    steps, values = [], []
    for start, by in ((high, slope), (low, steep)):
        end = start + by * run
        steps += [f"{end} - {start} = {by * run}.", f"{by * run} / {run} = {by}."]
        values += [start, end]
    gap, closing = high - low, steep - slope
    meeting = gap // closing
    steps += [f"{high} - {low} = {gap}.", f"{steep} - {slope} = {closing}."]
    steps += [f"{gap} / {closing} = {meeting}."]
    start, by = (high, slope) if params["path"] == 0 else (low, steep)
    answer = start + by * meeting
    steps += [f"{by} x {meeting} = {by * meeting}.", f"{by * meeting} + {start} = {answer}."]
    return Solution(values=comma([*values, run]), steps=tuple(steps), answer=str(answer))
