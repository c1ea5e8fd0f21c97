"""Numbers in rows and columns, and in the parts of a stacked bar: printed, one of them missing."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.canvas import Canvas
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, add, comma
from mmdft.data.figures.plots import NAMES, common

ROWS = "PQRS"


def sample_table(rng: Random, ranges: Ranges) -> Params:
    """A table with the total of each row, and a cell that is not told."""
    num_rows, num_columns = rng.choice((2, 3)), rng.choice((2, 3))
    values = [[rng.choice(ranges["value"]) for _ in range(num_columns)] for _ in range(num_rows)]
    missing = [rng.randrange(num_rows), rng.randrange(num_columns)]
    return {"values": values, "missing": missing, "color": rng.choice(COLORS)} | common(rng, 2)


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
        canvas.text((8 + wide / 2, y), ROWS[i])
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
                "one": ROWS[one],
                "other": ROWS[other],
                "color": rng.choice(COLORS),
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
        canvas.text((10, 21 + 31 * i), ROWS[i])
        for j, value in enumerate(row):
            canvas.text((32 + 29 * j, 21 + 31 * i), str(value))
    for j in range(3):
        canvas.text((32 + 29 * j, 104.5), NAMES[j])


def solve_heat(params: Params) -> Solution:
    """The difference of two rows: of their sums, or column by column."""
    one = params["values"][ROWS.index(params["one"])]
    other = params["values"][ROWS.index(params["other"])]
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


def sample_stack(rng: Random, ranges: Ranges) -> Params:
    """Two or three stacked bars with the numbers of their parts; one part is not told."""
    num, colors = rng.choice((2, 3)), rng.sample(COLORS, 3)
    values = [[rng.choice(ranges["part"]) for _ in colors] for _ in range(num)]
    missing = [rng.randrange(num), rng.randrange(3)]
    return {
        "values": values,
        "colors": colors,
        "missing": missing,
        "group": NAMES[missing[0]],
    } | common(rng, 2)


def paint_stack(canvas: Canvas, params: Params) -> None:
    """Each bar's parts in their colours with their numbers, its total above, its name below."""
    values, colors = params["values"], params["colors"]
    most = max(sum(bar) for bar in values)
    middles = [56 + 34 * (i - (len(values) - 1) / 2) for i in range(len(values))]
    labels = []
    for i, (x, bar) in enumerate(zip(middles, values, strict=True)):
        bottom = 98.0
        for j, (part, name) in enumerate(zip(bar, colors, strict=True)):
            top = bottom - 80 * part / most
            canvas.rectangle((x - 10, top, x + 10, bottom), canvas.tint(name), 0.8)
            shown = "?" if [i, j] == params["missing"] else str(part)
            labels.append(((x, (top + bottom) / 2), shown))
            bottom = top
        labels.append(((x, bottom - 7), str(sum(bar))))
        labels.append(((x, 105), NAMES[i]))
    for place, text in labels:
        canvas.text(place, text)


def solve_stack(params: Params) -> Solution:
    """The bar's total less its other parts."""
    bar, part = params["missing"]
    parts = params["values"][bar]
    known, answer = [p for j, p in enumerate(parts) if j != part], parts[part]
    if params["path"] == 0:
        steps = [*add(known), f"{sum(parts)} - {sum(known)} = {answer}."]
    else:
        steps, left = [], sum(parts)
        for value in known:
            steps.append(f"{left} - {value} = {left - value}.")
            left -= value
    return Solution(values=comma([sum(parts), *known]), steps=tuple(steps), answer=str(answer))
