"""Writing a tiny model into a folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText

from mmdft.data.figures import BASIC_FAMILIES, draw
from mmdft.errors import ConfigError
from mmdft.tiny.families import FAMILY_BUILDERS, TinyParts, TinySize
from mmdft.tiny.templates import DEFAULT_SYSTEM


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
        family: a key of `FAMILY_BUILDERS`, such as qwen2_5_vl or gemma3.
        seed: of the random weights.
        size: layers and widths.
        texts: what the tokenizer is trained on; by default the figures' questions and answers.

    Raises:
        ConfigError: the family is unknown, or the folder is not empty.
    """
    if family not in FAMILY_BUILDERS:
        raise ConfigError(f"unknown family {family!r}; known: {', '.join(FAMILY_BUILDERS)}")
    size = size or TinySize()
    parts = FAMILY_BUILDERS[family](size, figure_texts() if texts is None else texts)
    return write_model(out, parts, seed=seed, init=size.init)


def write_model(out: Path, parts: TinyParts, *, seed: int, init: float) -> Path:
    """Write a model with random weights and its processor into `out`, which appears at the end.

    Args:
        out: the folder to write, new or empty.
        parts: configuration, processor and ends of generations.
        seed: of the random weights.
        init: the spread of weights that the architecture would start at zero.

    Raises:
        ConfigError: the folder is not empty.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty; choose another folder")
    tokenizer = parts.processor.tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(parts.config, dtype=torch.float32)
        # Gemma's projection starts at zero, which would hide the images.
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():
                torch.nn.init.normal_(parameter, std=init)
    model.generation_config.eos_token_id = [
        tokenizer.convert_tokens_to_ids(token) for token in parts.ends
    ]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    parts.processor.save_pretrained(temporary)
    temporary.replace(out)
    return out


def figure_texts(per_family: int = 12) -> list[str]:
    """Questions, reasoning and answers of drawn figures: the tiny tokenizers' training text."""
    # As in the real vocabulary, the chat's own words should be few tokens.
    texts = ["system\n", "user\n", "assistant\n", DEFAULT_SYSTEM] * per_family * 10
    for family in BASIC_FAMILIES:
        for index in range(per_family):
            for split in ("train", "ood"):
                figure = draw(family, seed=0, index=index, split=split)
                texts += [figure.question, f"{figure.reasoning}\nAnswer: {figure.answer}"]
    return texts
