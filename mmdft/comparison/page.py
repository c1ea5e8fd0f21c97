"""The page of a comparison: one HTML file that needs nothing else but images past its budget.

The tables are markup; the items are data in one compressed block that the script unpacks, so that
ten thousand of them open at once.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdft.comparison import cells
from mmdft.comparison.highlight import answer_span
from mmdft.comparison.pictures import Pictures, pictures
from mmdft.comparison.records import Compared, Comparison, Difference
from mmdft.evals.stats.scores import key_value
from mmdft.pages import render_page
from mmdft.records import Prediction, Status, Verdict

_LETTERS: dict[Status, str] = {"correct": "c", "wrong": "w", "no_answer": "n", "unscored": "u"}


def page_html(comparison: Comparison, folder: Path) -> str:
    """The page as text, for a file in `folder`; the same byte for byte for the same comparison."""
    images = pictures(_images(comparison), folder)
    return render_page(
        "mmdft.comparison",
        "compare",
        it=comparison,
        cells=cells,
        images=images,
        num_items=sum(len(each.items) for each in comparison.benchmarks),
        differences={
            each.label: [d for d in comparison.differences if d.benchmark == each.label]
            for each in comparison.benchmarks
        },
        chart=_chart(comparison),
        items=_packed(_data(comparison, images)),
    )


def _images(comparison: Comparison) -> Iterator[Path]:
    """All images, those of the items that flipped first: these are looked at."""
    flipped = {
        (each.label, name)
        for each in comparison.benchmarks
        for won, lost in each.flips.values()
        for name in (*won, *lost)
    }
    for wanted in (True, False):
        for each in comparison.benchmarks:
            for item in each.items:
                if ((each.label, item.example.id) in flipped) == wanted:
                    yield from item.images


def _chart(comparison: Comparison) -> dict[str, Any] | None:
    """The differences of the headline numbers, with the scale that they are drawn on."""
    rows = [
        each for each in comparison.differences if each.is_headline and each.interval is not None
    ]
    if not rows:
        return None
    ends = [abs(end) for each in rows for end in each.interval or ()]
    scale = 1.08 * max(0.01, *ends, *(each.detectable or 0 for each in rows))

    def place(value: float) -> str:
        return f"{50 + 50 * value / scale:.2f}"

    def width(value: float) -> str:
        return f"{50 * value / scale:.2f}"

    return {"rows": rows, "scale": scale, "place": place, "width": width, "title": _title}


def _title(each: Difference) -> str:
    return (
        f"{each.run}: {cells.points(each.difference)} ({cells.interval_cell(each)}), "
        f"p (Holm) {cells.p_cell(each.p_holm)}, {each.conclusion}"
    )


def _data(comparison: Comparison, images: Pictures) -> dict[str, Any]:
    """What the script reads. Short keys: they are written ten thousand times."""
    names = [run.name for run in comparison.runs]
    place = {path: number for number, path in enumerate(images.sources)}
    return {
        "runs": names,
        "baseline": names.index(comparison.baseline.name),
        "images": list(images.sources.values()),
        "benchmarks": [
            {
                "label": each.label,
                "rules": list(each.rules),
                "keys": list(each.breakdowns),
                "prefix": _common_start([item.prompt for item in each.items]),
            }
            for each in comparison.benchmarks
        ],
        "items": [
            item
            for number, each in enumerate(comparison.benchmarks)
            for item in _items(number, each, names, place)
        ],
    }


def _items(
    number: int, each: Compared, names: list[str], place: dict[Path, int]
) -> Iterator[dict[str, Any]]:
    answers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for name in names:
        for i, prediction in enumerate(each.predictions[name]):
            answers[name, prediction.id].append(i)
    for item in each.items:
        example = item.example
        yield {
            "b": number,
            "id": example.id,
            "q": item.prompt,
            "g": example.answer,
            "c": list(example.choices),
            "k": [key_value(example, key) for key in each.breakdowns],
            "i": [place[path] for path in item.images],
            "a": [
                [
                    _answer(
                        each.predictions[name][i],
                        [each.verdicts[name][rule][i] for rule in each.rules],
                        example.choices,
                    )
                    for i in answers[name, example.id]
                ]
                for name in names
            ],
        }


def _answer(
    prediction: Prediction, verdicts: list[Verdict], choices: tuple[str, ...]
) -> dict[str, Any]:
    """An answer with a status letter and the number of an extraction for each rule set.

    An extraction is [answer, stage], with the start and end of its place in the response if it has
    one, in UTF-16 units as scripts count.
    """
    response = prediction.response
    read = list(dict.fromkeys(verdict.extraction for verdict in verdicts))
    extractions: list[list[Any]] = []
    for extraction in read:
        span = answer_span(response, extraction, choices)
        ends = [] if span is None else [_units(response, end) for end in span]
        extractions.append([extraction.answer, extraction.stage, *ends])
    return {
        "r": response,
        "n": prediction.num_tokens,
        "t": int(prediction.truncated),
        "v": "".join(_LETTERS[verdict.status] for verdict in verdicts),
        "x": extractions,
        "e": [read.index(verdict.extraction) for verdict in verdicts],
        "d": [verdict.detail for verdict in verdicts],
    }


def _units(text: str, end: int) -> int:
    return len(text[:end].encode("utf-16-le", "surrogatepass")) // 2


def _common_start(prompts: list[str]) -> int:
    """Length of what all prompts begin with, up to the last line break or space in it."""
    if len(prompts) < 2:
        return 0
    low, high = min(prompts), max(prompts)
    pairs = enumerate(zip(low, high, strict=False))
    common = low[: next((i for i, (a, b) in pairs if a != b), len(low))]
    return _units(common, max(common.rfind("\n"), common.rfind(" ")) + 1)


def _packed(data: dict[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=4, mtime=0)).decode()
