"""Before a difference is believed: how many tests there were, and what could have been seen."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

# Two-sided 5 %, and 80 % power: a true difference of this many standard errors is found significant
# four times in five.
_DETECTABLE = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.80)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment of p values, in their order.

    The i-th smallest of m is multiplied by m - i + 1, and none becomes smaller than one before it.
    A None, which was no test, stays None and does not count.
    Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted: list[float | None] = [None] * len(p_values)
    tests = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, place) in enumerate(tests):
        largest = max(largest, min(1.0, (len(tests) - rank) * p))
        adjusted[place] = largest
    return adjusted


def detectable_difference(standard_error: float | None) -> float | None:
    """The true difference that a test at two-sided 5 % finds with 80 % power: 2.80 errors.

    Args:
        standard_error: That of the difference. Two runs that agree on every item (an error of 0)
            do not tell how much two runs that differ would vary: the result is then None.
    """
    return _DETECTABLE * standard_error if standard_error else None
