"""Tiny models load as downloaded ones do, and end where they are taught to end."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText

from mmdft.config import ModelConfig
from mmdft.config_loading import load_config
from mmdft.data.chat import render_text
from mmdft.data.figures import BASIC_FAMILIES
from mmdft.data.figures.generate import pose
from mmdft.data.figures.wordy import wordy
from mmdft.data.vision import FAMILIES
from mmdft.errors import ConfigError
from mmdft.model import load_processor
from mmdft.records import Turn
from mmdft.tiny import FAMILY_BUILDERS, base, build_tiny

RECIPE = Path(__file__).parents[2] / "data/tiny_base"
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


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base.build_base(tmp_path_factory.mktemp("base") / "untrained")


def test_the_base_is_small_enough_to_ship(untrained: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(untrained)
    assert model.config.model_type == "qwen2_5_vl"
    # Two bytes each, as it is shipped.
    assert 2_500_000 < model.num_parameters() < 4_000_000


def test_the_base_sees_a_figure_as_sixteen_tokens_and_white_as_nothing(untrained: Path) -> None:
    images = load_processor(ModelConfig(name=str(untrained))).image_processor
    found = images([Image.new("RGB", (112, 112), "white")], return_tensors="pt")
    assert found["image_grid_thw"].tolist() == [[1, 8, 8]]
    assert images.merge_size == 2
    assert found["pixel_values"].abs().max() < 1e-6
    black = images([Image.new("RGB", (28, 28), "black")], return_tensors="pt")
    assert black["image_grid_thw"].tolist() == [[1, 2, 2]]
    assert torch.allclose(black["pixel_values"], torch.tensor(-1 / 0.3))


def test_the_base_has_no_system_turn_of_its_own(untrained: Path) -> None:
    processor = load_processor(ModelConfig(name=str(untrained)))
    asked = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    for writer in (processor, processor.tokenizer):
        said = writer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        assert said == "<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n"


def test_the_base_reads_digits_one_by_one_and_words_whole(untrained: Path) -> None:
    tokenizer = load_processor(ModelConfig(name=str(untrained))).tokenizer
    for word in (*"0123456789", "user", "assistant", "system", "Values", "Answer"):
        assert len(tokenizer(word).input_ids) == 1, word
    for family in base.FAMILIES:
        for index in range(3):
            solution = pose(family, seed=7, index=index).solution
            for chain in (solution.reasoning, wordy(solution)):
                tokens = [tokenizer.decode([token]) for token in tokenizer(chain).input_ids]
                assert tokens == re.findall(r" ?[A-Za-z]+| ?[^\w\s]+|\d| ", chain)


def test_some_basic_figures_are_left_for_what_the_base_has_never_seen() -> None:
    assert set(base.FAMILIES) < set(BASIC_FAMILIES)
    assert len(set(base.FAMILIES)) == len(base.FAMILIES)


def test_the_bases_recipe_loads_and_names_its_figures() -> None:
    files = sorted(RECIPE.glob("*.yaml"))
    assert {file.stem for file in files} >= {"primer", "reading", "figures", "eval"}
    for file in files:
        load_config(file)
        assert file.read_text().splitlines()[0].endswith(f"data/tiny_base/{file.name}")
    (kinds,) = re.findall(r"^K=(.*)$", (RECIPE / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(kinds.split(",")) == sorted(base.FAMILIES)
