"""Trainings on mixed, split and compared data: what was trained and validated on."""

import json
from collections import Counter

import pytest
from transformers import TrainerCallback

from mmdft import load_config, train
from mmdft.data.figures import write_figures
from mmdft.data.vision import pixel_budget
from mmdft.files import read_json, read_jsonl
from mmdft.model import load_processor
from mmdft.training_data import load_data


class SeenIds(TrainerCallback):
    """The ids of one epoch, as its batches hold them."""

    def on_train_begin(self, args, state, control, train_dataloader=None, **kwargs):
        self.train = Counter(name for batch in train_dataloader for name in batch["example_ids"])


@pytest.fixture
def run(tiny_dir, tmp_path):
    """`run(*overrides)`: (result, trained ids, held-out rows) of twelve rows twice, eight once."""
    files = {}
    for name, num, seed in (("often", 12, 0), ("once", 8, 1)):
        files[name] = write_figures(tmp_path / name, num=num, split="train", seed=seed, size=56)
        rows = [row for _, row in read_jsonl(files[name])]
        for number, row in enumerate(rows):
            row["id"] = f"{name}-{number}"
        files[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "run.yaml"
    path.write_text(
        f"""
model: {{name: {tiny_dir("qwen2_5_vl")}}}
data:
  train: [{{path: {files["often"]}, repeat: 2}}, {files["once"]}]
  max_length: 700
  probe_examples: 0
training:
  output_dir: {tmp_path / "out"}
  max_steps: 1
  gradient_accumulation_steps: 1
  learning_rate: 1.0e-3
  save_strategy: "no"
  use_cpu: true
"""
    )

    def start(*overrides):
        seen = SeenIds()
        config = load_config(path, overrides)
        result = train(config, [seen])
        processor = load_processor(config.model)
        data = load_data(config, processor, pixel_budget(processor, None, None))
        return result, seen.train, [] if data.held_out is None else data.held_out

    start.files = files
    return start


@pytest.mark.parametrize("batch", [1, 3])
def test_repeats_and_a_split(run, batch, capsys, tmp_path):
    result, seen, held_out = run(
        "data.validation_fraction=0.3",
        "data.seed=3",
        "training.eval_strategy=steps",
        "training.eval_steps=1",
        f"training.per_device_train_batch_size={batch}",
    )
    names = {f"often-{i}" for i in range(12)} | {f"once-{i}" for i in range(8)}
    held = {row.id for row in held_out}
    assert set(seen) == names - held and len(held) == len(held_out) >= 2
    assert {(name.split("-")[0], count) for name, count in seen.items()} == {
        ("often", 2),
        ("once", 1),
    }
    assert result.summary["examples"] == sum(seen.values())
    [validated] = [row for row in result.history if "eval_answer_tokens" in row]
    assert validated["eval_answer_tokens"] == sum(sum(row.mask) for row in held_out)
    told = capsys.readouterr().err
    assert f"held out for validation: {len(held)} of 20 examples" in told
    num = sum(name.startswith("often") for name in seen)
    assert f"{run.files['often']}: {num} examples at repeat 2, {2 * num} an epoch" in told
    provenance = read_json(tmp_path / "out/provenance.json")
    assert provenance["data"]["examples"] == result.summary["examples"]


def test_repeats_of_streamed_rows(run):
    result, seen, _ = run("data.streaming=true")
    assert result.summary["examples"] == 32
    assert {(name.split("-")[0], count) for name, count in seen.items()} == {
        ("often", 2),
        ("once", 1),
    }


def test_duplicates_and_leaks_are_in_the_run_folder(run, capsys, tmp_path):
    often = run.files["often"]
    lines = often.read_text().splitlines()
    often.write_text("\n".join([*lines, lines[3]]) + "\n")
    test = tmp_path / "often/test.jsonl"
    test.write_text(lines[5] + "\n")
    result, seen, _ = run(
        "data.deduplicate=true",
        "data.on_leak=drop",
        f"evaluation.benchmarks=[{{name: figures, path: {test}}}]",
    )
    assert set(seen) == {f"often-{i}" for i in range(12) if i != 5} | {
        f"once-{i}" for i in range(8)
    }
    assert [
        (row["row"], row["id"], row["reason"])
        for _, row in read_jsonl(tmp_path / "out/quarantine.jsonl")
    ] == [
        (13, "often-3", f"duplicate of {often}:4"),
        (6, "often-5", "leak: has the image of figures item often-5"),
    ]
    assert [row for _, row in read_jsonl(tmp_path / "out/leaks.jsonl")] == [
        {"place": 5, "id": "often-5", "benchmark": "figures", "item": "often-5"}
        | {"kind": "image", "distance": None}
    ]
    assert result.summary["quarantined"] == 2 and result.summary["examples"] == 2 * 11 + 8
    told = capsys.readouterr().err
    assert "exact duplicates of earlier rows, set aside: 1\n" in told
    assert "leaks: 1 training examples are in the benchmarks (figures) too, set aside; " in told
