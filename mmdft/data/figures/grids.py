"""Numbers printed in rows and columns: tables and a heat map."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.axes import NAMES, SERIES
from mmdft.data.figures.canvas import Canvas
from mmdft.data.figures.figure import Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import common


def sample_table(rng: Random, ranges: Ranges) -> Params:
    """A table with the total of each row, and a cell that is not told."""
    num_rows, num_columns = rng.choice((2, 3)), rng.choice((2, 3))
    values = [[rng.choice(ranges["value"]) for _ in range(num_columns)] for _ in range(num_rows)]
    missing = [rng.randrange(num_rows), rng.randrange(num_columns)]
    return {"values": values, "missing": missing} | common(rng, 2)


def paint_table(canvas: Canvas, params: Params) -> None:
    """Rows by letter, columns by letter, totals in the last column."""
    values, (row, column) = params["values"], params["missing"]
    wide, high = 96 / (len(values[0]) + 2), 96 / (len(values) + 1)
    canvas.rectangle((8, 8, 104, 8 + high), canvas.tint(params["color"]), 0)
    for i in range(len(values) + 2):
        canvas.line([(8, 8 + high * i), (104, 8 + high * i)], 0.8)
    for j in range(len(values[0]) + 3):
        canvas.line([(8 + wide * j, 8), (8 + wide * j, 104)], 0.8)
    heads = [*NAMES[: len(values[0])], "all"]
    for j, head in enumerate(heads):
        canvas.text((8 + wide * (j + 1.5), 8 + high / 2), head)
    for i, cells in enumerate(values):
        y = 8 + high * (i + 1.5)
        canvas.text((8 + wide / 2, y), SERIES[i])
        for j, cell in enumerate([*cells, sum(cells)]):
            shown = "?" if (i, j) == (row, column) else str(cell)
            canvas.text((8 + wide * (j + 1.5), y), shown)


def solve_table(params: Params) -> Solution:
    """The row's total less its other cells: their sum at once, or one after the other."""
    row, column = params["missing"]
    cells = params["values"][row]
    total, known = sum(cells), [cell for j, cell in enumerate(cells) if j != column]
    answer = cells[column]
    if params["path"] == 0:
        last = f"{total} - {sum(known)} = {answer}."
        steps = [*add(known), last]
    else:
        steps, left = [], total
        for cell in known:
            steps.append(f"{left} - {cell} = {left - cell}.")
            left -= cell
    return Solution(values=comma([total, *known]), steps=tuple(steps), answer=str(answer))


def sample_heat(rng: Random, ranges: Ranges) -> Params:
    """A heat map of three rows and columns; the first row asked about has the larger sum."""
    while True:
        values = [[rng.choice(ranges["value"]) for _ in range(3)] for _ in range(3)]
        one, other = rng.sample(range(3), 2)
        if sum(values[one]) > sum(values[other]):
            return {
                "values": values,
                "one": SERIES[one],
                "other": SERIES[other],
            } | common(rng, 2)


def paint_heat(canvas: Canvas, params: Params) -> None:
    """The darker a cell, the larger its number."""
    most = max(max(row) for row in params["values"])
    paper, tint = canvas.style.background, canvas.tint(params["color"])
    for i, row in enumerate(params["values"]):
        for j, value in enumerate(row):
            share = value / most
            red, green, blue = (
                round(p + (t - p) * share) for p, t in zip(paper, tint, strict=True)
            )
            box = (18 + 29 * j, 6 + 31 * i, 47 + 29 * j, 37 + 31 * i)
            canvas.rectangle(box, (red, green, blue), 0)
    for i, row in enumerate(params["values"]):
        canvas.text((10, 21 + 31 * i), SERIES[i])
        for j, value in enumerate(row):
            canvas.text((32 + 29 * j, 21 + 31 * i), str(value))
    for j in range(3):
        canvas.text((32 + 29 * j, 104.5), NAMES[j])


def solve_heat(params: Params) -> Solution:
    """The difference of two rows: of their sums, or column by column."""
    one = params["values"][SERIES.index(params["one"])]
    other = params["values"][SERIES.index(params["other"])]
    answer = sum(one) - sum(other)
    if params["path"] == 0:
        last = f"{sum(one)} - {sum(other)} = {answer}."
        steps: tuple[str, ...] = (*add(one), *add(other), last)
    else:
        more, total = [], sum(one)
        for value in other:
            more.append(f"{total} - {value} = {total - value}.")
            total -= value
        steps = (*add(one), *more)
    return Solution(values=comma([*one, *other]), steps=steps, answer=str(answer))


def sample_cost(rng: Random, ranges: Ranges) -> Params:
    """Three goods with a price and a number each; two of them are asked about."""
    rows = [[rng.choice(ranges["price"]), rng.choice(ranges["number"])] for _ in range(3)]
    one, other = rng.sample(range(3), 2)
    swap = rng.randrange(2)
    goods = {"rows": rows, "one": SERIES[one], "other": SERIES[other], "swap": swap}
    return goods | common(rng, 2)


def paint_cost(canvas: Canvas, params: Params) -> None:
    """A row for each; the columns price and number, in either order."""
    wide, high = (20, 39, 39), 24
    lines = [8.0]
    for width in wide:
        lines.append(lines[-1] + width)
    canvas.rectangle((8, 8, lines[-1], 8 + high), canvas.tint(params["color"]), 0)
    for i in range(5):
        canvas.line([(8, 8 + high * i), (lines[-1], 8 + high * i)], 0.8)
    for x in lines:
        canvas.line([(x, 8), (x, 8 + 4 * high)], 0.8)
    order = -1 if params["swap"] else 1
    heads = ["price", "number"][::order]
    for head, x in zip(heads, lines[1:], strict=False):
        canvas.text((x + 19.5, 20), head)
    for i, cells in enumerate(params["rows"]):
        y = 20 + high * (i + 1)
        canvas.text((18, y), SERIES[i])
        for cell, x in zip(cells[::order], lines[1:], strict=False):
            canvas.text((x + 19.5, y), str(cell))


def solve_cost(params: Params) -> Solution:
    """Price times number for the two, added; or all three less the one not asked for."""
    rows = params["rows"]
    asked = [SERIES.index(params[name]) for name in ("one", "other")]
    costs = [price * number for price, number in rows]
    answer = sum(costs[i] for i in asked)
    order = asked if params["path"] == 0 else [0, 1, 2]
    steps = [f"{rows[i][0]} x {rows[i][1]} = {costs[i]}." for i in order]
    steps += add([costs[i] for i in order])
    if params["path"] == 1:
        (third,) = {0, 1, 2} - set(asked)
        steps.append(f"{sum(costs)} - {costs[third]} = {answer}.")
    values = comma([value for i in order for value in rows[i]])
    return Solution(values=values, steps=tuple(steps), answer=str(answer))
