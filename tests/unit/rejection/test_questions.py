"""The questions of a training set: every format, what is set aside, and why."""

from __future__ import annotations

import json

import pytest

from mmdft.config import DataConfig, SampleConfig
from mmdft.data.figures import write_figures
from mmdft.errors import ConfigError, DataError
from mmdft.files import read_jsonl
from mmdft.rejection.questions import read_questions


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def native(question="Q?", answer="4", **more):
    return {"question": question, "answer": answer, **more}


def chat(*messages, **more):
    return {"messages": [{"role": role, "content": text} for role, text in messages], **more}


def read(*sources, system=None, **settings):
    settings = {"max_bad_fraction": 1.0, **settings}
    config = DataConfig(train=list(sources), **settings)
    return read_questions(config, SampleConfig(system=system))


def turns(question):
    return [(turn.role, turn.text) for turn in question.example.turns]


def test_what_is_asked_ends_before_the_last_reply(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        [
            native(id="n", reasoning="2 + 2 = 4.", choices=["3", "4"], category="sum"),
            chat(
                ("system", "Be brief."),
                ("user", "A?"),
                ("assistant", "1"),
                ("user", "B?"),
                ("assistant", "4"),
                answer="4",
            ),
            {"prompt": "P?", "completion": "4", "answer": 4},
        ],
    )
    asked = read(path).asked
    assert [turns(question) for question in asked] == [
        [("user", "Q?\n(A) 3\n(B) 4")],
        [("system", "Be brief."), ("user", "A?"), ("assistant", "1"), ("user", "B?")],
        [("user", "P?")],
    ]
    assert [question.example.answer for question in asked] == ["4", "4", "4"]
    assert asked[0].example.choices == ("3", "4") and asked[0].example.category == "sum"
    assert [question.row_id for question in asked] == ["n", "a:2", "a:3"]
    assert [question.row for question in asked] == [1, 2, 3]


def test_the_system_prompt_goes_where_there_is_none(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        [native(), native(system="Own."), chat(("user", "A?"), ("assistant", "4"), answer="4")],
    )
    asked = read(path, system="Think.").asked
    assert [turns(question)[0] for question in asked] == [
        ("system", "Think."),
        ("system", "Own."),
        ("system", "Think."),
    ]


def test_rows_without_a_gold_answer_are_set_aside_and_are_not_bad(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        [native(), *[chat(("user", "A?"), ("assistant", "4"))] * 3],
    )
    found = read(path, max_bad_fraction=0.0)
    assert [question.row for question in found.asked] == [1]
    assert [(row.row, row.id) for row in found.no_gold] == [(2, "a:2"), (3, "a:3"), (4, "a:4")]
    assert all(row.reason.startswith("no gold answer: ") for row in found.no_gold)
    assert found.set_aside == found.no_gold and found.bad == []


def test_bad_rows_are_set_aside_with_the_reason(tmp_path):
    path = write_figures(tmp_path, num=3, split="train", size=56)
    rows = [row for _, row in read_jsonl(path)]
    # Whole in its header, cut in its pixels: found before a model is asked.
    broken = tmp_path / rows[1]["images"][0]
    broken.write_bytes(broken.read_bytes()[:-60])
    replies = (("assistant", "1"), ("assistant", "4"))
    without = [chat(*replies[1:], answer="4"), chat(("user", "A?"), *replies, answer="4")]
    write(path, [*rows, {"question": "Q?"}, *without])
    found = read(path)
    assert [question.row for question in found.asked] == [1, 3]
    assert [row.row for row in found.bad] == [2, 4, 5, 6]
    assert found.bad[0].id == rows[1]["id"] and str(broken) in found.bad[0].reason
    assert "field 'answer' is missing" in found.bad[1].reason
    for row in found.bad[2:]:
        assert row.reason.startswith("no user turn before the last reply")
    with pytest.raises(DataError, match="4 of 6 rows are bad"):
        read(path, max_bad_fraction=0.5)
    with pytest.raises(DataError, match=r"train\.jsonl:2 "):
        read(path, on_bad_row="raise")


def test_questions_have_ids_that_differ(tmp_path):
    one = write(tmp_path / "a.jsonl", [native(id="7"), native(id="7"), native(id="7#2")])
    two = write(tmp_path / "b.jsonl", [native(id="7"), native(id="8")])
    asked = read(one, two).asked
    assert [question.example.id for question in asked] == ["7", "7#3", "7#2", "7#4", "8"]
    assert [question.row_id for question in asked] == ["7", "7", "7#2", "7", "8"]


def test_duplicates_are_questions_that_are_the_same_whatever_their_demonstrations(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        [native(reasoning="one way"), native(reasoning="another way"), native("Other?")],
    )
    assert len(read(path).asked) == 3
    found = read(path, deduplicate=True)
    assert [question.row for question in found.asked] == [1, 3]
    assert [(row.row, row.reason) for row in found.duplicates] == [(2, f"duplicate of {path}:1")]


def test_limits_are_those_of_the_sources(tmp_path):
    path = write(tmp_path / "a.jsonl", [native(f"Q{number}?") for number in range(9)])
    assert [question.row for question in read({"path": path, "limit": 2}).asked] == [1, 2]
    shuffled = {"path": path, "limit": 3, "shuffle": True}
    assert len(read(shuffled).asked) == 3
    assert read(shuffled, seed=1) == read(shuffled, seed=1) != read(shuffled, seed=2)


def test_a_source_with_pixels_of_its_own_is_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", [native()])
    with pytest.raises(ConfigError, match=r"^data\.train\.1: its own min_pixels or max_pixels"):
        read(path, {"path": path, "max_pixels": 3136})


def test_nothing_to_ask_is_an_error_that_says_why(tmp_path):
    empty = write(tmp_path / "empty.jsonl", [])
    with pytest.raises(DataError, match=r"empty\.jsonl: no rows$"):
        read(empty)
    none = write(tmp_path / "a.jsonl", [chat(("user", "A?"), ("assistant", "4"))])
    with pytest.raises(DataError, match=r"no row to ask; the first: .*a\.jsonl:1 .*no gold answer"):
        read(none)
