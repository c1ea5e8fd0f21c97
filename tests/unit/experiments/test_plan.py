from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.config_loading import dump_config, load_config
from mmdft.experiments import plan
from mmdft.experiments.settings import ExperimentConfig

LABELS = ("validation", "test", "others")


def experiment(**changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "name": "small",
            "output_dir": "out",
            "run": {
                "model": {"name": "tiny", "dtype": "float32"},
                "data": {"train": ["train.jsonl"], "max_pixels": 3136},
                "training": {"max_steps": 4},
                "evaluation": {
                    "max_new_tokens": 8,
                    "every_steps": 2,
                    "benchmarks": [
                        {"name": "figures", "path": f"{label}.jsonl", "label": label}
                        for label in LABELS
                    ],
                },
            },
            "roles": {
                "validation": ["validation"],
                "in_distribution": ["test"],
                "forgetting": ["others"],
            },
            "variants": {
                "sft": {"objective.name": "sft"},
                "dft": {},
                "free": {"training.max_grad_norm": 0},
            },
            "learning_rates": [1e-4, 3e-4],
            "seeds": [5, 6],
            "grid": ["validation", "test"],
            "samples": {"num_samples": 4, "benchmarks": ["test", "others"]},
            "controls": {
                "temperatures": [0.3],
                "clipping_off": True,
                "early_stop": True,
                "benchmarks": ["test"],
            },
            **changes,
        }
    )


def labels(run: Any) -> list[str]:
    return [each.label for each in run.evaluation.benchmarks]


def test_the_first_stage_is_the_base_and_the_whole_grid() -> None:
    jobs = plan.first_stage(experiment())
    base, grid = jobs[:3], jobs[3:]
    assert [job.name for job in base] == ["base/greedy", "base/sampled", "base/t-0.3"]
    assert [job.training for job in base] == [None] * 3
    assert [labels(job.evaluations[0]) for job in base] == [
        list(LABELS),
        ["test", "others"],
        ["test"],
    ]
    assert len(grid) == 3 * 2 * 2
    assert [job.name for job in grid[:4]] == [
        "sft/lr-1e-04/seed-5",
        "dft/lr-1e-04/seed-5",
        "free/lr-1e-04/seed-5",
        "sft/lr-3e-04/seed-5",
    ]
    for job in grid:
        assert job.training is not None
        [greedy] = job.evaluations
        assert labels(greedy) == labels(job.training) == ["validation", "test"]
        assert job.training.training.output_dir == Path("out/runs") / job.name
        assert greedy.model.name == f"out/runs/{job.name}/model"
        assert greedy.evaluation.output_dir == Path("out/evaluations") / job.name / "greedy"
        assert greedy.evaluation.temperature == 0 and greedy.evaluation.every_steps is None


def test_variants_with_one_seed_differ_in_their_overrides_alone() -> None:
    jobs = {job.name: job.training for job in plan.first_stage(experiment()) if job.training}
    sft, dft = jobs["sft/lr-1e-04/seed-5"], jobs["dft/lr-1e-04/seed-5"]
    assert sft.training.seed == dft.training.seed == 5
    as_sft = dft.model_copy(update={"objective": sft.objective, "training": sft.training})
    assert as_sft == sft
    assert sft.training == dft.training.model_copy(update={"output_dir": sft.training.output_dir})


def test_the_second_stage_is_at_the_best_rates_alone() -> None:
    config = experiment()
    jobs = plan.second_stage(config, {"sft": 1e-4, "free": 3e-4})
    names = [job.name for job in jobs]
    assert not any(name.startswith("dft") for name in names)
    # Without clipping: what has none is not trained again.
    again = [job for job in jobs if job.training is not None]
    assert [job.name for job in again] == [
        "sft/lr-1e-04-unclipped/seed-5",
        "sft/lr-1e-04-unclipped/seed-6",
    ]
    for job in again:
        assert job.training is not None
        assert job.training.training.max_grad_norm == 0
        assert job.training.evaluation.every_steps is None
        assert labels(job.evaluations[0]) == ["test"]
    asked = {
        job.name: (labels(job.evaluations[0]), job.evaluations[0].evaluation.num_samples)
        for job in jobs
        if job.training is None
    }
    assert asked == {
        f"{cell}/{how}": of
        for variant in ("sft/lr-1e-04", "free/lr-3e-04")
        for cell in (f"{variant}/seed-5", f"{variant}/seed-6")
        for how, of in {
            "greedy": (list(LABELS), 1),
            "sampled": (["test", "others"], 4),
            "t-0.3": (["test"], 4),
        }.items()
    }


def test_each_training_has_samples_of_its_own_and_variants_the_same_seed() -> None:
    jobs = plan.second_stage(experiment(), {"sft": 1e-4, "dft": 1e-4})
    seeds = {
        job.name: job.evaluations[0].evaluation.seed
        for job in jobs
        if job.name.endswith(("sampled", "greedy"))
    }
    assert seeds["sft/lr-1e-04/seed-5/sampled"] == seeds["dft/lr-1e-04/seed-5/sampled"] == 5
    assert seeds["sft/lr-1e-04/seed-6/sampled"] == 6
    assert seeds["sft/lr-1e-04/seed-6/greedy"] == 0


def test_folders_are_counted_once_with_all_that_is_asked_there() -> None:
    config = experiment()
    best = {"sft": 1e-4, "dft": 1e-4, "free": 1e-4}
    jobs = [*plan.first_stage(config), *plan.second_stage(config, best)]
    found = plan.evaluations(jobs)
    # base 3, grid 12, of these 6 also sampled and at 0.3, and 4 without clipping.
    assert len(found) == 3 + 12 + 6 * 2 + 4
    at = {str(run.evaluation.output_dir): labels(run) for run in found}
    assert at["out/evaluations/sft/lr-1e-04/seed-5/greedy"] == list(LABELS)
    assert at["out/evaluations/sft/lr-3e-04/seed-5/greedy"] == ["validation", "test"]
    assert len(list(plan.trainings(jobs))) == 12 + 4


def test_every_configuration_is_read_back_as_it_is_written(tmp_path: Path) -> None:
    """So `mmdft train RUN/config.yaml` repeats a run, and finds its folder finished."""
    config = experiment()
    jobs = [*plan.first_stage(config), *plan.second_stage(config, {"dft": 1e-4})]
    path = tmp_path / "config.yaml"
    for run in [*plan.trainings(jobs), *plan.evaluations(jobs)]:
        path.write_text(dump_config(run))
        assert load_config(path) == run
        assert dump_config(load_config(path)) == path.read_text()


def test_an_adapter_is_asked_as_it_lies_there() -> None:
    config = experiment(variants={"lora": {"model.lora": {"r": 2}, "model.freeze": ["vision"]}})
    job = plan.first_stage(config)[-1]
    assert job.training is not None and job.training.model.lora is not None
    assert job.evaluations[0].model.lora is None and job.evaluations[0].model.freeze == []
    assert job.evaluations[0].data.max_pixels == 3136


@pytest.mark.parametrize(
    ("rate", "text"), [(3e-4, "3e-04"), (1e-3, "1e-03"), (2.5e-5, "2.5e-05"), (1.0, "1e+00")]
)
def test_rates_are_told_shortly(rate: float, text: str) -> None:
    assert plan.rate_text(rate) == text


@given(st.floats(min_value=1e-12, max_value=10))
def test_no_two_rates_share_a_folder(rate: float) -> None:
    assert float(plan.rate_text(rate)) == rate
    cell = plan.Cell(variant="a", rate=rate, seed=0)
    assert cell.name != replace(cell, clipping=False).name
