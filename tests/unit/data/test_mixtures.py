"""Which rows are trained on, how often, and which are held out: exact, seeded, nothing lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.dataset import Loaded, load_examples
from mmdft.data.mixtures import (
    duplicates,
    held_out,
    image_digests,
    picked,
    repeated,
    repeated_ids,
)
from mmdft.data.quarantine import BadRow
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import pixel_budget
from mmdft.errors import DataError
from mmdft.records import Example, ImageRef, Turn

Load = Callable[[str], Any]


def source(path: Path | str = "a.jsonl", **settings: Any) -> SourceConfig:
    return SourceConfig(path=Path(path), **settings)


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbered(path: Path, num: int, first: int = 0) -> Path:
    """`num` different rows without images, with the ids `first`, `first` + 1, ..."""
    numbers = range(first, first + num)
    return write_lines(
        path, [{"id": i, "question": f"What is {i} + 1?", "answer": str(i + 1)} for i in numbers]
    )


def example(question: str, *images: bytes, answer: str = "4", name: str = "x") -> Example:
    pictures = tuple(ImageRef(data=data) for data in images)
    return Example(
        id=name,
        turns=(
            Turn(role="user", parts=(*pictures, question)),
            Turn(role="assistant", parts=(answer,)),
        ),
    )


@pytest.fixture
def load(processor: Load) -> Callable[..., Loaded]:
    model = processor("qwen2_5_vl")

    def run(*sources: SourceConfig, **settings: Any) -> Loaded:
        config = DataConfig(**settings)
        return load_examples(sources, config, model, pixel_budget(model, None, None))

    return run


@pytest.fixture
def streamed(processor: Load) -> Callable[..., StreamedDataset]:
    model = processor("qwen2_5_vl")

    def run(*sources: SourceConfig, **settings: Any) -> StreamedDataset:
        config = DataConfig(streaming=True, **settings)
        return StreamedDataset(sources, config, model, pixel_budget(model, None, None))

    return run


def ids(examples: Sequence[Example | BadRow]) -> list[str]:
    return [one.id for one in examples]


# --- limit, shuffle, repeat ---


def test_without_settings_all_rows_come_once_in_order() -> None:
    assert picked(5, source(), 0, 0) == repeated(5, source(), 0, 0) == range(5)
    assert picked(5, source(limit=3), 7, 1) == range(3)
    assert picked(2, source(limit=3, shuffle=True), 7, 1) == range(2)


def test_a_shuffled_limit_is_a_seeded_subset_in_order() -> None:
    few = source(limit=4, shuffle=True)
    assert list(picked(12, few, 0, 0)) == list(picked(12, few, 0, 0))
    drawn = {
        (seed, which): tuple(picked(12, few, seed, which)) for seed in (0, 1) for which in (0, 1)
    }
    assert len(set(drawn.values())) == 4  # each seed and each source draws for itself
    for places in drawn.values():
        assert (
            len(places) == 4
            and list(places) == sorted(set(places))
            and set(places) < set(range(12))
        )
    # Every row has its chance.
    counts = Counter(place for seed in range(600) for place in picked(12, few, seed, 0))
    assert all(150 < counts[place] < 250 for place in range(12))


@pytest.mark.parametrize(
    ("repeat", "copies"),
    [(1, [1, 1, 1, 1]), (2, [2, 2, 2, 2]), (0.5, [0, 0, 1, 1]), (2.25, [2, 2, 2, 3])],
)
def test_repeat_counts(repeat: float, copies: list[int]) -> None:
    places = list(repeated(4, source(repeat=repeat), 3, 0))
    assert places == sorted(places)
    assert sorted(places.count(place) for place in range(4)) == copies


def test_each_seed_and_each_source_repeats_other_examples() -> None:
    half = source(repeat=0.5)
    drawn = {tuple(repeated(20, half, seed, which)) for seed in (0, 1) for which in (0, 1)}
    assert len(drawn) == 4 and all(len(places) == 10 for places in drawn)


@given(num=st.integers(0, 60), repeat=st.floats(0.02, 5), seed=st.integers(-3, 3))
def test_an_epoch_has_each_example_as_often_as_repeat_says(
    num: int, repeat: float, seed: int
) -> None:
    if num and repeat * num < 0.5:
        with pytest.raises(DataError, match=r"a\.jsonl: repeat .* examples is none; raise it"):
            repeated(num, source(repeat=repeat), seed, 0)
        return
    places = list(repeated(num, source(repeat=repeat), seed, 0))
    assert places == sorted(places) == list(repeated(num, source(repeat=repeat), seed, 0))
    assert abs(len(places) - repeat * num) <= 0.5 + 1e-9
    counts = Counter(places)
    assert all(int(repeat) <= counts[place] <= int(repeat) + 1 for place in range(num))


def test_loaded_sources_are_mixed(load: Callable[..., Loaded], tmp_path: Path) -> None:
    one, two = numbered(tmp_path / "one.jsonl", 3), numbered(tmp_path / "two.jsonl", 40, first=100)
    plain = load(source(one))
    assert ids(plain.examples) == ["0", "1", "2"] and plain.notes == [
        f"{one}: 3 rows read as native"
    ]
    both = load(source(one, repeat=2), source(two, limit=8, shuffle=True, repeat=0.25), seed=5)
    assert ids(both.examples[:6]) == ["0", "0", "1", "1", "2", "2"]
    assert both.lengths[:6] == [length for length in plain.lengths for _ in range(2)]
    drawn = [int(name) for name in ids(both.examples[6:])]
    assert len(drawn) == 2 and drawn == sorted(set(drawn))
    limited = load(source(one), source(two, limit=8, shuffle=True), seed=5)
    assert set(drawn) < {int(name) for name in ids(limited.examples[3:])} != set(range(100, 108))
    assert both.notes == [
        f"{one}: 3 rows read as native",
        f"{two}: 8 rows read as native",
        f"{one}: 3 examples at repeat 2, 6 an epoch",
        f"{two}: 8 examples at repeat 0.25, 2 an epoch",
    ]
    twice = load(source(one, repeat=2))
    assert twice.segments == {name: 2 * count for name, count in plain.segments.items()}


def test_streamed_rows_are_those_of_loaded_ones(
    load: Callable[..., Loaded], streamed: Callable[..., StreamedDataset], tmp_path: Path
) -> None:
    for name in "ab":
        numbered(tmp_path / f"shard_{name}.jsonl", 15)
    one = numbered(tmp_path / "one.jsonl", 6)
    sources = [
        source(one, repeat=1.5),
        source(tmp_path / "shard_{a,b}.jsonl", limit=10, shuffle=True, repeat=2),
        source(tmp_path / "shard_a.jsonl", limit=4),
        source(tmp_path / "shard_{a,b}.jsonl", limit=17, repeat=0.5),
    ]
    loaded, rows = load(*sources, seed=2), streamed(*sources, seed=2)
    assert [rows.loaded(index) for index in range(len(rows))] == loaded.rows
    assert len(rows) == 9 + 20 + 4 + 9 and rows.num_different == 6 + 10 + 4 + 9
    assert isinstance(rows.places[2], range)  # nothing is kept of a source that is taken as it is
    assert rows.places[1].itemsize * len(rows.places[1]) == 160  # type: ignore[union-attr]
    shards = {rows.row(index)[1].file.name for index in range(9, 29)}
    assert shards == {"shard_a.jsonl", "shard_b.jsonl"}


def test_a_source_of_which_nothing_is_left(load: Callable[..., Loaded], tmp_path: Path) -> None:
    path = numbered(tmp_path / "few.jsonl", 3)
    with pytest.raises(DataError, match=r"few\.jsonl: repeat 0\.1 of 3 examples is none; raise it"):
        load(source(path, repeat=0.1))


# --- duplicates ---


def test_duplicates_have_the_same_turns_and_image_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"one")
    files = [ImageRef(path=tmp_path / name) for name in ("a.png", "b.png")]
    asked = [
        Example(id=str(i), turns=(Turn(role="user", parts=(ref, "Q?")), example("Q?").turns[1]))
        for i, ref in enumerate(files)
    ]
    rows = [
        example("Q?"),
        *asked,  # other files, the same bytes
        example("Q?", b"one", name="y"),  # the bytes in the row, another id
        example("Q? "),
        example("Q?", answer="5"),
        example("Q?", b"one", b"one"),
        Example(id="z", turns=(Turn(role="user", parts=("Q", "?")), example("").turns[1])),
        example("Q?"),
    ]
    assert duplicates(rows, image_digests(rows)) == {2: 1, 3: 1, 8: 0}


def test_deduplicate_names_each_row_and_its_first(
    load: Callable[..., Loaded], tmp_path: Path
) -> None:
    row = {"question": "How many?", "answer": "4"}
    one = write_lines(tmp_path / "one.jsonl", [row, {**row, "answer": "5"}, {**row, "id": "c"}])
    two = write_lines(tmp_path / "two.jsonl", [{**row, "id": "d"}, {**row, "id": 6, "answer": "6"}])
    assert len(load(source(one), source(two)).examples) == 5
    # Duplicates are no bad rows: none is allowed here, and the first would raise.
    for bad in ({"max_bad_fraction": 0}, {"on_bad_row": "raise"}):
        found = load(source(one), source(two), deduplicate=True, **bad)
        assert ids(found.examples) == ["one:1", "one:2", "6"]
        assert len(found.lengths) == 3
        assert found.bad == [
            BadRow(source=str(one), row=3, id="c", reason=f"duplicate of {one}:1"),
            BadRow(source=str(two), row=1, id="d", reason=f"duplicate of {one}:1"),
        ]
        assert found.notes[2:] == ["exact duplicates of earlier rows, set aside: 2"]


def test_ids_that_several_rows_have() -> None:
    assert repeated_ids(["a", "b", "c"]) is None
    assert repeated_ids(["a", "b", "a", "c", "c", "a"]) == (
        "ids that several rows have, which are all trained on: a (3 times), c (2 times)"
    )
    many = repeated_ids([str(i) for i in range(1007)] * 2)
    assert many is not None and many.endswith("4 (2 times), and 1,002 more")


# --- the split ---

_IMAGES = st.lists(st.integers(0, 40).map(lambda i: b"%d" % i), max_size=2)
_ROWS = st.lists(
    st.tuples(_IMAGES, st.sampled_from(["What is it?", "what  is IT?", "How many?", "Why?"])),
    min_size=1,
    max_size=60,
)


@given(rows=_ROWS, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 5), shuffling=st.randoms())
def test_no_image_and_no_bare_question_is_on_both_sides(
    rows: list[tuple[list[bytes], str]], fraction: float, seed: int, shuffling: Any
) -> None:
    examples = [
        example(question, *images, name=str(i)) for i, (images, question) in enumerate(rows)
    ]
    digests = image_digests(examples)
    sides: dict[bool, set[Any]] = {True: set(), False: set()}
    out = held_out(examples, digests, fraction, seed)
    for (images, question), is_out in zip(rows, out, strict=True):
        sides[is_out] |= set(images) or {" ".join(question.casefold().split())}
    assert not sides[True] & sides[False]
    # The order of the rows plays no part.
    chosen = {one.id for one, is_out in zip(examples, out, strict=True) if is_out}
    shuffling.shuffle(examples)
    again = held_out(examples, digests, fraction, seed)
    assert {one.id for one, is_out in zip(examples, again, strict=True) if is_out} == chosen


def test_the_fraction_is_about_right_and_its_seed_counts() -> None:
    examples = [example("What is it?", b"%d" % i) for i in range(4000)]
    digests = image_digests(examples)
    for fraction in (0.0, 0.02, 0.3):
        assert sum(held_out(examples, digests, fraction, 0)) / 4000 == pytest.approx(
            fraction, abs=0.02
        )
    one, other = (held_out(examples, digests, 0.5, seed) for seed in (0, 1))
    assert 0.4 < sum(a != b for a, b in zip(one, other, strict=True)) / 4000 < 0.6
    # A larger fraction holds out what a smaller one does, and more.
    less, more = (held_out(examples, digests, fraction, 0) for fraction in (0.1, 0.2))
    assert all(b for a, b in zip(less, more, strict=True) if a)
    # More rows change nothing for those there are.
    assert held_out(examples[:100], digests, 0.5, 0) == one[:100]


def test_rows_that_share_an_image_by_way_of_others_stay_together() -> None:
    chain = [example("?", b"%d" % i, b"%d" % (i + 1)) for i in range(30)]
    for seed in range(20):
        assert len(set(held_out(chain, image_digests(chain), 0.5, seed))) == 1
    sides = {held_out(chain, image_digests(chain), 0.5, seed)[0] for seed in range(20)}
    assert sides == {True, False}


def test_a_split_of_loaded_rows(load: Callable[..., Loaded], tmp_path: Path) -> None:
    for i in range(20):
        Image.new("RGB", (56, 56), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [
        {"id": f"{i}-{q}", "images": [f"{i}.png"], "question": q, "answer": "4"}
        for q in ("What?", "How?")
        for i in range(20)
    ]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    found = load(source(path, repeat=2), validation_fraction=0.3, seed=1)
    trained, held = set(ids(found.examples)), ids([row.example for row in found.held_out])
    assert len(held) == len(set(held)) and trained | set(held) == {row["id"] for row in rows}
    pictures = [{name.split("-")[0] for name in side} for side in (trained, set(held))]
    assert not pictures[0] & pictures[1] and 2 <= len(pictures[1]) <= 10
    assert len(held) == 2 * len(pictures[1])  # held out once each, and trained on twice
    assert len(found.examples) == len(found.lengths) == 2 * len(trained)
    assert found.notes[1] == f"held out for validation: {len(held)} of 40 examples"
    whole = load(source(path))
    assert whole.held_out == [] and len(whole.examples) == 40


def test_an_empty_side_is_refused(load: Callable[..., Loaded], tmp_path: Path) -> None:
    path = numbered(tmp_path / "rows.jsonl", 2)
    message = r"validation_fraction=0\.001 of 2 examples leaves none to validate on; change it"
    with pytest.raises(DataError, match=message):
        load(source(path), validation_fraction=0.001)
    with pytest.raises(DataError, match="of 2 examples leaves none to train on"):
        load(source(path), validation_fraction=0.999)
