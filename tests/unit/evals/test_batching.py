"""How large a batch is, and what happens when memory runs out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForImageTextToText

from mmdft.cli import FAMILIES
from mmdft.evals.batching import batches, bytes_for_one, halved_when_full
from mmdft.model import part_of


def test_batches_are_as_large_as_the_budget_allows():
    assert batches([5, 4, 4, 2, 2, 1], lambda cost: cost, 10, 9) == [2, 2, 2]
    assert batches([5, 4, 4, 2, 2, 1], lambda cost: cost, 15, 9) == [3, 3]
    assert batches([5, 4, 4, 2, 2, 1], lambda cost: cost, 100, 4) == [4, 2]
    # One that costs more than there is goes alone, and the device has the last word.
    assert batches([50, 4, 4], lambda cost: cost, 10, 9) == [1, 2]
    assert batches([], lambda cost: cost, 10, 9) == []


@given(st.lists(st.integers(1, 40), max_size=300), st.integers(1, 200))
def test_no_batch_costs_more_than_the_budget(costs, budget):
    costs.sort(reverse=True)
    sizes = batches(costs, lambda cost: cost, budget, 64)
    assert sum(sizes) == len(costs)
    start = 0
    for size in sizes:
        batch = costs[start : start + size]
        assert size == 1 or (size * max(batch) <= budget and size <= 64)
        start += size


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 12))
def test_a_batch_that_memory_does_not_hold_is_halved(num, size, holds):
    """All are worked on, once and in order; after a failure no batch is tried that is as large."""
    tried = []

    def work(items):
        tried.append(len(items))
        if len(items) > holds:
            raise torch.OutOfMemoryError("no more")
        return [2 * item for item in items]

    whole, rest = divmod(num, size)
    sizes = [size] * whole + [rest] * (rest > 0)
    done = list(halved_when_full(work, list(range(num)), sizes))
    assert [item for items, _ in done for item in items] == list(range(num))
    assert all(result == [2 * item for item in items] for items, result in done)
    assert sum(each > holds for each in tried) <= size.bit_length()


def test_what_memory_does_not_hold_even_alone_is_told_and_the_rest_goes_on():
    def work(items):
        if 3 in items:
            raise torch.OutOfMemoryError("no more")
        return items

    done = list(halved_when_full(work, [1, 2, 3, 4], [4]))
    assert [(list(items), result) for items, result in done] == [
        ([1, 2], [1, 2]),
        ([3], None),
        ([4], [4]),
    ]


def test_other_errors_are_not_taken_for_it():
    def work(items):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        list(halved_when_full(work, [1], [1]))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bytes_of_one_more_answer(family, tiny_dir):
    """The cache's are exact: what a longer answer adds is what transformers' cache then holds."""
    config = AutoConfig.from_pretrained(tiny_dir(family))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    text = model.config.get_text_config()
    added = bytes_for_one(model, 100, 60, 0) - bytes_for_one(model, 100, 50, 0)
    attention = next(
        module
        for name, module in model.named_modules()
        if name.endswith("layers.0.self_attn") and part_of(name) == "language"
    )
    keys_and_values = 2 * attention.k_proj.out_features * 2
    assert added == 10 * text.num_hidden_layers * keys_and_values
    assert bytes_for_one(model, 100, 50, 64) > bytes_for_one(model, 100, 50, 0)
