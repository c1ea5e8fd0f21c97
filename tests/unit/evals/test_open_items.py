import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.evals.benchmarks import BENCHMARKS, Score
from mmdft.evals.benchmarks.scores import accuracy_of
from mmdft.evals.rules import RULES
from mmdft.evals.stats import summarise
from mmdft.evals.stats.open_items import READING, closed, is_open
from mmdft.records import Example, Extraction, Prediction, Verdict

NOTHING = Extraction(answer=None, stage="none")
VAGUE = "The figure shows that one of them is longer."
CUT = "So " * 200 + "the"


def verdict(status, rules="strict", gold="7", name="1"):
    return Verdict(id=name, rules=rules, status=status, extraction=NOTHING, gold=gold)


@pytest.mark.parametrize(
    ("status", "rules", "gold", "response", "truncated", "expected"),
    [
        ("no_answer", "strict", "7", VAGUE, False, True),
        ("no_answer", "exact", "7", VAGUE, False, True),
        ("no_answer", "symbolic", "7", VAGUE, False, True),
        ("unscored", "strict", "7", VAGUE, False, True),
        ("unscored", "vlmevalkit", "7", VAGUE, False, True),
        # a comparison past its limits, of an answer that stands in what there is
        ("unscored", "strict", "7", VAGUE, True, True),
        # the authors' rule has its own say, and so has a judge
        ("no_answer", "official", "7", VAGUE, False, False),
        ("no_answer", "lmms_eval", "7", VAGUE, False, False),
        ("no_answer", "judged", "7", VAGUE, False, False),
        # nothing to read
        ("no_answer", "strict", "7", " \n", False, False),
        ("no_answer", "strict", "7", "<think>It may be 7.</think>", False, False),
        ("no_answer", "strict", "7", "<think>It may be 7.", False, False),
        ("no_answer", "strict", "7", VAGUE, True, False),
        ("no_answer", "strict", "7", CUT, False, False),
        # no gold
        ("unscored", "strict", None, VAGUE, False, False),
        ("unscored", "strict", "", VAGUE, False, False),
        ("correct", "strict", "7", VAGUE, False, False),
        ("wrong", "strict", "7", VAGUE, False, False),
    ],
)
def test_what_is_open(status, rules, gold, response, truncated, expected):
    prediction = Prediction(id="1", response=response, truncated=truncated)
    assert is_open(verdict(status, rules, gold), prediction) is expected


def test_every_benchmark_has_a_rule_set_that_reads():
    for name, rules in RULES.items():
        assert READING & rules.keys(), name


def test_a_vague_response_is_open_under_each_reading_rule():
    example = Example(id="1", turns=(), answer="7", meta={"answer_type": "integer"})
    prediction = Prediction(id="1", response=VAGUE)
    for benchmark, rules in RULES.items():
        for name in READING & rules.keys():
            found = rules[name](example, prediction)
            assert found.status == "no_answer", benchmark
            assert is_open(found, prediction), benchmark


STATUSES = st.sampled_from(["correct", "wrong", "no_answer", "unscored"])


@given(st.lists(st.tuples(STATUSES, st.sampled_from([VAGUE, "", CUT]), st.booleans()), min_size=1))
def test_the_range_is_that_of_the_closed_verdicts(rows):
    """Exactly the accuracy of the verdicts once closed, whatever was left open; it holds the
    accuracy."""
    examples = [Example(id=str(i), turns=(), answer="7") for i in range(len(rows))]
    predictions = [Prediction(id=str(i), response=row[1]) for i, row in enumerate(rows)]
    verdicts = [
        verdict(status, gold="7" if gold or status != "unscored" else None, name=str(i))
        for i, (status, _, gold) in enumerate(rows)
    ]
    all_of = accuracy_of("all", lambda _: True)
    summary = summarise(examples, predictions, verdicts, scores=[all_of])
    left_open = [is_open(v, p) for v, p in zip(verdicts, predictions, strict=True)]
    assert summary.open == sum(left_open)
    ends = []
    for right in (False, True):
        judged = [v.status for v in closed(verdicts, left_open, right=right)]
        scored = [status for status in judged if status != "unscored"]
        ends.append(scored.count("correct") / len(scored) if scored else None)
    if ends[0] is None:
        assert summary.range is None and summary.accuracy is None
        return
    assert summary.range == tuple(ends)
    if summary.accuracy is not None:
        assert ends[0] - 1e-12 <= summary.accuracy <= ends[1] + 1e-12
    assert summary.scores["all"].range == pytest.approx(tuple(ends))


def test_the_range_of_a_score_that_is_no_mean():
    """Two problems of two steps: a problem counts if both are right. One step of each is open."""
    examples = [
        Example(id=i, turns=(), answer="7", meta={"p": i[0]}) for i in ("a1", "a2", "b1", "b2")
    ]
    statuses = ("correct", "no_answer", "wrong", "no_answer")
    verdicts = [verdict(status, name=e.id) for e, status in zip(examples, statuses, strict=True)]
    predictions = [Prediction(id=e.id, response=VAGUE) for e in examples]
    both = Score(
        name="both",
        counts=lambda rows: (1, all(v.status == "correct" for _, v in rows)),
        value=lambda sums: sums[1] / sums[0],
    )
    summary = summarise(examples, predictions, verdicts, cluster="p", scores=[both])
    assert summary.scores["both"].value == 0.0
    assert summary.scores["both"].range == (0.0, 0.5)
    assert summary.range == (0.25, 0.75)
    assert summary.as_dict()["scores"]["both"]["range"] == [0.0, 0.5]
    assert summary.as_dict()["range"] == [0.25, 0.75]


def test_parts_of_a_point_go_by_the_answer():
    """ChartQAPro's own score looks at the answer, which one taken for right does not have."""
    (score,) = BENCHMARKS["chartqapro"].scores
    example = Example(id="1", turns=(), answer="[2016, 2018]", meta={"years": ["YES"]})
    (right,) = closed([verdict("unscored", gold="[2016, 2018]")], [True], right=True)
    (wrong,) = closed([verdict("unscored", gold="[2016, 2018]")], [True], right=False)
    assert score.counts([(example, right)]) == (1, 1.0)
    assert score.counts([(example, wrong)]) == (1, 0.0)


def test_breakdowns_have_ranges_of_their_own():
    examples = [Example(id=str(i), turns=(), answer="7", category="ab"[i % 2]) for i in range(4)]
    verdicts = [
        verdict(status, name=str(i))
        for i, status in enumerate(("correct", "no_answer", "wrong", "no_answer"))
    ]
    predictions = [Prediction(id=str(i), response=VAGUE) for i in range(4)]
    found = summarise(examples, predictions, verdicts, breakdowns=["category"])
    groups = found.breakdowns["category"]
    assert (groups["a"].range, groups["a"].open) == ((0.5, 0.5), 0)
    assert (groups["b"].range, groups["b"].open) == ((0.0, 1.0), 2)
