r"""The error of a mean, and its interval.

- Standard error of the mean m of values x_i in clusters g:
  sqrt( sum_g ( sum_{i in g} (x_i - m) )^2 ) / n. With clusters of one item and x_i in {0, 1} it
  is the binomial sqrt(m (1 - m) / n). It is the cluster-robust error without a small-sample factor.
- 95 % interval of an accuracy p: Wilson's score interval, which is sensible at 0 and 1 and for
  small n, for as many independent items as would have the clustered error, p (1 - p) / error^2,
  but never more than there are; at 0 and 1, where the error says nothing, for the number of
  clusters. Where every cluster is one item that number is n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z95 = NormalDist().inv_cdf(0.975)


def clustered_error(values: NDArray[np.float64], clusters: Sequence[str] | NDArray[Any]) -> float:
    """Standard error of the mean of `values`, whose clusters are independent of each other."""
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=values - values.mean())
    return float(np.sqrt(np.sum(sums**2)) / len(values))


def accuracy_interval(correct: float, n: int, error: float, clusters: int) -> tuple[float, float]:
    """95 % interval of correct / n, whose clustered error is `error`."""
    p = correct / n
    if correct in (0, n):
        return wilson_interval(p * clusters, clusters)
    independent = n if error == 0 else min(n, p * (1 - p) / error**2)
    return wilson_interval(p * independent, independent)


def wilson_interval(correct: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion, of which neither part need be whole."""
    p, z2 = correct / n, Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # The exact bounds at 0 and n; rounding must not leave 1e-17 there.
    return (0.0 if correct == 0 else middle - half, 1.0 if correct == n else middle + half)
