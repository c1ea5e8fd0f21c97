"""Counts and rates of a set of verdicts, over all and by category."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdft.evals.benchmarks import Score
from mmdft.evals.stats.behaviour import Traits, traits_of
from mmdft.evals.stats.bootstrap import Estimate
from mmdft.evals.stats.means import accuracy_interval, clustered_error
from mmdft.evals.stats.planning import detectable_difference
from mmdft.evals.stats.scores import cluster_of, key_value, score_estimate
from mmdft.records import Example, Prediction, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts and rates of one group of verdicts. Rates are None where their count is 0."""

    n: int
    correct: int
    wrong: int
    no_answer: int
    unscored: int
    accuracy: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    # The true difference to an independent run on as many items that is found with 80 % power; on
    # the same items a paired comparison sees smaller ones.
    detectable: float | None
    # Accuracy of empty responses under the same rule; None where it was not asked for.
    floor: float | None
    no_answer_rate: float | None
    truncated_rate: float | None
    # See `behaviour`; format_rate is None where the benchmark asks for no form.
    format_rate: float | None
    repetition_rate: float | None
    # Over the predictions whose number of tokens is known.
    mean_tokens: float | None
    mean_characters: float | None
    clusters: int
    # name of a score -> its estimate
    scores: Mapping[str, Estimate] = field(default_factory=dict)
    # key -> value of the key -> that group's summary
    breakdowns: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        parts = ("scores", "breakdowns")
        flat = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name not in parts
        }
        flat["interval"] = _listed(self.interval)
        if self.scores:
            flat["scores"] = {
                name: asdict(estimate) | {"interval": _listed(estimate.interval)}
                for name, estimate in self.scores.items()
            }
        if self.breakdowns:
            flat["breakdowns"] = {
                key: {value: summary.as_dict() for value, summary in groups.items()}
                for key, groups in self.breakdowns.items()
            }
        return flat


def summarise(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    verdicts: Sequence[Verdict],
    *,
    breakdowns: Sequence[str] = (),
    cluster: str | None = None,
    scores: Sequence[Score] = (),
    traits: Traits | None = None,
    floor: float | None = None,
) -> Summary:
    """Summarise verdicts, over all and per value of each breakdown key.

    Args:
        examples: The benchmark's items; a superset of those judged is fine.
        predictions: One for each verdict, in the same order.
        verdicts: The verdicts of one rule set.
        breakdowns: Keys of `Example.meta`, or "category".
        cluster: The key whose items hang together. Repeated samples of one item always do.
        scores: The benchmark's own scores.
        traits: Those of the predictions, where they are known already.
        floor: The accuracy of empty responses under the same rule, to stand beside the accuracy.
    """
    by_id = {example.id: example for example in examples}
    judged = [by_id[verdict.id] for verdict in verdicts]
    columns = _Columns(
        status=np.array([verdict.status for verdict in verdicts], dtype=object),
        cluster=np.array([cluster_of(example, cluster) for example in judged], dtype=object),
        truncated=np.array([each.truncated for each in predictions], dtype=bool),
        tokens=np.array([each.num_tokens for each in predictions], dtype=np.int64),
        traits=traits_of(predictions) if traits is None else traits,
    )
    if len(predictions) != len(verdicts):
        raise ValueError(f"{len(predictions)} predictions, but {len(verdicts)} verdicts")
    groups: dict[str, dict[str, Summary]] = {}
    for key in breakdowns:
        values = np.array([key_value(example, key) for example in judged], dtype=object)
        groups[key] = {
            value: _summary(columns, np.flatnonzero(values == value))
            for value in sorted(set(values.tolist()))
        }
    return _summary(
        columns,
        np.arange(len(verdicts)),
        floor=floor,
        scores={score.name: score_estimate(score, examples, verdicts, cluster) for score in scores},
        breakdowns=groups,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """All judged predictions, a column each."""

    status: NDArray[np.object_]
    cluster: NDArray[np.object_]
    truncated: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    traits: Traits


def _summary(
    columns: _Columns,
    chosen: NDArray[np.intp],
    *,
    floor: float | None = None,
    scores: Mapping[str, Estimate] | None = None,
    breakdowns: Mapping[str, Mapping[str, Summary]] | None = None,
) -> Summary:
    status = columns.status[chosen]
    correct, wrong, no_answer, unscored = (
        int((status == name).sum()) for name in ("correct", "wrong", "no_answer", "unscored")
    )
    scored = chosen[status != "unscored"]
    clusters = columns.cluster[scored]
    num_clusters = len(set(clusters.tolist()))
    accuracy = error = interval = None
    if len(scored):
        values = (columns.status[scored] == "correct").astype(float)
        accuracy = float(values.mean())
        error = clustered_error(values, clusters.astype(str))
        interval = accuracy_interval(correct, len(scored), error, num_clusters)
    traits, tokens = columns.traits, columns.tokens[chosen]
    return Summary(
        n=len(chosen),
        correct=correct,
        wrong=wrong,
        no_answer=no_answer,
        unscored=unscored,
        accuracy=accuracy,
        standard_error=error,
        interval=interval,
        detectable=detectable_difference(None if error is None else math.sqrt(2) * error),
        floor=floor,
        no_answer_rate=no_answer / len(chosen) if len(chosen) else None,
        truncated_rate=_mean(columns.truncated[chosen]),
        format_rate=None if traits.in_form is None else _mean(traits.in_form[chosen]),
        repetition_rate=_mean(traits.repeats[chosen]),
        # An answer has at least one token: 0 stands for unknown.
        mean_tokens=_mean(tokens[tokens > 0]),
        mean_characters=_mean(traits.characters[chosen]),
        clusters=num_clusters,
        scores=scores or {},
        breakdowns=breakdowns or {},
    )


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
