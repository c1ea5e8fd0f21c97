"""What is too long is cut where `truncate` allows it; a source has the pixels it asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmdft.config import DataConfig, SourceConfig
from mmdft.config_loading import load_config
from mmdft.data.dataset import Loaded, RenderedDataset, load_examples
from mmdft.data.render import kept_tokens
from mmdft.data.segments import END_OF_TURN, SEGMENTS
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import pixel_budget
from mmdft.errors import ConfigError, DataError
from mmdft.records import Rendered

Load = Callable[[str], Any]
CHAT = {
    "images": ["figure.png"],
    "messages": [
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": "One and one are two."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because that is how we count them."},
    ],
}


@pytest.fixture
def load(processor: Load, tmp_path: Path) -> Callable[..., tuple[Loaded, list[Rendered]]]:
    model = processor("qwen2_5_vl")
    Image.new("RGB", (112, 56)).save(tmp_path / "figure.png")
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(CHAT) + "\n")

    def run(pixels: dict[str, int] | None = None, **settings: Any) -> Any:
        source = SourceConfig(path=path, **(pixels or {}))
        config = DataConfig(train=[source], max_bad_fraction=1.0, **settings)
        budget = pixel_budget(model, config.min_pixels, config.max_pixels)
        loaded = load_examples([source], config, model, budget)
        rendered = list(RenderedDataset(loaded.rows, model, budget))
        if len(loaded.notes) == 1:
            streamed = StreamedDataset([source], config, model, budget)[0]
            assert isinstance(streamed, Rendered) and streamed.ids == rendered[0].ids
            assert (streamed.images["image_grid_thw"] == rendered[0].images["image_grid_thw"]).all()
        return loaded, rendered

    return run


def test_a_long_example_loses_the_end_of_its_last_reply(load: Callable[..., Any]) -> None:
    _, [whole] = load()
    size = len(whole.ids)
    last = size - 1 - whole.mask[::-1].index(True)
    start = max(place for place in range(last) if not whole.mask[place]) + 1
    assert whole.segments[last] == END_OF_TURN and start < last - 3
    for most in range(start + 1, size + 1):
        loaded, [cut] = load(max_length=most, truncate="answer")
        assert loaded.lengths == [most] == [len(cut.ids)]
        assert cut.ids == whole.ids[:most]
        assert cut.mask == whole.mask[:most] and cut.mask[start]
        assert cut.segments == whole.segments[:most]
        assert cut.image_tokens == whole.image_tokens[:most]
        assert (cut.images["pixel_values"] == whole.images["pixel_values"]).all()
        counted = dict.fromkeys(SEGMENTS, 0)
        for code, trained in zip(cut.segments, cut.mask, strict=True):
            counted[SEGMENTS[code]] += trained
        assert loaded.segments == counted
        assert loaded.notes[1:] == (
            []
            if most == size
            else [
                "cut at the end of their last reply to data.max_length="
                f"{most:,} tokens: 1 of 1 examples"
            ]
        )
    # The first reply's end of turn stays; the last one's goes with the first token.
    _, [cut] = load(max_length=last, truncate="answer")
    assert cut.segments.count(END_OF_TURN) == 1


def test_a_prompt_that_is_too_long_is_set_aside(load: Callable[..., Any]) -> None:
    _, [whole] = load()
    last = len(whole.ids) - 1 - whole.mask[::-1].index(True)
    start = max(place for place in range(last) if not whole.mask[place]) + 1
    for settings in (
        {"max_length": start, "truncate": "answer"},
        {"max_length": 5, "truncate": "answer"},
        {"max_length": len(whole.ids) - 1},
    ):
        with pytest.raises(DataError, match=f"{len(whole.ids)} tokens, more than data.max_length"):
            load(**settings)


def test_kept_tokens() -> None:
    mask = [False, True, False, True, True, False]
    assert [kept_tokens(mask, excess) for excess in range(5)] == [6, 5, 4, None, None]
    assert kept_tokens([True, True], 1) == 1


@pytest.mark.parametrize(
    ("own", "settings", "grid"),
    [
        ({}, {}, [1, 4, 8]),  # 112 x 56 is kept
        ({"max_pixels": 28 * 28}, {}, [1, 2, 2]),
        ({"min_pixels": 224 * 112}, {}, [1, 8, 16]),
        ({"min_pixels": 224 * 112}, {"min_pixels": 784, "max_pixels": 10**6}, [1, 8, 16]),
        ({"max_pixels": 10**6}, {"max_pixels": 28 * 28}, [1, 4, 8]),
    ],
)
def test_pixels_of_a_source(
    load: Callable[..., Any], own: dict[str, int], settings: dict[str, int], grid: list[int]
) -> None:
    loaded, [rendered] = load(own, **settings)
    assert rendered.images["image_grid_thw"].tolist() == [grid]
    assert loaded.lengths == [len(rendered.ids)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{truncate: answer, streaming: true}", "truncate: answer counts what it cuts before"),
        ("{truncate: prompt}", "got 'prompt', expected never or answer"),
        (
            "{max_pixels: 100, train: [{path: a.jsonl, min_pixels: 200}]}",
            "a.jsonl: min_pixels 200 is larger than max_pixels 100",
        ),
    ],
)
def test_settings_that_do_not_agree(tmp_path: Path, data: str, reason: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"model: {{name: m}}\ndata: {data}")
    with pytest.raises(ConfigError, match=reason):
        load_config(path)
