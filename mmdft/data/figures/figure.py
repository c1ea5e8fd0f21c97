"""The records of a drawn figure, and the two styles that figures are drawn in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

if TYPE_CHECKING:
    from mmdft.data.figures.canvas import Canvas

Color = tuple[int, int, int]
Params = dict[str, Any]
Ranges = Mapping[str, Sequence[Any]]

SPLITS = ("train", "validation", "test", "ood")
SHIFTS = ("values", "wording", "look")
"""What the split "ood" has other than the rest: ranges, questions, style of the pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One drawn picture with its question, worked chain and exact answer.

    `params` is everything the picture was drawn from, JSON-able; `choices` is empty where the
    question is open.
    """

    image: Image
    question: str
    reasoning: str
    answer: str
    choices: tuple[str, ...]
    family: str
    params: Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The look shared by all figures of a split. Lengths are in canvas units (112 to a side)."""

    palette: Mapping[str, Color]
    background: Color
    ink: Color
    line_width: float
    label_size: float
    inset: int
    bar_percent: int
    stroke: float = 0.25
    font: str = "pillow"


# The colour names are the same in both styles because they are answers; the shades are not.
STYLES: dict[str, Style] = {
    "plain": Style(
        palette={
            "red": (220, 40, 40),
            "blue": (40, 90, 220),
            "green": (30, 150, 60),
            "orange": (245, 150, 20),
            "purple": (140, 50, 170),
        },
        background=(255, 255, 255),
        ink=(20, 20, 20),
        line_width=3,
        label_size=15,
        inset=0,
        bar_percent=66,
    ),
    "shifted": Style(
        palette={
            "red": (165, 20, 60),
            "blue": (70, 160, 235),
            "green": (110, 180, 70),
            "orange": (225, 115, 60),
            "purple": (100, 70, 150),
        },
        background=(244, 238, 222),
        ink=(35, 30, 85),
        line_width=2,
        label_size=14,
        inset=4,
        bar_percent=50,
    ),
}


COLORS = tuple(STYLES["plain"].palette)


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What the program computed: the values read off, the steps, the answer."""

    values: str
    steps: tuple[str, ...]
    answer: str
    choices: tuple[str, ...] = ()

    @property
    def reasoning(self) -> str:
        """The worked chain; it opens with the same word in every family."""
        return " ".join((f"Values: {self.values}.", *self.steps))


def add(values: list[int]) -> tuple[str, ...]:
    """The sum of values, two at a time, one step a sentence."""
    steps, total = [], values[0]
    for value in values[1:]:
        steps.append(f"{total} + {value} = {total + value}.")
        total += value
    return tuple(steps)


def comma(values: list[int]) -> str:
    """The values as the chain's first sentence lists them."""
    return ", ".join(str(value) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A figure before it is drawn: what it is drawn from, what is asked, and the solution."""

    params: Params
    question: str
    solution: Solution


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of figure: three pure functions and the data they draw from.

    `sample` draws the parameters, `paint` puts them on a canvas, `solve` computes the answer
    from the parameters alone. `key` names the parameters whose values decide the split of a
    figure.
    """

    sample: Callable[[Random, Ranges], Params]
    paint: Callable[[Canvas, Params], None]
    solve: Callable[[Params], Solution]
    key: tuple[str, ...]
    ranges: Ranges
    ood_ranges: Ranges
    min_size: int = 56
    """the smallest side in pixels at which its labels are legible"""
