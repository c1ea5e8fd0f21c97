"""Bad rows are set aside by name and counted; nothing is replaced, cut or lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.dataset import BadRow, RenderedDataset, load_examples, write_quarantine
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.errors import DataError
from mmdft.files import read_jsonl
from mmdft.records import Example

Load = Callable[[str], Any]
GOOD = {"question": "How many?", "answer": "4"}


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    """JSONL, where bytes are a line as it stands."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.fixture
def load(processor: Load) -> Callable[..., tuple[list[Example], list[BadRow]]]:
    """Load files with settings of `DataConfig`; half of the rows may be bad."""
    model = processor("qwen2_5_vl")

    def run(*paths: Path, **settings: Any) -> tuple[list[Example], list[BadRow]]:
        config = DataConfig(**{"max_bad_fraction": 1.0, **settings})
        budget = pixel_budget(model, config.min_pixels, config.max_pixels)
        found = load_examples([SourceConfig(path=p) for p in paths], config, model, budget)
        return found.examples, found.bad

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file with every kind of bad row, each behind a good one."""
    Image.new("RGB", (56, 56)).save(tmp_path / "ok.png")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "ok.png").read_bytes()[:60])
    good = {**GOOD, "images": ["ok.png"]}
    return write_lines(
        tmp_path / "rows.jsonl",
        [
            {**good, "id": "first"},
            {**good, "id": "no-answer", "answer": ""},
            b"",
            b'{"id": "broken", "question"',
            b'{"question": "\xff", "answer": "4"}',
            {**good, "id": "text", "images": ["text.png"]},
            {**good, "id": "cut", "images": ["cut.png"]},
            {**good, "id": "web", "images": ["https://x.org/a.png"]},
            {**good, "id": "outside", "images": ["../ok.png"]},
            {**good, "id": "gone", "images": ["gone.png"]},
            {**good, "id": "long", "question": "word " * 2000},
            {"id": "unknown", "prompt": "?"},
            {**good, "id": "half", "question": "\ud800"},
            {**good, "id": "meta", "meta": "x"},
            [1, 2],
            {"messages": [{"role": ["user"], "content": "?"}], "id": 3},
            good,
        ],
    )


def test_every_bad_row_has_file_number_id_and_reason(load: Callable[..., Any], rows: Path) -> None:
    good, bad = load(rows, max_length=1000)
    assert [example.id for example in good] == ["first", "rows:17"]
    expected = [
        (2, "no-answer", "field 'answer' is missing or empty"),
        (4, "rows:4", "not valid JSON"),
        (5, "rows:5", "not UTF-8 text"),
        (6, "text", "text.png: not an image"),
        (7, "cut", "cut.png: cannot be decoded"),
        (8, "web", "is a web address"),
        (9, "outside", "../ok.png: lies outside of"),
        (10, "gone", "gone.png: no such file below"),
        (11, "long", "tokens, more than data.max_length=1000; raise it or lower data.max_pixels"),
        (12, "unknown", "found id, prompt"),
        (13, "rows:13", "half a character"),
        (14, "meta", "field 'meta' must be an object"),
        (15, "rows:15", "a row must be an object, this one is list"),
        (16, "3", "every message needs a 'role'"),
    ]
    assert [(row.source, row.row, row.id) for row in bad] == [
        (str(rows), number, name) for number, name, _ in expected
    ]
    for row, (_, _, reason) in zip(bad, expected, strict=True):
        assert reason in row.reason


def test_the_quarantine_on_disk(load: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    _, bad = load(rows, max_length=1000)
    out = tmp_path / "run" / "quarantine.jsonl"
    write_quarantine(out, bad)
    written = [row for _, row in read_jsonl(out)]
    assert len(written) == 14
    assert [BadRow(**row) for row in written] == bad
    assert set(written[0]) == {"source", "row", "id", "reason"}


def test_raise_stops_at_the_first_bad_row(load: Callable[..., Any], rows: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(rows, on_bad_row="raise", max_length=1000)
    assert str(caught.value) == (
        f"{rows}:2 (id no-answer): field 'answer' is missing or empty; every training row needs one"
    )


@pytest.mark.parametrize(
    ("num_bad", "fraction", "refused"),
    [
        (0, 0.0, False),
        (1, 0.0, True),
        (1, 0.01, False),
        (2, 0.01, True),
        (29, 0.29, False),  # 0.29 * 100 is less than 29 in floating point
        (30, 0.29, True),
    ],
)
def test_max_bad_fraction(
    load: Callable[..., Any], tmp_path: Path, num_bad: int, fraction: float, refused: bool
) -> None:
    path = write_lines(
        tmp_path / "x.jsonl",
        [{"id": i, "question": "?"} for i in range(num_bad)] + [GOOD] * (100 - num_bad),
    )
    if not refused:
        good, bad = load(path, max_bad_fraction=fraction)
        assert (len(good), len(bad)) == (100 - num_bad, num_bad)
        return
    message = (
        f"{path}: {num_bad} of 100 rows are bad, more than data.max_bad_fraction={fraction}; "
        f"the first: {path}:1 (id 0): field 'answer' is missing"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        load(path, max_bad_fraction=fraction)


def test_nothing_left(load: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.jsonl: all 2 rows are bad; the first: .*'answer'"):
        load(write_lines(tmp_path / "x.jsonl", [{"question": "?"}] * 2))
    with pytest.raises(DataError, match=r"y\.jsonl: no rows"):
        load(write_lines(tmp_path / "y.jsonl", []))
    with pytest.raises(DataError, match=r"z\.jsonl: no such file"):
        load(tmp_path / "z.jsonl")


def test_sources_are_joined_in_order(load: Callable[..., Any], tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", [{**GOOD, "id": f"a{i}"} for i in range(40)])
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}]
    second = write_lines(tmp_path / "b.jsonl", [{"messages": chat}, {"question": "?"}])
    good, bad = load(first, second)
    assert [example.id for example in good] == [*(f"a{i}" for i in range(40)), "b:1"]
    assert [(row.source, row.row) for row in bad] == [(str(second), 2)]


def test_the_longest_that_fits_is_kept_whole(
    load: Callable[..., Any], processor: Load, figures_file: Callable[..., Path]
) -> None:
    model = processor("qwen2_5_vl")
    path = figures_file(num=4)
    examples, _ = load(path)
    budget = pixel_budget(model, None, None)
    lengths = {e.id: len(render(e, model, budget).ids) for e in examples}
    longest = max(lengths.values())
    assert load(path, max_length=longest) == (examples, [])
    good, bad = load(path, max_length=longest - 1)
    over = [name for name, length in lengths.items() if length == longest]
    assert [row.id for row in bad] == over
    assert bad[0].reason.startswith(f"{longest} tokens, more than data.max_length={longest - 1};")
    assert len(good) == 4 - len(over)


def test_fewer_pixels_make_a_long_row_fit(load: Callable[..., Any], tmp_path: Path) -> None:
    Image.new("RGB", (560, 560)).save(tmp_path / "large.png")
    path = write_lines(tmp_path / "x.jsonl", [{**GOOD, "images": ["large.png"]}, GOOD])
    _, bad = load(path, max_length=200)
    assert [row.row for row in bad] == [1]
    assert load(path, max_length=200, max_pixels=100 * 28 * 28)[1] == []


def test_rendering_on_demand(load: Callable[..., Any], processor: Load, tmp_path: Path) -> None:
    model = processor("qwen2_5_vl")
    budget = pixel_budget(model, None, None)
    Image.new("RGB", (56, 56)).save(tmp_path / "ok.png")
    path = write_lines(
        tmp_path / "x.jsonl",
        [{**GOOD, "id": "plain"}, {**GOOD, "id": "seen", "images": ["ok.png"]}],
    )
    examples, _ = load(path)
    dataset = RenderedDataset(examples, model, budget)
    assert len(dataset) == 2
    expected = [render(example, model, budget) for example in examples]
    assert [item.ids for item in dataset] == [item.ids for item in expected]
    assert (dataset[1].id, dataset[1].mask) == ("seen", expected[1].mask)
    # A file that goes missing during the run is named, and no other example takes its place.
    (tmp_path / "ok.png").unlink()
    with pytest.raises(DataError, match=r"example seen: .*ok\.png: cannot be decoded"):
        dataset[1]
    assert dataset[0].ids == expected[0].ids
