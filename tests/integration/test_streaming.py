"""Rows streamed into a training: the same run as with rows loaded, and what becomes of bad ones."""

import json
import shutil
import tracemalloc

import pytest
import torch
from accelerate.data_loader import (
    SeedableRandomSampler,
    prepare_data_loader,
    skip_first_batches,
)
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from mmdft import load_config, train
from mmdft.data.figures import write_figures
from mmdft.data.readers import open_rows
from mmdft.errors import ConfigError, DataError
from mmdft.files import read_json, read_jsonl
from mmdft.provenance import claim_run_folder
from mmdft.sampling import ShuffledRows, flat_order


@pytest.fixture
def run(tiny_dir, tmp_path):
    """`run("out", *overrides, bad=())`: six steps over twenty rows, some of them spoilt."""

    def configure(out, *overrides, bad=()):
        folder = tmp_path / "figures"
        if not folder.exists():
            path = write_figures(folder, num=20, split="train", size=56)
            lines = path.read_text().splitlines()
            for number in bad:
                lines[number - 1] = lines[number - 1].replace('"answer"', '"solution"')
            path.write_text("\n".join(lines) + "\n")
        path = tmp_path / f"{out}.yaml"
        path.write_text(
            f"""
model: {{name: {tiny_dir("qwen2_5_vl")}}}
data: {{train: [{folder / "train.jsonl"}], streaming: true, max_length: 700, probe_examples: 4}}
training:
  output_dir: {tmp_path / out}
  max_steps: 6
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 2
  learning_rate: 1.0e-3
  logging_steps: 1
  save_steps: 3
  dataloader_num_workers: 1
  use_cpu: true
"""
        )
        return load_config(path, overrides)

    return configure


def weights(result):
    return load_file(result.model_dir / "model.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_is_the_run_of_loaded_rows(run):
    """Bit for bit: the same rows in the same order; packing puts each batch in one row."""
    streamed = train(run("streamed"))
    loaded = train(run("loaded", "data.streaming=false"))
    assert same(weights(streamed), weights(loaded))
    packed = train(run("packed", "data.packing=true"))
    one, other = weights(packed), weights(loaded)
    apart = sum((one[n] - other[n]).double().square().sum() for n in one).sqrt()
    size = sum(other[n].double().square().sum() for n in one).sqrt()
    assert 0 < apart < 1e-3 * size
    for name in ("nll", "answer_tokens"):
        first = [next(iter(result.history))[name] for result in (packed, loaded)]
        assert first[0] == pytest.approx(first[1], rel=1e-6)
    assert next(iter(packed.history))["padding"] == 0 < next(iter(loaded.history))["padding"]
    probed = [read_json(r.run_dir / "probabilities.json") for r in (streamed, loaded)]
    assert probed[0] == probed[1]


@pytest.mark.parametrize("packing", ["false", "true"])
def test_it_goes_on_where_it_was(run, packing, tmp_path):
    settings = [f"data.packing={packing}", "data.max_bad_fraction=0.2"]
    whole = train(run("whole", *settings, bad=(2, 9, 15)))
    halves = run("halves", *settings)
    claim_run_folder(tmp_path / "halves", halves)
    shutil.copytree(tmp_path / "whole/checkpoint-3", tmp_path / "halves/checkpoint-3")
    again = train(halves)
    assert same(weights(whole), weights(again))


def test_bad_rows_are_met_told_once_and_left_out(run, tmp_path):
    """Twenty-four draws of twenty rows meet every bad one, some of them twice."""
    result = train(run("run", "data.max_bad_fraction=0.5", bad=range(1, 9)))
    rows = [row for _, row in read_jsonl(tmp_path / "run/quarantine.jsonl")]
    assert sorted(row["row"] for row in rows) == list(range(1, 9))
    assert all("field 'answer' is missing" in row["reason"] for row in rows)
    assert result.summary["quarantined"] == 8
    assert result.summary["steps"] == 6


def test_a_step_of_bad_rows_alone_is_passed_over(run):
    """One row a step, four of twenty bad; the rows around them are trained on."""
    alone = ["training.per_device_train_batch_size=1", "training.gradient_accumulation_steps=1"]
    more = ["training.max_steps=20", "data.max_bad_fraction=0.2"]
    result = train(run("run", *alone, *more, bad=(2, 9, 15, 16)))
    tokens = [row["answer_tokens"] for row in result.history if "loss" in row]
    assert len(tokens) == 20 and tokens.count(0) == 4


def test_a_corrupt_image_among_the_probed_rows_is_a_bad_row(run, tmp_path):
    config = run("run", "data.max_bad_fraction=0.2", "data.probe_examples=20")
    first = next(iter(read_jsonl(tmp_path / "figures/train.jsonl")))[1]
    (tmp_path / "figures" / first["images"][0]).write_bytes(b"not an image")
    train(config)
    rows = [row for _, row in read_jsonl(tmp_path / "run/quarantine.jsonl")]
    assert [row["row"] for row in rows] == [1]
    assert len(read_json(tmp_path / "run/probabilities.json")["probe"]["ids"]) == 19


def test_bad_validation_rows_do_not_count_in_training(run, tmp_path):
    write_figures(tmp_path / "held", num=10, split="validation", size=56)
    path = tmp_path / "held/validation.jsonl"
    path.write_text(path.read_text().replace('"answer"', '"solution"', 2))
    held = [f"data.validation=[{path}]", "training.eval_strategy=epoch"]
    result = train(run("run", *held, "data.max_bad_fraction=0.2", bad=(2, 9, 15, 16)))
    assert result.summary["quarantined"] == 6


def test_too_many_bad_rows_stop_the_run(run, tmp_path):
    with pytest.raises(DataError, match=r"train\.jsonl:\d+ .* bad rows, more than data\.max_bad"):
        train(run("run", "data.max_bad_fraction=0.1", bad=range(1, 9)))
    rows = [row for _, row in read_jsonl(tmp_path / "run/quarantine.jsonl")]
    assert 3 <= len(rows) <= 6  # two are allowed, and a step meets four rows at most
    with pytest.raises(DataError, match=r"train\.jsonl:\d+ .*field 'answer' is missing"):
        train(run("strict", "data.on_bad_row=raise"))


def test_what_cannot_be_streamed_is_refused(run):
    with pytest.raises(ConfigError, match="iw_sft needs every example before training"):
        run("run", "objective.name=iw_sft")


def test_other_data_under_the_same_configuration_is_refused(run, tmp_path):
    config = run("run", "training.max_steps=3")
    train(config)
    (tmp_path / "run/summary.json").unlink()
    path = tmp_path / "figures/train.jsonl"
    path.write_text(path.read_text().replace("answer", "answers", 1))
    with pytest.raises(ConfigError, match="begun with another data"):
        train(config)


def test_memory_holds_places_only(tmp_path):
    """A hundred thousand rows, 9 MB of text, cost their places: eight bytes each."""
    path = tmp_path / "rows.jsonl"
    with path.open("w") as stream:
        for index in range(100_000):
            stream.write(json.dumps({"question": "?" * 50, "answer": str(index)}) + "\n")
    tracemalloc.start()
    rows = open_rows(path)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000 and most < 2_000_000  # arrays grow by an eighth at a time
    assert json.loads(rows[77_777][1])["answer"] == "77777"


@pytest.mark.parametrize("num", [1, 7, 9000])
def test_rows_are_shuffled_as_accelerate_does_it(num):
    theirs = SeedableRandomSampler(range(num), data_seed=5)
    ours = ShuffledRows(num, 5)
    assert len(ours) == num
    for _ in range(3):
        assert list(ours) == list(theirs)
    for sampler in (ours, theirs):
        sampler.set_epoch(1)
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_order_of_a_run_that_goes_on_within_an_epoch(ranks):
    """As the Trainer does it: the batches of before are skipped, then the epoch is told."""

    def batches(change, skip):
        found = []
        for rank in range(ranks):
            loader = change(
                prepare_data_loader(
                    DataLoader(range(50), batch_size=2, shuffle=True),
                    num_processes=ranks,
                    process_index=rank,
                    use_seedable_sampler=True,
                    data_seed=5,
                    put_on_device=False,
                )
            )
            loader = skip_first_batches(loader, skip) if skip else loader
            loader.set_epoch(3)
            found.append([batch.tolist() for batch in loader])
        return found

    whole = batches(flat_order, 0)
    assert whole == batches(lambda loader: loader, 0)
    assert batches(flat_order, 4) == [each[4:] for each in whole]


def test_an_order_takes_eight_bytes_a_row():
    rows = iter(ShuffledRows(1_000_000, 0))
    tracemalloc.start()
    next(rows)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000  # Python's numbers alone; the tensor is not seen here
