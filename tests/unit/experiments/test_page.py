"""`report.html`: whole, safe, the same for the same results, and silent about what is missing."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from experiment_results import complete_results, sparse_results
from html_text import HOSTILE, Page

from mmdft.errors import DataError
from mmdft.experiments import charts
from mmdft.experiments.page import write_page
from mmdft.experiments.schema import Also, check_results


@pytest.fixture
def results(tmp_path: Path) -> dict[str, Any]:
    return complete_results(tmp_path)


def written(results: dict[str, Any], tmp_path: Path) -> str:
    return write_page(results, tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the complete results as they are: drawing its charts takes a second."""
    folder = tmp_path_factory.mktemp("page")
    return written(complete_results(folder), folder)


def test_every_number_is_on_the_page(text: str) -> None:
    words = Page(text).text
    for expected in (
        "DFT is better than SFT: 94.8 % against 89.9 %, +4.9 points",
        "test Fresh figures, n = 400 81.0 avg@4 62.0 89.9 87.9 to 91.9 avg@4 62.8 60.8 to 64.8 "
        "▲ clearly higher: 94.8 92.8 to 96.8 avg@4 ▲ clearly higher: 90.6 88.6 to 92.6",
        "look greedy +0.5 −1.5 to +2.5 0.31 0.93 unclear",
        "3e-4 ✓ chosen: 89.9 87.9 to 91.9",
        "temperature 0.3 79.0 87.9 85.9 to 89.9 93.8 91.8 to 95.8",
        "DFT 0.620 7.25 5,240",
        "The advice was right.",
        "How many bars are there? Gold 3 Base 2 wrong SFT 3 correct DFT 3.0 correct",
        "Base none found no answer",
        "Values: 30, 60, 45. There are 3 bars.",
        "empty response",
        "mmdft experiment configs/experiments/noisy.yaml",
        "grid 14 min 03 s",
    ):
        assert expected in words


def test_the_page_can_be_read_by_machines_too(text: str) -> None:
    page = Page(text)
    assert text.startswith("<!doctype html>")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [image["alt"] for image in page.all("img")] == [
        "The picture of: How many bars are there?",
        "The picture of: Which bar is the lowest?",
    ]
    drawings = page.all("svg")
    # Differences, two rates, two curves, four statistics, the histogram.
    assert len(drawings) == 10
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in page.all("a")}
    assert targets <= {f"#{name}" for name in ids} and len(targets) == 10


def test_the_page_needs_nothing_else(text: str) -> None:
    page = Page(text)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert not page.all("link")
    assert not re.search(r"url\((?!#)", text)
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)


def test_no_text_becomes_markup(results: dict[str, Any], text: str, tmp_path: Path) -> None:
    poison = "".join(HOSTILE)
    clean = [tag for tag, _ in Page(text).elements]
    results.update(title=poison, command=poison, setting={poison: poison}, seconds={poison: 1.0})
    for variant in results["variants"].values():
        variant.update(title=poison, overrides={poison: poison})
    for sample in results["samples"]:
        sample.update(question=poison, gold=poison)
        for answer in sample["answers"].values():
            answer.update(response=poison, answer=poison)
    for benchmark in results["benchmarks"].values():
        benchmark["title"] = poison
    results["tests"][0]["test"] = results["advice"]["text"] = poison
    poisoned = written(results, tmp_path)
    allowed = {"html", "head", "body", "script", "style", "main", "svg"}
    elements = Page(poisoned).elements
    found = [tag for tag, _ in elements]
    # Counted rather than compared: of long lists pytest takes minutes to show the difference.
    for tag in (*allowed, "img"):
        assert found.count(tag) == clean.count(tag)
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert html.escape(HOSTILE[0], quote=False) in poisoned


def test_only_the_pages_own_script_may_run(text: str) -> None:
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    (policy,) = (str(meta["content"]) for meta in Page(text).all("meta") if "http-equiv" in meta)
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_the_users_chart_style_does_not_matter(results: dict[str, Any]) -> None:
    import matplotlib

    checked = check_results(results)
    expected = charts.curve_charts(checked)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True}):
        assert charts.curve_charts(checked) == expected
        assert matplotlib.rcParams["font.size"] == 30


def test_another_experiment_is_shown_in_short(results: dict[str, Any], tmp_path: Path) -> None:
    other = copy.deepcopy(results)
    other["variants"]["dft"]["title"] = "DFT <b>"
    other["base"]["test"]["greedy"] = 0.123
    also = Also(title="The counter-example: <i>", results=other, link="facts/report.html")
    lead = ("What was found <u>.", "What to do.")
    out = write_page(results, tmp_path / "report.html", lead=lead, also=also)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    first, found, counter, rest = (
        page.text.index(words)
        for words in (
            "What was found <u>. What to do.",
            "In distribution (test), DFT is better than SFT",
            "The counter-example: <i> In distribution (test), DFT <b> is better than SFT",
            "All of it on its own page",
        )
    )
    # Once in the contents, too.
    assert first < found < counter < rest
    assert page.text.count("12.3 avg@4 62.0") == 1
    assert [a["id"] for a in page.all("section")][-2:] == ["also", "setting"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {str(a["href"]) for a in page.all("a")}
    assert targets - {f"#{name}" for name in ids} == {"facts/report.html"}
    # The ten of a page, and the other's two curves.
    assert len(page.all("svg")) == 12
    for tag in ("u", "i"):
        assert not page.all(tag)


def test_another_experiment_of_another_shape_is_refused(
    results: dict[str, Any], tmp_path: Path
) -> None:
    also = Also(title="Other", results={"name": "other"}, link="other.html")
    with pytest.raises(DataError, match="the experiment's results: "):
        write_page(results, tmp_path / "report.html", also=also)
    assert not (tmp_path / "report.html").exists()


def test_names_of_benchmarks_are_no_formulas(results: dict[str, Any]) -> None:
    label = "$x_{1$ <b>"
    chart = charts.difference_chart(check_results(renamed(results, "look", label)))
    assert chart is not None
    assert html.escape(f"{label}, greedy", quote=False) in chart.svg
    assert "<b>," not in chart.svg


def renamed(value: Any, old: str, new: str) -> Any:
    """The same with a text exchanged for another wherever it is a key or a value."""
    if isinstance(value, dict):
        return {new if key == old else key: renamed(each, old, new) for key, each in value.items()}
    if isinstance(value, list):
        return [renamed(each, old, new) for each in value]
    return new if value == old else value


def test_the_same_results_give_the_same_bytes(
    results: dict[str, Any], text: str, tmp_path: Path
) -> None:
    same = written(results, tmp_path) == text  # pytest would look for the difference for minutes
    assert same


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    page = Page(written(sparse_results(), tmp_path))
    assert [a["id"] for a in page.all("section")] == ["results", "setting"]
    assert not page.all("svg") and not page.all("img") and not page.all("form")
    assert "Not finished: some of the runs failed or are still to come." in page.text
    assert "One seed: there are no intervals over seeds, and there are no tests" in page.text
    assert "0.0" not in page.text.replace("50.0", "").replace("70.0", "")


def heights(svg: str) -> list[list[float]]:
    """The heights of a chart's lines (from the top), line by line."""
    lines = re.findall(
        r'<path d="(M[^"]*)" clip-path="[^"]*" style="fill: none; stroke[^"]*stroke-width: 1.[34]',
        svg,
    )
    return [[float(y) for _, y in re.findall(r"[ML] ([\d.-]+) ([\d.-]+)", line)] for line in lines]


def test_a_step_without_a_value_is_a_gap(results: dict[str, Any]) -> None:
    sft, dft = heights(charts.training_charts(check_results(results))[0].svg)
    assert len(sft) == 4 and sft == sorted(sft)
    # Its third of four steps was not measured: the line has no point there, least of all at zero.
    assert len(dft) == 3


def test_a_benchmark_of_one_variant_has_one_curve(results: dict[str, Any]) -> None:
    del results["variants"]["sft"]["curves"]["test"]
    drawn = {chart.title: chart for chart in charts.curve_charts(check_results(results))}
    assert {title: len(heights(chart.svg)) for title, chart in drawn.items()} == {
        "test": 1,
        "validation": 2,
    }


def test_what_failed_is_named(tmp_path: Path) -> None:
    results = sparse_results()
    results["failures"] = [{"run": "runs/dft/lr-3e-04/seed-1", "error": "ModelError: <b> gone"}]
    words = Page(written(results, tmp_path)).text
    assert "runs/dft/lr-3e-04/seed-1: ModelError: <b> gone" in words


def test_bars_are_shares_of_a_models_own_tokens(results: dict[str, Any]) -> None:
    def bars() -> list[str]:
        chart = charts.token_chart(check_results(results))
        assert chart is not None
        return re.findall(r'<path d="([^"]*)" clip-path="[^"]*" style="fill: #0072b2', chart.svg)

    before = bars()
    counts = results["variants"]["dft"]["probabilities"]["counts"]
    assert len(before) == len(counts) == 13
    # Another model's number of tokens sets the axis.
    results["variants"]["sft"]["probabilities"]["counts"][3] += 5 * sum(counts)
    alike = bars()
    counts[:] = [5 * count for count in counts]
    assert bars() == alike != before


def test_a_picture_that_is_gone_is_said(results: dict[str, Any], tmp_path: Path) -> None:
    Path(results["samples"][0]["image"]).unlink()
    page = Page(written(results, tmp_path))
    assert len(page.all("img")) == 1
    assert "The picture is not there. How many bars are there?" in page.text


def test_a_picture_that_is_no_png_is_refused_and_the_old_page_kept(
    results: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    out.write_text("the old page")
    Path(results["samples"][1]["image"]).write_text("<svg onload=alert(1)>")
    with pytest.raises(DataError, match=r"two\.png: the picture of 'Which bar .* is not a PNG"):
        write_page(results, out)
    assert out.read_text() == "the old page"


def test_many_variants_are_told_apart(results: dict[str, Any], tmp_path: Path) -> None:
    for number in range(7):
        results["variants"][f"other{number}"] = copy.deepcopy(results["variants"]["dft"])
        results["variants"][f"other{number}"]["title"] = f"Other {number}"
    page = Page(written(results, tmp_path))
    lines = [a["style"] for a in page.all("span") if a.get("class") == "line"]
    assert len(set(lines)) == 10  # nine variants and the base


def test_pages_load_no_torch() -> None:
    program = (
        "import sys, mmdft.experiments.page, mmdft.experiments.markdown; "
        "print([n for n in ('torch', 'transformers', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
