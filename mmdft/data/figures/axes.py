"""Axes with ticks, a legend, and marks: what charts are drawn on."""

from __future__ import annotations

from collections.abc import Sequence

from mmdft.data.figures.canvas import Canvas, Point
from mmdft.data.figures.figure import Color, Params

LEFT, TOP, RIGHT, BOTTOM = 17.0, 16.0, 106.0, 98.0
NUM_TICKS = 6
NAMES = "ABCDEF"
SERIES = "PQRS"


def height_of(value: float, step: int) -> float:
    """Where a value stands, on an axis of NUM_TICKS steps."""
    return BOTTOM - (BOTTOM - TOP - 4) * value / (step * NUM_TICKS)


def axes(canvas: Canvas, params: Params) -> None:
    """The two axes; at each tick a faint line, or a short mark where the look has no grid."""
    step = params["step"]
    has_grid = params["look"]["grid"]
    for tick in range(1, NUM_TICKS + 1):
        y = height_of(tick * step, step)
        if has_grid:
            canvas.line([(LEFT, y), (RIGHT, y)], 0.5, faint(canvas))
        else:
            canvas.line([(LEFT - 1.5, y), (LEFT + 1.5, y)], 0.7)
    canvas.line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], 1)


def faint(canvas: Canvas) -> Color:
    """The colour of grids."""
    red, green, blue = canvas.color("blue")
    return red // 3 + 160, green // 3 + 160, min(255, blue // 3 + 160)


def axis_numbers(canvas: Canvas, step: int) -> None:
    """The numbers at the ticks."""
    for tick in range(NUM_TICKS + 1):
        canvas.text((LEFT - 8.5, height_of(tick * step, step)), str(tick * step))


def bar(canvas: Canvas, box: tuple[float, float, float, float], name: str, params: Params) -> None:
    """A bar in a colour, with an outline where the look has one."""
    canvas.rectangle(box, canvas.color(name), 0.6 if params["look"]["outline"] else 0)


def mark(canvas: Canvas, center: Point, radius: float, color: Color, params: Params) -> None:
    """A point in the look's shape."""
    x, y = center
    shape = params["look"]["mark"]
    if shape == "disc":
        canvas.disc(center, radius, color)
    elif shape == "square":
        r = radius * 0.9
        canvas.rectangle((x - r, y - r, x + r, y + r), color, 0)
    else:
        r = radius * 1.25
        canvas.polygon([(x - r, y), (x, y - r), (x + r, y), (x, y + r)], color, 0)


def legend(canvas: Canvas, colors: Sequence[str]) -> None:
    """A square of each colour above the chart, with a letter for its series."""
    for i, name in enumerate(colors):
        x = 20 + 23 * i
        canvas.rectangle((x, 4, x + 6, 10), canvas.color(name), 0)


def legend_names(canvas: Canvas, colors: Sequence[str]) -> None:
    """The series' names, from P on."""
    for i in range(len(colors)):
        canvas.text((20 + 23 * i + 11.5, 7), SERIES[i])


def middles(num: int) -> list[float]:
    """The middles of so many equal parts of the horizontal axis."""
    width = (RIGHT - LEFT) / num
    return [LEFT + width * (i + 0.5) for i in range(num)]


def group_names(canvas: Canvas, num: int) -> None:
    """A letter below each part of the horizontal axis."""
    for x, name in zip(middles(num), NAMES, strict=False):
        canvas.text((x, BOTTOM + 7.5), name)
