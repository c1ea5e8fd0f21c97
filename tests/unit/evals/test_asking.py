"""Requests, keys, and the file of answers, with a backend that is a function."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.config import EvaluationConfig
from mmdft.errors import DataError
from mmdft.evals.asking import answer_into, requests_for
from mmdft.evals.backends import Backend
from mmdft.records import Example, ImageRef, Prediction, Turn, Unanswered

SAMPLED = EvaluationConfig(num_samples=2, temperature=1.0)


def question(name, *parts):
    return Example(id=name, turns=(Turn(role="user", parts=parts or (f"What is {name}?",)),))


def backend(asked, fails=(), model="m"):
    """Answers two at a time, in reverse; `asked` gets the names of what it is asked."""

    def answer(requests):
        todo = list(requests)
        while todo:
            batch = [todo.pop() for _ in range(min(2, len(todo)))]
            asked.extend((each.example.id, each.sample) for each in batch)
            yield [
                Unanswered(id=each.example.id, sample=each.sample, reason="busy")
                if each.example.id in fails
                else Prediction(
                    id=each.example.id, sample=each.sample, response=f"{each.seed}", num_tokens=1
                )
                for each in batch
            ]

    return Backend(identity={"backend": "test", "model": model}, details={}, answer=answer)


def rows(folder, name="predictions"):
    path = folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_seeds_are_of_the_item_and_the_sample():
    one = requests_for([question("a"), question("b")], SAMPLED, "label")
    assert [(each.example.id, each.sample) for each in one] == [
        ("a", 0), ("b", 0), ("a", 1), ("b", 1),
    ]  # fmt: skip
    assert len({each.seed for each in one}) == 4
    assert all(0 <= each.seed < 2**31 and each.benchmark == "label" for each in one)
    other = requests_for([question("b")], SAMPLED.model_copy(update={"num_samples": 3}))
    assert [each.seed for each in other[:2]] == [one[1].seed, one[3].seed]
    moved = requests_for([question("b")], SAMPLED.model_copy(update={"seed": 1}))
    assert moved[0].seed != one[1].seed


def test_the_finished_file_is_in_the_order_of_the_requests(tmp_path):
    requests = requests_for([question(name) for name in "dacb"], SAMPLED)
    assert answer_into(tmp_path, requests, backend([]), SAMPLED) == []
    found = rows(tmp_path)
    assert [(row["id"], row["sample"]) for row in found] == [
        (each.example.id, each.sample) for each in requests
    ]
    assert [row["response"] for row in found] == [str(each.seed) for each in requests]
    assert len({row["key"] for row in found}) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]


def test_what_got_no_answer_is_told_and_asked_again(tmp_path):
    requests = requests_for([question(name) for name in "abc"], SAMPLED)
    failed = answer_into(tmp_path, requests, backend([], fails="b"), SAMPLED)
    assert [(each.id, each.sample, each.reason) for each in failed] == [
        ("b", 0, "busy"), ("b", 1, "busy"),
    ]  # fmt: skip
    assert [row["id"] for row in rows(tmp_path)] == ["a", "c", "a", "c"]
    assert rows(tmp_path, "unanswered") == [
        {"id": "b", "reason": "busy", "sample": 0},
        {"id": "b", "reason": "busy", "sample": 1},
    ]
    asked = []
    assert answer_into(tmp_path, requests, backend(asked), SAMPLED) == []
    assert sorted(asked) == [("b", 0), ("b", 1)]
    assert [row["id"] for row in rows(tmp_path)] == ["a", "b", "c", "a", "b", "c"]
    assert not (tmp_path / "unanswered.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"max_new_tokens": 9}, True),
        ({"temperature": 0.5}, True),
        ({"top_p": 0.5}, True),
        ({"seed": 1}, True),
        ({"batch_size": 3}, False),
        ({"num_samples": 3}, False),
    ],
)
def test_what_an_answer_depends_on_is_in_its_key(tmp_path, change, again):
    items = [question("a"), question("b")]
    answer_into(tmp_path, requests_for(items, SAMPLED), backend([]), SAMPLED)
    before = rows(tmp_path)
    settings = SAMPLED.model_copy(update=change)
    asked = []
    answer_into(tmp_path, requests_for(items, settings), backend(asked), settings)
    assert len(asked) == (4 if again else 0) + 2 * (settings.num_samples - 2)
    if again:
        assert rows(tmp_path, "superseded") == before


def test_greedy_answers_do_not_depend_on_the_seed(tmp_path):
    for seed in (0, 1):
        settings = EvaluationConfig(seed=seed)
        asked = []
        answer_into(tmp_path, requests_for([question("a")], settings), backend(asked), settings)
    assert asked == []


def test_another_model_text_or_image_is_another_key(tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(b"one")
    settings = EvaluationConfig()
    folder = tmp_path / "out"

    def asked_for(*parts, model="m"):
        asked = []
        requests = requests_for([question("a", *parts)], settings)
        answer_into(folder, requests, backend(asked, model=model), settings)
        return len(asked)

    shown = (ImageRef(path=image), "What is it?")
    assert [asked_for(*shown), asked_for(*shown)] == [1, 0]
    # The same image from elsewhere is the same.
    assert asked_for(ImageRef(data=b"one"), "What is it?") == 0
    assert asked_for("What is it?", ImageRef(path=image)) == 1
    assert asked_for(*shown, model="n") == 1
    image.write_bytes(b"two")
    assert asked_for(*shown, model="n") == 1
    assert len(rows(folder, "superseded")) == 3


def test_a_file_that_is_none_of_ours_is_left_alone(tmp_path):
    (tmp_path / "predictions.jsonl").write_text('{"question": "mine"}\n')
    requests = requests_for([question("a")], SAMPLED)
    with pytest.raises(DataError, match=r"predictions.jsonl:1: no answer of mmdft eval"):
        answer_into(tmp_path, requests, backend([]), SAMPLED)
    assert (tmp_path / "predictions.jsonl").read_text() == '{"question": "mine"}\n'


@given(st.data())
def test_wherever_it_is_cut_off_it_goes_on_to_the_same_end(tmp_path_factory, data):
    """Killed after any byte, with any part of the answers in files of other ranks."""
    folder = tmp_path_factory.mktemp("cut")
    requests = requests_for([question(name) for name in "abcde"], SAMPLED)
    answer_into(folder, requests, backend([]), SAMPLED)
    path = folder / "predictions.jsonl"
    whole = path.read_bytes()
    lines = data.draw(st.permutations(whole.splitlines(keepends=True)))
    where = data.draw(st.lists(st.integers(0, 2), min_size=len(lines), max_size=len(lines)))
    for rank in range(3):
        part = b"".join(line for line, owner in zip(lines, where, strict=True) if owner == rank)
        part = part[: data.draw(st.integers(0, len(part)))]
        (path if rank == 0 else folder / f"predictions.rank{rank}.jsonl").write_bytes(part)
    answer_into(folder, requests, backend([]), SAMPLED)
    assert path.read_bytes() == whole
    assert [each.name for each in folder.iterdir()] == ["predictions.jsonl"]
