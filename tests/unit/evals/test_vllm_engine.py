"""What the vLLM backend hands over and makes of the answers; vLLM itself is in tests/gpu."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.data.fields import OWN_PIXELS
from mmdft.data.render import render_prompt
from mmdft.data.vision import PixelBudget, pixel_budget
from mmdft.errors import ConfigError, DataError, ModelError
from mmdft.evals.backends import open_backend
from mmdft.evals.backends.vllm_engine import (
    engine_options,
    outcome,
    refuse_settings,
    sampling_options,
    show,
)
from mmdft.records import Example, ImageRef, Prediction, Request, Turn, Unanswered
from mmdft.shipped import SHIPPED

QWEN = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
OTHERS = ["smolvlm", "idefics3", "llava_onevision", "internvl", "gemma3"]
REQUEST = Request(example=Example(id="7", turns=()), sample=2, seed=11)


def image(folder: Path, width: int, height: int) -> ImageRef:
    path = folder / f"{width}x{height}.png"
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(path)
    return ImageRef(path=path)


def asked(*parts: str | ImageRef, **meta: Any) -> Example:
    return Example(id="7", turns=(Turn(role="user", parts=parts),), meta=meta)


@pytest.mark.parametrize("family", [*QWEN, *OTHERS])
def test_the_processor_makes_our_tokens_of_what_is_handed_over(
    processor: Callable[[str], Any], family: str, tmp_path: Path
) -> None:
    """As vLLM does: the placeholder of each image becomes what the processor makes of it."""
    ours = processor(family)
    sizes = [(90, 40), (40, 90)][: 1 if family == "gemma3" else 2]
    example = asked(*(image(tmp_path, *size) for size in sizes), "How many?")
    pixels = (28 * 28 * 4, 28 * 28 * 16) if family in QWEN else (None, None)
    budget = pixel_budget(ours, *pixels)
    shown = show(example, ours, budget)
    assert shown.expected == render_prompt(example, ours, budget).ids
    assert set(shown.prompt) == {"prompt_token_ids", "multi_modal_data"}
    ids = shown.prompt["prompt_token_ids"]
    placeholder = ours.tokenizer.convert_tokens_to_ids(ours.image_token)
    assert ids.count(placeholder) == len(sizes)
    options = engine_options(ModelConfig(name="m", dtype="float32"), DecodingConfig(), budget)
    made = ours(
        text=[ours.tokenizer.decode(ids)],
        images=[shown.prompt["multi_modal_data"]["image"]],
        add_special_tokens=False,
        **options.get("mm_processor_kwargs", {}),
    )
    assert tuple(made["input_ids"][0]) == shown.expected


@pytest.mark.parametrize("family", QWEN)
def test_a_fitted_image_is_resized_no_more(
    processor: Callable[[str], Any], family: str, tmp_path: Path
) -> None:
    ours = processor(family)
    budget = pixel_budget(ours, 28 * 28 * 4, 28 * 28 * 16)
    example = asked(image(tmp_path, 300, 80), "How many?")
    (fitted,) = show(example, ours, budget).prompt["multi_modal_data"]["image"]
    options = engine_options(ModelConfig(name="m", dtype="float32"), DecodingConfig(), budget)
    made = ours.image_processor([fitted], return_tensors="pt", **options["mm_processor_kwargs"])
    tensors = render_prompt(example, ours, budget).images
    assert torch.equal(made["image_grid_thw"], tensors["image_grid_thw"])
    assert torch.allclose(made["pixel_values"], tensors["pixel_values"], atol=1e-6)


def test_text_that_looks_like_a_placeholder_is_text(
    processor: Callable[[str], Any], tmp_path: Path
) -> None:
    ours = processor("qwen2_5_vl")
    budget = pixel_budget(ours, None, None)
    placeholder = ours.tokenizer.convert_tokens_to_ids(ours.image_token)
    shown = show(asked(image(tmp_path, 56, 56), "<|image_pad|>?"), ours, budget)
    assert shown.prompt["prompt_token_ids"].count(placeholder) == 1
    plain = show(asked("<|image_pad|>?"), ours, budget)
    assert placeholder not in plain.expected
    assert plain.prompt == {"prompt_token_ids": list(plain.expected)}


def test_the_sources_own_pixels_go_with_the_prompt(
    processor: Callable[[str], Any], tmp_path: Path
) -> None:
    ours = processor("qwen2_5_vl")
    budget = pixel_budget(ours, 28 * 28 * 4, 28 * 28 * 16)
    example = asked(image(tmp_path, 300, 80), "How many?", **{OWN_PIXELS: (784, 784)})
    shown = show(example, ours, budget)
    assert shown.prompt["mm_processor_kwargs"] == {
        "size": {"shortest_edge": 784, "longest_edge": 784}
    }
    assert shown.expected == render_prompt(example, ours, budget).ids
    (fitted,) = shown.prompt["multi_modal_data"]["image"]
    assert fitted.width * fitted.height <= 784 * 2


def test_an_image_that_cannot_be_opened_names_the_item(
    processor: Callable[[str], Any], tmp_path: Path
) -> None:
    ours = processor("qwen2_5_vl")
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"^item 7: .*x\.png"):
        show(asked(ImageRef(path=tmp_path / "x.png")), ours, pixel_budget(ours, None, None))


# --- arguments ---


def test_the_engines_arguments(tiny_dir: Callable[[str], Path]) -> None:
    name = str(tiny_dir("qwen2_5_vl"))
    budget = PixelBudget(min_pixels=784, max_pixels=7840, patch_size=14, merge_size=2)
    options = engine_options(ModelConfig(name=name), DecodingConfig(batch_size=3), budget)
    assert options == {
        "model": name,
        "revision": None,
        "tokenizer_revision": None,
        "trust_remote_code": False,
        "dtype": "float32",  # as saved; vLLM's own "auto" would take half of it
        "max_model_len": -1,
        "limit_mm_per_prompt": {"video": 0},
        "generation_config": "vllm",
        "seed": 0,
        "mm_processor_kwargs": {"size": {"shortest_edge": 784, "longest_edge": 7840}},
        "max_num_seqs": 3,
    }
    options = engine_options(
        ModelConfig(name=name, dtype="bfloat16", trust_remote_code=True), DecodingConfig(), budget
    )
    assert (options["dtype"], options["trust_remote_code"]) == ("bfloat16", True)
    assert "max_num_seqs" not in options
    with pytest.raises(ModelError, match="'nowhere/at-all' cannot be loaded: "):
        engine_options(ModelConfig(name="nowhere/at-all"), DecodingConfig(), budget)


def adapter(
    folder: Path, weight: str = "model.language_model.layers.0.q_proj", **more: Any
) -> ModelConfig:
    config = {"base_model_name_or_path": "base/model", "r": 8, **more}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = {f"base_model.model.{weight}.lora_A.weight": torch.zeros(1)}
    save_file(tensors, folder / "adapter_model.safetensors")
    return ModelConfig(name=str(folder), dtype="float16")


@pytest.mark.parametrize(
    ("more", "rank"),
    [({}, 8), ({"r": 9}, 16), ({"r": 1}, 1), ({"rank_pattern": {"q_proj": 33}}, 64)],
)
def test_an_adapter_goes_on_its_base_model(tmp_path: Path, more: Any, rank: int) -> None:
    model = adapter(tmp_path, **more)
    refuse_settings(model)
    budget = PixelBudget(min_pixels=784, max_pixels=7840, patch_size=14, merge_size=2)
    options = engine_options(model, DecodingConfig(), budget)
    assert (options["model"], options["enable_lora"]) == ("base/model", True)
    assert (options["max_lora_rank"], options["max_loras"]) == (rank, 1)
    assert "revision" not in options


def test_a_model_that_comes_with_mmdft_is_handed_over_as_its_folder(
    tiny_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_dir("qwen2_5_vl")
    monkeypatch.setitem(SHIPPED, "mmdft/tiny", folder)
    budget = PixelBudget(min_pixels=784, max_pixels=7840, patch_size=14, merge_size=2)
    for model in (
        ModelConfig(name="mmdft/tiny"),
        adapter(tmp_path, base_model_name_or_path="mmdft/tiny"),
    ):
        refuse_settings(model)
        assert engine_options(model, DecodingConfig(), budget)["model"] == str(folder)


def test_what_vllm_would_leave_out_is_refused(tmp_path: Path) -> None:
    nf4 = ModelConfig(name="m", quantization="nf4", lora={})
    with pytest.raises(ConfigError, match=r"^model\.quantization nf4: the backend vllm does not"):
        refuse_settings(nf4)
    with pytest.raises(ConfigError, match=r"^model\.attn_implementation sdpa: the backend vllm"):
        refuse_settings(ModelConfig(name="m", attn_implementation="sdpa"))
    with pytest.raises(ConfigError, match=r"its modules_to_save \(lm_head\) are not loaded"):
        refuse_settings(adapter(tmp_path, modules_to_save=["lm_head"]))
    with pytest.raises(ConfigError, match="the adapter is on the vision too"):
        refuse_settings(adapter(tmp_path, "model.visual.blocks.0.attn.qkv"))
    model = adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors: no such file"):
        refuse_settings(model)


def test_without_vllm_the_extra_is_named(
    tiny_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    settings = DecodingConfig(backend={"name": "vllm"})
    with pytest.raises(ConfigError, match=re.escape("(the extra mmdft[vllm]), which is not inst")):
        open_backend(ModelConfig(name=str(tiny_dir("qwen2_5_vl"))), settings, (None, None))


def test_sampling_arguments() -> None:
    greedy = DecodingConfig(max_new_tokens=30, top_p=0.5)
    assert sampling_options(REQUEST, greedy, (3, 4)) == {
        "max_tokens": 30,
        "temperature": 0.0,
        "stop_token_ids": [3, 4],
        "detokenize": False,
    }
    sampled = DecodingConfig(max_new_tokens=30, temperature=0.7, top_p=0.5)
    own = Request(example=REQUEST.example, seed=11, max_new_tokens=5)
    assert sampling_options(own, sampled, (3,)) == {
        "max_tokens": 5,
        "temperature": 0.7,
        "stop_token_ids": [3],
        "detokenize": False,
        "top_p": 0.5,
        "seed": 11,
    }


# --- answers ---


def test_a_completion_as_a_prediction(processor: Callable[[str], Any]) -> None:
    ours = processor("qwen2_5_vl")
    end = ours.tokenizer.eos_token_id
    words = ours.tokenizer("How many?").input_ids

    def made(tokens: list[int], reason: str) -> Prediction | Unanswered:
        completion = SimpleNamespace(token_ids=tokens, finish_reason=reason)
        return outcome(REQUEST, completion, (end,), "<think>\n", ours)

    assert made([*words, end], "stop") == Prediction(
        id="7", sample=2, response="<think>\nHow many?", num_tokens=len(words) + 1
    )
    assert made(words, "length") == Prediction(
        id="7", sample=2, response="<think>\nHow many?", num_tokens=len(words), truncated=True
    )
    assert made([], "abort") == Unanswered(id="7", sample=2, reason="vLLM gave up on it: abort")
