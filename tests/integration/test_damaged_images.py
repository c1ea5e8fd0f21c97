"""Images that were cut short, met in training: each row is told once, left out and counted."""

import re

import pytest
import torch
from safetensors.torch import load_file

from mmdft import load_config, train
from mmdft.data.figures import write_figures
from mmdft.errors import DataError
from mmdft.files import read_json, read_jsonl
from mmdft.inspection.inspect import inspect


@pytest.fixture
def run(tiny_dir, tmp_path):
    """`run("out", *overrides, cut=())`: twelve rows of 56 x 56; the images of some are cut."""

    def configure(out, *overrides, cut=(), name="train"):
        path = tmp_path / f"{name}/train.jsonl"
        if not path.exists():
            write_figures(path.parent, num=12, split="train", size=56)
            rows = [row for _, row in read_jsonl(path)]
            for number in cut:
                image = path.parent / rows[number - 1]["images"][0]
                image.write_bytes(image.read_bytes()[:-60])
        file = tmp_path / f"{out}.yaml"
        file.write_text(
            f"""
model: {{name: {tiny_dir("qwen2_5_vl")}}}
data: {{train: [{path}], max_length: 700, max_bad_fraction: 0.25, probe_examples: 4}}
training:
  output_dir: {tmp_path / out}
  num_train_epochs: 2
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 1
  learning_rate: 1.0e-3
  logging_steps: 1
  save_strategy: "no"
  use_cpu: true
"""
        )
        return load_config(file, overrides)

    return configure


def quarantined(folder):
    return [row for _, row in read_jsonl(folder / "quarantine.jsonl")]


def weights(result):
    return load_file(result.model_dir / "model.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("form", [(), ("data.packing=true",), ("data.streaming=true",)])
def test_they_are_met_in_training_and_told_once(run, tmp_path, form):
    """Two epochs meet each twice; of a pack only the damaged example is left out."""
    result = train(run("out", *form, "training.dataloader_num_workers=1", cut=(2, 5, 9)))
    rows = quarantined(tmp_path / "out")
    assert sorted(row["row"] for row in rows) == [2, 5, 9]
    for row in rows:
        assert row["source"] == str(tmp_path / "train/train.jsonl")
        assert re.search(
            r"\.png: cannot be decoded \(.*\); copy or download it again$", row["reason"]
        )
    assert result.summary["quarantined"] == 3
    tokens = sum(row["answer_tokens"] for row in result.history if "loss" in row)
    whole = train(run("whole", *form, name="other"))
    assert tokens < sum(row["answer_tokens"] for row in whole.history if "loss" in row)
    # Of the rows that are probed, the first is evenly spaced, and none of them is damaged.
    probed = read_json(tmp_path / "out/probabilities.json")["probe"]
    assert probed["ids"] == read_json(tmp_path / "whole/probabilities.json")["probe"]["ids"]


def test_loaded_and_streamed_rows_give_one_run(run):
    """Bit for bit, with the same rows left out."""
    loaded, streamed = (
        train(run(out, f"data.streaming={on}", cut=(1, 5, 9)))
        for out, on in (("loaded", "false"), ("streamed", "true"))
    )
    assert same(weights(loaded), weights(streamed))
    assert loaded.summary == streamed.summary
    probed = [
        read_json(each.run_dir / "probabilities.json")["probe"] for each in (loaded, streamed)
    ]
    assert probed[0] == probed[1] and probed[0]["examples"] == 3  # of rows 1, 4, 7 and 10


def test_they_count_with_the_rows_that_were_bad_before(run, tmp_path):
    """Three of twelve are allowed; two were bad at loading, so the second one met is too many."""
    config = run("out", cut=(2, 5))
    path = tmp_path / "train/train.jsonl"
    lines = path.read_text().splitlines()
    for number in (8, 11):
        lines[number - 1] = lines[number - 1].replace('"answer"', '"solution"')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"train\.jsonl:\d+ .* that makes 4 bad rows, more than"):
        train(config)
    assert [row["row"] for row in quarantined(tmp_path / "out")][:2] == [8, 11]
    assert sorted(row["row"] for row in quarantined(tmp_path / "out")) == [2, 5, 8, 11]


def test_the_first_may_stop_the_run(run, tmp_path):
    with pytest.raises(DataError, match=r"train\.jsonl:7 .*cannot be decoded.*; copy or download"):
        train(run("out", "data.on_bad_row=raise", cut=(7,)))
    assert not (tmp_path / "out/summary.json").exists()


def test_validation_meets_them_too(run, tmp_path):
    held = tmp_path / "held"
    path = write_figures(held, num=4, split="validation", size=56)
    image = held / next(iter(read_jsonl(path)))[1]["images"][0]
    settings = [f"data.validation=[{path}]", "training.eval_strategy=epoch"]
    whole = train(run("whole", *settings))
    image.write_bytes(image.read_bytes()[:-60])
    result = train(run("out", *settings))
    assert [row["row"] for row in quarantined(tmp_path / "out")] == [1]
    assert same(weights(whole), weights(result))
    counts = [
        next(row["eval_answer_tokens"] for row in each.history if "eval_answer_tokens" in row)
        for each in (result, whole)
    ]
    assert 0 < counts[0] < counts[1]


@pytest.mark.parametrize("packing", ["false", "true"])
def test_a_stored_reference_has_none_for_them(run, tmp_path, packing):
    """Batches of one: some steps, and some of the reference's rows, are of a damaged row alone."""
    settings = [
        "objective.name=iw_sft",
        f"data.packing={packing}",
        "training.per_device_train_batch_size=1",
    ]
    result = train(run("out", *settings, cut=(2, 5, 9)))
    counts = load_file(tmp_path / "out/reference.safetensors")["counts"].tolist()
    assert [place + 1 for place, count in enumerate(counts) if not count] == [2, 5, 9]
    assert result.summary["quarantined"] == 3
    assert all(torch.isfinite(tensor).all() for tensor in weights(result).values())


def test_they_are_listed_when_the_data_is_inspected(run):
    found = inspect(run("out", cut=(2, 5)), 12)
    assert [row.row for row in found.bad] == [2, 5]
    assert len(found.shown) == 10 and found.summary["quarantined"] == 2
