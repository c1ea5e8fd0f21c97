"""What the findings say, whichever way the tests came out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from experiment_results import complete_results, sparse_results, spread, variant

from mmdft.errors import DataError
from mmdft.experiments.findings import advice_text, caveats, findings
from mmdft.experiments.schema import check_results
from mmdft.experiments.tables import rate_text


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    return complete_results(tmp_path)


def find(results: dict[str, Any], label: str, measure: str, a: str, b: str) -> dict[str, Any]:
    """One of the tests, to be changed in place."""
    (found,) = (
        test
        for test in results["tests"]
        if (test["benchmark"], test["measure"], test["a"], test["b"]) == (label, measure, a, b)
    )
    return found


def said(results: dict[str, Any]) -> list[str]:
    return findings(check_results(results))


def test_all_that_was_measured_is_said(results: dict[str, Any]) -> None:
    assert said(results) == [
        "In distribution (test), DFT is better than SFT: 94.8 % against 89.9 %, +4.9 points (95 % "
        "interval +2.9 to +6.9, corrected p = 0.0060).",
        "SFT and DFT are better than the base on test (81.0 %). SFT and DFT are worse than the "
        "base on others (70.0 %).",
        "Sampled (avg@4 at temperature 1) on test, DFT is better than SFT: 90.6 % against 62.8 %, "
        "+27.8 points (95 % interval +25.8 to +29.8, corrected p = 0.0060). In the controls DFT "
        "minus SFT is, in points and not tested, +5.9 at temperature 0.3, +14.9 at temperature "
        "0.7, +4.9 with an early stop and +4.9 without clipping.",
        "Out of distribution, DFT against SFT: better on values (+6.0); not clearly different on "
        "look (+0.5). In what was not trained on, DFT against SFT: better on others (+10.0).",
    ]


def test_the_other_way_round(results: dict[str, Any]) -> None:
    test = find(results, "test", "greedy", "dft", "sft")
    test.update(difference=-0.031, low=-0.05, high=-0.012)
    results["variants"]["dft"]["results"]["test"]["greedy"] = spread(0.868)
    find(results, "test", "greedy", "sft", "base").update(difference=-0.1)
    find(results, "test", "greedy", "dft", "base").update(p_corrected=0.2)
    first, base, *_ = said(results)
    assert first == (
        "In distribution (test), DFT is worse than SFT: 86.8 % against 89.9 %, −3.1 points (95 % "
        "interval −5.0 to −1.2, corrected p = 0.0060)."
    )
    assert base.startswith(
        "SFT is worse than the base on test (81.0 %); DFT is not clearly different from the base "
        "on test (81.0 %). "
    )


def test_the_corrected_p_decides(results: dict[str, Any]) -> None:
    test = find(results, "test", "greedy", "dft", "sft")
    test.update(p_value=0.01, p_corrected=0.05)
    assert said(results)[0].startswith(
        "In distribution (test), there is no clear difference between DFT and SFT: 94.8 % against "
    )
    test["p_corrected"] = 0.0499
    assert said(results)[0].startswith("In distribution (test), DFT is better than SFT: ")


def test_without_a_test_nothing_is_called_better(results: dict[str, Any]) -> None:
    results["tests"] = []
    first, sampled = said(results)
    assert first == (
        "In distribution (test), DFT and SFT: 94.8 % against 89.9 %, +4.9 points, not tested."
    )
    assert "better" not in sampled


def test_many_variants(results: dict[str, Any]) -> None:
    others = {"power": (0.85, -0.05, 0.001), "eaft": (0.902, 0.003, 0.8)}
    for name, (rate, difference, p) in others.items():
        results["variants"][name] = copy.deepcopy(variant("dft")) | {"title": name}
        results["variants"][name]["results"]["test"]["greedy"] = spread(rate)
        test = find(results, "test", "greedy", "dft", "sft")
        results["tests"].append(test | {"a": name, "difference": difference, "p_corrected": p})
    first, _, sampled, *_ = said(results)
    assert first == (
        "In distribution (test), SFT answers 89.9 % correctly. DFT 94.8 % is better than SFT; "
        "power 85.0 % is worse than SFT; eaft 90.2 % is not clearly different from SFT."
    )
    assert "power 90.6 % and eaft 90.6 % are not tested against SFT" in sampled


def test_one_variant_and_one_seed() -> None:
    results = sparse_results()
    assert said(results) == [
        "In distribution (test), SFT answers 70.0 % correctly, the base 50.0 %."
    ]
    assert caveats(check_results(results)) == [
        "One seed: there are no intervals over seeds, and there are no tests, so nothing is clear."
    ]
    results["tests"] = [
        {"benchmark": "test", "measure": "greedy", "a": "sft", "b": "base", "difference": 0.2}
        | {"low": 0.1, "high": 0.3, "p_value": 0.01, "p_corrected": 0.01, "test": "over items"}
    ]
    assert said(results)[1] == "SFT is better than the base on test (50.0 %)."
    assert caveats(check_results(results)) == [
        "One seed: there are no intervals over seeds, and the tests are over items alone and say "
        "nothing of other seeds."
    ]


def test_a_single_rate_is_nobodys_choice(results: dict[str, Any]) -> None:
    assert "each variant at its own best learning rate" in caveats(check_results(results))[0]
    for each in results["variants"].values():
        each["learning_rates"] = {"0.0003": each["learning_rates"]["0.0003"]}
    assert caveats(check_results(results)) == [
        "Means over 5 seeds, all variants at one and the same learning rate. They hold for this "
        "base and these demonstrations; for yours, run it on yours."
    ]


@pytest.mark.parametrize(("best", "end"), [(0.0001, "lowest"), (0.001, "highest")])
def test_a_best_rate_at_the_end_of_the_grid_is_told(
    results: dict[str, Any], best: float, end: str
) -> None:
    assert len(caveats(check_results(results))) == 1
    results["variants"]["sft"]["best"] = best
    assert caveats(check_results(results))[1:] == [
        f"SFT's chosen learning rate is the {end} that was tried; a better one may lie beyond it."
    ]


@pytest.mark.parametrize(
    ("suggests", "better", "agrees", "end"),
    [
        ("dft", "dft", True, "It suggests DFT. In distribution DFT is clearly better. The advice "
         "was right."),
        ("dft", "sft", False, "In distribution SFT is clearly better. The advice was wrong."),
        ("dft", None, None, "none is clearly better. So the advice cannot be checked here."),
        (None, "sft", None, "It suggests no objective. In distribution SFT is clearly better. So "
         "the advice cannot be checked here."),
    ],
)  # fmt: skip
def test_the_advice(
    results: dict[str, Any],
    suggests: str | None,
    better: str | None,
    agrees: bool | None,
    end: str,
) -> None:
    results["advice"].update(suggests=suggests, better=better, agrees=agrees)
    it = check_results(results)
    assert it.advice is not None
    text = advice_text(it.advice, it)
    assert text.endswith(end)
    assert "a mean probability of 0.780" in text


def test_advice_of_a_tie(results: dict[str, Any]) -> None:
    results["advice"].update(suggests=None, expects_tie=True, better=None, agrees=True)
    it = check_results(results)
    assert it.advice is not None
    assert advice_text(it.advice, it).endswith(
        "It expects a tie. In distribution none is clearly better. The advice was right."
    )


def test_rates_as_people_write_them() -> None:
    rates = (0.0003, 0.00025, 1e-05, 0.001, 0.02)
    assert [rate_text(rate) for rate in rates] == ["3e-4", "2.5e-4", "1e-5", "1e-3", "2e-2"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("variants", {}, "variants: there must be at least one"),
        ("variants.sft.best", "high", r"variants\.sft\.best: "),
        ("variants.sft.curves.steps", [0, 20], r"sft\.curves\.validation: 3 values .* must be 2"),
        ("variants.sft.training.nll", [1.0], r"training\.nll: 1 values where there must be 4"),
        ("variants.sft.probabilities.edges", [0, 1], "of sft: other edges than the first"),
        ("variants.sft.probabilities.counts", [7], "of sft: 1 values where there must be 13"),
        ("variants.dft.results.new", {"greedy": None}, "there is no benchmark 'new'"),
        ("tests.0.b", "rl", r"tests\.0: there is no model 'rl'"),
        ("samples.0.label", "new", r"samples\.0: there is no benchmark 'new'"),
        ("samples.0.answers.sft.status", "right", r"samples\.0\.answers\.sft\.status: "),
    ],
)
def test_results_of_another_shape_are_refused(
    results: dict[str, Any], path: str, value: object, message: str
) -> None:
    *parents, last = path.split(".")
    place: Any = results
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    with pytest.raises(DataError, match=message):
        check_results(results)
