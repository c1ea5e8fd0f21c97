"""Steps are counted as transformers and accelerate count them."""

from __future__ import annotations

import math

import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from mmdft.checking.steps import all_steps, batches, epoch_steps, padding


@given(st.integers(0, 200), st.integers(1, 9), st.integers(1, 8), st.booleans(), st.integers(0, 7))
def test_batches_are_dealt_out_as_accelerate_does(
    rows: int, size: int, ranks: int, drop_last: bool, rank: int
) -> None:
    sampler = BatchSampler(range(rows), size, drop_last)
    shard = BatchSamplerShard(sampler, ranks, min(rank, ranks - 1))
    assert batches(rows, size, ranks, drop_last) == len(shard)


@given(st.integers(1, 300), st.integers(1, 20), st.floats(0.1, 5))
def test_steps_follow_the_trainer(num: int, accumulation: int, epochs: float) -> None:
    each = max(num // accumulation + int(num % accumulation > 0), 1)
    assert epoch_steps(num, accumulation) == each
    assert all_steps(each, epochs, -1) == math.ceil(epochs * each)
    assert all_steps(each, epochs, 7) == 7


def test_padding_is_what_batches_waste() -> None:
    assert padding([], 4, 0) == 0
    assert padding([5, 9, 2], 1, 0) == 0
    assert padding([2, 6], 2, 0) == pytest.approx(1 - 8 / 12)
    assert padding([4, 4, 4], 2, 0) == 0
