"""`mmdft sample`: the questions of a training set answered anew, and what is kept as a new one."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mmdft.config import RunConfig, SampleConfig
from mmdft.config_loading import dump_config
from mmdft.data.progress import told
from mmdft.errors import ConfigError, DataError
from mmdft.evals.asking import PREDICTIONS, answer_into, launched_ranks, requests_for
from mmdft.evals.backends import open_backend
from mmdft.evals.folder import FREE_OF_BACKEND, check_folder
from mmdft.evals.rules.staged import strict
from mmdft.evals.scoring import read_predictions
from mmdft.files import read_json, write_json, write_jsonl, write_text
from mmdft.provenance import (
    claim_run_folder,
    fingerprint,
    held,
    keep_to_provenance,
    versions,
)
from mmdft.records import Prediction, Unanswered
from mmdft.rejection.keep import fates
from mmdft.rejection.questions import Question, Questions, read_questions
from mmdft.rejection.report import Answers, report
from mmdft.rejection.write import ImagesBeside, training_row

TRAINING_FILE = "train.jsonl"

# Settings that no answer depends on, or that only say how many are wanted.
_FREE: Any = {
    "output_dir": True,
    "batch_size": True,
    "num_samples": True,
    "keep": True,
    "skip_solved": True,
    "max_kept": True,
    "backend": set(FREE_OF_BACKEND),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleResult:
    """A finished sampling."""

    run_dir: Path
    """configuration, answers, verdicts, rows set aside, and the training file with its images"""
    path: Path | None
    """the training file; None if no answer is kept"""
    summary: dict[str, Any]
    """of `report`, with the rows set aside"""
    unanswered: list[Unanswered]
    """requests that no answer came to; the same call asks them again"""


def sample(config: RunConfig) -> SampleResult:
    """Ask a model the questions of its training data, several times each, and keep what is right.

    Answers are appended as they come: called again, it goes on with those that are lacking; what is
    kept, and how many samples are asked for, may then be other than before. Verdicts are those of
    the rule set `strict`. Processes of one launcher each answer a part.

    Raises:
        ConfigError: no data is named, or the folder holds another sampling.
        DataError: the data cannot be used, or not one question was answered.
        ModelError: the model cannot be loaded.
    """
    settings, run_dir = config.sample, config.sample.output_dir
    if not config.data.train:
        raise ConfigError("data.train is empty; name the data whose questions are asked")
    ranks = launched_ranks(settings.backend.name, "mmdft sample")
    check_folder(run_dir, config, sampling_matters)
    questions = read_questions(config.data, settings)
    examples = [question.example for question in questions.asked]
    pixels = (config.data.min_pixels, config.data.max_pixels)
    backend = open_backend(config.model, settings, pixels)
    with held(run_dir) if ranks.index == 0 else nullcontext():
        if ranks.index == 0:
            claim_run_folder(run_dir, config)
            keep_to_provenance(
                run_dir / "provenance.json",
                {
                    **backend.identity,
                    **backend.details,
                    "versions": versions(),
                    "processes": ranks.number,
                    "data": fingerprint(examples),
                },
                keys=backend.identity,
            )
            write_jsonl(run_dir / "quarantine.jsonl", map(asdict, questions.set_aside))
            _tell(config, questions)
        ranks.wait()
        requests = requests_for(examples, settings)
        unanswered = answer_into(run_dir, requests, backend, settings, ranks)
        if ranks.index == 0:
            _finish(run_dir, questions, unanswered, config, backend.identity["model"])
    ranks.wait()
    path = run_dir / TRAINING_FILE
    return SampleResult(
        run_dir=run_dir,
        path=path if path.is_file() else None,
        summary=read_json(run_dir / "sample.json"),
        unanswered=unanswered,
    )


def sampling_matters(config: RunConfig) -> dict[str, Any]:
    """The settings that questions and answers depend on."""
    return {
        "model": config.model.model_dump(mode="json"),
        "data": config.data.model_dump(mode="json"),
        "sample": config.sample.model_dump(mode="json", exclude=_FREE),
    }


def _tell(config: RunConfig, questions: Questions) -> None:
    lines = [f"asking {len(questions.asked):,} questions {config.sample.num_samples} times"]
    aside = questions.set_aside
    if aside:
        lines.append(
            f"set aside: {len(aside):,} rows, all in quarantine.jsonl; the first: {aside[0]}"
        )
    lines += [
        f"{source.path}: repeat {source.repeat:g} plays no part; each question is asked alike"
        for source in config.data.train
        if source.repeat != 1
    ]
    print("\n".join(lines), file=sys.stderr)


def _finish(
    run_dir: Path,
    questions: Questions,
    unanswered: Sequence[Unanswered],
    config: RunConfig,
    model: str,
) -> None:
    """Score the answers, and write what is kept and how much that is."""
    if not (run_dir / PREDICTIONS).stat().st_size:
        first = unanswered[0]
        raise DataError(
            f"{run_dir}: not one question was answered; the first: {first.id}: {first.reason}"
        )
    answers = _answers(questions.asked, read_predictions(run_dir / PREDICTIONS), config.sample)
    write_jsonl(run_dir / "scored.jsonl", (row for each in answers for row in _scored(each)))
    # It may keep by another rule than when the folder was claimed.
    write_text(run_dir / "config.yaml", dump_config(config))
    _write(run_dir, questions.asked, answers, model, config.sample.temperature)
    set_aside = {
        "bad": len(questions.bad),
        "no_gold": len(questions.no_gold),
        "duplicates": len(questions.duplicates),
    }
    write_json(
        run_dir / "sample.json", {"set_aside": set_aside, **report(answers, len(unanswered))}
    )


def _answers(
    questions: Sequence[Question], predictions: Sequence[Prediction], settings: SampleConfig
) -> list[Answers]:
    """The answers to each question, in the questions' order, with their verdicts and fates."""
    by_id: defaultdict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_id[prediction.id].append(prediction)
    found = []
    for question in told(([each] for each in questions), "scoring questions"):
        given = sorted(by_id[question.example.id], key=lambda each: each.sample)
        verdicts = [strict(question.example, prediction) for prediction in given]
        found.append(
            Answers(
                predictions=tuple(given),
                verdicts=tuple(verdicts),
                fates=tuple(fates(given, verdicts, settings)),
            )
        )
    return found


def _scored(answers: Answers) -> list[dict[str, Any]]:
    return [
        {
            "id": verdict.id,
            "sample": verdict.sample,
            "extraction": verdict.extraction.answer,
            "stage": verdict.extraction.stage,
            "gold": verdict.gold,
            "status": verdict.status,
            "fate": fate,
        }
        | ({"detail": verdict.detail} if verdict.detail else {})
        for verdict, fate in zip(answers.verdicts, answers.fates, strict=True)
    ]


def _write(
    run_dir: Path,
    questions: Sequence[Question],
    answers: Sequence[Answers],
    model: str,
    temperature: float,
) -> None:
    """Write the training file, its images first; without a kept answer there is none."""
    if not any(given.kept for given in answers):
        (run_dir / TRAINING_FILE).unlink(missing_ok=True)
        return
    images = ImagesBeside(run_dir)
    rows = (
        training_row(
            question.example,
            prediction.sample,
            prediction.response,
            {
                "row": question.row_id,
                "source": f"{question.source}:{question.row}",
                "sample": prediction.sample,
                "right": given.right,
                "answers": len(given.predictions),
                "model": model,
                "temperature": temperature,
                "mmdft": version("mmdft"),
            },
            images,
        )
        for question, given in zip(questions, answers, strict=True)
        for prediction in given.kept
    )
    write_jsonl(run_dir / TRAINING_FILE, rows)
