"""Tiny models load as downloaded ones do, and end where they are taught to end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from mmdft.data.chat import render_text
from mmdft.data.vision import FAMILIES
from mmdft.errors import ConfigError
from mmdft.records import Turn
from mmdft.tiny import FAMILY_BUILDERS, build_tiny

MODEL_TYPES = {name: name for name in FAMILY_BUILDERS} | {"qwen3_vl_thinking": "qwen3_vl"}


@pytest.mark.parametrize("family", FAMILY_BUILDERS)
def test_it_is_the_real_architecture_in_small(
    tiny_dir: Callable[[str], Path], processor: Callable[[str], Any], family: str
) -> None:
    folder, tools = tiny_dir(family), processor(family)
    assert AutoConfig.from_pretrained(folder).model_type == MODEL_TYPES[family]
    assert type(tools).__name__ in FAMILIES
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert 900_000 < model.num_parameters() < 2_000_000
    assert sum(f.stat().st_size for f in folder.iterdir()) < 8_000_000
    # A projection of zeros would hide the images from the model.
    assert all(p.any() for p in model.parameters() if p.ndim > 1)
    # A tokenizer without it would make every character of another script the same.
    ids = tools.tokenizer("七 and 八", add_special_tokens=False).input_ids
    assert tools.tokenizer.decode(ids) == "七 and 八"


@pytest.mark.parametrize("family", FAMILY_BUILDERS)
def test_generation_ends_with_the_token_that_is_trained(
    tiny_dir: Callable[[str], Path], processor: Callable[[str], Any], family: str
) -> None:
    reply = "<think>\nx\n</think>\n\n4" if family == "qwen3_vl_thinking" else "4"
    turns = [Turn(role="user", parts=("?",)), Turn(role="assistant", parts=(reply,))]
    tokens = render_text(turns, processor(family), generate=False)
    end = [i for i, trained in zip(tokens.ids, tokens.mask, strict=True) if trained][-1]
    model = AutoModelForImageTextToText.from_pretrained(tiny_dir(family))
    assert end in model.generation_config.eos_token_id
    assert model.generation_config.pad_token_id == processor(family).tokenizer.pad_token_id


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    first, same, other = (
        AutoModelForImageTextToText.from_pretrained(
            build_tiny(tmp_path / f"{index}", family="gemma3", seed=seed)
        ).state_dict()
        for index, seed in enumerate([3, 3, 4])
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown family 'gpt'; known: qwen2_vl, .*gemma3"):
        build_tiny(tmp_path / "new", family="gpt")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    with pytest.raises(ConfigError, match="old exists and is not empty"):
        build_tiny(tmp_path / "old")
