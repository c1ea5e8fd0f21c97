"""The order in which a training takes its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler, get_sampler
from torch.utils.data import DataLoader, Sampler

# Numbers that are Python objects at a time, of 40 bytes each.
_PART = 4096


class ShuffledRows(Sampler[int]):
    """All rows, shuffled anew in each epoch by the seed alone.

    The order is that of accelerate's `SeedableRandomSampler`, which holds it as a list of numbers;
    this one holds 8 bytes a row.

    Args:
        num: how many rows.
        seed: of the first epoch; each further one has the next.
    """

    def __init__(self, num: int, seed: int) -> None:
        self.num, self.seed, self.epoch = num, seed, 0

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.num, generator=generator)
        for start in range(0, self.num, _PART):
            yield from order[start : start + _PART].tolist()
        self.set_epoch(self.epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch


def flat_order(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A loader that accelerate has prepared, with `ShuffledRows` where it shuffles by its own."""
    sampler: Any = get_sampler(loader)
    if isinstance(sampler, SeedableRandomSampler):
        # As accelerate puts its own there: on several ranks it is looked for in two places.
        loader.set_sampler(ShuffledRows(len(sampler), sampler.initial_seed))  # type: ignore[attr-defined]
    return loader
