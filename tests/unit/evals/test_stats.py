import itertools
import json
import math
import random

import pytest

from mmdft.errors import DataError
from mmdft.evals.stats import mcnemar_p, paired_difference, summarise, wilson_interval
from mmdft.records import Example, Extraction, Prediction, Verdict

STATUS = {"c": "correct", "w": "wrong", "n": "no_answer", "u": "unscored"}


def verdicts(statuses, rules="exact", samples=1):
    return [
        Verdict(
            id=str(i // samples),
            sample=i % samples,
            rules=rules,
            status=STATUS[s],
            extraction=Extraction(answer=None, stage="none"),
            gold="1",
        )
        for i, s in enumerate(statuses)
    ]


def summary(statuses, samples=1, groups=None, **options):
    judged = verdicts(statuses, samples=samples)
    predictions = [
        Prediction(id=v.id, response="", sample=v.sample, num_tokens=10 + i, truncated=i == 0)
        for i, v in enumerate(judged)
    ]
    ids = dict.fromkeys(v.id for v in judged)
    examples = [
        Example(id=i, turns=(), category="ab"[k % 2], meta={"g": groups[k] if groups else k})
        for k, i in enumerate(ids)
    ]
    return summarise(examples, predictions, judged, **options)


def test_counts_and_rates():
    found = summary("cccwnu")
    assert (found.n, found.correct, found.wrong, found.no_answer, found.unscored) == (6, 3, 1, 1, 1)
    assert found.accuracy == 3 / 5  # the unscored item is left out, the one without answer is not
    assert found.truncated_rate == 1 / 6
    assert found.mean_tokens == 12.5


def test_standard_error_is_binomial_for_single_items():
    assert summary("cccw").standard_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_wilson_by_hand():
    # p = 8/10, z = 1.96: (0.8 + 0.19207 -+ 1.96 sqrt(0.016 + 0.009604)) / 1.38415
    low, high = wilson_interval(8, 10)
    assert low == pytest.approx(0.4902, abs=5e-5)
    assert high == pytest.approx(0.9433, abs=5e-5)
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0
    assert wilson_interval(0, 10)[1] == pytest.approx(0.2775, abs=5e-5)


def test_clustered_error_by_hand():
    # two clusters (c c) and (w c): p = 3/4, residual sums 0.5 and -0.5, se = sqrt(0.5) / 4
    found = summary("ccwc", groups="xxyy", cluster="g")
    assert found.clusters == 2
    assert found.standard_error == pytest.approx(math.sqrt(0.5) / 4)
    # as many independent items: 0.75 * 0.25 / (0.5 / 16) = 6, which is more than there are
    assert found.interval == wilson_interval(3, 4)


def test_the_interval_of_clusters_has_fewer_items():
    # four clusters of two alike: p = 1/2, error sqrt(4) / 8, 0.25 / (4 / 64) = 4 items
    found = summary("ccccwwww", groups="wxyz" * 2, cluster="g")
    assert found.interval == wilson_interval(4, 8)  # unlike ones: 8 items, each its own
    found = summary("ccwwccww", groups="wwxxyyzz", cluster="g")
    assert found.standard_error == pytest.approx(1 / 4)
    assert found.interval == pytest.approx(wilson_interval(2, 4))
    # at 0 the error says nothing, and the clusters count
    assert summary("wwww", groups="xxyy", cluster="g").interval == wilson_interval(0, 2)


def test_repeated_samples_are_one_cluster_each():
    found = summary("ccwwcc", samples=2)
    assert found.clusters == 3
    # all variation is between items: sums 2/3, -4/3, 2/3
    assert found.standard_error == pytest.approx(math.sqrt(4 / 9 + 16 / 9 + 4 / 9) / 6)


def test_clustered_error_by_brute_force():
    """The bootstrap over all draws of clusters has the same variance, to first order exactly."""
    clusters = [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0)]  # equal sizes: the mean is linear, so exact
    means = [
        sum(sum(c) for c in draw) / 6 for draw in itertools.product(clusters, repeat=len(clusters))
    ]
    centre = sum(means) / len(means)
    spread = math.sqrt(sum((m - centre) ** 2 for m in means) / len(means))
    found = summary("ccwwcw", groups="xxyyzz", cluster="g")
    assert found.standard_error == pytest.approx(spread)


def test_breakdowns_add_up_and_are_json():
    found = summary("ccwnuc", breakdowns=("category", "g"))
    parts = found.breakdowns["category"]
    assert set(parts) == {"a", "b"}
    assert sum(part.n for part in parts.values()) == found.n
    assert sum(part.correct for part in parts.values()) == found.correct
    assert parts["a"].accuracy == 1 / 2  # c, w, u
    assert json.loads(json.dumps(found.as_dict()))["breakdowns"]["category"]["a"]["n"] == 3


def test_nothing_scored_has_no_rates():
    found = summary("uu")
    assert (found.accuracy, found.standard_error, found.interval) == (None, None, None)
    assert summarise([], [], []).accuracy is None


def test_mcnemar_by_hand():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(0, 5) == 2 / 32
    assert mcnemar_p(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar_p(3, 3) == 1.0
    assert 0 < mcnemar_p(400, 900) < 1e-30  # 2**1300 is beyond floats


def test_mcnemar_by_brute_force():
    flips, fewer = 9, 2
    heads = [sum(coins) for coins in itertools.product((0, 1), repeat=flips)]
    as_extreme = sum(h <= fewer or h >= flips - fewer for h in heads)
    assert mcnemar_p(fewer, flips - fewer) == pytest.approx(as_extreme / len(heads))


def test_paired_difference_by_hand():
    #                           b: 2 only, a: 1 only, one unscored on a side
    found = paired_difference(verdicts("cwwcwu"), verdicts("ccccnc")[:4] + verdicts("ccccww")[4:])
    assert (found.n, found.left_out) == (5, 1)
    assert (found.only_a_correct, found.only_b_correct) == (0, 2)
    assert (found.both_correct, found.neither_correct) == (2, 1)
    assert found.difference == pytest.approx(2 / 5)
    assert found.standard_error == pytest.approx(math.sqrt((2 / 5 - (2 / 5) ** 2) / 5))
    assert found.p_value == 0.5


def test_paired_difference_against_brute_force():
    rng = random.Random(0)
    a = [rng.choice("cw") for _ in range(200)]
    b = [rng.choice("ccw") for _ in range(200)]
    found = paired_difference(verdicts(a), verdicts(b))
    d = [(y == "c") - (x == "c") for x, y in zip(a, b, strict=True)]
    mean = sum(d) / len(d)
    assert found.difference == pytest.approx(mean)
    variance = sum((x - mean) ** 2 for x in d) / len(d)
    assert found.standard_error == pytest.approx(math.sqrt(variance / len(d)))


def test_repeated_samples_are_no_mcnemar():
    found = paired_difference(verdicts("cwcw", samples=2), verdicts("cccc", samples=2))
    # two coins, one for each item, and both fell the same way; four coins would be 1 / 8
    assert (found.test, found.p_value, found.clusters) == ("sign_flip", 0.5, 2)
    # both items gain one of two: the differences hang together and leave no error at all
    assert found.standard_error == 0.0
    assert found.detectable is None
    assert found.interval[0] < 0.5 < found.interval[1]


def test_pairs_need_one_rule_and_a_common_item():
    with pytest.raises(DataError, match="different rules"):
        paired_difference(verdicts("c"), verdicts("c", rules="strict"))
    with pytest.raises(DataError, match="no scored item"):
        paired_difference(verdicts("c"), verdicts("u"))
