from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.experiments.choose import best_rate, best_step, mean_score


def test_the_highest_mean_over_seeds_is_chosen() -> None:
    assert best_rate({1e-4: [0.5, 0.6], 3e-4: [0.9, 0.3], 1e-3: [0.1, 0.8]}) == 3e-4


@given(st.permutations([1e-5, 3e-4, 1e-3]), st.permutations([0.1, 0.2, 0.3]))
def test_of_equal_rates_the_lowest(rates: list[float], values: list[float]) -> None:
    """Whatever their order, and also where sums of the same numbers round differently."""
    scores = {rate: [0.1, 0.2, 0.3] if rate == 1e-3 else list(values) for rate in rates}
    assert best_rate(scores) == 1e-5


def test_a_rate_at_which_a_run_failed_is_not_chosen() -> None:
    assert best_rate({1e-4: [0.1, 0.2], 1e-3: [1.0, None]}) == 1e-4
    assert best_rate({1e-4: [None], 1e-3: [None]}) is None
    assert best_rate({1e-4: []}) is None


def test_the_first_of_the_best_steps_is_chosen() -> None:
    assert best_step({60: 0.5, 40: 0.7, 20: 0.7}) == 20
    assert best_step({20: 0.1, 40: 0.2}) == 40
    assert best_step({}) is None


def test_scores_are_means_over_all_labels_or_none() -> None:
    assert mean_score({"a": 0.25, "b": 0.75, "c": 1.0}, ["a", "b"]) == 0.5
    assert mean_score({"a": 0.25, "b": None}, ["a", "b"]) is None
    assert mean_score({"a": 0.25}, ["a", "b"]) is None
    assert mean_score({}, []) is None
    assert mean_score({"a": 0.0}, ["a"]) == pytest.approx(0.0)
