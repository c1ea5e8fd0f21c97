"""The probe around a training, and `mmdft probe` on what it leaves behind."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mmdft import load_config, probe, train
from mmdft.data.figures import write_figures
from mmdft.errors import ConfigError
from mmdft.files import read_json
from mmdft.probing import spread
from mmdft.provenance import claim_run_folder

DROPOUT = "model.lora={r: 4, dropout: 0.2}"  # so that a random number drawn would show


@pytest.fixture(scope="module")
def run(tiny_dir, tmp_path_factory):
    """`run(out, *changes)`: the configuration of four steps on 20 figures, into a folder `out`."""
    folder = tmp_path_factory.mktemp("probing")
    write_figures(folder / "figures", num=20, split="train", size=56)
    path = folder / "run.yaml"

    def config(out, *changes):
        path.write_text(
            f"""
model: {{name: {tiny_dir("qwen2_5_vl")}}}
data: {{train: [{folder / "figures/train.jsonl"}], probe_examples: 8}}
training:
  max_steps: 4
  per_device_train_batch_size: 4
  per_device_eval_batch_size: 3
  gradient_accumulation_steps: 1
  learning_rate: 3.0e-3
  logging_steps: 1
  save_steps: 2
  save_total_limit: 9
  use_cpu: true
"""
        )
        return load_config(path, [f"training.output_dir={folder / out}", *changes])

    return config


@pytest.fixture(scope="module")
def trained(run):
    """The folder of a finished run."""
    return train(run("trained")).run_dir


def test_a_run_holds_both_histograms_and_their_chart(run, trained):
    found = read_json(trained / "probabilities.json")
    assert list(found) == ["probe", "before", "after"]
    assert found["probe"]["examples"] == 8 == len(set(found["probe"]["ids"]))
    rows = run("unused").data.train[0].path.read_text().splitlines()
    names = [json.loads(row)["id"] for row in rows]
    assert found["probe"]["ids"] == [names[i] for i in (0, 2, 5, 7, 10, 12, 15, 17)]
    for name in ("before", "after"):
        assert sum(found[name]["counts"]) == found["probe"]["tokens"] > 100
    # An untrained model finds nothing likely; four steps change that.
    assert found["before"]["highest"] == [] and found["before"]["mean"] < 0.01
    assert found["after"]["mean"] > 2 * found["before"]["mean"]
    image = Image.open(trained / "probabilities.png")
    image.load()
    assert image.format == "PNG" and min(image.size) > 500


def test_a_model_by_itself_is_measured_as_in_its_run(run, trained, tmp_path):
    inside = read_json(trained / "probabilities.json")
    for name, model in (("after", "checkpoint-4"), ("after", "model"), ("before", None)):
        changes = [] if model is None else [f"model.name={trained / model}"]
        alone = probe(run("unused", *changes), tmp_path / str(model))
        assert alone == {"probe": inside["probe"], "model": inside[name]}
        assert read_json(tmp_path / str(model) / "probabilities.json") == alone
        assert Image.open(tmp_path / str(model) / "probabilities.png").format == "PNG"
    halfway = probe(run("unused", f"model.name={trained / 'checkpoint-2'}"), tmp_path / "half")
    means = inside["before"]["mean"], halfway["model"]["mean"], inside["after"]["mean"]
    assert means == tuple(sorted(means)) and len({*means}) == 3


def test_an_adapter_is_measured_as_in_its_run(run, tmp_path):
    """With `model.lora` still in the configuration, which is not put on top a second time."""
    result = train(run("adapter", DROPOUT))
    inside = read_json(result.run_dir / "probabilities.json")
    alone = probe(run("unused", DROPOUT, f"model.name={result.model_dir}"), tmp_path / "a")
    assert alone["model"] == inside["after"] != inside["before"]
    again = probe(run("unused", f"model.name={result.model_dir}"), tmp_path / "b")
    assert again == alone


def test_mixed_precision_is_that_of_the_run(run, tmp_path):
    result = train(run("mixed", "training.bf16=true", "training.max_steps=2"))
    inside = read_json(result.run_dir / "probabilities.json")["after"]
    changes = [f"model.name={result.model_dir}", "training.max_steps=2"]
    half = probe(run("unused", *changes, "training.bf16=true"), tmp_path / "half")["model"]
    full = probe(run("unused", *changes), tmp_path / "full")["model"]
    assert half == inside
    assert full["mean"] != inside["mean"]
    assert full["mean"] == pytest.approx(inside["mean"], rel=0.05)


@pytest.mark.parametrize("changes", [[], [DROPOUT]], ids=["full", "lora"])
def test_the_probe_does_not_disturb_training(changes, run):
    weights, logs = [], []
    for num in (0, 8):
        name = f"disturbed-{num}-{len(changes)}"
        result = train(run(name, f"data.probe_examples={num}", *changes))
        (path,) = result.model_dir.glob("*.safetensors")
        weights.append(load_file(path))
        logs.append([row["loss"] for row in result.history if "loss" in row])
        written = {path.name for path in result.run_dir.glob("probabilities.*")}
        assert written == ({"probabilities.json", "probabilities.png"} if num else set())
    assert weights[0] and all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])
    assert logs[0] == logs[1] and len(logs[0]) == 4


def test_a_resumed_run_keeps_its_before(run, trained):
    whole = (trained / "probabilities.json").read_bytes()
    config = run("resumed")
    folder = config.training.output_dir
    claim_run_folder(folder, config)
    shutil.copytree(trained / "checkpoint-2", folder / "checkpoint-2")
    # As the interrupted run had left it: measured before, not yet after.
    before = json.loads(whole)
    del before["after"]
    (folder / "probabilities.json").write_text(json.dumps(before))
    train(config)
    assert (folder / "probabilities.json").read_bytes() == whole


def test_a_run_that_starts_again_keeps_its_before(run, trained):
    """Killed before its first checkpoint; what was measured is marked, to tell it from another."""
    config = run("again", "training.max_steps=1")
    folder = config.training.output_dir
    claim_run_folder(folder, config)
    found = read_json(trained / "probabilities.json")
    del found["after"]
    found["before"]["mean"] = 0.5
    (folder / "probabilities.json").write_text(json.dumps(found))
    train(config)
    assert read_json(folder / "probabilities.json")["before"] == found["before"]


def test_after_is_the_best_model_where_that_is_kept(run, tmp_path):
    rows = run("unused").data.train[0].path
    config = run(
        "best",
        f"data.validation=[{{path: {rows}, limit: 2}}]",
        "training.eval_strategy=steps",
        "training.eval_steps=2",
        "training.load_best_model_at_end=true",
        # The least trained one is taken for the best, so that it is not the last.
        "training.metric_for_best_model=eval_mean_p",
        "training.greater_is_better=false",
    )
    folder = train(config).run_dir
    found = read_json(folder / "probabilities.json")["after"]
    best = probe(run("unused", f"model.name={folder / 'checkpoint-2'}"), tmp_path / "best")
    last = probe(run("unused", f"model.name={folder / 'checkpoint-4'}"), tmp_path / "last")
    assert found == best["model"] != last["model"]


def test_without_its_before_a_resumed_run_has_after_alone(run, trained):
    config = run("late")
    folder = config.training.output_dir
    claim_run_folder(folder, config)
    shutil.copytree(trained / "checkpoint-2", folder / "checkpoint-2")
    train(config)
    whole = read_json(trained / "probabilities.json")
    del whole["before"]
    assert read_json(folder / "probabilities.json") == whole
    assert (folder / "probabilities.png").is_file()


def test_wrong_uses_are_told_before_anything_is_loaded(run, trained, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.probe_examples is 0"):
        probe(run("unused", "data.probe_examples=0", "model.name=no/such"), tmp_path)
    with pytest.raises(ConfigError, match=r"data\.train is empty"):
        probe(run("unused", "data.train=[]", "model.name=no/such"), tmp_path)
    before = (trained / "probabilities.json").read_bytes()
    with pytest.raises(ConfigError, match=r"probabilities\.json exists; choose another folder"):
        probe(run("unused", "model.name=no/such"), trained)
    assert (trained / "probabilities.json").read_bytes() == before


def test_examples_are_spread_evenly():
    assert spread(list("abcdefg"), 3) == ["a", "c", "e"]
    assert spread(list("abc"), 3) == spread(list("abc"), 64) == ["a", "b", "c"]
    assert spread(list("abc"), 0) == spread([], 64) == []
