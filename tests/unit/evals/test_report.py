from __future__ import annotations

import base64
import copy
import hashlib
import html
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmdft.errors import DataError
from mmdft.evals.report import report_markdown, write_report
from mmdft.evals.report_tables import (
    duration,
    p_text,
    percent,
    setting_text,
    signed_points,
    with_error,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(2)>",
    "\"' onmouseover=alert(3) x='",
    "</script><!-- {{ 7*7 }} {% raw %}",
)


class Page(HTMLParser):
    """The page's elements, and its text in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._unseen = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._unseen += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def score(n: int, accuracy: float, stderr: float, **categories: tuple[int, float, float]) -> Any:
    return {
        "n": n,
        "accuracy": accuracy,
        "stderr": stderr,
        "low": accuracy - 2 * stderr,
        "high": accuracy + 2 * stderr,
        "no_answer": 13,
        "truncated": 7,
        "categories": {
            family: {"n": count, "accuracy": mean, "stderr": error}
            for family, (count, mean, error) in categories.items()
        },
    }


def model(title: str, steps: int, counts: list[int], **results: Any) -> Any:
    history = [
        {
            "step": step,
            "loss": 1 / step,
            "nll": 2 / step,
            "mean_p": 1 - 1 / step,
            "token_accuracy": 0.5,
            "grad_norm": 3 / step,
        }
        for step in range(1, steps + 1)
    ]
    return {
        "title": title,
        "history": history,
        "probabilities": {
            "edges": [0, 1e-4, 0.1, 0.9, 1],
            "counts": counts,
            "lowest": [[" the", 41], ["\n", 29]],
            "highest": [["Answer", 1234]],
        },
        "results": {name.replace("_", " "): value for name, value in results.items()},
    }


def answer(response: str, found: str | None, status: str) -> dict[str, str | None]:
    return {"response": response, "answer": found, "status": status}


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    image = tmp_path / "figure.png"
    Image.new("RGB", (112, 96), "white").save(image)
    models = {
        "base": model(
            "Base",
            0,
            [900, 50, 40, 10],
            in_distribution=score(1500, 0.0512, 0.0057, bar_max=(60, 0.05, 0.0281)),
            out_of_distribution=score(400, 0.0301, 0.0088, bar_max=(60, 0.0167, 0.0165)),
        ),
        "sft": model(
            "SFT",
            60,
            [0, 100, 300, 600],
            in_distribution=score(1500, 0.6184, 0.0125, bar_max=(60, 0.7167, 0.0582)),
            out_of_distribution=score(400, 0.3175, 0.0233, bar_max=(60, 0.2667, 0.0571)),
        ),
        "dft": model(
            "DFT",
            60,
            [80, 60, 60, 800],
            in_distribution=score(1500, 0.6333, 0.0124, bar_max=(60, 0.7333, 0.0571)),
            out_of_distribution=score(400, 0.3725, 0.0242, bar_max=(60, 0.3833, 0.0628)),
        ),
    }
    statuses = {
        "a": ("wrong", "correct", "correct"),
        "b": ("correct", "correct", "correct"),
        "c": ("no_answer", "unscored", "wrong"),
        "d": ("wrong", "wrong", "wrong"),
    }
    samples = [
        {
            "id": f"sample-{name}",
            "image": str(image),
            "split": "in distribution" if name in "ab" else "out of distribution",
            "family": "bar_max" if name in "ac" else "pie_share",
            "question": f"Which bar is tallest ({name})?",
            "gold": "42",
            "answers": {
                key: answer(
                    f"Reply of {key} to {name}.",
                    {"correct": "42", "no_answer": None}.get(status, "17"),
                    status,
                )
                for key, status in zip(models, row, strict=True)
            },
        }
        for name, row in statuses.items()
    ]
    return {
        "title": "Quickstart & friends",
        "findings": ["DFT leads by 5.5 points (p = 0.012).", "A second finding."],
        "setting": {"learning_rate": 5e-5, "steps": 60, "seed": 20240, "packed": True},
        "seconds": {"train_sft": 12.34, "evaluate": 185.0},
        "peak_memory_mb": 2311.6,
        "versions": {"torch": "2.9.1", "python": "3.11.2"},
        "command": "mmdft quickstart --out 'my run'",
        "models": models,
        "differences": [
            {
                "split": "in distribution",
                "a": "dft",
                "b": "sft",
                "difference": 0.0149,
                "stderr": 0.0171,
                "p_value": 0.3837,
                "a_only": 1040,
                "b_only": 1018,
            },
            {
                "split": "out of distribution",
                "a": "sft",
                "b": "dft",
                "difference": -0.055,
                "stderr": 0.0214,
                "p_value": 0.012,
                "a_only": 51,
                "b_only": 73,
            },
            {
                "split": "out of distribution",
                "a": "dft",
                "b": "base",
                "difference": 0.3424,
                "stderr": 0.025,
                "p_value": 1e-12,
                "a_only": 140,
                "b_only": 3,
            },
        ],
        "samples": samples,
    }


@pytest.fixture
def text(result: dict[str, Any], tmp_path: Path) -> str:
    return write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")


def test_numbers_are_formatted() -> None:
    assert percent(0.4126) == "41.3"
    assert percent(float("nan")) == "–"
    assert with_error(0.4123, 0.0181) == "41.2 ± 1.8"
    assert [signed_points(x) for x in (0.0321, -0.01, 0.0, -0.0004)] == [
        "+3.2",
        "−1.0",
        "0.0",
        "0.0",
    ]
    assert [p_text(p) for p in (0.0004, 0.001, 0.0499, 1.0)] == [
        "< 0.001",
        "0.001",
        "0.050",
        "1.000",
    ]
    assert [duration(s) for s in (0.04, 59.94, 59.96, 185, 3599.7, 3720)] == [
        "0.0 s",
        "59.9 s",
        "1 min 00 s",
        "3 min 05 s",
        "1 h 00 min",
        "1 h 02 min",
    ]
    assert [setting_text(v) for v in (5e-5, 0.1, 20240, True, "a_b")] == [
        "5e-5",
        "0.1",
        "20240",
        "yes",
        "a_b",
    ]


def test_every_number_of_the_result_is_on_the_page(text: str) -> None:
    words = Page(text).text
    for expected in (
        "5.1 ± 0.6 %",
        "61.8 ± 1.2 %",
        "63.3 ± 1.2 %",
        "3.0 ± 0.9 %",
        "31.8 ± 2.3 %",
        "37.2 ± 2.4 %",
        "95% interval 32.4 to 42.1 n = 400 no answer 13, truncated 7",
        "n = 1,500",
        "in distribution DFT − SFT +1.5 ± 1.7 0.384 1,040 1,018",
        "out of distribution SFT − DFT −5.5 ± 2.1 0.012 51 73",
        "out of distribution DFT − Base +34.2 ± 2.5 < 0.001 140 3",
        "bar max 60 5.0 ± 2.8 71.7 ± 5.8 73.3 ± 5.7 60 1.7 ± 1.7 26.7 ± 5.7 38.3 ± 6.3",
        "learning rate 5e-5 steps 60 seed 20240 packed yes",
        "train sft 12.3 s evaluate 3 min 05 s",
        "peak 2,312 MB",
        "torch 2.9.1 python 3.11.2",
        "mmdft quickstart --out 'my run'",
        "␣the 41 ↵ 29 Answer 1,234",
        "DFT leads by 5.5 points (p = 0.012).",
        "Base none found no answer SFT 17 not scored DFT 17 wrong",
        "Reply of dft to c.",
    ):
        assert expected in words


def test_only_a_clear_best_is_bold(text: str) -> None:
    bold = re.findall(r'<strong class="score">(.*?)</strong>', text)
    assert bold == ["37.2 ± 2.4 %"]


def test_a_tie_or_an_uncompared_lead_is_not_bold(result: dict[str, Any], tmp_path: Path) -> None:
    tied = copy.deepcopy(result)
    for key in ("sft", "dft"):
        tied["models"][key]["results"]["out of distribution"]["accuracy"] = 0.35
    uncompared = copy.deepcopy(result)
    # The runner-up is SFT: a clear lead on the base model alone is not enough.
    del uncompared["differences"][1]
    for case in (tied, uncompared):
        page = write_report(case, tmp_path / "report.html").read_text(encoding="utf-8")
        assert '<strong class="score">' not in page


def test_scores_of_repeated_answers_stand_in_their_cells(
    result: dict[str, Any], tmp_path: Path
) -> None:
    scored = result["models"]["dft"]["results"]["out of distribution"]
    scored["samples"] = {
        "pass@4": {"value": 0.5123, "interval": [0.4, 0.625], "standard_error": 0.05, "items": 9},
        "majority@4": {"value": None, "interval": None},
    }
    page = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "pass@4 51.2 % (40.0 to 62.5)" in page and "majority@4 –" in page
    markdown = report_markdown(result)
    assert "; n = 400); pass@4 51.2 % (40.0 to 62.5); majority@4 – |" in markdown
    assert markdown.count("pass@4") == 1


def test_what_is_open_stands_in_its_cell(result: dict[str, Any], tmp_path: Path) -> None:
    scored = result["models"]["dft"]["results"]["out of distribution"]
    scored |= {"open": 4, "range": [0.3725, 0.3825]}
    page = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("4 open, range 37.2 to 38.2") == 1
    assert "; n = 400; 4 open, range 37.2 to 38.2) |" in report_markdown(result)
    scored["open"] = 0
    page = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "open, range" not in page


def test_hostile_text_stays_text(result: dict[str, Any], tmp_path: Path) -> None:
    plain = write_report(result, tmp_path / "plain.html").read_text(encoding="utf-8")
    poison = "".join(HOSTILE)
    sample = result["samples"][0]
    sample.update(question=poison, gold=poison, family=poison, split=poison, id=poison)
    sample["answers"]["dft"].update(response=poison, answer=poison)
    result["title"] = poison
    result["findings"][1] = poison
    result["command"] = poison
    result["setting"][poison] = poison
    result["models"]["dft"]["title"] = poison
    result["models"]["dft"]["probabilities"]["lowest"] = [[poison, 1]]
    scores = result["models"]["dft"]["results"]["in distribution"]["categories"]
    scores[poison] = scores.pop("bar_max")
    text = write_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    for piece in HOSTILE:
        assert piece not in text
        assert piece in page.text
    assert len(page.all("script")) == 1
    assert Counter(tag for tag, _ in page.elements)["img"] == len(Page(plain).all("img"))
    handlers = [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]
    assert handlers == []


def test_only_the_pages_own_script_may_run(text: str) -> None:
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = next(m["content"] for m in Page(text).all("meta") if "http-equiv" in m)
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    without_namespaces = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[\w/]+"', "", text)
    assert not re.search(r"https?://|@import|//\w+\.\w+/", without_namespaces)
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:image/png;base64,", "#"))


def test_links_within_the_page_lead_somewhere_once(text: str) -> None:
    page = Page(text)
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert [name for name, count in ids.items() if count > 1] == []
    links = {a.get("href") or a.get("xlink:href") for _, a in page.elements} - {None}
    uses = {f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", text)}
    labels = {f"#{a['aria-labelledby']}" for _, a in page.elements if "aria-labelledby" in a}
    assert {str(link)[1:] for link in links | uses | labels if link} <= set(ids)


def test_the_page_can_be_read_by_machines_too(text: str) -> None:
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert "<title>Quickstart &amp; friends</title>" in text
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(image["alt"] for image in page.all("img"))
    assert {(image["width"], image["height"]) for image in page.all("img")} == {("224", "192")}
    drawings = page.all("svg")
    assert len(drawings) == 5
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)


def test_the_same_result_gives_the_same_bytes(result: dict[str, Any], tmp_path: Path) -> None:
    first = write_report(result, tmp_path / "first.html").read_bytes()
    assert write_report(copy.deepcopy(result), tmp_path / "second.html").read_bytes() == first


def test_the_users_chart_style_does_not_matter(
    result: dict[str, Any], text: str, tmp_path: Path
) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True}):
        again = write_report(result, tmp_path / "again.html").read_text(encoding="utf-8")
        assert matplotlib.rcParams["font.size"] == 30
    assert again == text


def test_a_missing_figure_is_named_and_the_old_report_kept(
    result: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    out.write_text("the old report")
    result["samples"][2]["image"] = str(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"gone\.png: cannot read the figure of sample sample-c"):
        write_report(result, out)
    assert out.read_text() == "the old report"
    assert not list(tmp_path.glob(".*"))


def test_a_figure_that_is_no_png_is_refused(result: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_text("<svg onload=alert(1)>")
    with pytest.raises(DataError, match=r"figure\.png: .* not a PNG file"):
        write_report(result, tmp_path / "report.html")


def edit(result: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split(".")
    place: Any = result
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("findings", "one string", r"findings: .*list"),
        ("models", {}, "models: there must be at least one"),
        ("models.sft.results.in distribution.accuracy", "high", r"in distribution\.accuracy: "),
        ("models.sft.probabilities.counts", [1, 2], "5 edges need 4 counts, not 2"),
        ("models.sft.probabilities.edges", [0, 0.5, 1], "other edges than the first model's"),
        ("differences.0.b", "rl", r"differences\.0: there is no model 'rl'"),
        (
            "samples.1.answers",
            {"rl": answer("", None, "wrong")},
            "sample-b: there is no model 'rl'",
        ),
        ("samples.1.answers.sft.status", "right", r"samples\.1\.answers\.sft\.status: "),
    ],
)
def test_a_result_of_another_shape_is_refused(
    result: dict[str, Any], tmp_path: Path, path: str, value: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_report(edit(result, path, value), tmp_path / "report.html")


def test_a_result_without_the_optional_parts_is_shown(
    result: dict[str, Any], tmp_path: Path
) -> None:
    for one in result["models"].values():
        one["history"] = []
        one["probabilities"].update(counts=[0, 0, 0, 0], lowest=[], highest=[])
    del result["models"]["base"]["results"]["out of distribution"]
    result.update(differences=[], samples=[])
    page = Page(write_report(result, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "No training history was recorded." in page.text
    assert "No samples were kept." in page.text
    assert "Paired differences" not in page.text
    assert page.all("form") == []


def test_what_the_samples_can_be_filtered_by(text: str) -> None:
    cards = [a for a in Page(text).all("li") if "data-sample" in a]
    assert [card["data-missed"] for card in cards] == ["0", "", "0 2", "0 1 2"]
    assert [card["data-disagree"] for card in cards] == ["yes", "no", "yes", "no"]
    assert cards[0]["data-split"] == "in distribution"
    assert cards[1]["data-family"] == "pie_share"


def test_without_the_script_all_samples_are_visible(text: str) -> None:
    page = Page(text)
    assert all("hidden" not in a for tag, a in page.elements if tag != "form")
    assert "hidden" in page.all("form")[0]


def test_markdown_has_the_same_tables(result: dict[str, Any]) -> None:
    markdown = report_markdown(result)
    for line in (
        "# Quickstart & friends",
        "- A second finding.",
        "| Model | in distribution | out of distribution |",
        "| SFT | 61.8 ± 1.2 % (59.3 to 64.3; n = 1,500) | 31.8 ± 2.3 % (27.1 to 36.4; n = 400) |",
        "| DFT | 63.3 ± 1.2 % (60.8 to 65.8; n = 1,500) "
        "| **37.2 ± 2.4 %** (32.4 to 42.1; n = 400) |",
        "| out of distribution | SFT − DFT | −5.5 ± 2.1 | 0.012 | 51 | 73 |",
        "| bar max | 60 | 5.0 ± 2.8 | 71.7 ± 5.8 | 73.3 ± 5.7 "
        "| 60 | 1.7 ± 1.7 | 26.7 ± 5.7 | 38.3 ± 6.3 |",
    ):
        assert line in markdown.splitlines()
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert [len({line.count("|") for line in table.splitlines()}) for table in tables] == [1, 1, 1]


def test_markdown_takes_text_as_text(result: dict[str, Any]) -> None:
    result["models"]["dft"]["title"] = "D|F\nT <b>*"
    assert r"| D\|F T \<b>\* | " in report_markdown(result)


def test_reports_load_neither_torch_nor_matplotlib() -> None:
    program = (
        "import sys, mmdft.evals.report; "
        "print([n for n in ('torch', 'transformers', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("", "abcd"),
        ("#family=bar_max&disagree=yes", "ac"),
        ("#missed=any", "acd"),
        ("#split=in+distribution&missed=2", ""),
    ],
)
def test_the_filters_work_in_a_browser(
    result: dict[str, Any],
    browse: Callable[[str, Path], str],
    tmp_path: Path,
    view: str,
    shown: str,
) -> None:
    result["samples"][0]["answers"]["dft"]["response"] = "".join(HOSTILE)
    page = write_report(result, tmp_path / "report.html")
    document = browse(f"{page.resolve().as_uri()}{view}", tmp_path / "profile")
    assert f"{len(shown)} of 4 shown</output>" in document
    cards = [a for a in Page(document).all("li") if "data-sample" in a]
    assert "".join(n for n, a in zip("abcd", cards, strict=True) if "hidden" not in a) == shown
    assert "hidden" not in Page(document).all("form")[0]
    assert html.escape(HOSTILE[0]) in document
