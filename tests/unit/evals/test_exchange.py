import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdft.errors import DataError
from mmdft.evals.exchange import (
    CELL_LIMIT,
    is_foreign,
    read_foreign,
    write_lmms_eval,
    write_vlmevalkit,
)
from mmdft.evals.scoring import score_file
from mmdft.records import Example, Prediction, Turn


def example(identity, question, answer="5", choices=()):
    prompt = f"Hint: Answer.\nQuestion: {question}"
    if choices:
        prompt += "\nChoices:\n" + "\n".join(f"({'ABC'[i]}) {c}" for i, c in enumerate(choices))
    return Example(
        id=identity,
        turns=(Turn(role="user", parts=(prompt,)),),
        answer=answer,
        choices=choices,
        meta={"answer_type": "integer", "skills": ["arithmetic"], "precision": None},
    )


EXAMPLES = (
    example("1", "How many?"),
    example("2", "Which one?", "no", ("yes", "no")),
    example("3", "How long?"),
)
# What spreadsheets and tables spoil: formulas, links, quotes, tabs, line ends, other scripts.
AWKWARD = (
    "=1+1",
    'http://x.org/ "quoted"\tand\nlines\r\nmore',
    "√5 ≈ 2,24 中文 \U0001f600",
)
FORMATS = ("answers.xlsx", "answers.tsv", "answers.jsonl")


def write(path, predictions):
    writer = write_lmms_eval if path.suffix == ".jsonl" else write_vlmevalkit
    writer(path, EXAMPLES, predictions)


def predictions(*responses):
    return [Prediction(id=str(i), response=text) for i, text in enumerate(responses, start=1)]


@pytest.mark.parametrize(
    ("row", "identity"),
    [
        ({"index": 9, "ID": "2steps_7", "key": "2steps_multi"}, "2steps_7/multi"),
        ({"index": 9, "ID": "3steps_7", "key": "3steps_1"}, "3steps_7/1"),
        ({"index": 9, "qid": 7, "varid": 10}, "7-10"),
        ({"index": 9, "figure_id": 12}, "12"),
    ],
)
def test_items_that_are_named_by_fields_of_their_own(tmp_path, row, identity):
    path = tmp_path / "answers.tsv"
    row = {**row, "question": "Of no item.", "prediction": "B"}
    path.write_text("\t".join(row) + "\n" + "\t".join(map(str, row.values())) + "\n")
    assert [p.id for p in read_foreign(path, [example(identity, "Which?")])] == [identity]


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip(tmp_path, name):
    path = tmp_path / name
    write(path, predictions(*AWKWARD))
    assert is_foreign(path)
    found = read_foreign(path, EXAMPLES)
    # XML has one line end.
    wanted = [text.replace("\r\n", "\n") if name.endswith("xlsx") else text for text in AWKWARD]
    assert [item.response.replace("\r\n", "\n") for item in found] == [
        text.replace("\r\n", "\n") for text in wanted
    ]
    assert [item.id for item in found] == ["1", "2", "3"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
                min_size=3, max_size=3))  # fmt: skip
def test_round_trip_of_any_text(tmp_path, responses):
    for name in ("answers.tsv", "answers.jsonl"):
        write(tmp_path / name, predictions(*responses))
        found = read_foreign(tmp_path / name, EXAMPLES)
        assert [item.response for item in found] == responses


def test_samples_of_an_item_go_through_lmms_eval_but_not_vlmevalkit(tmp_path):
    items = [Prediction(id="2", response=text, sample=i) for i, text in enumerate("ab")]
    write(tmp_path / "answers.jsonl", items)
    assert read_foreign(tmp_path / "answers.jsonl", EXAMPLES) == items
    with pytest.raises(DataError, match="one answer an item"):
        write(tmp_path / "answers.tsv", items)


def test_what_vlmevalkit_needs_is_there(tmp_path):
    write(tmp_path / "answers.tsv", predictions("5", "B"))
    header = (tmp_path / "answers.tsv").read_text().splitlines()[0]
    assert {"index", "question", "answer", "prediction", "choices", "answer_option", "A", "B"} <= (
        set(header.split("\t"))
    )


def table(path, *rows):
    path.write_text("\n".join("\t".join(cells) for cells in rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("rows", "ids"),
    [
        ([("index", "prediction"), ("2", "x")], ["2"]),  # by number alone
        ([("index", "question", "prediction"), ("1", "How many?", "x")], ["1"]),  # both agree
        ([("index", "question", "prediction"), ("0", "How many?", "x")], ["1"]),  # counted from 0
        ([("index", "question", "prediction"), ("1", "Which one?", "x")], ["2"]),  # question wins
        ([("index", "id", "prediction"), ("7", "3", "x")], ["3"]),  # an id wins
        ([("index", "prediction"), ("2.0", "x"), ("", "")], None),
        ([("index", "prediction"), ("9", "x")], None),
        ([("id", "prediction"), ("9", "x")], None),
        ([("index", "question", "prediction"), ("9", "What?", "x")], None),
        ([("index", "answer"), ("1", "x")], None),
        ([("index", "prediction")], None),
    ],
)
def test_rows_are_matched_with_items(tmp_path, rows, ids):
    path = table(tmp_path / "answers.tsv", *rows)
    if ids is None:
        with pytest.raises(DataError, match=r"answers\.tsv"):
            read_foreign(path, EXAMPLES)
    else:
        assert [item.id for item in read_foreign(path, EXAMPLES)] == ids


def test_a_question_of_two_items_is_settled_by_the_number(tmp_path):
    twins = (example("a", "Find x."), example("b", "Find x."))
    rows = [("index", "question", "prediction"), ("b", "Find x.", "5")]
    assert read_foreign(table(tmp_path / "p.tsv", *rows), twins)[0].id == "b"
    rows[1] = ("7", "Find x.", "5")
    with pytest.raises(DataError, match="that of 2 items"):
        read_foreign(table(tmp_path / "p.tsv", *rows), twins)


def test_lmms_eval_rows(tmp_path):
    path = tmp_path / "samples.jsonl"
    rows = [
        {"doc_id": 0, "doc": {"pid": "3"}, "filtered_resps": ["7"], "resps": [["say 7"]]},
        {"doc_id": 1, "doc": {"question": "Which one?"}, "resps": [["no"]]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert is_foreign(path)
    found = read_foreign(path, EXAMPLES)
    assert [(item.id, item.response) for item in found] == [("3", "7"), ("2", "no")]
    path.write_text(json.dumps({"doc_id": 0, "filtered_resps": [None]}) + "\n")
    with pytest.raises(DataError, match=r"samples\.jsonl:1: 'filtered_resps' holds no text"):
        read_foreign(path, EXAMPLES)


def test_plain_predictions_are_not_foreign(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "1", "response": "5"}\n')
    assert not is_foreign(path)
    path.write_text("")
    assert not is_foreign(path)


def test_a_cell_of_xlsx_has_a_limit(tmp_path):
    long = predictions("x" * (CELL_LIMIT + 1))
    with pytest.raises(DataError, match=r"write a \.tsv"):
        write(tmp_path / "answers.xlsx", long)
    write(tmp_path / "answers.tsv", long)
    assert read_foreign(tmp_path / "answers.tsv", EXAMPLES)[0].response == long[0].response


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_damaged_xlsx(tmp_path, content):
    path = tmp_path / "answers.xlsx"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a whole xlsx"):
        read_foreign(path, EXAMPLES)


def test_without_openpyxl_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"mmdft\[xlsx\]"):
        write(tmp_path / "answers.xlsx", predictions("5"))


def test_scores_stay_the_same_through_every_format(tmp_path):
    data = tmp_path / "test.jsonl"
    row = {"question": "?", "options": [], "answer": "60", "level": 2, "subject": "counting"}
    data.write_text("".join(json.dumps({**row, "id": i}) + "\n" for i in "12"))
    source = tmp_path / "p.jsonl"
    source.write_text('{"id": "1", "response": "60"}\n{"id": "2", "response": "It is 61."}\n')
    scored = []
    for name in ("a.xlsx", "b.tsv", "c.jsonl", "d.tsv"):
        out, copy = tmp_path / f"{name}.verdicts", tmp_path / name
        score_file(source, benchmark="mathvision", data=data, out=out, export=copy)
        scored.append(out.read_text())
        source = copy
    assert len(set(scored)) == 1
    with pytest.raises(DataError, match="--export"):
        score_file(source, benchmark="mathvision", data=data, out=out, export=source)
