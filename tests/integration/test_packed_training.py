"""Packed batches against padded ones, on tiny models of the real architectures."""

import re
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids

from mmdft import load_config, train
from mmdft.data.collate import collate_training
from mmdft.data.figures import draw, write_figures
from mmdft.data.packing import collate_packed, packed_positions
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.errors import ModelError
from mmdft.files import read_json, read_jsonl
from mmdft.head import forward_answers
from mmdft.objectives import TOKEN_OBJECTIVES
from mmdft.provenance import claim_run_folder
from mmdft.records import Example, ImageRef, Turn

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


@pytest.fixture(scope="module")
def rows(processor, tmp_path_factory):
    """By family: six examples with no, one or two images and answers of 2 to 193 tokens."""
    folder = tmp_path_factory.mktemp("images")

    def make(family):
        budget = pixel_budget(processor(family), 3136, 112 * 112)
        made = []
        for index in range(6):
            figure = draw("bar_sum", seed=1, index=index, size=112 if index % 2 else 168)
            path = folder / f"{index}.png"
            figure.image.save(path)
            images = [ImageRef(path=path)] * (0 if index == 4 else 1 + (index == 1))
            turns = (
                Turn(role="user", parts=(*images, figure.question)),
                Turn(
                    role="assistant", parts=(figure.reasoning * (index + 1) if index % 2 else "9",)
                ),
            )
            example = Example(id=str(index), turns=turns)
            made.append(render(example, processor(family), budget))
        return made

    return make


@pytest.fixture
def model(tiny_dir):
    """`model(family, **options)`: a tiny model, loaded afresh in fp32."""

    def load(family, **options):
        return AutoModelForImageTextToText.from_pretrained(
            tiny_dir(family), dtype="float32", **options
        )

    return load


def packs_of(examples):
    return [examples[:1], examples[1:4], examples[4:]]


def gradient(model, batch, objective):
    """Loss sum of a batch, and its gradient by parameter."""
    model.zero_grad()
    answers = forward_answers(model, model.lm_head, batch, TOKEN_OBJECTIVES[objective], chunk_mb=1)
    answers.loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return answers.loss.item(), grads


def difference(one, other):
    assert one.keys() == other.keys()
    top = sum(((one[n] - other[n]).double() ** 2).sum() for n in one).sqrt()
    return (top / sum((other[n].double() ** 2).sum() for n in other).sqrt()).item()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("objective", ["sft", "dft"])
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_are_the_padded_batchs(
    family, objective, attention, model, rows, processor
):
    it, examples = model(family, attn_implementation=attention), rows(family)
    padded = collate_training(examples, processor(family).tokenizer.pad_token_id)
    packed = collate_packed(packs_of(examples), packed_positions(it.config))
    assert padded["input_ids"].numel() > 1.5 * packed["input_ids"].numel()
    loss, grads = gradient(it, padded, objective)
    packed_loss, packed_grads = gradient(it, packed, objective)
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    assert difference(packed_grads, grads) < 1e-5
    assert sum("visual" in name for name in grads) > 10

    it.train()
    it.activation_checkpointing_enable()
    again_loss, again = gradient(it, packed, objective)
    assert again_loss == pytest.approx(loss, rel=1e-5)
    assert difference(again, grads) < 1e-5

    # What this would look like if examples saw each other: the text positions left out.
    leaking = {**packed, "position_ids": packed["position_ids"][1:]}
    assert difference(gradient(it, leaking, objective)[1], grads) > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_no_example_sees_another(family, model, rows):
    it, examples = model(family).eval(), rows(family)
    positions = packed_positions(it.config)
    batch = collate_packed(packs_of(examples), positions)
    starts = [0]
    for example in examples:
        starts.append(starts[-1] + len(example.ids))
    changed = slice(starts[2], starts[3])
    elsewhere = torch.ones(starts[-1], dtype=torch.bool)
    elsewhere[changed] = False

    other = {name: tensor.clone() for name, tensor in batch.items()}
    text = ~torch.tensor(examples[2].image_tokens)
    ids = other["input_ids"][0, changed]
    ids[text] = ids[text].roll(3)
    other["input_ids"][0, changed] = ids
    first = sum(len(example.images["pixel_values"]) for example in examples[:2])
    size = len(examples[2].images["pixel_values"])
    other["pixel_values"][first : first + size] *= -1
    for one in (batch, other):
        one["labels"] = one["labels"].clone()
        one["labels"][0, changed] = -100

    with torch.no_grad():
        logits, other_logits = (
            it(
                **{n: tensor for n, tensor in one.items() if n not in ("labels", "segments")},
                use_cache=False,
            ).logits[0]
            for one in (batch, other)
        )
    assert (logits[changed] - other_logits[changed]).abs().max() > 0.01
    assert (logits[elsewhere] - other_logits[elsewhere]).abs().max() < 1e-6
    loss, grads = gradient(it, batch, "dft")
    other_loss, other_grads = gradient(it, other, "dft")
    assert other_loss == pytest.approx(loss, rel=1e-6)
    assert difference(other_grads, grads) < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vision_tower_is_called_once_a_batch(family, model, rows):
    it, calls = model(family), []
    it.model.visual.register_forward_hook(lambda *_: calls.append(1))
    batch = collate_packed(packs_of(rows(family)), packed_positions(it.config))
    gradient(it, batch, "dft")
    assert len(batch["image_grid_thw"]) == 6 and calls == [1]


@pytest.mark.parametrize("family", FAMILIES)
def test_flash_attention_would_be_cut_between_the_examples(family, model, rows):
    """Its kernel needs a GPU; what transformers tells it about our batch does not."""
    it, examples = model(family), rows(family)
    batch = collate_packed(packs_of(examples), packed_positions(it.config))
    (cuts, _), (longest, _) = prepare_fa_kwargs_from_position_ids(batch["position_ids"][0])
    lengths = [len(example.ids) for example in examples]
    assert cuts.tolist() == [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    assert longest == max(lengths)
    told = []
    it.model.language_model.layers[0].self_attn.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["position_ids"]), with_kwargs=True
    )
    gradient(it, batch, "dft")
    assert torch.equal(told[0], batch["position_ids"][0])


def small_run(tiny_dir, tmp_path, family, out):
    """A configuration file of a short packed run with checkpoints and validation."""
    data = tmp_path / "figures"
    if not data.exists():
        write_figures(data, num=40, split="train", size=56, families=["basic"])
        write_figures(data, num=6, split="validation", size=56)
    path = tmp_path / f"{out}.yaml"
    path.write_text(
        f"""
model: {{name: {tiny_dir(family)}}}
data:
  train: [{data / "train.jsonl"}]
  validation: [{data / "validation.jsonl"}]
  packing: true
  max_length: 200
  max_pixels: 3136
training:
  output_dir: {tmp_path / out}
  max_steps: 8
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 2
  learning_rate: 1.0e-3
  logging_steps: 1
  eval_strategy: steps
  eval_steps: 4
  save_steps: 5
  save_total_limit: 20
  dataloader_num_workers: 1
  use_cpu: true
"""
    )
    return path


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_run_trains_and_resumes_bit_identically(family, tiny_dir, tmp_path, capsys):
    """In one go against from a checkpoint in the middle of its second epoch."""
    train(load_config(small_run(tiny_dir, tmp_path, family, "whole")))
    said = capsys.readouterr().err
    assert "dft on 40 examples" in said
    assert re.search(r"packed into \d+ rows of at most 200 tokens", said)
    half = load_config(small_run(tiny_dir, tmp_path, family, "half"))
    claim_run_folder(tmp_path / "half", half)
    shutil.copytree(tmp_path / "whole/checkpoint-5", tmp_path / "half/checkpoint-5")
    result = train(half)

    state = read_json(tmp_path / "whole/checkpoint-5/trainer_state.json")
    assert 1 < state["epoch"] != int(state["epoch"])
    logs = [
        {row["step"]: row["loss"] for _, row in read_jsonl(path) if "loss" in row}
        for path in (tmp_path / "whole/metrics.jsonl", tmp_path / "half/metrics.jsonl")
    ]
    assert list(logs[0]) == list(range(1, 9)) and logs[0] == logs[1]
    one, other = (
        load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "half")
    )
    assert one and all(torch.equal(one[name], other[name]) for name in one)
    assert all(row["padding"] == 0 for row in result.history if "loss" in row)
    assert [row["step"] for row in result.history if "eval_loss" in row] == [4, 8]


def test_a_family_without_a_packed_form_is_refused_by_name(tiny_dir, tmp_path, monkeypatch):
    """What a model of a family that is new to us would meet."""
    monkeypatch.setattr("mmdft.data.packing.PACKED_FAMILIES", ("qwen2_vl", "qwen3_vl"))
    config = load_config(small_run(tiny_dir, tmp_path, "qwen2_5_vl", "run"))
    with pytest.raises(ModelError, match=r"data\.packing: not available for qwen2_5_vl"):
        train(config)
