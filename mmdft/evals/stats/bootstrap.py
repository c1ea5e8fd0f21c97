"""Scores that are no means: intervals and tests by resampling whole clusters.

A score is a function of sums of counts over clusters, so each draw is one row of a matrix product
`weights @ counts`, where `weights` says how often a cluster was drawn. Clusters with equal counts
are interchangeable: they share a column, which makes the matrix small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Sums of counts -> the score, or None where it is undefined.
Value = Callable[[Sequence[float]], float | None]

DRAWS = 4000
SWAPS = 9999
_SEED = 0
# Numbers drawn at once: 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A score with its uncertainty.

    `value` is None where the score is undefined (0 / 0). Error and 95 % interval are None where it,
    or one of the draws, is, and where all draws are equal: clusters that are all alike, such as
    none that is right, do not tell how much others would vary. `range` is the score if all that is
    open is wrong, and if all is right (`open_items`); None where that was not asked for.
    """

    value: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    clusters: int
    range: tuple[float | None, float | None] | None = None


def bootstrap(
    counts: NDArray[np.float64], value: Value, *, draws: int = DRAWS, seed: int = _SEED
) -> Estimate:
    """A score and its percentile bootstrap over clusters.

    Args:
        counts: Shape (clusters, numbers).
        value: The score of the sums over the clusters.
        draws: Of as many clusters as there are, with replacement.
        seed: Of the draws.
    """
    sums = _resampled(counts, draws, seed)
    return _estimate(value(counts.sum(axis=0)), [value(row) for row in sums], len(counts))


def paired_bootstrap(
    counts_a: NDArray[np.float64],
    counts_b: NDArray[np.float64],
    value: Value,
    *,
    draws: int = DRAWS,
    seed: int = _SEED,
) -> Estimate:
    """The score of b minus that of a, and its percentile bootstrap over their common clusters.

    Args:
        counts_a: Shape (clusters, numbers).
        counts_b: The same clusters, in the same order.
        value: The score of the sums over the clusters.
        draws: Of as many clusters as there are, with replacement.
        seed: Of the draws.
    """
    sums = _resampled(np.hstack([counts_a, counts_b]), draws, seed)
    width = counts_a.shape[1]
    drawn = [_minus(value(row[width:]), value(row[:width])) for row in sums]
    found = _minus(value(counts_b.sum(axis=0)), value(counts_a.sum(axis=0)))
    return _estimate(found, drawn, len(counts_a))


def swap_p(
    counts_a: NDArray[np.float64],
    counts_b: NDArray[np.float64],
    value: Value,
    *,
    draws: int = SWAPS,
    seed: int = _SEED,
) -> float | None:
    """Two-sided p of a permutation test: under no difference a cluster's runs may be swapped.

    The share of random swaps, the observed one among them, whose difference is at least as large.
    A draw with an undefined score counts as such. None where the observed score is undefined.
    """
    found = _minus(value(counts_b.sum(axis=0)), value(counts_a.sum(axis=0)))
    if found is None:
        return None
    width = counts_a.shape[1]
    rows, often = np.unique(np.hstack([counts_a, counts_b]), axis=0, return_counts=True)
    gain = rows[:, width:] - rows[:, :width]
    a, b = often @ rows[:, :width], often @ rows[:, width:]
    random = np.random.default_rng(seed)
    as_large = 0
    for size in _chunks(draws, len(rows)):
        moved = random.binomial(often, 0.5, size=(size, len(rows))) @ gain
        for change in moved:
            drawn = _minus(value(b - change), value(a + change))
            # Equal but for rounding is equal.
            as_large += drawn is None or abs(drawn) >= abs(found) - 1e-12
    return (1 + as_large) / (1 + draws)


def _resampled(counts: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    """Sums over resampled clusters, shape (draws, numbers)."""
    rows, often = np.unique(counts, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    share = often / len(counts)
    sums = [
        random.multinomial(len(counts), share, size=size) @ rows
        for size in _chunks(draws, len(rows))
    ]
    return np.concatenate(sums)


def _chunks(draws: int, width: int) -> Iterator[int]:
    most = max(1, _CHUNK // width)
    for start in range(0, draws, most):
        yield min(most, draws - start)


def _minus(b: float | None, a: float | None) -> float | None:
    return None if a is None or b is None else b - a


def _estimate(value: float | None, drawn: Sequence[float | None], clusters: int) -> Estimate:
    known = np.array([each for each in drawn if each is not None])
    if value is None or len(known) < len(drawn) or np.ptp(known) == 0:
        return Estimate(value=value, standard_error=None, interval=None, clusters=clusters)
    low, high = np.quantile(known, [0.025, 0.975])
    return Estimate(
        value=value,
        standard_error=float(known.std()),
        interval=(float(low), float(high)),
        clusters=clusters,
    )
