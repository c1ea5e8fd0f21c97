"""Sets beside the figures: exercises in reading, glyphs, and facts to be known by heart."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from random import Random
from string import ascii_uppercase
from typing import Any

import pytest
from figure_checks import Recorder, TightCanvas, problems
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdft.config import SourceConfig
from mmdft.data.figures import (
    FAMILIES,
    SPLITS,
    STYLES,
    facts,
    glyphs,
    write_facts,
    write_figures,
    write_glyphs,
)
from mmdft.data.figures.canvas import Canvas
from mmdft.data.figures.exercise_families import EXERCISE_FAMILIES
from mmdft.data.figures.families import ALL_FAMILIES, GROUPS
from mmdft.data.figures.generate import content_split
from mmdft.data.figures.reading import paint_numbers, paint_paper
from mmdft.data.sources import read_rows, to_example
from mmdft.errors import DataError
from mmdft.evals.rules.figures import exact
from mmdft.files import read_jsonl
from mmdft.records import Prediction


def rows_of(path: Path) -> list[Any]:
    return [row for _, row in read_jsonl(path)]


# --- reading ---


def test_the_exercises_are_drawn_only_if_asked_for(tmp_path: Path) -> None:
    assert GROUPS["exercises"] == tuple(EXERCISE_FAMILIES)
    assert not EXERCISE_FAMILIES.keys() & FAMILIES.keys()
    path = write_figures(tmp_path, num=64, split="train", size=56)
    assert not {row["category"] for row in rows_of(path)} & EXERCISE_FAMILIES.keys()
    num = len(EXERCISE_FAMILIES)
    asked = write_figures(tmp_path / "r", num=num, split="train", size=56, families=["exercises"])
    assert [row["category"] for row in rows_of(asked)] == list(EXERCISE_FAMILIES)


COMES_TO = {"reading": lambda numbers: numbers[-1], "number_sum": sum, "number_product": math.prod}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", COMES_TO)
def test_numbers_are_read_row_by_row(family: str, split: str) -> None:
    style = STYLES["shifted" if split == "ood" else "plain"]
    seen: set[int] = set()
    for problem in problems(family, split, 60):
        params, solution = problem.params, problem.solution
        canvas = TightCanvas(112, style)
        paint_numbers(canvas, params)
        watched = Recorder(28, style)
        paint_numbers(watched, params)
        # Cells of 37 units, row by row, each with one number at most.
        cells = [(int(y - 9) // 37, int(x - 10) // 37) for _, (x, y) in watched.labels]
        assert cells == sorted(set(cells))
        assert solution.values == ", ".join(text for text, _ in watched.labels)
        numbers = [int(text) for text, _ in watched.labels]
        assert numbers == params["numbers"]
        assert solution.answer == str(COMES_TO[family](numbers))
        assert solution.steps[-1].rstrip(".").split(" ")[-1] == solution.answer
        seen.add(len(numbers))
    ranges = EXERCISE_FAMILIES[family]
    assert seen == set((ranges.ood_ranges if split == "ood" else ranges.ranges)["count"])
    shifted = "number" if family == "number_product" else "count"
    assert not set(ranges.ranges[shifted]) & set(ranges.ood_ranges[shifted])


@pytest.mark.parametrize(
    "family", ["rectangle_area", "rectangle_perimeter", "triangle_perimeter", "triangle_angle"]
)
def test_a_loose_shape_is_not_to_scale_and_shares_its_split_with_those_that_are(
    family: str,
) -> None:
    key = ALL_FAMILIES[family].key
    assert ALL_FAMILIES[f"loose_{family}"].key == key
    forms: dict[str, set[str]] = {}
    for problem in problems(f"loose_{family}", "train", 400):
        params = problem.params
        # What it measures is in no other split of the figures to scale.
        assert content_split(key, params) == "train"
        assert ALL_FAMILIES[family].solve(params) == problem.solution
        label = problem.solution.values
        forms.setdefault(label, set()).add(str(params["drawn"]))
        canvas = Recorder(112, STYLES["plain"])
        ALL_FAMILIES[f"loose_{family}"].paint(canvas, params)
        shown = sorted(text.rstrip("°") for text, _ in canvas.labels if text != "?")
        assert shown == sorted(label.split(", "))
    # The same numbers in many forms: the form does not tell them.
    assert max(map(len, forms.values())) > 2


def test_ink_and_paper_are_any() -> None:
    params = [problem.params for problem in problems("reading", "train", 60)]
    assert {p["label_size"] for p in params} == {14.0, 14.5, 15.0}
    for name, low, high in (("ink", 0, 99), ("paper", 215, 255)):
        colors = [p[name] for p in params]
        own = [color for color in colors if color is None]
        assert 15 < len(own) < 45
        assert all(low <= v <= high for color in colors if color for v in color)
    canvas = Canvas(112, STYLES["plain"])
    paint_paper(canvas, {"ink": [1, 2, 3], "paper": [220, 230, 240], "label_size": 14})
    image = canvas.finish()
    assert image.getcolors() == [(112 * 112, (220, 230, 240))]
    assert canvas.style.ink == (1, 2, 3)


# --- glyphs ---


def test_glyphs_are_conversations_of_labels_and_their_texts(tmp_path: Path) -> None:
    path = write_glyphs(tmp_path, num=100, seed=1)
    rows = rows_of(path)
    labels: Counter[str] = Counter()
    for row in rows:
        assert len(row["images"]) == 8 and len(row["messages"]) == 16
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"] * 8
        assert {m["content"] for m in row["messages"][::2]} == {"<image>"}
        labels.update(message["content"] for message in row["messages"][1::2])
        for image in row["images"]:
            with Image.open(tmp_path / image) as opened:
                assert opened.size == (28, 28) and len(opened.getcolors(28 * 28)) > 1
    assert labels.keys() - {str(n) for n in range(100)} == set(ascii_uppercase + "?")
    kinds = Counter(len(text) if text.isdigit() else 0 for text in labels.elements())
    assert all(0.1 < kinds[kind] / 800 < 0.6 for kind in (0, 1, 2))
    assert len({row["id"] for row in rows}) == 100
    files = sorted(p.name for p in (tmp_path / "images").iterdir())
    assert files == sorted({image.split("/")[1] for row in rows for image in row["images"]})
    examples = [to_example(row, origin, None) for origin, row in read_rows(SourceConfig(path=path))]
    assert all(len(example.images) == 8 for example in examples)
    before = path.read_bytes()
    assert write_glyphs(tmp_path, num=100, seed=1).read_bytes() == before
    assert write_glyphs(tmp_path, num=100, seed=2).read_bytes() != before


@given(st.integers(28, 112), st.integers(1, 3), st.integers(0, 10**6))
def test_a_glyph_shows_all_of_its_label(side: int, turns: int, seed: int) -> None:
    label = "88"
    image = glyphs._glyph(label, Random(seed), side)
    assert image.size == (side, side)
    paper = image.getpixel((0, 0))
    edge = [(i, j) for i in range(side) for j in (0, side - 1)]
    assert {image.getpixel(at) for i, j in edge for at in ((i, j), (j, i))} == {paper}


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        ({"side": 27}, "side must be from 28 to 112"),
        ({"side": 113}, "side must be from 28 to 112"),
        ({"num": 0}, "1 or more, got 0 and 8"),
        ({"turns": 0}, "1 or more, got 1 and 0"),
    ],
)
def test_write_glyphs_refuses_bad_arguments(
    tmp_path: Path, arguments: dict[str, int], mend: str
) -> None:
    with pytest.raises(DataError, match=mend):
        write_glyphs(tmp_path / "out", **{"num": 1, **arguments})
    assert not (tmp_path / "out").exists()


# --- facts ---


def test_facts_are_the_same_in_all_splits_and_drawn_otherwise(tmp_path: Path) -> None:
    path = write_facts(tmp_path, num_facts=12, num=100, num_test=30, seed=4, size=56)
    assert path == tmp_path / "train.jsonl"
    known = dict(facts.facts(12, 4))
    assert len(known) == 12 and all(10 <= value <= 99 for value in known.values())
    drawn: dict[str, set[str]] = {}
    asked: dict[str, set[str]] = {}
    for split in SPLITS:
        rows = rows_of(tmp_path / f"{split}.jsonl")
        assert len(rows) == (100 if split == "train" else 30)
        times = Counter(row["meta"]["params"]["symbol"] for row in rows)
        assert times.keys() == known.keys() and max(times.values()) - min(times.values()) == 1
        for row in rows:
            params = row["meta"]["params"]
            value = str(known[params["symbol"]])
            assert row["answer"] == value
            assert row["reasoning"] == f"Values: {params['symbol']}. The value is {value}."
            wanted = "test" if split == "ood" else split
            assert content_split(("symbol", "place"), params) == wanted
            assert row["category"] == "facts" and row["meta"]["split"] == split
        drawn[split] = {json.dumps(row["meta"]["params"], sort_keys=True) for row in rows}
        asked[split] = {row["question"] for row in rows}
        assert len({row["images"][0] for row in rows}) == len(rows)
    for one, other in (("train", "validation"), ("train", "test"), ("train", "ood")):
        assert not drawn[one] & drawn[other]
    assert asked["train"] == asked["test"] == asked["validation"]
    assert not asked["train"] & asked["ood"]


def test_facts_can_be_scored_and_are_known_by_heart_alone(tmp_path: Path) -> None:
    path = write_facts(tmp_path, num_facts=40, num=40, num_test=40, size=56)
    read = [to_example(row, origin, None) for origin, row in read_rows(SourceConfig(path=path))]
    for example, row in zip(read, rows_of(path), strict=True):
        right = exact(example, Prediction(id=example.id, response=row["reasoning"]))
        other = str(int(row["answer"]) + 1)
        wrong = exact(example, Prediction(id=example.id, response=f"The value is {other}."))
        assert (right.status, wrong.status) == ("correct", "wrong")
    # Another seed has other values for the same symbols.
    tables = [dict(facts.facts(676, seed)) for seed in (0, 1)]
    assert tables[0].keys() == tables[1].keys()
    same = sum(tables[0][symbol] == tables[1][symbol] for symbol in tables[0])
    assert same < 30


def test_symbols_stand_inside_of_the_picture() -> None:
    corners: list[Any] = []
    for index, (symbol, _) in enumerate(facts.facts(676, 3)):
        canvas = TightCanvas(112, STYLES["plain"])
        params = facts._drawing(symbol, Random(index), "train")
        paint_paper(canvas, params)
        canvas.text(params["place"], symbol)
        corners.append(params["place"])
    xs, ys = zip(*corners, strict=True)
    assert max(xs) - min(xs) > 70 and max(ys) - min(ys) > 80


def test_the_same_facts_again_and_a_failure_keeps_the_training_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"num_facts": 3, "num": 6, "num_test": 3, "size": 56}
    path = write_facts(tmp_path, **options)
    before = path.read_bytes()
    assert write_facts(tmp_path, **options).read_bytes() == before

    def failing(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(facts, "store_png", failing)
    with pytest.raises(DataError, match="No space left"):
        write_facts(tmp_path, **options, seed=1)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        ({"num_facts": 0}, "num_facts must be from 1 to 676, got 0"),
        ({"num_facts": 677, "num": 700}, "num_facts must be from 1 to 676, got 677"),
        ({"num": 2}, "num must be 3 or more, once each fact, got 2"),
        ({"num_test": 0}, "num_test must be 1 or more"),
        ({"size": 20}, "from 56 to 1024"),
    ],
)
def test_write_facts_refuses_bad_arguments(
    tmp_path: Path, arguments: dict[str, int], mend: str
) -> None:
    with pytest.raises(DataError, match=mend):
        write_facts(tmp_path / "out", **{"num_facts": 3, "num": 3, **arguments})
    assert not (tmp_path / "out").exists()
