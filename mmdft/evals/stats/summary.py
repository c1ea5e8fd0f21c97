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
from mmdft.evals.stats.open_items import is_open
from mmdft.evals.stats.planning import detectable_difference
from mmdft.evals.stats.samples import SampleEstimate, sample_scores
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
    # Those that the rule set left open, which are unscored or no answer (see `open_items`).
    open: int
    accuracy: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    # The accuracy if all open ones are wrong, and if all are right; None without any to judge.
    range: tuple[float, float] | None
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
    # avg@n, pass@k, majority@n -> its estimate; empty where no item has several answers
    samples: Mapping[str, SampleEstimate] = field(default_factory=dict)
    # key -> value of the key -> that group's summary
    breakdowns: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        parts = ("scores", "samples", "breakdowns")
        flat = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name not in parts
        }
        flat["interval"] = _listed(self.interval)
        flat["range"] = _listed(self.range)
        if self.scores:
            flat["scores"] = {
                name: asdict(estimate)
                | {"interval": _listed(estimate.interval), "range": _listed(estimate.range)}
                for name, estimate in self.scores.items()
            }
        if self.samples:
            flat["samples"] = {
                name: asdict(estimate) | {"interval": _listed(estimate.interval)}
                for name, estimate in self.samples.items()
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
    if len(predictions) != len(verdicts):
        raise ValueError(f"{len(predictions)} predictions, but {len(verdicts)} verdicts")
    by_id = {example.id: example for example in examples}
    judged = [by_id[verdict.id] for verdict in verdicts]
    left_open = [
        is_open(v, prediction) for v, prediction in zip(verdicts, predictions, strict=True)
    ]
    columns = _Columns(
        status=np.array([verdict.status for verdict in verdicts], dtype=object),
        cluster=np.array([cluster_of(example, cluster) for example in judged], dtype=object),
        truncated=np.array([each.truncated for each in predictions], dtype=bool),
        tokens=np.array([each.num_tokens for each in predictions], dtype=np.int64),
        traits=traits_of(predictions) if traits is None else traits,
        left_open=np.array(left_open, dtype=bool),
    )
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
        scores={
            score.name: score_estimate(score, examples, verdicts, cluster, left_open)
            for score in scores
        },
        samples=sample_scores(examples, verdicts, cluster),
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
    left_open: NDArray[np.bool_]


def _summary(
    columns: _Columns,
    chosen: NDArray[np.intp],
    *,
    floor: float | None = None,
    scores: Mapping[str, Estimate] | None = None,
    samples: Mapping[str, SampleEstimate] | None = None,
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
    left_open = columns.left_open[chosen]
    num_open, num_judged = int(left_open.sum()), int((left_open | (status != "unscored")).sum())
    return Summary(
        n=len(chosen),
        correct=correct,
        wrong=wrong,
        no_answer=no_answer,
        unscored=unscored,
        open=num_open,
        accuracy=accuracy,
        standard_error=error,
        interval=interval,
        range=(correct / num_judged, (correct + num_open) / num_judged) if num_judged else None,
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
        samples=samples or {},
        breakdowns=breakdowns or {},
    )


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _listed(ends: Sequence[float | None] | None) -> list[float | None] | None:
    return None if ends is None else list(ends)
