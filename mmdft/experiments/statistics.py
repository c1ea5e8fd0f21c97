r"""How sure a mean over seeds is, and whether two variants differ: over items *and* over seeds.

A spread is the mean of one value per seed with Student's 95 % interval, m -+ t s / sqrt(S): what
other seeds would give on these very items.

A test is of the differences d[s, i] = a - b on the same item i after trainings with the same seed
s (the same data order), each 0 or 1, or the share of k samples. It asks whether the mean would be
other than 0 with other seeds *and* other items. The model is that of two crossed random effects,

    d[s, i] = delta + seed[s] + item[i] + rest[s, i],

of which the mean over all has the variance (MS_seeds + MS_items - MS_rest) / (S I) in the mean
squares of the two-way analysis of variance without repetition (Searle, Casella and McCulloch,
Variance Components, 1992, chapter 4; it is also the two-way clustered variance of Cameron, Gelbach
and Miller, Journal of Business & Economic Statistics 29 (2011), with small-sample factors). It is
estimated from few seeds, so it is never taken to be less than MS_seeds / (S I), which is the paired
t test over seeds, nor MS_items / (S I), that over items. The statistic is referred to Student's t
with Satterthwaite's degrees of freedom (Biometrics Bulletin 2 (1946)). A test over seeds alone
would call what is a matter of these items significant: a unit test holds the sizes of both.

It assumes that seeds, and items, are independent draws of those one speaks about, and that means
over them are near enough to normal, which a handful of items that differ are not. With one seed it
is the paired t test over items, and says nothing of other seeds. The base has no seeds: there b is
the same for each s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from mmdft.evals.stats import holm, mcnemar_p
from mmdft.experiments.schema import Spread, Test

OVER_BOTH = "two-way t test over items and seeds"
OVER_ITEMS = "paired t test over items (one seed)"
EXACT = "exact sign test over items (all differ alike)"


def spread(values: Sequence[float], *, share: bool = True) -> Spread | None:
    """The mean over seeds and its interval; None without a value.

    Args:
        values: one for each seed.
        share: whether they lie between 0 and 1, beyond which the interval then does not go.
    """
    if not values:
        return None
    array = np.array(values, dtype=float)
    mean = float(array.mean())
    low = high = None
    if len(values) > 1:
        error = float(array.std(ddof=1)) / math.sqrt(len(values))
        low, high = _around(mean, error, len(values) - 1)
        if share:
            low, high = max(0.0, low), min(1.0, high)
    return Spread(mean=mean, low=low, high=high, values=[float(value) for value in values])


def paired_test(
    benchmark: str,
    measure: str,
    a: tuple[str, Sequence[Mapping[str, float]]],
    b: tuple[str, Sequence[Mapping[str, float]]],
) -> Test | None:
    """Test a minus b; None if they have no item in common.

    Args:
        benchmark: its label.
        measure: what of it.
        a: a name, and for each seed item -> how right it is, 0 to 1.
        b: the same seeds in the same order, or one set of answers for all of them.
    """
    name_a, of_a = a
    name_b, of_b = b
    if len(of_b) == 1:
        of_b = [*of_b] * len(of_a)
    pairs = list(zip(of_a, of_b, strict=True))
    items = sorted(set.intersection(*(set(one) & set(other) for one, other in pairs)))
    if not items:
        return None
    differences = np.array([[one[i] - other[i] for i in items] for one, other in pairs])
    found = mean_test(differences)
    return Test(benchmark=benchmark, measure=measure, a=name_a, b=name_b, **found)


def mean_test(differences: NDArray[np.float64]) -> dict[str, Any]:
    """Whether the mean of the differences, shape (seeds, items), is other than 0.

    Returns:
        `difference`, the 95 % interval from `low` to `high`, `p_value`, two-sided, and `test`, the
        name of what was done. Without a way to tell, the last but one and the interval are None.
    """
    seeds, items = differences.shape
    mean = float(differences.mean())
    name = OVER_BOTH if seeds > 1 else OVER_ITEMS
    if items < 2:
        return {"difference": mean, "low": None, "high": None, "p_value": None, "test": name}
    variance, freedom = _variance(differences)
    if variance == 0:
        # All are equal: without a difference there is nothing to find; with one, t is infinite.
        p = mcnemar_p(0, items) if mean else 1.0
        name = EXACT if mean else name
        return {"difference": mean, "low": None, "high": None, "p_value": p, "test": name}
    error = math.sqrt(variance)
    low, high = _around(mean, error, freedom)
    return {
        "difference": mean,
        "low": max(-1.0, low),
        "high": min(1.0, high),
        "p_value": float(2 * student.sf(abs(mean) / error, freedom)),
        "test": name,
    }


def corrected(tests: Sequence[Test]) -> list[Test]:
    """The tests with Holm's correction over all of them."""
    adjusted = holm([test.p_value for test in tests])
    return [
        test.model_copy(update={"p_corrected": p}) for test, p in zip(tests, adjusted, strict=True)
    ]


def _variance(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The variance of the mean over seeds and items, and its degrees of freedom."""
    seeds, items = differences.shape
    mean = differences.mean()
    of_seeds, of_items = differences.mean(axis=1) - mean, differences.mean(axis=0) - mean
    by_items = seeds * float((of_items**2).sum()) / (items - 1)
    if seeds == 1:
        return _no_dust(by_items) / items, items - 1
    by_seeds = items * float((of_seeds**2).sum()) / (seeds - 1)
    rest = differences - mean - of_seeds[:, None] - of_items[None, :]
    by_rest = float((rest**2).sum()) / ((seeds - 1) * (items - 1))
    both = by_seeds + by_items - by_rest
    freedom = math.inf
    if both > 0:
        parts = (
            (by_seeds, seeds - 1),
            (by_items, items - 1),
            (by_rest, (seeds - 1) * (items - 1)),
        )
        freedom = both**2 / sum(square**2 / degrees for square, degrees in parts)
    # The difference of mean squares is known no worse than the worse known of them.
    freedom = max(freedom, min(seeds, items) - 1)
    largest, degrees = max((by_seeds, seeds - 1), (by_items, items - 1))
    if both < largest:
        both, freedom = largest, degrees
    return _no_dust(both) / (seeds * items), freedom


def _no_dust(square: float) -> float:
    """Rounding leaves 1e-33 where all are equal."""
    return square if square > 1e-20 else 0.0


def _around(mean: float, error: float, freedom: float) -> tuple[float, float]:
    half = float(student.ppf(0.975, freedom)) * error
    return mean - half, mean + half
