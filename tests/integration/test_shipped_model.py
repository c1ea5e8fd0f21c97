"""A model that comes with the package is one by its name alone, wherever a model is named."""

import json
import os
import subprocess
import sys

import pytest
from transformers import AutoModelForImageTextToText

from mmdft.checking.memory import meta_model
from mmdft.config import ModelConfig, RunConfig
from mmdft.errors import ModelError
from mmdft.inspection.inspect import inspect
from mmdft.model import load_model
from mmdft.provenance import model_fingerprint
from mmdft.shipped import SHIPPED, model_source

NAME = "mmdft/tiny"

# Trains an adapter, and asks it, where every way out of the machine is shut and watched.
ADAPTER = """
import json, socket, sys
calls = []
def refuse(*arguments, **named):
    calls.append(repr(arguments))
    raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
import mmdft.shipped
mmdft.shipped.SHIPPED["mmdft/tiny"] = mmdft.shipped.Path(sys.argv[1])
from mmdft.config import RunConfig
from mmdft.evals.run import evaluate
from mmdft.training import train
rows, out = sys.argv[2:]
common = {"data": {"train": [rows], "probe_examples": 0}}
done = train(RunConfig.model_validate({
    **common,
    "model": {"name": "mmdft/tiny", "dtype": "float32", "lora": {"r": 2}},
    "training": {
        "output_dir": out + "/run", "max_steps": 1, "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1, "save_steps": 1,
    },
}))
evaluate(RunConfig.model_validate({
    "model": {"name": str(done.model_dir)},
    "evaluation": {
        "output_dir": out + "/eval", "max_new_tokens": 2,
        "benchmarks": [{"name": "figures", "path": rows, "limit": 1}],
    },
}))
print(json.dumps(calls))
"""


@pytest.fixture
def shipped(tiny_dir, monkeypatch):
    """A tiny model in the place of the shipped one."""
    monkeypatch.setitem(SHIPPED, NAME, tiny_dir("qwen2_5_vl"))
    return tiny_dir("qwen2_5_vl")


def test_a_name_is_a_folder_of_the_package_or_itself(shipped):
    assert model_source(NAME) == str(shipped)
    for name in ("Qwen/Qwen2.5-VL-3B-Instruct", "runs/a/model", "./mmdft/tiny", "mmdft"):
        assert model_source(name) == name


def test_one_that_was_lost_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(SHIPPED, NAME, tmp_path / "gone")
    with pytest.raises(ModelError, match="gone is not there; install mmdft anew"):
        model_source(NAME)


@pytest.mark.parametrize("use", [model_source, lambda name: load_model(ModelConfig(name=name))])
def test_an_unknown_one_is_refused_with_those_there_are(use):
    with pytest.raises(ModelError) as error:
        use("mmdft/huge")
    assert str(error.value) == (
        "model.name 'mmdft/huge': no such model comes with mmdft; known: mmdft/tiny "
        "(a folder of your own is ./mmdft/huge)"
    )


def test_its_weights_are_the_folders(shipped):
    loaded = load_model(ModelConfig(name=NAME)).state_dict()
    expected = AutoModelForImageTextToText.from_pretrained(shipped).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(loaded[key].equal(expected[key]) for key in expected)


def test_another_one_under_the_name_has_another_fingerprint(shipped, tiny_dir, monkeypatch):
    before = model_fingerprint(NAME, None)
    assert before == model_fingerprint(str(shipped), None)
    monkeypatch.setitem(SHIPPED, NAME, tiny_dir("qwen2_vl"))
    assert model_fingerprint(NAME, None) != before


def test_its_memory_is_told_and_its_data_shown(shipped, figures_file):
    assert meta_model(ModelConfig(name=NAME), []).num_parameters() == sum(
        each.numel() for each in load_model(ModelConfig(name=NAME)).parameters()
    )
    config = RunConfig.model_validate(
        {"model": {"name": NAME}, "data": {"train": [str(figures_file())], "packing": True}}
    )
    assert inspect(config, num=1).num_examples == 4


def test_an_adapter_on_it_names_it_and_loads_without_the_network(tiny_dir, figures_file, tmp_path):
    model = tiny_dir("qwen2_5_vl")
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", ADAPTER, str(model), str(figures_file()), str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    for folder in (tmp_path / "run/model", tmp_path / "run/checkpoint-1"):
        saved = json.loads((folder / "adapter_config.json").read_text())
        assert saved["base_model_name_or_path"] == NAME
        for path in folder.iterdir():
            assert str(model).encode() not in path.read_bytes(), path
    assert len((tmp_path / "eval/figures/predictions.jsonl").read_text().splitlines()) == 1
