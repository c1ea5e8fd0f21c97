"""The figures beside the basic ones: answers by another route, true steps, and what is drawn."""

from __future__ import annotations

import cmath
import json
import math
import operator
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from mmdft.data.figures import BASIC_FAMILIES, FAMILIES, SPLITS, STYLES, Figure, draw
from mmdft.data.figures.canvas import UNITS, Canvas
from mmdft.data.figures.generate import content_split
from mmdft.data.figures.looks import styled
from mmdft.data.figures.plots import BOTTOM, LEFT, NUM_TICKS, RIGHT, height_of
from mmdft.data.figures.questions import OOD_QUESTIONS, QUESTIONS

ADDED = tuple(name for name in FAMILIES if name not in BASIC_FAMILIES)
TRAIN_AND_OOD = ("train", "ood")


def figures(family: str, split: str, num: int, seed: int = 3) -> list[Figure]:
    return [draw(family, seed=seed, index=i, split=split) for i in range(num)]


# --- answers, computed in another way than the package does ---


def whole(value: float) -> int:
    assert abs(value - round(value)) < 1e-9, value
    return round(value)


def on_circle(degrees: float) -> complex:
    return cmath.rect(1, math.radians(degrees))


def angle_between(one: complex, other: complex) -> int:
    return whole(abs(math.degrees(cmath.phase(one / other))))


def thales(p: dict[str, Any]) -> int:
    """The third corner as the crossing of two circles about the ends of the diameter."""
    x = p["leg"] ** 2 / p["diameter"]
    y = math.sqrt(p["leg"] ** 2 - x * x)
    assert abs(abs(complex(x - p["diameter"] / 2, y)) - p["diameter"] / 2) < 1e-9
    return whole(abs(complex(p["diameter"] - x, -y)))


def tangent(p: dict[str, Any]) -> int:
    touch = cmath.rect(p["radius"], math.acos(p["radius"] / p["distance"]))
    return whole(abs(p["distance"] - touch))


def inscribed(p: dict[str, Any]) -> int:
    a, b = on_circle(270 - p["angle"]), on_circle(270 + p["angle"])
    top = on_circle(90 + p["corner"])
    assert angle_between(a - top, b - top) == p["angle"]
    return angle_between(-a, b - a)


def chords(p: dict[str, Any]) -> int:
    """Where the circle through three of the ends meets the other chord's line again."""
    a, b, c, _ = p["parts"]
    middle_x = (b - a) / 2
    # The centre is as far from (-a, 0) as from (0, -c).
    middle_y = ((middle_x + a) ** 2 - middle_x**2 - c * c) / (2 * c)
    return whole(2 * middle_y + c)


def exterior(p: dict[str, Any]) -> int:
    """From the triangle's corners: the turn from the prolonged base to the far side."""
    left, right = math.radians(p["left"]), math.radians(180 - p["left"] - p["top"])
    apex = cmath.rect(math.sin(right) / math.sin(left + right), left)
    return angle_between(apex - 1, 1)


def parallels(p: dict[str, Any]) -> int:
    return angle_between(on_circle(180 + p["left"]), on_circle(360 - p["right"]))


def notched(p: dict[str, Any]) -> int:
    dx, dy = p["cut"]
    squares = product(range(p["width"]), range(p["height"]))
    return sum(not (x >= p["width"] - dx and y < dy) for x, y in squares)


def shoelace(points: list[list[int]]) -> int:
    double = sum(a * d - b * c for (a, b), (c, d) in pairwise([*points, points[0]]))
    return whole(abs(double) / 2)


def cubes(p: dict[str, Any]) -> int:
    return np.ones(p["edges"]).size


def faces(p: dict[str, Any]) -> int:
    """Faces of unit cubes that have no neighbour."""
    filled = np.pad(np.ones(p["edges"], dtype=int), 1)
    return sum(int(np.abs(np.diff(filled, axis=axis)).sum()) for axis in range(3))


def series(p: dict[str, Any], name: str) -> Any:
    return np.array(p["values"])["PQRS".index(p[name])]


EXPECTED = {
    "thales_leg": thales,
    "tangent_length": tangent,
    "inscribed_angle": inscribed,
    "crossing_chords": chords,
    "similar_triangles": lambda p: (
        Fraction(p["base"]) / Fraction(p["side"], p["side"] * p["factor"])
    ),
    "exterior_angle": exterior,
    "parallel_lines": parallels,
    "notched_area": notched,
    "grid_distance": lambda p: whole(abs(complex(*p["a"]) - complex(*p["b"])) * p["unit"]),
    "grid_triangle": lambda p: shoelace([p["a"], p["b"], p["apex"]]),
    "cuboid_volume": cubes,
    "cuboid_surface": faces,
    "grouped_bars": lambda p: (series(p, "one") - series(p, "other")).sum(),
    "line_gap": lambda p: (series(p, "one") - series(p, "other"))["ABCD".index(p["group"])],
    "axis_mean": lambda p: whole(float(np.mean(p["values"]))),
    "histogram_below": lambda p: sum(
        count
        for i, count in enumerate(p["counts"])
        if p["first"] + (i + 0.5) * p["width"] < p["edge"]
    ),
    "box_quartiles": lambda p: whole(float(np.subtract(*np.percentile(p["boxes"][0], [75, 25])))),
    "scatter_count": lambda p: sum(1 if y > 4.25 else -1 for _, y in p["points"]),
    "table_cell": lambda p: p["values"][p["missing"][0]][p["missing"][1]],
    "heat_rows": lambda p: (series(p, "one") - series(p, "other")).sum(),
    "stacked_part": lambda p: p["values"][p["missing"][0]][p["missing"][1]],
}


def test_there_are_enough_and_all_are_checked() -> None:
    assert len(FAMILIES) >= 24
    assert EXPECTED.keys() == set(ADDED)


@pytest.mark.parametrize("family", ADDED)
def test_answers_are_exact(family: str) -> None:
    for split in SPLITS:
        for figure in figures(family, split, 50 if split in TRAIN_AND_OOD else 10):
            assert figure.answer == str(EXPECTED[family](figure.params)), figure.params
            assert int(figure.answer) > 0 and json.loads(json.dumps(figure.params)) == figure.params


APPLY = {"+": operator.add, "-": operator.sub, "x": operator.mul, "/": operator.truediv}


def equations(reasoning: str) -> list[str]:
    return [part for part in reasoning.rstrip(".").split(". ") if " = " in part]


@pytest.mark.parametrize("family", ADDED)
def test_every_step_of_every_path_is_true_and_leads_to_the_answer(family: str) -> None:
    entry = FAMILIES[family]
    most = 0
    for split in TRAIN_AND_OOD:
        for figure in figures(family, split, 25):
            solutions = [entry.solve({**figure.params, "path": path}) for path in (0, 1)]
            most = max(most, len({solution.steps for solution in solutions}))
            for solution in solutions:
                assert solution.answer == figure.answer
                steps = equations(solution.reasoning)
                assert steps
                for step in steps:
                    left, right = step.split(" = ")
                    a, sign, b = left.split(" ")
                    one, other = Fraction(a), Fraction(b)
                    result = APPLY[sign](one, other)
                    assert result == Fraction(right), solution.reasoning
                known = {*solution.values.split(", "), "2", "90", "180"}
                for step in steps:
                    a, _, b = step.split(" = ")[0].split(" ")
                    is_square = a == b
                    known_count = {str(len(solution.values.split(", ")))}
                    assert is_square or {a, b} <= known | known_count, (step, solution.reasoning)
                    known.add(step.split(" = ")[1])
                    if is_square:
                        known.add(a)  # a root is checked by its square
                assert figure.answer in {steps[-1].split(" = ")[1], steps[-1].split(" ")[0]}
    assert most == (2 if family not in ONE_PATH else 1)


ONE_PATH = {"grid_distance", "line_gap", "axis_mean", "box_quartiles", "scatter_count"}


def test_most_have_several_paths_and_the_seed_chooses() -> None:
    several = set(ADDED) - ONE_PATH
    assert len(several) * 3 > len(FAMILIES)
    for family in several:
        assert {figure.params["path"] for figure in figures(family, "train", 20)} == {0, 1}


# --- splits, looks, questions ---


def test_splits_share_no_content_and_ood_differs() -> None:
    for family in ADDED:
        entry = FAMILIES[family]
        for split in SPLITS[:3]:
            for figure in figures(family, split, 8):
                assert content_split(entry.key, figure.params) == split
                assert figure.params["style"] == "plain"
        train, ood = figures(family, "train", 12), figures(family, "ood", 12)
        assert not {f.question for f in train} & {f.question for f in ood}
        assert {f.params["style"] for f in ood} == {"shifted"}
        assert not set(QUESTIONS[family]) & set(OOD_QUESTIONS[family])
        assert len({f.answer for f in figures(family, "train", 40)}) >= 2
        for name, values in entry.ranges.items():
            shared = set(values) & set(entry.ood_ranges[name])
            assert not shared or name in ("factor", "below"), (family, name)


def test_looks_vary_and_say_nothing() -> None:
    looks = [figure.params["look"] for figure in figures("cuboid_volume", "train", 60)]
    assert {look["paper"] for look in looks} == {0, 1, 2, 3} == {look["ink"] for look in looks}
    assert {look["label"] for look in looks} == {7, 8} and {look["grain"] for look in looks} > {0}
    assert all("look" not in FAMILIES[f].key for f in ADDED if f != "tangent_length")


def test_the_smallest_size_is_kept() -> None:
    small, large = (draw("table_cell", seed=1, index=0, size=size) for size in (112, 448))
    assert small.image.size == (224, 224) and large.image.size == (448, 448)
    assert small.params == large.params


def test_the_same_bytes_again() -> None:
    for family in ADDED:
        one, other = (draw(family, seed=2, index=1, split="ood") for _ in range(2))
        assert one.image.tobytes() == other.image.tobytes() and one.params == other.params


# --- the picture ---


class CheckedCanvas(Canvas):
    """Refuses a label that is not on one plain colour, near the border, or on another label."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.labels: list[tuple[float, float, float, float]] = []

    def text(self, center: tuple[float, float], text: str) -> None:
        (x, y), (width, height) = center, self.text_size(text)
        box = (x - width / 2 - 1, y - height / 2 - 1, x + width / 2 + 1, y + height / 2 + 1)
        assert min(box) > 0 and max(box) < UNITS, (text, box)
        scale = self.image.width / UNITS
        patch = self.image.crop(tuple(round(v * scale) for v in box))  # type: ignore[arg-type]
        assert len(patch.getcolors(patch.width * patch.height)) == 1, (text, box)  # type: ignore[arg-type]
        for left, top, right, bottom in self.labels:
            apart = box[2] < left or right < box[0] or box[3] < top or bottom < box[1]
            assert apart, (text, box)
        self.labels.append(box)
        super().text(center, text)

    def line(self, *arguments: Any, **options: Any) -> None:
        assert not self.labels, "shapes come before labels"
        super().line(*arguments, **options)


@pytest.mark.parametrize("family", ADDED)
def test_labels_touch_nothing(family: str) -> None:
    for split in TRAIN_AND_OOD:
        for figure in figures(family, split, 60, seed=5):
            style = styled(STYLES[figure.params["style"]], figure.params["look"])
            FAMILIES[family].paint(CheckedCanvas(224, style), figure.params)


@pytest.mark.parametrize("split", TRAIN_AND_OOD)
def test_bars_are_as_high_as_their_values(split: str) -> None:
    for figure in figures("axis_mean", split, 25):
        p = figure.params
        color = STYLES[p["style"]].palette[p["colors"][0]]
        width = (RIGHT - LEFT) / len(p["values"])
        canvas = Canvas(448, styled(STYLES[p["style"]], p["look"]))
        FAMILIES["axis_mean"].paint(canvas, p)
        picture, scale = canvas.finish(), 448 / UNITS
        for i, value in enumerate(p["values"]):
            x = round((LEFT + width * (i + 0.5)) * scale)
            column = [picture.getpixel((x, y)) for y in range(448)]
            drawn = column.count(color) / scale
            wanted = BOTTOM - height_of(value, p["step"])
            # The line below covers half its width, and edges are averaged.
            assert abs(drawn - wanted) < 1.5, (value, drawn, wanted)
            assert abs(drawn / (BOTTOM - height_of(p["step"], p["step"])) * p["step"] - value) < (
                p["step"] / 2
            )
        assert max(p["values"]) <= NUM_TICKS * p["step"]


def test_points_can_be_counted_in_the_picture() -> None:
    for figure in figures("scatter_count", "train", 15):
        p = figure.params
        canvas = Canvas(448, styled(STYLES["plain"], {**p["look"], "grain": 0}))
        FAMILIES["scatter_count"].paint(canvas, p)
        name = "blue" if p["color"] == "red" else p["color"]
        shown = np.all(np.asarray(canvas.image) == STYLES["plain"].palette[name], axis=-1)
        rows = np.flatnonzero(
            np.all(np.asarray(canvas.image)[:, 800] == STYLES["plain"].palette["red"], axis=-1)
        )
        assert blobs(shown[: rows[0]]) - blobs(shown[rows[-1] :]) == int(figure.answer)


def blobs(mask: Any) -> int:
    """Connected regions, hollow ones too."""
    left, count = set(zip(*np.nonzero(mask[::4, ::4]), strict=True)), 0
    while left:
        count += 1
        stack = [left.pop()]
        while stack:
            y, x = stack.pop()
            for near in product((y - 1, y, y + 1), (x - 1, x, x + 1)):
                if near in left:
                    left.remove(near)
                    stack.append(near)
    return count
