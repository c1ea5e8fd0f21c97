"""A chat template for which the mask cannot be proven is refused by name; known ones are proven."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor, Qwen2VLProcessor

from mmdft.config import ModelConfig
from mmdft.data.proof import check_template
from mmdft.errors import ModelError
from mmdft.model import load_processor
from mmdft.tiny import FAMILY_BUILDERS

Load = Callable[[str], Any]
Folder = Callable[[str], Path]


@pytest.mark.parametrize("family", FAMILY_BUILDERS)
def test_the_known_templates_are_proven(processor: Load, family: str) -> None:
    check_template(processor(family))


# A chat format of its own, so that each refusal has one cause.
OPEN = "<|im_start|>{{ m.role }}\\n"
SHOW = (
    "{% for p in m.content %}{{ p.text if p.type == 'text' else "
    "'<|vision_start|><|image_pad|><|vision_end|>' }}{% endfor %}"
)
ASK = "{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}"
TURN = OPEN + SHOW + "<|im_end|>\\n"
EACH = "{% for m in messages %}"
SOUND = EACH + TURN + "{% endfor %}" + ASK
UNSURE = {
    "no special token behind the reply": (
        EACH + OPEN + SHOW + "\\n{% endfor %}" + ASK,
        "without a special token",
    ),
    "text before the end token": (
        EACH + OPEN + SHOW + " <|im_end|>\\n{% endfor %}" + ASK,
        "without a special token",
    ),
    "nothing behind the last reply": (
        EACH
        + OPEN
        + SHOW
        + "{% if not (loop.last and m.role == 'assistant') %}<|im_end|>{% endif %}{% endfor %}"
        + ASK,
        "without a special token",
    ),
    "drops a turn": (
        "{% for m in messages[1:] %}" + TURN + "{% endfor %}" + ASK,
        "drops, repeats or reorders",
    ),
    "drops the replies": (
        EACH
        + OPEN
        + "{% if m.role == 'user' %}"
        + SHOW
        + "{% endif %}<|im_end|>\\n{% endfor %}"
        + ASK,
        "drops, repeats or reorders",
    ),
    "repeats a turn": (
        "{% for m in messages + messages[-1:] %}" + TURN + "{% endfor %}" + ASK,
        "drops, repeats or reorders",
    ),
    "reorders turns": (
        "{% for m in messages|reverse %}" + TURN + "{% endfor %}" + ASK,
        "drops, repeats or reorders",
    ),
    "drops the image": (
        EACH + OPEN + "{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}"
        "<|im_end|>\\n{% endfor %}" + ASK,
        "0 placeholders for 1 images",
    ),
    "no generation prompt": (
        EACH + TURN + "{% endfor %}",
        "adds to the assistant's replies or changes them",
    ),
    "another generation prompt": (
        SOUND.replace("<|im_start|>assistant", "<|im_start|>Assistant"),
        "generation prompt is not how it begins",
    ),
    "words before a reply": (
        EACH
        + OPEN
        + "{{ 'I say: ' if m.role == 'assistant' }}"
        + SHOW
        + "<|im_end|>\\n{% endfor %}"
        + ASK,
        "adds to the assistant's replies or changes them",
    ),
    "words behind a reply": (
        EACH
        + OPEN
        + SHOW
        + "{{ ' Done.' if m.role == 'assistant' }}<|im_end|>\\n{% endfor %}"
        + ASK,
        "without a special token",
    ),
    "ends replies in two ways": (
        EACH
        + OPEN
        + SHOW
        + "{{ '<|endoftext|>' if loop.last and m.role == 'assistant' else '<|im_end|>' }}"
        + "\\n{% endfor %}"
        + ASK,
        "end with the tokens",
    ),
    "refuses every conversation": (
        "{{ raise_exception('no chats today') }}",
        "refuses the conversation: no chats today",
    ),
    "is no template": ("{% for m in %}", "refuses the conversation"),
    "changes what texts say": (
        SOUND.replace("p.text if", "p.text | replace('bars', 'columns') if"),
        "its tokens are .* where the processor has",
    ),
}


def test_the_format_that_the_others_spoil_is_proven(tiny_dir: Folder) -> None:
    model = AutoProcessor.from_pretrained(tiny_dir("qwen2_5_vl"))
    model.chat_template = SOUND
    check_template(model)


@pytest.mark.parametrize("case", UNSURE)
def test_a_template_that_leaves_the_mask_unsure_is_refused(tiny_dir: Folder, case: str) -> None:
    model = AutoProcessor.from_pretrained(tiny_dir("qwen2_5_vl"))
    model.chat_template, reason = UNSURE[case]
    with pytest.raises(ModelError, match=reason) as refused:
        check_template(model)
    assert str(refused.value).startswith("Qwen2_5_VLProcessor: the loss mask cannot be proven")
    assert "\n" not in str(refused.value)


def test_a_processor_whose_images_have_other_tokens_is_refused(
    tiny_dir: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoProcessor.from_pretrained(tiny_dir("internvl"))
    monkeypatch.setattr(
        model.image_processor, "get_number_of_image_patches", lambda *_: 3, raising=True
    )
    with pytest.raises(ModelError, match="makes other tokens of an image of 300 x 64 pixels"):
        check_template(model)


def test_a_tokenizer_that_lets_special_text_be_special_is_refused(
    tiny_dir: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoProcessor.from_pretrained(tiny_dir("qwen2_5_vl"))
    call = type(model.tokenizer).__call__

    def careless(self: Any, *args: Any, split_special_tokens: bool = False, **more: Any) -> Any:
        return call(self, *args, **more)

    monkeypatch.setattr(type(model.tokenizer), "__call__", careless)
    with pytest.raises(ModelError, match="special tokens written as text become special tokens"):
        check_template(model)


def test_an_unknown_family_is_refused_with_the_known_ones(processor: Load) -> None:
    class OtherProcessor(Qwen2VLProcessor):  # type: ignore[misc]
        pass

    other = OtherProcessor.__new__(OtherProcessor)
    with pytest.raises(
        ModelError,
        match=r"OtherProcessor is not supported; .*: Qwen2-VL, Qwen2.5-VL, .*InternVL, Gemma 3$",
    ):
        check_template(other)


def test_loading_a_processor_proves_its_template(tiny_dir: Folder, tmp_path: Path) -> None:
    model = AutoProcessor.from_pretrained(tiny_dir("smolvlm"))
    model.chat_template = UNSURE["drops a turn"][0]
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"model.name '.*': SmolVLMProcessor: .*cannot be proven"):
        load_processor(ModelConfig(name=str(tmp_path)))
