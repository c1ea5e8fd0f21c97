from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from mmdft.config import EvaluationConfig, RunConfig
from mmdft.data.images import open_image
from mmdft.errors import DataError
from mmdft.evals.pictures import with_pictures
from mmdft.evals.run import ask
from mmdft.records import Example, ImageRef, Turn


def png(shade: int, size: tuple[int, int] = (8, 6)) -> ImageRef:
    stream = io.BytesIO()
    Image.new("L", size, shade).save(stream, format="PNG")
    return ImageRef(data=stream.getvalue())


def item(name: str, *images: ImageRef, category: str = "") -> Example:
    parts = ("Look:", *(part for image in images for part in (image, "and")), "What is it?")
    return Example(id=name, turns=(Turn(role="user", parts=parts),), answer=name, category=category)


def test_kept_is_what_was_there() -> None:
    items = [item("a", png(1)), item("b")]
    assert with_pictures(items, "kept") == items


def test_blank_is_white_in_the_sizes_that_were_there(tmp_path: Path) -> None:
    upright = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 10), "red").save(upright, exif=exif)
    original = item("a", png(0, (8, 6)), ImageRef(path=upright))
    (blank,) = with_pictures([original], "blank")
    images = [open_image(ref) for ref in blank.images]
    assert [image.size for image in images] == [(8, 6), (10, 30)]
    assert all(image.getextrema() == ((255, 255),) * 3 for image in images)
    assert replace(blank, turns=original.turns) == original
    assert blank.turns[0].text == original.turns[0].text
    assert [isinstance(p, str) for p in blank.turns[0].parts] == [
        isinstance(p, str) for p in original.turns[0].parts
    ]


def test_swapped_goes_round_within_a_category() -> None:
    items = [
        item("a1", png(1), category="a"),
        item("b1", png(2), category="b"),
        item("a2", png(3), category="a"),
        item("b2", png(4), category="b"),
        item("a3", png(5), category="a"),
        item("text", category="a"),
    ]
    found = with_pictures(items, "swapped")
    assert [each.images for each in found] == [
        (png(3),), (png(4),), (png(5),), (png(2),), (png(1),), ()
    ]  # fmt: skip
    assert [(each.id, each.answer, each.turns[0].text) for each in found] == [
        (each.id, each.answer, each.turns[0].text) for each in items
    ]


def test_items_about_one_picture_all_get_another(tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(png(1).data or b"")
    items = [item("a", png(1)), item("b", ImageRef(path=copy)), item("c", png(2))]
    assert [each.images for each in with_pictures(items, "swapped")] == [
        (png(2),), (png(2),), (ImageRef(path=copy),)
    ]  # fmt: skip


def test_a_picture_alone_in_its_category_is_swapped_with_others() -> None:
    items = [
        item("a", png(1), category="a"),
        item("b", png(2), category="b"),
        item("c", png(3), png(4), category="c"),
        item("d", png(5), png(4), category="d"),
    ]
    assert [each.images for each in with_pictures(items, "swapped")] == [
        (png(2),), (png(1),), (png(5), png(4)), (png(3), png(4))
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), min_size=2, max_size=12))
def test_nobody_keeps_their_own(rows: list[tuple[int, str]]) -> None:
    items = [item(str(n), png(s), category=c) for n, (s, c) in enumerate(rows)]
    if len({shade for shade, _ in rows}) == 1:
        with pytest.raises(DataError, match=r"item 0: no other item has 1 image\(s\)"):
            with_pictures(items, "swapped")
        return
    for before, after in zip(items, with_pictures(items, "swapped"), strict=True):
        assert after.images != before.images


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = [item("x", ImageRef(path=tmp_path / "no.png"))]
    for how in ("blank", "swapped"):
        with pytest.raises(DataError, match=r"item x: .*no\.png"):
            with_pictures(missing, how)  # type: ignore[arg-type]


def test_every_benchmark_is_asked_so(figures_file: Any) -> None:
    settings = RunConfig.model_validate(
        {
            "model": {"name": "m"},
            "evaluation": {
                "images": "blank",
                "benchmarks": [{"name": "figures", "path": str(figures_file())}],
            },
        }
    ).evaluation
    asked = ask(settings.benchmarks[0], settings)
    assert len(asked) == 4
    assert all(open_image(each.images[0]).getextrema() == ((255, 255),) * 3 for each in asked)


def test_recorded_answers_cannot_be_to_other_images() -> None:
    evaluation = {"images": "swapped", "backend": {"name": "recorded", "path": "x"}}
    with pytest.raises(ValidationError, match="recorded answers are to the images that were shown"):
        RunConfig.model_validate({"model": {"name": "m"}, "evaluation": evaluation})
    assert EvaluationConfig().images == "kept"
