"""What is counted of a training's memory is exact; what is estimated is near to what is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mmdft.checking.memory import Batch, Memory, estimate, meta_model
from mmdft.config import RunConfig
from mmdft.data.collate import collate_training
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.head import forward_answers
from mmdft.model import load_model, load_processor, parameter_summary
from mmdft.objectives import sft
from mmdft.records import Example, ImageRef, Turn
from mmdft.tiny import TinySize, build_tiny

TinyDir = Callable[[str], Path]
BATCH = Batch(rows=1, length=100, answers=20, pixels=112 * 112)


def config_of(folder: Path, **sections: Any) -> RunConfig:
    own = {"name": str(folder), **sections.pop("model", {})}
    return RunConfig.model_validate({"model": own, **sections})


def size_of(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"dtype": "bfloat16"},
        {"freeze": ["vision", "projector"]},
        {"lora": {"r": 4}},
        {"lora": {"r": 4, "modules_to_save": ["lm_head"]}, "freeze": ["vision"]},
        {"lora": {"r": 4}, "dtype": "bfloat16"},
    ],
)
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_weights_gradients_and_states_are_exact(
    tiny_dir: TinyDir, family: str, model: dict[str, Any]
) -> None:
    config = config_of(tiny_dir(family), model=model, objective={"name": "asft"})
    found = estimate(config, BATCH, ranks=1)
    real = load_model(config.model)
    weights = size_of(real.parameters()) + size_of(real.buffers())
    trained = [p for p in real.parameters() if p.requires_grad]
    assert found.parameters == parameter_summary(real)["all"]["total"]
    assert found.trainable == parameter_summary(real)["all"]["trainable"]
    assert found.terms["weights"] == weights
    assert found.terms["gradients"] == size_of(trained)
    assert found.terms.get("reference") == (None if "lora" in model else weights)
    optimizer = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    states = [
        value
        for state in optimizer.state.values()
        for name, value in state.items()
        if name != "step"
    ]
    assert found.terms["optimizer"] == size_of(states)
    assert found.total == sum(found.terms.values())


@pytest.mark.parametrize(
    ("optim", "bytes_each"),
    [("adamw_torch", 8), ("adamw_bnb_8bit", 2), ("sgd", 0), ("adagrad", 4)],
)
def test_states_are_those_of_the_optimizer(tiny_dir: TinyDir, optim: str, bytes_each: int) -> None:
    config = config_of(tiny_dir("qwen2_5_vl"), training={"optim": optim})
    found = estimate(config, BATCH, ranks=1)
    assert found.terms["optimizer"] == bytes_each * found.trainable
    assert not found.notes


def test_an_unknown_optimizer_is_told(tiny_dir: TinyDir) -> None:
    config = config_of(tiny_dir("qwen2_5_vl"), training={"optim": "galore_adamw"})
    found = estimate(config, BATCH, ranks=1)
    assert found.terms["optimizer"] == 0
    assert "galore_adamw" in found.notes[0]


def test_four_bits_are_counted_with_their_constants(tiny_dir: TinyDir) -> None:
    folder = tiny_dir("qwen2_5_vl")
    plain = {"lora": {"r": 4}, "dtype": "bfloat16"}
    half = estimate(config_of(folder, model=plain), BATCH, 1)
    packed = estimate(config_of(folder, model={**plain, "quantization": "nf4"}), BATCH, 1)
    model = meta_model(config_of(folder, model=plain).model, [])
    quantized = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and not {"visual", "lm_head", "lora_A", "lora_B"} & set(name.split("."))
    )
    saved = half.terms["weights"] - packed.terms["weights"]
    assert saved == pytest.approx(quantized * (2 - 4.127 / 8), rel=1e-4)


def test_ranks_and_sharding_are_told(tiny_dir: TinyDir) -> None:
    folder = tiny_dir("qwen2_5_vl")
    one, two = (estimate(config_of(folder), BATCH, ranks) for ranks in (1, 2))
    assert "DDP buckets" not in one.terms
    assert two.terms["DDP buckets"] == two.terms["gradients"]
    assert one.sharding == "one process holds everything"
    assert two.sharding.startswith("as DDP, every rank holds everything")


def kept_by_autograd(config: RunConfig, folder: Path) -> tuple[int, Memory]:
    """Bytes of what autograd keeps of a forward pass, each storage once; and the estimate."""
    processor, model = load_processor(config.model), load_model(config.model).train()
    Image.effect_noise((336, 336), 60).save(folder / "a.png")
    reply = Turn(role="assistant", parts=("so 1 + 2 = 3. " * 100,))
    user = Turn(role="user", parts=(ImageRef(path=folder / "a.png"), "hi"))
    budget = pixel_budget(processor, None, None)
    example = render(Example(id="a", turns=(user, reply)), processor, budget)
    batch = collate_training([example], 0)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    head: Any = model
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=config.training.bf16),
    ):
        forward_answers(model, head.get_output_embeddings(), batch, sft, chunk_mb=64)
    largest = Batch(rows=1, length=len(example.ids), answers=sum(example.mask), pixels=336 * 336)
    return sum(each.untyped_storage().nbytes() for each in kept.values()), estimate(
        config, largest, 1
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "float32"},
        {"dtype": "bfloat16"},
        {"dtype": "float32", "bf16": True},
        {"dtype": "float32", "lora": {"r": 4}},
        {"dtype": "bfloat16", "lora": {"r": 4}},
    ],
)
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_activations_are_near_to_what_autograd_keeps(
    tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    size = TinySize(layers=6, width=128, heads=4, vision_layers=4)
    folder = build_tiny(tmp_path / "model", family=family, size=size)
    training = {"bf16": settings.get("bf16", False)}
    model = {name: value for name, value in settings.items() if name != "bf16"}
    config = config_of(folder, model=model, training=training)
    kept, found = kept_by_autograd(config, tmp_path)
    estimated = sum(value for name, value in found.terms.items() if "activations" in name)
    assert kept / 1.25 < estimated < kept * 1.25


def test_checkpointing_keeps_less_and_a_longer_batch_more(tiny_dir: TinyDir) -> None:
    folder = tiny_dir("qwen2_5_vl")
    plain = estimate(config_of(folder), BATCH, 1)
    less = estimate(config_of(folder, training={"gradient_checkpointing": True}), BATCH, 1)
    long = Batch(rows=1, length=200, answers=40, pixels=112 * 112)
    name = "activations, language"
    assert less.terms[name] < plain.terms[name]
    assert estimate(config_of(folder), long, 1).terms[name] == 2 * plain.terms[name]
