"""Reading the folders that `mmdft eval` writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import yaml

from mmdft.errors import ConfigError, DataError
from mmdft.evals.benchmarks import Benchmark, benchmark_named
from mmdft.evals.items import Item, read_items
from mmdft.evals.scoring import read_predictions
from mmdft.files import read_json, read_jsonl
from mmdft.records import Extraction, Prediction, Status, Verdict

_STATUSES = frozenset(get_args(Status))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One benchmark of one run: items, answers in file order, and each rule set's verdicts.

    `judge` names the judge of the rule set `judged` and its prompt; None where there was none.
    """

    benchmark: Benchmark
    items: Mapping[str, Item]
    predictions: tuple[Prediction, ...]
    verdicts: Mapping[str, tuple[Verdict, ...]]
    judge: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One evaluation's folder. `config` is its `evaluation` section."""

    name: str
    folder: Path
    model: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    benchmarks: Mapping[str, Asked]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read the folders, and name each by as much of its path as tells it from the others.

    Raises:
        ConfigError: fewer than two folders, or one twice.
        DataError: a folder holds no finished evaluation, or a file in it is damaged.
    """
    if len(folders) < 2:
        raise ConfigError("a comparison needs two folders of mmdft eval or more")
    places = [folder.resolve() for folder in folders]
    for place, folder in zip(places, folders, strict=True):
        if places.count(place) > 1:
            raise ConfigError(f"{folder} is given twice; a run is not compared with itself")
    runs = [_run(folder) for folder in folders]
    return [replace(run, name=name) for run, name in zip(runs, _names(places), strict=True)]


def _names(places: Sequence[Path]) -> list[str]:
    longest = max(len(place.parts) for place in places)
    for length in range(1, longest):
        names = ["/".join(place.parts[-length:]) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def _run(folder: Path) -> Run:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the output_dir of an mmdft eval")
    missing = [name for name in ("config.yaml", "provenance.json") if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder}: no {missing[0]} in it; give the output_dir of an mmdft eval, "
            "not a benchmark's folder below it"
        )
    if not (folder / "results.json").is_file():
        raise DataError(
            f"{folder}: not finished, there is no results.json; run the same mmdft eval again"
        )
    config = _config(folder / "config.yaml")
    results = _object(folder / "results.json")
    return Run(
        name=folder.name,
        folder=folder,
        model=str(config["model"]["name"]),
        config=config["evaluation"],
        provenance=_object(folder / "provenance.json"),
        benchmarks={
            label: _asked(folder / label, scored, f"{folder / 'results.json'}: {label}")
            for label, scored in results.items()
        },
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as YAML; run mmdft eval anew") from error
    try:
        if isinstance(config["evaluation"], dict) and config["model"]["name"]:
            return dict(config)
    except (KeyError, TypeError):
        pass
    raise DataError(f"{path}: is not the configuration of an evaluation; run mmdft eval anew")


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object; run mmdft eval anew")
    return value


def _asked(folder: Path, scored: Any, where: str) -> Asked:
    if not isinstance(scored, dict) or not isinstance(scored.get("benchmark"), str):
        raise DataError(f"{where}: does not name its benchmark; run the same mmdft eval again")
    items = {item.example.id: item for item in read_items(folder)}
    predictions = {(p.id, p.sample): p for p in read_predictions(folder / "predictions.jsonl")}
    path = folder / "scored.jsonl"
    verdicts: dict[str, list[Verdict]] = {}
    answered = []
    for number, row in read_jsonl(path):
        try:
            key = (str(row["id"]), int(row["sample"]))
            judged = _verdicts(row)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}:{number}: not a scored row; run the same mmdft eval again"
            ) from error
        if key not in predictions or key[0] not in items:
            lacking = "predictions.jsonl" if key not in predictions else "items.jsonl"
            raise DataError(
                f"{path}:{number}: {key[0]!r} is not in {lacking}; run the same mmdft eval again"
            )
        answered.append(predictions[key])
        for verdict in judged:
            verdicts.setdefault(verdict.rules, []).append(verdict)
    if len(answered) < len(predictions) or any(len(v) < len(answered) for v in verdicts.values()):
        raise DataError(f"{path}: verdicts are missing; run the same mmdft eval again")
    return Asked(
        benchmark=benchmark_named(scored["benchmark"]),
        items=items,
        predictions=tuple(answered),
        verdicts={rules: tuple(judged) for rules, judged in verdicts.items()},
        judge=_judge(scored.get("judge"), where),
    )


def _judge(found: Any, where: str) -> str | None:
    if found is None:
        return None
    try:
        return f"{found['model']} (prompt {found['prompt']['hash'][:8]})"
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{where}: does not say who the judge was; run the same mmdft eval again"
        ) from error


def _verdicts(row: Mapping[str, Any]) -> list[Verdict]:
    """The verdicts of a row of `scoring.score_file`."""
    found = []
    for rules, status in row["status"].items():
        if status not in _STATUSES:
            raise ValueError(status)
        own = row.get("extractions", {}).get(rules)
        found.append(
            Verdict(
                id=str(row["id"]),
                sample=int(row["sample"]),
                rules=rules,
                status=status,
                extraction=Extraction(
                    answer=row["extraction"] if own is None else own["answer"],
                    stage=row["stage"] if own is None else own["stage"],
                ),
                gold=row["gold"],
                detail=row.get("details", {}).get(rules, ""),
            )
        )
    return found


def baseline_of(runs: Sequence[Run], wanted: str | None) -> Run:
    """The run that the others are compared with: the first, or the one that is named.

    Raises:
        ConfigError: no run, or more than one, has that name or folder.
    """
    if wanted is None:
        return runs[0]
    found = [run for run in runs if wanted in (run.name, str(run.folder))]
    found = found or [
        run for run in runs if re.search(rf"(^|/){re.escape(wanted)}$", str(run.folder.resolve()))
    ]
    if len(found) != 1:
        names = ", ".join(run.name for run in runs)
        raise ConfigError(f"--baseline {wanted}: name one of the runs: {names}")
    return found[0]
