"""Two ranks, started by accelerate with the shipped files, against one process: DDP and FSDP2.

All train on the same examples, the whole of them in each optimizer step, so that the weights after
two steps are the same but for rounding: however the examples are divided, padded or packed, and
with gradient checkpointing or without.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from mmdft import load_config, train
from mmdft.data.figures import draw
from mmdft.files import read_json, read_jsonl, write_jsonl
from mmdft.provenance import claim_run_folder

ROOT = Path(__file__).parents[2]
FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]
# What differs between two runs of one family, beside the number of ranks.
FORMS = {
    "padded": {},
    "packed": {"data.packing": True, "data.max_length": 700},
    "checkpointed": {"training.gradient_checkpointing": True},
    # half of the rows without an image, so that some batches have none: the vision tower must run
    "mixed": {"training.gradient_checkpointing": True},
    # clipped in every step, which needs the norm of the whole gradient
    "adapter": {"model.lora": {"r": 4}, "training.max_grad_norm": 1e-3},
}
OBJECTIVES = {"qwen2_vl": "sft", "qwen2_5_vl": "dft", "qwen3_vl": "dft"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Eight examples with images and answers of 3 to 300 tokens."""
    folder = tmp_path_factory.mktemp("rows")
    made = []
    for index in range(8):
        figure = draw("bar_sum", seed=1, index=index, size=112 if index % 2 else 168)
        figure.image.save(folder / f"{index}.png")
        reply = figure.reasoning * (6 if index == 3 else 1) if index % 2 else "9"
        row = {
            "id": str(index),
            "images": [f"{index}.png"],
            "question": figure.question,
            "answer": "9",
        }
        made.append({**row, "response": reply})
    write_jsonl(folder / "rows.jsonl", made)
    for row in made[::2]:
        del row["images"]
    write_jsonl(folder / "mixed.jsonl", made)
    return folder / "rows.jsonl"


def learning_rate(family):
    """Enough for the weights to move far beyond their rounding; SFT's gradient is large."""
    return 0.05 if OBJECTIVES[family] == "sft" else 5.0


def write_config(path, tiny_dir, rows, family, out, ranks, form, changes=None):
    """A run of two optimizer steps of plain SGD over all rows, in each of them."""
    if form == "mixed":
        rows = rows.with_name("mixed.jsonl")
    settings = {
        "model": {"name": str(tiny_dir(family)), "dtype": "float32"},
        "data": {"train": [str(rows)], "validation": [str(rows)], "probe_examples": 0},
        "objective": {"name": OBJECTIVES[family]},
        "training": {
            "output_dir": str(out),
            "optim": "sgd",
            "learning_rate": learning_rate(family),
            "lr_scheduler_type": "constant",
            "max_grad_norm": 0,
            "max_steps": 2,
            "per_device_train_batch_size": 4 // ranks,
            "gradient_accumulation_steps": 2,
            "logging_steps": 1,
            "eval_strategy": "steps",
            "eval_steps": 1,
            "per_device_eval_batch_size": 3,
            "use_cpu": True,
        },
    }
    for key, value in {**FORMS[form], **(changes or {})}.items():
        section, name = key.split(".")
        settings[section][name] = value
    path.write_text(yaml.safe_dump(settings))
    return path


def launch(file, *configs, **variables):
    """Two processes on the CPU, started as users start theirs."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--config_file", str(ROOT / "configs/accelerate" / file), "--num_processes", "2"),
            *("--main_process_port", "0"),
            str(Path(__file__).with_name("ranks.py")),
            *map(str, configs),
        ],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", **variables},
    )
    assert done.returncode == 0, done.stderr[-12000:]
    return done


@pytest.fixture(scope="module")
def runs(tiny_dir, rows, tmp_path_factory):
    """Run folders by (kind, family, form)."""
    folder = tmp_path_factory.mktemp("runs")
    found = {}
    for kind in ("alone", "ddp", "fsdp2"):
        configs = []
        for family in FAMILIES:
            for form in FORMS:
                name = f"{kind}-{family}-{form}"
                found[kind, family, form] = folder / name
                changes = {"training.use_cpu": False} if kind == "fsdp2" else {}
                if form == "mixed":
                    changes["training.per_device_train_batch_size"] = 4 if kind == "alone" else 1
                    changes["training.gradient_accumulation_steps"] = 2 if kind == "alone" else 4
                if form == "packed":
                    # four packs: one batch of all, or two for each rank
                    size = 2 if kind == "alone" else 1
                    changes["training.per_device_train_batch_size"] = size
                configs.append(
                    write_config(
                        folder / f"{name}.yaml",
                        tiny_dir,
                        rows,
                        family,
                        folder / name,
                        1 if kind == "alone" else 2,
                        form,
                        changes,
                    )
                )
        if kind == "alone":
            for config in configs:
                train(load_config(config))
        else:
            variables = {"ACCELERATE_TORCH_DEVICE": "cpu"} if kind == "fsdp2" else {}
            launch(f"{kind}.yaml", *configs, **variables)
    return found


def steps(run, name):
    return [row[name] for _, row in read_jsonl(run / "metrics.jsonl") if name in row]


def apart(one, other):
    return sum((one[n] - other[n]).double().square().sum() for n in one).sqrt()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["alone", "ddp", "fsdp2"])
def test_the_weights_after_two_steps_are_the_same(runs, tiny_dir, kind, family, form):
    reference = runs["alone", family, form if form in ("adapter", "mixed") else "padded"]
    run = runs[kind, family, form]
    if form == "adapter":
        file = "model/adapter_model.safetensors"
        want, got = load_file(reference / file), load_file(run / file)
        # What is trained from zero, and so is all movement.
        before = {n: torch.zeros_like(t) for n, t in want.items() if "lora_B" in n}
        assert before and set(steps(run, "clipped")) == {1.0}
    else:
        before = load_file(tiny_dir(family) / "model.safetensors")
        want, got = (load_file(r / "model/model.safetensors") for r in (reference, run))
    assert got.keys() == want.keys()
    moved = apart(before, want)
    # two clipped steps of 1e-3, at the least
    assert moved > 1.9e-3 * learning_rate(family) and apart(want, got) < 1e-5 * moved
    assert read_json(run / "provenance.json")["processes"] == (1 if kind == "alone" else 2)
    for name in ("loss", "nll", "mean_p", "answer_tokens", "eval_loss", "eval_nll", "grad_norm"):
        assert steps(run, name) == pytest.approx(steps(reference, name), rel=1e-5), name
    # Held-out examples are each counted once, though eight do not divide among two ranks by three.
    assert set(steps(run, "eval_answer_tokens")) == set(steps(reference, "answer_tokens"))


def test_two_ranks_take_the_unshared_steps_with_shared_prefixes(tiny_dir, rows, tmp_path):
    """Four images with two answers each, a pack for each: two ranks of DDP against one, padded."""
    made = [row for _, row in read_jsonl(rows)]
    asked = [{**made[n], "response": word} for n in range(4) for word in ("9 " * 60, "7 " * 50)]
    write_jsonl(rows.with_name("asked.jsonl"), asked)
    shared = {"data.share_prefix": True, "training.per_device_train_batch_size": 1}
    configs = {
        "alone": ("padded", 1, {}),
        "ranks": ("packed", 2, {**shared, "data.max_length": 300}),
    }
    for name, (form, ranks, changes) in configs.items():
        path = write_config(
            tmp_path / f"{name}.yaml",
            *(tiny_dir, rows.with_name("asked.jsonl"), "qwen2_5_vl", tmp_path / name),
            *(ranks, form, changes),
        )
        if ranks == 1:
            train(load_config(path))
        else:
            told = launch("ddp.yaml", path).stderr
            assert "packed into 4 rows" in told and "shared prefixes save" in told
    before = load_file(tiny_dir("qwen2_5_vl") / "model.safetensors")
    want, got = (load_file(tmp_path / n / "model/model.safetensors") for n in configs)
    assert apart(want, got) < 1e-5 * apart(before, want)
    for name in ("loss", "nll", "mean_p", "answer_tokens", "grad_norm"):
        found = [steps(tmp_path / run, name) for run in configs]
        assert len(found[0]) == 2 and found[0] == pytest.approx(found[1], rel=1e-5), name


@pytest.mark.slow
def test_ranks_share_the_features_of_a_frozen_tower(tiny_dir, rows, tmp_path):
    """DDP, with batches that all have images, and with some that have none; FSDP2 is refused."""
    configs, frozen = {}, {"model.freeze": ["vision", "projector"]}
    for form in ("padded", "mixed"):
        for kind in ("plain", "cached", "sharded"):
            name = f"{form}-{kind}"
            changes = {**frozen, "training.use_cpu": kind != "sharded"}
            if kind != "plain":
                changes["data.cache_vision"] = str(tmp_path / f"{form}-c")
            given = tiny_dir, rows, "qwen3_vl", tmp_path / name, 2, form, changes
            configs[form, kind] = write_config(tmp_path / f"{name}.yaml", *given)
    launch("ddp.yaml", *(config for (_, kind), config in configs.items() if kind != "sharded"))
    before = load_file(tiny_dir("qwen3_vl") / "model.safetensors")
    for form, num in (("padded", 8), ("mixed", 4)):
        plain, cached = (
            load_file(tmp_path / f"{form}-{kind}" / "model/model.safetensors")
            for kind in ("plain", "cached")
        )
        # Without features to be had, a batch without images is given one.
        bound = 0 if form == "padded" else 1e-5 * apart(before, plain)
        assert apart(plain, cached) <= bound
        assert len(list((tmp_path / f"{form}-c").glob("*/features/*/*"))) == num
    with pytest.raises(AssertionError, match=r"data\.cache_vision: ranks that divide a model"):
        launch("fsdp2.yaml", configs["padded", "sharded"], ACCELERATE_TORCH_DEVICE="cpu")


@pytest.mark.slow
def test_sharded_runs_resume_and_every_checkpoint_can_be_loaded(tiny_dir, rows, tmp_path):
    """FSDP2 with Adam: whole, and from the checkpoint in the middle, end in the same bits."""
    changes = {
        "training.use_cpu": False,
        "training.optim": "adamw_torch",
        "training.learning_rate": 1e-3,
        "training.max_steps": 4,
        "training.save_steps": 2,
        "objective.name": "asft",
    }
    names = ("whole", "halves")
    configs = [
        write_config(
            tmp_path / f"{name}.yaml",
            tiny_dir,
            rows,
            "qwen2_5_vl",
            tmp_path / name,
            2,
            "padded",
            changes,
        )
        for name in names
    ]
    launch("fsdp2.yaml", configs[0], ACCELERATE_TORCH_DEVICE="cpu")
    claim_run_folder(tmp_path / "halves", load_config(configs[1]))
    middle = tmp_path / "whole/checkpoint-2"
    shutil.copytree(middle, tmp_path / "halves/checkpoint-2")
    launch("fsdp2.yaml", configs[1], ACCELERATE_TORCH_DEVICE="cpu")
    whole, halves = (load_file(tmp_path / n / "model/model.safetensors") for n in names)
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert steps(tmp_path / "halves", "loss") == steps(tmp_path / "whole", "loss")
    # The reference of a sharded run is that of one process.
    alone = {**changes, "training.use_cpu": True, "training.max_steps": 4}
    config = write_config(
        *(tmp_path / "alone.yaml", tiny_dir, rows, "qwen2_5_vl", tmp_path / "alone", 1, "padded"),
        alone,
    )
    train(load_config(config))
    for name in ("divergence", "loss", "nll"):
        found = [steps(tmp_path / run, name) for run in ("whole", "alone")]
        # Nothing in the first step, where the model is its reference; Adam enlarges rounding later.
        assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-6), name
    assert steps(tmp_path / "whole", "divergence")[-1] > 1e-2
    model = AutoModelForImageTextToText.from_pretrained(middle, dtype="float32")
    assert model.lm_head.weight is model.get_input_embeddings().weight
    half = load_file(middle / "model.safetensors")
    assert half.keys() == whole.keys()
    assert any(not torch.equal(half[name], whole[name]) for name in half)
