"""Several examples in one row, with no attention from one to another.

A packed batch has no padding and no attention mask. Where one example ends and the next begins is
told by the text positions, which start again at 0: transformers builds its mask from them
(`find_packed_sequence_indices`). The rotary positions of each example are those it has alone, so
loss and gradient are the padded batch's. Examples that share a prefix (`mmdft.data.prefixes`) have
a mask of their own.
"""

from __future__ import annotations

import copy
import random
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import AutoModel

from mmdft.data.collate import IGNORE, concatenate_images, place_reference
from mmdft.data.dataset import RenderedRows
from mmdft.data.prefixes import Branch, Chain, seen_until
from mmdft.data.quarantine import BadRow
from mmdft.errors import DataError, ModelError
from mmdft.records import Rendered

# Families and attention kernels that were seen to keep packed examples apart, or that transformers
# documents to. Others may ignore the positions, and examples would silently see each other.
PACKED_FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
PACKED_ATTENTION = ("eager", "sdpa", "flash_attention_2")

# Examples packed together come from a stretch of this many in shuffled order: enough for a tight
# fit, few enough that a pack is a random draw from the data whatever the lengths in it.
WINDOW = 512

Positions = Callable[[Rendered], Tensor]
"""An example's rotary positions (temporal, height, width), (3, length) int64."""


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put every index into a bin whose lengths add up to at most the capacity.

    Best-fit decreasing: the longest first, each into the fullest bin that has room for it; ties go
    to the lower index and the older bin. With capacity 10, lengths (4, 6, 3, 5) become
    [[1, 0], [3, 2]].

    Raises:
        ValueError: a length is not between 1 and the capacity.
    """
    for index, length in enumerate(lengths):
        if not 1 <= length <= capacity:
            raise ValueError(f"length {length} of item {index} is not within 1 and {capacity}")
    bins: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (what is left, bin), sorted
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect_left(rooms, (lengths[index], 0))
        if place == len(rooms):
            room, chosen = capacity, len(bins)
            bins.append([])
        else:
            room, chosen = rooms.pop(place)
        bins[chosen].append(index)
        insort(rooms, (room - lengths[index], chosen))
    return bins


class PackedDataset(Dataset[list[Rendered | BadRow]]):
    """Packs of rendered examples, the same ones in every epoch of a run; a bad row stays one.

    Which examples share a pack depends on the lengths, the chains, the capacity and the seed alone.
    The Trainer's sampler then orders packs as it would examples.

    Args:
        dataset: the examples.
        lengths: each example's tokens, as `load_examples` measured them.
        capacity: most tokens in a pack.
        seed: of the shuffle before packing.
        chains: of `shared_prefixes`, each kept together; None if every example stands by itself.
    """

    def __init__(
        self,
        dataset: RenderedRows,
        lengths: Sequence[int],
        capacity: int,
        seed: int,
        chains: Sequence[Chain] | None = None,
    ) -> None:
        if len(lengths) != len(dataset):
            raise ValueError(f"{len(lengths)} lengths for {len(dataset)} examples")
        self.dataset = dataset
        self.lengths = lengths
        if chains is None:
            chains = [[Branch(index, 0)] for index in range(len(lengths))]
        # Of each example, the tokens that it shares with the one before it in its pack.
        self.shared = [0] * len(lengths)
        for index, shared in (branch for chain in chains for branch in chain):
            self.shared[index] = shared
        order = list(chains)
        random.Random(seed).shuffle(order)
        windows = (order[start : start + WINDOW] for start in range(0, len(order), WINDOW))
        self.packs = [
            [branch.example for place in bin_ for branch in window[place]]
            for window in windows
            for bin_ in best_fit(
                [sum(lengths[index] - shared for index, shared in chain) for chain in window],
                capacity,
            )
        ]
        # Tokens in each pack.
        self.sizes = [
            sum(lengths[index] - self.shared[index] for index in pack) for pack in self.packs
        ]

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, index: int) -> list[Rendered | BadRow]:
        pack: list[Rendered | BadRow] = []
        for place in self.packs[index]:
            example = self._example(place)
            # Behind a row that cannot be used, the prefix is not there.
            if isinstance(example, Rendered) and pack and isinstance(pack[-1], Rendered):
                example = replace(example, shared=self.shared[place])
            pack.append(example)
        return pack

    def _example(self, index: int) -> Rendered | BadRow:
        example = self.dataset[index]
        if isinstance(example, Rendered) and len(example.ids) != self.lengths[index]:
            raise DataError(
                f"example {example.id}: {len(example.ids)} tokens now, {self.lengths[index]} when "
                "it was loaded; has its image changed since? Start the run again"
            )
        return example


def packed_positions(config: Any) -> Positions:
    """How a model numbers the tokens of one example: its own `get_rope_index`, without weights.

    Args:
        config: the model's `transformers` configuration.

    Returns:
        A function that can be sent to a data loader's worker.

    Raises:
        ModelError: packing is not known to be exact for this family or its attention kernel.
    """
    if config.model_type not in PACKED_FAMILIES:
        raise ModelError(
            f"data.packing: not available for {config.model_type}, only for "
            f"{', '.join(PACKED_FAMILIES)}; set data.packing=false"
        )
    if config._attn_implementation not in PACKED_ATTENTION:
        raise ModelError(
            f"data.packing: not available with attention {config._attn_implementation}, only with "
            f"{', '.join(PACKED_ATTENTION)}; set model.attn_implementation"
        )
    # Of the model only the configuration is read; on the meta device it has no memory.
    with torch.device("meta"):
        shape = AutoModel.from_config(copy.deepcopy(config), attn_implementation="eager")
    return partial(_positions, shape.get_rope_index)


def collate_packed(packs: Sequence[Sequence[Rendered]], positions: Positions) -> dict[str, Tensor]:
    """All packs of a batch, one after the other in a single row: the form without padding.

    Examples (ids 5 6 7, mask 0 1 1, segments 0 2 3) and (ids 8 9, mask 0 1, segments 0 3), text
    alone, become
        input_ids     [[5, 6, 7, 8, 9]]
        labels        [[-100, 6, 7, -100, 9]]
        segments      [[0, 2, 3, 0, 3]]
        position_ids  four times [[0, 1, 2, 0, 1]]

    Of an example's `shared` tokens and its images, none are repeated: with ids 5 6 7 8, mask
    0 0 0 1, a second example of ids 5 6 7 9 that shares 2 adds 7 9 at positions 2 3. The token that
    predicts its first answer token is always its own.

    What lies between two examples is skipped by `flash_attention_2`, and by sdpa on a CPU, through
    `mmdft.attention`; elsewhere the cost of attention grows with the square of the row, and
    accumulation is cheaper than a larger batch.

    Args:
        packs: what `PackedDataset` gives.
        positions: of `packed_positions`.

    Returns:
        `input_ids`, `labels` and `segments` (codes of SEGMENTS, 0 where a label is -100),
        (1, length) int64; `position_ids`, (4, 1, length) int64: the text positions, then the
        rotary ones; and the images' tensors, concatenated in order. With reference
        log-probabilities also `reference_logp` (1, length) fp32, and with shared prefixes
        `seen_until` (1, length) int64, which `mmdft.head` makes the mask of. Models do not know
        `segments`, `reference_logp` and `seen_until`.
    """
    examples = [example for pack in packs for example in pack]
    # A first token has nothing before it in its own part of the row to be predicted from.
    assert not any(any(example.mask[: example.shared + 1]) for example in examples)
    ids = torch.tensor([token for each in examples for token in each.ids[each.shared :]])
    mask = torch.tensor([trained for each in examples for trained in each.mask[each.shared :]])
    segments = torch.tensor([code for each in examples for code in each.segments[each.shared :]])
    where = [
        torch.cat([torch.arange(len(each.ids))[None], positions(each)])[:, each.shared :]
        for each in examples
    ]
    shares = any(example.shared for example in examples)
    labels = ids.masked_fill(~mask, IGNORE)[None]
    return {
        "input_ids": ids[None],
        "labels": labels,
        "segments": segments[None],
        **place_reference(examples, labels),
        "position_ids": torch.cat(where, dim=1)[:, None],
        **({"seen_until": seen_until(examples)[None]} if shares else {}),
        **concatenate_images([example for example in examples if not example.shared]),
    }


def _positions(get_rope_index: Callable[..., tuple[Tensor, Tensor]], example: Rendered) -> Tensor:
    positions, _ = get_rope_index(
        input_ids=torch.tensor([example.ids]),
        mm_token_type_ids=torch.tensor([example.image_tokens], dtype=torch.long),
        image_grid_thw=example.images.get("image_grid_thw"),
    )
    return positions[:, 0]
