"""From predictions to verdicts: one file of predictions, one or several rule sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdft.errors import DataError
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.exchange import is_foreign, read_foreign, write_lmms_eval, write_vlmevalkit
from mmdft.evals.rules import RULES
from mmdft.evals.stats import Summary, floor_accuracy, form_asked, summarise, traits_of
from mmdft.files import read_jsonl, write_jsonl
from mmdft.records import Example, Prediction, Verdict

_VERDICT = {"correct": True, "wrong": False, "no_answer": False, "unscored": None}


def score(
    benchmark: str, examples: Sequence[Example], predictions: Sequence[Prediction], rules: str
) -> list[Verdict]:
    """Judge each prediction under one rule set, in the order of the predictions.

    Raises:
        DataError: no such benchmark or rule set; an id that the benchmark lacks; an id and sample
            that appear twice.
    """
    rule = RULES[benchmark_named(benchmark).name].get(rules)
    if rule is None:
        raise DataError(
            f"no rule set {rules!r} for {benchmark}; there are: {', '.join(RULES[benchmark])}"
        )
    by_id = {example.id: example for example in examples}
    seen: set[tuple[str, int]] = set()
    for prediction in predictions:
        if prediction.id not in by_id:
            raise DataError(
                f"prediction {prediction.id!r}: {benchmark} has no such id; "
                "check that predictions and data belong together"
            )
        if (prediction.id, prediction.sample) in seen:
            raise DataError(
                f"prediction {prediction.id!r} appears twice as sample {prediction.sample}; "
                "remove one, or number repeated answers with 'sample'"
            )
        seen.add((prediction.id, prediction.sample))
    return [rule(by_id[prediction.id], prediction) for prediction in predictions]


def score_file(
    predictions_path: Path,
    *,
    benchmark: str,
    data: Path,
    split: str | None = None,
    rules: Sequence[str] | None = None,
    out: Path,
    export: Path | None = None,
) -> dict[str, Any]:
    """Score a file of predictions and write the scored rows to `out`, atomically.

    A prediction row is `{"id", "response"}` with, where known, `sample`, `num_tokens` and
    `truncated`; files of VLMEvalKit and lmms-eval are taken as well (`exchange`). A scored row is
    `{"id", "sample", "extraction", "stage", "gold", "verdicts", "status", "details"}`:
    `extraction` and `stage` are those of the first rule set, and where another one read something
    else, `extractions` has each rule set's own. Images are not needed.

    Args:
        predictions_path: The predictions.
        benchmark: The benchmark's name.
        data: The benchmark's folder or file, or `hf://owner/name`.
        split: Which split of it; None as in `Benchmark.load`.
        rules: The rule sets, the headline one first; all of the benchmark's if None.
        out: Where the scored rows go.
        export: Where the predictions also go: as VLMEvalKit keeps them if it ends in .xlsx or
            .tsv, else as lmms-eval does.

    Returns:
        The summary: `benchmark`, `citation`, `n_benchmark`, `n_predictions`, `missing` (items
        without a prediction; they are not scored as wrong), `partial`, `withheld` (predictions
        for items without a gold answer; they are unscored), and `rules`: rule set -> summary, with
        `range`: the accuracy if the unscored were all wrong, and if they were all right.

    Raises:
        DataError: a file, a row, an id or a rule set is not as it should be.
    """
    chosen = benchmark_named(benchmark)
    inputs = (predictions_path.resolve(), data.resolve())
    for target, option in ((out, "--out"), (export, "--export")):
        if target is not None and target.resolve() in inputs:
            raise DataError(f"{target}: is an input; give another file with {option}")
    if export is not None and export.resolve() == out.resolve():
        raise DataError(f"{out}: is named by --out and by --export; give two files")
    names = tuple(rules) if rules is not None else chosen.rules
    if not names:
        raise DataError(f"no rule set given; {benchmark} has: {', '.join(chosen.rules)}")
    examples = chosen.load(data, images=False, split=split)
    if is_foreign(predictions_path):
        predictions = read_foreign(predictions_path, examples)
    else:
        predictions = read_predictions(predictions_path)
    try:
        verdicts = {name: score(benchmark, examples, predictions, name) for name in names}
    except DataError as error:
        raise DataError(f"{predictions_path}: {error}") from error
    if export is not None:
        write = write_vlmevalkit if export.suffix in (".xlsx", ".tsv") else write_lmms_eval
        write(export, examples, predictions)
    write_jsonl(out, _scored_rows(verdicts))
    ids = {prediction.id for prediction in predictions}
    missing = len(examples) - len(ids)
    traits = traits_of(predictions, form_asked(benchmark))
    return {
        "benchmark": benchmark,
        "citation": chosen.citation,
        "n_benchmark": len(examples),
        "n_predictions": len(predictions),
        "missing": missing,
        "partial": missing > 0,
        "withheld": sum(verdict.gold is None for verdict in verdicts[names[0]]),
        "rules": {
            name: _with_range(
                summarise(
                    examples,
                    predictions,
                    verdicts[name],
                    breakdowns=chosen.breakdowns,
                    cluster=chosen.cluster,
                    scores=chosen.scores,
                    traits=traits,
                    floor=floor_accuracy(RULES[benchmark][name], examples, ids),
                )
            )
            for name in names
        },
    }


def _with_range(summary: Summary) -> dict[str, Any]:
    """The summary and its `range`: the accuracy if the unscored were all wrong, and all right."""
    ends = (summary.correct, summary.correct + summary.unscored)
    return summary.as_dict() | {"range": [end / summary.n for end in ends]}


def read_predictions(path: Path) -> list[Prediction]:
    """Read a JSONL file of predictions.

    Raises:
        DataError: the file is missing or empty, or a row is no prediction.
    """
    predictions = [_prediction(row, f"{path}:{number}") for number, row in read_jsonl(path)]
    if not predictions:
        raise DataError(f"{path}: no predictions in it; each line is one JSON object")
    return predictions


def _prediction(row: Any, where: str) -> Prediction:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, not {type(row).__name__}")
    identity, response = row.get("id"), row.get("response")
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        raise DataError(f"{where}: 'id' must be a text or a whole number")
    if not isinstance(response, str):
        raise DataError(f"{where}: row {identity!r}: 'response' must be a text")
    sample, num_tokens = row.get("sample", 0), row.get("num_tokens", 0)
    truncated = row.get("truncated", False)
    for key, value in (("sample", sample), ("num_tokens", num_tokens)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise DataError(f"{where}: row {identity!r}: {key!r} must be a whole number from 0")
    if not isinstance(truncated, bool):
        raise DataError(f"{where}: row {identity!r}: 'truncated' must be true or false")
    return Prediction(
        id=str(identity),
        response=response,
        sample=sample,
        num_tokens=num_tokens,
        truncated=truncated,
    )


def _scored_rows(verdicts: dict[str, list[Verdict]]) -> list[dict[str, Any]]:
    rows = []
    for judged in zip(*verdicts.values(), strict=True):
        first = judged[0]
        row: dict[str, Any] = {
            "id": first.id,
            "sample": first.sample,
            "extraction": first.extraction.answer,
            "stage": first.extraction.stage,
            "gold": first.gold,
            "verdicts": {verdict.rules: _VERDICT[verdict.status] for verdict in judged},
            "status": {verdict.rules: verdict.status for verdict in judged},
        }
        details = {verdict.rules: verdict.detail for verdict in judged if verdict.detail}
        if details:
            row["details"] = details
        if any(verdict.extraction != first.extraction for verdict in judged):
            row["extractions"] = {
                v.rules: {"answer": v.extraction.answer, "stage": v.extraction.stage}
                for v in judged
            }
        rows.append(row)
    return rows
