"""Training examples that are benchmark items too: found when they are, and not when alike only."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mmdft.config import RunConfig
from mmdft.data.figures import write_figures
from mmdft.data.leaks import Leak, difference_hash, leaks, words_of
from mmdft.data.vision import pixel_budget
from mmdft.errors import DataError
from mmdft.evals.benchmarks import benchmark_named
from mmdft.records import Example, ImageRef, Turn
from mmdft.training_data import TrainingData, load_data

QUESTION = "What is the length of the side AB of this rectangle, whose side BC has length 4?"
SHORT = "What is the length of the side AB?"
OTHER = "How many apples did Tom buy on Tuesday morning?"


def drawing(seed: int, size: int = 300) -> Image.Image:
    """A picture of blocks of grey that no other seed resembles."""
    fields = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return Image.fromarray(fields).resize((size, size), Image.Resampling.BICUBIC).convert("RGB")


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def example(name: str, question: str, *images: bytes) -> Example:
    pictures = tuple(ImageRef(data=data) for data in images)
    return Example(id=name, turns=(Turn(role="user", parts=(*pictures, question)),))


def found(examples: list[Example], items: list[Example]) -> list[tuple[str, str, str]]:
    return [(leak.id, leak.item, leak.kind) for leak in leaks(examples, {"bench": items})]


def test_the_same_bytes_are_a_leak_whatever_is_asked() -> None:
    picture, another = encoded(drawing(0)), encoded(drawing(1))
    items = [example("i", QUESTION, another), example("j", QUESTION, picture)]
    examples = [example("a", "Why?", encoded(drawing(2))), example("b", "Why?", another, picture)]
    assert leaks(examples, {"one": items, "two": items[1:], "none": []}) == [
        Leak(place=1, id="b", benchmark="one", item="i", kind="image"),
        Leak(place=1, id="b", benchmark="two", item="j", kind="image"),
    ]


@pytest.mark.parametrize(
    "again",
    [
        lambda image: encoded(image, "JPEG", quality=50),
        lambda image: encoded(image.resize((450, 450), Image.Resampling.BICUBIC)),
        lambda image: encoded(image.resize((140, 140)), "JPEG"),
        lambda image: encoded(image.convert("L")),
    ],
)
def test_a_picture_saved_anew_is_found_by_its_look(again: Callable[[Image.Image], bytes]) -> None:
    items = [example(str(seed), QUESTION, encoded(drawing(seed))) for seed in range(9)]
    examples = [example("a", QUESTION, again(drawing(4)))]
    assert found(examples, items) == [("a", "4", "similar image")]
    assert found([example("a", QUESTION, again(drawing(20)))], items) == []


def test_hashes_that_differ_need_a_similar_question() -> None:
    image = drawing(3)

    def spotted(x: int) -> Image.Image:
        changed = image.copy()
        changed.paste((255, 255, 255), (x, 0, x + 20, 25))
        return changed

    def distance(other: Image.Image) -> int:
        return (
            difference_hash(image.convert("L")) ^ difference_hash(other.convert("L"))
        ).bit_count()

    changed = next(c for c in map(spotted, range(0, 280, 10)) if 0 < distance(c) <= 4)
    items = [example("i", QUESTION, encoded(image))]
    assert leaks(
        [example("a", "the side AB of this rectangle", encoded(changed))], {"b": items}
    ) == [
        Leak(
            place=0,
            id="a",
            benchmark="b",
            item="i",
            kind="similar image",
            distance=distance(changed),
        )
    ]
    assert found([example("a", OTHER, encoded(changed))], items) == []
    assert found([example("a", OTHER, encoded(image, "JPEG", quality=95))], items) == [
        ("a", "i", "similar image")  # the hash is the same
    ]


def test_small_figures_with_one_hash_are_told_apart() -> None:
    """One kind of drawing in which the hash sees only its left half."""

    def figure(height: int) -> bytes:
        image = Image.new("RGB", (112, 112), "white")
        draw = ImageDraw.Draw(image)
        draw.rectangle((10, 20, 50, 100), fill="black")
        draw.line((70, 110, 100, 110 - height), fill="black", width=9)
        return encoded(image)

    one, other = figure(10), figure(100)
    assert found([example("a", SHORT, one)], [example("i", SHORT, one)]) != []
    assert found([example("a", SHORT, one)], [example("i", SHORT, other)]) == []


def test_blank_pictures_are_like_no_other() -> None:
    white, grey = (encoded(Image.new("RGB", (90, 90), color)) for color in ("white", "gray"))
    assert found([example("a", SHORT, white)], [example("i", SHORT, grey)]) == []
    # So are paper and wall that have the same faint shade.
    shade = np.arange(90, dtype=np.uint8)[None, :].repeat(90, 0) // 30
    paper, wall = (encoded(Image.fromarray(shade + base)) for base in (np.uint8(250), np.uint8(9)))
    assert found([example("a", SHORT, paper)], [example("i", SHORT, wall)]) == []
    assert found([example("a", SHORT, white)], [example("i", OTHER, white)]) == [
        ("a", "i", "image")
    ]


def test_a_question_inside_a_prompt() -> None:
    prompt = f"Put your answer in one box.\n{QUESTION} <image1>\n(A) 3\n(B) 4"
    items = [example("i", OTHER), example("j", prompt, encoded(drawing(0)))]
    asked = "WHAT is the length of the side AB -- of this  rectangle whose side BC has length 4"
    for images in ([], [encoded(drawing(1))]):
        assert found([example("a", asked, *images)], items) == [("a", "j", "question")]
    # Short questions are no more than a wording where both have a picture of their own.
    assert found([example("a", SHORT[:-1])], items) == [("a", "j", "question")]
    assert found([example("a", SHORT[:-1], encoded(drawing(1)))], items) == []
    for different in (asked.replace("AB", "AC"), "the side AB", "What is the length?"):
        assert found([example("a", different)], items) == []


def test_a_wording_that_goes_with_several_images_is_no_leak() -> None:
    one, two, three = (encoded(drawing(seed)) for seed in range(3))
    items = [example("i", QUESTION, one)]
    assert found([example("a", QUESTION, two), example("b", QUESTION, two)], items) == [
        ("a", "i", "question"),
        ("b", "i", "question"),
    ]
    assert found([example("a", QUESTION, two), example("b", QUESTION, three)], items) == []
    more = [*items, example("j", f"Look. {QUESTION}", three)]
    assert found([example("a", QUESTION)], more) == []
    # Where nothing is hashed, images are told apart by their place.
    assert found([example("a", QUESTION)], [*items, *items]) == [("a", "i", "question")]


def test_words() -> None:
    assert words_of("<image> What's 2.5 + x-1,  or -3?") == (
        *("what", "s", "2.5", "+", "x", "1", "or", "-", "3"),
    )
    assert words_of("right-angled ABC_D <image12>") == ("right", "angled", "abc", "d")
    assert words_of("求AB的长。") == ("求", "ab", "的", "长")


@given(seed=st.integers(0, 1000))
def test_the_hash_is_of_brightness_order_alone(seed: int) -> None:
    grey = drawing(seed, 72).convert("L")
    code = difference_hash(grey)
    assert 0 <= code < 2**64
    fields = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=int)
    bits = [int(fields[y, x + 1] > fields[y, x]) for y in range(8) for x in range(8)]
    assert code == int("".join(map(str, bits)), 2)


def test_images_are_opened_only_if_both_sides_have_some() -> None:
    broken = example("a", QUESTION, b"not an image")
    assert found([example("i", OTHER)], [broken]) == []
    with pytest.raises(DataError, match="not an image"):
        found([example("i", OTHER, encoded(drawing(0)))], [broken])


def test_an_example_that_training_will_set_aside_is_compared_by_its_bytes() -> None:
    image = drawing(0)
    cut = encoded(image)[:-100]
    assert found([example("t", "Why?", cut)], [example("b", "How?", encoded(image))]) == []
    with pytest.raises(DataError, match="cannot be decoded"):
        found([example("t", "Why?", encoded(image))], [example("b", "How?", cut)])


def test_drawn_splits_leak_nothing_but_what_is_put_there(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_figures(tmp_path / split, num=150, split=split, seed=0, size=112, families=["basic"])
    items = benchmark_named("figures").load(tmp_path / "test")
    train = benchmark_named("figures").load(tmp_path / "train")
    alike = leaks(train, {"figures": items})
    assert len(alike) <= 8 and all(leak.kind == "similar image" for leak in alike)
    assert [leak.id for leak in leaks(items, {"figures": items})] == [item.id for item in items]


# --- in a run ---


@pytest.fixture
def data(tmp_path: Path, processor: Callable[[str], Any]) -> Callable[..., TrainingData]:
    """Six rows, of which two are in the benchmark of three items."""
    for seed in range(8):
        drawing(seed, 56).save(tmp_path / f"{seed}.png")

    def rows(name: str, seeds: list[int]) -> Path:
        path = tmp_path / f"{name}.jsonl"
        asked = [
            {"id": f"{name}-{i}", "images": [f"{i}.png"], "question": "How many?", "answer": "4"}
            for i in seeds
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in asked))
        return path

    train, test = rows("train", [0, 1, 2, 3, 4, 5]), rows("test", [2, 6, 4])
    model = processor("qwen2_5_vl")

    def run(benchmarks: bool = True, **settings: Any) -> TrainingData:
        asked = [{"name": "figures", "path": test, "label": "held"}] if benchmarks else []
        config = RunConfig.model_validate(
            {
                "model": {"name": "m"},
                "data": {"train": [{"path": train, "repeat": 2}], **settings},
                "evaluation": {"benchmarks": asked},
            }
        )
        return load_data(config, model, pixel_budget(model, None, None))

    return run


def test_leaks_are_told_left_out_or_stop_the_run(data: Callable[..., TrainingData]) -> None:
    expected = [
        Leak(place=2, id="train-2", benchmark="held", item="test-2", kind="image"),
        Leak(place=4, id="train-4", benchmark="held", item="test-4", kind="image"),
    ]
    told = (
        "leaks: 2 training examples are in the benchmarks (held) too, {}; "
        "the first: train-2 has the image of held item test-2"
    )
    warned = data()
    assert warned.leaks == expected and warned.notes[-1] == told.format("trained on")
    assert len(warned.rows) == 12 and warned.bad == []
    dropped = data(on_leak="drop")
    assert dropped.leaks == expected and dropped.notes[-1] == told.format("set aside")
    assert len(dropped.rows) == 8 == len(dropped.lengths or ())
    assert [(row.row, row.id, row.reason) for row in dropped.bad] == [
        (3, "train-2", "leak: has the image of held item test-2"),
        (5, "train-4", "leak: has the image of held item test-4"),
    ]
    with pytest.raises(DataError, match=r"2 training examples .* data\.on_leak: drop"):
        data(on_leak="raise")


def test_where_nothing_is_compared_it_is_said(data: Callable[..., TrainingData]) -> None:
    assert data(benchmarks=False).leaks is None
    streamed = data(streaming=True)
    assert streamed.leaks is None
    assert streamed.notes == ["streamed rows are not compared with the benchmarks"]
