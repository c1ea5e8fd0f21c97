"""Which tokens are numbers, what is measured of a model, and what is said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.checking.advice import Measured, advice
from mmdft.checking.check import check
from mmdft.checking.numbers import number_spans, number_tokens
from mmdft.checking.preflight import measured, numbers_of, part_mean
from mmdft.config import RunConfig
from mmdft.data.dataset import RenderedDataset, load_examples
from mmdft.data.segments import SEGMENTS
from mmdft.data.vision import pixel_budget
from mmdft.diagnostics import token_probabilities
from mmdft.model import load_model, load_processor
from mmdft.records import Rendered

TinyDir = Callable[[str], Path]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("x = -3.5, so 1,000/2", ["-3.5", "1,000", "2"]),
        ("3-5", ["3", "5"]),
        ("3 - 5", ["3", "5"]),
        ("(-5)", ["-5"]),
        ("f(x)-5", ["5"]),
        ("is 5.", ["5"]),
        (".5 and 1.2.3", [".5", "1.2.3"]),
        ("x1 10cm", ["1", "10"]),
        ("\u22127", ["\u22127"]),
        ("\u0663", ["\u0663"]),
        ("seven \u00b2", []),
    ],
)
def test_numbers_of_a_text(text: str, numbers: list[str]) -> None:
    assert [text[start:end] for start, end in number_spans(text)] == numbers


@given(st.text(alphabet="0123456789.,-+ xé\u0663)/=", max_size=40))
def test_each_digit_is_in_one_number(text: str) -> None:
    spans = number_spans(text)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    inside = {place for start, end in spans for place in range(start, end)}
    assert {place for place, sign in enumerate(text) if sign.isdecimal()} <= inside
    for start, end in spans:
        assert text[end - 1].isdecimal()
        assert all(sign.isdecimal() or sign in ".,+-" for sign in text[start:end])
        assert not any(sign in "+-" for sign in text[start + 1 : end])


@given(
    st.text(alphabet="019.,- x", max_size=30),
    st.lists(st.integers(min_value=0, max_value=4), max_size=30),
)
def test_a_token_is_a_number_if_they_share_a_character(text: str, sizes: list[int]) -> None:
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    pieces.append(text)
    inside = {p for start, end in number_spans("".join(pieces)) for p in range(start, end)}
    start, expected = 0, []
    for piece in pieces:
        expected.append(any(place in inside for place in range(start, start + len(piece))))
        start += len(piece)
    assert number_tokens(pieces) == expected


def test_a_number_may_go_over_tokens() -> None:
    assert number_tokens(["is ", "-", "1", ".", "", "5", " cm", "."]) == [
        *(False, True, True, True, False, True, False, False)
    ]


def write_config(model: Path, folder: Path, **sections: Any) -> RunConfig:
    path = folder / "rows.jsonl"
    rows = [
        {"question": "How far?", "reasoning": "3 + 4 = 7 cm.", "answer": "7"},
        {"question": "Why?", "response": "Since it is."},
        {"question": "Why?", "reasoning": "It is so.", "answer": "yes"},
    ]
    rows[1]["answer"] = "not in it"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RunConfig.model_validate(
        {
            "model": {"name": str(model), "dtype": "float32"},
            "data": {"train": [str(path)], "max_length": 256},
            "training": {"output_dir": str(folder / "run")},
            **sections,
        }
    )


def test_the_parts_are_those_of_the_model(tiny_dir: TinyDir, tmp_path: Path) -> None:
    config = write_config(tiny_dir("qwen2_5_vl"), tmp_path)
    found = check(config, with_model=True, num=8).preflight
    assert found is not None
    processor = load_processor(config.model)
    budget = pixel_budget(processor, None, None)
    loaded = load_examples(config.data.train, config.data, processor, budget)
    rows = RenderedDataset(loaded.rows, processor, budget)
    pad = processor.tokenizer.pad_token_id
    _, p = token_probabilities(load_model(config.model), rows, pad, batch_size=1)
    assert (found.examples, found.tokens) == (3, len(p))
    assert found.parts["all"].mean == pytest.approx(p.double().mean().item(), rel=1e-6)
    assert found.nll == pytest.approx(-p.double().log().mean().item(), rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(found.nll))
    assert sum(found.bins) == found.tokens
    assert {name: part.tokens for name, part in found.parts.items() if name in SEGMENTS} == {
        name: num for name, num in loaded.segments.items() if num
    }
    assert found.parts["end_of_turn"].tokens == found.parts["end_of_turn"].examples == 3
    first = rows[0]
    assert isinstance(first, Rendered)
    trained = [token for token, is_trained in zip(first.ids, first.mask, strict=True) if is_trained]
    shown = [
        processor.tokenizer.decode([token])
        for token, is_number in zip(trained, numbers_of(first, processor.tokenizer), strict=True)
        if is_number
    ]
    assert [digit for text in shown for digit in text if digit.isdecimal()] == list("3477")
    assert found.parts["numbers"].tokens == len(shown)
    assert found.parts["numbers"].examples == 1
    assert found.parts["numbers"].standard_error is None


def test_a_mean_has_the_error_of_a_ratio() -> None:
    p = [np.array([0.5, 0.7]), np.array([0.1]), np.array([0.9])]
    chosen = [np.array([True, True]), np.array([True]), np.array([False])]
    found = part_mean(p, chosen)
    assert found is not None
    mean = 1.3 / 3
    squares = (1.2 - 2 * mean) ** 2 + (0.1 - mean) ** 2
    assert (found.tokens, found.examples) == (3, 2)
    assert found.mean == pytest.approx(mean)
    assert found.standard_error == pytest.approx(math.sqrt(2 * squares) / 3)
    assert part_mean(p, [np.zeros(len(each), dtype=bool) for each in p]) is None


def test_what_is_summed_up_is_exact(tmp_path: Path) -> None:
    config = write_config(tmp_path, tmp_path)
    p = [np.array([0.005, 0.95, 0.5]), np.array([0.05])]
    names = [np.array([1, 2, 3]), np.array([1])]
    numbers = [np.array([False, True, False]), np.array([False])]
    found = measured([np.log(each) for each in p], names, numbers, config)
    assert found.parts["reasoning"].mean == pytest.approx(0.0275)
    assert found.parts["numbers"].mean == pytest.approx(0.95)
    assert "other" not in found.parts
    assert found.median == pytest.approx(0.275)
    assert (found.below_001, found.above_09) == (0.25, 0.25)
    assert found.bins == [2, 0, 0, 0, 0, 1, 0, 0, 0, 1]


CALM = Measured(
    objective="dft",
    model="tiny",
    mean=0.78,
    numbers=0.78,
    numbers_error=0.01,
    end_of_turn=0.9,
    end_of_turn_weighted=False,
    validates=False,
)


@pytest.mark.parametrize(
    ("mean", "rule"),
    [
        (0.0, "mean p, NLL won"),
        (0.02, "mean p, NLL won"),
        (0.0201, "mean p, unknown"),
        (0.4499, "mean p, unknown"),
        (0.4501, "mean p, tie"),
        (0.5499, "mean p, tie"),
        (0.5501, "mean p, unknown"),
        (0.7599, "mean p, unknown"),
        (0.76, "mean p, -p won"),
        (0.81, "mean p, -p won"),
        (0.8101, "mean p, unknown"),
        (1.0, "mean p, unknown"),
    ],
)
def test_the_continuum_is_known_at_its_published_points_alone(mean: float, rule: str) -> None:
    (said,) = advice(replace(CALM, mean=mean, numbers=None))
    assert said.rule == rule
    assert said.source == "arXiv 2510.00526"
    assert ("nothing is known" in said.found) == (rule == "mean p, unknown")
    assert f"{mean:.3f}" in said.measured


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"model": "Qwen/Qwen2.5-VL-3B-Instruct"}, "instruct model"),
        ({"end_of_turn": 0.4999}, "end of turn"),
        ({"numbers": 0.7599}, "numbers"),
        ({"validates": True}, "validation"),
    ],
)
def test_each_rule_speaks_of_its_own(changes: dict[str, Any], rule: str) -> None:
    assert [said.rule for said in advice(replace(CALM, **changes))] == ["mean p, -p won", rule]
    # Nothing of them concerns a loss that does not weigh by p.
    assert len(advice(replace(CALM, objective="sft", **changes))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"end_of_turn": 0.5},
        {"end_of_turn": None},
        {"end_of_turn": 0.1, "end_of_turn_weighted": True},
        {"numbers": 0.7601},
        {"numbers": 0.1, "numbers_error": None},
        {"numbers": None},
    ],
)
def test_a_rule_is_silent_beyond_its_bar(changes: dict[str, Any]) -> None:
    assert len(advice(replace(CALM, **changes))) == 1
