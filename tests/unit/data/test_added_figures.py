"""The figures beside the basic ones: true steps, several ways, splits, looks, what is drawn."""

from __future__ import annotations

import math
import operator
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from figure_checks import ADDED, CheckedCanvas, Recorder, outlines, painted, problems

from mmdft.data.figures import BASIC_FAMILIES, FAMILIES, SPLITS, STYLES, draw
from mmdft.data.figures.axes import BOTTOM, LEFT, NUM_TICKS, RIGHT
from mmdft.data.figures.canvas import CENTER, UNITS, Canvas
from mmdft.data.figures.fonts import FONTS
from mmdft.data.figures.generate import content_split
from mmdft.data.figures.looks import TURNS, WEAR, worn
from mmdft.data.figures.questions import OOD_QUESTIONS, QUESTIONS

TRAIN_AND_OOD = ("train", "ood")
APPLY = {"+": operator.add, "-": operator.sub, "x": operator.mul, "/": operator.truediv}
# Numbers that a step may use without their being read off: a half, a third, angles, percent.
TOLD = {"2", "3", "90", "180", "100"}


def equations(reasoning: str) -> list[str]:
    return [part for part in reasoning.rstrip(".").split(". ") if " = " in part]


@pytest.mark.parametrize("family", ADDED)
def test_every_step_of_every_path_is_true_and_leads_to_the_answer(family: str) -> None:
    entry = FAMILIES[family]
    most = longest = 0
    for split in TRAIN_AND_OOD:
        for problem in problems(family, split, 30):
            solutions = [entry.solve({**problem.params, "path": path}) for path in (0, 1)]
            most = max(most, len({solution.steps for solution in solutions}))
            for solution in solutions:
                assert solution.answer == problem.solution.answer
                steps = equations(solution.reasoning)
                longest = max(longest, len(steps))
                num = len(solution.values.split(", "))
                known = {*solution.values.split(", "), *TOLD, str(num), str(num + 1)}
                for step in steps:
                    left, right = step.split(" = ")
                    a, sign, b = left.split(" ")
                    result = APPLY[sign](Fraction(a), Fraction(b))
                    assert result == Fraction(right), solution.reasoning
                    # A root is told by its square.
                    is_root = a == b and sign == "x" and right in known
                    assert is_root or {a, b} <= known, (step, solution.reasoning)
                    known |= {right, a}
                last = solution.steps[-1].rstrip(".").split(" ")[-1]
                assert problem.solution.answer == last, solution.reasoning
    assert most == 2 and longest > 1
    assert {problem.params["path"] for problem in problems(family, "train", 30)} == {0, 1}


# --- splits, looks, questions ---


def test_splits_share_no_content_and_ood_differs() -> None:
    for family in ADDED:
        entry = FAMILIES[family]
        # The same numbers in other colours, or turned, are the same content.
        assert not LOOKS & set(entry.key), family
        for split in SPLITS[:3]:
            for problem in problems(family, split, 5):
                assert content_split(entry.key, problem.params) == split
                assert problem.params["style"] == "plain"
        train, ood = problems(family, "train", 12), problems(family, "ood", 12)
        assert not {f.question for f in train} & {f.question for f in ood}
        assert {f.params["style"] for f in ood} == {"shifted"}
        assert not set(QUESTIONS[family]) & set(OOD_QUESTIONS[family])
        for name, values in entry.ranges.items():
            shared = set(values) & set(entry.ood_ranges[name])
            assert not shared or name in SAME_IN_BOTH, (family, name)


LOOKS = {"color", "colors", "mirror", "turn", "told", "lift", "look", "path"}
# Numbers that are not printed, or that stand beside another one that differs.
SAME_IN_BOTH = {"factor", "below", "ratio", "num_sides"}


def test_looks_vary_and_say_nothing() -> None:
    looks = [problem.params["look"] for problem in problems("crossing_chords", "train", 120)]
    assert {look["paper"] for look in looks} == {0, 1, 2, 3} == {look["ink"] for look in looks}
    # No smaller and no bolder than what the test of digits looks at.
    assert {look["label"] for look in looks} == {7, 7.5, 8}
    assert {look["stroke"] for look in looks} == {0.1, 0.18, 0.25}
    assert {look["turn"] for look in looks} == set(TURNS)
    assert {look["font"] for look in looks} == set(FONTS)
    assert {look["wear"] for look in looks} == set(WEAR)
    assert all("look" not in FAMILIES[family].key for family in ADDED)
    charts = [problem.params["look"] for problem in problems("line_gap", "train", 60)]
    assert {look["turn"] for look in charts} == {0}
    assert {look["mark"] for look in charts} == {"disc", "square", "diamond"}
    assert (
        {look["grid"] for look in charts} == {True, False} == {look["outline"] for look in charts}
    )


def test_wear_is_light_and_of_the_figure() -> None:
    params = problems("cuboid_volume", "train", 1)[0].params
    image = painted(Canvas, params, "cuboid_volume").finish()
    one, other, blur, jpeg, none = (
        np.asarray(worn(image, {"wear": wear, "wear_seed": seed}), dtype=int)
        for wear, seed in (("grain", 1), ("grain", 2), ("blur", 1), ("jpeg", 1), ("none", 1))
    )
    assert np.array_equal(none, np.asarray(image))
    moved = np.abs(one - none)
    assert moved.max() == 10 and 0.02 < (moved.max(axis=-1) > 0).mean() < 0.1
    assert not np.array_equal(one, other)
    for soft in (blur, jpeg):
        assert 0.2 < np.abs(soft - none).mean() < 5
    for index, problem in enumerate(problems("cuboid_volume", "train", 20)):
        look = problem.params["look"]
        plain = painted(Canvas, problem.params, "cuboid_volume").finish()
        drawn = draw("cuboid_volume", seed=3, index=index).image
        assert drawn.tobytes() == worn(plain, look).tobytes()
        assert (drawn.tobytes() == plain.tobytes()) == (look["wear"] == "none")


@pytest.mark.parametrize("font", FONTS)
def test_digits_differ_in_every_font_weight_and_wear(font: str) -> None:
    """At the smallest size, the least alike place of one on the other: two look the same below."""
    for stroke, wear in product((0.1, 0.25), ("none", "blur", "jpeg")):
        style = replace(STYLES["plain"], font=font, stroke=stroke, label_size=7)
        shades = {}
        for digit in "0123456789?":
            canvas = Canvas(224, style)
            canvas.text(CENTER, digit)
            image = worn(canvas.finish(), {"wear": wear, "wear_seed": 0})
            shades[digit] = 255 - np.asarray(image.convert("L"), dtype=float)[90:134, 90:134]
            assert np.ptp(np.flatnonzero(shades[digit].max(axis=1) > 60)) >= 9
        for one, other in combinations(shades.values(), 2):
            moved = [np.roll(other, by, (0, 1)) for by in product((-1, 0, 1), (-1, 0, 1))]
            apart = [np.abs(one - m).sum() / np.maximum(one, m).sum() for m in moved]
            assert min(apart) > 0.145, (stroke, wear)


def test_a_turned_canvas_keeps_shapes_and_stays_inside() -> None:
    flat, turned = (Canvas(224, STYLES["plain"], turn) for turn in (0, 7))
    a, b, c = (0.0, 0.0), (112.0, 0.0), (112.0, 112.0)
    assert flat.place(a) == a and turned.place(CENTER) == CENTER
    placed = [turned.place(p) for p in (a, b, c)]
    assert all(0 <= value <= UNITS for p in placed for value in p)
    shrink = math.dist(placed[0], placed[1]) / 112
    assert math.dist(placed[1], placed[2]) == pytest.approx(112 * shrink)
    (x0, y0), (x1, y1), _ = placed
    # Anticlockwise: the right end of a level line goes up.
    assert math.degrees(math.atan2(y0 - y1, x1 - x0)) == pytest.approx(7)
    turned.disc((56, 20), 10)
    drawn = np.asarray(turned.image)[..., 0] < 100
    assert math.sqrt(drawn.sum() / math.pi) / (turned.image.width / UNITS) == pytest.approx(
        10 * shrink, abs=0.1
    )


def test_the_smallest_size_is_kept() -> None:
    small, large = (draw("table_cell", seed=1, index=0, size=size) for size in (112, 448))
    assert small.image.size == (224, 224) and large.image.size == (448, 448)
    assert small.params == large.params
    for family in BASIC_FAMILIES:
        assert draw(family, seed=1, index=0, size=56).image.size == (56, 56)


def test_the_same_bytes_again() -> None:
    for family in ADDED:
        one, other = (draw(family, seed=2, index=1, split="ood") for _ in range(2))
        assert one.image.tobytes() == other.image.tobytes() and one.params == other.params


# --- the picture ---


@pytest.mark.parametrize("family", ADDED)
def test_labels_touch_nothing(family: str) -> None:
    for split in TRAIN_AND_OOD:
        for problem in problems(family, split, 30, seed=5):
            painted(CheckedCanvas, problem.params, family).check_border()


@pytest.mark.parametrize("family", ADDED)
def test_all_that_the_first_step_reads_is_in_the_picture_or_the_question(family: str) -> None:
    """Every number is printed; or it is read from axes, counted, or in the question."""
    entry = FAMILIES[family]
    if "grid_" in family or family in READ_OR_COUNTED:
        return
    for problem in problems(family, "train", 30):
        shown = set(outlines(problem.params, family).texts)
        shown = {text.rstrip("°%") for text in shown} | set(problem.question.split())
        shown |= {str(problem.params.get("total"))}
        for path in (0, 1):
            values = entry.solve({**problem.params, "path": path}).values.split(", ")
            assert set(values) <= shown, (values, shown)


READ_OR_COUNTED = {
    "lines_meeting",
    "grouped_bars",
    "line_gap",
    "line_rise",
    "axis_mean",
    "stacked_sum",
    "histogram_below",
    "box_quartiles",
    "scatter_count",
    "scatter_corner",
}


def measured(canvas: Canvas, x: float, name: str) -> list[float]:
    """Of a column of pixels, those of a colour: from the top, in units."""
    scale = canvas.image.width / UNITS
    pixels = np.asarray(canvas.image)[:, round(x * scale)]
    return list(np.flatnonzero((pixels == canvas.color(name)).all(axis=-1)) / scale)


def on_axis(canvas: Recorder, value: int, step: int) -> float:
    """Where a value stands by the printed numbers, of which the first is at the axis."""
    places = {text: y for text, (x, y) in canvas.labels if x < LEFT}
    zero, most = (places[str(step * tick)] for tick in (0, NUM_TICKS))
    assert zero == BOTTOM
    return zero + (most - zero) * value / (step * NUM_TICKS)


@pytest.mark.parametrize("split", TRAIN_AND_OOD)
def test_bars_are_as_high_as_their_values(split: str) -> None:
    for problem in problems("axis_mean", split, 25):
        p = problem.params
        canvas = painted(Recorder, p, "axis_mean")
        width = (RIGHT - LEFT) / len(p["values"])
        for i, value in enumerate(p["values"]):
            column = measured(canvas, LEFT + width * (i + 0.5), p["color"])
            assert min(column) == pytest.approx(on_axis(canvas, value, p["step"]), abs=0.5)
            assert max(column) == pytest.approx(BOTTOM, abs=0.8)
        assert max(p["values"]) <= NUM_TICKS * p["step"]


@pytest.mark.parametrize("split", TRAIN_AND_OOD)
def test_grouped_and_stacked_bars_are_as_high_as_their_values(split: str) -> None:
    for problem in problems("grouped_bars", split, 15):
        p = problem.params
        canvas = painted(Recorder, p, "grouped_bars")
        width = (RIGHT - LEFT) / len(p["values"][0])
        wide = width * 0.8 / len(p["colors"])
        for row, (values, name) in enumerate(zip(p["values"], p["colors"], strict=True)):
            for i, value in enumerate(values):
                x = LEFT + width * (i + 0.5) + wide * (row + 0.5 - len(p["colors"]) / 2)
                column = [y for y in measured(canvas, x, name) if y > 12]
                assert min(column) == pytest.approx(on_axis(canvas, value, p["step"]), abs=0.5)
    for problem in problems("stacked_sum", split, 15):
        p = problem.params
        canvas = painted(Recorder, p, "stacked_sum")
        width = (RIGHT - LEFT) / len(p["values"])
        for i, parts in enumerate(p["values"]):
            low = 0
            for part, name in zip(parts, p["colors"], strict=True):
                column = [y for y in measured(canvas, LEFT + width * (i + 0.5), name) if y > 12]
                ends = [on_axis(canvas, value, p["step"]) for value in (low + part, low)]
                assert [min(column), max(column)] == pytest.approx(ends, abs=0.9)
                low += part


@pytest.mark.parametrize("split", TRAIN_AND_OOD)
def test_lines_and_counts_are_as_high_as_their_values(split: str) -> None:
    for problem in problems("line_gap", split, 20):
        p = problem.params
        canvas = outlines(p, "line_gap")
        # The frame is the only other line with corners; those of marks are polygons' outlines.
        frame, *drawn = [points for points in canvas.lines if len(points) in (3, 4)]
        assert frame[1] == (LEFT, BOTTOM)
        for points, values in zip(drawn, p["values"], strict=True):
            wanted = [on_axis(canvas, value, p["step"]) for value in values]
            assert [y for _, y in points] == pytest.approx(wanted)
    for problem in problems("histogram_below", split, 20):
        p = problem.params
        canvas = outlines(p, "histogram_below")
        bins = canvas.polygons[-len(p["counts"]) :]
        tops = [on_axis(canvas, count, p["step"]) for count in p["counts"]]
        assert [corners[0][1] for corners in bins] == pytest.approx(tops)
        edges = {text: x for text, (x, y) in canvas.labels if y > BOTTOM + 4}
        below = [corners[0][0] < edges[str(p["edge"])] - 1 for corners in bins]
        counts = [count for count, is_in in zip(p["counts"], below, strict=True) if is_in]
        assert sum(counts) == int(problem.solution.answer)


@pytest.mark.parametrize("split", TRAIN_AND_OOD)
def test_shares_are_as_wide_as_their_percentages(split: str) -> None:
    for problem in problems("pie_amount", split, 10):
        p = problem.params
        params = {**p, "look": {**p["look"], "outline": False}}
        pixels = np.asarray(painted(Canvas, params, "pie_amount").image)
        palette = STYLES[p["style"]].palette
        masks = [(pixels == palette[name]).all(axis=-1) for name in p["colors"]]
        columns = np.flatnonzero(np.any(masks, axis=0).any(axis=0))
        disc = math.pi * ((columns[-1] - columns[0] + 1) / 2) ** 2
        for share, mask in zip(p["shares"], masks, strict=True):
            assert 100 * mask.sum() / disc == pytest.approx(share, abs=0.6)


@pytest.mark.parametrize("split", TRAIN_AND_OOD)
def test_points_are_where_the_axes_say(split: str) -> None:
    """Read by the share of the axes, whose numbers stand where they should."""
    for family, marks in (("grid_middle", 3), ("grid_slope", 2), ("grid_distance", 2)):
        for problem in problems(family, split, 15):
            p = problem.params
            canvas = outlines(p, family)
            unit = 1 if family == "grid_distance" else p["unit"]
            top, origin, right = canvas.lines[22]
            eight = origin[1] + (top[1] - origin[1]) * 0.8
            assert canvas.texts[str(8 * unit)][1] == pytest.approx(eight)
            found = [
                [
                    round((x - origin[0]) / (right[0] - origin[0]) * 10, 3),
                    round((y - origin[1]) / (top[1] - origin[1]) * 10, 3),
                ]
                for (x, y), _ in canvas.discs[-marks:]
            ]
            assert found == (p["points"] if "points" in p else [p["a"], p["b"]])


def test_points_can_be_counted_in_the_picture() -> None:
    for problem in problems("scatter_count", "train", 15):
        p = problem.params
        canvas = painted(Canvas, p, "scatter_count", size=448)
        pixels = np.asarray(canvas.image)
        name = "blue" if p["color"] == "red" else p["color"]
        shown = (pixels == STYLES["plain"].palette[name]).all(axis=-1)
        rows = np.flatnonzero((pixels[:, 820] == STYLES["plain"].palette["red"]).all(axis=-1))
        assert blobs(shown[: rows[0]]) - blobs(shown[rows[-1] :]) == int(problem.solution.answer)


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
