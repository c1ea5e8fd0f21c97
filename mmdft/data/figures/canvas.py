"""A square canvas in units that do not depend on the picture's size: 112 units to a side.

Shapes are drawn enlarged, at whole pixels, and averaged down: the same bytes on every machine
with the same Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from mmdft.data.figures.figure import Color, Style
from mmdft.data.figures.fonts import font

UNITS = 112
CENTER = (UNITS / 2, UNITS / 2)
# The free strip at the border, and between a label and what is next to it.
BORDER = 4
GAP = 2
# The least that stays free between a label and the border.
_LEAST = 0.5

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def polar(center: Point, radius: float, degrees: float) -> Point:
    """The point at `radius` from `center`, `degrees` counted from the right, anticlockwise."""
    angle = math.radians(degrees)
    return center[0] + radius * math.cos(angle), center[1] - radius * math.sin(angle)


def fit(points: Sequence[Point], box: Box) -> list[Point]:
    """Scale points uniformly to the largest size that fits `box`, centred in it."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, top, right, bottom = box
    scale = min((right - left) / (max(xs) - min(xs)), (bottom - top) / (max(ys) - min(ys)))
    x0 = (left + right - scale * (min(xs) + max(xs))) / 2
    y0 = (top + bottom - scale * (min(ys) + max(ys))) / 2
    return [(x0 + scale * x, y0 + scale * y) for x, y in points]


def centroid(points: Sequence[Point]) -> Point:
    """The mean of the corners."""
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


class Canvas:
    """Drawing in canvas units, in one style. Draw shapes first, labels last.

    With `turn`, in degrees anticlockwise, all is turned about the middle and shrunk to stay inside;
    labels stay upright.
    """

    def __init__(self, size: int, style: Style, turn: float = 0) -> None:
        self.size = size
        self.style = style
        self._factor = 4 if size <= 256 else 2
        self._scale = size * self._factor / UNITS
        self._cos, self._sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        self._shrink = 1 / (self._cos + abs(self._sin)) if turn else 1
        self.image = Image.new("RGB", (size * self._factor,) * 2, style.background)
        self._draw = ImageDraw.Draw(self.image)

    def finish(self) -> Image.Image:
        """The picture at its final size."""
        return self.image.reduce(self._factor)

    def color(self, name: str) -> Color:
        """The shade of a colour name in this style."""
        return self.style.palette[name]

    def tint(self, name: str) -> Color:
        """A light shade of a colour, on which labels in ink stay legible."""
        r, g, b = ((2 * c + 3 * p) // 5 for c, p in zip(self.color(name), (255,) * 3, strict=True))
        return r, g, b

    def box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """The area left for a shape by these margins; smaller in a style with an inset."""
        inset = self.style.inset
        return left + inset, top + inset, UNITS - right - inset, UNITS - bottom - inset

    def line(
        self, points: Sequence[Point], width: float | None = None, color: Color | None = None
    ) -> None:
        """Connected segments with round ends and corners."""
        width = self.style.line_width if width is None else width
        ink = color or self.style.ink
        pixels = self._pixels(points)
        thick = max(1, round(width * self._scale))
        self._draw.line(pixels, fill=ink, width=thick)
        for x, y in pixels:
            r = thick // 2
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def polygon(
        self, points: Sequence[Point], fill: Color | None = None, width: float | None = None
    ) -> None:
        """A closed shape; `width` 0 leaves the outline away."""
        if fill is not None:
            self._draw.polygon(self._pixels(points), fill=fill)
        if width != 0:
            self.line([*points, points[0]], width)

    def rectangle(self, box: Box, fill: Color | None = None, width: float | None = None) -> None:
        """An upright rectangle; `width` 0 leaves the outline away."""
        left, top, right, bottom = box
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill, width)

    def disc(self, center: Point, radius: float, fill: Color | None = None) -> None:
        """A filled circle without outline."""
        (x, y), r = self._pixels([center])[0], round(radius * self._shrink * self._scale)
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill or self.style.ink)

    def circle(self, center: Point, radius: float, fill: Color) -> None:
        """A filled circle with an outline in ink."""
        self.disc(center, radius)
        self.disc(center, radius - self.style.line_width / self._shrink, fill)

    def sector(
        self,
        center: Point,
        radius: float,
        start: float,
        end: float,
        fill: Color,
    ) -> None:
        """The part of a disc between two angles in degrees, without outline."""
        num_steps = max(2, round((end - start) / 3))
        turns = (start + (end - start) * i / num_steps for i in range(num_steps + 1))
        self.polygon([center, *(polar(center, radius, t) for t in turns)], fill, 0)

    def text_size(self, text: str) -> tuple[float, float]:
        """Width and height of a label's ink, in units."""
        left, top, right, bottom = self._ink_box(text)
        return (right - left) / self._scale, (bottom - top) / self._scale

    def arc(self, center: Point, radius: float, start: float, end: float) -> None:
        """A thin arc between two angles in degrees: the mark of an angle."""
        num_steps = max(2, round(abs(end - start) / 5))
        turns = (start + (end - start) * i / num_steps for i in range(num_steps + 1))
        self.line([polar(center, radius, t) for t in turns], 0.7)

    def dashes(self, p: Point, q: Point, width: float = 0.8) -> None:
        """A dashed segment."""
        num = max(2, round(math.dist(p, q) / 4))
        for i in range(num):
            ends = [(i + t) / num for t in (0.2, 0.75)]
            self.line([(p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t) for t in ends], width)

    def place(self, point: Point) -> Point:
        """Where a point comes to lie, in units."""
        if self._shrink == 1:
            return point
        x, y = point[0] - CENTER[0], point[1] - CENTER[1]
        nx, ny = self._turned(x, y)
        return CENTER[0] + nx * self._shrink, CENTER[1] + ny * self._shrink

    def plate(self, center: Point, text: str) -> None:
        """A label on a piece of paper of its own, so that no line runs through it."""
        width, height = self.text_size(text)
        x, y = self.place(center)
        left, top, right, bottom = (
            round(v * self._scale)
            for v in (
                x - width / 2 - 1.5,
                y - height / 2 - 1.5,
                x + width / 2 + 1.5,
                y + height / 2 + 1.5,
            )
        )
        self._draw.rectangle((left, top, right, bottom), fill=self.style.background)
        self.text(center, text)

    def text(self, center: Point, text: str) -> None:
        """A label with the middle of its ink at `center`."""
        left, top, right, bottom = self._ink_box(text)
        x, y = self._pixels([center])[0]
        self._draw.text(
            (x - (left + right) // 2, y - (top + bottom) // 2),
            text,
            fill=self.style.ink,
            font=self._font,
            anchor="ls",
            stroke_width=self._stroke,
        )

    def label_edge(self, p: Point, q: Point, text: str, inside: Point) -> None:
        """A label beside the middle of the edge p-q, on the side away from `inside`."""
        middle = ((p[0] + q[0]) / 2, (p[1] + q[1]) / 2)
        length = math.hypot(q[0] - p[0], q[1] - p[1])
        nx, ny = (q[1] - p[1]) / length, (p[0] - q[0]) / length
        if nx * (inside[0] - middle[0]) + ny * (inside[1] - middle[1]) > 0:
            nx, ny = -nx, -ny
        away = (self._reach(text, nx, ny) + self.style.line_width / 2 + GAP) / self._shrink
        x, y = middle[0] + nx * away, middle[1] + ny * away
        if self._shrink == 1:
            # A wide label of a steep edge may reach beyond the border; turned shapes are smaller.
            width, height = self.text_size(text)
            x = min(max(x, width / 2 + _LEAST), UNITS - width / 2 - _LEAST)
            y = min(max(y, height / 2 + _LEAST), UNITS - height / 2 - _LEAST)
        self.text((x, y), text)

    def label_out(self, corner: Point, inside: Point, text: str) -> None:
        """A label at a corner of a shape, on the side away from `inside`."""
        length = math.dist(corner, inside)
        ux, uy = (corner[0] - inside[0]) / length, (corner[1] - inside[1]) / length
        away = (self._reach(text, ux, uy) + self.style.line_width / 2 + GAP) / self._shrink
        self.text((corner[0] + ux * away, corner[1] + uy * away), text)

    def label_wedge(
        self, center: Point, start: float, end: float, text: str, clear: float = 0
    ) -> None:
        """A label between two rays from `center`, farther out than `clear`, touching neither."""
        middle, half = (start + end) / 2, (end - start) / 2
        ux, uy = polar((0, 0), 1, middle)
        away = clear + (GAP + self._reach(text, ux, uy)) / self._shrink
        if half < 90:
            for ray in (start, end):
                nx, ny = polar((0, 0), 1, ray + 90)
                room = self._reach(text, nx, ny) + self.style.line_width / 2 + GAP
                away = max(away, room / self._shrink / math.sin(math.radians(half)))
        self.text((center[0] + ux * away, center[1] + uy * away), text)

    def _reach(self, text: str, nx: float, ny: float) -> float:
        """How far a label's box goes from its middle towards (nx, ny), turned as the canvas is."""
        width, height = self.text_size(text)
        nx, ny = self._turned(nx, ny)
        return (abs(nx) * width + abs(ny) * height) / 2

    def _turned(self, x: float, y: float) -> Point:
        return x * self._cos + y * self._sin, y * self._cos - x * self._sin

    @property
    def _font(self) -> ImageFont.FreeTypeFont:
        return font(self.style.font, round(self.style.label_size * self._scale))

    @property
    def _stroke(self) -> int:
        # The font's own strokes are thinner than a pixel at 112.
        return max(1, round(self.style.stroke * self._scale))

    def _ink_box(self, text: str) -> tuple[int, int, int, int]:
        left, top, right, bottom = self._font.getbbox(text, anchor="ls", stroke_width=self._stroke)
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)

    def _pixels(self, points: Sequence[Point]) -> list[tuple[int, int]]:
        placed = map(self.place, points)
        return [(round(x * self._scale), round(y * self._scale)) for x, y in placed]
