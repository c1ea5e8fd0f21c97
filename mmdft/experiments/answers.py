"""Reading back what runs and evaluations of an experiment left in their folders. No torch here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.config import RunConfig
from mmdft.config_loading import load_config
from mmdft.data.figures.wordy import is_wordy
from mmdft.evals.folder import check_folder, evaluation_matters
from mmdft.evals.items import Item, read_items
from mmdft.evals.scoring import read_predictions
from mmdft.files import read_json, read_jsonl
from mmdft.provenance import check_run_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One benchmark of a finished evaluation, by its headline rule set."""

    folder: Path
    num_items: int
    accuracy: float | None
    stopped: float | None
    """share of the responses that ended by themselves"""
    formatted: float | None
    """share in which an answer was found"""
    mean_tokens: float | None


def is_trained(config: RunConfig) -> bool:
    """Whether a training is finished.

    Raises:
        ConfigError: its folder holds a run of another configuration.
    """
    folder = config.training.output_dir
    check_run_folder(folder, config)
    return (folder / "summary.json").is_file()


def is_evaluated(config: RunConfig) -> bool:
    """Whether an evaluation has all that is asked; it may have more.

    Raises:
        ConfigError: its folder holds an evaluation of another configuration.
    """
    folder = config.evaluation.output_dir
    assert folder is not None
    check_folder(folder, config, evaluation_matters)
    if not (folder / "results.json").is_file():
        return False
    results, before = read_json(folder / "results.json"), load_config(folder / "config.yaml")
    return before.evaluation.num_samples == config.evaluation.num_samples and all(
        each in before.evaluation.benchmarks
        and label in results
        and "unanswered" not in results[label]
        for each in config.evaluation.benchmarks
        for label in [each.label or each.name]
    )


def answered(folder: Path) -> dict[str, Answered]:
    """The benchmarks of an evaluation's folder; none if it is not finished."""
    if not (folder / "results.json").is_file():
        return {}
    return {
        label: _answered(folder / label, scored)
        for label, scored in read_json(folder / "results.json").items()
    }


def _answered(folder: Path, scored: Mapping[str, Any]) -> Answered:
    summary = next(iter(scored["rules"].values()))
    return Answered(
        folder=folder,
        num_items=scored["n_benchmark"],
        accuracy=summary["accuracy"],
        stopped=_rest(summary["truncated_rate"]),
        formatted=_rest(summary["no_answer_rate"]),
        mean_tokens=summary["mean_tokens"],
    )


def _rest(share: float | None) -> float | None:
    return None if share is None else 1 - share


def rights(it: Answered) -> dict[str, float]:
    """How right each item is, 0 to 1: of several answers, the share. Unscored ones are left out."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for _, row in read_jsonl(it.folder / "scored.jsonl"):
        right = next(iter(row["verdicts"].values()))
        if right is not None:
            found[row["id"]].append(right)
    return {name: sum(values) / len(values) for name, values in found.items()}


def wordy_share(it: Answered) -> float:
    """The share of the responses that are in the wordy style."""
    responses = read_predictions(it.folder / "predictions.jsonl")
    return sum(is_wordy(each.response) for each in responses) / len(responses)


def said(it: Answered) -> dict[str, dict[str, Any]]:
    """Each item's first response, the answer that was found in it, and the verdict."""
    responses = {
        each.id: each.response
        for each in read_predictions(it.folder / "predictions.jsonl")
        if each.sample == 0
    }
    return {
        row["id"]: {
            "response": responses[row["id"]],
            "answer": row["extraction"],
            "status": next(iter(row["status"].values())),
        }
        for _, row in read_jsonl(it.folder / "scored.jsonl")
        if row["sample"] == 0
    }


def items(it: Answered) -> list[Item]:
    """What was asked."""
    return read_items(it.folder)


def logged(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; none if it is not finished."""
    if not (folder / "summary.json").is_file():
        return []
    return [row for _, row in read_jsonl(folder / "metrics.jsonl")]


def scores_by_step(rows: list[dict[str, Any]], label: str) -> dict[int, float]:
    """A benchmark's accuracy at the steps at which a training answered it."""
    name = f"eval_{label}_accuracy"
    return {
        int(row["step"]): float(row[name])
        for row in rows
        if name in row and not math.isnan(row[name])
    }
