"""What the tests of drawn figures share: canvases that watch what is drawn."""

from __future__ import annotations

from functools import cache
from typing import Any

from mmdft.data.figures import BASIC_FAMILIES, FAMILIES, STYLES
from mmdft.data.figures.canvas import UNITS, Canvas, Point
from mmdft.data.figures.figure import Problem
from mmdft.data.figures.generate import pose
from mmdft.data.figures.looks import styled

ADDED = tuple(name for name in FAMILIES if name not in BASIC_FAMILIES)


def problems(family: str, split: str, num: int, seed: int = 3) -> list[Problem]:
    """Figures that are not drawn; each is made once for all tests."""
    return [_problem(family, split, seed, index) for index in range(num)]


@cache
def _problem(family: str, split: str, seed: int, index: int) -> Problem:
    return pose(family, seed=seed, index=index, split=split)


class Recorder(Canvas):
    """Keeps the corners of what is drawn, in units, before the canvas turns them."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.polygons: list[list[Point]] = []
        self.lines: list[list[Point]] = []
        self.discs: list[tuple[Point, float]] = []
        self.texts: dict[str, Point] = {}
        self.labels: list[tuple[str, Point]] = []

    def polygon(self, points: Any, *arguments: Any) -> None:
        self.polygons.append(list(points))
        super().polygon(points, *arguments)

    def line(self, points: Any, *arguments: Any) -> None:
        self.lines.append(list(points))
        super().line(points, *arguments)

    def disc(self, center: Point, radius: float, *arguments: Any) -> None:
        self.discs.append((center, radius))
        super().disc(center, radius, *arguments)

    def text(self, center: Point, text: str) -> None:
        self.texts[text] = center
        self.labels.append((text, center))
        super().text(center, text)


class CheckedCanvas(Canvas):
    """Refuses a label that is not on one plain colour, near the border, or on another label."""

    margin = 1
    """around a label's ink, in units"""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.labels: list[tuple[float, float, float, float]] = []

    def text(self, center: Point, text: str) -> None:
        (x, y), (width, height) = self.place(center), self.text_size(text)
        free = self.margin
        box = (
            x - width / 2 - free,
            y - height / 2 - free,
            x + width / 2 + free,
            y + height / 2 + free,
        )
        assert min(box) > 0 and max(box) < UNITS, (text, box)
        scale = self.image.width / UNITS
        patch = self.image.crop(tuple(round(v * scale) for v in box))  # type: ignore[arg-type]
        assert len(patch.getcolors(patch.width * patch.height)) == 1, (text, box)  # type: ignore[arg-type]
        for left, top, right, bottom in self.labels:
            apart = box[2] < left or right < box[0] or box[3] < top or bottom < box[1]
            assert apart, (text, box)
        self.labels.append(box)
        super().text(center, text)

    def check_border(self) -> None:
        """Refuse a picture that goes on beyond its border."""
        last = self.image.width - 1
        for strip in (
            (0, 0, last, 1),
            (0, last, last, last + 1),
            (0, 0, 1, last),
            (last, 0, last + 1, last),
        ):
            colors = self.image.crop(strip).getcolors()
            assert [color for _, color in colors or []] == [self.style.background], strip

    def line(self, *arguments: Any, **options: Any) -> None:
        assert not self.labels, "shapes come before labels"
        super().line(*arguments, **options)


class TightCanvas(CheckedCanvas):
    """Lets a label be next to something, but not on it."""

    margin = 0


# Where a shape's corners are is the same at every size; so small, nothing but labels is slow.
SMALL = 28


def outlines(params: dict[str, Any], family: str) -> Recorder:
    """What a family draws from these parameters, corner by corner."""
    return painted(Recorder, params, family, SMALL)


def painted(kind: type[Canvas], params: dict[str, Any], family: str, size: int = 224) -> Any:
    """The family's picture of these parameters, without wear, on a canvas of a kind."""
    look = params["look"]
    canvas = kind(size, styled(STYLES[params["style"]], look), look["turn"])
    FAMILIES[family].paint(canvas, params)
    return canvas
