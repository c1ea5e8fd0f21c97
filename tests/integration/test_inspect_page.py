"""The page of `mmdft inspect` in a real browser: keys, filters, width, no complaints."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mmdft.cli import cli

# Acts in the page as a reader would, and leaves what it saw in its own document.
ACTIONS = """
<!doctype html><body><pre id="seen"></pre>
<iframe id="page" width="WIDTH" height="800" src="page.html"></iframe>
<script>
document.getElementById("page").onload = () => {
  const { contentDocument: page, contentWindow: view } = document.getElementById("page");
  const seen = {};
  const key = (name, target = page.body) =>
    target.dispatchEvent(new view.KeyboardEvent("keydown", { key: name, bubbles: true }));
  const current = () => page.querySelector("[aria-current]")?.id ?? null;
  const shown = () =>
    [...page.querySelectorAll("[data-example]")].filter((e) => !e.hidden).map((e) => e.id);
  const search = page.getElementById("search"), source = page.getElementById("source");
  const look = (text) => { search.value = text; search.dispatchEvent(new view.Event("input")); };
  const widest = () => page.documentElement.scrollWidth;

  seen.wide = [...page.querySelectorAll("body *")]
    .filter((e) => e.getBoundingClientRect().right > page.documentElement.clientWidth)
    .map((e) => `${e.tagName}.${e.className}`);
  seen.widths = [page.documentElement.clientWidth, widest()];
  seen.all = shown();
  seen.moves = ["j", "j", "ArrowRight", "k", "ArrowLeft", "k", "k"].map((name) => {
    key(name);
    return current();
  });
  key("/");
  seen.focused = page.activeElement.id;
  key("j", search);
  seen.typed = current();
  look("  SECOND   question");
  seen.found = shown();
  key("j");
  seen.found_next = current();
  look("nothing like it");
  seen.empty = [shown(), !page.getElementById("none").hidden];
  key("Escape", search);
  seen.cleared = [search.value, shown().length];
  source.value = [...source.options].find((option) => option.text === "train.jsonl").value;
  source.dispatchEvent(new view.Event("change"));
  seen.of_file = [shown(), page.getElementById("count").value];
  source.value = "";
  source.dispatchEvent(new view.Event("change"));
  const answer = page.querySelector(".answer [data-d]");
  answer.click();
  seen.tip = page.getElementById("tip").innerText;
  seen.widths.push(widest());
  key("Escape");
  seen.tip_hidden = page.getElementById("tip").hidden;
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script>
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a browser finds `tmp_path`: an address, so that one page may act in another."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("width", "packing"), [(1280, False), (390, False), (390, True)])
def test_a_reader_finds_the_way(
    tiny_dir: Callable[[str], Path],
    figures_file: Callable[..., Path],
    browse: Callable[[str, Path], str],
    tmp_path: Path,
    address: str,
    width: int,
    packing: bool,
) -> None:
    rows = [
        {"question": f"The {name} question?", "reasoning": reasoning, "answer": "7"}
        for name, reasoning in (
            ("first", "short."),
            ("second", "<script>alert(1)</script> " + "long" * 200),
            ("third", "\\boxed{}\n\n" * 20),
        )
    ]
    rows.append({"question": "bad"})
    mine = tmp_path / f"{'a_long_name_' * 12}.jsonl"
    mine.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = tmp_path / "run.yaml"
    config.write_text(
        json.dumps(
            {
                "model": {"name": str(tiny_dir("qwen2_5_vl"))},
                "data": {
                    "train": [str(mine), str(figures_file(3))],
                    "max_bad_fraction": 0.5,
                    "max_length": 2000,
                    "packing": packing,
                },
            }
        )
    )
    out = tmp_path / "page.html"
    result = CliRunner().invoke(cli, ["inspect", str(config), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)["summary"]
    assert (summary["examples"], summary["quarantined"], summary["shown"]) == (6, 1, 6)
    (tmp_path / "actions.html").write_text(ACTIONS.replace("WIDTH", str(width)))

    document = browse(f"{address}/actions.html", tmp_path / "profile")
    found = re.search(r'<pre id="seen">(.*?)</pre>', document, re.DOTALL)
    assert found is not None
    seen = json.loads(html.unescape(found[1]))
    # Nothing is wider than the page.
    assert not seen["wide"]
    assert len(set(seen["widths"])) == 1 and width - 20 <= seen["widths"][0] <= width
    every = seen["all"]
    assert sorted(every) == [f"e{number}" for number in range(1, 7)]
    assert seen["moves"] == [every[place] for place in (0, 1, 2, 1, 0, 0, 0)]
    assert (seen["focused"], seen["typed"]) == ("search", every[0])
    assert seen["found"] == ["e2"]
    assert seen["found_next"] == ("e2" if every.index("e2") > 0 else every[0])
    assert seen["empty"] == [[], True]
    assert seen["cleared"] == ["", 6]
    assert sorted(seen["of_file"][0]) == ["e4", "e5", "e6"]
    assert seen["of_file"][1] == "3 of 6 shown"
    assert "answer" in seen["tip"] and "rotary" in seen["tip"] and "position" in seen["tip"]
    assert seen["tip_hidden"]
