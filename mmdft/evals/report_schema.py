"""What a report is made from: the shape of the quickstart's result. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError

# pydantic reads the field types of typing's own TypedDict only from Python 3.12 on.
from typing_extensions import TypedDict

from mmdft.errors import DataError
from mmdft.records import Status


class HistoryPoint(TypedDict):
    """The training statistics of one logged step."""

    step: int
    loss: float
    nll: float
    mean_p: float
    token_accuracy: float
    grad_norm: float


class Probabilities(TypedDict):
    """Histogram of the training tokens' probabilities, and the most frequent tokens at its ends."""

    edges: list[float]
    counts: list[int]
    lowest: list[tuple[str, int]]
    highest: list[tuple[str, int]]


class CategoryScore(TypedDict):
    """Accuracy (0 to 1) within one family."""

    n: int
    accuracy: float
    stderr: float


class SampleScore(TypedDict):
    """A score (0 to 1) of repeated answers, with its 95% interval; None where nothing is scored."""

    value: float | None
    interval: tuple[float, float] | None


class SplitScore(TypedDict):
    """Accuracy (0 to 1) on one split, with the 95% interval from `low` to `high`.

    `samples` has avg@n, pass@k and majority@n, where each question was answered several times.
    `open` counts the responses that the rules left open, and `range` is the accuracy if all of them
    are wrong, and if all are right (see `stats.open_items`).
    """

    n: int
    accuracy: float
    stderr: float
    low: float
    high: float
    no_answer: int
    truncated: int
    samples: NotRequired[dict[str, SampleScore]]
    open: NotRequired[int]
    range: NotRequired[tuple[float, float]]
    categories: dict[str, CategoryScore]


class ModelResult(TypedDict):
    """All that is known of one model. `history` is empty for a model that was not trained."""

    title: str
    history: list[HistoryPoint]
    probabilities: Probabilities
    results: dict[str, SplitScore]


class Difference(TypedDict):
    """Accuracy of model `a` minus that of `b` over the same questions (a fraction, not percent)."""

    split: str
    a: str
    b: str
    difference: float
    stderr: float
    p_value: float
    a_only: int
    b_only: int


class Answer(TypedDict):
    """What one model said to a sample, and the verdict on it."""

    response: str
    answer: str | None
    status: Status


class Sample(TypedDict):
    """One question with its figure (the path of a PNG) and every model's answer."""

    id: str
    image: str
    split: str
    family: str
    question: str
    gold: str
    answers: dict[str, Answer]


class Result(TypedDict):
    """The whole of a report's content; `models` is in the order of display."""

    title: str
    findings: list[str]
    setting: dict[str, str | bool | int | float]
    seconds: dict[str, float]
    peak_memory_mb: float
    versions: dict[str, str]
    command: str
    models: dict[str, ModelResult]
    differences: list[Difference]
    samples: list[Sample]


_RESULT = TypeAdapter(Result)


def check_result(value: Mapping[str, Any]) -> Result:
    """Return `value` as a Result, keys that a report does not use left out.

    Raises:
        DataError: a field is missing or of the wrong kind, or names a model that is not there.
    """
    try:
        result = _RESULT.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"the report's result: {field}: {first['msg']}") from error
    _check_bins(result["models"])
    named: list[tuple[str, Iterable[str]]] = [
        *((f"differences.{i}", (d["a"], d["b"])) for i, d in enumerate(result["differences"])),
        *((f"samples.{sample['id']}", sample["answers"]) for sample in result["samples"]),
    ]
    for place, keys in named:
        for key in keys:
            if key not in result["models"]:
                raise DataError(f"the report's result: {place}: there is no model {key!r}")
    return result


def _check_bins(models: dict[str, ModelResult]) -> None:
    if not models:
        raise DataError("the report's result: models: there must be at least one")
    edges = next(iter(models.values()))["probabilities"]["edges"]
    for key, model in models.items():
        place = f"the report's result: models.{key}.probabilities"
        bins = model["probabilities"]
        if bins["edges"] != edges:
            raise DataError(f"{place}: other edges than the first model's")
        if len(bins["counts"]) != len(edges) - 1:
            raise DataError(
                f"{place}: {len(edges)} edges need {len(edges) - 1} counts, "
                f"not {len(bins['counts'])}"
            )
