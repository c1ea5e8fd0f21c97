"""Scores of a model in training: they change nothing in it, and are those of `mmdft eval`."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainerCallback

from mmdft import evaluate, load_config, train
from mmdft.comparison.runs import read_runs
from mmdft.comparison.settings import differences
from mmdft.data.figures import draw
from mmdft.errors import ConfigError, DataError
from mmdft.files import read_json, read_jsonl, write_jsonl
from mmdft.records import Example, ImageRef, Request, Turn
from mmdft.scored_training import asked_in_training, equal_shares

ROOT = Path(__file__).parents[2]
ACCURACY, ERROR = "eval_small_accuracy", "eval_small_standard_error"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight rows that can be learned by heart, and seven items, two of them without an image."""
    made = tmp_path_factory.mktemp("scored")
    rows, items = [], []
    for index in range(8):
        figure = draw("bar_sum", seed=1, index=index, size=56)
        figure.image.save(made / f"{index}.png")
        row = {"id": f"{index}", "images": [f"{index}.png"], "question": figure.question}
        rows.append({**row, "response": f"The answer is {'79'[index % 2]}.", "answer": "9"})
        items.append({**row, "answer": "79"[index % 2] if index else "8"})
    for index in (2, 5):
        del items[index]["images"]
    write_jsonl(made / "rows.jsonl", rows)
    write_jsonl(made / "items.jsonl", items[:7])
    return made


def config(folder, out, base, **sections):
    """A run that learns the rows in a few steps."""
    settings = {
        "model": {"name": str(base), "dtype": "float32"},
        "data": {
            "train": [str(folder / "rows.jsonl")],
            "validation": [str(folder / "rows.jsonl")],
            "max_pixels": 3136,
            "probe_examples": 0,
        },
        "objective": {"name": "sft"},
        "training": {
            "output_dir": str(folder / out),
            "max_steps": 14,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 1,
            "learning_rate": 3e-3,
            "warmup_steps": 0,
            "lr_scheduler_type": "constant",
            "logging_steps": 1,
            "save_steps": 2,
            "save_total_limit": None,
            "use_cpu": True,
        },
        "evaluation": {
            "benchmarks": [
                {"name": "jsonl", "path": str(folder / "items.jsonl"), "label": "small"}
            ],
            "max_new_tokens": 10,
            "batch_size": 3,
            "every_steps": 4,
        },
    }
    for section, values in sections.items():
        settings[section].update(values)
    path = folder / f"{out}.yaml"
    path.write_text(json.dumps(settings))
    return load_config(path)


@pytest.fixture(scope="module")
def learned(folder, tiny_dir):
    """A run that has been scored three times, whole and uninterrupted."""
    # The whole epoch is a step; the last one is no multiple of 5.
    scored = config(folder, "learned", tiny_dir("qwen2_5_vl"), evaluation={"every_steps": 5})
    return train(scored).run_dir


def logged(run, name=ACCURACY):
    """By step: what was logged, once."""
    rows = [row for _, row in read_jsonl(run / "metrics.jsonl") if name in row]
    found = {row["step"]: row[name] for row in rows}
    assert len(found) == len(rows)
    return found


def weights(run):
    [file] = (run / "model").glob("*.safetensors")
    return load_file(file)


def identical(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Watches(TrainerCallback):
    """Compares what a training depends on before and after the scoring, and takes its time."""

    def __init__(self):
        self.seconds, self.steps = 0.0, []

    def state_of(self, model):
        return (
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
            [module.training for module in model.modules()],
            [repr(vars(module).get("generation_config")) for module in model.modules()],
        )

    def on_optimizer_step(self, args, state, control, model=None, **kwargs):
        if state.global_step == 1:
            # A module that was put into another mode than its model stays in it.
            next(model.children()).eval()
        self.before, self.start = self.state_of(model), time.monotonic()

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.seconds += time.monotonic() - self.start
        assert self.state_of(model) == self.before
        self.steps.append(state.global_step)
        if state.global_step == 2:
            # All that is drawn from is in use, and another one would show.
            random.random(), np.random.rand(), torch.rand(1)


def test_a_training_is_not_changed(folder, tiny_dir):
    """Dropout, checkpointed activations; two samples of each item."""
    model = {"lora": {"r": 4, "dropout": 0.3}}
    training = {
        "gradient_checkpointing": True,
        "include_num_input_tokens_seen": "non_padding",
        "max_steps": 4,
        "save_steps": 4,
    }
    sampled = {"num_samples": 2, "temperature": 1.0, "every_steps": 1}
    runs = {}
    for name, every in (("scored", 1), ("plain", None)):
        watches, begun = Watches(), time.monotonic()
        settings = config(
            *(folder, name, tiny_dir("qwen2_5_vl")),
            model=model,
            training=training,
            evaluation={**sampled, "every_steps": every},
        )
        runs[name] = train(settings, [watches]).run_dir
        took = time.monotonic() - begun
        assert watches.steps == [1, 2, 3, 4]
        assert list(logged(runs[name])) == (watches.steps if every else [])
        lines = [row for _, row in read_jsonl(runs[name] / "metrics.jsonl") if "loss" in row]
        tokens = [row["num_input_tokens_seen"] for row in lines]
        speeds = list(logged(runs[name], "tokens_per_second").values())
        counted = sum(np.diff([0, *tokens]) / speeds)
        # The time that was taken for scoring is not in the speed.
        assert 0 < counted < took - watches.seconds
        if every:
            assert watches.seconds > 0.5 * counted
    assert identical(weights(runs["scored"]), weights(runs["plain"]))
    for name in ("loss", "grad_norm", "nll", "entropy"):
        one, other = (logged(run, name) for run in runs.values())
        assert one == other and len(one) == 4
    for name in ("optimizer.pt", "rng_state.pth"):
        one, other = (
            torch.load(run / "checkpoint-4" / name, weights_only=False) for run in runs.values()
        )
        assert repr(one) == repr(other)


def test_what_is_logged_is_what_mmdft_eval_finds(folder, learned):
    """At a step that is due and after the last; of the checkpoint that was saved there."""
    assert list(logged(learned)) == [5, 10, 14]
    for step in (10, 14):
        evaluated = evaluate(
            config(
                *(folder, f"eval-{step}", learned / f"checkpoint-{step}"),
                evaluation={"every_steps": None, "output_dir": str(folder / f"eval-{step}")},
            )
        )
        found = evaluated.summary["small"]
        assert logged(learned)[step] == found["accuracy"]
        assert logged(learned, ERROR)[step] == found["standard_error"]
        assert logged(learned, "eval_small_no_answer")[step] * 7 == found["no_answer"]
        answers = [
            [(row["id"], row["response"], row["num_tokens"]) for _, row in read_jsonl(path)]
            for path in (
                evaluated.run_dir / "small/predictions.jsonl",
                learned / f"evaluations/step-{step}/small/predictions.jsonl",
            )
        ]
        assert answers[0] == answers[1] and len(answers[0]) == 7
    scores = list(logged(learned).values())
    assert len(set(scores)) > 1 and min(scores) > 0
    assert read_json(learned / "summary.json")[ACCURACY] == scores[-1]


def test_two_steps_can_be_compared(learned):
    runs = read_runs([learned / f"evaluations/step-{step}" for step in (5, 14)])
    assert differences(runs, runs[0]) == []
    assert [len(run.benchmarks["small"].items) for run in runs] == [7, 7]
    assert list(runs[0].benchmarks["small"].verdicts) == ["strict"]


def launch(kind, *paths):
    """Two processes on the CPU, started as users start theirs."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--config_file", str(ROOT / f"configs/accelerate/{kind}.yaml")),
            *("--num_processes", "2", "--main_process_port", "0"),
            *(str(Path(__file__).with_name("ranks.py")), *map(str, paths)),
        ],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_TORCH_DEVICE": "cpu"},
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(folder, learned):
    """One process, from the learned weights: all of them trained, or an adapter."""
    return {
        form: train(ranks_config(folder, learned, "alone", form)).run_dir
        for form in ("whole", "adapter")
    }


def ranks_config(folder, learned, kind, form):
    return config(
        *(folder, f"{kind}-{form}", learned / "model"),
        model={} if form == "whole" else {"lora": {"r": 4}},
        training={
            "max_steps": 2,
            "learning_rate": 1e-3,
            "per_device_train_batch_size": 8 if kind == "alone" else 4,
            "per_device_eval_batch_size": 2,
            "use_cpu": kind != "fsdp2",
            # Ranks choose it together.
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "load_best_model_at_end": True,
            "metric_for_best_model": ACCURACY,
        },
        evaluation={"every_steps": 2, "batch_size": "auto"},
    )


@pytest.mark.parametrize("kind", ["ddp", pytest.param("fsdp2", marks=pytest.mark.slow)])
def test_ranks_find_what_one_process_finds(kind, folder, learned, alone):
    """The seven items do not divide by two, nor do the five with an image."""
    for form in alone:
        ranks_config(folder, learned, kind, form)
    launch(kind, *(folder / f"{kind}-{form}.yaml" for form in alone))
    for form, reference in alone.items():
        run = folder / f"{kind}-{form}"
        assert read_json(run / "provenance.json")["processes"] == 2
        for name in (ACCURACY, ERROR, "eval_small_truncated"):
            assert logged(run, name) == pytest.approx(logged(reference, name), abs=1e-6)
        # Each epoch, because it chooses the best; that is the first of equals.
        assert list(logged(run)) == [1, 2] and logged(run)[2] > 0
        for step in (1, 2):
            one, other = (
                [
                    (row["id"], row["response"])
                    for _, row in read_jsonl(
                        path / f"evaluations/step-{step}/small/predictions.jsonl"
                    )
                ]
                for path in (run, reference)
            )
            assert one == other and len(one) == 7
        state = read_json(run / "checkpoint-2/trainer_state.json")
        assert state["best_metric"] == max(logged(run).values())


class Dies(TrainerCallback):
    """Ends the process's work after a step was scored and before it is saved."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 10:
            raise KeyboardInterrupt


def test_a_run_that_goes_on_scores_no_step_twice(folder, learned, tiny_dir):
    settings = config(folder, "again", tiny_dir("qwen2_5_vl"), evaluation={"every_steps": 5})
    with pytest.raises(KeyboardInterrupt):
        train(settings, [Dies()])
    run = folder / "again"
    assert list(logged(run)) == [5, 10]
    left = run / "evaluations/step-10/small/predictions.jsonl"
    left.write_text(left.read_text().replace("The answer is", "Never:"))
    train(settings)
    for name in (ACCURACY, ERROR, "loss", "eval_small_truncated"):
        assert logged(run, name) == logged(learned, name)
    assert list(logged(run)) == [5, 10, 14]
    assert identical(weights(run), weights(learned))
    # From the checkpoint of the last step, nothing is left to ask.
    shutil.rmtree(run / "evaluations")
    shutil.rmtree(run / "model")
    (run / "summary.json").unlink()
    train(settings)
    assert not (run / "evaluations").exists() and logged(run) == logged(learned)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"benchmarks": []}, "evaluation.benchmarks is empty"),
        ({"backend": {"name": "endpoint", "url": "http://127.0.0.1:9"}}, "backend is 'endpoint'"),
        ({"benchmarks": [{"name": "jsonl", "label": "token"}]}, "labelled 'token'"),
        ({"benchmarks": [{"name": "jsonl", "path": "goldless.jsonl"}]}, "no item of jsonl has a"),
        ({"benchmarks": [{"name": "jsonl", "path": "absent.jsonl"}]}, "absent.jsonl"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_model_is_loaded(changes, told, folder):
    write_jsonl(folder / "goldless.jsonl", [{"id": "a", "question": "1 + 1?"}])
    for chosen in changes.get("benchmarks", []):
        chosen["path"] = str(folder / chosen.get("path", "items.jsonl"))
    settings = config(folder, "refused", "no/such-model", evaluation=changes)
    with pytest.raises((ConfigError, DataError), match=told):
        train(settings)
    assert not (folder / "refused").exists()
    # Where no training is to be scored, it may be so.
    plain = settings.evaluation.model_copy(update={"every_steps": None})
    assert asked_in_training(settings.model_copy(update={"evaluation": plain})) == []


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 5))
def test_ranks_have_equal_shares(has_image, ranks):
    image = ImageRef(data=b"")
    asked = [
        Request(
            example=Example(
                id=str(place), turns=(Turn(role="user", parts=(image,) if seen else ("?",)),)
            )
        )
        for place, seen in enumerate(has_image)
    ]
    shares = equal_shares(asked, ranks)
    lengths = [[len(group) for group in share] for share in shares]
    assert len(shares) == ranks and all(each == lengths[0] for each in lengths)
    for groups in zip(*shares, strict=True):
        assert len({bool(each.example.images) for group in groups for each in group}) == 1
    given_out = [each for share in shares for group in share for each in group]
    assert sorted(int(each.example.id) for each in given_out if each.example.id.isdigit()) == list(
        range(len(asked))
    )
    assert math.ceil(len(asked) / ranks) <= sum(lengths[0]) <= len(asked) / ranks + 2
