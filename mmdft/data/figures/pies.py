"""Rounds of slices: a pie with percentages, and a circle in equal parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from mmdft.data.figures.canvas import BORDER, CENTER, UNITS, Canvas, polar
from mmdft.data.figures.figure import COLORS, Color, Params, Ranges, Solution, add, comma


def _slices(canvas: Canvas, radius: float, edges: Sequence[float], fills: Sequence[Color]) -> None:
    """A round of slices between angles in degrees, with an outline and a line at every edge."""
    canvas.disc(CENTER, radius)
    inner = radius - canvas.style.line_width
    for (start, end), fill in zip(pairwise(edges), fills, strict=True):
        canvas.sector(CENTER, inner, start, end, fill)
    for edge in edges[1:]:
        canvas.line([CENTER, polar(CENTER, inner, edge)])


def sample_pie(rng: Random, ranges: Ranges) -> Params:
    """Percentages that make 100; one of them is to be found."""
    num_shares = rng.choice(ranges["num_shares"])
    while True:
        shares = [rng.choice(ranges["share"]) for _ in range(num_shares - 1)]
        shares.append(100 - sum(shares))
        if shares[-1] in ranges["share"]:
            return {
                "shares": shares,
                "missing": rng.randrange(num_shares),
                "turn": rng.randrange(360),
                "colors": rng.sample(COLORS, num_shares),
            }


def paint_pie(canvas: Canvas, params: Params) -> None:
    """A pie in light shades with the percentages inside, a question mark in one share."""
    radius = UNITS / 2 - BORDER - canvas.style.inset
    edges = [float(params["turn"])]
    for share in params["shares"]:
        edges.append(edges[-1] + share * 3.6)
    parts = list(pairwise(edges))
    _slices(canvas, radius, edges, [canvas.tint(name) for name in params["colors"]])
    for i, (start, end) in enumerate(parts):
        text = "?" if i == params["missing"] else str(params["shares"][i])
        canvas.label_wedge(CENTER, start, end, text, clear=radius * 0.4)


def solve_pie_share(params: Params) -> Solution:
    """100 less the known percentages."""
    known = [share for i, share in enumerate(params["shares"]) if i != params["missing"]]
    answer = 100 - sum(known)
    steps = (*add(known), f"100 - {sum(known)} = {answer}.")
    return Solution(values=comma(known), steps=steps, answer=str(answer))


def sample_parts(rng: Random, ranges: Ranges) -> Params:
    """Equal parts of a circle, some of them filled."""
    num_parts = rng.choice(ranges["num_parts"])
    num_filled = rng.randint(1, num_parts - 1)
    start = rng.randrange(num_parts)
    filled = [(start + i) % num_parts for i in range(num_filled)]
    if rng.choice(ranges["scattered"]):
        filled = rng.sample(range(num_parts), num_filled)
    return {
        "num_parts": num_parts,
        "filled": sorted(filled),
        "radius": rng.choice(ranges["radius"]),
        "turn": rng.randrange(360 // num_parts),
        "color": rng.choice(COLORS),
    }


def paint_parts(canvas: Canvas, params: Params) -> None:
    """The circle, its filled parts in a strong colour."""
    num_parts = params["num_parts"]
    edges = [params["turn"] + 360 * i / num_parts for i in range(num_parts + 1)]
    fills = [canvas.style.background] * num_parts
    for i in params["filled"]:
        fills[i] = canvas.color(params["color"])
    _slices(canvas, params["radius"], edges, fills)


def solve_fraction_parts(params: Params) -> Solution:
    """All parts less the filled ones."""
    num_parts, num_filled = params["num_parts"], len(params["filled"])
    answer = num_parts - num_filled
    return Solution(
        values=f"{num_parts} parts, {num_filled} filled",
        steps=(f"{num_parts} - {num_filled} = {answer}.",),
        answer=str(answer),
    )
