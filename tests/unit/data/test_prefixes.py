"""Which examples share a prefix, where they stand in a row, and which token sees which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoConfig, Qwen2_5_VLConfig

from mmdft.config import DataConfig
from mmdft.data.dataset import LoadedRow, RenderedDataset
from mmdft.data.fields import OWN_PIXELS
from mmdft.data.packing import PackedDataset, Positions, collate_packed, packed_positions
from mmdft.data.prefixes import (
    Branch,
    Chain,
    branch_mask,
    chains_of,
    seen_until,
    shared_prefixes,
)
from mmdft.data.quarantine import BadRow
from mmdft.data.stored import stored
from mmdft.data.vision import pixel_budget
from mmdft.errors import ModelError
from mmdft.records import Example, ImageRef, Rendered, Turn

IMAGE = 99
NUMBERS = count(1)


@cache
def positions() -> Positions:
    return packed_positions(Qwen2_5_VLConfig(attn_implementation="sdpa"))


def rendered(prompt: Sequence[int], answer: Sequence[int], name: str = "x") -> Rendered:
    """An example of one reply; each two IMAGE are one image of 2 x 4 patches, two tokens wide."""
    ids = (*prompt, *answer)
    pictures = sum(token == IMAGE for token in ids) // 2
    images = {
        "pixel_values": torch.arange(pictures * 8.0).view(-1, 1),
        "image_grid_thw": torch.tensor([[1, 2, 4]] * pictures),
    }
    return Rendered(
        id=name,
        ids=ids,
        mask=(False,) * len(prompt) + (True,) * len(answer),
        segments=(0,) * len(prompt) + (2,) * len(answer),
        image_tokens=tuple(token == IMAGE for token in ids),
        images=images if pictures else {},
    )


def loaded(
    prompt: Sequence[int], answer: Sequence[int], images: Sequence[str] = (), **meta: Any
) -> LoadedRow:
    tokens = rendered(prompt, answer)
    parts = (*(ImageRef(path=Path(name)) for name in images), str(prompt))
    turns = (Turn(role="user", parts=parts), Turn(role="assistant", parts=(str(answer),)))
    return LoadedRow(
        source="rows.jsonl",
        row=next(NUMBERS),
        example=Example(id="x", turns=turns, meta=meta),
        sizes=((8, 8),) * len(images),
        length=len(tokens.ids),
        tokens=stored(tokens),
    )


def test_chains_by_hand() -> None:
    image = [1, IMAGE, IMAGE, 2]
    rows = [
        loaded([*image, 5, 6, 7], [8], ["a"]),
        loaded([1, 5, 6, 7], [8, 9]),
        loaded([*image, 5, 3, 7], [8, 8], ["a"]),
        loaded([*image, 5, 6, 7], [8], ["b"]),
        loaded([*image, 5, 6, 7], [4, 9], ["a"]),
        loaded([1, 5, 6, 7], [8]),
        loaded([1, 5, 6, 6], [8]),
        loaded([*image, 5, 6, 7], [8], ["a"], **{OWN_PIXELS: (None, 3136)}),
    ]
    assert chains_of(rows, 50) == [
        # the question 5 3 7 stands before 5 6 7; they have the image and 5 in common
        [Branch(2, 0), Branch(0, 5), Branch(4, 6)],
        # the last token of the prompt predicts the first of the answer, and is each one's own
        [Branch(1, 0), Branch(5, 3)],
        [Branch(3, 0)],
        [Branch(6, 0)],
        [Branch(7, 0)],
    ]


def test_repeats_of_an_epoch_are_not_put_into_one_step() -> None:
    rows = [loaded([1, 5, 6], [8]), loaded([1, 5, 6], [9])]
    # as `repeat: 2.5` may have it
    epoch = [rows[0], rows[0], rows[1], rows[1], rows[0]]
    assert chains_of(epoch, 50) == [
        [Branch(0, 0), Branch(2, 2)],
        [Branch(1, 0), Branch(3, 2)],
        [Branch(4, 0)],
    ]


def test_a_prefix_holds_all_images_or_is_none() -> None:
    rows = [
        loaded([1, 5, IMAGE, IMAGE, 2], [8], ["a"]),
        loaded([1, 6, IMAGE, IMAGE, 2], [8], ["a"]),
    ]
    assert chains_of(rows, 50) == [[Branch(0, 0)], [Branch(1, 0)]]
    # One question is the beginning of the other.
    rows = [loaded([1, 5, 6], [8]), loaded([1, 5, 6], [8])]
    longer = replace(rows[1], tokens=stored(rendered([1, 5, 6, 6], [8])), length=5)
    assert chains_of([rows[0], longer], 50) == [[Branch(0, 0), Branch(1, 2)]]


def test_a_chain_is_cut_where_it_does_not_fit() -> None:
    rows = [loaded([*range(7)], [9] * num) for num in (2, 2, 2, 3, 1)]
    whole = [Branch(0, 0), *(Branch(number, 6) for number in range(1, 5))]
    # 9, 3, 3, 4 and 2 tokens
    assert chains_of(rows, 21) == [whole]
    assert chains_of(rows, 20) == [whole[:4], [Branch(4, 0)]]
    # 9 + 3 is 12; 9 + 4 is 13
    assert chains_of(rows, 12) == [whole[:2], [Branch(2, 0)], [Branch(3, 0), Branch(4, 6)]]


TREES = st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=8), min_size=1, max_size=12)


@given(TREES, st.lists(st.integers(1, 4), min_size=12, max_size=12), st.integers(12, 40))
def test_every_token_sees_its_own_example_up_to_itself(
    prompts: list[list[int]], answers: list[int], capacity: int
) -> None:
    """The tokens it sees, read in the row's order, are the example's; their positions too."""
    made = [
        rendered(prompt, [10 + number] * num, str(number))
        for number, (prompt, num) in enumerate(zip(prompts, answers, strict=False))
    ]
    lengths = [len(each.ids) for each in made]
    images = [loaded(p, [9], ["a"]) for p in prompts]
    rows = [
        replace(row, tokens=stored(each), length=len(each.ids))
        for row, each in zip(images, made, strict=True)
    ]
    dataset = PackedDataset(made, lengths, capacity, 0, chains_of(rows, capacity))
    assert sorted(n for pack in dataset.packs for n in pack) == list(range(len(made)))
    for number, size in enumerate(dataset.sizes):
        pack = dataset[number]
        batch = collate_packed([pack], positions())
        ids, where = batch["input_ids"][0], batch["position_ids"][:, 0]
        assert len(ids) == size <= capacity
        until = seen_until(pack)[None]
        assert ("seen_until" in batch) == any(each.shared for each in pack)
        mask = branch_mask(until, "sdpa")[0, 0]
        eager = branch_mask(until, "eager")
        assert torch.equal(eager == 0, mask[None, None]) and eager.min() < -1e38
        row = 0
        for each in pack:
            for place in range(each.shared, len(each.ids)):
                assert ids[mask[row]].tolist() == list(each.ids[: place + 1])
                assert where[0, mask[row]].tolist() == list(range(place + 1))
                assert batch["labels"][0, row] == (each.ids[place] if each.mask[place] else -100)
                row += 1
        assert row == size


def test_places_by_value() -> None:
    examples = [
        rendered([1, 2], [3, 4]),
        replace(rendered([1, 2], [5]), shared=2),
        rendered([7], [8]),
    ]
    assert seen_until(examples).tolist() == [5, 5, 4, 4, 5, 7, 7]
    assert seen_until(examples[:1]).tolist() == [4, 4, 4, 4]


def test_a_batch_by_value() -> None:
    prompt = [1, IMAGE, IMAGE, 2, 3]
    packs = [
        [rendered(prompt, [5, 6]), replace(rendered(prompt, [7]), shared=4)],
        [rendered([4], [8])],
    ]
    batch = collate_packed(packs, positions())
    assert batch["input_ids"].tolist() == [[1, IMAGE, IMAGE, 2, 3, 5, 6, 3, 7, 4, 8]]
    x = -100
    assert batch["labels"].tolist() == [[x, x, x, x, x, 5, 6, x, 7, x, 8]]
    assert batch["segments"].tolist() == [[0, 0, 0, 0, 0, 2, 2, 0, 2, 0, 2]]
    assert batch["position_ids"].squeeze(1).tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 1],
        [0, 1, 1, 3, 4, 5, 6, 4, 5, 0, 1],
        [0, 1, 1, 3, 4, 5, 6, 4, 5, 0, 1],
        [0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 1],
    ]
    assert batch["seen_until"].tolist() == [[9, 9, 9, 9, 7, 7, 7, 9, 9, 11, 11]]
    assert batch["image_grid_thw"].tolist() == [[1, 2, 4]] and len(batch["pixel_values"]) == 8
    with pytest.raises(AssertionError):
        collate_packed([[packs[0][0], replace(packs[0][1], shared=5)]], positions())


class Rows(list[Any]):
    """Stands for a RenderedDataset: what it gives is at hand already."""


def test_behind_a_row_that_cannot_be_used_the_next_is_whole() -> None:
    bad = BadRow(source="rows.jsonl", row=1, id="b", reason="broken")
    good = [rendered([1, 2, 3], [n], str(n)) for n in range(3)]
    chains: list[Chain] = [[Branch(0, 0), Branch(1, 2), Branch(2, 2)]]
    for rows, shared in (
        ([*good], [0, 2, 2]),
        ([bad, *good[1:]], [None, 0, 2]),
        ([good[0], bad, good[2]], [0, None, 0]),
    ):
        dataset = PackedDataset(Rows(rows), [4, 4, 4], 20, 0, chains)
        assert dataset.sizes == [8]
        found = [None if isinstance(each, BadRow) else each.shared for each in dataset[0]]
        assert found == shared


def test_images_of_the_row_before_are_not_decoded_again(processor: Any, tmp_path: Path) -> None:
    tools = processor("qwen2_5_vl")
    budget = pixel_budget(tools, 3136, 3136)
    for name in "ab":
        Image.effect_noise((56, 56), 60).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
    names = ["a", "a", "b", "broken", "broken", "b", "a"]
    rows = [loaded([1, IMAGE, 2], [3], [str(tmp_path / f"{name}.png")]) for name in names]
    rows = [replace(row, sizes=((56, 56),)) for row in rows]
    found = list(RenderedDataset(rows, tools, budget))
    assert [isinstance(each, BadRow) for each in found] == [n == "broken" for n in names]
    pixels = [each.images["pixel_values"] for each in found if isinstance(each, Rendered)]
    # a, a, b, b, a
    assert pixels[0] is pixels[1] and pixels[2] is pixels[3] and pixels[4] is not pixels[0]
    assert torch.equal(pixels[4], pixels[0]) and not torch.equal(pixels[2], pixels[0])
    own = replace(rows[0].example, meta={OWN_PIXELS: (None, 28 * 28)})
    other = RenderedDataset([rows[0], replace(rows[0], example=own)], tools, budget)
    assert len(other[0].images["pixel_values"]) == 4 * len(other[1].images["pixel_values"])


ALIKE = [loaded([1, 2, 3, 4], [n]) for n in range(3)]
APART = [loaded([1, 2, 3, n], [5]) for n in range(20, 40)]


def known(**changes: Any) -> Any:
    config = Qwen2_5_VLConfig(attn_implementation="sdpa")
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def test_auto_shares_where_a_tenth_is_saved() -> None:
    auto = DataConfig(packing=True)
    # 6 of 15 tokens; with 20 rows more of 5, 6 of 115
    chains, note = shared_prefixes(ALIKE, auto, known())
    assert chains == chains_of(ALIKE, 50) and note == "shared prefixes save 6 of 15 tokens (40%)"
    assert shared_prefixes(ALIKE + APART, auto, known()) == (None, None)
    wanted = DataConfig(packing=True, share_prefix=True)
    chains, note = shared_prefixes(ALIKE + APART, wanted, known())
    assert chains is not None and sum(len(chain) for chain in chains) == 23
    assert note == "shared prefixes save 6 of 115 tokens (5%)"
    never = DataConfig(packing=True, share_prefix=False)
    assert shared_prefixes(ALIKE, never, known()) == (None, None)


def test_attention_that_takes_no_mask_of_ours_is_refused(tiny_dir: Any) -> None:
    auto, wanted = (DataConfig(packing=True, share_prefix=each) for each in ("auto", True))
    flash = known(_attn_implementation="flash_attention_2")
    sliding = AutoConfig.from_pretrained(tiny_dir("qwen2_5_vl"))
    sliding._attn_implementation = "sdpa"
    assert shared_prefixes(ALIKE, wanted, sliding)[0] is not None
    layers = sliding.text_config.num_hidden_layers
    sliding.text_config.layer_types = ["sliding_attention"] * layers
    sliding.text_config.sliding_window = 7
    for config, reason in (
        (
            flash,
            "not available with attention flash_attention_2, only with eager, sdpa; set model.",
        ),
        (sliding, "layers of this model see 7 tokens back only; choose another model"),
    ):
        with pytest.raises(ModelError, match=f"^data.share_prefix: {reason}") as error:
            shared_prefixes(ALIKE, wanted, config)
        assert str(error.value).endswith(", or data.share_prefix=false")
        chains, note = shared_prefixes(ALIKE, auto, config)
        assert chains is None and note is not None
        assert note.startswith(
            "prefixes are not shared, which would save 6 of 15 tokens (40%): " + reason[:20]
        )
        # Where there is nothing to share, there is nothing to tell.
        assert shared_prefixes(APART, auto, config) == (None, None)
