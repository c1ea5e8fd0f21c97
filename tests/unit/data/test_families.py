"""What is particular to a family: its images, its batches, its chat."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from mmdft.data.collate import collate_generation, collate_training, model_inputs
from mmdft.data.fields import OWN_PIXELS
from mmdft.data.outline import opened_reasoning
from mmdft.data.render import add_images, render, render_prompt, render_tokens
from mmdft.data.segments import SEGMENTS
from mmdft.data.vision import OwnSizes, expansions, num_image_tokens, pixel_budget
from mmdft.errors import ConfigError, DataError
from mmdft.records import Example, ImageRef, Rendered, Role, Turn
from mmdft.training_data import blank_image

OWN = ("smolvlm", "idefics3", "llava_onevision", "internvl", "gemma3")
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_thinking", *OWN)
Load = Callable[[str], Any]


def picture(width: int, height: int) -> ImageRef:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(stream, "PNG")
    return ImageRef(data=stream.getvalue())


def turn(role: Role, *parts: str | ImageRef) -> Turn:
    return Turn(role=role, parts=parts)


def example(*turns: Turn, **more: Any) -> Example:
    return Example(id="x", turns=turns, **more)


def rendered(processor: Any, *turns: Turn, **more: Any) -> Rendered:
    return render(example(*turns, **more), processor, pixel_budget(processor, None, None))


def shown(one: Rendered, processor: Any) -> tuple[str, str]:
    """Prompt and trained text of an example with one reply."""
    start = one.mask.index(True)
    end = len(one.mask) - one.mask[::-1].index(True)
    decode = processor.tokenizer.decode
    return decode(list(one.ids[:start])), decode(list(one.ids[start:end]))


# --- images ---


@pytest.mark.parametrize("family", OWN)
@settings(max_examples=40)
@given(sizes=st.lists(st.tuples(st.integers(8, 400), st.integers(8, 400)), min_size=1, max_size=2))
def test_tokens_are_predicted_from_sizes(
    processor: Load, family: str, sizes: list[tuple[int, int]]
) -> None:
    model = processor(family)
    budget = pixel_budget(model, None, None)
    images = [Image.new("RGB", size) for size in sizes]
    text = model.image_token * len(sizes)
    theirs = model(text=[text], images=[images])["input_ids"]
    soft = model.tokenizer.image_token if family == "gemma3" else model.image_token
    soft_id = model.tokenizer.convert_tokens_to_ids(soft)
    numbers = num_image_tokens(sizes, model, budget)
    assert sum(numbers) == list(theirs[0]).count(soft_id)
    pieces = expansions(sizes, model, budget)
    assert [sum(n for t, n in one if t == soft) for one in pieces] == numbers


@pytest.mark.parametrize("family", OWN)
def test_a_pixel_budget_is_refused_where_a_family_has_its_own_sizes(
    processor: Load, family: str
) -> None:
    model = processor(family)
    for limits in ((1000, None), (None, 1000)):
        with pytest.raises(ConfigError, match=r"min_pixels and max_pixels: .*preprocessor_config"):
            pixel_budget(model, *limits)
    budget = pixel_budget(model, None, None)
    assert isinstance(budget, OwnSizes) and '"image_mean"' in budget.settings
    asked = (turn("user", picture(60, 40)), turn("assistant", "4"))
    assert rendered(model, *asked, meta={OWN_PIXELS: (None, None)}).images
    with pytest.raises(ConfigError, match="example x: its source's min_pixels and max_pixels"):
        rendered(model, *asked, meta={OWN_PIXELS: (None, 1000)})


@pytest.mark.parametrize("family", OWN)
def test_images_can_be_added_later(processor: Load, family: str) -> None:
    model = processor(family)
    budget = pixel_budget(model, None, None)
    whole = example(turn("user", picture(60, 40), "?"), turn("assistant", "4"))
    tokens = render_tokens(whole, [(60, 40)], model, budget)
    later, at_once = (
        add_images(tokens, whole, [(60, 40)], model, budget),
        render(whole, model, budget),
    )
    assert later.ids == at_once.ids
    assert all(torch.equal(later.images[name], at_once.images[name]) for name in at_once.images)


# --- batches ---


def mixed(model: Any, family: str) -> list[Example]:
    """Examples of unequal length, with no image, one, and two of other shapes."""
    reply = "<think>\nWell.\n</think>\n\n{}" if opened_reasoning(model) else "{}"
    pictures: list[tuple[ImageRef, ...]] = [
        (picture(60, 60),),
        (),
        (picture(200, 60), picture(60, 200)),
        (picture(60, 200),),
    ]
    return [
        example(
            turn("user", *some, "How many? " * (1 + 5 * index)),
            turn("assistant", reply.format("four " * (4 - index))),
        )
        for index, some in enumerate(pictures)
    ]


@pytest.fixture(scope="module")
def tiny(tiny_dir: Callable[[str], Any]) -> Load:
    return lambda family: AutoModelForImageTextToText.from_pretrained(tiny_dir(family)).eval()


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_a_batch_has_the_logits_of_its_examples_alone(
    processor: Load, tiny: Load, family: str
) -> None:
    tools, model = processor(family), tiny(family)
    budget = pixel_budget(tools, None, None)
    rows = [render(one, tools, budget) for one in mixed(tools, family)]
    pad = tools.tokenizer.pad_token_id
    for collate in (collate_training, collate_generation):
        batch = collate(rows, pad)
        logits = model(**model_inputs(batch, model.config.model_type)).logits
        for index, row in enumerate(rows):
            alone = model(**model_inputs(collate([row], pad), model.config.model_type)).logits[0]
            seen = logits[index][batch["attention_mask"][index].bool()]
            torch.testing.assert_close(seen, alone, atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", OWN)
@torch.inference_mode()
def test_a_batch_has_the_logits_of_the_processors_own(
    processor: Load, tiny: Load, family: str
) -> None:
    tools, model = processor(family), tiny(family)
    budget = pixel_budget(tools, None, None)
    asked = [one for one in mixed(tools, family) if one.images]
    chats = [
        [
            {
                "role": each.role,
                "content": [
                    {"type": "text", "text": part}
                    if isinstance(part, str)
                    else {"type": "image", "image": Image.open(io.BytesIO(part.data or b""))}
                    for part in each.parts
                ],
            }
            for each in one.prompt
        ]
        for one in asked
    ]
    theirs = tools.apply_chat_template(
        chats,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
        processor_kwargs={"padding": True, "padding_side": "left"},
    )
    prompts = [render_prompt(one, tools, budget) for one in asked]
    ours = model_inputs(
        collate_generation(prompts, tools.tokenizer.pad_token_id), model.config.model_type
    )
    assert torch.equal(ours["input_ids"], theirs["input_ids"])
    for name in ("attention_mask", "token_type_ids"):
        assert name not in theirs or torch.equal(ours[name], theirs[name])
    for name, tensor in theirs.items():
        if name not in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
            torch.testing.assert_close(ours[name], tensor)
    known = {name: value for name, value in theirs.items() if name != "mm_token_type_ids"}
    torch.testing.assert_close(model(**ours).logits, model(**known).logits)


# --- chats ---


def test_smolvlm_trains_the_space_that_its_generation_prompt_lacks(processor: Load) -> None:
    model = processor("smolvlm")
    asked = (turn("system", "Be brief."), turn("user", "2 + 2?"))
    prompt, trained = shown(rendered(model, *asked, turn("assistant", "4", "!")), model)
    assert prompt == (
        "<|im_start|>System: Be brief.<end_of_utterance>\n"
        "User: 2 + 2?<end_of_utterance>\nAssistant:"
    )
    assert trained == " 4!<end_of_utterance>"


def test_idefics3_has_one_opening_token(processor: Load) -> None:
    model = processor("idefics3")
    one = rendered(model, turn("user", "?"), turn("assistant", "4"))
    opening = model.tokenizer.convert_tokens_to_ids("<|begin_of_text|>")
    assert one.ids.count(opening) == 1 and one.ids[0] == opening


def test_gemma_puts_the_system_text_before_the_question_and_strips_texts(processor: Load) -> None:
    model = processor("gemma3")
    asked = (turn("system", "Be", " brief."), turn("user", " 2 + 2?\n"))
    prompt, trained = shown(rendered(model, *asked, turn("assistant", "\n4, ", "or 5\n\n")), model)
    assert prompt == (
        "<bos><start_of_turn>user\nBe brief.\n\n2 + 2?<end_of_turn>\n<start_of_turn>model\n"
    )
    assert trained == "4, or 5<end_of_turn>"


def test_gemmas_template_refuses_turns_out_of_order(processor: Load) -> None:
    turns = (turn("user", "?"), turn("user", "?"), turn("assistant", "4"))
    with pytest.raises(DataError, match=r"refuses the conversation: .*turns"):
        rendered(processor("gemma3"), *turns)


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl"])
def test_llava_shows_the_images_of_a_turn_first(processor: Load, family: str) -> None:
    model = processor(family)
    one = rendered(model, turn("user", "before", picture(60, 60)), turn("assistant", "4"))
    prompt, _ = shown(one, model)
    text, image = prompt.index("before"), one.image_tokens.index(True)
    is_first = len(model.tokenizer.decode(list(one.ids[:image]))) < text
    assert is_first == (family == "llava_onevision")


def test_llava_refuses_a_reply_that_saw_one_image_of_two(processor: Load) -> None:
    model = processor("llava_onevision")
    late = [
        turn("user", picture(60, 60)),
        turn("assistant", "4"),
        turn("user", picture(60, 60)),
        turn("assistant", "5"),
    ]
    with pytest.raises(DataError, match="cuts an image that is alone otherwise"):
        rendered(model, *late)
    # Both images before both replies are the same for both.
    assert sum(rendered(model, late[0], late[2], *late[1::2]).image_tokens) == 2 * 17
    # Others cut each image by itself.
    assert rendered(processor("internvl"), *late).images


THOUGHT = "<think>\nTwo and two.\n</think>\n\n4"


@pytest.mark.parametrize(
    "reply",
    [
        THOUGHT,
        "<think>Two and two.</think>4",
        "\n<think>\n\nTwo and two.\n</think>\n4",
    ],
)
def test_a_thinking_models_reply_goes_on_from_its_prompt(processor: Load, reply: str) -> None:
    model = processor("qwen3_vl_thinking")
    one = rendered(model, turn("user", "2 + 2?"), turn("assistant", reply))
    prompt, trained = shown(one, model)
    assert prompt == "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n<think>\n"
    assert trained == "Two and two.\n</think>\n\n4<|im_end|>"
    closing = model.tokenizer.convert_tokens_to_ids("</think>")
    place = one.ids.index(closing)
    names = [SEGMENTS[code] for code in one.segments if code]
    assert SEGMENTS[one.segments[place]] == "reasoning"
    assert names[-2:] == ["answer", "end_of_turn"] and names.count("answer") == 1


@pytest.mark.parametrize("reply", ["4", "", "So: <think>2</think>4", "<think>\nand on"])
def test_a_thinking_model_needs_reasoning(processor: Load, reply: str) -> None:
    model = processor("qwen3_vl_thinking")
    with pytest.raises(DataError, match=r"has no <think>.*reply: think.*instruct model"):
        rendered(model, turn("user", "2 + 2?"), turn("assistant", reply))


@pytest.mark.parametrize("first", [THOUGHT, "4"])
def test_a_thinking_models_earlier_replies_are_refused(processor: Load, first: str) -> None:
    model = processor("qwen3_vl_thinking")
    turns = (turn("user", "2 + 2?"), turn("assistant", first), turn("user", "Sure?"))
    with pytest.raises(DataError, match="give each reply a row of its own"):
        rendered(model, *turns, turn("assistant", THOUGHT))
    with pytest.raises(DataError, match="give each reply a row of its own"):
        render_prompt(example(*turns), model, pixel_budget(model, None, None))


def test_a_template_that_forgets_earlier_reasoning_refuses_those_rows(
    tiny_dir: Callable[[str], Any],
) -> None:
    model = AutoProcessor.from_pretrained(tiny_dir("qwen3_vl"))
    model.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\\n{% set text = m.content[0].text %}"
        "{{ text if loop.last else text.split('</think>')[-1] }}<|im_end|>\\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}"
    )
    turns = (turn("user", "2 + 2?"), turn("assistant", THOUGHT), turn("user", "Sure?"))
    with pytest.raises(DataError, match="give each reply a row of its own"):
        rendered(model, *turns, turn("assistant", "4"))
    plain = (turns[0], turn("assistant", "4"), turns[2])
    assert sum(rendered(model, *plain, turn("assistant", THOUGHT)).mask) > 10


@pytest.mark.parametrize("family", FAMILIES)
def test_the_blank_image_trains_on_nothing(processor: Load, family: str) -> None:
    model = processor(family)
    blank = blank_image(model, pixel_budget(model, None, None))
    assert blank.images and not any(blank.mask) and any(blank.image_tokens)


def test_an_instruct_model_learns_to_open_its_reasoning(processor: Load) -> None:
    model = processor("qwen3_vl")
    one = rendered(model, turn("user", "2 + 2?"), turn("assistant", THOUGHT))
    assert shown(one, model)[1] == f"{THOUGHT}<|im_end|>"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversation_that_the_assistant_begins_is_refused(processor: Load, family: str) -> None:
    with pytest.raises(
        DataError, match=r"begins with the assistant's turn|refuses the conversation"
    ):
        rendered(processor(family), turn("assistant", "4"))
