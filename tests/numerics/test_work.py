"""How much is computed and allocated in a step, in closed form: a guard that needs no clock.

Formulas follow from the shapes; a product of (m, k) and (k, n) counts 2 m k n. A linear layer that
is trained makes three: forward, and the gradients of its input and of its weight.
"""

import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForImageTextToText
from work import Work

from mmdft.answer_loss import answer_loss
from mmdft.data.collate import IGNORE, collate_training
from mmdft.data.figures import draw
from mmdft.data.packing import collate_packed, packed_positions
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.head import forward_answers
from mmdft.objectives import TOKEN_OBJECTIVES
from mmdft.records import Example, ImageRef, Turn

TOKENS, HIDDEN, VOCABULARY, RANK = 37, 16, 4099, 4
CHUNK = 2**20 // (VOCABULARY * 8)  # tokens of a chunk of 1 MiB
CHUNKS = -(-TOKENS // CHUNK)


def test_counting_itself():
    left, right, bias = torch.ones(3, 5), torch.ones(7, 5), torch.ones(7)
    with Work() as work:
        made = nn.functional.linear(left, right, bias)
        made += 1
        made.t()
        made.addmm_(left, right.t())
        torch.bmm(left[None], right.t()[None])
    assert work.products == {"linear": 2 * (2 * 3 * 5 * 7), "batched": 2 * 3 * 5 * 7}
    assert work.new == {(3, 7): 4 * 3 * 7, (1, 3, 7): 4 * 3 * 7}
    assert work.new_along(7) == 2 * 4 * 3 * 7


class Headed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(HIDDEN, HIDDEN)  # peft wants a module to adapt
        self.lm_head = nn.Linear(HIDDEN, VOCABULARY, bias=False)


def head_of(kind):
    torch.manual_seed(0)
    model = Headed()
    if kind == "lora":
        settings = LoraConfig(r=RANK, target_modules=["lm_head"])
        return get_peft_model(model, settings).base_model.model.lm_head
    return model.lm_head.requires_grad_(kind == "trainable")


def work_of_head(kind, objective):
    head = head_of(kind)
    states = torch.randn(TOKENS, HIDDEN, requires_grad=True)
    targets = torch.randint(VOCABULARY, (TOKENS,))
    with Work() as work:
        answer_loss(states, targets, head, TOKEN_OBJECTIVES[objective], chunk_mb=1).loss.backward()
    assert states.grad is not None
    return work


@pytest.mark.parametrize("objective", ["sft", "dft"])
def test_products_of_the_head(objective):
    one = 2 * TOKENS * HIDDEN * VOCABULARY
    low = 2 * TOKENS * RANK * (HIDDEN + VOCABULARY)
    assert CHUNKS == 2
    assert work_of_head("trainable", objective).products == {"linear": 3 * one}
    assert work_of_head("frozen", objective).products == {"linear": 2 * one}
    # An adapter's two low-rank layers are trained, the weight below is not, and never merged.
    assert work_of_head("lora", objective).products == {"linear": 2 * one + 3 * low}


@pytest.mark.parametrize("objective", ["sft", "dft"])
@pytest.mark.parametrize("kind", ["trainable", "frozen", "lora"])
def test_memory_of_the_head(kind, objective):
    new = work_of_head(kind, objective).new
    # Logits, their softmax (which becomes their gradient), and its products with log p.
    wide = {shape: count for shape, count in new.items() if shape[-1:] == (VOCABULARY,)}
    assert max(shape[0] for shape in wide) == CHUNK
    assert sum(wide.values()) == 3 * 4 * TOKENS * VOCABULARY
    # The weight's gradient, to which each chunk adds without a copy.
    columns = {"trainable": HIDDEN, "frozen": 0, "lora": RANK}[kind]
    tall = {shape: count for shape, count in new.items() if shape[:1] == (VOCABULARY,)}
    assert sum(tall.values()) == 4 * VOCABULARY * columns


class Step:
    """The work of a batch, whole fine-tuning, and what the batch holds."""

    def __init__(self, model, batch):
        model.zero_grad()
        with Work() as self.work:
            loss = forward_answers(
                model, model.lm_head, batch, TOKEN_OBJECTIVES["dft"], chunk_mb=256
            ).loss
            loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        self.positions = batch["input_ids"].numel()
        self.answers = int((batch["labels"] != IGNORE).sum())
        self.patches = len(batch["pixel_values"])
        self.shape = batch["input_ids"].shape


@pytest.fixture(scope="module")
def steps(tiny_dir, processor, tmp_path_factory):
    """The model's configuration, and by name the steps of four examples of unequal lengths."""
    folder, tools = tmp_path_factory.mktemp("images"), processor("qwen2_5_vl")
    rows = []
    for index in range(4):
        figure = draw("bar_sum", seed=1, index=index, size=112 if index % 2 else 168)
        path = folder / f"{index}.png"
        figure.image.save(path)
        reply = figure.reasoning * (index + 1) if index % 2 else "9"
        turns = (
            Turn(role="user", parts=(ImageRef(path=path), figure.question)),
            Turn(role="assistant", parts=(reply,)),
        )
        example = Example(id=str(index), turns=turns)
        rows.append(render(example, tools, pixel_budget(tools, 3136, 112 * 112)))
    model = AutoModelForImageTextToText.from_pretrained(tiny_dir("qwen2_5_vl"), dtype="float32")
    padded = collate_training(rows, tools.tokenizer.pad_token_id)
    fewer = padded["labels"].clone()
    fewer[1] = IGNORE
    batches = {
        "padded": padded,
        "packed": collate_packed([rows], packed_positions(model.config)),
        "fewer answers": {**padded, "labels": fewer},
    }
    made = {name: Step(model.train(), batch) for name, batch in batches.items()}
    assert made["packed"].positions == sum(len(row.ids) for row in rows)
    assert made["padded"].positions > 2 * made["packed"].positions
    assert made["padded"].answers == made["packed"].answers > made["fewer answers"].answers
    return model.config, made, [len(row.ids) for row in rows]


@pytest.mark.parametrize("name", ["padded", "packed", "fewer answers"])
def test_products_of_a_step(name, steps):
    config, step = steps[0], steps[1][name]
    text, vision = config.text_config, config.vision_config
    wide = text.hidden_size
    shared = text.num_key_value_heads * (wide // text.num_attention_heads)
    language = 2 * wide * wide + 2 * wide * shared + 3 * wide * text.intermediate_size
    seen, merged = vision.hidden_size, vision.spatial_merge_size**2
    tower = 4 * seen * seen + 3 * seen * vision.intermediate_size
    merger = (merged * seen) ** 2 + merged * seen * wide
    assert step.work.products["linear"] == 3 * 2 * (
        step.positions * text.num_hidden_layers * language
        + step.patches * vision.depth * tower
        + step.patches // merged * merger
        + step.answers * wide * text.vocab_size
    )


@pytest.mark.parametrize("name", ["padded", "packed", "fewer answers"])
def test_memory_of_a_step(name, steps):
    config, step = steps[0].text_config, steps[1][name]
    ending = {
        size: {s: count for s, count in step.work.new.items() if s[-1:] == (size,)}
        for size in (config.vocab_size, config.intermediate_size)
    }
    # As of the head alone: nothing as wide as the vocabulary for any other token.
    assert sum(ending[config.vocab_size].values()) == 3 * 4 * step.answers * config.vocab_size
    # Of each layer's feed-forward: gate, activated gate, up, their product; and their gradients.
    of_positions = step.positions * config.intermediate_size
    states = [
        n for s, n in ending[config.intermediate_size].items() if math.prod(s) == of_positions
    ]
    assert sum(states) == config.num_hidden_layers * (4 + 4) * 4 * of_positions


def test_attention_of_a_step(steps):
    config, made, lengths = steps[0].text_config, steps[1], steps[2]
    heads = config.num_attention_heads * config.num_hidden_layers
    batch, width = made["padded"].shape
    assert made["padded"].work.attended[width, width] == batch * heads
    # Of a packed row each example by itself, and never the row.
    row = made["packed"].positions
    attended = made["packed"].work.attended
    assert row not in {size for pair in attended for size in pair}
    assert all(attended[size, size] == lengths.count(size) * heads for size in lengths)
