"""Tiny models of the real architectures, saved in the hub's layout.

They load through `AutoModelForImageTextToText` and `AutoProcessor` exactly as a downloaded model
does; only the sizes differ. The tokenizer is a byte-level BPE trained here on the figures' own
texts, with the family's special tokens, pre-tokenisation and chat format.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, trainers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from mmdft.data.figures import FAMILIES, draw
from mmdft.errors import ConfigError

VOCABULARY = 640

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

DEFAULT_SYSTEM = "You are a helpful assistant."

# The Qwen chat format: turns between <|im_start|>ROLE and <|im_end|>, images as one placeholder.
CHAT_TEMPLATE = """\
{%- macro show(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}
{%- for part in content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- else -%}{{ part.text }}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- if messages[0].role != 'system' and default_system -%}
{{ '<|im_start|>system\\n' + default_system + '<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + show(message.content) + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinySize:
    """Sizes of a tiny model; the defaults give about 1.3 M parameters."""

    layers: int = 3
    width: int = 128
    heads: int = 4
    vision_layers: int = 3
    vision_width: int = 96
    vision_heads: int = 3
    init: float = 0.08


def build_tiny(
    out: Path,
    *,
    family: str = "qwen2_5_vl",
    seed: int = 0,
    size: TinySize | None = None,
    texts: Sequence[str] | None = None,
) -> Path:
    """Write a tiny model with random weights and its processor into `out`.

    Args:
        out: the folder to write, new or empty; it appears once all is written.
        family: a key of `FAMILY_BUILDERS`: qwen2_vl, qwen2_5_vl or qwen3_vl.
        seed: of the random weights.
        size: layers and widths.
        texts: what the tokenizer is trained on; by default the figures' questions and answers.

    Raises:
        ConfigError: the family is unknown, or the folder is not empty.
    """
    if family not in FAMILY_BUILDERS:
        raise ConfigError(f"unknown family {family!r}; known: {', '.join(FAMILY_BUILDERS)}")
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty; choose another folder")
    size = size or TinySize()
    tokenizer = _tokenizer(figure_texts() if texts is None else texts)
    config, processor = FAMILY_BUILDERS[family](size, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = [
        tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")
    ]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    processor.save_pretrained(temporary)
    temporary.replace(out)
    return out


def figure_texts(per_family: int = 12) -> list[str]:
    """Questions, reasoning and answers of drawn figures: the tiny tokenizer's training text."""
    # As in the real vocabulary, the chat's own words should be few tokens.
    texts = ["system\n", "user\n", "assistant\n", DEFAULT_SYSTEM] * per_family * 10
    for family in FAMILIES:
        for index in range(per_family):
            for split in ("train", "ood"):
                figure = draw(family, seed=0, index=index, split=split)
                texts += [figure.question, f"{figure.reasoning}\nAnswer: {figure.answer}"]
    return texts


def _tokenizer(texts: Sequence[str]) -> Any:
    """A Qwen2 tokenizer whose vocabulary is learnt from `texts`."""
    family = Qwen2Tokenizer().backend_tokenizer
    learner = Tokenizer(BPE())
    learner.normalizer, learner.pre_tokenizer = family.normalizer, family.pre_tokenizer
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - len(SPECIAL_TOKENS),
            initial_alphabet=_byte_alphabet(),
            show_progress=False,
        ),
    )
    learnt = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        eos_token="<|im_end|>",
        extra_special_tokens=list(SPECIAL_TOKENS),
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _byte_alphabet() -> list[str]:
    return sorted(ByteLevel.alphabet())


def _text_config(size: TinySize, tokenizer: Any) -> dict[str, Any]:
    head = size.width // size.heads
    return {
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "hidden_size": size.width,
        "intermediate_size": size.width * 3,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads // 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "initializer_range": size.init,
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        # Half of a head's dimensions rotate; they are shared out over time, height and width.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [head // 2 - 2 * (head // 6), head // 6, head // 6],
        },
    }


def _token_ids(tokenizer: Any) -> dict[str, int]:
    return {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }


def _qwen2_vl(size: TinySize, tokenizer: Any) -> tuple[PreTrainedConfig, Any]:
    config = Qwen2VLConfig(
        text_config=_text_config(size, tokenizer),
        vision_config={
            "depth": size.vision_layers,
            "embed_dim": size.vision_width,
            "hidden_size": size.width,
            "num_heads": size.vision_heads,
            "initializer_range": size.init,
            "mlp_ratio": 3,
        },
        tie_word_embeddings=True,
        **_token_ids(tokenizer),
    )
    processor = Qwen2VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor())
    return config, _with_template(processor, DEFAULT_SYSTEM)


def _qwen2_5_vl(size: TinySize, tokenizer: Any) -> tuple[PreTrainedConfig, Any]:
    config = Qwen2_5_VLConfig(
        text_config=_text_config(size, tokenizer),
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "out_hidden_size": size.width,
            "intermediate_size": size.vision_width * 3,
            "num_heads": size.vision_heads,
            "initializer_range": size.init,
            # As in the real model: windows of 112 pixels, with full attention in some layers.
            "fullatt_block_indexes": [size.vision_layers - 1],
        },
        tie_word_embeddings=True,
        **_token_ids(tokenizer),
    )
    processor = Qwen2_5_VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor())
    return config, _with_template(processor, DEFAULT_SYSTEM)


def _qwen3_vl(size: TinySize, tokenizer: Any) -> tuple[PreTrainedConfig, Any]:
    text = _text_config(size, tokenizer)
    text["head_dim"] = size.width // size.heads
    text["rope_parameters"]["mrope_interleaved"] = True
    config = Qwen3VLConfig(
        text_config=text,
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "out_hidden_size": size.width,
            "intermediate_size": size.vision_width * 3,
            "num_heads": size.vision_heads,
            "initializer_range": size.init,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0, 1],
        },
        tie_word_embeddings=True,
        **_token_ids(tokenizer),
    )
    images = Qwen2VLImageProcessor(
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 65_536, "longest_edge": 16_777_216},
    )
    processor = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor())
    return config, _with_template(processor, None)


def _with_template(processor: Any, default_system: str | None) -> Any:
    """Set the chat template; Qwen2 and 2.5 open with a default system turn, Qwen3 does not."""
    template = f"{{%- set default_system = {default_system or ''!r} -%}}\n" + CHAT_TEMPLATE
    processor.chat_template = template
    processor.tokenizer.chat_template = template
    return processor


FAMILY_BUILDERS: dict[str, Callable[[TinySize, Any], tuple[PreTrainedConfig, Any]]] = {
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
}
