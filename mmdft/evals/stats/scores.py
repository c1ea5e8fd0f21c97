"""The counts that a benchmark's own scores are made of, cluster by cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmdft.evals.benchmarks import Score
from mmdft.evals.stats.bootstrap import Estimate, bootstrap
from mmdft.evals.stats.open_items import closed
from mmdft.records import Example, Verdict


def key_value(example: Example, key: str) -> str:
    """The value of a breakdown or cluster key: one of `Example.meta`, or "category"."""
    return example.category if key == "category" else str(example.meta.get(key, ""))


def cluster_of(example: Example, cluster: str | None) -> str:
    """The cluster that an item belongs to: its own where the benchmark has no key for it."""
    return key_value(example, cluster) if cluster else example.id


def cluster_counts(
    score: Score, examples: Sequence[Example], verdicts: Sequence[Verdict], cluster: str | None
) -> dict[str, NDArray[np.float64]]:
    """The counts of each cluster, in the order of the examples.

    The verdicts of a cluster are given in the order of the examples. Of repeated answers, each
    sample is counted by itself, and the cluster has the mean over its samples.
    """
    by_sample: dict[tuple[str, int], list[tuple[Example, Verdict]]] = defaultdict(list)
    judged: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        judged[verdict.id].append(verdict)
    for example in examples:
        for verdict in judged.get(example.id, ()):
            by_sample[cluster_of(example, cluster), verdict.sample].append((example, verdict))
    counts: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for (name, _), items in by_sample.items():
        counts[name].append(score.counts(items))
    return {name: np.mean(np.array(rows, dtype=float), axis=0) for name, rows in counts.items()}


def score_estimate(
    score: Score,
    examples: Sequence[Example],
    verdicts: Sequence[Verdict],
    cluster: str | None,
    left_open: Sequence[bool],
) -> Estimate:
    """A score with its error and interval, by a bootstrap over clusters, and its range."""
    counts = cluster_counts(score, examples, verdicts, cluster)
    if not counts:
        return Estimate(value=None, standard_error=None, interval=None, clusters=0)
    estimate = bootstrap(np.array(list(counts.values())), score.value)
    if not any(left_open):
        return replace(estimate, range=(estimate.value, estimate.value))
    low, high = (
        score.value(np.sum(list(cluster_counts(score, examples, judged, cluster).values()), axis=0))
        for judged in (closed(verdicts, left_open, right=right) for right in (False, True))
    )
    return replace(estimate, range=(low, high))
