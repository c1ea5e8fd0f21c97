"""What is drawn beside a shape: right angles, arcs, measures; and two points to put them at."""

from __future__ import annotations

import math

from mmdft.data.figures.canvas import Canvas, Point, polar


def middle(p: Point, q: Point) -> Point:
    """The point half-way."""
    return (p[0] + q[0]) / 2, (p[1] + q[1]) / 2


def toward(p: Point, q: Point, length: float) -> Point:
    """The point at so much from p on the line to q."""
    share = length / math.dist(p, q)
    return p[0] + (q[0] - p[0]) * share, p[1] + (q[1] - p[1]) * share


def bearing(p: Point, q: Point) -> float:
    """The direction from p to q in degrees, from 0 to below 360, as `polar` counts them."""
    return math.degrees(math.atan2(p[1] - q[1], q[0] - p[0])) % 360


def wedge(corner: Point, p: Point, q: Point) -> tuple[float, float]:
    """Start and end in degrees of the angle below 180 at a corner between two of its rays."""
    start, end = bearing(corner, p), bearing(corner, q)
    if (end - start) % 360 > 180:
        start, end = end, start
    return start, start + (end - start) % 360


def angle_arc(canvas: Canvas, corner: Point, p: Point, q: Point, radius: float = 7) -> None:
    """The arc of an angle."""
    canvas.arc(corner, radius, *wedge(corner, p, q))


def right_angle(canvas: Canvas, corner: Point, p: Point, q: Point, side: float = 5) -> None:
    """The little square at a right angle."""
    one, other = toward(corner, p, side), toward(corner, q, side)
    far = (one[0] + other[0] - corner[0], one[1] + other[1] - corner[1])
    canvas.line([one, far, other], 0.7)


def measure(canvas: Canvas, p: Point, q: Point) -> None:
    """A thin line with ends, as is drawn beside a length to be told."""
    length = math.dist(p, q)
    nx, ny = (q[1] - p[1]) / length * 2, (p[0] - q[0]) / length * 2
    canvas.line([p, q], 0.7)
    for x, y in (p, q):
        canvas.line([(x + nx, y + ny), (x - nx, y - ny)], 0.7)


def arrow(canvas: Canvas, tail: Point, tip: Point) -> None:
    """A segment with an arrow's head at its end."""
    canvas.line([tail, tip])
    back = bearing(tip, tail)
    canvas.line([polar(tip, 4.5, back - 22), tip, polar(tip, 4.5, back + 22)])


def ellipse(
    center: Point, wide: float, high: float, start: float = 0, end: float = 360
) -> list[Point]:
    """Points of an ellipse between two angles in degrees."""
    turns = (math.radians(start + (end - start) * i / 60) for i in range(61))
    return [(center[0] + wide * math.cos(t), center[1] - high * math.sin(t)) for t in turns]
