"""What is made of the folders of an experiment; they are written here as runs leave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluation_folders import figures_data, write_run

from mmdft.experiments import plan
from mmdft.experiments.result import chosen_rates, collect, main_numbers
from mmdft.experiments.schema import check_results
from mmdft.experiments.settings import ExperimentConfig
from mmdft.files import write_json, write_jsonl

ITEMS = 20
WORDY = "Values: 3. To begin with, adding 1 to 2 gives us 3. So the result that we find is 3."


def experiment(folder: Path) -> ExperimentConfig:
    data = {
        label: figures_data(
            folder / label,
            [{"id": f"{label}-{n}", "question": "?", "answer": "3"} for n in range(ITEMS)],
        )
        for label in ("validation", "test", "values")
    }
    return ExperimentConfig.model_validate(
        {
            "name": "made",
            "title": "Made by hand",
            "output_dir": str(folder / "out"),
            "run": {
                "model": {"name": "tiny"},
                "data": {"train": ["train.jsonl"]},
                "training": {"max_steps": 4},
                "evaluation": {
                    "every_steps": 2,
                    "benchmarks": [
                        {"name": "figures", "path": str(path), "label": label}
                        for label, path in data.items()
                    ],
                },
            },
            "roles": {
                "validation": ["validation"],
                "in_distribution": ["test"],
                "out_of_distribution": ["values"],
            },
            "variants": {"sft": {"objective.name": "sft"}, "dft": {"objective.name": "dft"}},
            "learning_rates": [1e-4, 1e-3],
            "seeds": [0, 1],
            "grid": ["validation", "test"],
            "samples": {"num_samples": 2, "benchmarks": ["test"]},
            "controls": {
                "temperatures": [0.5],
                "clipping_off": True,
                "early_stop": True,
                "benchmarks": ["test"],
            },
        }
    )


def answer(
    config: ExperimentConfig, name: str, how: str, right: dict[str, int], samples: int = 1
) -> None:
    """An evaluation in which the first so many items of each label are right."""
    paths = {each.label: each.path for each in config.run.evaluation.benchmarks}
    write_run(
        plan.evaluation_dir(config, name, how),
        {
            str(label): (
                "figures",
                paths[label],
                [
                    {
                        "id": f"{label}-{n}",
                        "sample": sample,
                        "response": WORDY if n < number else "Answer: 4",
                        "num_tokens": 10,
                        "truncated": n == ITEMS - 1,
                    }
                    for n in range(ITEMS)
                    for sample in range(samples)
                ],
            )
            for label, number in right.items()
        },
    )


def train(config: ExperimentConfig, cell: plan.Cell, scores: Sequence[tuple[int, int]]) -> None:
    """A run with these validation and test scores, of the items, at steps 2 and 4."""
    folder = plan.run_dir(config, cell)
    rows: list[dict[str, Any]] = [
        {"step": step, "loss": 1.0, "grad_norm": step + cell.seed, "nll": 0.5, "mean_p": 0.25}
        for step in (2, 4)
    ]
    rows += [
        {
            "step": step,
            "eval_validation_accuracy": validation / ITEMS,
            "eval_test_accuracy": test / ITEMS,
        }
        for step, (validation, test) in zip((2, 4), scores, strict=True)
    ]
    write_jsonl(folder / "metrics.jsonl", rows)
    bins = {"edges": [0.0, 0.5, 1.0], "counts": [1, 3], "mean": 0.6, "below_0.01": 0.0}
    after = {**bins, "counts": [0, 4], "mean": 0.8 + 0.1 * cell.seed}
    write_json(folder / "probabilities.json", {"before": bins, "after": after})
    write_json(folder / "summary.json", {"parameters": 7, "examples": 100, "steps": 4})


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    config = experiment(tmp_path)
    answer(config, "base", "greedy", {"validation": 4, "test": 4, "values": 2})
    answer(config, "base", "sampled", {"test": 2}, samples=2)
    answer(config, "base", "t-0.5", {"test": 3}, samples=2)
    for cell in plan.cells(config):
        # SFT validates best at the lower rate, DFT at the higher one.
        best = (cell.variant == "dft") == (cell.rate == 1e-3)
        right = {"validation": 10 if best else 8, "test": 18 if cell.variant == "dft" else 6}
        train(config, cell, [(12, 5), (10, 6)] if cell.seed == 0 else [(9, 1), (10, 6)])
        if best:
            right["values"] = 5 + cell.seed
            answer(config, cell.name, "sampled", {"test": 8}, samples=2)
            answer(config, cell.name, "t-0.5", {"test": 9 + cell.seed}, samples=2)
            unclipped = plan.Cell(
                variant=cell.variant, rate=cell.rate, seed=cell.seed, clipping=False
            )
            answer(config, unclipped.name, "greedy", {"test": 7})
        answer(config, cell.name, "greedy", right)
    write_json(
        config.output_dir / "advice.json",
        {"mean_p": 0.78, "rule": "mean p, -p won", "text": "said", "examples": 64, "wordy": 1.0},
    )
    return config


def collected(config: ExperimentConfig, **failures: str) -> dict[str, Any]:
    return collect(
        config,
        best=chosen_rates(config),
        failures=failures,
        seconds={"elapsed": 1.0},
        command="mmdft experiment made.yaml",
    )


def test_rates_are_chosen_by_validation_alone(config: ExperimentConfig) -> None:
    assert chosen_rates(config) == {"sft": 1e-4, "dft": 1e-3}
    # Whatever the test says.
    cell = plan.Cell(variant="sft", rate=1e-3, seed=0)
    answer(config, cell.name, "greedy", {"validation": 8, "test": 20})
    assert chosen_rates(config)["sft"] == 1e-4


def test_results_are_those_at_each_variants_best_rate(config: ExperimentConfig) -> None:
    results = collected(config)
    check_results(results)
    assert results["finished"] and results["title"] == "Made by hand"
    assert results["benchmarks"]["values"] == {
        "role": "out_of_distribution",
        "n": ITEMS,
        "title": "values",
    }
    assert results["setting"]["parameters"] == 7 and results["setting"]["batch"] == 16
    base = results["base"]["test"]
    assert base["greedy"] == 0.2
    assert base["sampled"] == {"k": 2, "temperature": 1.0, "accuracy": 0.1}
    assert base["temperatures"] == {"0.5": pytest.approx(0.15)}
    assert base["behaviour"] == {
        "adopts_style": 0.2,
        "stopped": 0.95,
        "formatted": 0.95,
        "mean_tokens": 10.0,
    }
    sft = results["variants"]["sft"]
    assert (sft["title"], sft["best"]) == ("SFT", 1e-4)
    assert sft["learning_rates"]["0.001"]["validation"]["values"] == [0.4, 0.4]
    assert sft["results"]["values"]["greedy"]["values"] == [0.25, 0.3]
    assert sft["results"]["values"]["sampled"] is None
    assert sft["results"]["test"]["sampled"]["values"] == [0.4, 0.4]
    assert sft["results"]["test"]["temperatures"]["0.5"]["values"] == [0.45, 0.5]
    assert sft["controls"]["clipping_off"]["test"]["values"] == [0.35, 0.35]
    assert main_numbers(results)["variants"]["dft"] == {
        "learning_rate": 1e-3,
        "validation": 0.5,
        "test": 0.9,
        "values": pytest.approx(0.275),
    }


def test_each_run_stops_early_where_it_validates_best(config: ExperimentConfig) -> None:
    test = collected(config)["variants"]["sft"]["results"]["test"]
    # The first seed at step 2, the other one at step 4.
    assert test["early_stop"]["values"] == [5 / ITEMS, 6 / ITEMS]
    assert collected(config)["variants"]["sft"]["results"]["values"]["early_stop"] is None


def test_what_the_trainings_logged(config: ExperimentConfig) -> None:
    results = collected(config)
    sft = results["variants"]["sft"]
    assert sft["curves"]["steps"] == [2, 4]
    assert sft["curves"]["test"]["mean"] == [3 / ITEMS, 6 / ITEMS]
    assert sft["training"]["grad_norm"] == [2.5, 4.5]
    # It was not logged, which is not 0.
    assert sft["training"]["entropy"] == [None, None]
    assert results["base_probabilities"]["counts"] == [1, 3]
    assert sft["probabilities"]["counts"] == [0, 8]
    assert sft["probabilities"]["mean"] == pytest.approx(0.85)


def test_tests_are_of_all_that_does_not_validate(config: ExperimentConfig) -> None:
    tests = collected(config)["tests"]
    named = {(each["benchmark"], each["measure"], each["a"], each["b"]) for each in tests}
    pairs = [("dft", "sft"), ("sft", "base"), ("dft", "base")]
    measured = [("test", "greedy"), ("test", "sampled"), ("values", "greedy")]
    assert named == {(*what, *pair) for what in measured for pair in pairs}
    [test] = [t for t in tests if t["measure"] == "greedy" and t["benchmark"] == "test"][:1]
    assert test["difference"] == pytest.approx(0.6)
    assert test["p_value"] < test["p_corrected"] < 0.05


def test_the_advice_is_held_against_what_was_better(config: ExperimentConfig) -> None:
    advice = collected(config)["advice"]
    assert (advice["suggests"], advice["better"], advice["agrees"]) == ("dft", "dft", True)
    found = {"mean_p": 0.01, "rule": "mean p, NLL won", "text": "said", "wordy": 0.0}
    write_json(config.output_dir / "advice.json", found)
    results = collected(config)
    assert results["advice"]["suggests"] == "sft" and results["advice"]["agrees"] is False
    # Nor is a style adopted that the demonstrations do not have.
    assert results["base"]["test"]["behaviour"]["adopts_style"] is None
    write_json(config.output_dir / "advice.json", {**found, "rule": "mean p, tie"})
    # A tie was expected, and there is none.
    advice = collected(config)["advice"]
    assert (advice["suggests"], advice["expects_tie"], advice["agrees"]) == (None, True, False)
    write_json(config.output_dir / "advice.json", {**found, "rule": "mean p, unknown"})
    advice = collected(config)["advice"]
    assert (advice["suggests"], advice["expects_tie"], advice["agrees"]) == (None, False, None)


def test_samples_show_every_models_answer(config: ExperimentConfig) -> None:
    samples = collected(config)["samples"]
    assert [each["label"] for each in samples] == ["test"] * 6 + ["values"] * 6
    answers = samples[4]["answers"]
    assert {name: each["status"] for name, each in answers.items()} == {
        "base": "wrong",
        "sft": "correct",
        "dft": "correct",
    }
    assert answers["base"] == {"response": "Answer: 4", "answer": "4", "status": "wrong"}


def test_what_failed_is_left_out_and_told(config: ExperimentConfig) -> None:
    """A variant without a rate, and a run without its last evaluation."""
    for rate in (1e-4, 1e-3):
        name = plan.Cell(variant="dft", rate=rate, seed=1).name
        (plan.evaluation_dir(config, name, "greedy") / "results.json").unlink()
    name = plan.Cell(variant="sft", rate=1e-4, seed=1).name
    (plan.evaluation_dir(config, name, "sampled") / "results.json").unlink()
    results = collected(config, **{"out/runs/dft": "went wrong"})
    check_results(results)
    assert not results["finished"]
    assert results["failures"] == [{"run": "out/runs/dft", "error": "went wrong"}]
    dft, sft = results["variants"]["dft"], results["variants"]["sft"]
    assert (dft["best"], dft["results"], dft["probabilities"]) == (None, {}, None)
    assert dft["learning_rates"]["0.001"]["test"]["values"] == [0.9]
    assert sft["results"]["test"]["sampled"]["values"] == [0.4]
    assert {test["a"] for test in results["tests"]} == {"sft"}
