"""One conversation in each format gives the same example; what a format cannot say is named."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from mmdft.config import SourceConfig, template_parts
from mmdft.config_loading import load_config
from mmdft.data.fields import Origin, mapped_fields, row_id, without_thinking
from mmdft.data.formats import FORMATS, detect, format_of
from mmdft.data.render import render
from mmdft.data.sources import origin_of, to_example
from mmdft.data.vision import pixel_budget
from mmdft.errors import ConfigError, DataError
from mmdft.records import Example, ImageRef, Role, Turn


def encode(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(stream, "PNG")
    return stream.getvalue()


PNG = {name: encode(name) for name in ("red", "blue", "green")}
RED, BLUE, GREEN = (ImageRef(data=data) for data in PNG.values())
# As parquet holds them: no file is needed.
RED_ROW, BLUE_ROW, GREEN_ROW = ({"bytes": data, "path": None} for data in PNG.values())


def origin(**options: Any) -> Origin:
    settings = {"file": Path("rows.jsonl"), "row": 7, "image_root": Path("."), "reply": "plain"}
    return Origin(**{**settings, "system": None, **options})


def convert(row: Any, format_name: str | None = None, **options: Any) -> Example:
    return to_example(row, origin(**options), format_name)


def user(*parts: str | ImageRef) -> Turn:
    return Turn(role="user", parts=parts)


def assistant(*parts: str | ImageRef) -> Turn:
    return Turn(role="assistant", parts=parts)


def system(*parts: str | ImageRef) -> Turn:
    return Turn(role="system", parts=parts)


NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


def messages(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


def conversations(*turns: tuple[Role, Any]) -> list[dict[str, Any]]:
    return [{"from": NAMES[role], "value": content} for role, content in turns]


def refused(row: Any, reason: str, format_name: str | None = None, **options: Any) -> None:
    with pytest.raises(DataError, match=re.escape(reason)):
        convert(row, format_name, **options)


# --- llava ---


def test_llava_in_full() -> None:
    row = {
        "id": 3,
        "image": [RED_ROW, BLUE_ROW],
        "conversations": conversations(
            ("system", "Look at <image>."),
            ("user", "<image>\nWhat? <video>"),
            ("assistant", "An <image>."),
            ("user", "And<image>"),
            ("assistant", "Blue."),
        ),
        "answer": "blue",
        "category": "colour",
    }
    assert convert(row, system="unused") == Example(
        id="3",
        turns=(
            system("Look at <image>."),
            user(RED, "\nWhat? <video>"),
            assistant("An <image>."),
            user("And", BLUE),
            assistant("Blue."),
        ),
        answer="blue",
        category="colour",
    )


@pytest.mark.parametrize("image", [{}, {"image": None}, {"image": ""}, {"image": []}])
def test_llava_without_an_image_is_text(image: dict[str, Any]) -> None:
    row = {"conversations": conversations(("user", "a?"), ("assistant", "b")), **image}
    assert convert(row) == Example(id="rows:7", turns=(user("a?"), assistant("b")))
    assert convert(row, system="S").turns[0] == system("S")


def test_llava_with_a_single_image() -> None:
    chat = conversations(("user", "<image><image>"), ("assistant", "b"))
    row = {"image": RED_ROW, "conversations": chat}
    refused(row, "2 marks <image> in the user turns for 1 images")
    row["image"] = [RED_ROW, GREEN_ROW]
    assert convert(row).turns == (user(RED, GREEN), assistant("b"))


@pytest.mark.parametrize("num", [0, 1, 3])
@pytest.mark.parametrize("name", ["llava", "sharegpt"])
def test_marks_and_images_must_be_as_many(name: str, num: int) -> None:
    chat = conversations(("user", "<image>a<image>?"), ("assistant", "<image>"))
    row = {"images": [RED_ROW] * num, "conversations": chat}
    refused(row, f"turns for {num} images; there must be one for each image", name)
    refused(row, "2 marks <image> in the ", name)


# --- sharegpt, and messages with marks ---


def test_sharegpt_of_both_spellings() -> None:
    turns: tuple[tuple[Role, str], ...] = (
        ("system", "See <image>."),
        ("user", "<image>Same?"),
        ("assistant", "No <image>."),
    )
    expected = (system("See ", RED, "."), user(BLUE, "Same?"), assistant("No <image>."))
    for field in (
        {"conversations": conversations(*turns)},
        {"messages": messages(*turns)},
        {"messages": messages(*turns), "conversations": None},
    ):
        row = {**field, "images": [RED_ROW, BLUE_ROW]}
        assert convert(row).turns == convert(row, "sharegpt").turns == expected


@pytest.mark.parametrize("name", ["messages", "sharegpt"])
def test_messages_without_marks_open_with_the_images(name: str) -> None:
    row = {
        "images": [RED_ROW, BLUE_ROW],
        "messages": messages(("system", "S"), ("user", "a?"), ("assistant", "an <image>")),
    }
    assert convert(row, name).turns == (
        system("S"),
        user(RED, BLUE, "a?"),
        assistant("an <image>"),
    )


@pytest.mark.parametrize("num", [1, 3])
@pytest.mark.parametrize("name", ["messages", "sharegpt"])
def test_messages_with_another_number_of_marks(name: str, num: int) -> None:
    row = {
        "images": [RED_ROW] * num,
        "messages": messages(("user", "<image> or <image>?"), ("assistant", "b")),
    }
    refused(row, f"2 marks <image> in the system and user turns for {num} images", name)


def test_a_mark_without_images_is_text_in_messages_alone() -> None:
    row: dict[str, Any] = {"messages": messages(("user", "An <image>?"), ("assistant", "b"))}
    for images in ({}, {"images": None}, {"images": []}):
        assert convert({**row, **images}).turns == (user("An <image>?"), assistant("b"))
        refused({**row, **images}, "1 marks <image> in the system and user", "sharegpt")


def test_marks_are_text_beside_image_parts() -> None:
    parts = [{"type": "text", "text": "<image>"}, {"type": "image"}]
    row = {"images": [RED_ROW], "messages": messages(("user", parts), ("assistant", "b"))}
    assert convert(row).turns == (user("<image>", RED), assistant("b"))
    row["images"] = [RED_ROW, BLUE_ROW]
    refused(row, "1 of the row's 'images' have no place in its messages")


# --- prompt and completion ---


def test_prompt_and_completion_as_text() -> None:
    row = {"prompt": "What is <image>?", "completion": " A mark.", "images": [RED_ROW]}
    assert convert(row, system="S") == Example(
        id="rows:7", turns=(system("S"), user(RED, "What is <image>?"), assistant(" A mark."))
    )
    assert convert({**row, "images": None}).turns[0] == user("What is <image>?")


def test_prompt_and_completion_as_messages() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}]
    row = {
        "prompt": messages(("system", "S"), ("user", parts)),
        "completion": messages(
            ("assistant", "b"), ("user", [{"type": "image"}]), ("assistant", "d")
        ),
        "images": [RED_ROW, BLUE_ROW],
        "answer": 4,
    }
    assert convert(row) == Example(
        id="rows:7",
        turns=(system("S"), user("a", RED), assistant("b"), user(BLUE), assistant("d")),
        answer="4",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": ""}, "field 'prompt' is missing or empty"),
        ({"prompt": 5}, "field 'prompt' must be a string, this one is int"),
        ({"prompt": []}, "field 'prompt' must be a non-empty list"),
        ({"completion": " \n"}, "field 'completion' is missing or empty"),
        ({"completion": []}, "field 'completion' must be a non-empty list"),
        (
            {"completion": messages(("user", "b"), ("assistant", "c"))},
            "field 'completion' must begin with an assistant turn",
        ),
        (
            {"completion": messages(("assistant", "b"), ("user", "c"))},
            "the last message must be a non-empty reply",
        ),
        (
            {"prompt": messages(("user", "a"), ("assistant", "b"), ("user", "c"))},
            "field 'prompt' has an assistant turn, and every assistant turn is trained on",
        ),
        (
            {"prompt": messages(("system", "S")), "images": [RED_ROW]},
            "1 of the row's 'images' have no place",
        ),
    ],
)
def test_prompt_and_completion_refusals(change: dict[str, Any], reason: str) -> None:
    refused({"prompt": "a?", "completion": "b", **change}, reason)


# --- the map ---

TABLE = {
    "problem": "What is {x}?",
    "hint": "a <image> {of}",
    "gold": "B",
    "cot": "Look.",
    "picture": RED_ROW,
    "more": [BLUE_ROW, GREEN_ROW],
    "option a": "red",
    "option b": "blue",
    "options": ["red", "blue"],
    "level": 3,
    "empty": None,
    "none": float("nan"),
    "yes": True,
    "id": "unused",
    "weight": 0.5,
}


def test_a_map_names_columns_lists_and_templates() -> None:
    names = {
        "question": "Q {{{level}}}: {problem}\nHint: {hint}",
        "answer": "gold",
        "reasoning": "cot",
        "images": ["picture", "absent", "empty", "more"],
        "choices": ["option a", "option b", "option c"],
        "category": "level {level}",
        "id": "row-{level}",
        "system": "hint",
    }
    assert convert(TABLE, map=names, system="unused") == Example(
        id="row-3",
        turns=(
            system("a <image> {of}"),
            user(
                RED,
                BLUE,
                GREEN,
                "Q {3}: What is {x}?\nHint: a <image> {of}\n(A) red\n(B) blue",
            ),
            assistant("Look.\nAnswer: B"),
        ),
        answer="B",
        choices=("red", "blue"),
        category="level 3",
    )
    assert row_id(TABLE, origin(map=names)) == "row-3"


def test_a_map_at_its_least() -> None:
    names = {"question": "problem", "answer": "level", "response": "cot", "choices": "options"}
    item = convert(TABLE, map={**names, "images": "more", "reasoning": "empty"})
    assert (item.id, item.answer, item.choices) == ("rows:7", "3", ("red", "blue"))
    assert item.turns == (
        user(BLUE, GREEN, "What is {x}?\n(A) red\n(B) blue"),
        assistant("Look."),
    )
    assert row_id(TABLE, origin(map=names)) == "rows:7"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": "probelm"}, "column 'probelm', which the source's map names, is missing"),
        ({"question": "Q: {probelm}"}, "column 'probelm', which the source's map names, is"),
        ({"images": "image"}, "found cot, empty, gold, hint, id, level, more, none, opt"),
        ({"id": "uid"}, "column 'uid', which the source's map names, is missing"),
        ({"question": "{empty}"}, "column 'empty' is NoneType; a template takes text or a"),
        ({"question": "{none}"}, "column 'none' is nan; a template takes text or a number"),
        ({"question": "{yes}"}, "column 'yes' is bool; a template takes text or a number"),
        ({"question": "{options}"}, "column 'options' is list; a template takes text or a number"),
        ({"question": "empty"}, "field 'question' is missing or empty"),
        ({"answer": "options"}, "field 'answer' must be a string or a number"),
        ({"choices": "gold"}, "field 'choices' must be a list of strings"),
        ({"choices": ["gold", "level"]}, "field 'choices' must be a list of strings"),
        ({"system": "level"}, "field 'system' must be a string"),
    ],
)
def test_map_refusals(change: dict[str, Any], reason: str) -> None:
    refused(TABLE, reason, map={"question": "problem", "answer": "gold", **change})


def test_an_id_that_is_missing_is_named_from_the_row_too() -> None:
    with pytest.raises(DataError, match="column 'uid'"):
        row_id(TABLE, origin(map={"id": "uid"}))


def test_templates_are_split_at_names() -> None:
    assert template_parts("a {b} {c d}{e-f_1}.") == [
        ("a ", "b"),
        (" ", "c d"),
        ("", "e-f_1"),
        (".", None),
    ]
    assert mapped_fields({"x": 2.5}, {"id": "{{{x}}}"}) == {"id": "{2.5}"}


@pytest.mark.parametrize(
    "template",
    [
        "{}",
        "{a.b}",
        "{a[0]}",
        "{a!r}",
        "{a:>9}",
        "{a:{b}}",
        "{ a}",
        "{a",
        "a}",
        "{a}}",
        "{__a.b__}",
    ],
)
def test_templates_hold_names_alone(template: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(template))):
        template_parts(template)
    with pytest.raises(ValidationError, match="template"):
        source(question=template)


def source(**names: Any) -> SourceConfig:
    fields = {"question": "q", "answer": "a", **names}
    return SourceConfig.model_validate({"path": "x.jsonl", "map": fields})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "map: {question: q, answer: a, image: b}",
            "map: no field is called 'image'; known: question, answer, reasoning, response, "
            "images, choices, category, id, system",
        ),
        ("map: {question: q}", "map: answer is missing; every training row needs one"),
        ("map: {answer: q}", "map: question is missing; every training row needs one"),
        (
            "map: {question: [q], answer: a}",
            "map: question takes one column or template; images and choices take lists",
        ),
        ("map: {question: '', answer: a}", "map: question names no column"),
        ("map: {question: q, answer: a, images: []}", "map: images names no column"),
        ("map: {question: q, answer: a, images: ['']}", "map: images names no column"),
        (
            "map: {question: q, answer: a, images: ['{b}']}",
            "map: images is a list of columns, which may not be templates",
        ),
        (
            "map: {question: '{q', answer: a}",
            "map: template '{q': expected '}' before end of string; "
            "braces of the text are written twice, {{ and }}",
        ),
        (
            "map: {question: '{q.x}', answer: a}",
            "map: template '{q.x}': braces may hold the name of a column and nothing else",
        ),
        ("map: {question: q, answer: 5}", "map.answer: got 5, expected text (in quotes, if it"),
        ("reasoning: drop", "reasoning: got 'drop', expected keep or strip"),
        (
            "format: native, map: {question: q, answer: a}",
            "format and map are both set; a map is a format of its own, drop one",
        ),
        (
            "format: alpaca",
            "got 'alpaca', expected native or messages or wethink or llava or sharegpt or "
            "prompt_completion",
        ),
    ],
)
def test_configs_that_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"model: {{name: m}}\ndata:\n  train: [{{path: x.jsonl, {text}}}]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:3: data.train.0")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_origin_carries_map_and_reasoning() -> None:
    names = {"question": "{q}?", "answer": "a", "images": ["b", "c"]}
    found = origin_of(SourceConfig(path=Path("x.jsonl"), map=names, reasoning="strip"), 4)
    assert (found.map, found.reasoning, found.id) == (names, "strip", "x:4")


# --- which format ---


def test_the_rows_of_the_documentation_are_of_their_formats(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG["red"])
    lines = (Path(__file__).parents[3] / "data/README.md").read_text(encoding="utf-8").split("\n")
    rows = [re.fullmatch(r"\| `(\w+)` \|.*\| `(\{.*\})` \|", line) for line in lines]
    found = {match[1]: json.loads(match[2]) for match in rows if match}
    assert set(found) == set(FORMATS) - {"map"}
    for name, row in found.items():
        item = convert(row, image_root=tmp_path)
        assert detect(row) == name
        assert item == convert(row, name, image_root=tmp_path)
        assert (item.images, item.turns[-1].text[-2:]) == (
            (ImageRef(path=tmp_path / "a.png"),),
            "12",
        )


def test_the_table_has_what_the_configuration_names() -> None:
    (literal, _) = get_args(SourceConfig.model_fields["format"].annotation)
    assert set(FORMATS) == {*get_args(literal), "map"}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"conversations": []}, "llava"),
        ({"conversations": [], "image": "x"}, "llava"),
        ({"conversations": [], "images": []}, "sharegpt"),
        ({"conversations": [], "images": None}, "llava"),
        ({"messages": [], "images": []}, "messages"),
        ({"prompt": "", "completion": ""}, "prompt_completion"),
        ({"prompt": "", "question": ""}, "native"),
        ({"conversations": [], "question": "", "messages": None}, "llava"),
        ({"conversations": None, "question": "", "messages": None}, "native"),
        ({"problem": "", "image_path": "", "prompt": None, "completion": None}, "wethink"),
        ({"messages": None, "answer": "4"}, "messages"),
    ],
)
def test_detection(row: dict[str, Any], name: str) -> None:
    assert detect(row) == format_of(row, origin(), None) == name
    assert format_of(row, origin(), "native") == "native"
    assert format_of(row, origin(map={}), None) == "map"


def test_two_chats_in_a_row_are_not_guessed_between() -> None:
    row = {"messages": messages(("user", "a")), "prompt": "a?", "completion": "b"}
    refused(row, "the row fits the formats messages, prompt_completion; name one as 'format'")
    assert convert(row, "prompt_completion").turns == (user("a?"), assistant("b"))
    with pytest.raises(DataError, match="found no field; for other columns give the source a 'ma"):
        detect({})


# --- system prompts ---

ROWS: dict[str, dict[str, Any]] = {
    "native": {"question": "a?", "answer": "4", "response": "b"},
    "wethink": {"problem": "a?", "answer": "4", "image_path": None},
    "messages": {"messages": messages(("user", "a?"), ("assistant", "b"))},
    "llava": {"conversations": conversations(("user", "a?"), ("assistant", "b"))},
    "sharegpt": {"conversations": conversations(("user", "a?"), ("assistant", "b"))},
    "prompt_completion": {"prompt": "a?", "completion": "b"},
}


@pytest.mark.parametrize("name", ROWS)
def test_the_rows_system_prompt_comes_before_the_sources(name: str) -> None:
    row = ROWS[name]
    plain = convert(row, name).turns
    assert [turn.role for turn in plain] == ["user", "assistant"]
    assert convert({**row, "system": "<image>"}, name, system="S").turns == (
        system("<image>"),
        *plain,
    )
    for blank in (None, "", " \n"):
        assert convert({**row, "system": blank}, name, system="S").turns == (system("S"), *plain)
        assert convert({**row, "system": blank}, name).turns == plain
    refused({**row, "system": ["S"]}, "field 'system' must be a string", name)


def test_a_system_field_beside_a_system_turn() -> None:
    row = {"messages": messages(("system", "S"), ("user", "a?"), ("assistant", "b"))}
    assert convert({**row, "system": ""}).turns[0] == system("S")
    refused({**row, "system": "T"}, "the row has both a field 'system' and a system turn; keep one")


# --- what is not supported ---


@pytest.mark.parametrize("name", [name for name in ROWS if name != "wethink"])
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("videos", ["x.mp4"], "field 'videos': video is not supported"),
        ("video", "x.mp4", "field 'video': video is not supported"),
        ("audios", ["x.wav"], "field 'audios': audio is not supported"),
        ("tools", "[{}]", "field 'tools': tool use is not supported"),
        ("tool_calls", [{}], "field 'tool_calls': tool use is not supported"),
        ("weight", 0, "field 'weight': a weight of its own is not supported"),
        ("weight", 1.0, "field 'weight': a weight of its own is not supported"),
    ],
)
def test_fields_that_are_not_supported(name: str, field: str, value: Any, reason: str) -> None:
    refused({**ROWS[name], field: value}, reason, name)
    for nothing in (None, [], ""):
        assert convert({**ROWS[name], field: nothing}, name) == convert(ROWS[name], name)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [{}]}, "field 'tool_calls': tool"),
        ({"role": "assistant", "content": "a", "function_call": {"x": 1}}, "'function_call': tool"),
        ({"role": "assistant", "content": "a", "weight": 0}, "field 'weight': a weight of its own"),
        ({"role": "assistant", "content": "a", "loss": False}, "field 'loss': a weight of its own"),
        ({"role": "tool", "content": "a"}, "a message of 'tool': tool use is not supported"),
        ({"from": "observation", "value": "a"}, "a message of 'observation': tool use is not"),
        ({"from": "function_call", "value": "a"}, "a message of 'function_call': tool use is not"),
        ({"from": "bard", "value": "a"}, "human or gpt; found 'bard'"),
        ({"from": "gpt", "value": 5}, "'content' must be a string or a list of parts"),
        (
            {"role": "assistant", "content": "a", "reasoning_content": "so"},
            "a message has its reasoning in 'reasoning_content'; put it into the content",
        ),
    ],
)
def test_messages_that_are_not_supported(message: dict[str, Any], reason: str) -> None:
    turns = [*messages(("user", "a?")), message, *messages(("assistant", "b"))]
    refused({"messages": turns}, reason)
    refused({"conversations": turns}, reason)
    refused({"prompt": "a?", "completion": [message]}, reason)


def test_empty_unsupported_fields_of_a_message_are_missing_ones() -> None:
    extra = {"tool_calls": None, "weight": None, "reasoning_content": "", "from": None}
    turns = [{**message, **extra} for message in messages(("user", "a?"), ("assistant", "b"))]
    assert convert({"messages": turns}).turns == (user("a?"), assistant("b"))


# --- reasoning ---


@pytest.mark.parametrize(
    ("reply", "rest"),
    [
        ("<think>so\n</think>\n\n4 ", "4 "),
        (" \n<think></think>4", "4"),
        ("<think>a</think><think>b</think>4", "4"),
        ("<think>say </think> aloud</think>4", "4"),
        (" 4\n", " 4\n"),
        ("think: 4", "think: 4"),
    ],
)
def test_thinking_is_stripped(reply: str, rest: str) -> None:
    assert without_thinking(reply) == rest


def replying(reply: str) -> dict[str, dict[str, Any]]:
    """Rows of each format that takes whole replies."""
    turns: tuple[tuple[Role, str], ...] = (("user", "<think>a</think>?"), ("assistant", reply))
    return {
        "native": {"question": "<think>a</think>?", "answer": "4", "response": reply},
        "messages": {"messages": messages(*turns)},
        "llava": {"conversations": conversations(*turns)},
        "sharegpt": {"conversations": conversations(*turns), "images": []},
        "prompt_completion": {"prompt": turns[0][1], "completion": reply},
    }


@pytest.mark.parametrize("name", replying(""))
def test_whole_replies_with_and_without_their_thinking(name: str) -> None:
    reply = "<think>2 + 2</think>\n4"
    row = replying(reply)[name]
    question = user("<think>a</think>?")
    assert convert(row, name).turns == (question, assistant(reply))
    assert convert(row, name, reasoning="strip").turns == (question, assistant("4"))
    refused(
        replying("<think>2 + 2</think>\n ")[name],
        "an assistant turn is empty without its <think>...</think>",
        name,
        reasoning="strip",
    )
    for open_ended in ("<think>2 + 2\n4", "2 + 2</think>4", "So <think>2</think> 4"):
        assert convert(replying(open_ended)[name], name).turns[-1] == assistant(open_ended)
        refused(
            replying(open_ended)[name], "has a think tag that is not part", name, reasoning="strip"
        )


def test_every_assistant_turn_is_stripped() -> None:
    thought = [{"type": "text", "text": "<think>so"}, {"type": "text", "text": "</think>b"}]
    plain = [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]
    turns = (("user", "a"), ("assistant", thought), ("user", "a"), ("assistant", plain))
    row = {"messages": messages(*turns)}
    row["messages"][1]["reasoning_content"] = "so"
    assert convert(row, reasoning="strip").turns == (
        user("a"),
        assistant("b"),
        user("a"),
        assistant("b", "c"),
    )
    middle = messages(("user", "a"), ("assistant", "<think>b</think>"), ("assistant", "c"))
    refused({"messages": middle}, "an assistant turn is empty without", reasoning="strip")


@pytest.mark.parametrize(
    ("form", "reply"),
    [
        ("plain", "Answer: 4"),
        ("boxed", "The answer is \\boxed{4}."),
        ("think", "<think></think>\n<answer>4</answer>"),
    ],
)
def test_the_reasoning_field_is_left_out(form: str, reply: str) -> None:
    options = {"reply": form, "reasoning": "strip"}
    native = {"question": "a?", "answer": "4", "reasoning": "2 + 2"}
    wethink = {"problem": "a?", "answer": "4", "refined_cot": "2 + 2", "image_path": None}
    for row in (native, wethink):
        assert convert(row, **options).turns[-1] == assistant(reply)
        assert "2 + 2" in convert(row, reply=form).turns[-1].text
    names = {"question": "question", "answer": "answer", "reasoning": "reasoning"}
    assert convert(native, map=names, **options).turns[-1] == assistant(reply)


# --- text that looks like media ---

TAGS = "<video> <audio> <|image_pad|><|vision_start|><|vision_end|>"


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"question": f"<image>{TAGS}", "answer": "4", "images": [RED_ROW]}, {}),
        ({"problem": f"<image>{TAGS}", "answer": "4", "image_path": RED_ROW}, {}),
        (
            {"q": f"<image>{TAGS}", "a": "4", "i": RED_ROW},
            {"map": {"question": "q", "answer": "a", "images": "i"}},
        ),
        ({"prompt": f"<image>{TAGS}", "completion": f"<image>{TAGS}", "images": RED_ROW}, {}),
        (
            {
                "messages": messages(
                    ("user", [{"type": "image"}, {"type": "text", "text": f"<image>{TAGS}"}]),
                    ("assistant", f"<image>{TAGS}"),
                ),
                "images": [RED_ROW],
            },
            {},
        ),
        (
            {
                "conversations": conversations(
                    ("system", f"<image>{TAGS}"),
                    ("user", f"<image>{TAGS}"),
                    ("assistant", f"<image>{TAGS}"),
                ),
                "image": RED_ROW,
            },
            {},
        ),
    ],
)
def test_media_tags_are_text_to_the_model_too(
    processor: Callable[[str], Any], row: dict[str, Any], options: dict[str, Any]
) -> None:
    model = processor("qwen2_5_vl")
    item = convert(row, **options)
    [asked] = [turn for turn in item.turns if turn.role == "user"]
    assert asked.parts[0] == RED
    assert asked.text.removeprefix("<image>") == TAGS
    rendered = render(item, model, pixel_budget(model, None, None))
    special = [
        model.tokenizer.convert_ids_to_tokens(i)
        for i in rendered.ids
        if i in model.tokenizer.all_special_ids
    ]
    assert special.count("<|vision_start|>") == special.count("<|vision_end|>") == 1
    assert special.count("<|image_pad|>") == sum(rendered.image_tokens)
    assert sum(rendered.image_tokens) == rendered.images["image_grid_thw"].prod() // 4
    text = model.tokenizer.decode(
        [i for i in rendered.ids if i not in model.tokenizer.all_special_ids]
    )
    assert text.count(TAGS) == sum(TAGS in turn.text for turn in item.turns)


# --- one conversation, every format ---

_TAG = st.sampled_from(["<video>", "<|image_pad|>", "</image>", "<think>", "\n", "{x}"])
_TEXT = st.lists(st.text("ab ?é𝕏", max_size=4) | _TAG, min_size=1, max_size=3).map("".join)
_FULL = _TEXT.filter(str.strip)
_IMAGES = st.sampled_from(
    list(zip((RED, BLUE, GREEN), (RED_ROW, BLUE_ROW, GREEN_ROW), strict=True))
)


def merged(parts: list[Any]) -> list[Any]:
    """Parts with neighbouring texts as one, as a text with marks would hold them."""
    out: list[Any] = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part:
            out.append(part)
    return out or ["?"]


_USER = st.lists(_FULL | _IMAGES, min_size=1, max_size=4).map(merged)
_REPLY = st.lists(_FULL | st.just("an <image>"), min_size=1, max_size=2).map("".join)
_CHAT = st.tuples(st.none() | _FULL, st.lists(st.tuples(_USER, _REPLY), min_size=1, max_size=3))


def spoken(parts: list[Any]) -> list[dict[str, Any]]:
    bare = {"type": "image"}
    return [{"type": "text", "text": p} if isinstance(p, str) else bare for p in parts]


def marked(parts: list[Any]) -> str:
    return "".join(part if isinstance(part, str) else "<image>" for part in parts)


@given(chat=_CHAT)
def test_one_conversation_in_every_format(
    chat: tuple[str | None, list[tuple[list[Any], str]]],
) -> None:
    prompt, rounds = chat
    expected = [] if prompt is None else [system(prompt)]
    for asked, reply in rounds:
        expected += [user(*(p if isinstance(p, str) else p[0] for p in asked)), assistant(reply)]
    images = [p[1] for asked, _ in rounds for p in asked if not isinstance(p, str)]

    def turns(write: Callable[[list[Any]], Any]) -> list[tuple[Any, Any]]:
        pairs = [(("user", write(a)), ("assistant", r)) for a, r in rounds]
        return [turn for pair in pairs for turn in pair]

    first: list[Any] = [] if prompt is None else [("system", prompt)]
    by_parts, by_marks = [*first, *turns(spoken)], [*first, *turns(marked)]
    inline = [
        {"type": "image", "image": p[1]} if not isinstance(p, str) else {"type": "text", "text": p}
        for p in rounds[0][0]
    ]
    opening = len(first) + 1
    rows = [
        ("messages", {"messages": messages(*by_parts), "images": images}),
        ("messages", {"messages": messages(*by_marks), "images": images}),
        ("sharegpt", {"messages": messages(*by_marks), "images": images}),
        ("sharegpt", {"conversations": conversations(*by_marks), "images": images}),
        ("llava", {"conversations": conversations(*by_marks), "image": images}),
        (
            "llava",
            {"conversations": conversations(*turns(marked)), "image": images, "system": prompt},
        ),
        (
            "prompt_completion",
            {
                "prompt": messages(*by_parts[:opening]),
                "completion": messages(*by_parts[opening:]),
                "images": images,
            },
        ),
    ]
    if len(rounds) == 1:
        whole = [*first, ("user", inline), ("assistant", rounds[0][1])]
        rows.append(("messages", {"messages": messages(*whole)}))
    for name, row in rows:
        found = convert(row, name)
        assert found.turns == tuple(expected), name
        if name != "sharegpt" or "conversations" in row:
            assert convert(row) == found


@given(images=st.lists(_IMAGES, max_size=2), question=_FULL, reply=_FULL, prompt=st.none() | _FULL)
def test_one_question_in_every_format(
    images: list[Any], question: str, reply: str, prompt: str | None
) -> None:
    stored = [row for _, row in images]
    expected = (
        *([] if prompt is None else [system(prompt)]),
        user(*(r for r, _ in images), question),
    )
    expected = (*expected, assistant(reply))
    extra = {"images": stored, "system": prompt}
    turns: tuple[tuple[Role, str], ...] = (("user", question), ("assistant", reply))
    names = {"question": "q", "answer": "a", "response": "r", "images": ["i"], "system": "s"}
    table = {"q": question, "a": "4", "r": reply, "i": stored, "s": prompt}
    for found in (
        convert({"question": question, "answer": "4", "response": reply, **extra}),
        convert({"messages": messages(*turns), **extra}),
        convert({"prompt": question, "completion": reply, **extra}),
        convert(table, map=names),
    ):
        assert found.turns == expected
