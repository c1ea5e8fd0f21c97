"""Bad rows are set aside by name and counted; nothing is replaced, cut or lost."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from mmdft.config import DataConfig, SourceConfig
from mmdft.data import parallel, progress
from mmdft.data.dataset import Loaded, RenderedDataset, load_examples
from mmdft.data.quarantine import BadRow, Quarantine, most_bad, usable
from mmdft.data.render import render
from mmdft.data.segments import SEGMENTS
from mmdft.data.stored import stored, unstored
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import pixel_budget
from mmdft.errors import DataError
from mmdft.files import read_jsonl
from mmdft.records import Example, Rendered

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
    assert [example.id for example in good] == ["first", "cut", "rows:17"]
    expected = [
        (2, "no-answer", "field 'answer' is missing or empty"),
        (4, "rows:4", "not valid JSON"),
        (5, "rows:5", "not UTF-8 text"),
        (6, "text", "text.png: not an image"),
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
    out = tmp_path / "quarantine.jsonl"
    Quarantine(out, allowed=0, raises=False, before=bad)
    written = [row for _, row in read_jsonl(out)]
    assert len(written) == 13
    assert [BadRow(**row) for row in written] == bad
    assert set(written[0]) == {"source", "row", "id", "reason"}
    # A run that goes on writes nothing twice, and what a killed one left unfinished again.
    out.write_bytes(out.read_bytes()[:-20])
    Quarantine(out, allowed=0, raises=False, before=bad)
    assert [row for _, row in read_jsonl(out)] == written


def bad(number: int) -> BadRow:
    return BadRow(source="x.jsonl", row=number, id=f"x:{number}", reason="it is; mend it")


def test_the_quarantine_counts_each_row_once(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    met = Quarantine(path, allowed=4, raises=False, counted=2, before=[bad(1), bad(2), bad(3)])
    met([bad(4), bad(4), bad(2)])
    met([bad(5)])
    met([bad(4)])
    again = Quarantine(path, allowed=4, raises=False, counted=2, before=[bad(1), bad(2), bad(3)])
    for quarantine in (met, again):
        quarantine([bad(5)])
        reason = rf"^x\.jsonl:6 \(id x:6\): it is; mend it; that makes 5 bad rows, more .* {path}$"
        with pytest.raises(DataError, match=reason):
            quarantine([bad(6)])
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    assert [row["row"] for _, row in read_jsonl(path)] == [1, 2, 3, 4, 5]


def test_the_quarantine_may_stop_at_the_first(tmp_path: Path) -> None:
    met = Quarantine(tmp_path / "q.jsonl", allowed=9, raises=True, before=[bad(1)])
    met([bad(1)])
    with pytest.raises(DataError, match=r"^x\.jsonl:2 \(id x:2\): it is; mend it$"):
        met([bad(2)])
    assert len(list(read_jsonl(tmp_path / "q.jsonl"))) == 2


@given(total=st.integers(0, 500), percent=st.integers(0, 100))
def test_most_bad(total: int, percent: int) -> None:
    fraction = percent / 100
    most = most_bad(total, fraction)
    assert most == max(n for n in range(total + 1) if not n or n / total <= fraction)
    assert most == total * percent // 100


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


@pytest.fixture
def two(processor: Load, tmp_path: Path) -> tuple[Loaded, RenderedDataset]:
    """A row of text alone, and one with an image."""
    model = processor("qwen2_5_vl")
    budget = pixel_budget(model, None, None)
    Image.new("RGB", (56, 56)).save(tmp_path / "ok.png")
    rows = [{**GOOD, "id": "plain"}, {**GOOD, "id": "seen", "images": ["ok.png"]}]
    source = SourceConfig(path=write_lines(tmp_path / "x.jsonl", rows))
    loaded = load_examples([source], DataConfig(), model, budget)
    return loaded, RenderedDataset(loaded.rows, model, budget)


def test_rendering_on_demand(two: tuple[Loaded, RenderedDataset]) -> None:
    loaded, dataset = two
    assert len(dataset) == 2 == len(list(dataset))
    for example, found in zip(loaded.examples, dataset, strict=True):
        expected = render(example, dataset.processor, dataset.budget)
        found = usable(found)
        assert replace(found, images={}) == replace(expected, images={})
        assert all(type(each) is bool for each in (*found.mask, *found.image_tokens))
        assert found.images.keys() == expected.images.keys()
        for name, tensor in expected.images.items():
            assert torch.equal(found.images[name], tensor)


def damage(path: Path, kind: str) -> str:
    """Damage an image file that was loaded; the reason that is to be given."""
    if kind == "gone":
        path.unlink()
        return "cannot be decoded (.*); copy or download it again"
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-30])
        return "cannot be decoded (.*); copy or download it again"
    if kind == "text":
        path.write_text("no picture")
        return "not an image, it begins with b'no picture'; it must be"
    Image.new("RGB", (112, 56)).save(path)
    return "112x56 pixels now, 56x56 when it was loaded; put the image of then back, or start"


@pytest.mark.parametrize("kind", ["gone", "cut", "text", "larger"])
def test_an_image_that_was_damaged_since_makes_a_bad_row(
    two: tuple[Loaded, RenderedDataset], tmp_path: Path, kind: str
) -> None:
    _, dataset = two
    before = usable(dataset[0])
    reason = damage(tmp_path / "ok.png", kind)
    found = dataset[1]
    assert isinstance(found, BadRow)
    assert (found.source, found.row, found.id) == (str(tmp_path / "x.jsonl"), 2, "seen")
    assert re.match(f"{re.escape(str(tmp_path / 'ok.png'))}: {reason}", found.reason)
    with pytest.raises(DataError, match=r"x\.jsonl:2 \(id seen\): .*ok\.png"):
        usable(found)
    assert usable(dataset[0]).ids == before.ids


def test_each_image_is_read_once_at_loading_and_once_for_each_use(
    processor: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = processor("qwen2_5_vl")
    budget = pixel_budget(model, None, None)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (56, 56)).save(tmp_path / name)
    rows = [{**GOOD, "images": ["a.png", "b.png"]}, {**GOOD, "images": ["b.png"]}]
    source = SourceConfig(path=write_lines(tmp_path / "x.jsonl", rows))
    opened: list[str] = []
    decoded: list[tuple[int, int]] = []
    path_open, image_load = Path.open, ImageFile.ImageFile.load

    def counted_open(path: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(path.name)
        return path_open(path, *args, **kwargs)

    def counted_load(image: Any) -> Any:
        decoded.extend([image.size] * bool(image.tile))
        return image_load(image)

    monkeypatch.setattr(Path, "open", counted_open)
    monkeypatch.setattr(ImageFile.ImageFile, "load", counted_load)
    monkeypatch.setattr("builtins.open", None)  # nothing opens a file behind the count
    loaded = load_examples([source], DataConfig(), model, budget)
    assert sorted(opened) == ["a.png", "b.png", "b.png", "x.jsonl"] and not decoded
    opened.clear()
    dataset = RenderedDataset(loaded.rows, model, budget)
    for epoch in (1, 2):
        usable(dataset[0])
        usable(dataset[1])
        usable(dataset[1])  # the images of the row before, which are at hand
        assert opened == ["a.png", "b.png", "b.png"] * epoch
        assert len(decoded) == 3 * epoch
    opened.clear()
    usable(StreamedDataset([source], DataConfig(), model, budget)[1])
    assert sorted(opened) == ["b.png", "x.jsonl", "x.jsonl"]  # the index, then the row


def test_tokens_are_made_once(
    two: tuple[Loaded, RenderedDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dataset = two
    expected = [usable(row).ids for row in dataset]
    monkeypatch.setattr(dataset.processor.tokenizer, "_encode_plus", None)
    monkeypatch.setattr(dataset.processor, "apply_chat_template", None)
    assert [usable(row).ids for row in dataset] == expected


@given(st.data())
def test_stored_tokens_come_back(data: st.DataObject) -> None:
    num = data.draw(st.integers(0, 50))

    def drawn(values: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        return tuple(data.draw(st.lists(values, min_size=num, max_size=num)))

    rendered = Rendered(
        id="x",
        ids=drawn(st.integers(0, 2**31 - 1)),
        mask=drawn(st.booleans()),
        segments=drawn(st.integers(0, len(SEGMENTS) - 1)),
        image_tokens=drawn(st.booleans()),
        images={},
    )
    assert unstored(stored(rendered), "x") == rendered


# --- many rows ---


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More rows than one process reads alone; every hundredth has no answer."""
    rows = [
        {"id": i, "question": "?", "answer": "" if i % 100 == 7 else str(i)} for i in range(2500)
    ]
    return write_lines(tmp_path / "many.jsonl", rows)


def test_many_rows_are_read_in_order_by_processes(
    load: Callable[..., Any], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_num_processes", lambda: 1)
    alone = load(many)
    monkeypatch.setattr(parallel, "_num_processes", lambda: 3)
    monkeypatch.setattr(parallel, "ALONE", 128)
    assert load(many) == alone
    assert [e.id for e in alone[0]] == [str(i) for i in range(2500) if i % 100 != 7]
    assert [row.row for row in alone[1]] == list(range(8, 2500, 100))
    with pytest.raises(DataError, match=r"many\.jsonl:8 \(id 7\): field 'answer' is missing"):
        load(many, on_bad_row="raise")


def test_few_rows_wait_for_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the source: a million rows are not held at once."""
    monkeypatch.setattr(parallel, "_num_processes", lambda: 2)
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1, 20_000):
            taken = number
            yield number

    most = 0
    found = []
    for chunk in parallel.mapped_chunks(str, items()):
        most = max(most, taken - len(found))
        found += chunk
    assert found == [str(i) for i in range(1, 20_000)]
    assert most <= 2 * 4 * parallel.CHUNK


def test_an_error_in_a_process_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_num_processes", lambda: 2)
    monkeypatch.setattr(parallel, "ALONE", 0)
    with pytest.raises(ValueError, match="invalid literal"):
        list(parallel.mapped_chunks(int, ["1"] * 1000 + ["x"] + ["2"] * 100_000))


@pytest.mark.parametrize(("rank", "lines"), [("0", 2), ("1", 0)])
def test_a_log_tells_how_far_reading_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str, lines: int
) -> None:
    monkeypatch.setenv("RANK", rank)
    clock = iter(range(0, 1000, 16))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.told([["a"] * 640] * 5, "reading rows")) == ["a"] * 3200
    told = capsys.readouterr().err.splitlines()
    assert told == ["reading rows: 1,280, 40 a second", "reading rows: 2,560, 40 a second"][:lines]


@pytest.mark.parametrize(("rank", "shown"), [("0", True), ("1", False)])
def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch, rank: str, shown: bool) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("RANK", rank)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert len(list(progress.told([["a"] * 10] * 3, "reading rows"))) == 30
    assert screen.getvalue() == ""  # too short to be told
    monkeypatch.setattr(progress, "BAR_DELAY", 0.0)
    assert len(list(progress.told([["a"] * 10] * 3, "reading rows"))) == 30
    assert ("reading rows: 30 rows" in screen.getvalue()) is shown


def test_the_format_of_the_rows_is_told(processor: Load, tmp_path: Path) -> None:
    model = processor("qwen2_5_vl")
    chat = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}]}
    mixed = write_lines(tmp_path / "mixed.jsonl", [GOOD, chat, chat, {"question": "?"}])
    plain = write_lines(tmp_path / "plain.jsonl", [GOOD])
    sources = [SourceConfig(path=mixed), SourceConfig(path=plain, format="native")]
    config = DataConfig(max_bad_fraction=0.5)
    loaded = load_examples(sources, config, model, pixel_budget(model, None, None))
    assert loaded.notes == [
        f"{mixed}: 1 row read as native",
        f"{mixed}: 2 rows read as messages",
        f"{plain}: 1 row read as native",
    ]
    assert (loaded.num_rows, loaded.num_bad) == (5, 1)
    assert [(row.source, row.row) for row in loaded.rows] == [
        (str(mixed), 1),
        (str(mixed), 2),
        (str(mixed), 3),
        (str(plain), 1),
    ]
