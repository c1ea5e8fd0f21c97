"""Rows of every format become the same examples; what cannot be used is named."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from collections.abc import Mapping
from itertools import chain, cycle
from pathlib import Path
from typing import Any, Literal

import datasets
import pytest
from PIL import Image

from mmdft.config import SourceConfig
from mmdft.data.sources import (
    Origin,
    detect,
    join_reply,
    parse_row,
    read_rows,
    row_id,
    to_example,
    with_choices,
)
from mmdft.errors import DataError
from mmdft.records import Example, ImageRef, Turn


def encode(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stream, "PNG")
    return stream.getvalue()


RED, BLUE = encode("red"), encode("blue")
DATA_URL = "data:image/png;base64," + base64.b64encode(RED).decode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "red.png").write_bytes(RED)
    (tmp_path / "blue.png").write_bytes(BLUE)
    return tmp_path.resolve()


def origin(
    root: Path, *, reply: Literal["plain", "think", "boxed"] = "plain", system: str | None = None
) -> Origin:
    return Origin(file=root / "rows.jsonl", row=7, image_root=root, reply=reply, system=system)


def convert(row: Any, root: Path, **options: Any) -> Example:
    return to_example(row, origin(root, **options), None)


def user(*parts: str | ImageRef) -> Turn:
    return Turn(role="user", parts=parts)


def assistant(*parts: str | ImageRef) -> Turn:
    return Turn(role="assistant", parts=parts)


def system(text: str) -> Turn:
    return Turn(role="system", parts=(text,))


NATIVE = {"question": "How many?", "answer": "4"}


# --- native ---


def test_native_in_full(root: Path) -> None:
    row = {
        "id": 12,
        "images": ["red.png", {"bytes": BLUE}],
        "question": "Which?",
        "reasoning": " It is red.\n",
        "answer": "A",
        "choices": ["red", "blue"],
        "category": "colour",
        "meta": {"level": 3},
    }
    assert convert(row, root, system="Be brief.") == Example(
        id="12",
        turns=(
            system("Be brief."),
            user(ImageRef(path=root / "red.png"), ImageRef(data=BLUE), "Which?\n(A) red\n(B) blue"),
            assistant("It is red.\nAnswer: A"),
        ),
        answer="A",
        choices=("red", "blue"),
        category="colour",
        meta={"level": 3},
    )


def test_native_at_its_least(root: Path) -> None:
    assert convert(NATIVE, root) == Example(
        id="rows:7", turns=(user("How many?"), assistant("Answer: 4")), answer="4"
    )


@pytest.mark.parametrize(
    "field", [{"image": "red.png"}, {"images": None, "image": "red.png"}, {"images": "red.png"}]
)
def test_a_single_image(root: Path, field: dict[str, Any]) -> None:
    expected = (ImageRef(path=root / "red.png"),)
    assert convert({**NATIVE, **field}, root).images == expected
    chat = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}]}
    assert convert({**chat, **field}, root).images == expected


def test_null_fields_are_missing_ones(root: Path) -> None:
    names = ("id", "images", "image", "reasoning", "choices", "category", "meta", "response")
    assert convert({**NATIVE, **dict.fromkeys(names)}, root) == convert(NATIVE, root)


@pytest.mark.parametrize(("answer", "text"), [(4, "4"), (0, "0"), (2.50, "2.5"), (-3, "-3")])
def test_a_number_is_an_answer(root: Path, answer: float, text: str) -> None:
    item = convert({"question": "?", "answer": answer}, root)
    assert (item.answer, item.turns[-1].text) == (text, f"Answer: {text}")


def test_a_response_is_kept_word_for_word(root: Path) -> None:
    row = {**NATIVE, "reasoning": "unused", "response": " <think>\n4 </think> "}
    assert convert(row, root, reply="boxed").turns[-1] == assistant(" <think>\n4 </think> ")


@pytest.mark.parametrize(
    ("form", "with_reasoning", "without"),
    [
        ("plain", "2+2=4\nAnswer: 4", "Answer: 4"),
        ("boxed", "2+2=4\nThe answer is \\boxed{4}.", "The answer is \\boxed{4}."),
        (
            "think",
            "<think>2+2=4</think>\n<answer>4</answer>",
            "<think></think>\n<answer>4</answer>",
        ),
    ],
)
def test_forms_of_the_reply(
    form: Literal["plain", "think", "boxed"], with_reasoning: str, without: str
) -> None:
    assert join_reply(" 2+2=4 ", "4", form) == with_reasoning
    assert join_reply(None, "4", form) == join_reply(" ", "4", form) == without


def test_choices_have_letters() -> None:
    lines = with_choices("Q", [str(i) for i in range(26)]).split("\n")
    assert (lines[0], lines[1], lines[26]) == ("Q", "(A) 0", "(Z) 25")
    assert with_choices("Q", []) == "Q"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": None}, "field 'question' is missing or empty"),
        ({"question": " \n"}, "field 'question' is missing or empty"),
        ({"question": 5}, "field 'question' must be a string, this one is int"),
        ({"answer": None}, "field 'answer' is missing or empty"),
        ({"answer": " "}, "field 'answer' is missing or empty"),
        ({"answer": True}, "field 'answer' must be a string or a number"),
        ({"answer": ["4"]}, "field 'answer' must be a string or a number"),
        ({"answer": float("nan")}, "field 'answer' is nan"),
        ({"choices": "AB"}, "field 'choices' must be a list of strings"),
        ({"choices": [1, 2]}, "field 'choices' must be a list of strings"),
        ({"choices": ["x"] * 27}, "field 'choices' has 27 entries"),
        ({"reasoning": ["step"]}, "field 'reasoning' must be a string"),
        ({"response": ""}, "field 'response' must be a non-empty string"),
        ({"response": 4}, "field 'response' must be a non-empty string"),
        ({"meta": "x"}, "field 'meta' must be an object"),
        ({"meta": [1]}, "field 'meta' must be an object"),
        ({"images": [5]}, "an image must be a path, a data URL or"),
        ({"images": [None]}, "an image must be a path, a data URL or"),
        ({"images": [{"path": None, "bytes": None}]}, "an image must be a path"),
        ({"images": ["none.png"]}, "none.png: no such file below"),
        ({"images": ["../x.png"]}, "../x.png: lies outside of"),
        ({"images": ["/etc/passwd"]}, "/etc/passwd: lies outside of"),
        ({"images": ["file:///etc/passwd"]}, "/etc/passwd: lies outside of"),
        ({"images": ["https://x.org/a.png"]}, "is a web address; download it and give its path"),
        ({"images": ["HTTP://x.org/a.png"]}, "is a web address; download it and give its path"),
        ({"images": ["data:image/png;base64,@@@"]}, "data URL is not valid base64"),
        ({"images": ["data:image/png;base64,é"]}, "data URL is not valid base64"),
        ({"images": ["iVBORw0KGgo" * 500]}, "not a file name"),
        ({"images": ["a\0.png"]}, "not a file name"),
    ],
)
def test_native_refusals(root: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=re.escape(reason)):
        convert({**NATIVE, **change}, root)


@pytest.mark.parametrize("missing", ["question", "answer"])
def test_a_missing_field(root: Path, missing: str) -> None:
    row = {name: value for name, value in NATIVE.items() if name != missing}
    with pytest.raises(DataError, match=f"field '{missing}' is missing or empty"):
        to_example(row, origin(root), "native")


# --- messages ---


def chat(*contents: Any, first: str = "user") -> list[dict[str, Any]]:
    """Messages of user and assistant in turn."""
    roles = chain(["system"] if first == "system" else [], cycle(["user", "assistant"]))
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]


def test_messages_of_strings_in_several_turns(root: Path) -> None:
    row = {"id": "m", "messages": chat("a?", "b", "c?", "d"), "answer": 4, "category": "x"}
    assert convert(row, root) == Example(
        id="m",
        turns=(user("a?"), assistant("b"), user("c?"), assistant("d")),
        answer="4",
        category="x",
    )


def test_the_sources_system_prompt_yields_to_the_rows(root: Path) -> None:
    bare = {"messages": chat("a?", "b")}
    assert convert(bare, root, system="S").turns[0] == system("S")
    own = {"messages": chat("own", "a?", "b", first="system")}
    assert convert(own, root, system="S").turns == (system("own"), user("a?"), assistant("b"))


def test_messages_of_parts(root: Path) -> None:
    content = [
        {"type": "text", "text": "Compare "},
        {"type": "image_url", "image_url": {"url": "red.png", "detail": "low"}},
        {"type": "image_url", "image_url": "blue.png"},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
        {"type": "image", "image": {"bytes": BLUE, "path": None}},
        {"type": "image", "image": f"file://{root}/red.png"},
        {"type": "text", "text": ""},
    ]
    row = {"messages": chat(content, [{"type": "text", "text": "same"}])}
    assert convert(row, root).turns == (
        user(
            "Compare ",
            ImageRef(path=root / "red.png"),
            ImageRef(path=root / "blue.png"),
            ImageRef(data=RED),
            ImageRef(data=BLUE),
            ImageRef(path=root / "red.png"),
            "",
        ),
        assistant("same"),
    )


def test_bare_image_parts_take_the_rows_images_in_order(root: Path) -> None:
    bare = {"type": "image", "text": None, "image": None}
    first = [bare, {"type": "text", "text": "a?"}]
    second = [{"type": "text", "text": "c?"}, bare]
    row = {"messages": chat(first, "b", second, "d"), "images": [{"bytes": RED}, "blue.png"]}
    assert convert(row, root).turns == (
        user(ImageRef(data=RED), "a?"),
        assistant("b"),
        user("c?", ImageRef(path=root / "blue.png")),
        assistant("d"),
    )


def test_images_without_parts_stand_before_the_first_user_text(root: Path) -> None:
    row = {
        "messages": chat("S", "a?", "b", "c?", "d", first="system"),
        "images": ["red.png", "blue.png"],
    }
    assert convert(row, root).turns == (
        system("S"),
        user(ImageRef(path=root / "red.png"), ImageRef(path=root / "blue.png"), "a?"),
        assistant("b"),
        user("c?"),
        assistant("d"),
    )


BARE = [{"type": "image"}, {"type": "text", "text": "a?"}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "'messages' must be a non-empty list"),
        ({"messages": "hi"}, "'messages' must be a non-empty list"),
        ({"messages": None}, "'messages' must be a non-empty list"),
        ({"messages": ["hi"]}, "every message needs a 'role' of system, user or assistant"),
        ({"messages": [{"content": "a"}]}, "every message needs a 'role'"),
        ({"messages": [{"role": "critic", "content": "a"}]}, "every message needs a 'role'"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "every message needs a 'role'"),
        ({"messages": chat(None, "b")}, "'content' must be a string or a list of parts"),
        ({"messages": chat({"type": "text"}, "b")}, "'content' must be a string or a list"),
        ({"messages": chat(["a"], "b")}, "unknown content part None"),
        ({"messages": chat([{"type": "video"}], "b")}, "unknown content part 'video'"),
        ({"messages": chat([{"type": "text", "text": 5}], "b")}, "unknown content part 'text'"),
        ({"messages": chat([{"type": "image_url"}], "b")}, "an image must be a path"),
        ({"messages": chat("a?")}, "the last message must be a non-empty reply"),
        ({"messages": chat("a?", " \n")}, "the last message must be a non-empty reply"),
        ({"messages": chat("a?", "b", "c?")}, "the last message must be a non-empty reply"),
        ({"messages": chat(BARE, "b")}, "more image parts than entries in the row's 'images'"),
        (
            {"messages": chat(BARE, "b"), "images": ["red.png", "blue.png"]},
            "1 of the row's 'images' have no place in its messages",
        ),
        (
            {"messages": [{"role": "assistant", "content": "b"}], "images": ["red.png"]},
            "1 of the row's 'images' have no place in its messages",
        ),
        ({"messages": chat("a?", "b"), "answer": {"x": 1}}, "'answer' must be a string or"),
    ],
)
def test_messages_refusals(root: Path, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=re.escape(reason)):
        convert(row, root)


# --- which format ---


def test_detection() -> None:
    assert detect(NATIVE) == "native"
    assert detect({"messages": []}) == "messages"
    assert detect({"messages": [], "question": ""}) == "messages"
    with pytest.raises(DataError) as caught:
        detect({"prompt": "?", "label": 4})
    assert str(caught.value) == (
        "no known format: looked for 'messages' (chat), 'conversations' (llava, sharegpt), "
        "'prompt' with 'completion' (prompt_completion), 'question' (native) or 'problem' with "
        "'image_path' (wethink), found label, prompt; for other columns give the source a 'map'"
    )


def test_a_named_format_is_not_detected(root: Path) -> None:
    row = {**NATIVE, "messages": chat("a?", "b")}
    assert to_example(row, origin(root), "native").turns[0] == user("How many?")


@pytest.mark.parametrize(("row", "kind"), [([1], "list"), ("x", "str"), (None, "NoneType")])
def test_a_row_that_is_no_object(root: Path, row: Any, kind: str) -> None:
    with pytest.raises(DataError, match=f"a row must be an object, this one is {kind}"):
        convert(row, root)
    with pytest.raises(DataError, match=f"a row must be an object, this one is {kind}"):
        parse_row(json.dumps(row).encode())


def test_ids(root: Path) -> None:
    assert row_id({"id": 0}, origin(root)) == "0"
    assert row_id({"id": None}, origin(root)) == row_id({}, origin(root)) == "rows:7"


# --- files ---


def rows_of(path: Path, **options: Any) -> list[tuple[int, Mapping[str, Any]]]:
    rows = read_rows(SourceConfig(path=path, **options))
    return [(origin.row, parse_row(row)) for origin, row in rows]


LINES = [{**NATIVE, "id": str(i)} for i in range(3)]


def test_jsonl_json_and_their_gzip_are_the_same_rows(tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, LINES)).encode()
    array = json.dumps(LINES).encode()
    contents = {
        "x.jsonl": lines,
        "x.jsonl.gz": gzip.compress(lines),
        "x.json": array,
        "x.json.gz": gzip.compress(array),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert rows_of(tmp_path / name) == list(enumerate(LINES, start=1))
        assert rows_of(tmp_path / name, limit=2) == list(enumerate(LINES[:2], start=1))


def test_row_numbers_are_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    text = json.dumps({**NATIVE, "question": "a\u2028b"}, ensure_ascii=False)
    path.write_text(f"\n{text}\n   \n\n{text}\n", encoding="utf-8")
    assert [number for number, _ in rows_of(path)] == [2, 5]
    assert {row["question"] for _, row in rows_of(path)} == {"a\u2028b"}


def test_the_origin_carries_the_sources_settings(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{}")
    ((plain, row),) = read_rows(SourceConfig(path=path))
    assert (plain.file, plain.row, plain.image_root, row) == (path, 1, tmp_path, b"{}")
    ((other, _),) = read_rows(
        SourceConfig(path=path, image_root=tmp_path / "i", reply="think", system="S")
    )
    assert (other.image_root, other.reply, other.system) == (tmp_path / "i", "think", "S")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "x.csv",
            b"a,b",
            "unknown kind of file; expected .jsonl, .json, .parquet, .tsv, .tar, the folder",
        ),
        ("x.json", b"{}", "a JSON source must be an array of rows"),
        ("x.json", b"[1,", "not valid JSON"),
        ("x.parquet", b"PAR1 nonsense PAR1", "not a whole parquet file"),
        ("x.parquet", b"", "not a whole parquet file"),
        ("x.jsonl", None, "no such file"),
        ("x.json", None, "no such file"),
        ("x.parquet", None, "no such file"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: .*{re.escape(reason)}"):
        rows_of(path)


@pytest.mark.filterwarnings("ignore")
def test_parquet_with_image_bytes(tmp_path: Path) -> None:
    path = tmp_path / "set [1] *.parquet"
    images = datasets.List(datasets.Image())
    table = datasets.Dataset.from_dict(
        {
            "id": ["p", None],
            "image": [{"bytes": RED, "path": None}, None],
            "images": [[], [{"bytes": BLUE, "path": None}, {"bytes": RED, "path": "x"}]],
            "question": ["a?", "b?"],
            "answer": ["1", "2"],
            "choices": [None, ["x", "y"]],
        },
        features=datasets.Features(
            id=datasets.Value("string"),
            image=datasets.Image(),
            images=images,
            question=datasets.Value("string"),
            answer=datasets.Value("string"),
            choices=datasets.List(datasets.Value("string")),
        ),
    )
    table.to_parquet(str(path))
    first, second = (to_example(r, o, None) for o, r in read_rows(SourceConfig(path=path)))
    assert first == Example(
        id="p", turns=(user(ImageRef(data=RED), "a?"), assistant("Answer: 1")), answer="1"
    )
    assert second == Example(
        id=f"{path.stem}:2",
        turns=(
            user(ImageRef(data=BLUE), ImageRef(data=RED), "b?\n(A) x\n(B) y"),
            assistant("Answer: 2"),
        ),
        answer="2",
        choices=("x", "y"),
    )


@pytest.mark.filterwarnings("ignore")
def test_parquet_with_messages_and_bare_image_parts(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    part = {"type": datasets.Value("string"), "text": datasets.Value("string")}
    message = {"role": datasets.Value("string"), "content": datasets.List(part)}
    messages = chat([*BARE], [{"type": "text", "text": "b"}])
    datasets.Dataset.from_dict(
        {"messages": [messages], "images": [[{"bytes": RED, "path": None}]]},
        features=datasets.Features(
            messages=datasets.List(message), images=datasets.List(datasets.Image())
        ),
    ).to_parquet(str(path))
    ((where, row),) = read_rows(SourceConfig(path=path))
    assert to_example(row, where, None).turns == (user(ImageRef(data=RED), "a?"), assistant("b"))


def test_wethink_rows_keep_media_tags_as_text(root: Path) -> None:
    row = {
        "problem": "<image> What is x in <|image_pad|>?",
        "answer": "4",
        "refined_cot": "<think>2 + 2 = 4.</think>",
        "image_path": "red.png",
        "category": "geometry",
    }
    path = root / "wethink.jsonl"
    path.write_text(json.dumps(row) + "\n")
    source = SourceConfig(path=path, reply="think", system="Think.")
    ((origin, raw),) = read_rows(source)
    example = to_example(raw, origin, None)
    system, user, assistant = example.turns
    assert system.parts == ("Think.",)
    assert user.parts == (ImageRef(path=root / "red.png"), "<image> What is x in <|image_pad|>?")
    assert assistant.parts == ("<think>2 + 2 = 4.</think>\n<answer>4</answer>",)
    assert (example.id, example.answer, example.category) == ("wethink:1", "4", "geometry")


def test_a_saved_dataset_gives_rows_with_image_bytes(root: Path) -> None:
    table = datasets.Dataset.from_list(
        [
            {"images": [str(root / "red.png")], "question": f"q{i}", "answer": str(i)}
            for i in range(3)
        ]
    ).cast_column("images", datasets.List(datasets.Image()))
    table.save_to_disk(root / "saved")
    examples = [
        to_example(row, origin, None)
        for origin, row in read_rows(SourceConfig(path=root / "saved", limit=2))
    ]
    assert [example.answer for example in examples] == ["0", "1"]
    for example in examples:
        assert example.images[0].data == RED
    (root / "other").mkdir()
    with pytest.raises(DataError, match="not the folder of a saved dataset"):
        list(read_rows(SourceConfig(path=root / "other")))


def test_a_row_of_another_format_than_named_is_a_bad_row(root: Path) -> None:
    with pytest.raises(DataError, match="field 'messages' must be a non-empty list"):
        to_example({"question": "How many?", "answer": "3"}, origin(root), "messages")
