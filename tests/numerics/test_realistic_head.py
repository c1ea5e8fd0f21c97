"""The answer head at the sizes of Qwen2.5-VL-3B, in bf16; eval/loss_exactness.py has the table."""

import math

import pytest
import torch
from torch import nn

from mmdft.answer_loss import answer_loss
from mmdft.objectives import dft

HIDDEN, VOCABULARY, TOKENS = 2048, 151_936, 16


@pytest.fixture(scope="module")
def case():
    """A frozen bf16 head, states whose largest logit is about 24, targets likely and unlikely."""
    draw = torch.Generator().manual_seed(0)
    head = nn.Linear(HIDDEN, VOCABULARY, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    for rows in head.weight.split(VOCABULARY // 8):
        rows.copy_(torch.randn(rows.shape, generator=draw) / math.sqrt(HIDDEN))
    states = torch.randn(TOKENS, HIDDEN, generator=draw) * 4.8
    # Each token's likeliest target, made less likely or more.
    targets = logits_of(states, head).argmax(-1)
    states += torch.linspace(-5, 6, TOKENS)[:, None] * head.weight[targets].float()
    states = states.bfloat16()
    logits = logits_of(states, head)
    logp = logits.log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    return head, states, targets, logp, logits.amax(-1)


def logits_of(states, head):
    parts = head.weight.split(VOCABULARY // 8)
    return torch.cat([states.double() @ rows.double().t() for rows in parts], -1)


def error(p, exact):
    return ((p.double() - exact).abs() / exact).max().item()


def test_the_logits_are_as_large_as_a_real_models(case):
    _, _, _, logp, largest = case
    assert 22 < largest.mean() < 26
    assert logp.exp().max() > 0.95 and logp.exp().min() < 0.05


def test_weight_and_loss_are_exact_at_the_size_of_a_real_model(case):
    head, states, targets, logp, _ = case
    seen = []

    def watched(tokens):
        seen.append(dft(tokens))
        return seen[-1]

    loss = answer_loss(states, targets, head, watched, chunk_mb=256).loss
    assert error(torch.cat(seen), logp.exp()) < 1e-3
    assert loss.item() == pytest.approx(-(logp.exp() * logp).sum().item(), rel=1e-5)


def test_rounded_logits_would_not_pass(case):
    """The same bounds tell a bf16 product from ours."""
    head, states, targets, logp, _ = case
    p = head(states).float().softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    assert error(p, logp.exp()) > 1e-2
