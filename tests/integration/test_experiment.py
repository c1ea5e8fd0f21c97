"""A whole experiment, with a model so small that a training takes a moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mmdft.cli import cli
from mmdft.config_loading import load_config
from mmdft.experiments.run import outlook, run_experiment
from mmdft.experiments.schema import check_results
from mmdft.experiments.settings import load_experiment
from mmdft.files import read_json
from mmdft.tiny import TinySize, build_tiny
from mmdft.training import train

SMALLEST = TinySize(layers=1, width=32, heads=2, vision_layers=1, vision_width=24, vision_heads=2)
FAMILIES = ["polygon_sides", "bar_count"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("smallest") / "tiny", size=SMALLEST)


def write_experiment(folder: Path, base: Path, figures: Path, **changes: Any) -> Path:
    settings = {
        "name": "small",
        "output_dir": str(folder / "out"),
        "figures": {
            str(figures): [
                {"split": "train", "num": 16, "families": FAMILIES, "size": 56, "style": "wordy"},
                {"split": "validation", "num": 4, "families": FAMILIES, "size": 56},
                {"split": "test", "num": 6, "families": FAMILIES, "size": 56},
                {"split": "ood", "num": 4, "families": FAMILIES, "size": 56},
            ]
        },
        "run": {
            "model": {"name": str(base), "dtype": "float32"},
            "data": {"train": [str(figures / "train.jsonl")], "probe_examples": 4},
            "training": {
                "max_steps": 2,
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 1,
                "logging_steps": 1,
                "use_cpu": True,
            },
            "evaluation": {
                "max_new_tokens": 6,
                "batch_size": 8,
                "every_steps": 1,
                "benchmarks": [
                    {"name": "figures", "path": str(figures / f"{split}.jsonl"), "label": split}
                    for split in ("validation", "test", "ood")
                ],
            },
        },
        "roles": {
            "validation": ["validation"],
            "in_distribution": ["test"],
            "out_of_distribution": ["ood"],
        },
        "variants": {"sft": {"objective.name": "sft"}, "dft": {"objective.name": "dft"}},
        "learning_rates": [1e-3, 1e-2],
        "seeds": [0, 1],
        "grid": ["validation", "test"],
        "samples": {"num_samples": 2, "benchmarks": ["test"]},
        "controls": {
            "temperatures": [0.5],
            "clipping_off": True,
            "early_stop": True,
            "benchmarks": ["test"],
        },
        "workers": 2,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def without_seconds(results: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in results.items() if name != "seconds"}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").is_file() and (
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    )


def children(pid: int) -> list[int]:
    return [
        int(word)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for word in path.read_text().split()
    ]


def test_killed_and_started_again_it_ends_in_the_same_results(tmp_path: Path, base: Path) -> None:
    figures = tmp_path / "figures"
    whole = load_experiment(write_experiment(tmp_path / "whole", base, figures))
    expected = run_experiment(whole)
    check_results(expected)
    assert expected["finished"] and expected["failures"] == []
    assert (outlook(whole)["trainings"], outlook(whole)["evaluations"]) == (
        {"total": 12, "done": 12},
        {"total": 3 + 8 + 4 * 2 + 4, "done": 23},
    )
    _is_complete(expected)
    _is_repeated_by_its_configuration(whole.output_dir)

    path = write_experiment(tmp_path / "killed", base, figures)
    killed = load_experiment(path)
    process = subprocess.Popen(
        [sys.executable, "-m", "mmdft", "experiment", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 240
    while len(list((killed.output_dir / "runs").rglob("summary.json"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert workers
    while any(map(alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = outlook(killed)
    assert 3 <= before["trainings"]["done"] < 12
    assert not (killed.output_dir / "results.json").exists()
    found = run_experiment(killed)
    assert without_seconds(found) == without_seconds(expected)
    written = read_json(killed.output_dir / "results.json")
    assert without_seconds(written) == json.loads(json.dumps(without_seconds(expected)))
    for name in ("results.md", "report.html"):
        assert (killed.output_dir / name).is_file()


def _is_complete(results: dict[str, Any]) -> None:
    """Nothing that was asked for is missing."""
    assert set(results["base"]) == {"validation", "test", "ood"}
    assert set(results["base"]["test"]["temperatures"]) == {"0.5"}
    for variant in results["variants"].values():
        assert set(variant["learning_rates"]) == {"0.001", "0.01"}
        # No model here knows anything, and of equal rates the lower one is taken.
        assert variant["best"] == 0.001
        test = variant["results"]["test"]
        assert len(test["greedy"]["values"]) == len(test["sampled"]["values"]) == 2
        assert test["early_stop"] is not None and test["behaviour"]["adopts_style"]["mean"] == 0
        assert variant["results"]["ood"]["early_stop"] is None
        assert set(variant["controls"]["clipping_off"]) == {"test"}
        assert variant["curves"]["steps"] == variant["training"]["steps"] == [1, 2]
        assert len(variant["training"]["entropy"]) == 2
    base, trained = results["base_probabilities"], results["variants"]["dft"]["probabilities"]
    assert sum(trained["counts"]) == 2 * sum(base["counts"])
    assert trained["mean"] != base["mean"]
    tested = [(test["benchmark"], test["measure"], test["a"]) for test in results["tests"]]
    assert tested == [
        (label, measure, a)
        for label, measure in (("test", "greedy"), ("test", "sampled"), ("ood", "greedy"))
        for a in ("dft", "sft", "dft")
    ]
    # An untrained model finds every token about equally unlikely.
    assert results["advice"]["suggests"] == "sft" and results["advice"]["mean_p"] < 0.02
    assert {sample["label"] for sample in results["samples"]} == {"test", "ood"}
    assert set(results["samples"][0]["answers"]) == {"base", "sft", "dft"}


def _is_repeated_by_its_configuration(out: Path) -> None:
    """A run's own configuration is that of `mmdft train`, which finds it finished."""
    run = out / "runs/dft/lr-1e-03/seed-1"
    again = train(load_config(run / "config.yaml"))
    assert again.summary == read_json(run / "summary.json")


@pytest.mark.slow
def test_a_failed_run_is_named_and_the_rest_is_done(tmp_path: Path, base: Path) -> None:
    figures = tmp_path / "figures"
    path = write_experiment(
        tmp_path / "failing",
        base,
        figures,
        variants={"sft": {"objective.name": "sft"}},
        # The second step's loss is not finite after such a first one.
        learning_rates=[1e-3, 1e30],
        seeds=[0],
        samples=None,
        controls={},
    )
    shared = ["run.training.warmup_steps=0", "run.training.max_steps=3"]
    called = CliRunner().invoke(cli, ["experiment", str(path), *shared, "--json"])
    out = tmp_path / "failing/out"
    assert called.exit_code == 1, called.output
    assert f"failed: {out}/runs/sft/lr-1e+30/seed-0: " in called.stderr
    printed = json.loads(called.stdout)
    assert printed["results"] == f"{out}/results.json"
    assert printed["summary"]["variants"]["sft"]["learning_rate"] == 1e-3
    results = read_json(out / "results.json")
    assert not results["finished"]
    [failure] = results["failures"]
    assert failure["run"] == f"{out}/runs/sft/lr-1e+30/seed-0"
    sft = results["variants"]["sft"]
    assert sft["best"] == 1e-3 and sft["learning_rates"]["1e+30"] == {}
    assert sft["results"]["test"]["greedy"]["low"] is None  # one seed
    called = CliRunner().invoke(cli, ["experiment", str(path), *shared, "--dry-run", "--json"])
    assert json.loads(called.stdout)["summary"]["trainings"] == {"total": 2, "done": 1}
    called = CliRunner().invoke(cli, ["experiment", str(path)])
    assert called.exit_code == 2
    assert "holds a run of another configuration" in called.stderr
