"""Answers that were recorded before: a file of predictions, or the folder of an evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmdft.config import DecodingConfig
from mmdft.errors import ConfigError, DataError
from mmdft.evals.backends import Backend
from mmdft.evals.exchange import is_foreign, read_foreign
from mmdft.evals.scoring import read_predictions
from mmdft.records import Prediction, Request, Unanswered

_IN_FOLDER = "*/predictions.jsonl"


def open_recorded(settings: DecodingConfig) -> Backend:
    """A backend that gives the answers recorded at `settings.backend.path`.

    That is a file as `mmdft score` takes it, for an evaluation of one benchmark, or the folder of
    an evaluation, whose benchmarks have the same labels. A request that it has no answer to, by the
    item's id and the sample, is unanswered; answers that are not asked for are left out.

    Raises:
        DataError: there is no such file, or no predictions in the folder. While answering: a row
            is damaged, or an id and sample appear twice.
        ConfigError: while answering: one file is asked for the answers of several benchmarks.
    """
    path = settings.backend.path
    if path is None:
        raise ConfigError("the backend recorded needs path; set backend.path")
    files = {file.parent.name: file for file in sorted(path.glob(_IN_FOLDER))}
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; mend backend.path")
    if path.is_dir() and not files:
        raise DataError(
            f"{path}: no {_IN_FOLDER} in it; set backend.path to the folder of an evaluation"
        )
    asked: set[str] = set()

    def answer(requests: Sequence[Request]) -> Iterator[list[Prediction | Unanswered]]:
        for label in dict.fromkeys(request.benchmark for request in requests):
            asked.add(label)
            if not files and len(asked) > 1:
                raise ConfigError(
                    f"{path} is one file, and the answers of {' and '.join(sorted(asked))} are "
                    "asked for; set backend.path to the folder of an evaluation"
                )
            wanted = [request for request in requests if request.benchmark == label]
            yield _answers(files.get(label) if files else path, wanted, path)

    return Backend(
        identity={"backend": "recorded", "model": _digest(files or {"": path}), "pixels": None},
        details={"path": str(path)},
        answer=answer,
    )


def _answers(
    file: Path | None, requests: Sequence[Request], path: Path
) -> list[Prediction | Unanswered]:
    if file is None:
        raise DataError(
            f"{path}: no folder {requests[0].benchmark!r} with answers in it; give the benchmark "
            "the label that it had there, or leave it out"
        )
    recorded: dict[tuple[str, int], Prediction] = {}
    for prediction in _read(file, requests):
        if (prediction.id, prediction.sample) in recorded:
            raise DataError(
                f"{file}: prediction {prediction.id!r} appears twice as sample "
                f"{prediction.sample}; remove one, or number repeated answers with 'sample'"
            )
        recorded[prediction.id, prediction.sample] = prediction
    return [
        recorded.get((request.example.id, request.sample))
        or Unanswered(
            id=request.example.id, sample=request.sample, reason=f"no recorded answer in {file}"
        )
        for request in requests
    ]


def _read(file: Path, requests: Sequence[Request]) -> list[Prediction]:
    if not is_foreign(file):
        return read_predictions(file)
    examples = {request.example.id: request.example for request in requests}
    return read_foreign(file, list(examples.values()), partial=True)


def _digest(files: dict[str, Path]) -> str:
    """What tells these answers from others: a hash of the files' names and contents."""
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(f"{name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"
