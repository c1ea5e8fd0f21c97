"""avg@n, pass@k and majority@n: against all subsets, by hand, and as invariants."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.evals.stats import clustered_error, paired_samples, sample_scores, summarise
from mmdft.evals.stats.samples import item_values, majority, measures, pass_at
from mmdft.records import Example, Extraction, Prediction, Verdict

STATUS = {"c": "correct", "w": "wrong", "n": "no_answer", "u": "unscored"}


def judged(item, letters, answers=None):
    """A verdict for each letter of `letters`; the answers given, or none."""
    answers = answers or [None] * len(letters)
    return [
        Verdict(
            id=item,
            rules="strict",
            status=STATUS[letter],
            extraction=Extraction(answer=answer, stage="bare"),
            gold="1",
            sample=sample,
        )
        for sample, (letter, answer) in enumerate(zip(letters, answers, strict=True))
    ]


def of_items(**letters):
    """Examples and verdicts, for the letters of each item."""
    examples = [Example(id=name, turns=(), answer="1") for name in letters]
    return examples, [v for name, each in letters.items() for v in judged(name, each)]


def by_votes(answers, choices=(), gold="1"):
    """The majority of answers of which those that are the gold are right; None has none."""
    letters = "".join("n" if a is None else "c" if a == gold else "w" for a in answers)
    return majority(judged("x", letters, answers), choices)


# --- pass@k ---


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_the_subsets_with_a_right_answer(n):
    for right, k in itertools.product(range(n + 1), range(1, n + 1)):
        subsets = list(itertools.combinations([1] * right + [0] * (n - right), k))
        assert pass_at(k, n, right) == float(Fraction(sum(map(any, subsets)), len(subsets)))


def test_pass_at_k_needs_no_floats_that_overflow():
    assert pass_at(2048, 4096, 1) == 0.5
    assert pass_at(1, 3, 1) == 1 / 3


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_pass_at_k_rises_with_k_and_with_the_right_answers(drawn):
    n, right = drawn
    found = [pass_at(k, n, right) for k in range(1, n + 1)]
    assert found[0] == right / n
    assert found == sorted(found)
    assert found[-1] == float(right > 0)
    if right < n:
        assert all(a <= pass_at(k, n, right + 1) for k, a in enumerate(found, start=1))


# --- the scores of a set of items ---


def test_the_scores_have_powers_of_two_and_n():
    assert list(measures(6)) == ["pass@1", "pass@2", "pass@4", "pass@6", "majority@6"]
    assert list(measures(8)) == ["pass@1", "pass@2", "pass@4", "pass@8", "majority@8"]
    assert list(measures(2)) == ["pass@1", "pass@2", "majority@2"]


def test_one_answer_an_item_has_none_of_them():
    examples, verdicts = of_items(a="c", b="w")
    assert sample_scores(examples, verdicts, None) == {}
    assert sample_scores([], [], None) == {}


def test_the_scores_of_three_items_by_hand():
    examples, verdicts = of_items(a="cccc", b="cwww", c="wwnw")
    found = sample_scores(examples, verdicts, None)
    assert found["avg@4"].value == pytest.approx(5 / 12)
    assert found["pass@1"].value == pytest.approx(5 / 12)
    assert found["pass@2"].value == pytest.approx((1 + 1 / 2 + 0) / 3)  # b: 3 of 6 pairs have it
    assert found["pass@4"].value == pytest.approx(2 / 3)
    # The error of a mean of three: sqrt of the sum of squares, over 3.
    error = math.sqrt((1 - 0.5) ** 2 + 0 + 0.5**2) / 3
    assert found["pass@2"].standard_error == pytest.approx(error)
    assert (found["pass@2"].items, found["pass@2"].left_out, found["pass@2"].clusters) == (3, 0, 3)
    low, high = found["pass@2"].interval
    assert 0 < low < 0.5 < high < 1


def test_the_items_of_a_cluster_vary_together():
    names = ("a", "b", "c", "d")
    examples = [
        Example(id=name, turns=(), answer="1", meta={"problem": name in "ab"}) for name in names
    ]
    verdicts = [
        v
        for name, letters in zip(names, ("cc", "cw", "ww", "ww"), strict=True)
        for v in judged(name, letters)
    ]
    apart = sample_scores(examples, verdicts, None)["pass@2"]
    together = sample_scores(examples, verdicts, "problem")["pass@2"]
    assert (apart.clusters, together.clusters) == (4, 2)
    assert apart.value == together.value == 0.5
    assert apart.standard_error == pytest.approx(0.25)  # sqrt(4 / 4) / 4
    assert together.standard_error == pytest.approx(math.sqrt(2) / 4)  # sums of 1 and -1


def test_items_with_fewer_answers_are_left_out_and_counted():
    examples, verdicts = of_items(a="cwww", b="cw", c="cuuu", d="uuuu")
    found = sample_scores(examples, verdicts, None)
    assert found["avg@4"].value == pytest.approx(3 / 7)  # of the answers that have a verdict
    counts = {name: (each.items, each.left_out) for name, each in found.items()}
    assert counts == {
        "avg@4": (3, 1),
        "pass@1": (3, 1),
        "pass@2": (2, 2),
        "pass@4": (1, 3),
        "majority@4": (2, 2),  # of c and d, answers that could not be judged may be anything
    }
    assert found["pass@1"].value == pytest.approx((1 / 4 + 1 / 2 + 1) / 3)
    assert found["pass@2"].value == pytest.approx((1 / 2 + 1) / 2)


def test_nothing_scored_has_no_values():
    examples, verdicts = of_items(a="uu")
    for each in sample_scores(examples, verdicts, None).values():
        assert (each.value, each.standard_error, each.interval) == (None, None, None)
        assert (each.items, each.left_out, each.clusters) == (0, 1, 0)


LETTERS = st.integers(2, 6).flatmap(
    lambda n: st.lists(st.text("cwn", min_size=n, max_size=n), min_size=1, max_size=6)
)


@given(LETTERS)
def test_with_as_many_answers_each_pass_at_1_is_the_mean_and_k_only_raises(letters):
    examples, verdicts = of_items(**{f"i{i}": each for i, each in enumerate(letters)})
    n = len(letters[0])
    found = sample_scores(examples, verdicts, None)
    mean, first = found[f"avg@{n}"], found["pass@1"]
    assert mean.value == pytest.approx(first.value)
    assert mean.standard_error == pytest.approx(first.standard_error)
    assert mean.interval == pytest.approx(first.interval)
    passing = [each.value for name, each in found.items() if name.startswith("pass@")]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(passing))
    assert found[f"majority@{n}"].value <= found[f"pass@{n}"].value + 1e-12
    for each in found.values():
        low, high = each.interval
        assert 0 <= low <= each.value + 1e-12 and each.value <= high + 1e-12 <= 1 + 1e-9


@given(LETTERS)
def test_the_mean_is_the_accuracy_of_the_summary(letters):
    examples, verdicts = of_items(**{f"i{i}": each for i, each in enumerate(letters)})
    predictions = [Prediction(id=v.id, response="", sample=v.sample) for v in verdicts]
    summary = summarise(examples, predictions, verdicts)
    mean = summary.samples[f"avg@{len(letters[0])}"]
    assert mean.value == pytest.approx(summary.accuracy)
    assert mean.standard_error == pytest.approx(summary.standard_error)
    assert mean.interval == pytest.approx(summary.interval)
    assert summary.as_dict()["samples"].keys() == summary.samples.keys()


def test_values_by_item_are_those_of_the_mean():
    examples, verdicts = of_items(a="cccw", b="cwww", c="cu")
    assert item_values("pass@2", examples, verdicts) == {"a": 1.0, "b": 0.5}
    error = clustered_error(np.array([1.0, 0.5]), ["a", "b"])
    found = sample_scores(examples, verdicts, None)["pass@2"]
    assert (found.value, found.standard_error) == (0.75, pytest.approx(error))
    with pytest.raises(KeyError):
        item_values("pass@3", examples, verdicts)


# --- majority ---


def test_the_most_frequent_answer_decides():
    assert by_votes(["1", "2", "1"]) == 1.0
    assert by_votes(["1", "2", "2"]) == 0.0
    assert by_votes(["2", "1", "3"]) == pytest.approx(1 / 3)  # a random one of three
    assert by_votes(["2", "1", "2", "1", "3"]) == 0.5


def test_no_answer_has_no_vote():
    assert by_votes([None, None, None, "1"]) == 1.0
    assert by_votes([None, None, "2"]) == 0.0
    assert by_votes([None, None]) == 0.0


def test_equal_values_are_one_answer():
    alike = ["1/2", "0.5", "\\frac{1}{2}", "3", "3"]
    assert majority(judged("x", "cccww", alike), ()) == 1.0
    assert majority(judged("x", "ccwww", ["12 cm", "12", "7", "8", "9"]), ()) == 1.0
    assert majority(judged("x", "cww", ["Twelve", "twelve", "12"]), ()) == pytest.approx(1 / 3)


def test_an_option_is_one_answer_by_letter_and_by_wording():
    choices = ("40 cm", "50 cm", "60 cm")
    votes = judged("x", "ccww", ["B", "50 cm", "A", "C"])
    assert majority(votes, choices) == 1.0
    # As text, "b" and "B" of a question without options are one too.
    assert majority(judged("x", "ccww", ["B", "b", "A", "C"]), ()) == 1.0


def test_values_joined_by_a_third_are_one_whatever_the_order():
    answers = ["12 cm", "12 mm", "12", "5", "5"]
    for order in itertools.permutations(range(5)):
        letters = "".join("cwcww"[i] for i in order)
        votes = judged("x", letters, [answers[i] for i in order])
        assert majority(votes, ()) == pytest.approx(2 / 3)


def test_an_answer_that_could_not_be_judged_may_win_and_is_then_not_known():
    assert majority(judged("x", "uuc", ["7", "7", "1"]), ()) is None
    assert majority(judged("x", "ucc", ["7", "1", "1"]), ()) == 1.0
    assert majority(judged("x", "uc", ["7", "1"]), ()) is None  # a tie with it
    assert majority(judged("x", "nu", [None, None]), ()) is None


def test_a_rule_that_gives_something_for_nothing_keeps_it():
    # MathVista's official rule takes the nearest option even of an empty answer.
    assert majority(judged("x", "cc"), ()) == 1.0


@given(st.lists(st.sampled_from(["1", "1.0", "2", "3", None]), min_size=1, max_size=7))
def test_majority_is_what_random_picks_of_the_most_frequent_give(answers):
    kinds = [None if a is None else float(a) for a in answers]
    votes = [kind for kind in kinds if kind is not None]
    most = max((votes.count(kind) for kind in votes), default=0)
    tied = {kind for kind in votes if votes.count(kind) == most}
    expected = (1.0 in tied) / len(tied) if tied else 0.0
    letters = "".join("n" if k is None else "c" if k == 1.0 else "w" for k in kinds)
    found = majority(judged("x", letters, answers), ())
    assert found == pytest.approx(expected)
    backwards = judged("x", letters[::-1], answers[::-1])
    assert majority(backwards, ()) == pytest.approx(found)


# --- two runs ---


def test_a_paired_difference_is_over_the_items_that_count_on_both_sides():
    examples, a = of_items(x="ww", y="c", z="cw")
    b = of_items(x="cw", y="cw", z="wu")[1]
    estimate, p, n = paired_samples("pass@2", examples, a, b, None)
    assert (n, estimate.clusters, estimate.value, p) == (1, 1, 1.0, 1.0)  # x: 0 and 1
    estimate, p, n = paired_samples("pass@2", examples[1:], a[2:], b[2:], None)
    assert (n, estimate.value, p) == (0, None, None)
    # A cluster swaps whole: two items that gain together are one coin, which is no evidence.
    examples = [Example(id=i, turns=(), answer="1", meta={"problem": "p"}) for i in "xyz"]
    b = of_items(x="cw", y="cw", z="cw")[1]
    a = of_items(x="ww", y="ww", z="cw")[1]
    estimate, p, n = paired_samples("pass@2", examples, a, b, "problem")
    assert (n, estimate.clusters, p) == (3, 1, 1.0)
    assert estimate.value == pytest.approx(2 / 3)
