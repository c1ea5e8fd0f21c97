"""The page of `mmdft experiment` in a real browser: its width, its filters, its folds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment_results import complete_results
from html_text import HOSTILE

from mmdft.experiments.page import write_page

LOOK = """
    const root = page.documentElement;
    // Wide tables and the histogram scroll by themselves; nothing else is wider than the page.
    seen.wide = [...page.querySelectorAll("body *")]
      .filter((e) => !e.closest(".scroll, .wide, .hidden, svg"))
      .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 0.5)
      .map((e) => `${e.tagName}.${e.className}`);
    seen.widths = [root.clientWidth, root.scrollWidth];
    const main = page.querySelector("#results .scroll");
    seen.main = [main.clientWidth, main.scrollWidth];
    seen.short = [...page.querySelectorAll(".grid td .value")]
      .filter((e) => e.getBoundingClientRect().height > 40).length;
    const shown = () => [...page.querySelectorAll("[data-sample]")].map((e) => !e.hidden);
    const form = get("filters");
    const choose = (name, value) => {
      form.elements[name].value = value;
      form.dispatchEvent(new view.Event("change"));
    };
    seen.all = [shown(), get("shown").value];
    choose("split", "values");
    seen.values = [shown(), get("shown").value, view.location.hash];
    choose("split", "");
    choose("missed", "1");
    seen.missed_by_sft = shown();
    choose("missed", "");
    form.elements.disagree.click();
    seen.disagree = shown();
    form.reset();
    await new Promise((done) => setTimeout(done, 20));
    seen.reset = shown();
    view.location.hash = "#split=test";
    await new Promise((done) => setTimeout(done, 50));
    seen.linked = shown();
    const fold = page.querySelector("#tests details");
    seen.fold = [fold.open, fold.querySelector("table").checkVisibility()];
    fold.querySelector("summary").click();
    seen.unfolded = [fold.open, fold.querySelector("table").checkVisibility()];
    const image = page.querySelector(".sample img");
    await image.decode();
    seen.image = [image.naturalWidth, image.width];
    seen.colours = ["body", ".card"].map(
      (name) => view.getComputedStyle(page.querySelector(name)).backgroundColor);
    seen.response = page.querySelector(".response").textContent;
    seen.markup = page.querySelectorAll("main script, img[onerror]").length;
"""


@pytest.mark.parametrize("width", [1280, 400])
def test_a_reader_finds_the_way(in_browser: Callable[..., Any], tmp_path: Path, width: int) -> None:
    results = complete_results(tmp_path)
    poison = "".join(HOSTILE)
    results["samples"][0]["answers"]["base"]["response"] = poison
    seen = in_browser(LOOK, write_page(results, tmp_path / "out" / "report.html"), width=width)
    assert not seen["wide"]
    assert len(set(seen["widths"])) == 1
    # The main table of a base and two variants is seen whole, also on a phone.
    assert seen["main"][1] <= seen["main"][0]
    assert seen["short"] == 0
    assert seen["all"] == [[True, True], "2 of 2 shown"]
    assert seen["values"] == [[False, True], "1 of 2 shown", "#split=values"]
    assert seen["missed_by_sft"] == [False, True]
    assert seen["disagree"] == [True, True]
    assert seen["reset"] == [True, True]
    assert seen["linked"] == [True, False]
    assert (seen["fold"], seen["unfolded"]) == ([False, False], [True, True])
    assert seen["image"][0] == 112 and seen["image"][1] <= 224
    # Drawings are dark on light, whatever the page is.
    assert seen["colours"][1] == "rgb(255, 255, 255)"
    assert (seen["response"], seen["markup"]) == (poison, 0)


def test_ten_variants_on_a_phone(in_browser: Callable[..., Any], tmp_path: Path) -> None:
    results = complete_results(tmp_path)
    for number in range(8):
        results["variants"][f"v{number}"] = copy.deepcopy(results["variants"]["dft"])
        results["variants"][f"v{number}"]["title"] = f"Variant {number} of them"
    script = """
    const main = page.querySelector("#results .scroll");
    main.scrollLeft = 500;
    const name = main.querySelector("tbody tr:not(.group) th").getBoundingClientRect();
    seen.scrolled = [main.scrollLeft, name.left - main.getBoundingClientRect().left];
    seen.widths = [page.documentElement.clientWidth, page.documentElement.scrollWidth];
    """
    seen = in_browser(script, write_page(results, tmp_path / "report.html"), width=400)
    # The table scrolls under its first column, not the page.
    assert seen["scrolled"] == [500, 0]
    assert seen["widths"][0] == seen["widths"][1]
