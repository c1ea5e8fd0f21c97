"""Rows of a training file: what mmdft reads from them is what was asked, and what was answered."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdft.config import SourceConfig
from mmdft.data.sources import origin_of, to_example, with_choices
from mmdft.records import Example, ImageRef, Turn
from mmdft.rejection.write import ImagesBeside, training_row


def picture(color="red", kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), color).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two images: one a file of its own, one out of a table."""
    path = tmp_path_factory.mktemp("given") / "blue.jpg"
    path.write_bytes(picture("blue", "JPEG"))
    return ImageRef(path=path), ImageRef(data=picture())


def read_back(row, folder):
    """The example that mmdft's own reader makes of a row in `folder`/train.jsonl."""
    origin = origin_of(SourceConfig(path=folder / "train.jsonl"), 1)
    return to_example(json.dumps(row).encode(), origin, None)


def content(part):
    if isinstance(part, str):
        return part
    return part.data if part.path is None else part.path.read_bytes()


def contents(turns):
    return [(turn.role, [content(part) for part in turn.parts]) for turn in turns]


TEXTS = st.one_of(
    st.sampled_from(["How long is AB?", "<image> is text", " \n", "A\n(A) 1\n(B) 2", "π ≈ 3.14"]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
)
REPLIES = st.one_of(
    st.sampled_from(["<think>2 + 2</think>\n\nAnswer: 4", "<think>\n", " 4\n", "\\boxed{4}"]),
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20),
).filter(str.strip)


@st.composite
def questions(draw, images):
    parts = st.lists(st.one_of(TEXTS, st.sampled_from(images)), min_size=1, max_size=4)
    turns = [Turn(role="system", parts=(draw(TEXTS),))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        turns.append(Turn(role="user", parts=tuple(draw(parts))))
        turns.append(Turn(role="assistant", parts=(draw(REPLIES),)))
    turns.append(Turn(role="user", parts=tuple(draw(parts))))
    return Example(
        id=draw(st.text(max_size=5)),
        turns=tuple(turns),
        answer=draw(
            st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)
        ),
        category=draw(st.sampled_from(["", "area"])),
    )


@given(st.data())
def test_a_row_is_read_as_what_was_asked_and_answered(images, tmp_path, data):
    example, response = data.draw(questions(images)), data.draw(REPLIES)
    row = training_row(example, 2, response, {"sample": 2}, ImagesBeside(tmp_path))
    found = read_back(row, tmp_path)
    reply = Turn(role="assistant", parts=(response,))
    assert contents(found.turns) == contents((*example.turns, reply))
    assert found.answer == example.answer and found.category == example.category
    assert found.id == f"{example.id}-2"


@given(TEXTS.filter(str.strip), st.lists(st.text(max_size=3), min_size=1, max_size=4), REPLIES)
def test_a_question_with_options_keeps_them(images, tmp_path, question, choices, response):
    example = Example(
        id="q",
        turns=(Turn(role="user", parts=(images[0], with_choices(question, choices))),),
        answer="B",
        choices=tuple(choices),
    )
    row = training_row(example, 0, response, {}, ImagesBeside(tmp_path))
    assert row["question"] == question and row["choices"] == choices
    found = read_back(row, tmp_path)
    assert found.choices == example.choices
    assert contents(found.turns[:-1]) == contents(example.turns)


def test_a_plain_question_is_a_native_row(images, tmp_path):
    example = Example(
        id="train:3",
        turns=(
            Turn(role="system", parts=("Be brief.",)),
            Turn(role="user", parts=(*images, "How long is AB?")),
        ),
        answer="4",
        category="length",
    )
    meta = {"row": "train:3", "right": 2, "answers": 4}
    row = training_row(example, 1, "<think>2 + 2</think>Answer: 4", meta, ImagesBeside(tmp_path))
    names = row.pop("images")
    assert row == {
        "id": "train:3-1",
        "system": "Be brief.",
        "question": "How long is AB?",
        "response": "<think>2 + 2</think>Answer: 4",
        "answer": "4",
        "category": "length",
        "meta": meta,
    }
    assert [Path(name).suffix for name in names] == [".jpeg", ".png"]
    assert [(tmp_path / name).read_bytes() for name in names] == list(map(content, images))


def test_a_conversation_is_a_row_of_messages(images, tmp_path):
    example = Example(
        id="c",
        turns=(
            Turn(role="user", parts=("First", images[1], "then?")),
            Turn(role="assistant", parts=("2",)),
            Turn(role="user", parts=("And AB?",)),
        ),
        answer="4",
    )
    row = training_row(example, 0, "4", {}, lambda ref: "images/a.png")
    assert row["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "First"},
                {"type": "image", "image": "images/a.png"},
                {"type": "text", "text": "then?"},
            ],
        },
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "And AB?"},
        {"role": "assistant", "content": "4"},
    ]
    assert row["answer"] == "4" and "question" not in row


@pytest.mark.parametrize(
    "turns",
    [
        (("user", " \n"),),
        (("system", " "), ("user", "Q?")),
        (("system", "One."), ("system", "Two."), ("user", "Q?")),
    ],
)
def test_what_a_native_row_cannot_say_is_a_row_of_messages(turns, tmp_path):
    given = tuple(Turn(role=role, parts=(text,)) for role, text in turns)
    example = Example(id="q", turns=given, answer="4")
    row = training_row(example, 0, "4", {}, ImagesBeside(tmp_path))
    assert "messages" in row
    assert read_back(row, tmp_path).turns[:-1] == given


def test_images_are_put_beside_once_by_their_content(images, tmp_path):
    copy = tmp_path / "given.jpg"
    copy.write_bytes(content(images[0]))
    beside = ImagesBeside(tmp_path / "out")
    names = [beside(ref) for ref in (*images, images[0], ImageRef(path=copy))]
    assert names[0] == names[2] == names[3] != names[1]
    written = sorted((tmp_path / "out/images").iterdir())
    assert sorted({*names}) == [f"images/{path.name}" for path in written]
    # A second run finds them there, and changes nothing.
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in written]
    again = ImagesBeside(tmp_path / "out")
    assert [again(ref) for ref in images] == names[:2]
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in written] == before


def test_an_image_that_cannot_be_linked_is_copied(images, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    name = ImagesBeside(tmp_path)(images[0])
    assert (tmp_path / name).read_bytes() == content(images[0])
    assert (tmp_path / name).stat().st_nlink == 1
