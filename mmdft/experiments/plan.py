"""Which trainings and evaluations an experiment has, as pure records.

Everything is an ordinary run folder or evaluation folder: `OUT/runs/VARIANT/lr-3e-04/seed-0` is
what `mmdft train` writes, `OUT/evaluations/VARIANT/lr-3e-04/seed-0/greedy` what `mmdft eval` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.config import DataConfig, RunConfig
from mmdft.experiments.settings import ExperimentConfig, variant_run

BASE = "base"
GREEDY, SAMPLED = "greedy", "sampled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one process does at a time: at most one training, then its evaluations."""

    name: str
    """its folder below OUT/runs or OUT/evaluations"""
    training: RunConfig | None
    evaluations: tuple[RunConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One of the runs: which variant, at which rate, with which seed; clipped as it says itself."""

    variant: str
    rate: float
    seed: int
    clipping: bool = True

    @property
    def name(self) -> str:
        """Its folder below OUT/runs and OUT/evaluations."""
        suffix = "" if self.clipping else "-unclipped"
        return f"{self.variant}/lr-{rate_text(self.rate)}{suffix}/seed-{self.seed}"


def rate_text(rate: float) -> str:
    """A learning rate as folders have it: 3e-04, with as many digits as tell it from others."""
    return next(text for digits in range(18) if float(text := f"{rate:.{digits}e}") == rate)


def run_dir(config: ExperimentConfig, cell: Cell) -> Path:
    """The run folder of a cell."""
    return config.output_dir / "runs" / cell.name


def evaluation_dir(config: ExperimentConfig, name: str, how: str) -> Path:
    """The folder of an evaluation: of a cell's name or of the base, decoded in some way."""
    return config.output_dir / "evaluations" / name / how


def decodings(config: ExperimentConfig) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """How answers are decoded beside greedily: name -> what is set, and the labels asked so."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    samples, controls = config.samples, config.controls
    if samples is not None:
        settings = {"num_samples": samples.num_samples, "temperature": samples.temperature}
        found[SAMPLED] = settings, samples.benchmarks
    for temperature in controls.temperatures:
        # As many answers as the samples have, so that neither is known better than the other.
        num = samples.num_samples if samples is not None else 1
        settings = {"num_samples": num, "temperature": temperature}
        found[at_temperature(temperature)] = settings, controls.benchmarks
    return found


def at_temperature(temperature: float) -> str:
    """The name of the decoding at that temperature."""
    return f"t-{temperature:g}"


def cells(config: ExperimentConfig) -> list[Cell]:
    """The grid: seeds vary slowest, so that all variants have one seed early."""
    return [
        Cell(variant=variant, rate=rate, seed=seed)
        for seed in config.seeds
        for rate in config.learning_rates
        for variant in config.variants
    ]


def training(config: ExperimentConfig, cell: Cell) -> RunConfig:
    """The configuration of a cell's training.

    It is scored on the labels of the grid, if it is scored as it goes; without clipping, not.
    """
    run = variant_run(config, cell.variant)
    update: dict[str, Any] = {
        "output_dir": run_dir(config, cell),
        "learning_rate": cell.rate,
        "seed": cell.seed,
    }
    evaluation: dict[str, Any] = {"benchmarks": _benchmarks(run, config.grid)}
    if not cell.clipping:
        update["max_grad_norm"] = 0.0
        evaluation["every_steps"] = None
    return run.model_copy(
        update={
            "training": run.training.model_copy(update=update),
            "evaluation": run.evaluation.model_copy(update=evaluation),
        }
    )


def evaluation(
    config: ExperimentConfig, cell: Cell | None, how: str, labels: Sequence[str]
) -> RunConfig:
    """The configuration of an evaluation of a cell's model, or of the base."""
    run = config.run
    name = run.model.name if cell is None else str(run_dir(config, cell) / "model")
    decoding = {} if how == GREEDY else decodings(config)[how][0]
    # Each training has its own samples; a greedy answer has no seed.
    seed = run.evaluation.seed if cell is None or how == GREEDY else cell.seed
    return RunConfig(
        model=run.model.model_copy(
            update={
                "name": name,
                "revision": run.model.revision if cell is None else None,
                "quantization": None,
                "freeze": [],
                "lora": None,
            }
        ),
        data=DataConfig(min_pixels=run.data.min_pixels, max_pixels=run.data.max_pixels),
        evaluation=run.evaluation.model_copy(
            update={
                **decoding,
                "output_dir": evaluation_dir(config, BASE if cell is None else cell.name, how),
                "benchmarks": _benchmarks(run, labels),
                "every_steps": None,
                "seed": seed,
            }
        ),
    )


def first_stage(config: ExperimentConfig) -> list[Job]:
    """The base, and every variant at every learning rate with every seed on the grid's labels."""
    base = [(GREEDY, config.labels), *((how, of[1]) for how, of in decodings(config).items())]
    return [
        *(
            Job(
                name=f"{BASE}/{how}",
                training=None,
                evaluations=(evaluation(config, None, how, labels),),
            )
            for how, labels in base
        ),
        *(
            Job(
                name=cell.name,
                training=training(config, cell),
                evaluations=(evaluation(config, cell, GREEDY, config.grid),),
            )
            for cell in cells(config)
        ),
    ]


def second_stage(config: ExperimentConfig, best: Mapping[str, float]) -> list[Job]:
    """What is asked of each variant at its best learning rate, and trained again without clipping.

    Args:
        config: the experiment.
        best: variant -> rate; a variant without one has no second stage.
    """
    jobs = [
        Job(
            name=cell.name,
            training=training(config, cell),
            evaluations=(evaluation(config, cell, GREEDY, config.controls.benchmarks),),
        )
        for cell in unclipped(config, best)
    ]
    for cell in best_cells(config, best):
        # Of the greedy answers, those of the grid are there.
        asked = [(GREEDY, config.labels), *((how, of[1]) for how, of in decodings(config).items())]
        jobs += [
            Job(
                name=f"{cell.name}/{how}",
                training=None,
                evaluations=(evaluation(config, cell, how, labels),),
            )
            for how, labels in asked
        ]
    return jobs


def best_cells(config: ExperimentConfig, best: Mapping[str, float]) -> list[Cell]:
    """The runs at each variant's best learning rate."""
    return [
        Cell(variant=variant, rate=best[variant], seed=seed)
        for seed in config.seeds
        for variant in config.variants
        if variant in best
    ]


def unclipped(config: ExperimentConfig, best: Mapping[str, float]) -> list[Cell]:
    """The same trained without clipping; nothing where that is asked for, or how they are."""
    if not config.controls.clipping_off:
        return []
    return [
        Cell(variant=cell.variant, rate=cell.rate, seed=cell.seed, clipping=False)
        for cell in best_cells(config, best)
        if variant_run(config, cell.variant).training.max_grad_norm
    ]


def trainings(jobs: Iterable[Job]) -> Iterator[RunConfig]:
    """All trainings of the jobs."""
    return (job.training for job in jobs if job.training is not None)


def evaluations(jobs: Iterable[Job]) -> list[RunConfig]:
    """All evaluations of the jobs, one for each folder: the last, which asks the most."""
    found = {each.evaluation.output_dir: each for job in jobs for each in job.evaluations}
    return list(found.values())


def _benchmarks(run: RunConfig, labels: Sequence[str]) -> list[Any]:
    return [each for each in run.evaluation.benchmarks if (each.label or each.name) in labels]
