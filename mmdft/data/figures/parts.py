"""Parts of a whole: stacked bars with their numbers, and pies."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.axes import NAMES
from mmdft.data.figures.canvas import Canvas, polar
from mmdft.data.figures.figure import COLORS, Params, Ranges, Solution, add, comma
from mmdft.data.figures.looks import common


def sample_stack(rng: Random, ranges: Ranges) -> Params:
    """Two or three stacked bars with the numbers of their parts; one part is not told."""
    num, colors = rng.choice((2, 3)), rng.sample(COLORS, 3)
    values = [[rng.choice(ranges["part"]) for _ in colors] for _ in range(num)]
    missing = [rng.randrange(num), rng.randrange(3)]
    bars = {"values": values, "colors": colors, "missing": missing, "group": NAMES[missing[0]]}
    return bars | common(rng, 2)


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


def sample_pie(rng: Random, ranges: Ranges) -> Params:
    """Shares in percent of a total; the first one asked about is the larger."""
    total = rng.choice(ranges["total"])
    num = rng.choice((3, 4, 5))
    while True:
        shares = [rng.choice(ranges["share"]) for _ in range(num - 1)]
        shares.append(100 - sum(shares))
        one, other = rng.sample(range(num), 2)
        if shares[-1] in ranges["share"] and shares[one] > shares[other]:
            colors = rng.sample(COLORS, num)
            asked = {"one": colors[one], "other": colors[other], "turn": rng.randrange(0, 360, 15)}
            return {"total": total, "shares": shares, "colors": colors} | asked | common(rng, 2)


def paint_pie(canvas: Canvas, params: Params) -> None:
    """The sectors, their percentages around them."""
    center, radius, turn = (56.0, 56.0), 34.0 - canvas.style.inset / 2, params["turn"]
    places = []
    for share, name in zip(params["shares"], params["colors"], strict=True):
        end = turn + 3.6 * share
        canvas.sector(center, radius, turn, end, canvas.color(name))
        if params["look"]["outline"]:
            canvas.line([center, polar(center, radius, turn)], 0.8)
        places.append(((turn + end) / 2, f"{share}%"))
        turn = end
    if params["look"]["outline"]:
        canvas.line([polar(center, radius, 3 * i) for i in range(121)], 0.8)
    for middle, text in places:
        canvas.label_out(polar(center, radius, middle), center, text)


def solve_pie(params: Params) -> Solution:
    """The difference of the shares, of the total; or both amounts and their difference."""
    total = params["total"]
    one, other = (params["shares"][params["colors"].index(params[n])] for n in ("one", "other"))
    more = one - other
    answer = total * more // 100
    steps: tuple[str, ...] = (
        f"{one} - {other} = {more}.",
        f"{total} x {more} = {total * more}.",
        f"{total * more} / 100 = {answer}.",
    )
    if params["path"] == 1:
        amounts = [total * share // 100 for share in (one, other)]
        steps = (
            f"{total} x {one} = {total * one}.",
            f"{total * one} / 100 = {amounts[0]}.",
            f"{total} x {other} = {total * other}.",
            f"{total * other} / 100 = {amounts[1]}.",
            f"{amounts[0]} - {amounts[1]} = {answer}.",
        )
    return Solution(values=comma([total, one, other]), steps=steps, answer=str(answer))
