"""Numbers strewn over an empty picture: exercises in reading, without a shape to help."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from mmdft.data.figures.canvas import UNITS, Canvas
from mmdft.data.figures.figure import Color, Params, Ranges, Solution, add, comma

# Cells of the picture to a side; each holds one number at most.
_CELLS = 3
_LABEL_SIZES = (14.0, 14.5, 15.0)


def sample_numbers(rng: Random, ranges: Ranges) -> Params:
    """A few numbers, each somewhere in a cell of its own, in any ink on any light paper."""
    count = rng.choice(ranges["count"])
    places = []
    for cell in sorted(rng.sample(range(_CELLS * _CELLS), count)):
        row, column = divmod(cell, _CELLS)
        places.append([10 + 37 * column + rng.randrange(19), 9 + 37 * row + rng.randrange(21)])
    return {
        "numbers": [rng.choice(ranges["number"]) for _ in places],
        "places": places,
        **sample_paper(rng),
    }


def sample_paper(rng: Random) -> Params:
    """Ink, paper and size of the labels: half the time the style's own colours."""
    return {
        "ink": [rng.randrange(100) for _ in range(3)] if rng.random() < 0.5 else None,
        "paper": [rng.randrange(215, 256) for _ in range(3)] if rng.random() < 0.5 else None,
        "label_size": rng.choice(_LABEL_SIZES),
    }


def paint_paper(canvas: Canvas, params: Params) -> None:
    """Cover the canvas with the paper, and write on it in the ink from here on."""
    canvas.style = replace(
        canvas.style,
        ink=_color(params["ink"], canvas.style.ink),
        background=_color(params["paper"], canvas.style.background),
        label_size=params["label_size"],
    )
    canvas.rectangle((0, 0, UNITS, UNITS), canvas.style.background, 0)


def paint_numbers(canvas: Canvas, params: Params) -> None:
    """The numbers where they belong."""
    paint_paper(canvas, params)
    for (x, y), number in zip(params["places"], params["numbers"], strict=True):
        canvas.text((x, y), str(number))


def solve_reading(params: Params) -> Solution:
    """The numbers row by row; the last of them is the answer."""
    numbers = params["numbers"]
    return Solution(
        values=comma(numbers), steps=(f"The last is {numbers[-1]}.",), answer=str(numbers[-1])
    )


def solve_number_sum(params: Params) -> Solution:
    """The sum of the numbers."""
    numbers = params["numbers"]
    return Solution(values=comma(numbers), steps=add(numbers), answer=str(sum(numbers)))


def solve_number_product(params: Params) -> Solution:
    """The product of two numbers."""
    one, other = params["numbers"]
    product = one * other
    return Solution(
        values=comma([one, other]), steps=(f"{one} x {other} = {product}.",), answer=str(product)
    )


def _color(values: list[int] | None, default: Color) -> Color:
    if values is None:
        return default
    red, green, blue = values
    return red, green, blue
