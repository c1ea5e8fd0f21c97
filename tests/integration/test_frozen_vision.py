"""A frozen vision tower: no graph is kept for it, whatever else asks for one."""

import copy

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from mmdft.config import LoraSettings, ModelConfig
from mmdft.data.collate import collate_training
from mmdft.data.figures import draw
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.head import forward_answers
from mmdft.model import add_lora, freeze, keep_no_graph, load_model, part_of
from mmdft.objectives import dft
from mmdft.records import Example, ImageRef, Turn

QWEN = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
OTHERS = ["smolvlm", "idefics3", "llava_onevision", "internvl", "gemma3"]
LANGUAGE = LoraSettings(target_modules=r".*(language_model|text_model).*\.(q_proj|v_proj)")


@pytest.fixture(scope="module")
def case(tiny_dir, tmp_path_factory):
    """By family: a model, and a batch of two examples with an image each."""
    path = tmp_path_factory.mktemp("images") / "figure.png"
    draw("bar_sum", seed=1, index=0, size=112).image.save(path)

    def make(family):
        processor = AutoProcessor.from_pretrained(tiny_dir(family))
        budget = pixel_budget(processor, None, None)
        rows = [
            render(
                Example(
                    id=reply,
                    turns=(
                        Turn(role="user", parts=(ImageRef(path=path), "How many?")),
                        Turn(role="assistant", parts=(reply,)),
                    ),
                ),
                processor,
                budget,
            )
            for reply in ("9", "4 + 5 = 9")
        ]
        model = AutoModelForImageTextToText.from_pretrained(tiny_dir(family))
        return model, collate_training(rows, processor.tokenizer.pad_token_id)

    return make


def checkpointed(model):
    """As Trainer prepares a model with gradient_checkpointing."""
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    return model.train()


def gradients(model, batch):
    """Gradients of one batch, and the bytes that autograd kept for the backward pass."""
    kept = []

    def pack(tensor):
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward_answers(model, model.get_output_embeddings(), batch, dft, chunk_mb=1).loss
    loss.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return found, sum(kept)


def graphs_of(model, part):
    """Whether there is a graph behind what each linear layer of a part gives, when it is called."""
    seen = []

    def look(_module, _args, output):
        if isinstance(output, torch.Tensor):
            seen.append(output.grad_fn is not None)

    for name, module in model.named_modules():
        if part_of(name) == part and isinstance(module, torch.nn.Linear):
            module.register_forward_hook(look)
    return seen


@pytest.mark.parametrize(
    ("family", "adapted"),
    [*((family, False) for family in (*QWEN, *OTHERS)), *((family, True) for family in QWEN)],
)
def test_a_frozen_tower_has_no_graph_under_gradient_checkpointing(case, family, adapted):
    model, batch = case(family)
    if adapted:
        model = add_lora(model, LANGUAGE, ["vision", "projector"])
    else:
        freeze(model, ["vision", "projector"])
    before, kept_before = gradients(checkpointed(copy.deepcopy(model)), batch)
    assert keep_no_graph(model)
    checkpointed(model)
    seen = graphs_of(model, "vision")
    found, kept = gradients(model, batch)
    assert seen and not any(seen)
    assert kept <= kept_before
    assert torch.is_grad_enabled()
    assert found.keys() == before.keys()
    for name in found:
        assert torch.equal(found[name], before[name]), name


@pytest.mark.parametrize("lora", [None, LANGUAGE])
def test_a_loaded_model_keeps_no_graph(tiny_dir, case, lora):
    _, batch = case("qwen2_5_vl")
    config = ModelConfig(
        name=str(tiny_dir("qwen2_5_vl")), freeze=["vision", "projector"], lora=lora
    )
    model = checkpointed(load_model(config))
    seen = graphs_of(model, "vision")
    gradients(model, batch)
    assert seen and not any(seen)


@pytest.mark.parametrize("family", QWEN[:2])
def test_checkpointing_alone_would_keep_the_graph(case, family):
    """What the test above would see without it: transformers asks for a gradient at the patches."""
    model, batch = case(family)
    freeze(model, ["vision", "projector"])
    other = copy.deepcopy(model)
    seen = graphs_of(checkpointed(model), "vision")
    _, kept = gradients(model, batch)
    assert any(seen)
    keep_no_graph(other)
    assert gradients(checkpointed(other), batch)[1] < kept


@pytest.mark.parametrize("family", QWEN)
def test_a_trained_projector_gets_the_same_gradient(case, family):
    model, batch = case(family)
    freeze(model, ["vision"])
    before, _ = gradients(checkpointed(copy.deepcopy(model)), batch)
    names = keep_no_graph(model)
    assert names and not any("merger" in name for name in names)
    seen = graphs_of(checkpointed(model), "vision")
    found, _ = gradients(model, batch)
    assert not any(seen)
    assert any("merger" in name for name in found)
    assert all(torch.equal(found[name], before[name]) for name in before)


@pytest.mark.parametrize("family", QWEN)
def test_a_tower_with_an_adapter_keeps_its_graph(case, family):
    model, batch = case(family)
    lora = LoraSettings(target_modules=r".*visual\.blocks\.2\..*(qkv|fc1|linear_fc1|gate_proj)")
    model = add_lora(model, lora, [])
    assert keep_no_graph(model) == []
    found, _ = gradients(checkpointed(model), batch)
    # B is 0 at first, and so is A's gradient.
    assert any("lora_B" in name and grad.abs().sum() > 0 for name, grad in found.items())


def test_a_copy_runs_its_own_tower(case):
    model, batch = case("qwen2_5_vl")
    freeze(model, ["vision", "projector"])
    keep_no_graph(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.model.visual.parameters():
            parameter.zero_()
    calls = []
    model.model.visual.register_forward_hook(lambda *_: calls.append("first"))
    other.model.visual.register_forward_hook(lambda *_: calls.append("copy"))
    found, _ = gradients(other, batch)
    assert calls == ["copy"] and found


def test_an_error_in_the_tower_leaves_gradients_on(case):
    model, batch = case("qwen2_5_vl")
    freeze(model, ["vision", "projector"])
    keep_no_graph(model)
    with pytest.raises(RuntimeError):
        gradients(model, {**batch, "pixel_values": batch["pixel_values"][:, :-1]})
    assert torch.is_grad_enabled()
