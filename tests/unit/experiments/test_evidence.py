"""The overview of several experiments."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from experiment_results import complete_results, sparse_results, spread

from mmdft.errors import DataError
from mmdft.experiments.evidence import advice_sentence, role_spread, write_evidence
from mmdft.experiments.schema import BASE, check_results
from mmdft.files import write_json

SCRIPT = Path(__file__).parents[3] / "eval/experiments.py"


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    return complete_results(tmp_path)


def test_the_overview_has_every_variant(results: dict[str, Any], tmp_path: Path) -> None:
    results["variants"]["dft"]["results"]["look"]["greedy"] = spread(0.604)
    for name, each in (("noisy", results), ("short", sparse_results())):
        write_json(tmp_path / name / "results.json", each)
    out = write_evidence([tmp_path / "noisy", tmp_path / "short"], tmp_path / "evidence.md")
    lines = out.read_text(encoding="utf-8").splitlines()
    for line in (
        "| experiment | model | in distribution | out of distribution | forgetting |",
        "| noisy | Base | 81.0 | 56.0 | 70.0 |",
        # Of the two benchmarks out of distribution DFT is ahead on one.
        "| noisy | SFT (lr 3e-4) | 89.9 (87.9 to 91.9) | 57.5 (55.5 to 59.5) "
        "| 50.0 (48.0 to 52.0) |",
        "| noisy | DFT (lr 3e-4) | 94.8 (92.8 to 96.8) ▲ 1 of 1 | 60.7 (58.7 to 62.7) ▲ 1 of 2 "
        "| 60.0 (58.0 to 62.0) ▲ 1 of 1 |",
        "| short | SFT (lr 3e-4) | 70.0 | – | – |",
        "| noisy | 0.780 | 4.8 | DFT | DFT | DFT | yes |",
        "mmdft experiment configs/experiments/noisy.yaml",
        "Not finished: short.",
    ):
        assert line in lines


def test_the_script_gathers_the_results_under_their_names(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, each in (("first", results), ("second", {**results, "name": "again"})):
        write_json(tmp_path / name / "results.json", each)
        (tmp_path / name / "results.md").write_text(f"# {name}\n", encoding="utf-8")
    out = tmp_path / "evidence"
    folders = [str(tmp_path / name) for name in ("first", "second")]
    monkeypatch.setattr(sys, "argv", ["experiments.py", *folders, "--out", str(out)])
    runpy.run_path(str(SCRIPT))["main"]()
    names = ["again.json", "again.md", "noisy.json", "noisy.md", "overview.md"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert (out / "again.md").read_text(encoding="utf-8") == "# second\n"
    assert (out / "noisy.json").read_bytes() == (tmp_path / "first/results.json").read_bytes()
    # What is no experiment's costs nothing of what is there.
    (tmp_path / "first/results.json").write_text("{}", encoding="utf-8")
    before = (out / "overview.md").read_bytes()
    with pytest.raises(DataError):
        runpy.run_path(str(SCRIPT))["main"]()
    assert (out / "overview.md").read_bytes() == before


def test_a_role_is_averaged_seed_by_seed(results: dict[str, Any]) -> None:
    by_label = results["variants"]["sft"]["results"]
    by_label["values"]["greedy"]["values"] = [0.5, 0.6, 0.5, 0.6, 0.5]
    by_label["look"]["greedy"]["values"] = [0.6, 0.5, 0.6, 0.5, 0.6]
    found = role_spread(check_results(results), "sft", "out_of_distribution")
    assert found is not None
    # What one benchmark gains with a seed the other loses: the mean does not vary.
    assert [round(value, 9) for value in (found.mean, found.low, found.high)] == [0.55] * 3  # type: ignore[arg-type]
    base = role_spread(check_results(results), BASE, "out_of_distribution")
    assert base is not None and base.low is None


def test_a_role_with_a_hole_has_no_mean(results: dict[str, Any]) -> None:
    results["variants"]["sft"]["results"]["look"]["greedy"] = None
    assert role_spread(check_results(results), "sft", "out_of_distribution") is None
    assert role_spread(check_results(results), "sft", "in_distribution") is not None


def test_the_advice_is_counted(tmp_path: Path) -> None:
    every = []
    cases = [
        ("dft", "dft", True),
        ("dft", "sft", False),
        ("dft", None, None),
        (None, "sft", None),
        ("tie", None, True),
    ]
    for says, better, agrees in cases:
        results = complete_results(tmp_path)
        tie = says == "tie"
        suggests = None if tie else says
        results["advice"].update(suggests=suggests, expects_tie=tie, better=better, agrees=agrees)
        every.append(check_results(results))
    assert advice_sentence([*every, check_results(sparse_results())]) == (
        "Of 5 experiments the preflight suggests an objective in 3 and expects a tie in 1; an "
        "objective is clearly better in distribution in 3. It is right in 2 and wrong in 1; in 2 "
        "it cannot be checked."
    )


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone/results\.json"):
        write_evidence([tmp_path / "gone"], tmp_path / "evidence.md")
