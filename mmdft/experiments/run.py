"""`mmdft experiment`: carry out what the plan says, and write the results.

Every training and evaluation is what `mmdft train` and `mmdft eval` do, in worker processes. Their
folders go on where they were interrupted, so an experiment that is started again does what is
lacking. What fails is named, and costs nothing but itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from mmdft.config import RunConfig
from mmdft.config_errors import show
from mmdft.config_loading import dump_config, load_config
from mmdft.errors import ConfigError, MmdftError
from mmdft.evals.folder import check_folder
from mmdft.experiments import plan
from mmdft.experiments.answers import is_evaluated, is_trained
from mmdft.experiments.markdown import experiment_markdown
from mmdft.experiments.page import write_page
from mmdft.experiments.plan import Job
from mmdft.experiments.pool import Task, Workers
from mmdft.experiments.result import chosen_rates, collect, main_numbers
from mmdft.experiments.settings import (
    ExperimentConfig,
    FactsConfig,
    FiguresConfig,
    OwnSamplesConfig,
    check_experiment,
)
from mmdft.experiments.work import carry_out, draw, look_first, own_samples, sampling
from mmdft.files import read_json, write_json, write_text
from mmdft.provenance import file_fingerprint, held, model_fingerprint
from mmdft.rejection.run import sampling_matters

__all__ = ["PAGE", "RESULTS", "main_numbers", "outlook", "run_experiment"]

# As `mmdft check` measures by default.
NUM_ADVICE = 64
RESULTS, MARKDOWN, PAGE = "results.json", "results.md", "report.html"


def run_experiment(
    config: ExperimentConfig, *, command: str = "", workers: Workers | None = None
) -> dict[str, Any]:
    """Run an experiment, or what is lacking of it, and write its results.

    `OUT/results.json` is what is returned, `OUT/results.md` and `OUT/report.html` show it. A line
    on standard error tells of each job that has ended.

    The workers are spawned: a script calls this below `if __name__ == "__main__":`.

    Args:
        config: from `load_experiment`, or made in code.
        command: how it was started, for the reader of the results.
        workers: the processes that do it, for several experiments in turn; None starts as many as
            the experiment says, and ends them.

    Returns:
        The results; `finished` is False, and `failures` says why, if something failed.

    Raises:
        ConfigError: the configuration does not hang together, a folder holds a run of another
            configuration, or model or data are not those that it was begun with.
        MmdftError: data cannot be drawn, the base cannot be evaluated, or of a variant no learning
            rate has all of its runs.
    """
    check_experiment(config)
    out = config.output_dir
    first = plan.first_stage(config)
    # Before any work: folders of other configurations are refused.
    lacking(first)
    own = Workers(num_workers(config)) if workers is None else nullcontext(workers)
    with held(out), own as workers:
        write_text(out / "experiment.yaml", dump_config(config))
        clock = _Seconds(out / "seconds.json")
        _draw(config, workers, clock)
        _keep_to_inputs(config)
        _look_first(config, workers, clock)
        failures = _carry_out(config, "grid", first, workers, clock)
        best = chosen_rates(config)
        of_base = [
            folder for folder in failures if folder.is_relative_to(_evaluations_of_base(out))
        ]
        if of_base or not best:
            _give_up(failures)
        failures |= _carry_out(config, "best", plan.second_stage(config, best), workers, clock)
        clock.tick()
    results = collect(
        config,
        best=best,
        failures={str(folder): error for folder, error in failures.items()},
        seconds=clock.seconds,
        command=command,
    )
    write_json(out / RESULTS, results)
    write_text(out / MARKDOWN, experiment_markdown(results))
    write_page(results, out / PAGE)
    return results


def outlook(config: ExperimentConfig) -> dict[str, Any]:
    """What an experiment has to do, and how much of it is done; nothing is started.

    Returns:
        `trainings` and `evaluations`, each with `total` and `done`. What is asked at the best
        learning rates counts as not done as long as they are not chosen.

    Raises:
        ConfigError: as of `run_experiment`.
    """
    check_experiment(config)
    first = plan.first_stage(config)
    best = chosen_rates(config)
    # Which rate it will be does not change how many there are.
    guessed = {name: best.get(name, config.learning_rates[0]) for name in config.variants}
    jobs = [*first, *plan.second_stage(config, guessed)]
    trainings, evaluations = list(plan.trainings(jobs)), plan.evaluations(jobs)
    return {
        "trainings": {"total": len(trainings), "done": sum(map(is_trained, trainings))},
        "evaluations": {"total": len(evaluations), "done": sum(map(is_evaluated, evaluations))},
    }


def lacking(jobs: Iterable[Job]) -> list[Job]:
    """What is to be done of the jobs.

    Raises:
        ConfigError: a folder holds a run or an evaluation of another configuration.
    """
    found = []
    for job in jobs:
        training = None if job.training is None or is_trained(job.training) else job.training
        evaluations = tuple(each for each in job.evaluations if not is_evaluated(each))
        if training is not None or evaluations:
            found.append(Job(name=job.name, training=training, evaluations=evaluations))
    return found


def num_workers(config: ExperimentConfig) -> int:
    """How many processes do an experiment: `config.workers`, or what suits the machine."""
    if config.workers != "auto":
        return config.workers
    import torch

    if torch.accelerator.is_available():
        return 1
    return len(os.sched_getaffinity(0))


def _draw(config: ExperimentConfig, workers: Workers, clock: _Seconds) -> None:
    """Draw the data that is lacking; what the base itself answers comes last, it asks the rest."""
    drawn, sampled = [], []
    for name, sets in config.figures.items():
        folder = Path(name)
        for wanted in sets:
            if isinstance(wanted, OwnSamplesConfig):
                if not _is_sampled(folder, sampling(folder, wanted, config.run)):
                    sampled.append(_task(config, name, own_samples, folder, wanted, config.run))
            elif not _is_drawn(folder, wanted):
                drawn.append(_task(config, f"{name}/{_file(wanted)}", draw, folder, wanted))
    for tasks in (drawn, sampled):
        failures = _do(tasks, workers, clock, "data")
        if failures:
            _give_up({Path(name): error for name, error in failures.items()})


def _is_drawn(folder: Path, wanted: FiguresConfig | FactsConfig) -> bool:
    """Whether a set is there; its settings are kept beside it, before it is drawn.

    Raises:
        ConfigError: the file is there, drawn otherwise or by somebody else.
    """
    path, settings = folder / _file(wanted), wanted.model_dump(mode="json")
    kept = path.with_suffix(".settings.json")
    if not path.is_file():
        write_json(kept, settings)
        return False
    if not kept.is_file():
        raise ConfigError(
            f"{path} is there, and was not drawn by an experiment; name another folder in figures, "
            "or leave it out of figures to use it as it is"
        )
    before = read_json(kept)
    for key in (*settings, *before):
        if settings.get(key) != before.get(key):
            raise ConfigError(
                f"{path} was drawn with {key}: {show(before.get(key))}, and this experiment has "
                f"{show(settings.get(key))}; name another folder in figures, or delete that one"
            )
    return True


def _is_sampled(folder: Path, wanted: RunConfig) -> bool:
    """Whether the base has answered, and the right answers were kept in the way that is wanted.

    Raises:
        ConfigError: the folder holds answers that came of another configuration.
    """
    check_folder(folder, wanted, sampling_matters)
    if not (folder / "train.jsonl").is_file() or not (folder / "sample.json").is_file():
        return False
    return load_config(folder / "config.yaml").sample == wanted.sample


def _file(wanted: FiguresConfig | FactsConfig) -> str:
    """The file that is written last."""
    return "train.jsonl" if isinstance(wanted, FactsConfig) else f"{wanted.split}.jsonl"


def _keep_to_inputs(config: ExperimentConfig) -> None:
    """Note what model and data the experiment is of.

    Raises:
        ConfigError: one of them is another by now than when the experiment was begun.
    """
    run = config.run
    paths = [source.path for source in run.data.train]
    paths += [benchmark.path for benchmark in run.evaluation.benchmarks]
    found: dict[str, Any] = {"model": model_fingerprint(run.model.name, run.model.revision)}
    found |= {str(path): file_fingerprint([path]) for path in paths if path.exists()}
    path = config.output_dir / "inputs.json"
    before = read_json(path) if path.is_file() else {}
    for name, value in found.items():
        if before.get(name, value) != value:
            raise ConfigError(
                f"{config.output_dir} was begun with another {name} than what is there now under "
                "the same name; choose another output_dir, or delete that folder"
            )
    write_json(path, before | found)


def _look_first(config: ExperimentConfig, workers: Workers, clock: _Seconds) -> None:
    """Measure the demonstrations under the base, as the preflight does, once."""
    path = config.output_dir / "advice.json"
    if path.is_file():
        return
    task = _task(config, "advice", look_first, config.run, NUM_ADVICE, path)
    failures = _do([task], workers, clock, "advice")
    if failures:
        _give_up(dict.fromkeys([path], *failures.values()))


def _carry_out(
    config: ExperimentConfig, stage: str, jobs: Sequence[Job], workers: Workers, clock: _Seconds
) -> dict[Path, str]:
    """Do what the jobs lack. Returns the folders that failed, and why."""
    todo = lacking(jobs)
    failures = _do([_task(config, job.name, carry_out, job) for job in todo], workers, clock, stage)
    return {
        config.output_dir / ("runs" if job.training else "evaluations") / job.name: failures[
            job.name
        ]
        for job in todo
        if job.name in failures
    }


def _task(
    config: ExperimentConfig, name: str, function: Callable[..., None], *arguments: Any
) -> Task:
    log = config.output_dir / "logs" / f"{name.strip('/').replace('/', '_')}.log"
    return Task(name=name, function=function, arguments=arguments, log=log)


def _do(tasks: Sequence[Task], workers: Workers, clock: _Seconds, stage: str) -> dict[str, str]:
    """Do all tasks, and tell of each. Returns the names of those that failed, and why."""
    failures = {}
    for number, outcome in enumerate(workers.outcomes(tasks), start=1):
        clock.add(stage, outcome.seconds)
        name, left = outcome.task.name, f"{len(tasks) - number} left"
        if outcome.error is None:
            print(f"{stage}: {name}: {outcome.seconds:.0f} s; {left}", file=sys.stderr)
        else:
            failures[name] = outcome.error
            print(f"{stage}: {name} failed: {outcome.error}; {left}", file=sys.stderr)
    return failures


def _evaluations_of_base(out: Path) -> Path:
    return out / "evaluations" / plan.BASE


def _give_up(failures: Mapping[Path, str]) -> NoReturn:
    lines = [f"{folder}: {error}" for folder, error in failures.items()]
    raise MmdftError("\n".join([*lines, "the same command tries these again"]))


class _Seconds:
    """Seconds spent in each stage by all processes together, over all calls; kept in a file.

    `elapsed` is the time that went by, up to the last task that ended in each call.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) if path.is_file() else {}
        self._since = time.monotonic()

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.tick()

    def tick(self) -> None:
        now = time.monotonic()
        self.seconds["elapsed"] = self.seconds.get("elapsed", 0.0) + now - self._since
        self._since = now
        write_json(self.path, self.seconds)
