"""The answer head against float64 autograd, and the closed forms of SFT and DFT."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmdft.errors import ModelError
from mmdft.head import SUMS, answer_loss, answer_states
from mmdft.objectives import OBJECTIVES, Tokens, dft, sft


def tokens_of(rows, logp):
    return Tokens(logp, rows.clone)


def found(answers, name):
    return answers.sums[SUMS.index(name)].item()


def reference(states, weight, bias, targets, objective):
    """Loss sum and gradients by plain autograd in float64."""
    states, weight = states.double().requires_grad_(), weight.double().requires_grad_()
    bias = bias.double().requires_grad_() if bias is not None else None
    rows = torch.log_softmax(nn.functional.linear(states, weight, bias), -1)
    logp = rows.gather(-1, targets[:, None]).squeeze(-1)
    loss = (-objective(tokens_of(rows.detach(), logp.detach())) * logp).sum()
    loss.backward()
    grads = [t.grad if t is not None else None for t in (states, weight, bias)]
    return loss.detach(), logp.detach(), *grads


def magnitudes(states, weight, bias, targets, objective):
    """Norms of the gradients' sums with every term taken positive: what their error scales with.

    Terms of several tokens may cancel; then no fp32 sum is exact relative to what is left.
    """
    logits = nn.functional.linear(
        states.double(), weight.double(), bias.double() if bias is not None else None
    )
    log_rows = torch.log_softmax(logits, -1)
    logp = log_rows.gather(-1, targets[:, None]).squeeze(-1)
    rows = log_rows.exp()
    rows[torch.arange(len(targets)), targets] -= 1
    rows = (rows * objective(tokens_of(log_rows, logp))[:, None]).abs()
    return [
        grad.norm().item()
        for grad in (rows @ weight.double().abs(), rows.t() @ states.double().abs(), rows.sum(0))
    ]


def head_of(weight, bias):
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        head.weight.copy_(weight)
        if bias is not None:
            head.bias.copy_(bias)
    return head


def relative(a, b):
    return ((a.double() - b).norm() / b.norm().clamp(min=1e-12)).item()


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tokens=st.integers(1, 40),
    hidden=st.integers(2, 48),
    vocabulary=st.integers(2, 700),
    scale=st.sampled_from([0.01, 1.0, 3.0]),
    bias=st.booleans(),
)
def test_loss_and_gradients_equal_float64_autograd(
    name, seed, tokens, hidden, vocabulary, scale, bias
):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(vocabulary, hidden, generator=generator) * scale / math.sqrt(hidden)
    offset = torch.randn(vocabulary, generator=generator) if bias else None
    states = torch.randn(tokens, hidden, generator=generator)
    targets = torch.randint(vocabulary, (tokens,), generator=generator)
    want = reference(states, weight, offset, targets, OBJECTIVES[name])

    head = head_of(weight, offset)
    states.requires_grad_()
    # a budget of under 1 MiB for a 700-word vocabulary still holds all rows; force many chunks
    got = answer_loss(states, targets, head, OBJECTIVES[name], chunk_mb=1)
    (got.loss * 3.0).backward()

    assert got.loss.item() == pytest.approx(want[0].item(), rel=1e-5, abs=1e-6)
    assert found(got, "nll") == pytest.approx(-want[1].sum().item(), rel=1e-5, abs=1e-5)
    assert found(got, "p") == pytest.approx(want[1].exp().sum().item(), rel=1e-5, abs=1e-6)
    assert found(got, "tokens") == tokens
    scales = magnitudes(states.detach(), weight, offset, targets, OBJECTIVES[name])
    grads = (states.grad, head.weight.grad, head.bias.grad if bias else None)
    for ours, theirs, magnitude in zip(grads, want[2:], scales, strict=True):
        if theirs is not None:
            assert (ours.double() / 3.0 - theirs).norm().item() <= 1e-5 * magnitude + 1e-12


def test_three_tokens_by_hand():
    # softmax of (log 1, log 2, log 5) = (1/8, 2/8, 5/8)
    head = head_of(torch.log(torch.tensor([[1.0], [2.0], [5.0]])), None)
    states = torch.ones(3, 1)
    targets = torch.tensor([0, 1, 2])
    p = [1 / 8, 2 / 8, 5 / 8]
    plain = answer_loss(states, targets, head, sft, chunk_mb=1)
    weighted = answer_loss(states, targets, head, dft, chunk_mb=1)
    assert plain.loss.item() == pytest.approx(-sum(math.log(q) for q in p), rel=1e-6)
    assert weighted.loss.item() == pytest.approx(-sum(q * math.log(q) for q in p), rel=1e-6)
    assert found(weighted, "nll") == plain.loss.item()
    assert found(weighted, "p") == pytest.approx(1.0)
    assert found(weighted, "correct") == 1.0


def test_the_dft_gradient_is_that_of_minus_p():
    torch.manual_seed(0)
    head = nn.Linear(8, 20, bias=False)
    states = torch.randn(5, 8)
    targets = torch.randint(20, (5,))
    answer_loss(states, targets, head, dft, chunk_mb=1).loss.backward()
    ours = head.weight.grad.clone()
    head.weight.grad = None
    p = torch.softmax(head(states), -1).gather(-1, targets[:, None])
    (-p.sum()).backward()
    torch.testing.assert_close(ours, head.weight.grad)
    # and it is not the gradient of -p log p without the stop, which is negative below p = 1/e
    head.weight.grad = None
    p = torch.softmax(head(states), -1).gather(-1, targets[:, None])
    (-(p * p.log()).sum()).backward()
    assert not torch.allclose(ours, head.weight.grad)


def test_chunks_do_not_change_the_result():
    torch.manual_seed(0)
    head = nn.Linear(16, 70_000)  # 1 MiB of logits is 3 rows
    states = torch.randn(11, 16, requires_grad=True)
    targets = torch.randint(70_000, (11,))
    results = []
    for chunk_mb in (1, 64):
        head.zero_grad()
        states.grad = None
        loss = answer_loss(states, targets, head, dft, chunk_mb).loss
        loss.backward()
        results.append((loss.detach(), states.grad.clone(), head.weight.grad.clone()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("logit", [-80.0, 80.0])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_p_near_zero_and_one_stays_finite(name, logit):
    head = head_of(torch.tensor([[logit], [0.0], [0.0]]), None)
    states = torch.ones(2, 1, requires_grad=True)
    answers = answer_loss(states, torch.tensor([0, 0]), head, OBJECTIVES[name], chunk_mb=1)
    answers.loss.backward()
    assert torch.isfinite(answers.loss)
    assert torch.isfinite(states.grad).all() and torch.isfinite(head.weight.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("gap", [-30.0, -9.0, 4.0, 9.0, 12.0, 16.0])
def test_p_near_zero_and_one_keeps_its_digits(name, gap):
    """One against two hundred others, the target `gap` above or below them."""
    states = torch.ones(1, 1)
    weight = torch.cat([torch.tensor([[gap]]), torch.linspace(-1, 1, 200)[:, None]])
    want = reference(states, weight, None, torch.tensor([0]), OBJECTIVES[name])
    head = head_of(weight, None)
    states.requires_grad_()
    got = answer_loss(states, torch.tensor([0]), head, OBJECTIVES[name], chunk_mb=1)
    got.loss.backward()
    assert got.loss.item() == pytest.approx(want[0].item(), rel=1e-5)
    assert relative(head.weight.grad, want[3]) < 1e-5


def test_no_answer_token_gives_an_attached_zero():
    head = nn.Linear(4, 9)
    states = torch.randn(3, 4, requires_grad=True)
    answers = answer_loss(states[:0], torch.empty(0, dtype=torch.long), head, dft, chunk_mb=1)
    answers.loss.backward()
    assert answers.loss.item() == 0.0 and found(answers, "tokens") == 0.0
    assert states.grad.abs().sum() == 0 and head.weight.grad.abs().sum() == 0


def test_a_frozen_head_gets_no_gradient():
    head = nn.Linear(4, 9).requires_grad_(False)
    states = torch.randn(3, 4, requires_grad=True)
    answer_loss(states, torch.tensor([1, 2, 3]), head, dft, chunk_mb=1).loss.backward()
    assert head.weight.grad is None and states.grad.abs().sum() > 0


def test_bf16_operands_give_an_fp32_weight():
    """Logits of about 20 as large models have: p from fp32 sums, not from rounded logits."""
    torch.manual_seed(0)
    hidden, vocabulary, tokens = 512, 5_000, 32
    weight = (torch.randn(vocabulary, hidden) / math.sqrt(hidden)).bfloat16()
    states = (torch.randn(tokens, hidden) * 6).bfloat16()
    targets = (states.double() @ weight.double().t()).argmax(-1)
    head = nn.Linear(hidden, vocabulary, bias=False).to(torch.bfloat16)
    with torch.no_grad():
        head.weight.copy_(weight)
    exact = torch.softmax(states.double() @ weight.double().t(), -1)
    exact = exact.gather(-1, targets[:, None]).squeeze(-1)
    seen = []

    def record(tokens):
        seen.append(tokens.logp.exp())
        return tokens.logp.exp()

    answer_loss(states, targets, head, record, chunk_mb=1)
    error = ((torch.cat(seen).double() - exact).abs() / exact).max()
    rounded = torch.softmax((states @ weight.t()).float(), -1).gather(-1, targets[:, None])
    rounded_error = ((rounded.squeeze(-1).double() - exact).abs() / exact).max()
    assert error < 1e-4
    assert rounded_error > 1e-2  # what rounding the logits costs


def test_the_head_projects_nothing_while_states_are_caught():
    head = nn.Linear(4, 9)
    states = torch.randn(3, 4)
    with answer_states(head) as caught:
        assert head(states).shape == (0, 9)
    assert caught[0] is states
    assert head(states).shape == (3, 9)


def test_another_kind_of_head_is_refused():
    head = nn.Sequential(nn.Linear(4, 9))
    with pytest.raises(ModelError, match="Sequential"):
        answer_loss(torch.randn(1, 4), torch.tensor([1]), head, dft, chunk_mb=1)
