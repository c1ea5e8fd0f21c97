"""Which answers are kept: exact cases, and what holds whatever the answers are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.config import SampleConfig
from mmdft.records import Extraction, Prediction, Verdict
from mmdft.rejection.keep import FATES, fates, normalised
from mmdft.rejection.report import Answers, report

STATUSES = ("correct", "wrong", "no_answer", "unscored")
# Most are fit to be kept, so that rules beyond that have something to choose from.
DRAWN = ("correct", "correct", "correct", *STATUSES)


def answers(*given):
    """Predictions and verdicts of one question from (response, status[, truncated])."""
    predictions = [
        Prediction(id="q", sample=number, response=text, truncated=any(cut), num_tokens=3)
        for number, (text, _, *cut) in enumerate(given)
    ]
    verdicts = [
        Verdict(
            id="q",
            rules="strict",
            status=status,
            extraction=Extraction(answer=None, stage="none"),
            gold="4",
            sample=number,
        )
        for number, (_, status, *_) in enumerate(given)
    ]
    return predictions, verdicts


def test_the_right_ones_are_kept_and_the_others_say_why():
    found = fates(
        *answers(
            ("2 + 2 = 4. Answer: 4", "correct"),
            ("2 + 2 = 4.\n\nAnswer:  4 ", "correct"),
            ("Answer: 4", "correct"),
            ("Answer: 5", "wrong"),
            ("Answer: 4 and then", "correct", True),
            (" \n", "no_answer"),
            ("I cannot say.", "no_answer"),
            ("Answer: f(x)", "unscored"),
        ),
        SampleConfig(),
    )
    assert found == [
        *("kept", "duplicate", "kept", "wrong", "truncated", "empty", "no_answer", "unscored")
    ]


def test_with_all_every_scored_answer_is_kept():
    given = answers(
        ("Answer: 4", "correct"),
        ("Answer: 5", "wrong"),
        ("I cannot say.", "no_answer"),
        ("Answer: f(x)", "unscored"),
        ("Answer: 5", "wrong", True),
        ("", "no_answer"),
    )
    assert fates(*given, SampleConfig(keep="all")) == [
        *("kept", "kept", "kept", "unscored", "truncated", "empty")
    ]


def test_solved_questions_are_left_out_only_if_every_answer_is_right():
    solved = answers(("Answer: 4", "correct"), ("4", "correct", True))
    assert fates(*solved, SampleConfig(skip_solved=True)) == ["solved", "truncated"]
    assert fates(*solved, SampleConfig()) == ["kept", "truncated"]
    not_yet = answers(("Answer: 4", "correct"), ("Answer: 4", "unscored"))
    assert fates(*not_yet, SampleConfig(skip_solved=True)) == ["kept", "unscored"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a b", " a\t\nb ", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("Answer: 4", "answer: 4", False),
        ("Answer: 4", "Answer: 4.", False),
        ("**4**", "4", False),
    ],
)
def test_what_counts_as_the_same_text(one, other, same):
    assert (normalised(one) == normalised(other)) is same


@st.composite
def sampled(draw):
    given = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["4", " 4", "is 4", "so 4", "is  4", "5", "", "6!", "7"]),
                st.sampled_from(DRAWN),
                st.sampled_from([False, False, False, True]),
            ),
            max_size=12,
        )
    )
    settings = SampleConfig(
        keep=draw(st.sampled_from(["correct", "all"])),
        skip_solved=draw(st.booleans()),
        max_kept=draw(st.none() | st.integers(1, 4)),
        seed=draw(st.integers(0, 3)),
    )
    return answers(*given), settings


@given(sampled())
def test_what_is_kept_is_fit_different_and_no_more_than_allowed(case):
    (predictions, verdicts), settings = case
    found = fates(predictions, verdicts, settings)
    kept = [place for place, fate in enumerate(found) if fate == "kept"]
    texts = [normalised(predictions[place].response) for place in kept]
    assert len(set(texts)) == len(texts)
    assert settings.max_kept is None or len(kept) <= settings.max_kept
    for place in kept:
        assert not predictions[place].truncated and predictions[place].response.strip()
        allowed = ("correct",) if settings.keep == "correct" else STATUSES[:3]
        assert verdicts[place].status in allowed
    if settings.skip_solved and all(verdict.status == "correct" for verdict in verdicts):
        assert not kept
    # Nothing fit is lost: a text is left out only for another like it, or beyond `max_kept`.
    for place, fate in enumerate(found):
        if fate == "duplicate":
            twins = [other for other in range(place) if found[other] in ("kept", "surplus")]
            text = normalised(predictions[place].response)
            assert text in [normalised(predictions[other].response) for other in twins]
        if fate == "surplus":
            assert len(kept) == settings.max_kept
    assert set(found) <= set(FATES)


@given(st.data())
def test_the_order_of_arrival_plays_no_part(data):
    (predictions, verdicts), settings = data.draw(sampled())
    found = fates(predictions, verdicts, settings)
    places = data.draw(st.permutations(range(len(predictions))))
    shuffled = fates([predictions[p] for p in places], [verdicts[p] for p in places], settings)
    assert [found[place] for place in places] == shuffled


@given(sampled())
def test_a_smaller_number_keeps_a_part_of_what_a_larger_one_does(case):
    (predictions, verdicts), settings = case
    before: set[int] = set()
    for most in (1, 2, 3, None):
        changed = settings.model_copy(update={"max_kept": most})
        found = fates(predictions, verdicts, changed)
        kept = {place for place, fate in enumerate(found) if fate == "kept"}
        assert before <= kept
        before = kept


def test_the_seed_chooses_among_all_of_them_alike():
    given = answers(*((f"way {number}: 4", "correct") for number in range(4)))
    counts = [0] * 4
    for seed in range(400):
        found = fates(*given, SampleConfig(max_kept=1, seed=seed))
        assert found.count("kept") == 1
        counts[found.index("kept")] += 1
    # Binomial with n=400 and p=1/4: 100 with a standard deviation of 8.7.
    assert all(70 <= count <= 130 for count in counts), counts


def judged(given, settings):
    predictions, verdicts = answers(*given)
    return Answers(
        predictions=tuple(predictions),
        verdicts=tuple(verdicts),
        fates=tuple(fates(predictions, verdicts, settings)),
    )


def test_the_report_counts_everything_once():
    settings = SampleConfig()
    found = report(
        [
            judged([("4", "correct"), ("= 4", "correct"), ("4", "correct")], settings),
            judged([("4", "correct"), ("5", "wrong"), ("4 so", "correct", True)], settings),
            judged([("5", "wrong"), ("6", "wrong"), ("", "no_answer")], settings),
            judged([], settings),
        ],
        unanswered=3,
    )
    assert found == {
        "questions": {
            "asked": 4,
            "none_right": 1,
            "some_right": 1,
            "all_right": 1,
            "unanswered": 1,
            "kept": 2,
        },
        "answers": {
            "num": 9,
            "unanswered": 3,
            "right": 5,
            "truncated": 1,
            "kept": 3,
            "not_kept": {"truncated": 1, "empty": 1, "wrong": 3, "duplicate": 1},
        },
        "right_rate": 5 / 9,
        "keep_rate": 3 / 9,
        "kept_per_question": 3 / 4,
        "questions_by_kept": {"0": 2, "1": 1, "2": 1},
        "mean_tokens": {"answers": 3.0, "kept": 3.0},
        "mean_characters": {"answers": 13 / 9, "kept": 5 / 3},
    }


def test_a_report_of_nothing_has_no_rates():
    found = report([], unanswered=0)
    assert found["keep_rate"] is None and found["mean_tokens"] == {"answers": None, "kept": None}


@given(st.lists(sampled(), max_size=6))
def test_the_parts_of_a_report_add_up(cases):
    given = [
        Answers(predictions=tuple(p), verdicts=tuple(v), fates=tuple(fates(p, v, settings)))
        for (p, v), settings in cases
    ]
    found = report(given, unanswered=0)
    questions, counts = found["questions"], found["answers"]
    parts = ("none_right", "some_right", "all_right", "unanswered")
    assert sum(questions[part] for part in parts) == questions["asked"] == len(given)
    assert counts["kept"] + sum(counts["not_kept"].values()) == counts["num"]
    assert sum(found["questions_by_kept"].values()) == questions["asked"]
    assert (
        sum(int(num) * count for num, count in found["questions_by_kept"].items()) == counts["kept"]
    )
