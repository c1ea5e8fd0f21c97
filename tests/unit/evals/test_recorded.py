import gzip
import json

import pytest

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.errors import ConfigError, DataError
from mmdft.evals.backends import open_backend
from mmdft.evals.exchange import read_foreign, write_lmms_eval, write_vlmevalkit
from mmdft.records import Example, Prediction, Request, Turn, Unanswered

MODEL = ModelConfig(name="m")


def example(identity, question="How many?"):
    return Example(id=identity, turns=(Turn(role="user", parts=(question,)),), answer="5")


EXAMPLES = [example("a"), example("b", "Which one?"), example("c", "How long?")]


def requests(*names, label="", examples=EXAMPLES):
    """`requests("a", "b1")`: sample 0 of a, sample 1 of b."""
    by_id = {e.id: e for e in examples}
    return [
        Request(example=by_id[name[0]], sample=int(name[1:] or 0), benchmark=label)
        for name in names
    ]


def opened(path):
    return open_backend(MODEL, DecodingConfig(backend={"name": "recorded", "path": path}), (1, 2))


def answers(backend, asked):
    return [answer for some in backend.answer(asked) for answer in some]


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def row(identity, response="5", **more):
    return {"id": identity, "response": response, **more}


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
def test_answers_come_from_a_file_by_item_and_sample(tmp_path, name):
    path = write(
        tmp_path / name,
        row("b", "6", num_tokens=4, truncated=True, key="0f"),
        row("a", "one"),
        row("a", "two", sample=1),
        row("z", "not asked for"),
    )
    found = answers(opened(path), requests("a", "b", "c", "a1", "b1"))
    missing = f"no recorded answer in {path}"
    assert found == [
        Prediction(id="a", response="one"),
        Prediction(id="b", response="6", num_tokens=4, truncated=True),
        Unanswered(id="c", reason=missing),
        Prediction(id="a", response="two", sample=1),
        Unanswered(id="b", sample=1, reason=missing),
    ]


def test_an_empty_answer_is_an_answer(tmp_path):
    path = write(tmp_path / "answers.jsonl", row("a", ""))
    assert answers(opened(path), requests("a")) == [Prediction(id="a", response="")]


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.tsv", "answers.xlsx"])
def test_answers_of_other_evaluators_even_if_only_some_items_are_asked(tmp_path, name):
    recorded = [Prediction(id=e.id, response=f"to {e.id}") for e in EXAMPLES]
    writer = write_lmms_eval if name.endswith(".jsonl") else write_vlmevalkit
    writer(tmp_path / name, EXAMPLES, recorded)
    backend = opened(tmp_path / name)
    assert answers(backend, requests("a", "b", "c")) == recorded
    assert answers(backend, requests("b")) == [recorded[1]]
    extra = [*EXAMPLES, example("d", "New?")]
    (only,) = answers(opened(tmp_path / name), requests("d", examples=extra))
    assert isinstance(only, Unanswered)


def test_a_question_that_several_rows_have_does_not_tell_whose_they_are(tmp_path):
    path = tmp_path / "answers.tsv"
    path.write_text("index\tquestion\tprediction\n1\tHow many?\t5\n2\tHow many?\t6\n3\tWhy?\t7\n")
    asked = [example("a", "How many?"), example("b", "Why?")]
    # With both of the items known, neither row could be told; with one, both would be its own.
    assert [p.id for p in read_foreign(path, asked, partial=True)] == ["b"]
    # A number that is an id of that question tells it all the same.
    asked = [example("2", "How many?"), example("b", "Why?")]
    found = read_foreign(path, asked, partial=True)
    assert [(p.id, p.response) for p in found] == [("2", "6"), ("b", "7")]
    with pytest.raises(DataError, match="fits no item"):
        read_foreign(path, [example("b", "Why?")])


def test_a_folder_has_the_answers_of_each_benchmark(tmp_path):
    write(tmp_path / "one" / "predictions.jsonl", row("a", "first"))
    write(tmp_path / "two" / "predictions.jsonl", row("a", "second"))
    backend = opened(tmp_path)
    for label, response in (("one", "first"), ("two", "second")):
        assert answers(backend, requests("a", label=label)) == [
            Prediction(id="a", response=response)
        ]
    with pytest.raises(DataError, match=r"no folder 'three'.*label"):
        answers(backend, requests("a", label="three"))


def test_one_file_has_the_answers_of_one_benchmark(tmp_path):
    backend = opened(write(tmp_path / "answers.jsonl", row("a")))
    for _ in range(2):
        assert answers(backend, requests("a", label="one")) == [Prediction(id="a", response="5")]
    with pytest.raises(ConfigError, match="one file, and the answers of one and two"):
        answers(backend, requests("a", label="two"))


def test_what_is_known_of_it_is_what_is_in_the_files(tmp_path):
    path = write(tmp_path / "answers.jsonl", row("a"))
    first = opened(path)
    assert (first.identity["backend"], first.identity["pixels"]) == ("recorded", None)
    assert first.details == {"path": str(path)}
    same = opened(write(tmp_path / "elsewhere" / "others.jsonl", row("a")))
    assert same.identity == first.identity
    assert opened(write(path, row("a", "6"))).identity != first.identity
    folder = tmp_path / "folder"
    write(folder / "one" / "predictions.jsonl", row("a"))
    before = opened(folder).identity
    write(folder / "two" / "predictions.jsonl", row("a"))
    assert opened(folder).identity != before
    # Answers that change places are others.
    write(folder / "two" / "predictions.jsonl", row("b"))
    between = opened(folder).identity
    write(folder / "one" / "predictions.jsonl", row("b"))
    write(folder / "two" / "predictions.jsonl", row("a"))
    assert opened(folder).identity != between


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(DataError, match=r"mend backend\.path"):
        opened(tmp_path / "none.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no \*/predictions.jsonl"):
        opened(tmp_path / "empty")
    with pytest.raises(DataError, match="no predictions in it"):
        answers(opened(write(tmp_path / "answers.jsonl")), requests("a"))
    twice = write(tmp_path / "twice.jsonl", row("a"), row("a", "6"))
    with pytest.raises(DataError, match="'a' appears twice as sample 0"):
        answers(opened(twice), requests("a"))
    damaged = write(tmp_path / "damaged.jsonl", row("a"), {"id": "b"})
    with pytest.raises(DataError, match=r"damaged.jsonl:2: row 'b'"):
        answers(opened(damaged), requests("a"))
