r"""Two runs on the same items.

The difference is b - a over the pairs that both have scored, d_i in {-1, 0, 1}, with the clustered
error of their mean, which for single items is sqrt((only_a + only_b) / n - d^2) / sqrt(n).

The test is exact and two-sided. Under no difference the two runs of a cluster may be swapped, which
turns the sign of the cluster's sum of d_i; p is the probability, over all the ways to choose the
signs, of a sum at least as far from 0. Where every cluster is one pair this is McNemar's exact
test: each of the m = only_a + only_b flips is a fair coin.

The 95 % interval is d -+ 1.96 errors, cut to [-1, 1], after two pairs were added to those there
are: half a one with only b right, half a one with only a right, and one without a difference, each
a cluster of its own. Without these it is too short for few flips, and empty for none. Where every
cluster is one pair it is Agresti and Min's, who add half a pair to each of the four cells
(Statistics in Medicine 24 (2005)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmdft.errors import DataError
from mmdft.evals.benchmarks import Score
from mmdft.evals.benchmarks.scores import share
from mmdft.evals.stats.bootstrap import Estimate, paired_bootstrap, swap_p
from mmdft.evals.stats.means import Z95, clustered_error
from mmdft.evals.stats.planning import detectable_difference
from mmdft.evals.stats.samples import item_values
from mmdft.evals.stats.scores import cluster_counts, cluster_of
from mmdft.records import Example, Verdict

Test = Literal["mcnemar", "sign_flip", "swap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Accuracy of b minus accuracy of a, over the items that both have scored."""

    n: int
    clusters: int
    difference: float
    standard_error: float
    interval: tuple[float, float]
    p_value: float
    test: Test
    # The true difference found with 80 % power; None where the two never differ.
    detectable: float | None
    both_correct: int
    only_a_correct: int
    only_b_correct: int
    neither_correct: int
    # Items that one side lacks or could not score.
    left_out: int

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return asdict(self) | {"interval": list(self.interval)}


def paired_difference(
    verdicts_a: Sequence[Verdict],
    verdicts_b: Sequence[Verdict],
    *,
    clusters: Mapping[str, str] | None = None,
) -> PairedDifference:
    """Compare two sets of verdicts under one rule set, item by item.

    Args:
        verdicts_a: The verdicts on one run.
        verdicts_b: Those on the other.
        clusters: Of each item's id, the cluster it belongs to; None: each item is one. Repeated
            samples of an item are always in one.

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
    groups = [clusters[item] if clusters is not None else item for item, _ in keys]
    names, index = np.unique(np.array(groups), return_inverse=True)
    sums = np.rint(np.bincount(index, weights=differences)).astype(np.int64)
    only_a, only_b = counts[True, False], counts[False, True]
    single = len(names) == len(keys)
    difference, error = float(differences.mean()), clustered_error(differences, index)
    all_keys = {(v.id, v.sample) for v in (*verdicts_a, *verdicts_b)}
    return PairedDifference(
        n=len(keys),
        clusters=len(names),
        difference=difference,
        standard_error=error,
        interval=_interval(sums, np.bincount(index)),
        p_value=mcnemar_p(only_a, only_b) if single else sign_flip_p(sums),
        test="mcnemar" if single else "sign_flip",
        detectable=detectable_difference(error),
        both_correct=counts[True, True],
        only_a_correct=only_a,
        only_b_correct=only_b,
        neither_correct=counts[False, False],
        left_out=len(all_keys) - len(keys),
    )


def paired_score(
    score: Score,
    examples: Sequence[Example],
    verdicts_a: Sequence[Verdict],
    verdicts_b: Sequence[Verdict],
    cluster: str | None,
) -> tuple[Estimate, float | None]:
    """A score of b minus that of a over their common clusters, and the p of the swap test.

    Raises:
        DataError: the two share no cluster.
    """
    a = cluster_counts(score, examples, verdicts_a, cluster)
    b = cluster_counts(score, examples, verdicts_b, cluster)
    common = [name for name in a if name in b]
    if not common:
        raise DataError("the two sets of verdicts have no item in common")
    counts_a, counts_b = (np.array([side[name] for name in common]) for side in (a, b))
    estimate = paired_bootstrap(counts_a, counts_b, score.value)
    return estimate, swap_p(counts_a, counts_b, score.value)


def paired_samples(
    name: str,
    examples: Sequence[Example],
    verdicts_a: Sequence[Verdict],
    verdicts_b: Sequence[Verdict],
    cluster: str | None,
) -> tuple[Estimate, float | None, int]:
    """A score of repeated answers, such as pass@4: b minus a, the p of the swap test, and n.

    It is the mean of the n items' differences, over the items that count on both sides; where none
    does, n is 0 and there is no difference.
    """
    a, b = (item_values(name, examples, verdicts) for verdicts in (verdicts_a, verdicts_b))
    sums: dict[str, NDArray[np.float64]] = {}
    for example in examples:
        if example.id in a and example.id in b:
            group = cluster_of(example, cluster)
            pair = np.array([1, a[example.id], b[example.id]])
            sums[group] = sums.get(group, 0) + pair
    if not sums:
        return Estimate(value=None, standard_error=None, interval=None, clusters=0), None, 0
    counts = np.array(list(sums.values()))
    sides = counts[:, [0, 1]], counts[:, [0, 2]]
    return paired_bootstrap(*sides, share), swap_p(*sides, share), round(counts[:, 0].sum())


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Two-sided exact p of McNemar's test, from the counts of the two kinds of flip."""
    flips = only_a + only_b
    tail = sum(math.comb(flips, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / (1 << flips))


def sign_flip_p(sums: NDArray[np.int64]) -> float:
    """Two-sided exact p that clusters with these sums of differences add up so far from 0.

    The signs of a group of m clusters of one size s add up to s (2 k - m), k binomial; the groups'
    distributions are convolved.
    """
    sizes, often = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    if len(sizes) < 2:
        return mcnemar_p(int((sums < 0).sum()), int((sums > 0).sum()))
    # density[i] is the probability that the signs of the groups so far add up to 2 i - reach.
    density = np.ones(1)
    for size, count in zip(sizes.tolist(), often.tolist(), strict=True):
        group = np.zeros(size * count + 1)
        group[::size] = _coins(count)
        density = np.convolve(density, group)
    total, reach = int(abs(sums.sum())), int(np.abs(sums).sum())
    tail = float(density[(total + reach) // 2 :].sum())
    return min(1.0, 2 * tail) if total else 1.0


def _coins(n: int) -> NDArray[np.float64]:
    """Probabilities of 0 to n heads in n throws."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(n + 1)
    ]
    return np.exp(logs)


def _interval(sums: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[float, float]:
    """The 95 % interval of the mean difference, from each cluster's sum and its number of pairs."""
    n = float(sizes.sum()) + 2
    mean = float(sums.sum()) / n
    squares = float(((sums - sizes * mean) ** 2).sum())
    squares += (1 - mean) ** 2 / 2 + (1 + mean) ** 2 / 2 + mean**2
    half = Z95 * math.sqrt(squares) / n
    return max(-1.0, mean - half), min(1.0, mean + half)


def _scored(verdicts: Sequence[Verdict]) -> dict[tuple[str, int], bool]:
    return {
        (verdict.id, verdict.sample): verdict.status == "correct"
        for verdict in verdicts
        if verdict.status != "unscored"
    }
