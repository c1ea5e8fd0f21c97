"""What one answers who makes a mistake that the kind of figure invites: options for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from mmdft.data.figures.axes import SERIES
from mmdft.data.figures.figure import Params


def _rows(p: Params) -> tuple[Sequence[int], Sequence[int]]:
    """The two series or rows that are asked about."""
    one, other = (p["values"][SERIES.index(p[name])] for name in ("one", "other"))
    return one, other


def _sums(p: Params) -> tuple[int, ...]:
    one, other = _rows(p)
    # Added; one alone; the difference in one place alone.
    return sum(one) + sum(other), sum(one), one[0] - other[0], one[-1] - other[-1]


def _shares(p: Params) -> tuple[int, int]:
    one, other = (p["shares"][p["colors"].index(p[name])] for name in ("one", "other"))
    return one, other


def _known(p: Params) -> int:
    """The sum of the parts that are told, of those that the missing one stands among."""
    row, place = p["missing"]
    return sum(int(value) for i, value in enumerate(p["values"][row]) if i != place)


def _corners_around(p: Params) -> int:
    """The rectangle about the corners."""
    xs, ys = zip(*p["corners"], strict=True)
    return int((max(xs) - min(xs)) * (max(ys) - min(ys)))


def _ends(p: Params) -> tuple[int, int, int, int]:
    (x0, y0), (x1, y1) = p["points"][:2] if "points" in p else (p["a"], p["b"])
    unit = p["unit"]
    return x0, y0 * unit, x1, y1 * unit


def _distance(p: Params) -> tuple[int, ...]:
    (x0, y0), (x1, y1) = p["a"], p["b"]
    # The unit forgotten; both legs, one after the other.
    return p["distance"], (abs(x1 - x0) + abs(y1 - y0)) * p["unit"]


def _middle(p: Params) -> tuple[int, ...]:
    x0, y0, x1, y1 = _ends(p)
    # Not halved; the differences in place of the sums.
    return x0 + y0 + x1 + y1, (abs(x1 - x0) + abs(y1 - y0)) // 2


def _slope(p: Params) -> tuple[int, ...]:
    x0, y0, x1, y1 = _ends(p)
    # Squares counted, not what the axis says; the rise alone.
    return (y1 - y0) // (x1 - x0) // p["unit"], y1 - y0


def _meeting(p: Params) -> tuple[int, ...]:
    (high, slope), (low, steep) = p["lines"]
    where = (high - low) // (steep - slope)
    # How far to the right; what the axis says left out of account.
    return where, high + slope * where


def _notch(p: Params) -> tuple[int, ...]:
    width, height, (dx, dy) = p["width"], p["height"], p["cut"]
    # The corner left in; the perimeter; the corner added.
    return width * height, 2 * (width + height), width * height + dx * dy


def _hole(p: Params) -> tuple[int, ...]:
    whole, radius = p["width"] * p["height"], p["radius"]
    # The circumference taken away; the radius not squared; the diameter for the radius.
    return whole - 6 * radius, whole - 3 * radius, whole - 12 * radius**2


def _corner(p: Params) -> tuple[int, ...]:
    angles, missing = p["angles"], p["missing"]
    # As if it were a parallelogram: the angle across; what is beside a neighbour.
    return angles[missing - 2], 180 - angles[missing - 1]


def _cost(p: Params) -> tuple[int, ...]:
    asked = [p["rows"][SERIES.index(p[name])] for name in ("one", "other")]
    price, number = (sum(column) for column in zip(*asked, strict=True))
    # All three; the sums multiplied; one alone.
    return sum(map(prod, p["rows"])), price * number, prod(asked[0])


def _line(p: Params) -> tuple[int, ...]:
    one, other = _rows(p)
    place = "ABCDEF".index(p["group"])
    # Added; one alone.
    return one[place] + other[place], one[place]


def _stacked(p: Params) -> tuple[int, ...]:
    place = SERIES.index(p["one"])
    # The upper edges read off as if the part stood on the axis; all of the bars.
    return sum(sum(parts[: place + 1]) for parts in p["values"]), sum(map(sum, p["values"]))


def _histogram(p: Params) -> tuple[int, ...]:
    place = (p["edge"] - p["first"]) // p["width"]
    # One bin more; one less; what is above.
    counts = p["counts"]
    return sum(counts[: place + 1]), sum(counts[: place - 1]), sum(counts[place:])


def _beyond(p: Params) -> tuple[int, ...]:
    right, up = p["right"] // p["unit"], p["up"] // p["unit"]
    # One of the two conditions alone.
    return sum(x > right for x, _ in p["points"]), sum(y > up for _, y in p["points"])


MISTAKES: dict[str, Callable[[Params], tuple[int, ...]]] = {
    # Lengths subtracted in place of their squares.
    "thales_leg": lambda p: (p["diameter"] - p["leg"],),
    "tangent_length": lambda p: (p["distance"] - p["radius"],),
    # The angle at the centre; both angles at the base; the one that is told.
    "inscribed_angle": lambda p: (2 * p["angle"], 180 - 2 * p["angle"], p["angle"]),
    # Sums in place of products.
    "crossing_chords": lambda p: (p["parts"][0] + p["parts"][1] - p["parts"][2],),
    # As much longer, not as many times.
    "similar_triangles": lambda p: (p["base"] + p["side"] * (p["factor"] - 1),),
    # Not halved; halved twice.
    "midsegment_perimeter": lambda p: (sum(p["sides"]), sum(p["sides"]) // 4),
    # D taken for the middle; the rest of the base left out.
    "bisector_perimeter": lambda p: (
        p["left"] + p["right"] + 2 * p["parts"][0],
        p["left"] + p["right"] + p["parts"][0],
    ),
    # Lengths added in place of their squares; the line between the triangles.
    "pythagoras_chain": lambda p: (p["sides"][2] + p["sides"][3], p["sides"][2]),
    # The third angle of the triangle; what is beside one of those told.
    "exterior_angle": lambda p: (180 - p["left"] - p["top"], 180 - p["top"]),
    "parallel_lines": lambda p: (p["left"] + p["right"], 180 - p["left"]),
    # The angle told taken as it stands; the angle on the other side of the triangle.
    "parallel_bend": lambda p: (180 - p["upper"] + p["lower"], 180 - p["upper"] - p["lower"]),
    "polygon_corner": _corner,
    "notched_area": _notch,
    # The difference squared; the squares added; circumferences.
    "ring_area": lambda p: (
        (p["outer"] - p["inner"]) ** 2,
        p["outer"] ** 2 + p["inner"] ** 2,
        2 * (p["outer"] - p["inner"]),
    ),
    "holed_area": _hole,
    "grid_distance": _distance,
    # Not halved.
    "grid_triangle": lambda p: ((p["b"][0] - p["a"][0]) * (p["apex"][1] - p["a"][1]),),
    # The rectangle around it, whole and halved.
    "grid_quadrilateral": lambda p: (_corners_around(p), _corners_around(p) // 2),
    "grid_middle": _middle,
    "grid_slope": _slope,
    "lines_meeting": _meeting,
    # The edges added; the surface.
    "cuboid_volume": lambda p: (sum(p["edges"]), _surface(p)),
    # Three faces; the volume.
    "cuboid_surface": lambda p: (_surface(p) // 2, prod(p["edges"])),
    # Not a third; along the side in place of the height.
    "pyramid_volume": lambda p: (
        4 * p["half"] ** 2 * p["height"],
        4 * p["half"] ** 2 * p["slant"] // 3,
    ),
    "cone_volume": lambda p: (
        p["radius"] ** 2 * p["height"],
        p["radius"] ** 2 * p["slant"] // 3,
    ),
    # The diameter for the radius; the radius not squared.
    "cylinder_volume": lambda p: (
        4 * p["radius"] ** 2 * p["height"],
        p["radius"] * p["height"],
    ),
    # Without the discs; with one of them.
    "cylinder_surface": lambda p: (
        2 * p["radius"] * p["height"],
        2 * p["radius"] * p["height"] + p["radius"] ** 2,
    ),
    "grouped_bars": _sums,
    "heat_rows": _sums,
    "line_gap": _line,
    # The rise of one alone; how far apart the lines end.
    "line_rise": lambda p: (
        _rows(p)[0][-1] - _rows(p)[0][0],
        abs(_rows(p)[0][-1] - _rows(p)[1][-1]),
    ),
    # The sum; half-way between the lowest and the highest.
    "axis_mean": lambda p: (sum(p["values"]), (min(p["values"]) + max(p["values"])) // 2),
    "stacked_sum": _stacked,
    "histogram_below": _histogram,
    # From end to end; from the median on.
    "box_quartiles": lambda p: (
        p["boxes"][0][4] - p["boxes"][0][0],
        p["boxes"][0][3] - p["boxes"][0][2],
    ),
    # Those above alone; all.
    "scatter_count": lambda p: (p["num_above"], p["num_above"] + p["num_below"]),
    "scatter_corner": _beyond,
    # The sum of those that are told.
    "table_cell": lambda p: (_known(p),),
    "stacked_part": lambda p: (_known(p),),
    "table_cost": _cost,
    # Percent taken for a number; one alone.
    "pie_amount": lambda p: (
        _shares(p)[0] - _shares(p)[1],
        p["total"] * _shares(p)[0] // 100,
    ),
}
"""Each kind's wrong answers. Some may be right by chance, or not possible."""

_ANGLES = {"inscribed_angle", "exterior_angle", "parallel_lines", "parallel_bend", "polygon_corner"}
# Farther off than by this factor, an option is no temptation.
_FACTOR = 5


def _surface(p: Params) -> int:
    width, height, depth = p["edges"]
    return 2 * int(width * height + height * depth + width * depth)


def wrong_answers(family: str, params: Params, answer: str) -> list[str]:
    """The answers of the mistakes that a kind invites, each once; none of basic kinds."""
    found = map(str, MISTAKES[family](params) if family in MISTAKES else ())
    wrong = [number for number in found if number != answer]
    return [number for number in dict.fromkeys(wrong) if is_possible(family, answer, number)]


def is_possible(family: str, answer: str, number: str) -> bool:
    """Whether a wrong number might be taken for the answer; of basic kinds, any."""
    if family not in MISTAKES:
        return True
    right, wrong = int(answer), int(number)
    is_near = 0 < wrong <= _FACTOR * right and right <= _FACTOR * wrong
    return is_near and (wrong < 180 or family not in _ANGLES)
