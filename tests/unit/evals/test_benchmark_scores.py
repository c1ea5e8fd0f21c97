"""The scores that are no plain accuracy, against counts made by hand and by brute force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.evals.benchmarks import BENCHMARKS
from mmdft.evals.benchmarks.mathverse import VERSIONS
from mmdft.evals.benchmarks.wemath_concepts import CATEGORIES
from mmdft.evals.stats.scores import cluster_counts
from mmdft.records import Example, Extraction, Status, Verdict

RIGHT: dict[bool, Status] = {True: "correct", False: "wrong"}


def item(name: str, **meta: object) -> Example:
    return Example(id=name, turns=(), answer="A", meta=meta)


def said(name: str, status: Status, answer: str = "A") -> Verdict:
    return Verdict(id=name, rules="official", status=status, gold="A",
                   extraction=Extraction(answer=answer, stage="x"))  # fmt: skip


def scores_of(benchmark: str, pairs: list[tuple[Example, Verdict]]) -> Mapping[str, float | None]:
    """Every score, by the sums over clusters that the statistics make."""
    chosen = BENCHMARKS[benchmark]
    examples, verdicts = [e for e, _ in pairs], [v for _, v in pairs]
    found = {}
    for score in chosen.scores:
        counts = cluster_counts(score, examples, verdicts, chosen.cluster)
        found[score.name] = score.value(list(sum(counts.values()))) if counts else None
    return found


CONCEPTS = [concept for concepts in CATEGORIES.values() for concept in concepts]


def problems(answers: list[tuple[bool, ...]]) -> list[tuple[Example, Verdict]]:
    """Problems of We-Math as (step, step, [step,] whole)."""
    pairs = []
    for number, right in enumerate(answers):
        steps = len(right) - 1
        for place, is_right in enumerate(right):
            part = "multi" if place == steps else str(place + 1)
            name = f"{number}/{part}"
            concept = CONCEPTS[(number + place) % len(CONCEPTS)]
            example = item(name, problem=str(number), part=part, steps=steps,
                           key=f"{steps}steps_{part}", knowledge=concept)  # fmt: skip
            pairs.append((example, said(name, RIGHT[is_right])))
    return pairs


def brute_force(answers: list[tuple[bool, ...]], loose: bool) -> dict[str, float | None]:
    """The four dimensions from their definitions, one sweep for each."""
    n = len(answers)
    ik = sum(not all(steps) and not whole for *steps, whole in answers)
    ig = sum(all(steps) and not whole for *steps, whole in answers)
    if loose:
        cm = sum(any(steps) and whole for *steps, whole in answers)
        rm = sum(not any(steps) and whole for *steps, whole in answers)
    else:
        cm = sum(all(steps) and whole for *steps, whole in answers)
        rm = sum(not all(steps) and whole for *steps, whole in answers)
    kind = "loose" if loose else "strict"
    return {
        f"score ({kind})": (n - 0.5 * ig - rm - ik) / n,
        "insufficient knowledge": ik / n,
        "inadequate generalization": ig / n,
        f"complete mastery ({kind})": cm / n,
        f"rote memorization ({kind})": rm / (cm + rm) if cm + rm else None,
    }


_PROBLEM = st.one_of(
    st.tuples(*[st.booleans()] * 3),
    st.tuples(*[st.booleans()] * 4),
)


@given(st.lists(_PROBLEM, min_size=1, max_size=40))
def test_wemaths_four_dimensions_are_those_of_the_definition(answers):
    found = scores_of("wemath", problems(answers))
    for loose in (False, True):
        for name, value in brute_force(answers, loose).items():
            assert found[name] == (None if value is None else pytest.approx(value)), name
    ones = [step for *steps, _ in answers for step in steps]
    assert found["one step"] == pytest.approx(sum(ones) / len(ones))
    for steps, name in ((2, "two steps"), (3, "three steps")):
        wholes = [right[-1] for right in answers if len(right) == steps + 1]
        assert found[name] == (pytest.approx(sum(wholes) / len(wholes)) if wholes else None)


def test_wemath_by_hand():
    answers = [
        (True, True, True),  # mastered
        (True, False, True),  # rote if strict, mastered if loose
        (False, False, True),  # rote
        (True, True, False),  # not generalized
        (True, False, True, False),  # not known
    ]
    found = scores_of("wemath", problems(answers))
    assert found["score (strict)"] == pytest.approx((1 + 0.5) / 5)
    assert found["score (loose)"] == pytest.approx((2 + 0.5) / 5)
    assert found["rote memorization (strict)"] == pytest.approx(2 / 3)
    assert found["rote memorization (loose)"] == pytest.approx(1 / 3)
    none_whole = scores_of("wemath", problems([(True, True, False)]))
    assert none_whole["rote memorization (strict)"] is None


def test_wemath_has_67_concepts_in_12_categories():
    assert (len(CATEGORIES), len(CONCEPTS), len(set(CONCEPTS))) == (12, 67, 67)


def test_a_category_of_wemath_is_the_mean_of_its_concepts():
    angle, ruler = CATEGORIES["Angles and Length"]
    other = CATEGORIES["Direction"][0]
    steps = [(angle, True), (angle, True), (angle, False), (ruler, False), (other, True)]
    pairs = [
        (item(f"{i}/1", problem=str(i), part="1", steps=2, key="2steps_1", knowledge=concept),
         said(f"{i}/1", RIGHT[right]))
        for i, (concept, right) in enumerate(steps)
    ]  # fmt: skip
    whole = item("9/multi", problem="9", part="multi", steps=2, key="2steps_multi", knowledge=angle)
    unscored = item("8/2", problem="8", part="2", steps=2, key="2steps_2", knowledge=ruler)
    pairs += [(whole, said("9/multi", "wrong")), (unscored, said("8/2", "unscored"))]
    found = scores_of("wemath", pairs)
    assert found["Angles and Length"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["Direction"] == 1.0  # of its two concepts one has a step
    assert found["Position"] is None


@given(st.lists(_PROBLEM, min_size=1, max_size=40))
def test_wemaths_categories_are_those_of_the_definition(answers):
    found = scores_of("wemath", problems(answers))
    rights = defaultdict(list)
    for number, right in enumerate(answers):
        for place, step in enumerate(right[:-1]):
            rights[CONCEPTS[(number + place) % len(CONCEPTS)]].append(step)
    for name, concepts in CATEGORIES.items():
        means = [sum(rights[c]) / len(rights[c]) for c in concepts if c in rights]
        assert found[name] == (pytest.approx(sum(means) / len(means)) if means else None)


def test_a_problem_of_wemath_that_lacks_a_part_is_left_out():
    whole, part = problems([(True, True, True), (True, True, True)])[:3], problems([(True,) * 3])
    part = [(item(e.id + "x", **{**e.meta, "problem": "x"}), said(e.id + "x", "correct"))
            for e, _ in part]  # fmt: skip
    assert scores_of("wemath", whole + part[:2])["score (strict)"] == 1
    unscored = [(e, said(e.id, "unscored") if e.meta["part"] == "1" else v) for e, v in part]
    assert scores_of("wemath", whole + unscored)["score (strict)"] == 1
    assert scores_of("wemath", unscored)["score (strict)"] is None
    no_answer = [(e, said(e.id, "no_answer") if e.meta["part"] == "1" else v) for e, v in part]
    assert scores_of("wemath", no_answer)["rote memorization (strict)"] == 1


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40))
def test_dynamaths_average_and_worst_case(pairs):
    made, rights = [], defaultdict(list)
    for number, (seed, right) in enumerate(pairs):
        made.append((item(str(number), seed=str(seed)), said(str(number), RIGHT[right])))
        rights[seed].append(right)
    several = [all(found) for found in rights.values() if len(found) > 1]
    found = scores_of("dynamath", made)
    assert found["average"] == pytest.approx(sum(r for _, r in pairs) / len(pairs))
    worst = found["worst case"]
    assert worst == (pytest.approx(sum(several) / len(several)) if several else None)


def test_a_seed_with_an_unscored_variant_has_no_worst_case():
    pairs = [(item(n, seed="1"), said(n, "correct" if n == "a" else "unscored")) for n in "ab"]
    assert scores_of("dynamath", pairs)["worst case"] is None


def test_the_mean_of_chartqas_halves_weighs_them_alike():
    pairs = [(item(f"h{n}", half="human"), said(f"h{n}", RIGHT[n < 1])) for n in range(4)]
    pairs += [(item(f"a{n}", half="augmented"), said(f"a{n}", "correct")) for n in range(2)]
    found = scores_of("chartqa", pairs)
    assert (found["human"], found["augmented"]) == (0.25, 1)
    assert found["mean of halves"] == pytest.approx(0.625)
    assert scores_of("chartqa", pairs[:4])["mean of halves"] is None


def test_the_mean_of_mathverses_versions():
    pairs = [
        (item(f"{number}{version}", version=version, problem=str(number)),
         said(f"{number}{version}", RIGHT[number <= place]))
        for place, version in enumerate(VERSIONS)
        for number in range(5)
    ]  # fmt: skip
    found = scores_of("mathverse", pairs)
    assert [found[version] for version in VERSIONS] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert found["mean over versions"] == pytest.approx(0.6)
    four = [(e, v) for e, v in pairs if e.meta["version"] != "Text Lite"]
    assert scores_of("mathverse", four)["mean over versions"] is None


def test_geometry3ks_guesses():
    statuses: list[Status] = ["correct", "wrong", "no_answer", "no_answer"]
    pairs = [(item(str(n)), said(str(n), status)) for n, status in enumerate(statuses)]
    assert scores_of("geometry3k", pairs)["accuracy with guesses"] == pytest.approx(1.5 / 4)


def test_chartqapros_parts_of_a_point():
    example = Example(id="1", turns=(), answer="kitten", meta={"years": ["NO"]})
    pairs = [(example, said("1", "wrong", "sitting"))]
    assert scores_of("chartqapro", pairs)["relaxed accuracy"] == pytest.approx(4 / 7)


def test_every_headline_is_a_score_of_its_own():
    for benchmark in BENCHMARKS.values():
        names = [score.name for score in benchmark.scores]
        assert len(set(names)) == len(names)
        assert benchmark.headline in ("accuracy", *names)
