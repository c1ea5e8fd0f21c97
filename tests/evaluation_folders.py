"""Evaluation folders as `mmdft eval` leaves them, from answers that are given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.items import write_items
from mmdft.evals.scoring import score_file
from mmdft.files import write_json, write_jsonl, write_text
from mmdft.provenance import fingerprint

EVALUATION = {
    "output_dir": "runs/x",
    "batch_size": 8,
    "max_new_tokens": 64,
    "temperature": 0.0,
    "top_p": 1.0,
    "num_samples": 1,
    "seed": 0,
    "system": None,
}
PIXELS = {"min_pixels": 3136, "max_pixels": 1003520, "patch_size": 14, "merge_size": 2}


def write_run(
    folder: Path,
    benchmarks: Mapping[str, tuple[str, Path, Sequence[Mapping[str, Any]]]],
    *,
    model: str = "m",
    evaluation: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """A finished evaluation: label -> (benchmark, data, prediction rows)."""
    config = {"model": {"name": model}, "evaluation": {**EVALUATION, **(evaluation or {})}}
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    results, prints = {}, {}
    for label, (name, data, predictions) in benchmarks.items():
        examples = benchmark_named(name).load(data)
        write_items(folder / label, examples)
        prints[label] = fingerprint(examples)
        write_jsonl(folder / label / "predictions.jsonl", predictions)
        results[label] = score_file(
            folder / label / "predictions.jsonl",
            benchmark=name,
            data=data,
            out=folder / label / "scored.jsonl",
        )
    found = {
        "model": model,
        "versions": {"mmdft": "0.1.0"},
        "device": "cpu",
        "pixels": PIXELS,
        "data": prints,
        **(provenance or {}),
    }
    write_json(folder / "provenance.json", found)
    write_json(folder / "results.json", results)
    return folder


def figures_data(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A benchmark of one's own, as `figures` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path
