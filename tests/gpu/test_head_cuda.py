"""The answer head on a GPU, at the size of a real vocabulary: `pytest -m gpu tests/gpu`."""

import math

import pytest
import torch
from torch import nn

from mmdft.answer_loss import answer_loss
from mmdft.objectives import dft

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

HIDDEN, VOCABULARY, TOKENS = 2048, 151_936, 128


def test_weights_from_bf16_operands_are_within_a_thousandth():
    torch.manual_seed(0)
    weight = (torch.randn(VOCABULARY, HIDDEN, device="cuda") / math.sqrt(HIDDEN)).bfloat16()
    states = (torch.randn(TOKENS, HIDDEN, device="cuda") * 6).bfloat16().requires_grad_()
    logits = states.detach().double() @ weight.double().t()
    targets = logits.argmax(-1)
    exact = torch.softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)
    head = nn.Linear(HIDDEN, VOCABULARY, bias=False, device="cuda", dtype=torch.bfloat16)
    with torch.no_grad():
        head.weight.copy_(weight)
    seen = []

    def record(tokens):
        seen.append(tokens.logp.exp())
        return dft(tokens)

    answer_loss(states, targets, head, record, chunk_mb=64).loss.backward()
    assert ((torch.cat(seen).double() - exact).abs() / exact).max() < 1e-3
    assert torch.isfinite(head.weight.grad).all() and torch.isfinite(states.grad).all()
