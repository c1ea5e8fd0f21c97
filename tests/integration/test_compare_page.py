"""The page of `mmdft compare` in a real browser: filters, keys, links, width, and ten thousand."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation_folders import figures_data, write_run
from PIL import Image

from mmdft.comparison.compare import compare
from mmdft.comparison.write import write_comparison

NASTY = '<script>window.injected = 1</script><img src=x onerror="window.injected = 1">'

# What the scripts of this file use.
HELPERS = """
    const key = (name, target = page.body) =>
      target.dispatchEvent(new view.KeyboardEvent("keydown", { key: name, bubbles: true }));
    const current = () => page.querySelector("#item h3")?.textContent ?? null;
    const count = () => get("count").value;
    const set = (id, value, event = "change") => {
      get(id).value = value;
      get(id).dispatchEvent(new view.Event(event));
    };
    const label = (id, text) => [...get(id).options].find((option) => option.text === text).value;
    const drawn = () => page.querySelectorAll(".row").length;
"""


@pytest.fixture
def act(in_browser: Callable[..., Any]) -> Callable[..., Any]:
    """`act(script, page, width, link)`: what the script saw in a comparison below `tmp_path`."""

    def run(script: str, page: Path, width: int = 1280, link: str = "") -> Any:
        ready = 'page.documentElement.dataset.ready === "yes"'
        return in_browser(HELPERS + script, page, width=width, link=link, ready=ready)

    return run


ROWS = [
    {
        "id": NASTY if k == 5 else f"item {k}",
        "question": f"Look at the figure and say: what is {k} + 0? {NASTY}",
        "answer": str(k),
        "category": NASTY if k % 4 == 0 else ("even", "odd")[k % 2],
        "image": f"{k}.png",
    }
    for k in range(12)
]
# item -> what base, sft and dft answer: its number is right, None is no answer
SAID = {0: (0, 0, 0), 1: (1, 9, 1), 2: (9, 2, 2), 3: (9, 9, 9), 4: (None, 9, 4), 5: (9, 9, 5)}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    for k in range(12):
        Image.new("RGB", (80, 60), (20 * k, 0, 0)).save(tmp_path / "data" / f"{k}.png")
    data = figures_data(tmp_path / "data", ROWS)
    folders = []
    for place, name in enumerate(("base", "sft", "dft")):
        predictions = []
        for k, row in enumerate(ROWS):
            said = SAID.get(k, (k, k, k))[place]
            text = "" if said is None else f"{NASTY} \N{GRINNING FACE} thus the answer is {said}."
            cut = {"truncated": True} if (place, k) == (1, 3) else {}
            predictions.append({"id": row["id"], "response": text, "num_tokens": 7, **cut})
        benchmarks = {
            "figures": ("figures", data, predictions),
            "again": ("figures", data, predictions),
        }
        folders.append(write_run(tmp_path / name, benchmarks, model=f"models/{name}"))
    (tmp_path / "data" / "7.png").unlink()
    return write_comparison(compare(folders), tmp_path / "out" / "deep")


SMALL = """
    seen.wide = [...page.querySelectorAll("body *")]
      .filter((e) => !e.closest(".scroll, #list"))
      .filter((e) => e.getBoundingClientRect().right > page.documentElement.clientWidth)
      .map((e) => `${e.tagName}.${e.className}`);
    seen.widths = [page.documentElement.clientWidth, page.documentElement.scrollWidth];
    seen.first = [current(), count()];
    set("benchmark", label("benchmark", "figures"));
    seen.one = [count(), [...get("category").options].map((option) => option.text)];
    seen.show = Object.fromEntries([...get("show").options].map((option) => {
      set("show", option.value);
      return [option.text, Number(count().split(" ")[0])];
    }));
    set("show", label("show", "dft: won"));
    const texts = (name) => [...page.querySelectorAll(name)].map((e) => e.textContent);
    seen.won = texts(".row b");
    seen.marks = texts(".row .marks");
    seen.selected = page.querySelector("[aria-selected=true] b").textContent;
    seen.moves = ["j", "ArrowRight", "j", "k", "ArrowLeft", "k", "k"].map((name) => {
      key(name);
      return current();
    });
    page.querySelectorAll(".row")[1].click();
    seen.clicked = current();
    get("next").click();
    seen.next = current();
    get("previous").click();
    seen.hash = view.location.hash;
    set("show", "");
    set("category", label("category", "odd"));
    seen.category = count();
    set("category", "");
    key("/");
    seen.focused = page.activeElement.id;
    key("j", get("search"));
    seen.typed = count();
    set("search", "  What IS 3 + ", "input");
    seen.found = [count(), current()];
    set("search", "no such words", "input");
    seen.empty = [count(), get("item").textContent, drawn()];
    key("Escape", get("search"));
    seen.cleared = [get("search").value, count()];
    set("search", "what is 4 +", "input");
    seen.responses = texts(".response");
    seen.found_marks = [...page.querySelectorAll(".answer")].map(
      (e) => e.querySelector("mark")?.textContent ?? null);
    seen.verdicts = texts(".verdict");
    seen.gold = page.querySelector(".gold").innerText;
    seen.markup = page.querySelectorAll("main script, main img[onerror], .row script").length;
    const image = page.querySelector("#item img");
    await image.decode();
    seen.image = [image.src.slice(0, 16), image.naturalWidth];
    set("search", "what is 7 +", "input");
    seen.missing = page.querySelector(".missing").textContent;
    set("search", "", "input");
    view.location.hash = "#in=again&item=item+2&show=flipped";
    await new Promise((done) => setTimeout(done, 50));
    seen.linked = [current(), get("show").value, count()];
    seen.widths.push(page.documentElement.scrollWidth);
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_a_reader_finds_the_way(small: Path, act: Callable[..., Any], width: int) -> None:
    seen = act(SMALL, small, width)
    assert not seen["wide"]
    # Nothing is wider than the page.
    assert len(set(seen["widths"])) == 1 and width - 20 <= seen["widths"][0] <= width
    assert seen["first"] == ["item 0", "24 of 24"]
    assert seen["one"] == ["12 of 24", ["All categories", NASTY, "even", "odd"]]
    assert seen["show"] == {
        "All items": 12,
        "Flipped": 4,
        "sft: won": 1,
        "sft: lost": 1,
        "dft: won": 3,
        "dft: lost": 0,
        "All runs right": 7,
        "No run right": 1,
        "No answer": 1,
        "Not scored": 0,
        "Cut off": 1,
    }
    assert seen["won"] == ["item 2", "item 4", NASTY]
    assert seen["marks"] == ["✗✓✓", "–✗✓", "✗✗✓"]
    assert seen["selected"] == "item 2"
    order = ["item 2", "item 4", NASTY]
    assert seen["moves"] == [order[k] for k in (1, 2, 2, 1, 0, 0, 0)]
    assert (seen["clicked"], seen["next"]) == ("item 4", NASTY)
    assert seen["hash"] == "#in=figures&item=item+4&benchmark=figures&show=won+2"
    assert seen["category"] == "6 of 24"
    assert (seen["focused"], seen["typed"]) == ("search", "12 of 24")
    assert seen["found"] == ["1 of 24", "item 3"]
    assert seen["empty"][0] == "0 of 24" and "No item matches" in seen["empty"][1]
    assert seen["empty"][2] == 0
    assert seen["cleared"] == ["", "12 of 24"]
    said = f"{NASTY} \N{GRINNING FACE} thus the answer is "
    assert seen["responses"] == ["empty", f"{said}9.", f"{said}4."]
    assert seen["found_marks"] == [None, "9", "4"]
    assert seen["verdicts"] == ["– no answer", "✗ wrong", "✓ right"]
    assert seen["gold"] == "gold 4"
    assert seen["markup"] == 0
    assert seen["image"] == ["data:image/webp;", 80]
    assert seen["missing"] == "The image is not there."
    assert seen["linked"] == ["item 2", "flipped", "8 of 24"]


def test_a_link_leads_to_its_item(small: Path, act: Callable[..., Any]) -> None:
    script = """
    seen.there = [current(), get("benchmark").value, get("show").value, get("rules").value];
    seen.scrolled = view.scrollY > 0;
    """
    link = "#in=again&item=item+4&benchmark=again&show=none&rules=exact"
    seen = act(script, small, link=link)
    assert seen["there"] == ["item 4", "1", "none", "exact"]
    assert seen["scrolled"]


def test_no_text_becomes_markup(small: Path) -> None:
    """In the file itself, whose items are packed: scripts, handlers and images are the page's."""
    text = small.read_text()
    assert re.findall(r"<script[^>]*>", text) == [
        '<script type="application/octet-stream" id="data">',
        "<script>",
    ]
    assert "<img" not in text and "&lt;script&gt;window.injected" in text
    assert "<script" not in small.with_suffix(".md").read_text().replace("\\<script", "")


LARGE = """
    const times = seen.milliseconds;
    times.filter = timed(() => set("show", "flipped"));
    seen.flipped = count();
    times.category = timed(() => set("category", [...get("category").options][1].value));
    set("category", "");
    times.all = timed(() => set("show", ""));
    times.first_search = timed(() => set("search", "number 4321 ", "input"));
    seen.found = [count(), current()];
    times.search = timed(() => set("search", "number 1234 ", "input"));
    set("search", "", "input");
    times.end = timed(() => key("End", get("list")));
    seen.end = [current(), drawn()];
    times.scroll = timed(() => { get("list").scrollTop = 5000 * 40; });
    await new Promise((done) => setTimeout(done, 50));
    seen.middle = [drawn(), page.querySelector(".row b").textContent];
    times.move = timed(() => key("k"));
    seen.elements = page.querySelectorAll("*").length;
"""


@pytest.mark.slow
def test_ten_thousand_items(tmp_path: Path, act: Callable[..., Any]) -> None:
    pick = random.Random(0)
    words = [f"word{k}" for k in range(3000)]
    rows = [
        {
            "id": str(k),
            "question": f"This is number {k} of them: " + " ".join(pick.choices(words, k=25)),
            "answer": str(k % 9),
            "category": f"c{k % 16}",
        }
        for k in range(10_000)
    ]
    data = figures_data(tmp_path / "data", rows)
    folders = []
    for name, skill in (("base", 0.5), ("dft", 0.6)):
        predictions = [
            {
                "id": row["id"],
                "response": " ".join(pick.choices(words, k=120))
                + f" The answer is {row['answer'] if pick.random() < skill else 77}.",
            }
            for row in rows
        ]
        folders.append(write_run(tmp_path / name, {"figures": ("figures", data, predictions)}))
    before = time.monotonic()
    page = write_comparison(compare(folders), tmp_path / "out")
    seconds = time.monotonic() - before
    seen = act(LARGE, page)
    rounded = {name: round(value) for name, value in seen["milliseconds"].items()}
    print(f"\n{page.stat().st_size / 1e6:.1f} MB, written in {seconds:.1f} s; ms: {rounded}")
    assert seen["flipped"].endswith("of 10,000") and not seen["flipped"].startswith("10,000")
    assert seen["found"] == ["1 of 10,000", "4321"]
    assert seen["end"][0] == "9999"
    assert seen["middle"][1] == "4997"
    # The rows in view and a few around them; the page as a whole stays small.
    assert seen["end"][1] < 60 and seen["middle"][0] < 60
    assert seen["elements"] < 1500
    assert page.stat().st_size < 20e6
