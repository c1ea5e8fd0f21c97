"""The quickstart: scaled down by default, at full size when slow tests are asked for."""

import html
import json
import os
import shutil
import subprocess
import sys

import pytest

import mmdft.quickstart as quickstart_module
from mmdft import load_config
from mmdft.errors import ConfigError
from mmdft.files import read_json, read_jsonl
from mmdft.quickstart import quickstart

SMALL = {
    "NUM_BASE": 48,
    "NUM_TUNE": 32,
    "NUM_TEST": 12,
    "NUM_PROBE": 6,
    "BASE_STEPS": 3,
    "TUNE_STEPS": 2,
    "BATCH": 4,
}


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(quickstart_module, name, value)


def html_text(page):
    """The page with its entities as `html.escape(quote=False)` writes them."""
    return page.read_text().replace("&#39;", "'").replace("&#34;", '"')


def test_all_stages_are_ordinary_runs_and_the_report_says_what_they_hold(small, tmp_path):
    page = quickstart(tmp_path / "out", seed=3)
    out = page.parent
    result = read_json(out / "report.json")
    for finding in result["findings"]:
        assert html.escape(finding, quote=False).split(",")[0] in html_text(page)
    for key in ("base", "sft", "dft"):
        evaluation = read_json(out / f"eval-{key}/results.json")
        for name, split in (("in distribution", "test"), ("out of distribution", "ood")):
            shown = result["models"][key]["results"][name]
            found = evaluation[split]["rules"]["exact"]
            assert shown["n"] == found["n"] == SMALL["NUM_TEST"]
            assert shown["accuracy"] == found["accuracy"]
            assert shown["stderr"] == found["standard_error"]
    for key in ("sft", "dft"):
        logged = [row for _, row in read_jsonl(out / f"{key}/metrics.jsonl") if "loss" in row]
        assert [row["nll"] for row in result["models"][key]["history"]] == [
            row["nll"] for row in logged
        ]
    trained = [load_config(out / key / "config.yaml").model_dump() for key in ("sft", "dft")]
    for config in trained:
        config["objective"].pop("name")
        config["training"].pop("output_dir")
    assert trained[0] == trained[1]  # the objective is all that differs
    assert "DFT minus SFT" in " ".join(result["findings"])
    assert (out / "report.md").read_text().startswith("# ")


def test_interrupted_it_continues_and_finished_it_repeats_nothing(small, tmp_path):
    out = tmp_path / "out"
    quickstart(out)
    weights = {key: (out / f"{key}/model/model.safetensors") for key in ("base", "sft", "dft")}
    before = {key: path.stat().st_mtime_ns for key, path in weights.items()}
    report = read_json(out / "report.json")
    # as if it had been killed after the SFT run
    for folder in ("dft", "eval-sft", "eval-dft"):
        shutil.rmtree(out / folder)
    (out / "report.html").unlink()
    quickstart(out)
    assert (out / "report.html").is_file()
    after = {key: path.stat().st_mtime_ns for key, path in weights.items()}
    assert after["base"] == before["base"] and after["sft"] == before["sft"]
    again = read_json(out / "report.json")
    assert again["findings"] == report["findings"]
    assert again["models"]["dft"]["results"] == report["models"]["dft"]["results"]


def test_another_seed_in_the_same_folder_is_refused(small, tmp_path):
    quickstart(tmp_path / "out", seed=0)
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        quickstart(tmp_path / "out", seed=1)


@pytest.mark.slow
def test_the_base_sees(tmp_path):
    """At full size, the base is far above the 15 % of guessing the commonest answers."""
    done = subprocess.run(
        [sys.executable, "-m", "mmdft", "quickstart", "--out", str(tmp_path / "out"), "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert json.loads(done.stdout)["report"].endswith("report.html")
    result = read_json(tmp_path / "out/report.json")
    assert result["models"]["base"]["results"]["in distribution"]["low"] > 0.5
    assert result["peak_memory_mb"] < 4000
