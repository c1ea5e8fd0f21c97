"""Which part of a reply a token belongs to: spans by value, and tokens through real processors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import pytest
from hypothesis import example as explicit
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor, Qwen2_5_VLConfig

from mmdft.config import SourceConfig
from mmdft.data.collate import collate_training
from mmdft.data.packing import collate_packed, packed_positions
from mmdft.data.render import render, render_prompt
from mmdft.data.segments import SEGMENTS, reply_codes, reply_spans
from mmdft.data.sources import join_reply, read_rows, to_example
from mmdft.data.vision import pixel_budget
from mmdft.records import Example, Rendered, Turn

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
FORMS = ("plain", "think", "boxed")
Form = Literal["plain", "think", "boxed"]
Load = Callable[[str], Any]


def parts(text: str, answer: str | None) -> list[tuple[str, str]]:
    """The spans with their text."""
    return [(name, text[start:end]) for start, end, name in reply_spans(text, answer)]


def read(text: str, answer: str | None) -> tuple[str | None, str | None]:
    """The text of the reasoning and of the answer, None where there is none."""
    found = dict(parts(text, answer))
    return found.get("reasoning"), found.get("answer")


def test_the_codes_are_fixed() -> None:
    assert SEGMENTS == ("other", "reasoning", "answer", "end_of_turn")
    assert reply_spans("so 5.\nAnswer: 5", "5") == [(0, 14, "reasoning"), (14, 15, "answer")]
    assert list(reply_codes("so \\boxed{15}.", None)) == [1] * 3 + [0] * 7 + [2] * 2 + [0] * 2


@pytest.mark.parametrize(
    ("form", "reasoning", "found"),
    [
        ("plain", "3 and 5 are 5.", "3 and 5 are 5.\nAnswer: "),
        ("plain", None, "Answer: "),
        ("plain", "So \\boxed{7}.", "So \\boxed{7}.\nAnswer: "),
        ("plain", "<think>5</think>", "<think>5</think>\nAnswer: "),
        ("think", "3 and 5 are 5.", "<think>3 and 5 are 5.</think>"),
        ("think", None, "<think></think>"),
        ("think", "<answer>7</answer></think>\\boxed{7}", None),
        ("boxed", "3 and 5 are 5.", "3 and 5 are 5.\nThe answer is "),
        ("boxed", None, "The answer is "),
        ("boxed", "So \\boxed{7} or \\boxed{", "So \\boxed{7} or \\boxed{\nThe answer is "),
    ],
)
@pytest.mark.parametrize(
    "answer",
    ["5", "-5", ".5", " 5 ", "\\frac{1}{2}", "\\left\\{x\\right.", "x = 5\ncm", "三角形", "aa"],
)
def test_the_three_forms_of_a_reply(
    form: Form, reasoning: str | None, found: str | None, answer: str
) -> None:
    text = join_reply(reasoning, answer, form)
    whole = f"<think>{reasoning}</think>" if found is None else found
    if answer == " 5 " and form == "plain":
        whole += " "
    assert parts(text, answer) == [("reasoning", whole), ("answer", answer.strip())]


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>a</think>\n\n  It is 5 cm.\n", "<think>a</think>", "It is 5 cm."),
        ("\n<think>a</think>b<answer>\n5 </answer> c", "\n<think>a</think>", "5"),
        ("<think>a</think><answer>4</answer> no, <answer>5</answer>", "<think>a</think>", "5"),
        ("<think>a</think><answer>4</answer><answer>5", "<think>a</think>", "4"),
        ("<think>\\boxed{4}</think>\\boxed{5}", "<think>\\boxed{4}</think>", "\\boxed{5}"),
        ("<think>a</think><answer> </answer>", "<think>a</think>", None),
        ("<think>a</think> \n", "<think>a</think>", None),
        # not closed, or not at the start
        ("<think>a \\boxed{5}", "<think>a ", "5"),
        ("a <think>b</think>", None, None),
    ],
)
def test_thinking(text: str, reasoning: str | None, answer: str | None) -> None:
    assert read(text, None) == (reasoning, answer)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("a \\boxed{5} b", "a ", "5"),
        ("\\boxed{5}", None, "5"),
        ("$\\boxed{ 5 }$", "$", "5"),
        ("\\boxed{4}, no: \\boxed{5}", "\\boxed{4}, no: ", "5"),
        ("\\boxed{\\sqrt{\\frac{1}{2}}} {x}", None, "\\sqrt{\\frac{1}{2}}"),
        ("\\boxed{4} and \\boxed{5", None, "4"),
        ("\\boxed{4} and \\boxed{ }", None, "4"),
        ("} a \\boxed{\\boxed{5}}", "} a ", "\\boxed{5}"),
        ("\\boxed{\\{1, 2\\}}", None, "\\{1, 2\\}"),
        ("\\boxed{", None, None),
        ("{5}", None, None),
    ],
)
def test_the_last_balanced_box(text: str, reasoning: str | None, answer: str | None) -> None:
    assert read(text, None) == (reasoning, answer)
    assert read(text, "7") == (reasoning, answer)  # what is committed to, right or wrong


@pytest.mark.parametrize(
    ("text", "gold", "start"),
    [
        ("5", "5", 0),
        ("It is 5. Not 15, 51, 0.5, .5, 5.5, -5, −5, 5,000, 1/5, 5/6, 5:30, 3-5, x5, 5cm.", "5", 6),
        ("5² 5½ a_5 5_a", "5", None),
        ("It is (5), then [5].", "5", 17),
        ("It is 5%", "5", 6),
        ("5 or +5?", "5", 6),
        ("x=5, y=5; z", "5", 7),
        ("10-5", "-5", None),
        ("0.5 .5 1.5", ".5", 4),
        ("Not known: no. Nothing", "no", 11),
        ("the x-axis isn't x", "x", 17),
        ("the x-axis", "x", None),
        ("isn't", "t", None),
        ("A, B", "A", 0),
        ("e e\u0301", "e", 0),
        ("答案是5个", "5", 3),
        ("答案是三角形。", "三角形", 3),
        ("Ответ: угол, уголок", "угол", 7),
        ("aa aaa", "aa", 0),
        ("5 \n", " 5\n", 0),
        ("anything", " ", None),
        ("anything", "", None),
        ("anything", None, None),
        ("", "5", None),
    ],
)
def test_the_last_mention_of_the_gold_answer(
    text: str, gold: str | None, start: int | None
) -> None:
    found = [(s, e) for s, e, name in reply_spans(text, gold) if name == "answer"]
    assert found == ([] if start is None else [(start, start + len((gold or "").strip()))])
    assert read(text, gold)[0] == (text[:start] if start else None)


PIECES = st.one_of(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "\nAnswer: "]),
    st.sampled_from(["\\boxed{", "{", "}", "\\}", "\\", "5", "-", ".", " ", "\n"]),
    st.text(max_size=3),
)
REPLIES = st.lists(PIECES, max_size=10).map("".join)


@settings(max_examples=300)
@given(REPLIES, st.none() | REPLIES)
def test_any_reply_has_sound_spans(text: str, gold: str | None) -> None:
    spans = reply_spans(text, gold)
    names = [name for *_, name in spans]
    assert names in ([], ["reasoning"], ["answer"], ["reasoning", "answer"])
    cuts = [place for start, end, _ in spans for place in (start, end)]
    assert cuts == sorted(cuts) and all(0 <= place <= len(text) for place in cuts)
    for name, said in parts(text, gold):
        assert said and (name != "answer" or said == said.strip())


# --- tokens ---


def conversation(*replies: tuple[str, ...], answer: str | None = None) -> Example:
    turns = []
    for reply in replies:
        turns += [Turn(role="user", parts=("?",)), Turn(role="assistant", parts=reply)]
    return Example(id="x", turns=tuple(turns), answer=answer)


def rendered(example: Example, processor: Any) -> Rendered:
    return render(example, processor, pixel_budget(processor, None, None))


def decoded(one: Rendered, processor: Any) -> list[tuple[str, str]]:
    """The trained tokens as runs of one segment, with their text."""
    trained = [
        (token, code) for token, on, code in zip(one.ids, one.mask, one.segments, strict=True) if on
    ]
    return [
        (SEGMENTS[code], processor.tokenizer.decode([token for token, _ in run]))
        for code, run in groupby(trained, key=lambda pair: pair[1])
    ]


# No braces, tags or marks: what a box or a tag holds is then the answer whatever else is said, and
# normalisation leaves the text as it is.
LETTERS = st.characters(
    exclude_categories=("Cs", "Cn", "Co", "Mn", "Mc", "Me"), exclude_characters="{}<>\\"
)
WORDS = st.one_of(
    st.text(LETTERS, max_size=8),
    st.sampled_from(["5", "-0.5", "x = 5 cm", "15 5", "图中有三角形", "👩‍👩‍👧", "a\nb", "\n\n"]),
).map(lambda text: normalize("NFC", text))
ANSWERS = WORDS.map(str.strip).filter(bool)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=50)
@explicit(reasoning="", answer="5")
@explicit(reasoning="5 is 5", answer="5")
@explicit(reasoning="so", answer="x = 5 cm")
@given(
    reasoning=st.lists(st.one_of(WORDS, ANSWERS), max_size=3).map(" ".join).map(str.strip),
    answer=ANSWERS,
)
def test_answer_tokens_are_the_answers(
    processor: Load, family: str, form: Form, reasoning: str, answer: str
) -> None:
    model = processor(family)
    text = join_reply(reasoning, answer, form)
    one = rendered(conversation((text,), answer=answer), model)
    assert len(one.segments) == len(one.ids)
    assert all(on or not code for on, code in zip(one.mask, one.segments, strict=True))

    runs = decoded(one, model)
    assert "".join(said for _, said in runs) == f"{text}<|im_end|>"
    names = [name for name, _ in runs]
    around = [] if form == "plain" else ["other"]  # the tags, the box
    # A token that ends in the answer may leave nothing of "}.".
    assert names in (
        ["reasoning", *around, "answer", *around, "end_of_turn"],
        ["reasoning", *around, "answer", "end_of_turn"],
    )
    found = dict(runs)
    assert found["end_of_turn"] == "<|im_end|>"
    # Its tokens hold the answer, and at either end no whole token more.
    assert answer in found["answer"]
    ids = [token for token, code in zip(one.ids, one.segments, strict=True) if code == 2]
    for rest in (ids[1:], ids[:-1]):
        assert answer not in model.tokenizer.decode(rest)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_last_reply_is_compared_with_the_gold_answer(processor: Load, family: str) -> None:
    model = processor(family)
    first, boxed, last = "It is 5.", "So \\boxed{4}!", "It is 5."
    one = rendered(conversation((first,), (boxed,), (last,), answer="5"), model)
    assert decoded(one, model) == [
        ("other", "It is 5."),
        ("end_of_turn", "<|im_end|>"),
        ("reasoning", "So "),
        ("other", "\\boxed{"),
        ("answer", "4"),
        ("other", "}!"),
        ("end_of_turn", "<|im_end|>"),
        ("reasoning", "It is "),
        ("answer", "5"),
        ("other", "."),
        ("end_of_turn", "<|im_end|>"),
    ]
    assert one.segments[0] == 0 and not any(
        code for code, on in zip(one.segments, one.mask, strict=True) if not on
    )
    prompt = render_prompt(
        conversation((first,), (last,), answer="5"), model, pixel_budget(model, None, None)
    )
    assert prompt.segments == (0,) * len(prompt.ids)


def test_parts_are_read_as_one_reply(processor: Load, tiny_dir: Callable[[str], Path]) -> None:
    model = processor("qwen2_5_vl")
    pieces = ("So it is 1", "", "5 or \\boxed{1", "5} cm", "")
    whole = rendered(conversation(("".join(pieces),), answer="5"), model)
    cut = rendered(conversation(pieces, answer="5"), model)
    assert (cut.ids, cut.mask, cut.segments) == (whole.ids, whole.mask, whole.segments)
    assert ("answer", "15") in decoded(cut, model)

    # A template that puts text of its own between parts sees but one: it is what is generated.
    model = AutoProcessor.from_pretrained(tiny_dir("qwen2_5_vl"))
    model.chat_template = model.chat_template.replace(
        "{{ part.text }}", "{{ part.text }}{%- if not loop.last -%}|{%- endif -%}"
    )
    one = rendered(conversation(("It is 1", "5"), answer="15"), model)
    assert [said for _, said in decoded(one, model)] == ["It is ", "15", "<|im_end|>"]
    assert model.tokenizer.decode(one.ids).endswith("It is 15<|im_end|>\n")


@pytest.mark.parametrize("form", FORMS)
def test_padded_and_packed_batches_carry_the_same_codes(
    processor: Load, figures_file: Callable[..., Path], form: Form
) -> None:
    model = processor("qwen2_5_vl")
    budget = pixel_budget(model, None, None)
    source = SourceConfig(path=figures_file(num=4), reply=form)
    rows = [
        render(to_example(row, origin, None), model, budget) for origin, row in read_rows(source)
    ]
    padded = collate_training(rows, model.tokenizer.pad_token_id)
    packed = collate_packed(
        [rows[:3], rows[3:]], packed_positions(Qwen2_5_VLConfig(attn_implementation="sdpa"))
    )
    real = padded["attention_mask"].bool()
    codes = [code for row in rows for code in row.segments]
    assert padded["segments"][real].tolist() == packed["segments"][0].tolist() == codes
    assert padded["segments"].shape == padded["labels"].shape
    assert packed["segments"].shape == packed["labels"].shape
    for batch in (padded, packed):
        assert not batch["segments"][batch["labels"] < 0].any()
        kinds = set(batch["segments"][batch["labels"] >= 0].tolist())
        assert kinds == ({1, 2, 3} if form == "plain" else {0, 1, 2, 3})
    assert real.numel() > real.sum()
