"""Bootstrap, exact tests, correction and power: by hand, by brute force, and calibrated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.errors import DataError
from mmdft.evals.benchmarks import Score
from mmdft.evals.stats import (
    accuracy_interval,
    bootstrap,
    clustered_error,
    detectable_difference,
    floor_accuracy,
    holm,
    mcnemar_p,
    paired_difference,
    paired_score,
    sign_flip_p,
    summarise,
    swap_p,
)
from mmdft.evals.stats.scores import cluster_counts
from mmdft.records import Example, Extraction, Prediction, Verdict

NONE = Extraction(answer=None, stage="none")


def verdict(item, right, sample=0, rules="exact"):
    status = {True: "correct", False: "wrong", None: "unscored"}[right]
    return Verdict(id=item, sample=sample, rules=rules, status=status, extraction=NONE, gold="1")


def mean(sums):
    return sums[0] / sums[1] if sums[1] else None


# --- Holm and power ---


def test_holm_by_hand():
    # sorted 0.01 0.02 0.03 0.04: times 4, 3, 2, 1 is 0.04 0.06 0.06 0.04, never falling
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.02, None, 0.04]) == pytest.approx([0.04, None, 0.04])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_order_and_is_no_laxer_than_bonferroni(ps):
    found = holm(ps)
    for p, adjusted in zip(ps, found, strict=True):
        assert p <= adjusted <= min(1.0, len(ps) * p) or adjusted == pytest.approx(p)
    for (p, a), (q, b) in itertools.pairwise(sorted(zip(ps, found, strict=True))):
        assert p <= q and a <= b


def test_detectable_difference_by_hand():
    # (1.95996 + 0.84162) * 0.01
    assert detectable_difference(0.01) == pytest.approx(0.0280159, abs=1e-7)
    assert detectable_difference(0.0) is None
    assert detectable_difference(None) is None


def test_a_true_difference_of_that_size_is_found_four_times_in_five():
    random = np.random.default_rng(0)
    n, flips, repeats = 2000, 0.2, 600
    wanted = detectable_difference(math.sqrt(flips / n))
    share = (1 + wanted / flips) / 2  # of the flips that b wins
    won = random.binomial(m := random.binomial(n, flips, repeats), share)
    found = [mcnemar_p(int(k - w), int(w)) <= 0.05 for k, w in zip(m, won, strict=True)]
    assert np.mean(found) == pytest.approx(0.80, abs=0.05)


# --- the bootstrap ---


def test_the_bootstrap_of_a_mean_has_the_closed_form():
    random = np.random.default_rng(1)
    values = random.random(300)
    found = bootstrap(np.column_stack([values, np.ones(300)]), mean, draws=20_000)
    assert found.value == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(values.std() / math.sqrt(300), rel=0.02)
    half = 1.96 * values.std() / math.sqrt(300)
    assert found.interval == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.05 * half
    )
    assert found.clusters == 300


def test_the_bootstrap_of_clusters_has_the_clustered_error():
    random = np.random.default_rng(2)
    sizes = random.integers(1, 6, size=200)
    chance = np.repeat(random.beta(1, 1, size=200), sizes)
    clusters = np.repeat(np.arange(200), sizes)
    right = (random.random(len(chance)) < chance).astype(float)
    counts = np.column_stack([np.bincount(clusters, weights=right), sizes]).astype(float)
    found = bootstrap(counts, mean, draws=8000)
    assert found.standard_error == pytest.approx(clustered_error(right, clusters), rel=0.04)
    plain = math.sqrt(right.mean() * (1 - right.mean()) / len(right))
    assert found.standard_error > 1.15 * plain


def test_the_bootstrap_by_brute_force():
    """All 27 draws of three clusters: the exact spread of a ratio, which is no mean."""
    counts = np.array([[1.0, 1.0], [0.0, 2.0], [3.0, 4.0]])
    draws = [counts[list(draw)].sum(axis=0) for draw in itertools.product(range(3), repeat=3)]
    exact = np.array([mean(row) for row in draws])
    found = bootstrap(counts, mean, draws=40_000)
    assert found.value == 4 / 7
    assert found.standard_error == pytest.approx(exact.std(), rel=0.02)
    assert found.interval == (exact.min(), exact.max())


def test_the_bootstrap_is_the_same_each_time():
    counts = np.random.default_rng(3).random((50, 2))
    assert bootstrap(counts, mean) == bootstrap(counts, mean)
    assert bootstrap(counts, mean) != bootstrap(counts, mean, seed=1)


def test_many_different_clusters_are_drawn_in_parts():
    counts = np.column_stack([np.arange(3000.0), np.ones(3000)])
    found = bootstrap(counts, mean, draws=3000)
    assert found.standard_error == pytest.approx(counts[:, 0].std() / math.sqrt(3000), rel=0.05)


def test_an_undefined_draw_leaves_no_interval():
    # 0 / 0 where the only cluster that counts is not drawn, once in e
    found = bootstrap(np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), mean)
    assert (found.value, found.standard_error, found.interval) == (1.0, None, None)
    assert bootstrap(np.zeros((3, 2)), mean).value is None


def test_clusters_that_are_all_alike_leave_no_interval():
    found = bootstrap(np.array([[0.0, 1.0]] * 24), mean)
    assert (found.value, found.standard_error, found.interval) == (0.0, None, None)


def test_coverage_of_the_bootstrap():
    random = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        counts = random.binomial(4, 0.3, size=120).astype(float)
        low, high = bootstrap(
            np.column_stack([counts, np.full(120, 4.0)]), mean, draws=600
        ).interval
        covered += low <= 0.3 <= high
    assert 0.92 <= covered / 400 <= 0.975


# --- scores of a benchmark ---


def problem(key, parts):
    return [Example(id=f"{key}{i}", turns=(), meta={"key": key}) for i in range(parts)]


def complete(rows):
    """Like We-Math's complete mastery: all parts right, of one problem."""
    return (float(all(verdict.status == "correct" for _, verdict in rows)), 1.0)


WHOLE = Score(name="whole", counts=complete, value=mean)


def test_a_score_over_problems_by_hand():
    examples = [*problem("a", 3), *problem("b", 3), *problem("c", 2)]
    right = dict(zip((e.id for e in examples), (1, 1, 1, 1, 0, 1, 1, 1), strict=True))
    # the verdicts come in another order than the examples
    verdicts = [verdict(e.id, bool(right[e.id])) for e in reversed(examples)]
    counts = cluster_counts(WHOLE, examples, verdicts, "key")
    assert {key: tuple(row) for key, row in counts.items()} == {
        "a": (1, 1),
        "b": (0, 1),
        "c": (1, 1),
    }
    predictions = [Prediction(id=v.id, response="") for v in verdicts]
    found = summarise(examples, predictions, verdicts, cluster="key", scores=[WHOLE])
    assert found.scores["whole"].value == 2 / 3
    assert found.scores["whole"].clusters == 3
    # three draws of (1, 0, 1): binomial(3, 2/3) / 3
    assert found.scores["whole"].standard_error == pytest.approx(math.sqrt(2 / 27), rel=0.05)


def test_the_items_of_a_cluster_come_in_the_order_of_the_examples():
    seen = []
    spy = Score(
        name="spy",
        counts=lambda rows: (seen.append([e.id for e, _ in rows]), (1.0,))[1],
        value=lambda sums: sums[0],
    )
    examples = problem("a", 4)
    cluster_counts(spy, examples, [verdict(i, True) for i in ("a2", "a0", "a3", "a1")], "key")
    assert seen == [["a0", "a1", "a2", "a3"]]


def test_repeated_answers_are_averaged_over_their_samples():
    examples = problem("a", 2)
    verdicts = [verdict(e.id, bool(s == 0 or i), s) for i, e in enumerate(examples) for s in (0, 1)]
    counts = cluster_counts(WHOLE, examples, verdicts, "key")  # sample 0 is whole, sample 1 is not
    assert tuple(counts["a"]) == (0.5, 1.0)


def test_a_paired_score():
    examples = [part for k in range(40) for part in problem(f"p{k}-", 2)]
    a = [verdict(e.id, k % 2 == 0) for k, e in enumerate(examples)]
    b = [verdict(e.id, True) for e in examples]
    found, p = paired_score(WHOLE, examples, a, b, "key")
    assert (found.value, found.clusters, found.interval) == (1.0, 40, None)
    assert p == 1 / 10_000  # none of 9999 random swaps reaches what was observed
    same, p = paired_score(WHOLE, examples, b, b, "key")
    assert (same.value, p) == (0.0, 1.0)
    with pytest.raises(DataError, match="no item in common"):
        paired_score(WHOLE, examples, a[:2], b[2:], "key")


# --- two runs ---


def all_signs(sums):
    total = abs(sum(sums))
    ways = [abs(sum(s * x for s, x in zip(signs, sums, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(sums))]  # fmt: skip
    return sum(way >= total for way in ways) / len(ways)


@given(st.lists(st.integers(-5, 5), max_size=9))
def test_sign_flips_by_brute_force(sums):
    assert sign_flip_p(np.array(sums, dtype=np.int64)) == pytest.approx(all_signs(sums))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 4))
def test_sign_flips_of_single_items_are_mcnemar(only_a, only_b, size):
    sums = np.array([-size] * only_a + [size] * only_b + [0] * 7, dtype=np.int64)
    assert sign_flip_p(sums) == mcnemar_p(only_a, only_b)


def test_sign_flips_of_thousands_of_clusters():
    sums = np.array([1] * 3000 + [2] * 1500 + [-1] * 2800 + [-2] * 1450, dtype=np.int64)
    # close to normal: (200 + 100) / sqrt(5800 + 4 * 2950)
    z = 300 / math.sqrt(5800 + 4 * 2950)
    assert sign_flip_p(sums) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.03)


def test_random_swaps_agree_with_all_swaps():
    a = np.array([[0.0, 3], [1, 3], [2, 3], [0, 3], [1, 3], [3, 3]])
    b = np.array([[3.0, 3], [2, 3], [2, 3], [2, 3], [3, 3], [2, 3]])
    exact = all_signs((b - a)[:, 0].astype(int).tolist())
    assert swap_p(a, b, mean) == pytest.approx(exact, abs=0.02)
    assert swap_p(a, np.zeros_like(b), mean) is None


def test_a_paired_difference_over_clusters():
    clusters = {"1": "x", "2": "x", "3": "y", "4": "z"}
    a = [verdict(i, False) for i in clusters]
    b = [verdict(i, i != "4") for i in clusters]
    found = paired_difference(a, b, clusters=clusters)
    assert (found.n, found.clusters, found.test) == (4, 3, "sign_flip")
    assert found.difference == 0.75
    # sums of d - 3/4: 1/2, 1/4, -3/4
    assert found.standard_error == pytest.approx(math.sqrt(1 / 4 + 1 / 16 + 9 / 16) / 4)
    assert found.p_value == 0.5  # the signs of 2 and 1: only +3 and -3 of four ways are as far
    assert found.detectable == pytest.approx(2.8015852 * found.standard_error)
    single = paired_difference(a, b)
    assert (single.test, single.p_value) == ("mcnemar", 0.25)


def test_the_interval_of_few_flips_by_hand():
    # cells 0.5, 3.5 of n = 12: d = 0.25, error sqrt(4 / 12 - 1 / 16) / sqrt(12)
    a = [verdict(str(i), False) for i in range(10)]
    b = [verdict(str(i), i < 3) for i in range(10)]
    half = 1.959964 * math.sqrt(4 / 12 - 1 / 16) / math.sqrt(12)
    assert paired_difference(a, b).interval == pytest.approx((0.25 - half, 0.25 + half))
    low, high = paired_difference(a, a).interval
    assert low == -high and high > 0  # no flip among ten is no proof of no difference


def runs(random, clusters, size, repeats, effect=0.0):
    """Differences of two runs of equal or unequal skill, a row of cluster sums each."""
    chance = random.beta(2, 2, size=(repeats, clusters, 1))
    shared = random.random((repeats, clusters, size)) < 0.5
    u, v = random.random((2, repeats, clusters, size))
    a, b = u < chance, np.where(shared, u, v) < np.minimum(1, chance + effect)
    return (b.astype(int) - a).sum(axis=2)


@pytest.mark.parametrize(("clusters", "size"), [(400, 1), (80, 5)])
def test_p_values_are_calibrated_where_there_is_no_difference(clusters, size):
    """Exact tests of counts are valid, and uniform but for the step at the observed value."""
    random = np.random.default_rng(5)
    sums = runs(random, clusters, size, 1500)
    ps = np.array([sign_flip_p(row) for row in sums])
    for level in (0.01, 0.05, 0.1, 0.25, 0.5):
        error = math.sqrt(level * (1 - level) / len(ps))
        assert (ps <= level).mean() <= level + 3 * error
    # Within its step, from the p of the next more extreme sum to its own, p is spread evenly.
    totals = sums.sum(axis=1)
    steps = []
    for row, total, p in zip(sums, totals, ps, strict=True):
        further = _p_beyond(row, abs(int(total)))
        steps.append(further + random.random() * (p - further))
    spread = np.sort(steps)
    distance = np.abs(spread - (np.arange(len(spread)) + 0.5) / len(spread)).max()
    assert distance < 1.63 / math.sqrt(len(spread))  # Kolmogorov and Smirnov at 1 %


def _p_beyond(sums, total):
    """Two-sided probability of a sum further from 0 than `total`, by the test's own recursion."""
    density = np.ones(1)
    for size in np.abs(sums[sums != 0]):
        step = np.zeros(size + 1)
        step[[0, -1]] = 0.5
        density = np.convolve(density, step)
    reach = int(np.abs(sums).sum())
    places = 2 * np.arange(reach + 1) - reach
    return float(density[np.abs(places) > total].sum())


@pytest.mark.parametrize(
    ("clusters", "size", "effect"), [(150, 1, 0.0), (150, 1, 0.1), (80, 5, 0.1)]
)
def test_coverage_of_the_paired_interval(clusters, size, effect):
    random = np.random.default_rng(6)
    truth = runs(random, clusters, size, 20_000, effect).mean() / size
    covered = 0
    for row in runs(random, clusters, size, 1000, effect):
        low, high = _interval_of(row, size)
        covered += low <= truth <= high
    assert 0.93 <= covered / 1000 <= 0.97


def _interval_of(row, size):
    """By way of the public function: each cluster's sum spread over its pairs."""
    a, b, clusters = [], [], {}
    for k, total in enumerate(row.tolist()):
        for i in range(size):
            item = f"{k}.{i}"
            clusters[item] = str(k)
            a.append(verdict(item, i < -total))
            b.append(verdict(item, i < total))
    return paired_difference(a, b, clusters=clusters).interval


@pytest.mark.parametrize(("clusters", "size", "p"), [(100, 1, 0.3), (100, 5, 0.3), (200, 10, 0.1)])
def test_coverage_of_the_accuracy_interval(clusters, size, p):
    random = np.random.default_rng(7)
    names = np.repeat(np.arange(clusters), size)
    covered = 0
    for _ in range(1500):
        chance = random.beta(3 * p, 3 * (1 - p), size=clusters)
        right = (random.random((clusters, size)) < chance[:, None]).astype(float).ravel()
        error = clustered_error(right, names)
        low, high = accuracy_interval(int(right.sum()), len(right), error, clusters)
        covered += low <= p <= high
    assert 0.93 <= covered / 1500 <= 0.97


# --- the floor ---


def test_the_floor_is_what_empty_responses_get():
    def lenient(example, prediction):
        assert prediction.response == ""
        return verdict(example.id, {"1": True, "2": False, "3": None}[example.id])

    examples = [Example(id=i, turns=()) for i in "123"]
    assert floor_accuracy(lenient, examples) == 0.5
    assert floor_accuracy(lenient, examples, {"1"}) == 1.0
    assert floor_accuracy(lenient, examples, {"3"}) is None
