"""Attention of a packed row by its parts is attention over the row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from work import Work

from mmdft.attention import attend

HEADS, PAIRS, WIDTH = 4, 2, 8


class Layer(nn.Module):
    is_causal = True
    num_key_value_groups = HEADS // PAIRS


def operands(length: int, batch: int = 1) -> list[Tensor]:
    draw = torch.Generator().manual_seed(length)
    return [
        torch.randn(batch, heads, length, WIDTH, generator=draw, requires_grad=True)
        for heads in (HEADS, PAIRS, PAIRS)
    ]


def mask_of(sizes: list[int]) -> Tensor:
    part = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return ((part[:, None] == part) & torch.ones(len(part), len(part)).tril().bool())[None, None]


def outcome(function, given, mask, **options) -> list[Tensor]:
    """What is attended to, and the gradients."""
    values = function(Layer(), *given, mask, scaling=0.3, **options)[0]
    weights = torch.linspace(-1, 1, values.numel()).view_as(values)
    return [values, *torch.autograd.grad((values * weights).sum(), given)]


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), additive=st.booleans())
@settings(max_examples=40, deadline=None)
def test_parts_by_themselves_are_the_row(sizes: list[int], additive: bool) -> None:
    given, mask = operands(sum(sizes)), mask_of(sizes)
    if additive:
        mask = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    positions = torch.cat([torch.arange(size) for size in sizes])[None]
    whole = outcome(sdpa_attention_forward, given, mask)
    with Work() as work:
        parts = outcome(attend, given, mask, position_ids=positions)
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert {keys for _, keys in work.attended} == set(sizes)


def test_branches_behind_a_prefix_stay_together_with_their_mask() -> None:
    # 0 1 2, then two branches 3 4 and 3 of it; and another example.
    positions = torch.tensor([[0, 1, 2, 3, 4, 3, 0, 1]])
    mask = mask_of([6, 2])
    mask[..., 5, 3:5] = False
    given = operands(8)
    whole = outcome(sdpa_attention_forward, given, mask)
    with Work() as work:
        parts = outcome(attend, given, mask, position_ids=positions)
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert set(work.attended) == {(6, 6), (2, 2)}


@pytest.mark.parametrize(
    ("positions", "has_mask"),
    [
        (None, True),  # as a vision tower calls it
        ([0, 1, 2, 0, 1], False),  # the row is one part
        ([1, 1, 0, 1, 2], True),  # padded on the left
        ([0, 1, 2, 3, 4], True),
    ],
)
def test_another_row_is_attended_to_as_it_was(positions: list[int] | None, has_mask: bool) -> None:
    given, mask = operands(5), mask_of([5]) if has_mask else None
    options = {} if positions is None else {"position_ids": torch.tensor([positions])}
    whole = outcome(sdpa_attention_forward, given, mask)
    with Work() as work:
        found = outcome(attend, given, mask, **options)
    assert all(torch.equal(one, other) for one, other in zip(found, whole, strict=True))
    assert set(work.attended) == {(5, 5)}


def test_a_batch_is_attended_to_as_it_was() -> None:
    given, mask = operands(5, batch=2), mask_of([3, 2]).expand(2, -1, -1, -1)
    positions = torch.tensor([[0, 1, 2, 0, 1]] * 2)
    with Work() as work:
        attend(Layer(), *given, mask, position_ids=positions)
    assert set(work.attended) == {(5, 5)}
