"""Patches cut here are the processor's own, bit for bit; where they are not, they are not used."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mmdft.data.collate import concatenate_images
from mmdft.data.patches import BytePatches, patches
from mmdft.data.vision import fit, image_tensors, pixel_budget
from mmdft.records import Rendered

Load = Callable[[str], Any]
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def drawing(seed: int, width: int, height: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3))
def test_they_are_the_processors(
    processor: Load, family: str, sizes: list[tuple[int, int]]
) -> None:
    tools = processor(family).image_processor
    side = tools.patch_size * tools.merge_size
    images = [drawing(i, side * w, side * h) for i, (w, h) in enumerate(sizes)]
    ours = patches(images, tools)
    theirs = tools(images=images, do_resize=False, return_tensors="pt")
    assert ours is not None and ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        assert torch.equal(tensor, theirs[name])


@pytest.mark.parametrize(
    ("name", "value"), [("do_normalize", False), ("do_rescale", False), ("rescale_factor", 1 / 127)]
)
def test_a_processor_with_other_settings(processor: Load, name: str, value: Any) -> None:
    """Each is followed, or left to the processor itself."""
    tools = copy.copy(processor("qwen2_5_vl").image_processor)
    setattr(tools, name, value)
    image = drawing(0, 56, 84)
    ours = patches([image], tools)
    theirs = tools(images=[image], do_resize=False, return_tensors="pt")
    if name == "rescale_factor":
        assert ours is not None
    else:
        assert ours is None
    if ours is not None:
        assert torch.equal(ours["pixel_values"], theirs["pixel_values"])


def test_a_processor_of_another_kind() -> None:
    assert patches([drawing(0, 56, 56)], object()) is None


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25)
@given(
    width=st.integers(20, 400), height=st.integers(20, 400), largest=st.sampled_from([3136, 50176])
)
def test_a_resized_image_has_the_pixels_that_the_processor_itself_gives_it(
    processor: Load, family: str, width: int, height: int, largest: int
) -> None:
    tools = processor(family)
    budget = pixel_budget(tools, 3136, largest)
    image = drawing(width, width, height)
    ours = image_tensors([fit(image, budget)], tools, budget)
    theirs = tools.image_processor(
        images=[image], size={"shortest_edge": 3136, "longest_edge": largest}, return_tensors="pt"
    )
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


class Cuttings(Dataset[Rendered]):
    """Examples of an image each, cut where they are asked for."""

    def __init__(self, images: list[Image.Image], tools: Any) -> None:
        self.images, self.tools = images, tools

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Rendered:
        made = patches([self.images[index]], self.tools)
        assert made is not None
        return rendered(made)


def rendered(made: dict[str, Any]) -> Rendered:
    return Rendered(
        id="a", ids=(1,), mask=(True,), segments=(0,), image_tokens=(False,), images=made
    )


def collated(examples: list[Rendered]) -> dict[str, Any]:
    batch = concatenate_images(examples)
    return batch | {"are_bytes": isinstance(batch["pixel_values"], BytePatches)}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_worker_sends_bytes_that_arrive_as_the_same_values(processor: Load, family: str) -> None:
    tools = processor(family).image_processor
    side = tools.patch_size * tools.merge_size
    images = [drawing(i, side * (1 + i % 3), side * (1 + i % 2)) for i in range(7)]
    rows = Cuttings(images, tools)
    alone, worked = (
        list(DataLoader(rows, batch_size=3, collate_fn=collated, num_workers=workers))
        for workers in (0, 2)
    )
    for start, one, other in zip((0, 3, 6), alone, worked, strict=True):
        assert (one["are_bytes"], other["are_bytes"]) == (False, True)
        theirs = tools(images=images[start : start + 3], do_resize=False, return_tensors="pt")
        for name, tensor in theirs.items():
            assert one[name].dtype == other[name].dtype == tensor.dtype
            assert torch.equal(one[name], tensor) and torch.equal(other[name], tensor)


def test_values_of_the_process_itself_beside_a_workers_bytes(
    processor: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = processor("qwen2_5_vl").image_processor
    images = [drawing(0, 56, 56), drawing(1, 28, 84)]
    first = patches(images[:1], tools)
    monkeypatch.setattr("mmdft.data.patches.get_worker_info", object)
    second = patches(images[1:], tools)
    assert first is not None and second is not None
    assert isinstance(second["pixel_values"], BytePatches)
    theirs = tools(images=images, do_resize=False, return_tensors="pt")
    ours = concatenate_images([rendered(first), rendered(second)])
    assert torch.equal(ours["pixel_values"], theirs["pixel_values"])
