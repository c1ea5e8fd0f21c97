"""The profile of a training: parts that add up to the step, a trace, and the same training."""

import gzip
import json

import pytest
import torch

from mmdft.config import RunConfig
from mmdft.errors import ConfigError
from mmdft.profiling import PARTS, PartClock, StepProfile
from mmdft.training import train


@pytest.fixture(scope="module")
def config(tiny_dir, figures_file):
    """A configuration of six steps of two micro-batches."""

    def make(folder, **settings):
        return RunConfig.model_validate(
            {
                "model": {"name": str(tiny_dir("qwen2_5_vl")), **settings.pop("model", {})},
                "data": {"train": [{"path": str(figures_file(num=8))}], "probe_examples": 0},
                "training": {
                    "output_dir": str(folder),
                    "max_steps": 4,
                    "per_device_train_batch_size": 1,
                    "gradient_accumulation_steps": 2,
                    "save_strategy": "no",
                    "report_to": "none",
                    **settings,
                },
            }
        )

    return make


def short(folder):
    return StepProfile(folder, warm_up=1, timed=2, traced=1)


@pytest.fixture(scope="module")
def profiled(config, tmp_path_factory):
    """A profiled run."""
    folder = tmp_path_factory.mktemp("profiled")
    return train(config(folder / "run"), profile=short(folder / "run/profile"))


def weights(result):
    return (result.model_dir / "model.safetensors").read_bytes()


def test_the_training_is_the_same(config, profiled, tmp_path):
    plain = train(config(tmp_path / "run"))
    assert weights(plain) == weights(profiled)
    kept = ("loss", "nll", "grad_norm", "clipped", "padding")
    for one, other in zip(plain.history, profiled.history, strict=True):
        assert {k: one.get(k) for k in kept} == {k: other.get(k) for k in kept}


def test_the_parts_add_up_to_the_step(profiled):
    found = json.loads((profiled.run_dir / "profile/profile.json").read_text())
    assert found["timed_steps"] == len(found["steps"]) == 2
    for step in found["steps"]:
        assert sum(step[part] for part in PARTS) == pytest.approx(step["step"], rel=1e-9)
        assert all(step[part] > 0 for part in PARTS)
    assert sum(each["share"] for each in found["parts"].values()) == pytest.approx(1)
    assert sum(each["seconds"] for each in found["parts"].values()) == pytest.approx(
        found["seconds_per_step"]
    )


def test_the_trace_names_the_parts(profiled):
    with gzip.open(profiled.run_dir / "profile/trace.json.gz") as stream:
        events = json.load(stream)["traceEvents"]
    names = [event.get("name") for event in events if event.get("cat") == "user_annotation"]
    # One step of two micro-batches; the optimizer is there twice, clipping and stepping.
    counts = {name: names.count(name) for name in ("vision tower", "language model", "head")}
    assert counts == {"vision tower": 2, "language model": 2, "head": 2}
    assert names.count("data wait") == 1 and names.count("optimizer") == 2


def test_a_frozen_tower_takes_no_time_backward(config, tmp_path, capsys):
    frozen = {"freeze": ["vision", "projector"]}
    run = config(tmp_path / "run", model=frozen, gradient_checkpointing=True)
    train(run, profile=short(tmp_path / "profile"))
    parts = json.loads((tmp_path / "profile/profile.json").read_text())["parts"]
    assert parts["vision tower backward"]["seconds"] == 0 < parts["vision tower forward"]["seconds"]
    told = capsys.readouterr().err
    assert "profile: 2 steps of" in told
    assert "vision tower backward       0.0000     0.0%" in told


def test_too_short_a_training_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match=r"--profile needs 10 steps .* and 4 are left to train"):
        train(config(tmp_path / "run"), profile=StepProfile(tmp_path / "profile"))


def test_a_finished_training_is_refused(config, profiled):
    with pytest.raises(ConfigError, match="has ended, so there are no steps to profile"):
        train(config(profiled.run_dir), profile=short(profiled.run_dir / "profile"))


def test_a_compiled_model_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match=r"set training\.torch_compile=false"):
        train(config(tmp_path / "run", torch_compile=True), profile=short(tmp_path / "profile"))


def test_the_clock_puts_nested_parts_down_to_the_innermost(monkeypatch):
    now = iter(range(100))
    monkeypatch.setattr("mmdft.profiling.time.perf_counter", lambda: float(next(now)))
    clock = PartClock(torch.device("cpu"))
    with clock.timed("data wait"):
        with clock.timed("optimizer"):
            pass
        clock.switch("head forward")
    assert clock.seconds == {
        **dict.fromkeys(PARTS, 0.0),
        **{"other": 1.0, "data wait": 2.0, "optimizer": 1.0, "head forward": 1.0},
    }
