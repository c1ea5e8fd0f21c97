"""From predictions to verdicts: one file of predictions, one or several rule sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdft.config import JudgeConfig
from mmdft.errors import DataError
from mmdft.evals.benchmarks import Benchmark, benchmark_named
from mmdft.evals.exchange import is_foreign, read_foreign, write_lmms_eval, write_vlmevalkit
from mmdft.evals.judge import JUDGED, ask_judge
from mmdft.evals.rules import RULES
from mmdft.evals.stats import floor_accuracy, form_asked, summarise, traits_of
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
    judge: JudgeConfig | None = None,
) -> dict[str, Any]:
    """Score a file of predictions and write the scored rows to `out`, atomically.

    A prediction row is `{"id", "response"}` with, where known, `sample`, `num_tokens` and
    `truncated`; files of VLMEvalKit and lmms-eval are taken as well (`exchange`). A scored row is
    `{"id", "sample", "extraction", "stage", "gold", "verdicts", "status", "details"}`:
    `extraction` and `stage` are those of the first rule set, and where another one read something
    else, `extractions` has each rule set's own. Images are not needed.

    With a judge there is one more rule set, `judged`: what strict (or exact) says where it is
    committed, the judge's word on what it leaves open (`evals.judge`). Its replies are kept in
    `judge.jsonl` beside `out`.

    Args:
        predictions_path: The predictions.
        benchmark: The benchmark's name.
        data: The benchmark's folder or file, or `hf://owner/name`.
        split: Which split of it; None as in `Benchmark.load`.
        rules: The rule sets, the headline one first; all of the benchmark's if None.
        out: Where the scored rows go.
        export: Where the predictions also go: as VLMEvalKit keeps them if it ends in .xlsx or
            .tsv, else as lmms-eval does.
        judge: The language model to ask; None asks none.

    Returns:
        The summary: `benchmark`, `citation`, `n_benchmark`, `n_predictions`, `missing` (items
        without a prediction; they are not scored as wrong), `partial`, `withheld` (predictions
        for items without a gold answer; they are unscored), `headline`: the number that the
        benchmark's authors report first, by the first rule set, and `rules`: rule set -> summary
        (`stats.Summary`). `open` counts what a rule set gave no verdict on although there is a
        gold, and `range` is the score if all that is open were wrong, and if all were right. With a
        judge, `judge`: who was asked what, and how often (`judge.ask_judge`).

    Raises:
        DataError: a file, a row, an id or a rule set is not as it should be.
        ConfigError: the judge's URL names no host, or its client is not installed.
    """
    chosen = benchmark_named(benchmark)
    replies = out.with_name("judge.jsonl")
    _check_targets((predictions_path, data), out, export, None if judge is None else replies)
    names = tuple(rules) if rules is not None else chosen.rules
    if not names:
        raise DataError(f"no rule set given; {benchmark} has: {', '.join(chosen.rules)}")
    if judge is not None:
        names = tuple(dict.fromkeys((*names, JUDGED)))
    elif JUDGED in names:
        raise DataError(f"the rule set {JUDGED!r} needs a judge; name it with --judge")
    examples = chosen.load(data, images=False, split=split)
    if is_foreign(predictions_path):
        predictions = read_foreign(predictions_path, examples)
    else:
        predictions = read_predictions(predictions_path)
    try:
        reading = "strict" if "strict" in chosen.rules else "exact"
        needed = dict.fromkeys(reading if name == JUDGED else name for name in names)
        by_rule = {name: score(benchmark, examples, predictions, name) for name in needed}
    except DataError as error:
        raise DataError(f"{predictions_path}: {error}") from error
    asked = None
    if judge is not None:
        asked = ask_judge(examples, predictions, by_rule[reading], judge, replies)
        by_rule[JUDGED] = asked.verdicts
    verdicts = {name: by_rule[name] for name in names}
    if export is not None:
        write = write_vlmevalkit if export.suffix in (".xlsx", ".tsv") else write_lmms_eval
        write(export, examples, predictions)
    write_jsonl(out, _scored_rows(verdicts))
    ids = {prediction.id for prediction in predictions}
    missing = len(examples) - len(ids)
    traits = traits_of(predictions, form_asked(benchmark))
    by_rules = {
        name: summarise(
            examples,
            predictions,
            verdicts[name],
            breakdowns=chosen.breakdowns,
            cluster=chosen.cluster,
            scores=chosen.scores,
            traits=traits,
            # An empty response is not shown to the judge.
            floor=floor_accuracy(
                RULES[benchmark][reading if name == JUDGED else name], examples, ids
            ),
        ).as_dict()
        for name in names
    }
    return {
        "benchmark": benchmark,
        "citation": chosen.citation,
        "n_benchmark": len(examples),
        "n_predictions": len(predictions),
        "missing": missing,
        "partial": missing > 0,
        "withheld": sum(verdict.gold is None for verdict in verdicts[names[0]]),
        "headline": _headline(chosen, by_rules),
        "rules": by_rules,
        **({} if asked is None else {"judge": asked.account}),
    }


def _check_targets(
    inputs: Sequence[Path], out: Path, export: Path | None, replies: Path | None
) -> None:
    """See that no file is to be two things."""
    taken = [path.resolve() for path in inputs]
    for target, option in ((out, "--out"), (export, "--export")):
        if target is not None and target.resolve() in taken:
            raise DataError(f"{target}: is an input; give another file with {option}")
    if export is not None and export.resolve() == out.resolve():
        raise DataError(f"{out}: is named by --out and by --export; give two files")
    taken += [path.resolve() for path in (out, export) if path is not None]
    if replies is not None and replies.resolve() in taken:
        raise DataError(f"{replies}: is where the judge's replies are kept; use another file name")


def _headline(chosen: Benchmark, by_rules: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The number that the authors report first, by the first rule set.

    The accuracy where these predictions do not make it, such as a worst case of one variant.
    """
    rules, summary = next(iter(by_rules.items()))
    name = chosen.headline
    plain = name == "accuracy" or summary["scores"][name]["value"] is None
    number = summary if plain else summary["scores"][name]
    return {
        "name": "accuracy" if plain else name,
        "rules": rules,
        "value": number["accuracy" if plain else "value"],
        **{key: number[key] for key in ("standard_error", "interval", "range")},
        "n": summary["n"],
        "open": summary["open"],
    }


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
