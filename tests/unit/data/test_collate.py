"""Batches, by value: what is padded where, and -100 exactly off the mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmdft.data.collate import IGNORE, collate_generation, collate_training
from mmdft.records import Rendered

IMAGE = 99


def rendered(
    ids: list[int],
    mask: list[int],
    images: dict[str, Tensor] | None = None,
    segments: Sequence[int] | None = None,
) -> Rendered:
    return Rendered(
        id="x",
        ids=tuple(ids),
        mask=tuple(map(bool, mask)),
        segments=tuple(segments or [0] * len(ids)),
        image_tokens=tuple(i == IMAGE for i in ids),
        images=images or {},
    )


def values(batch: dict[str, Tensor]) -> dict[str, list[list[int]]]:
    assert all(batch[name].dtype == torch.int64 for name in batch if name != "pixel_values")
    return {name: tensor.tolist() for name, tensor in batch.items()}


SHORT_AND_LONG = (
    rendered([5, 6, 7], [0, 1, 1], segments=[0, 2, 3]),
    rendered([8, 9], [0, 1], segments=[0, 3]),
)


def test_training_pads_on_the_right() -> None:
    assert values(collate_training(SHORT_AND_LONG, pad_id=0)) == {
        "input_ids": [[5, 6, 7], [8, 9, 0]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "mm_token_type_ids": [[0, 0, 0], [0, 0, 0]],
        "labels": [[-100, 6, 7], [-100, 9, -100]],
        "segments": [[0, 2, 3], [0, 3, 0]],
    }


def test_generation_pads_on_the_left() -> None:
    assert values(collate_generation(SHORT_AND_LONG, pad_id=3)) == {
        "input_ids": [[5, 6, 7], [3, 8, 9]],
        "attention_mask": [[1, 1, 1], [0, 1, 1]],
        "mm_token_type_ids": [[0, 0, 0], [0, 0, 0]],
    }


def test_the_pad_token_inside_an_example_is_no_padding() -> None:
    batch = collate_training([rendered([0, 0, 4], [0, 1, 1]), rendered([0], [1])], pad_id=0)
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 0, 4], [0, -100, -100]]


def test_images_are_joined_in_order_and_marked() -> None:
    def images(start: float, grids: list[list[int]]) -> dict[str, Tensor]:
        patches = sum(t * h * w for t, h, w in grids)
        return {
            "pixel_values": torch.arange(patches * 2).reshape(patches, 2) + start,
            "image_grid_thw": torch.tensor(grids),
        }

    first, third = images(0.0, [[1, 2, 2], [1, 2, 4]]), images(1000.0, [[1, 4, 2]])
    batch = collate_training(
        [
            rendered([1, IMAGE, 2, IMAGE, IMAGE, 3], [0, 0, 0, 0, 0, 1], first),
            rendered([4, 5], [0, 1]),
            rendered([IMAGE, IMAGE, 6], [0, 0, 1], third),
        ],
        pad_id=0,
    )
    assert batch["image_grid_thw"].tolist() == [[1, 2, 2], [1, 2, 4], [1, 4, 2]]
    expected = torch.cat([first["pixel_values"], third["pixel_values"]])
    assert torch.equal(batch["pixel_values"], expected)
    assert batch["mm_token_type_ids"].tolist() == [
        [0, 1, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
    ]


def test_a_batch_without_images_has_no_image_inputs() -> None:
    assert not {"pixel_values", "image_grid_thw"} & collate_training(SHORT_AND_LONG, 0).keys()


EXAMPLES = st.lists(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 1)), min_size=1, max_size=9),
    min_size=1,
    max_size=4,
)


@given(rows=EXAMPLES, pad_id=st.integers(0, 99))
def test_labels_are_the_ids_on_the_mask_and_nothing_else(
    rows: list[list[tuple[int, int]]], pad_id: int
) -> None:
    examples = [rendered([i for i, _ in row], [on for _, on in row]) for row in rows]
    length = max(map(len, rows))
    batch = collate_training(examples, pad_id)
    left = collate_generation(examples, pad_id)
    for row, (ids, mask) in enumerate((e.ids, e.mask) for e in examples):
        padding = [0] * (length - len(ids))
        labels = [i if on else IGNORE for i, on in zip(ids, mask, strict=True)]
        assert batch["labels"][row].tolist() == labels + [IGNORE] * len(padding)
        assert batch["input_ids"][row].tolist() == [*ids, *[pad_id] * len(padding)]
        assert left["input_ids"][row].tolist() == [*[pad_id] * len(padding), *ids]
        assert left["attention_mask"][row].tolist() == padding + [1] * len(ids)
        assert left["mm_token_type_ids"][row].tolist() == padding + [int(i == IMAGE) for i in ids]
    assert "labels" not in left
