"""How many steps a training makes, and what goes into one; counted as the Trainer does."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


def batches(rows: int, batch_size: int, ranks: int, drop_last: bool) -> int:
    """Batches that each rank gets in an epoch.

    transformers divides the rows into batches and deals them out to the ranks (accelerate's
    `BatchSamplerShard`): a last round that does not serve all ranks is filled up with rows from the
    start, or left out with `drop_last`.
    """
    whole, rest = divmod(rows, batch_size)
    num = whole if drop_last else whole + (rest > 0)
    each, more = divmod(num, ranks)
    return each if drop_last else each + (more > 0)


def epoch_steps(num_batches: int, accumulation: int) -> int:
    """Optimizer steps in an epoch of that many batches; at least one, as the Trainer counts."""
    return max(-(-num_batches // accumulation), 1)


def all_steps(steps_per_epoch: int, epochs: float, max_steps: int) -> int:
    """Optimizer steps of a whole training; from 0 up, `max_steps` has its way."""
    return max_steps if max_steps >= 0 else math.ceil(epochs * steps_per_epoch)


def padding(lengths: Sequence[int], batch_size: int, seed: int) -> float:
    """Share of the positions that are padding if rows in random order are padded in batches."""
    if not lengths:
        return 0.0
    order = list(range(len(lengths)))
    random.Random(seed).shuffle(order)
    room = 0
    for start in range(0, len(order), batch_size):
        batch = [lengths[place] for place in order[start : start + batch_size]]
        room += max(batch) * len(batch)
    return 1 - sum(lengths) / room
