"""`mmdft eval`: a configuration to predictions, verdicts and a results table."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmdft.config import BenchmarkConfig, RunConfig
from mmdft.data.vision import ImageBudget, pixel_budget
from mmdft.errors import ConfigError
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.generate import generate
from mmdft.evals.items import write_items
from mmdft.evals.scoring import read_predictions, score_file
from mmdft.evals.tables import results_markdown
from mmdft.files import drop_cut_line, write_json, write_text
from mmdft.memory import keep_freed_memory
from mmdft.model import load_model, load_processor
from mmdft.provenance import (
    check_run_folder,
    claim_run_folder,
    fingerprint,
    keep_to_provenance,
    model_fingerprint,
    versions,
)
from mmdft.records import Example, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """A finished evaluation."""

    run_dir: Path
    """configuration, and per benchmark: predictions, verdicts, results"""
    benchmarks: dict[str, dict[str, Any]]
    """label -> what `score_file` returns: counts, and per rule set accuracy and its error"""

    @property
    def summary(self) -> dict[str, Any]:
        """Accuracy, standard error and n of each benchmark under its headline rule set."""
        return {
            label: {
                "rules": (name := next(iter(scored["rules"]))),
                **{
                    key: scored["rules"][name][key]
                    for key in ("n", "accuracy", "standard_error", "no_answer", "unscored")
                },
            }
            for label, scored in self.benchmarks.items()
        }


def evaluate(config: RunConfig) -> EvalResult:
    """Ask a model the benchmarks of a configuration and score its answers.

    Predictions are appended as they come: called again with the same configuration, an
    interrupted evaluation goes on with the items that have no prediction yet.

    Raises:
        ConfigError: no benchmark is named, or the folder holds another evaluation.
        DataError: a benchmark's data cannot be used.
        ModelError: the model cannot be loaded.
    """
    settings = config.evaluation
    if not settings.benchmarks:
        raise ConfigError("evaluation.benchmarks is empty; name at least one benchmark")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("an evaluation runs in one process; start it without a launcher")
    name = Path(config.model.name)
    # A run's model lies in RUN/model; its name is the run's.
    named = name.parent.name if name.name == "model" else name.name
    run_dir = settings.output_dir or Path("runs") / f"eval-{named}"
    check_run_folder(run_dir, config)
    keep_freed_memory()
    asked = {
        chosen.label or chosen.name: _ask(chosen, settings.system) for chosen in settings.benchmarks
    }
    processor = load_processor(config.model)
    budget = pixel_budget(processor, *config.evaluation_pixels())
    model = load_model(config.model).eval().to(_device())
    claim_run_folder(run_dir, config)
    keep_to_provenance(
        run_dir / "provenance.json",
        {
            "model": model_fingerprint(config.model.name, config.model.revision),
            "versions": versions(),
            "device": str(_device()),
            "pixels": asdict(budget),
            "data": {label: fingerprint(examples) for label, examples in asked.items()},
        },
        keys=["model", "data", "pixels"],
    )
    results = {}
    for chosen in settings.benchmarks:
        label = chosen.label or chosen.name
        folder = run_dir / label
        write_items(folder, asked[label])
        _predict(folder, model, processor, asked[label], budget, config)
        results[label] = _score(folder, chosen)
    write_json(run_dir / "results.json", results)
    return EvalResult(run_dir=run_dir, benchmarks=results)


def _ask(chosen: BenchmarkConfig, system: str | None) -> list[Example]:
    examples = benchmark_named(chosen.name).load(chosen.path, chosen.limit, split=chosen.split)
    if system is None:
        return examples
    opening = Turn(role="system", parts=(system,))
    return [replace(example, turns=(opening, *example.turns)) for example in examples]


def _predict(
    folder: Path,
    model: nn.Module,
    processor: Any,
    examples: Sequence[Example],
    budget: ImageBudget,
    config: RunConfig,
) -> None:
    """Append the predictions that `folder` still lacks, a batch at a time."""
    path = folder / "predictions.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    drop_cut_line(path)
    done = read_predictions(path) if path.is_file() and path.stat().st_size else []
    have = frozenset((prediction.id, prediction.sample) for prediction in done)
    with path.open("a", encoding="utf-8") as stream:
        for batch in generate(model, processor, examples, budget, config.evaluation, have):
            for prediction in batch:
                stream.write(json.dumps(asdict(prediction), ensure_ascii=False) + "\n")
            stream.flush()


def _score(folder: Path, chosen: BenchmarkConfig) -> dict[str, Any]:
    scored = score_file(
        folder / "predictions.jsonl",
        benchmark=chosen.name,
        data=chosen.path,
        split=chosen.split,
        out=folder / "scored.jsonl",
    )
    write_json(folder / "results.json", scored)
    write_text(folder / "results.md", results_markdown(scored))
    return scored


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
