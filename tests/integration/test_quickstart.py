"""The quickstart: scaled down by default, at full size when slow tests are asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from html_text import Page

import mmdft.quickstart as quickstart_module
from mmdft import load_config, train
from mmdft.errors import ConfigError
from mmdft.evals.run import evaluate
from mmdft.files import read_json
from mmdft.quickstart import QuickstartResult, quickstart
from mmdft.tiny import TinySize, build_tiny

SMALLEST = TinySize(layers=1, width=32, heads=2, vision_layers=1, vision_width=24, vision_heads=2)
SMALL = {
    "SIZE": 56,
    "NUM_TUNE": 24,
    "NUM_VALIDATION": 4,
    "NUM_TEST": 6,
    "NUM_VALUES": 4,
    "NUM_OTHERS": 4,
    "NUM_FACTS": 3,
    "NUM_FACT_PICTURES": 9,
    "NUM_RECALL": 5,
    "STEPS": 2,
    "FACT_STEPS": 2,
    "BATCH": 2,
    "NUM_SEEDS": 2,
    "MAX_NEW_TOKENS": 5,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(quickstart_module, name, value)
        # Knows nothing, but has the shipped one's classes and is made in a moment.
        base = build_tiny(tmp_path_factory.mktemp("base") / "tiny", size=SMALLEST)
        patch.setattr(quickstart_module, "BASE", str(base))
        yield


@pytest.fixture(scope="module")
def done(small: None, tmp_path_factory: pytest.TempPathFactory) -> QuickstartResult:
    return quickstart(tmp_path_factory.mktemp("quickstart") / "out", seed=3)


def trained(out: Path, name: str, variant: str, seed: int) -> Path:
    (folder,) = (out / name / "runs" / variant).glob(f"lr-*/seed-{seed}")
    return folder


def test_all_stages_are_ordinary_runs(done: QuickstartResult) -> None:
    out = done.page.parent
    for name, demonstrations in (("noisy", 24), ("facts", 9)):
        results = done.results[name]
        assert results["finished"] and results["setting"]["demonstrations"] == demonstrations
        assert results["command"] == f"mmdft quickstart --out {out} --seed 3"
        for seed in (3, 4):
            configs = {}
            for variant in ("sft", "dft"):
                run = trained(out, name, variant, seed)
                configs[variant] = load_config(run / "config.yaml")
                assert configs[variant].objective.name == variant
                assert configs[variant].training.seed == seed
            # The objective is all that they differ in.
            sft, dft = (config.model_dump() for config in configs.values())
            for each in (sft, dft):
                each["objective"].pop("name")
                each["training"].pop("output_dir")
            assert sft == dft
    # `mmdft train` and `mmdft eval` find what their files ask for, and repeat nothing.
    run = trained(out, "facts", "dft", 4)
    before = (run / "model/model.safetensors").stat().st_mtime_ns
    assert train(load_config(run / "config.yaml")).summary == read_json(run / "summary.json")
    assert (run / "model/model.safetensors").stat().st_mtime_ns == before
    asked = out / "facts/evaluations" / run.relative_to(out / "facts/runs") / "greedy"
    again = evaluate(load_config(asked / "config.yaml"))
    shown = done.results["facts"]["variants"]["dft"]["results"]
    for label, scored in again.benchmarks.items():
        assert shown[label]["greedy"]["values"][1] == scored["rules"]["exact"]["accuracy"]


def test_what_is_asked(done: QuickstartResult) -> None:
    asked = {
        name: {label: (it["role"], it["n"]) for label, it in results["benchmarks"].items()}
        for name, results in done.results.items()
    }
    assert asked == {
        "noisy": {
            "validation": ("validation", 4),
            "test": ("in_distribution", 6),
            "values": ("out_of_distribution", 4),
            "others": ("forgetting", 4),
        },
        "facts": {
            "validation": ("validation", 5),
            "test": ("in_distribution", 5),
            "known": ("forgetting", 4),
        },
    }
    sampled = done.results["noisy"]["variants"]["dft"]["results"]["test"]["sampled"]
    assert len(sampled["values"]) == 2
    wrong = done.page.parent / "figures/noisy/train.settings.json"
    assert read_json(wrong)["noise"] == 0.3
    assert read_json(wrong.with_name("test.settings.json"))["noise"] == 0


def test_the_report_has_both_experiments(done: QuickstartResult) -> None:
    out = done.page.parent
    page, markdown = Page(done.page.read_text()), (out / "report.md").read_text()
    for sentence in done.sentences:
        assert sentence in page.text and f"- {sentence}\n" in markdown
    for heading in ("Results", "The counter-example: facts", "Setting"):
        assert heading in page.text and f"## {heading}\n" in markdown
    assert read_json(out / "report.json") == json.loads(json.dumps(done.results))
    links = [a["href"] for a in page.all("a") if not str(a["href"]).startswith("#")]
    assert links == ["facts/report.html"] and (out / str(links[0])).is_file()
    assert "(facts/report.html)" in markdown
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_interrupted_it_continues_and_finished_it_repeats_nothing(done: QuickstartResult) -> None:
    out = done.page.parent
    weights = [
        trained(out, name, variant, seed) / "model/model.safetensors"
        for name in ("noisy", "facts")
        for variant in ("sft", "dft")
        for seed in (3, 4)
    ]
    before = {path: path.stat().st_mtime_ns for path in weights}
    # As if it had been killed within the second experiment.
    gone = trained(out, "facts", "dft", 4)
    shutil.rmtree(gone)
    shutil.rmtree(out / "facts/evaluations" / gone.relative_to(out / "facts/runs"))
    for path in (done.page, out / "report.json", out / "facts/results.json"):
        path.unlink()
    again = quickstart(out, seed=3)
    assert again.page == done.page and done.page.is_file()
    assert again.sentences == done.sentences
    for name, results in again.results.items():
        for part in ("variants", "tests", "samples"):
            assert results[part] == done.results[name][part]
    after = {path: path.stat().st_mtime_ns for path in weights}
    changed = [path for path in weights if after[path] != before[path]]
    assert changed == [gone / "model/model.safetensors"]


def test_another_seed_in_the_same_folder_is_refused(done: QuickstartResult) -> None:
    with pytest.raises(ConfigError, match="holds a quickstart of seed 3, not 4; choose another"):
        quickstart(done.page.parent, seed=4)


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_in_a_browser(
    done: QuickstartResult, in_browser: Callable[..., Any], tmp_path: Path, width: int
) -> None:
    script = """
    const root = page.documentElement;
    seen.wide = [...page.querySelectorAll("body *")]
      .filter((e) => !e.closest(".scroll, .wide, .hidden, svg"))
      .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 0.5)
      .map((e) => `${e.tagName}.${e.className}`);
    seen.widths = [root.clientWidth, root.scrollWidth];
    seen.lead = [...page.querySelectorAll(".findings li")].map((e) => e.textContent);
    const also = get("also");
    seen.also = [also.querySelectorAll("svg").length, also.querySelector("h2").textContent];
    seen.table = [...also.querySelectorAll("tbody tr:not(.group) th")]
      .map((e) => e.firstChild.textContent.trim());
    seen.link = also.querySelector("p a").href;
    seen.samples = page.querySelectorAll("[data-sample]").length;
    """
    copied = tmp_path / "out/report.html"
    copied.parent.mkdir()
    shutil.copy(done.page, copied)
    seen = in_browser(script, copied, width=width)
    assert not seen["wide"] and len(set(seen["widths"])) == 1
    plain = [text.replace("\N{NO-BREAK SPACE}", " ") for text in seen["lead"]]
    assert plain == list(done.sentences)
    assert seen["also"] == [1, "The counter-example: facts"]
    assert seen["table"] == ["test", "known", "validation"]
    assert seen["link"].endswith("/out/facts/report.html")
    assert seen["samples"] == 6 + 4 + 4


@pytest.mark.slow
def test_at_full_size(tmp_path: Path) -> None:
    """The base sees; on wrong demonstrations DFT is ahead of SFT, on facts SFT of DFT."""
    done = subprocess.run(
        [sys.executable, "-m", "mmdft", "quickstart", "--out", str(tmp_path / "out"), "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    printed = json.loads(done.stdout)
    assert printed["report"].endswith("report.html")
    noisy, facts = printed["summary"]["noisy"], printed["summary"]["facts"]
    assert noisy["base"]["test"] > 0.5
    assert noisy["variants"]["dft"]["test"] > noisy["variants"]["sft"]["test"] + 0.1
    # Of eight facts one may be guessed.
    assert facts["base"]["test"] <= 0.125
    assert facts["variants"]["sft"]["test"] > facts["variants"]["dft"]["test"] + 0.1
