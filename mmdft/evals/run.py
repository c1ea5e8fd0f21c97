"""`mmdft eval`: a configuration to predictions, verdicts and a results table."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mmdft.config import BenchmarkConfig, EvaluationConfig, RunConfig
from mmdft.config_loading import dump_config
from mmdft.errors import ConfigError, DataError
from mmdft.evals.asking import PREDICTIONS, answer_into, launched_ranks, requests_for
from mmdft.evals.backends import Backend, open_backend
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.folder import check_folder, evaluation_matters
from mmdft.evals.items import write_items
from mmdft.evals.pictures import with_pictures
from mmdft.evals.scoring import score_file
from mmdft.evals.tables import results_markdown
from mmdft.files import read_json, write_json, write_text
from mmdft.provenance import fingerprint, held, keep_to_provenance, versions
from mmdft.records import Example, Turn, Unanswered

_SUMMARY = ("n", "accuracy", "standard_error", "range", "no_answer", "open", "unscored")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """A finished evaluation."""

    run_dir: Path
    """configuration, and per benchmark: predictions, verdicts, results"""
    benchmarks: dict[str, dict[str, Any]]
    """label -> what `score_file` returns: counts, and per rule set accuracy and its error"""

    @property
    def summary(self) -> dict[str, Any]:
        """Each benchmark's headline, and accuracy, error and n under its headline rule set."""
        return {
            label: {
                "headline": scored["headline"],
                "rules": (name := next(iter(scored["rules"]))),
                **{key: scored["rules"][name][key] for key in _SUMMARY},
            }
            for label, scored in self.benchmarks.items()
        }


def evaluate(config: RunConfig) -> EvalResult:
    """Ask a model the benchmarks of a configuration and score its answers.

    Predictions are appended as they come: called again, also with more benchmarks, items or
    samples, it goes on with the items that have no prediction yet. Processes of one launcher each
    answer a part.

    Raises:
        ConfigError: no benchmark is named, or the folder holds another evaluation.
        DataError: a benchmark's data cannot be used, or not one item was answered.
        ModelError: the model cannot be loaded.
    """
    settings = config.evaluation
    if not settings.benchmarks:
        raise ConfigError("evaluation.benchmarks is empty; name at least one benchmark")
    ranks = launched_ranks(settings.backend.name, "mmdft eval")
    name = Path(config.model.name)
    # A run's model lies in RUN/model; its name is the run's.
    named = name.parent.name if name.name == "model" else name.name
    run_dir = settings.output_dir or Path("runs") / f"eval-{named}"
    check_folder(run_dir, config, evaluation_matters)
    asked = {
        chosen.label or chosen.name: ask(chosen, settings.of(chosen))
        for chosen in settings.benchmarks
    }
    backend = open_backend(config.model, settings, config.evaluation_pixels())
    with held(run_dir) if ranks.index == 0 else nullcontext():
        if ranks.index == 0:
            write_text(run_dir / "config.yaml", dump_config(config))
            _keep_provenance(run_dir, backend, asked, ranks.number)
        ranks.wait()
        results = {}
        for chosen in settings.benchmarks:
            label = chosen.label or chosen.name
            folder = run_dir / label
            own = settings.of(chosen)
            requests = requests_for(asked[label], own, label)
            unanswered = answer_into(folder, requests, backend, own, ranks)
            if ranks.index == 0:
                write_items(folder, asked[label])
                results[label] = _score(folder, chosen, unanswered, own)
        if ranks.index == 0:
            write_json(run_dir / "results.json", results)
    ranks.wait()
    return EvalResult(run_dir=run_dir, benchmarks=read_json(run_dir / "results.json"))


def ask(chosen: BenchmarkConfig, settings: EvaluationConfig) -> list[Example]:
    """What is asked of a benchmark: its items with the images that they are to be shown.

    They come after the system prompt if there is one.

    Args:
        chosen: The benchmark.
        settings: What holds for it (`EvaluationConfig.of`): `system`, `preset`, `images`.

    Raises:
        DataError: the benchmark's data cannot be used, or its images not be swapped.
    """
    examples = benchmark_named(chosen.name).load(
        chosen.path, chosen.limit, split=chosen.split, preset=settings.preset
    )
    examples = with_pictures(examples, settings.images)
    if settings.system is None:
        return examples
    opening = Turn(role="system", parts=(settings.system,))
    return [replace(example, turns=(opening, *example.turns)) for example in examples]


def _keep_provenance(
    run_dir: Path, backend: Backend, asked: dict[str, list[Example]], processes: int
) -> None:
    """What the answers came from; another model or other pixels than before are refused."""
    identity = dict(backend.identity)
    keep_to_provenance(
        run_dir / "provenance.json",
        {
            **identity,
            **backend.details,
            "versions": versions(),
            "processes": processes,
            "data": {label: fingerprint(examples) for label, examples in asked.items()},
        },
        keys=identity,
    )


def _score(
    folder: Path,
    chosen: BenchmarkConfig,
    unanswered: list[Unanswered],
    settings: EvaluationConfig,
) -> dict[str, Any]:
    if not (folder / PREDICTIONS).stat().st_size:
        reason = f"; the first: item {unanswered[0].id}: {unanswered[0].reason}"
        raise DataError(f"{folder}: not one item was answered{reason if unanswered else ''}")
    scored = score_file(
        folder / PREDICTIONS,
        benchmark=chosen.name,
        data=chosen.path,
        split=chosen.split,
        out=folder / "scored.jsonl",
        judge=settings.judge,
    )
    if settings.images != "kept":
        scored["images"] = settings.images
    if unanswered:
        scored["unanswered"] = {"n": len(unanswered), "first": asdict(unanswered[0])}
    write_json(folder / "results.json", scored)
    write_text(folder / "results.md", results_markdown(scored))
    return scored
