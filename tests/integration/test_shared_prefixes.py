"""Examples that share a prefix against the same ones alone, on tiny models of the real families."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText

from mmdft import load_config, train
from mmdft.config import DataConfig, SourceConfig
from mmdft.data.collate import collate_training
from mmdft.data.dataset import RenderedDataset, load_examples
from mmdft.data.figures import draw
from mmdft.data.packing import PackedDataset, collate_packed, packed_positions
from mmdft.data.prefixes import chains_of
from mmdft.data.vision import pixel_budget
from mmdft.errors import ModelError
from mmdft.files import read_json, read_jsonl, write_jsonl
from mmdft.head import answer_logp, forward_answers
from mmdft.objectives import (
    SEQUENCE_OBJECTIVES,
    TOKEN_OBJECTIVES,
    BatchStatistics,
    sft,
)
from mmdft.provenance import claim_run_folder
from mmdft.records import Rendered
from mmdft.reference import reference_projection

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory):
    """Three images; two questions of the first, of three and two answers; a question in words."""
    folder = tmp_path_factory.mktemp("rows")
    asked = []
    for index, (questions, answers) in enumerate([(2, 3), (1, 4), (1, 1)]):
        figure = draw("bar_sum", seed=1, index=index, size=112)
        figure.image.save(folder / f"{index}.png")
        shown = {"images": [f"{index}.png"]}
        asked += [
            {**shown, "question": question, "response": f"{figure.reasoning} {answer}. " * answer}
            for question in (figure.question, "Which bar is the lowest?")[:questions]
            for answer in range(1, answers + 1)
        ]
    asked += [{"question": "3 + 4?", "response": word} for word in ("7", "It is seven.")]
    # So that what belongs together is not together already.
    rows = [{"id": f"r{n}", "answer": "7", **asked[n * 5 % 13]} for n in range(13)]
    write_jsonl(folder / "rows.jsonl", rows)
    return folder / "rows.jsonl"


@pytest.fixture(scope="module")
def case(rows_file, processor):
    """By family: the examples alone in their packs' order, and their packs, of several in a row."""

    def make(family, capacity=600):
        tools = processor(family)
        budget = pixel_budget(tools, 3136, 112 * 112)
        loaded = load_examples([SourceConfig(path=rows_file)], DataConfig(), tools, budget)
        rows = RenderedDataset(loaded.rows, tools, budget)
        chains = chains_of(loaded.rows, capacity)
        assert sorted(map(len, chains)) == [1, 2, 4, 6]
        packed = PackedDataset(rows, loaded.lengths, capacity, 0, chains)
        packs = [packed[index] for index in range(len(packed))]
        return [rows[index] for pack in packed.packs for index in pack], packs

    return make


@pytest.fixture
def model(tiny_dir):
    """`model(family, **options)`: a tiny model, loaded afresh in fp32."""

    def load(family, **options):
        return AutoModelForImageTextToText.from_pretrained(
            tiny_dir(family), dtype="float32", **options
        )

    return load


def gradient(model, batch, objective=TOKEN_OBJECTIVES["dft"], **options):
    """Loss sum and statistics of a batch, and its gradient by parameter."""
    model.zero_grad()
    found = forward_answers(model, model.lm_head, batch, objective, chunk_mb=1, **options)
    found.loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return found.loss.item(), found.sums, grads


def difference(one, other):
    assert one.keys() == other.keys()
    top = sum(((one[n] - other[n]).double() ** 2).sum() for n in one).sqrt()
    return (top / sum((other[n].double() ** 2).sum() for n in other).sqrt()).item()


def assert_same(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert torch.allclose(one[1], other[1], rtol=1e-5)
    assert difference(one[2], other[2]) < 1e-5


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradient_are_the_padded_batchs(family, attention, model, case):
    it = model(family, attn_implementation=attention)
    examples, packs = case(family)
    assert len(packs) > 1 and any(sum(not each.shared for each in pack) > 1 for pack in packs)
    padded, positions = collate_training(examples, pad_id=0), packed_positions(it.config)
    shared = collate_packed(packs, positions)
    wanted = gradient(it, padded)
    assert_same(gradient(it, shared), wanted)
    assert sum("visual" in name for name in wanted[2]) > 10
    # Each image is there once a pack, where it is in several.
    images = sum(1 for each in examples if each.images)
    assert len(padded["image_grid_thw"]) == images == 11 > len(shared["image_grid_thw"]) >= 3

    it.train()
    it.activation_checkpointing_enable()
    assert_same(gradient(it, shared), wanted)

    # What this would look like if branches saw each other, or none saw the prefix.
    size = shared["input_ids"].shape[1]
    for until in (torch.full((1, size), size), None):
        other = {**shared, "seen_until": until}
        if until is None:
            del other["seen_until"]
        assert difference(gradient(it, other)[2], wanted[2]) > 1e-3


@pytest.mark.parametrize("name", [*SEQUENCE_OBJECTIVES, "asft"])
def test_each_branch_is_its_own_example_to_every_objective(name, model, case):
    """Weights of the reply, of the step, with a reference, and of segments."""
    it = model("qwen2_5_vl")
    examples, packs = case("qwen2_5_vl")
    generator = torch.Generator().manual_seed(3)
    stored = {
        each.id: tuple((-3 * torch.rand(sum(each.mask), generator=generator)).tolist())
        for each in examples
    }
    examples, *packs = (
        [replace(each, reference_logp=stored[each.id]) for each in some]
        for some in (examples, *packs)
    )
    batches = (
        collate_training(examples, pad_id=0),
        collate_packed(packs, packed_positions(it.config)),
    )
    before = copy.deepcopy(it)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in it.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    nan = float("nan")
    table = torch.tensor([[nan, 1.0], [nan, 2.0], [0.5, 1.0], [1.0, 1.0]])
    found = []
    for batch in batches:
        options = {"segments": table}
        if name in SEQUENCE_OBJECTIVES:
            options["sequence"] = SEQUENCE_OBJECTIVES[name]
            options["statistics"] = BatchStatistics(8.0, 0.5)
        else:
            options["reference"] = reference_projection(before, batch)
        found.append(gradient(it, batch, TOKEN_OBJECTIVES.get(name, sft), **options))
    assert_same(found[1], found[0])
    numbers = [answer_logp(it, it.lm_head, batch, 1).example for batch in batches]
    assert torch.equal(*numbers) and numbers[0].unique().tolist() == list(range(13))


PACKS = st.lists(
    st.lists(
        st.tuples(st.integers(2, 30), st.lists(st.integers(1, 12), min_size=1, max_size=5)),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=2,
)


@settings(max_examples=15)
@given(PACKS, st.booleans(), st.integers(0, 100))
def test_any_number_of_branches_of_any_length(model, packs, has_image, seed):
    """Groups of a random prompt with random answers, two packs of up to three."""
    it = model("qwen2_5_vl")
    generator = torch.Generator().manual_seed(seed)

    def draw_ids(num):
        return tuple(torch.randint(0, 200, (num,), generator=generator).tolist())

    made = []
    for pack in packs:
        made.append([])
        for length, answers in pack:
            # one image of 2 x 3 visual tokens, where there is room for it
            image = (it.config.image_token_id,) * (6 if has_image else 0)
            pixels = torch.randn(24, 1176, generator=generator)
            grid = torch.tensor([[1, 4, 6]])
            prompt = (*draw_ids(1), *image, *draw_ids(length))
            for number, num in enumerate(answers):
                made[-1].append(
                    Rendered(
                        id="x",
                        ids=prompt + draw_ids(num),
                        mask=(False,) * len(prompt) + (True,) * num,
                        segments=(0,) * (len(prompt) + num),
                        image_tokens=tuple(
                            0 < place <= len(image) for place in range(len(prompt) + num)
                        ),
                        images={"pixel_values": pixels, "image_grid_thw": grid} if image else {},
                        shared=len(prompt) - 1 if number else 0,
                    )
                )
    wanted = gradient(it, collate_training([each for pack in made for each in pack], pad_id=0))
    assert_same(gradient(it, collate_packed(made, packed_positions(it.config))), wanted)


def test_four_answers_cost_two_fifths_of_four_examples(model):
    """A prefix of 1,000 tokens and four answers of 100: the work of a step, counted.

    Against the same four padded, without a padded position among them, each in a row of its own;
    with eager attention, whose products are all counted.
    """
    it = model("qwen2_5_vl", attn_implementation="eager")
    # All layers of a part are alike.
    it.model.language_model.layers = it.model.language_model.layers[:1]
    it.model.visual.blocks = it.model.visual.blocks[:1]
    generator = torch.Generator().manual_seed(0)
    image = (it.config.image_token_id,) * 600
    prompt = (1, *image, *torch.randint(0, 200, (399,), generator=generator).tolist())
    images = {
        "pixel_values": torch.randn(2400, 1176, generator=generator),
        "image_grid_thw": torch.tensor([[1, 40, 60]]),
    }
    answers = torch.randint(0, 200, (4, 100), generator=generator).tolist()
    examples = [
        Rendered(
            id=str(number),
            ids=(*prompt, *answer),
            mask=(False,) * 1000 + (True,) * 100,
            segments=(0,) * 1100,
            image_tokens=tuple(0 < place <= 600 for place in range(1100)),
            images=images,
            shared=999 if number else 0,
        )
        for number, answer in enumerate(answers)
    ]
    work = []
    for batch in (
        collate_training([replace(each, shared=0) for each in examples], pad_id=0),
        collate_packed([examples], packed_positions(it.config)),
    ):
        with FlopCounterMode(display=False) as counter:
            gradient(it, batch)
        work.append(counter.get_total_flops())
    assert work[0] > 2.5 * work[1]


def write_run(path, tiny_dir, rows_file, family, **changes):
    """A short run of packed rows, all of them in each step unless changed."""
    settings = {
        "model.name": tiny_dir(family),
        "model.dtype": "float32",
        "data.packing": "true",
        "data.max_length": 600,
        "data.min_pixels": 3136,
        "data.max_pixels": 12544,
        "data.probe_examples": 0,
        "training.max_steps": 3,
        "training.per_device_train_batch_size": 20,
        "training.optim": "sgd",
        "training.learning_rate": 5.0,
        "training.lr_scheduler_type": "constant",
        "training.max_grad_norm": 0,
        "training.logging_steps": 1,
        "training.use_cpu": "true",
        **changes,
    }
    path.with_suffix(".yaml").write_text(
        f"data: {{train: [{rows_file}]}}\ntraining: {{output_dir: {path}}}\n"
    )
    return load_config(
        path.with_suffix(".yaml"), [f"{name}={value}" for name, value in settings.items()]
    )


def logged(run, *names):
    rows = [row for _, row in read_jsonl(run / "metrics.jsonl") if "loss" in row]
    return [[row[name] for name in names] for row in rows]


@pytest.mark.parametrize(
    ("family", "objective"),
    [
        ("qwen2_5_vl", "dft"),
        ("qwen3_vl", "cadft"),
        ("qwen2_vl", "iw_sft"),
    ],
)
def test_training_is_the_unshared_one(family, objective, tiny_dir, rows_file, tmp_path, capsys):
    """Three steps over all examples: the same weights, losses and counts."""
    change = {"objective.name": objective}
    if objective == "iw_sft":
        change["objective.segments"] = "{end_of_turn: {weight: 1}, answer: {multiplier: 2}}"
        change["training.learning_rate"] = 0.05
    for name, share in (("shared", "auto"), ("alone", "false")):
        config = write_run(
            tmp_path / name, tiny_dir, rows_file, family, **change, **{"data.share_prefix": share}
        )
        result = train(config)
        assert result.summary["examples"] == 13
        assert ("shared prefixes save" in capsys.readouterr().err) == (name == "shared")
    before = load_file(tiny_dir(family) / "model.safetensors")
    one, other = (
        load_file(tmp_path / name / "model/model.safetensors") for name in ("shared", "alone")
    )
    moved = sum((before[n] - other[n]).double().square().sum() for n in other).sqrt()
    apart = sum((one[n] - other[n]).double().square().sum() for n in other).sqrt()
    assert moved > 1e-3 and apart < 1e-5 * moved
    names = ("loss", "nll", "mean_p", "answer_tokens", "grad_norm", "effective_tokens")
    shared, alone = (logged(tmp_path / name, *names) for name in ("shared", "alone"))
    assert len(shared) == 3
    for one_step, other_step in zip(shared, alone, strict=True):
        assert one_step == pytest.approx(other_step, rel=1e-5)


def test_a_shared_run_that_goes_on_ends_in_the_same_bits(tiny_dir, rows_file, tmp_path):
    """From a checkpoint in the middle of its second epoch, with Adam and accumulation."""
    change = {
        "data.share_prefix": "true",
        "data.max_length": 300,
        "training.max_steps": 6,
        "training.save_steps": 4,
        "training.per_device_train_batch_size": 1,
        "training.gradient_accumulation_steps": 2,
        "training.optim": "adamw_torch",
        "training.learning_rate": 1e-3,
        "training.dataloader_num_workers": 1,
    }
    for name in ("whole", "half"):
        config = write_run(tmp_path / name, tiny_dir, rows_file, "qwen2_5_vl", **change)
        if name == "half":
            claim_run_folder(tmp_path / "half", config)
            shutil.copytree(tmp_path / "whole/checkpoint-4", tmp_path / "half/checkpoint-4")
        train(config)
    state = read_json(tmp_path / "whole/checkpoint-4/trainer_state.json")
    assert 1 < state["epoch"] != int(state["epoch"])
    one, other = (
        load_file(tmp_path / name / "model/model.safetensors") for name in ("whole", "half")
    )
    assert one and all(torch.equal(one[name], other[name]) for name in one)
    assert logged(tmp_path / "whole", "step", "loss") == logged(tmp_path / "half", "step", "loss")


def test_where_it_cannot_be_it_is_refused(tiny_dir, rows_file, tmp_path, monkeypatch):
    config = write_run(
        tmp_path / "run", tiny_dir, rows_file, "qwen2_5_vl", **{"data.share_prefix": "true"}
    )
    # As with FlashAttention, which needs a GPU.
    monkeypatch.setattr("mmdft.data.prefixes.SHARED_ATTENTION", ("eager",))
    with pytest.raises(ModelError, match=r"^data\.share_prefix: not available with attention sdpa"):
        train(config)
    assert not (tmp_path / "run").exists()
