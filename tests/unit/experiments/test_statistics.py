from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from mmdft.experiments.schema import Test
from mmdft.experiments.statistics import (
    EXACT,
    OVER_BOTH,
    OVER_ITEMS,
    corrected,
    mean_test,
    paired_test,
    spread,
)

differences = st.tuples(st.integers(2, 5), st.integers(2, 20)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]))
)


def test_a_spread_is_students_interval() -> None:
    found = spread([0.5, 0.6, 0.7])
    assert found is not None and found.low is not None and found.high is not None
    # t(2) at 0.975 is 4.30265, the error 0.1 / sqrt(3).
    assert found.mean == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx((0.6 - 0.248414, 0.6 + 0.248414), abs=1e-6)
    assert found.values == [0.5, 0.6, 0.7]


def test_a_share_stays_a_share_and_a_length_does_not() -> None:
    share, length = spread([0.0, 1.0]), spread([10.0, 30.0], share=False)
    assert share is not None and (share.low, share.high) == (0.0, 1.0)
    assert length is not None and length.high is not None and length.high > 100


def test_one_seed_has_no_interval_and_none_no_spread() -> None:
    found = spread([0.25])
    assert found is not None and (found.mean, found.low, found.high) == (0.25, None, None)
    assert spread([]) is None


@given(differences)
def test_the_variance_is_that_of_two_crossed_effects(d: np.ndarray[Any, Any]) -> None:
    """By the formulas of the analysis of variance, written out; never less than one way alone."""
    seeds, items = d.shape
    found = mean_test(d)
    assert found["difference"] == pytest.approx(d.mean())
    if found["low"] is None:
        assert np.ptp(d.mean(axis=0)) < 1e-9 and np.ptp(d.mean(axis=1)) < 1e-9
        return
    of_seeds = items * np.var(d.mean(axis=1), ddof=1)
    of_items = seeds * np.var(d.mean(axis=0), ddof=1)
    total = ((d - d.mean()) ** 2).sum()
    rest = total - (seeds - 1) * of_seeds - (items - 1) * of_items
    rest /= (seeds - 1) * (items - 1)
    variance = max(of_seeds + of_items - rest, of_seeds, of_items) / (seeds * items)
    # What t is, read off the p value, is the mean over that error for some degrees of freedom,
    # of which there are no fewer than of the smaller side.
    fewest, most = min(seeds, items) - 1, 1e9
    t = abs(d.mean()) / math.sqrt(variance)
    assert 2 * stats.t.sf(t, most) - 1e-9 <= found["p_value"] <= 2 * stats.t.sf(t, fewest) + 1e-9
    for axis in (0, 1):
        means = d.mean(axis=axis)
        assert variance >= np.var(means, ddof=1) / len(means) - 1e-12


@given(differences)
def test_the_other_way_round_it_is_the_same_test(d: np.ndarray[Any, Any]) -> None:
    one, other = mean_test(d), mean_test(-d)
    assert one["p_value"] == pytest.approx(other["p_value"])
    assert one["difference"] == pytest.approx(-other["difference"])
    if one["low"] is not None:
        assert (one["low"], one["high"]) == pytest.approx((-other["high"], -other["low"]))


@given(arrays(np.float64, (1, 12), elements=st.sampled_from([-1.0, 0.0, 1.0])))
def test_with_one_seed_it_is_the_paired_t_test_over_items(d: np.ndarray[Any, Any]) -> None:
    found = mean_test(d)
    if np.ptp(d) == 0:
        assert found["p_value"] == (2 / 2**12 if d.any() else 1.0)
        return
    assert found["test"] == OVER_ITEMS
    assert found["p_value"] == pytest.approx(stats.ttest_1samp(d[0], 0).pvalue)


def test_equal_answers_and_ones_that_all_differ() -> None:
    same = mean_test(np.zeros((3, 10)))
    assert (same["difference"], same["p_value"], same["low"]) == (0.0, 1.0, None)
    apart = mean_test(np.ones((3, 10)))
    assert (apart["p_value"], apart["test"]) == (2 / 2**10, EXACT)
    assert mean_test(np.ones((3, 1)))["p_value"] is None


@pytest.mark.parametrize(
    ("of_seeds", "of_items", "rest"), [(0.0, 0.0, 0.5), (0.05, 0.3, 0.3), (0.0, 0.4, 0.2)]
)
def test_without_a_difference_it_finds_one_in_twenty(
    of_seeds: float, of_items: float, rest: float
) -> None:
    """Also where what differs is a matter of the items, which a test over seeds takes for sure."""
    random = np.random.default_rng(0)
    draws, seeds, items = 400, 5, 120
    found, of_one_side = 0, 0
    for _ in range(draws):
        d = random.normal(0, of_seeds, (seeds, 1)) + random.normal(0, of_items, (1, items))
        d = np.clip(np.rint(1.3 * (d + random.normal(0, rest, (seeds, items)))), -1, 1)
        found += mean_test(d)["p_value"] < 0.05
        of_one_side += stats.ttest_1samp(d.mean(axis=1), 0).pvalue < 0.05
    assert found / draws < 0.08
    if of_items > rest:
        assert of_one_side / draws > 0.25


def test_a_true_difference_is_found() -> None:
    random = np.random.default_rng(1)
    a, b = (random.random((5, 200)) < share for share in (0.7, 0.5))
    found = mean_test(a.astype(float) - b)
    assert found["p_value"] < 0.01
    assert found["low"] < 0.2 < found["high"]


def test_items_are_paired_by_their_ids_and_the_base_with_every_seed() -> None:
    a = [{"x": 1.0, "y": 0.0, "z": 1.0}, {"z": 1.0, "y": 1.0, "x": 1.0}]
    found = paired_test("test", "greedy", ("dft", a), ("base", [{"y": 0.0, "x": 0.5, "w": 1.0}]))
    assert found is not None
    # On x and y: 0.5 and 0 with the first seed, 0.5 and 1 with the second.
    assert (found.difference, found.a, found.b, found.test) == (0.5, "dft", "base", OVER_BOTH)
    assert paired_test("test", "greedy", ("a", [{"x": 1.0}]), ("b", [{"y": 1.0}])) is None
    with pytest.raises(ValueError):
        paired_test("test", "greedy", ("a", a), ("b", [a[0]] * 3))


def test_the_correction_is_over_all_tests() -> None:
    def test(p: float | None) -> Test:
        return Test(benchmark="t", measure="greedy", a="a", b="b", difference=0.1, p_value=p)

    found = corrected([test(0.01), test(None), test(0.04), test(0.03)])
    assert [each.p_corrected for each in found] == [
        pytest.approx(0.03),
        None,
        pytest.approx(0.06),
        pytest.approx(0.06),
    ]
