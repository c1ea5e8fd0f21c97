"""Packs: which examples share one, and what a packed batch holds, by value."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, Qwen2_5_VLConfig

from mmdft.data.collate import IGNORE
from mmdft.data.packing import WINDOW, PackedDataset, best_fit, collate_packed, packed_positions
from mmdft.errors import DataError, ModelError
from mmdft.records import Rendered

IMAGE = 99


def rendered(
    ids: Sequence[int],
    mask: Sequence[int],
    name: str = "x",
    segments: Sequence[int] | None = None,
) -> Rendered:
    """An example; each run of IMAGE is one image of 2 x 4 patches, two tokens wide."""
    pictures = sum(i == IMAGE for i in ids) // 2
    images = {
        "pixel_values": torch.arange(pictures * 8.0).view(-1, 1),
        "image_grid_thw": torch.tensor([[1, 2, 4]] * pictures),
    }
    return Rendered(
        id=name,
        ids=tuple(ids),
        mask=tuple(map(bool, mask)),
        segments=tuple(segments or [0] * len(ids)),
        image_tokens=tuple(i == IMAGE for i in ids),
        images=images if pictures else {},
    )


def first_fit(lengths: Sequence[int], capacity: int) -> int:
    """Number of bins when each item, in the order given, goes into the first that has room."""
    rooms: list[int] = []
    for length in lengths:
        fitting = [i for i, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[fitting[0]] -= length
        else:
            rooms.append(capacity - length)
    return len(rooms)


LENGTHS = st.lists(st.integers(1, 50), max_size=60)


@given(LENGTHS, st.integers(50, 120))
def test_every_item_is_packed_once_within_the_capacity(lengths: list[int], capacity: int) -> None:
    bins = best_fit(lengths, capacity)
    assert sorted(index for bin_ in bins for index in bin_) == list(range(len(lengths)))
    assert all(bin_ and sum(lengths[i] for i in bin_) <= capacity for bin_ in bins)
    assert bins == best_fit(tuple(lengths), capacity)
    # no two bins could be one, and none opened while an older one had room
    fills = sorted(sum(lengths[i] for i in bin_) for bin_ in bins)
    assert len(fills) < 2 or fills[0] + fills[1] > capacity


def test_best_fit_by_hand() -> None:
    assert best_fit([4, 6, 3, 5], 10) == [[1, 0], [3, 2]]
    # 3 fits behind 6 and behind 7: the fuller bin takes it
    assert best_fit([7, 6, 3], 10) == [[0, 2], [1]]
    assert best_fit([5, 5, 5], 10) == [[0, 1], [2]]
    assert best_fit([10, 10], 10) == [[0], [1]]
    assert best_fit([], 10) == []


def test_random_lengths_are_packed_at_least_as_tightly_as_by_first_fit() -> None:
    """Best-fit decreasing is not always better, but on lengths like real ones it is."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        lengths = torch.randint(1, 101, (200,), generator=generator).tolist()
        assert len(best_fit(lengths, 128)) <= first_fit(lengths, 128)


@pytest.mark.parametrize("length", [0, -1, 11])
def test_a_length_that_fits_nowhere_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match=f"length {length} of item 1 is not within 1 and 10"):
        best_fit([3, length], 10)


class Rows(list[Rendered]):
    """Stands for a RenderedDataset: what it gives is at hand already."""


def packed(lengths: Sequence[int], capacity: int, seed: int = 0) -> PackedDataset:
    rows = Rows(rendered([5] * n, [0] * n, str(i)) for i, n in enumerate(lengths))
    return PackedDataset(rows, lengths, capacity, seed)  # type: ignore[arg-type]


def test_packs_depend_on_the_seed_alone_and_hold_every_example_once() -> None:
    lengths = torch.randint(1, 40, (2 * WINDOW + 7,), generator=torch.Generator().manual_seed(1))
    lengths = lengths.tolist()
    dataset = packed(lengths, 64)
    packs = [[example.id for example in dataset[i]] for i in range(len(dataset))]
    assert sorted(int(name) for pack in packs for name in pack) == list(range(len(lengths)))
    assert all(sum(lengths[int(name)] for name in pack) <= 64 for pack in packs)
    assert sum(lengths) / (len(packs) * 64) > 0.97
    assert packed(lengths, 64).packs == dataset.packs
    assert packed(lengths, 64, seed=1).packs != dataset.packs
    # one end of the data is not packed with itself
    assert any(abs(int(pack[0]) - int(pack[-1])) > WINDOW for pack in packs)


def test_an_example_of_another_length_than_when_it_was_loaded_is_named() -> None:
    rows = Rows([rendered([5, 6], [0, 1], "changed")])
    dataset = PackedDataset(rows, [3], 10, 0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="example changed: 2 tokens now, 3 when it was loaded"):
        dataset[0]
    with pytest.raises(ValueError, match="2 lengths for 1 examples"):
        PackedDataset(rows, [3, 3], 10, 0)  # type: ignore[arg-type]


def test_a_packed_batch_by_value() -> None:
    positions = packed_positions(Qwen2_5_VLConfig(attn_implementation="sdpa"))
    packs = [
        [rendered([5, 6, 7], [0, 1, 1], segments=[0, 1, 2]), rendered([8], [0])],
        [
            rendered([1, IMAGE, IMAGE, 2, 3], [0, 0, 0, 0, 1], segments=[0, 0, 0, 0, 3]),
            rendered([4, 4], [0, 1]),
        ],
    ]
    batch = collate_packed(packs, positions)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 1, IMAGE, IMAGE, 2, 3, 4, 4]]
    x = IGNORE
    assert batch["labels"].tolist() == [[x, 6, 7, x, x, x, x, x, 3, x, 4]]
    assert batch["segments"].tolist() == [[0, 1, 2, 0, 0, 0, 0, 0, 3, 0, 0]]
    assert batch["position_ids"].squeeze(1).tolist() == [
        [0, 1, 2, 0, 0, 1, 2, 3, 4, 0, 1],  # text: tells the examples apart
        [0, 1, 2, 0, 0, 1, 1, 3, 4, 0, 1],  # time
        [0, 1, 2, 0, 0, 1, 1, 3, 4, 0, 1],  # height: the image is one token high
        [0, 1, 2, 0, 0, 1, 2, 3, 4, 0, 1],  # width: and two wide
    ]
    assert batch["image_grid_thw"].tolist() == [[1, 2, 4]]
    assert batch["pixel_values"].shape == (8, 1)
    integers = ("input_ids", "labels", "segments", "position_ids")
    assert all(batch[name].dtype == torch.int64 for name in integers)
    assert batch.keys() == {
        "input_ids",
        "labels",
        "segments",
        "position_ids",
        "image_grid_thw",
        "pixel_values",
    }


def test_a_trained_first_token_is_a_bug() -> None:
    positions = packed_positions(Qwen2_5_VLConfig(attn_implementation="sdpa"))
    with pytest.raises(AssertionError):
        collate_packed([[rendered([5, 6], [1, 1])]], positions)


def test_what_may_let_examples_see_each_other_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="not available for llama, only for qwen2_vl"):
        packed_positions(LlamaConfig())
    config = Qwen2_5_VLConfig()
    config._attn_implementation = "my_kernel"
    with pytest.raises(ModelError, match="not available with attention my_kernel"):
        packed_positions(config)
