r"""What a set of verdicts amounts to: rates, their uncertainty, and paired differences.

Accuracy is correct / scored, where scored = n - unscored; `no_answer` counts as not correct, and
`unscored` is left out because it says nothing about the model. The formulas:

- standard error of an accuracy p over scored items x_i in {0, 1}, in clusters g:
  sqrt( sum_g ( sum_{i in g} (x_i - p) )^2 ) / n. With clusters of one item it is the binomial
  sqrt(p (1 - p) / n). It is the cluster-robust error of a mean without a small-sample factor.
- 95 % interval: Wilson's score interval where every cluster is one item (sensible at 0 and 1 and
  for small n), otherwise p -+ 1.96 standard errors, cut to [0, 1].
- paired difference b - a over the same items, d_i in {-1, 0, 1}, mean d: the same error with d_i
  for x_i, which for single items is sqrt((only_a + only_b) / n - d^2) / sqrt(n); and McNemar's
  exact test, two-sided: under no difference each of the m = only_a + only_b flips is a fair coin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmdft.errors import DataError
from mmdft.records import Example, Prediction, Verdict

_Z95 = 1.959963984540054


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
    truncated_rate: float | None
    mean_tokens: float | None
    clusters: int
    # key -> value of the key -> that group's summary
    breakdowns: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        flat = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "breakdowns"
        }
        flat["interval"] = None if self.interval is None else list(self.interval)
        if self.breakdowns:
            flat["breakdowns"] = {
                key: {value: summary.as_dict() for value, summary in groups.items()}
                for key, groups in self.breakdowns.items()
            }
        return flat


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Accuracy of b minus accuracy of a, over the items that both have scored."""

    n: int
    difference: float
    standard_error: float
    # McNemar's exact p; None where an item was sampled more than once: pairs then hang together.
    p_value: float | None
    both_correct: int
    only_a_correct: int
    only_b_correct: int
    neither_correct: int
    # Items that one side lacks or could not score.
    left_out: int


def summarise(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    verdicts: Sequence[Verdict],
    *,
    breakdowns: Sequence[str] = (),
    cluster: str | None = None,
) -> Summary:
    """Summarise verdicts, over all and per value of each breakdown key.

    Args:
        examples: The benchmark's items; a superset of those judged is fine.
        predictions: One for each verdict, in the same order.
        verdicts: The verdicts of one rule set.
        breakdowns: Keys of `Example.meta`, or "category".
        cluster: The key whose items hang together. Repeated samples of one item always do.
    """
    by_id = {example.id: example for example in examples}
    rows = [
        (by_id[verdict.id], prediction, verdict)
        for prediction, verdict in zip(predictions, verdicts, strict=True)
    ]
    groups: dict[str, dict[str, Summary]] = {}
    for key in breakdowns:
        values = [_value(example, key) for example, _, _ in rows]
        groups[key] = {
            value: _summary(
                [row for row, v in zip(rows, values, strict=True) if v == value], cluster
            )
            for value in sorted(set(values))
        }
    return _summary(rows, cluster, groups)


def paired_difference(
    verdicts_a: Sequence[Verdict], verdicts_b: Sequence[Verdict]
) -> PairedDifference:
    """Compare two sets of verdicts under one rule set, item by item.

    Raises:
        DataError: the two were judged under different rules, or share no scored item.
    """
    rules = {verdict.rules for verdict in (*verdicts_a, *verdicts_b)}
    if len(rules) > 1:
        raise DataError(f"verdicts under different rules cannot be paired: {sorted(rules)}")
    a, b = _scored(verdicts_a), _scored(verdicts_b)
    keys = sorted(a.keys() & b.keys())
    if not keys:
        raise DataError("the two sets of verdicts have no scored item in common")
    counts = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
    for key in keys:
        counts[a[key], b[key]] += 1
    differences = np.array([float(b[key]) - float(a[key]) for key in keys])
    repeated = len({item for item, _ in keys}) < len(keys)
    only_a, only_b = counts[True, False], counts[False, True]
    all_keys = {(v.id, v.sample) for v in (*verdicts_a, *verdicts_b)}
    return PairedDifference(
        n=len(keys),
        difference=float(differences.mean()),
        standard_error=clustered_error(differences, [item for item, _ in keys]),
        p_value=None if repeated else mcnemar_p(only_a, only_b),
        both_correct=counts[True, True],
        only_a_correct=only_a,
        only_b_correct=only_b,
        neither_correct=counts[False, False],
        left_out=len(all_keys) - len(keys),
    )


def clustered_error(
    values: np.ndarray[Any, np.dtype[np.float64]], clusters: Sequence[str]
) -> float:
    """Standard error of the mean of `values`, whose clusters are independent of each other."""
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=values - values.mean())
    return float(np.sqrt(np.sum(sums**2)) / len(values))


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion."""
    p, z2 = correct / n, _Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # The exact bounds at 0 and n; rounding must not leave 1e-17 there.
    return (0.0 if correct == 0 else middle - half, 1.0 if correct == n else middle + half)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Two-sided exact p of McNemar's test, from the counts of the two kinds of flip."""
    flips = only_a + only_b
    tail = sum(math.comb(flips, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / (1 << flips))


def _summary(
    rows: Sequence[tuple[Example, Prediction, Verdict]],
    cluster: str | None,
    breakdowns: Mapping[str, Mapping[str, Summary]] | None = None,
) -> Summary:
    n = len(rows)
    status = [verdict.status for _, _, verdict in rows]
    scored = [(example, verdict) for example, _, verdict in rows if verdict.status != "unscored"]
    clusters = [_value(example, cluster) if cluster else example.id for example, _ in scored]
    accuracy = error = interval = None
    if scored:
        values = np.array([float(verdict.status == "correct") for _, verdict in scored])
        accuracy = float(values.mean())
        error = clustered_error(values, clusters)
        if len(set(clusters)) == len(scored):
            interval = wilson_interval(status.count("correct"), len(scored))
        else:
            interval = (max(0.0, accuracy - _Z95 * error), min(1.0, accuracy + _Z95 * error))
    return Summary(
        n=n,
        correct=status.count("correct"),
        wrong=status.count("wrong"),
        no_answer=status.count("no_answer"),
        unscored=status.count("unscored"),
        accuracy=accuracy,
        standard_error=error,
        interval=interval,
        truncated_rate=sum(p.truncated for _, p, _ in rows) / n if n else None,
        mean_tokens=sum(p.num_tokens for _, p, _ in rows) / n if n else None,
        clusters=len(set(clusters)),
        breakdowns=breakdowns or {},
    )


def _value(example: Example, key: str) -> str:
    return example.category if key == "category" else str(example.meta.get(key, ""))


def _scored(verdicts: Sequence[Verdict]) -> dict[tuple[str, int], bool]:
    return {
        (verdict.id, verdict.sample): verdict.status == "correct"
        for verdict in verdicts
        if verdict.status != "unscored"
    }
