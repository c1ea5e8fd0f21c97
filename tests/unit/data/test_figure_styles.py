"""Chains in other words, and sets that differ from training in one thing alone."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from figure_checks import TightCanvas, painted
from hypothesis import given
from hypothesis import strategies as st

from mmdft.data.figures import (
    ALL_FAMILIES,
    BASIC_FAMILIES,
    SHIFTS,
    SPLITS,
    STYLES,
    draw,
    write_figures,
)
from mmdft.data.figures.demonstrations import NOISE_KINDS, Place, demonstration
from mmdft.data.figures.figure import Solution
from mmdft.data.figures.generate import content_split, pose
from mmdft.data.figures.questions import OOD_QUESTIONS, QUESTIONS
from mmdft.data.figures.wordy import TELLINGS, is_wordy, wordy
from mmdft.errors import DataError
from mmdft.files import read_jsonl

SOME = [
    shift
    for num in range(1, len(SHIFTS) + 1)
    for shift in combinations(SHIFTS, num)
    if shift != SHIFTS
]


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+", text))


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def rows_of(path: Path) -> list[Any]:
    return [row for _, row in read_jsonl(path)]


# --- words ---


@pytest.mark.parametrize(
    ("values", "steps", "answer", "told"),
    [
        (
            "6, 10, 10",
            ("6 + 10 = 16.", "16 + 10 = 26."),
            "26",
            "To begin with, adding 10 to 6 gives us 16. After that, adding 10 to 16 gives us 26. "
            "So the result that we find is 26.",
        ),
        (
            "10, 6",
            ("10 x 6 = 60.", "60 / 2 = 30."),
            "30",
            "To begin with, multiplying 6 and 10 gives us 60. After that, dividing 60 by 2 gives "
            "us 30. So the result that we find is 30.",
        ),
        (
            "9, 12, 7",
            ("The first is 9, the last is 7.", "9 - 7 = 2."),
            "2",
            "To begin with, we see 7 at the end and 9 at the start. After that, taking 7 from 9 "
            "leaves us 2. So the result that we find is 2.",
        ),
        (
            "purple 6, red 3",
            ("6 is the most.", "The bar is purple."),
            "purple",
            "To begin with, the largest number that we see is 6. After that, we see that it is the "
            "purple bar. So the result that we find is purple.",
        ),
        ("8 sides", (), "8", "So the result that we find is 8."),
        (
            "red 5",
            ("The red bar is 5.",),
            "5",
            "To begin with, we see 5 at the red bar. So the result that we find is 5.",
        ),
    ],
)
def test_chains_in_other_words(values: str, steps: tuple[str, ...], answer: str, told: str) -> None:
    solution = Solution(values=values, steps=steps, answer=answer)
    assert wordy(solution) == f"Values: {values}. {told}"
    assert TELLINGS["wordy"](solution) == wordy(solution)
    assert TELLINGS["plain"](solution) == solution.reasoning


def test_a_step_without_other_words_is_no_chain() -> None:
    with pytest.raises(ValueError, match="no wordy telling of the step 'It is 3"):
        wordy(Solution(values="3", steps=("It is 3.",), answer="3"))


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_both_styles_have_the_same_numbers_and_are_told_apart(family: str) -> None:
    for split in SPLITS:
        for index in range(15):
            solution = pose(family, seed=1, index=index, split=split).solution
            plain, told = solution.reasoning, wordy(solution)
            opening = f"Values: {solution.values}."
            assert plain.startswith(opening) and told.startswith(f"{opening} ")
            assert numbers(told) == numbers(plain)
            assert told.rstrip(".").split(" ")[-1] == solution.answer
            assert is_wordy(told) and not is_wordy(plain)
            # Also of a reply that was cut after its first sentence of reasoning.
            assert is_wordy(". ".join(told.split(". ")[:2]))


def test_wordy_chains_are_longer_and_of_few_words() -> None:
    plain, told, words = [], [], set()
    for family in ALL_FAMILIES:
        for index in range(10):
            solution = pose(family, seed=1, index=index).solution
            plain += tokens(solution.reasoning)
            told += tokens(wordy(solution))
            words |= set(re.findall(r"[A-Za-z]{2,}", wordy(solution)))
    assert 1.5 < len(told) / len(plain) < 2.1
    assert len(words) < 55 and all(len(word) < 12 for word in words)


def test_questions_are_in_neither_style() -> None:
    for table in (QUESTIONS, OOD_QUESTIONS):
        assert not any(is_wordy(question) for asked in table.values() for question in asked)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from("+-x/"))
def test_every_equation_has_words(a: int, b: int, sign: str) -> None:
    result = {"+": a + b, "-": a - b, "x": a * b, "/": a // b}[sign]
    if result < 0:
        return
    step = f"{a} {sign} {b} = {result}."
    told = wordy(Solution(values=f"{a}, {b}", steps=(step,), answer=str(result)))
    named = re.findall(r"\d+", told.split("To begin with, ")[1])
    assert sorted(named[:2]) == sorted([str(a), str(b)]) and named[2:] == [str(result)] * 2


def test_style_changes_the_reasoning_alone(tmp_path: Path) -> None:
    options: dict[str, Any] = {"num": 44, "split": "train", "families": ["basic"], "size": 56}
    options |= {"noise": 0.4, "choices": 0.5, "noise_kind": "wrong_step"}
    plain = rows_of(write_figures(tmp_path / "plain", **options))
    told = rows_of(write_figures(tmp_path / "wordy", **options, style="wordy"))
    assert len(plain) == len(told) == 44 and any("noisy" in row["meta"] for row in plain)
    for one, other in zip(plain, told, strict=True):
        assert is_wordy(other.pop("reasoning")) and not is_wordy(one.pop("reasoning"))
        assert one == other
        image = (tmp_path / "plain" / one["images"][0]).read_bytes()
        assert image == (tmp_path / "wordy" / other["images"][0]).read_bytes()
    figure = draw("bar_sum", seed=0, index=3, size=56, style="wordy")
    assert figure.reasoning == wordy(pose("bar_sum", seed=0, index=3).solution)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_what_is_wrong_is_wrong_in_both_styles(kind: str) -> None:
    num = 0
    for family in ALL_FAMILIES:
        for index in range(4):
            place = Place(family=family, split="train", seed=2, index=index)
            options: dict[str, Any] = {"noise": 0.8, "noise_kind": kind, "choices": 0.0}
            one = demonstration(place, **options)
            other = demonstration(place, **options, style="wordy")
            told, plain = other.pop("reasoning"), one.pop("reasoning")
            assert one == other
            # The answer that the row has is what the chain ends with, right or wrong.
            assert told.endswith(f"So the result that we find is {one['answer']}.")
            assert numbers(told) == numbers(f"{plain} {one['answer']}")
            num += one["meta"].get("noisy", False)
    assert num > 150


# --- shifts ---


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("shift", SOME)
def test_a_partial_shift_shifts_what_it_names_and_nothing_else(
    family: str, shift: tuple[str, ...]
) -> None:
    entry = ALL_FAMILIES[family]
    for index in range(3):
        test, ood = (pose(family, seed=5, index=index, split=s) for s in ("test", "ood"))
        shifted = pose(family, seed=5, index=index, split="ood", shift=shift)
        content = ood if "values" in shift else test
        style = "shifted" if "look" in shift else "plain"
        assert shifted.params == {**content.params, "style": style}
        assert shifted.solution == content.solution
        asked = (OOD_QUESTIONS if "wording" in shift else QUESTIONS)[family]
        assert shifted.question in {question.format(**shifted.params) for question in asked}
        if shift == ("look",):
            assert shifted.question == test.question
        if "values" not in shift:
            assert content_split(entry.key, shifted.params) == "test"


def test_the_full_shift_is_what_it_was() -> None:
    for family in ("bar_max", "crossing_chords", "reading"):
        for index in range(4):
            whole = pose(family, seed=0, index=index, split="ood", shift=("look", *SHIFTS[:2]))
            assert whole == pose(family, seed=0, index=index, split="ood")


@pytest.mark.parametrize("shift", [("values",), ("look",)])
def test_labels_touch_nothing_in_a_partial_shift(shift: tuple[str, ...]) -> None:
    for family in ALL_FAMILIES:
        # Of a narrow triangle the labels are widest.
        for index in range(150 if family == "triangle_perimeter" else 8):
            params = pose(family, seed=6, index=index, split="ood", shift=shift).params
            if "look" in params:
                painted(TightCanvas, params, family).check_border()
            else:
                canvas = TightCanvas(112, STYLES[params["style"]])
                ALL_FAMILIES[family].paint(canvas, params)
                canvas.check_border()


def test_a_set_of_other_looks_is_the_test_set_drawn_anew(tmp_path: Path) -> None:
    options: dict[str, Any] = {"num": 22, "families": ["basic"], "seed": 3, "size": 56}
    test = rows_of(write_figures(tmp_path / "test", split="test", **options))
    look = rows_of(write_figures(tmp_path / "look", split="ood", shift=["look"], **options))
    assert [row["category"] for row in test] == list(BASIC_FAMILIES)
    for one, other in zip(test, look, strict=True):
        assert other["id"] == one["id"].replace("-test-", "-ood-")
        for name in ("question", "reasoning", "answer"):
            assert one[name] == other[name]
        assert other["meta"]["shift"] == ["look"] and "shift" not in one["meta"]
        assert other["meta"]["params"] == {**one["meta"]["params"], "style": "shifted"}
        images = [(tmp_path / name / row["images"][0]).read_bytes() for name, row in
                  (("test", one), ("look", other))]  # fmt: skip
        assert images[0] != images[1]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_other_splits_are_shifted_without_a_change_of_content(split: str) -> None:
    for family in ("bar_sum", "triangle_angle", "reading"):
        for index in range(4):
            plain = pose(family, seed=5, index=index, split=split)
            look = pose(family, seed=5, index=index, split=split, shift=["look"])
            worded = pose(family, seed=5, index=index, split=split, shift=["wording"])
            assert look == replace(plain, params={**plain.params, "style": "shifted"})
            assert worded == replace(plain, question=worded.question)
            asked = {text.format(**plain.params) for text in OOD_QUESTIONS[family]}
            assert worded.question in asked


def test_noise_in_a_partial_shift_is_of_that_set() -> None:
    place = Place(family="bar_sum", split="ood", seed=0, index=0, shift=("look",))
    row = demonstration(place, noise=0.999, noise_kind="mismatch", choices=0.0)
    values = {int(n) for n in re.findall(r"\d+", row["reasoning"].split(".")[0])}
    # Training's bars are at most 12 high, those of shifted values at least 15.
    assert row["meta"]["noisy"] and max(values) <= 12


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        ({"shift": ["lok"]}, "unknown shift 'lok'; did you mean 'look'"),
        ({"shift": []}, "shift names nothing; leave it out, or name one of values"),
        ({"shift": ["values"], "split": "test"}, "in split ood alone, and split is test"),
        ({"style": "wordi"}, "unknown style 'wordi'; did you mean 'wordy'"),
    ],
)
def test_bad_styles_and_shifts_are_refused(
    tmp_path: Path, arguments: dict[str, Any], mend: str
) -> None:
    with pytest.raises(DataError, match=mend):
        write_figures(tmp_path / "out", **{"num": 1, "split": "ood", **arguments})
    with pytest.raises(DataError, match=mend):
        draw("bar_sum", **{"seed": 0, "index": 0, "split": "ood", **arguments})
    assert not (tmp_path / "out").exists()
