"""`results.md`: every number, and nothing where there is none."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from experiment_results import complete_results, sparse_results

from mmdft.experiments.markdown import experiment_markdown
from mmdft.experiments.schema import Also


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    return complete_results(tmp_path)


def test_every_table_has_its_numbers(results: dict[str, Any]) -> None:
    lines = experiment_markdown(results).splitlines()
    for line in (
        "# 30 % wrong demonstrations",
        "| Role | Benchmark | Base | SFT (lr 3e-4) | DFT (lr 3e-4) |",
        "| --- | --- | ---: | ---: | ---: |",
        "| In distribution | test (Fresh figures, n = 400) | 81.0; avg@4 62.0 "
        "| 89.9 (87.9 to 91.9); avg@4 62.8 (60.8 to 64.8) "
        "| 94.8 ▲ (92.8 to 96.8); avg@4 90.6 ▲ (88.6 to 92.6) |",
        "| Out of distribution | look (Another look, n = 200) | 62.0 | 60.0 (58.0 to 62.0) "
        "| 60.5 (58.5 to 62.5) |",
        "| DFT − SFT | test (greedy) | +4.9 | +2.9 to +6.9 | 0.0004 | 0.0060 | higher |",
        "| DFT − SFT | look (greedy) | +0.5 | −1.5 to +2.5 | 0.31 | 0.93 | unclear |",
        "| SFT − Base | others (greedy) | −20.0 | −22.0 to −18.0 | 0.0004 | 0.0060 | lower |",
        "| test | 3e-4 | 89.9 ✓ (87.9 to 91.9) | 94.8 ✓ (92.8 to 96.8) |",
        "| test | 1e-3 | 59.9 (57.9 to 61.9) | 89.8 (87.8 to 91.8) |",
        "| test | temperature 0.7 | 71.0 | 77.9 (75.9 to 79.9) | 92.8 (90.8 to 94.8) |",
        "| test | early stop, greedy | – | 90.4 (88.4 to 92.4) | 95.3 (93.3 to 97.3) |",
        "| test | no clipping, greedy | – | 87.9 (85.9 to 89.9) | 92.8 (90.8 to 94.8) |",
        "| Stopped by itself, % | values | 98.0 | 97.0 (95.0 to 99.0) | 97.0 (95.0 to 99.0) |",
        "| DFT | 0.620 | 7.25 | 5,240 |",
        "mmdft experiment configs/experiments/noisy.yaml",
        "| parameters | 3,070,000 |",
        "| DFT | objective.name=dft, learning rate 3e-4 |",
        "| time, grid | 14 min 03 s |",
    ):
        assert line in lines
    # Roles in their order, the benchmarks of choosing last.
    main = [line.split(" | ")[1].split(" ")[0] for line in lines if line.endswith(" |")][2:7]
    assert main == ["test", "values", "look", "others", "validation"]


def test_with_one_learning_rate_none_is_chosen(results: dict[str, Any]) -> None:
    heading = "| Validation (learning rates are chosen here) | validation "
    assert heading in experiment_markdown(results)
    for variant in results["variants"].values():
        (chosen,) = (rate for rate in variant["learning_rates"] if float(rate) == variant["best"])
        variant["learning_rates"] = {chosen: variant["learning_rates"][chosen]}
    text = experiment_markdown(results)
    assert heading not in text and "| Validation | validation " in text


def test_tables_are_whole(results: dict[str, Any]) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", experiment_markdown(results), re.MULTILINE)
    assert len(tables) == 8
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)


def test_style_is_shown_where_it_was_measured(results: dict[str, Any]) -> None:
    assert "style" not in experiment_markdown(results)
    behaviour = results["variants"]["sft"]["results"]["test"]["behaviour"]
    behaviour["adopts_style"] = {"mean": 0.9, "low": None, "high": None, "values": [0.9]}
    line = "| Adopted the demonstrations' style, % | test | – | 90.0 | – |"
    assert line in experiment_markdown(results).splitlines()


def test_what_is_missing_is_left_out_and_never_zero() -> None:
    text = experiment_markdown(sparse_results())
    assert "**Not finished: some of the runs failed or are still to come.**" in text
    assert re.findall("^## (.*)", text, re.MULTILINE) == ["Results", "Setting"]
    row = "| In distribution | test (Fresh figures, n = 50) | 50.0 | 70.0 |"
    assert row in text.splitlines()
    assert "0.0 " not in text.replace("50.0", "").replace("70.0", "")


def test_a_benchmark_that_was_not_reached_is_a_dash(results: dict[str, Any]) -> None:
    del results["variants"]["dft"]["results"]["look"]
    del results["base"]["look"]
    row = "| Out of distribution | look (Another look, n = 200) | – | 60.0 (58.0 to 62.0) | – |"
    assert row in experiment_markdown(results).splitlines()


def test_text_is_taken_as_text(results: dict[str, Any]) -> None:
    results["variants"]["dft"]["title"] = "D|F\nT <b>*"
    assert r"D\|F T \<b>\*" in experiment_markdown(results)


def test_another_experiment_comes_before_the_setting(results: dict[str, Any]) -> None:
    other = copy.deepcopy(results)
    other["base"]["test"]["greedy"] = 0.123
    also = Also(title="Facts *", results=other, link="facts/report.html")
    lines = experiment_markdown(results, lead=["First.", "Second."], also=also).splitlines()
    assert lines[2:4] == ["- First.", "- Second."]
    place = lines.index(r"## Facts \*")
    after = lines[place : lines.index("## Setting")]
    assert after[2].startswith("- In distribution (test), DFT is better than SFT")
    assert sum("12.3; avg@4 62.0" in line for line in after) == 1
    assert "More on [its own page](facts/report.html)." in after
    assert not any("12.3; avg@4 62.0" in line for line in lines[:place])
