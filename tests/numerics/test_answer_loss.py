"""The answer head against float64 autograd, and the closed forms of SFT and DFT."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmdft.answer_loss import SUMS, Given, answer_loss, project, projected_loss
from mmdft.errors import ModelError
from mmdft.objectives import TOKEN_OBJECTIVES, Pulled, Tokens, dft, sft, sft_kl


def found(answers, name):
    return answers.sums[SUMS.index(name)].item()


def shaped(logits, scale, cap):
    logits = logits * scale
    return logits if cap is None else cap * torch.tanh(logits / cap)


def terms(case, dtype=torch.float64):
    """What the loss is made of, by plain autograd on full rows: loss sum, log p, gradients."""
    leaves = [t.to(dtype).requires_grad_() for t in (case.states, case.weight)]
    bias = case.bias.to(dtype).requires_grad_() if case.bias is not None else None
    logits = shaped(nn.functional.linear(*leaves, bias), case.scale, case.cap)
    rows = torch.log_softmax(logits, -1)
    logp = rows.gather(-1, case.targets[:, None]).squeeze(-1)
    weight, strength, towards, times = case.weights(rows.detach(), logp.detach())
    loss = (times * (weight * -logp + strength * (towards.exp() * (towards - rows)).sum(-1))).sum()
    loss.backward()
    grads = [t.grad if t is not None else None for t in (*leaves, bias)]
    return loss.detach(), logp.detach(), grads


class Case:
    """A random head, its states, another model's states for the same tokens, an objective."""

    def __init__(self, objective, seed, tokens, hidden, vocabulary, spread, bias, adjusted=False):
        draw = torch.Generator().manual_seed(seed)
        self.objective = objective
        self.weight = torch.randn(vocabulary, hidden, generator=draw) * spread / math.sqrt(hidden)
        self.bias = torch.randn(vocabulary, generator=draw) if bias else None
        self.states = torch.randn(tokens, hidden, generator=draw)
        self.targets = torch.randint(vocabulary, (tokens,), generator=draw)
        self.others = torch.randn(tokens, hidden, generator=draw)
        self.scale, self.cap = (0.7, 5.0) if adjusted else (1.0, None)
        self.fixed = self.times = None
        if adjusted:
            self.fixed = torch.where(
                torch.rand(tokens, generator=draw) < 0.5,
                torch.nan,
                torch.rand(tokens, generator=draw),
            )
            self.times = torch.rand(tokens, generator=draw) * 2

    def other_rows(self, dtype):
        bias = self.bias.to(dtype) if self.bias is not None else None
        logits = nn.functional.linear(self.others.to(dtype), self.weight.to(dtype), bias)
        return torch.log_softmax(shaped(logits, self.scale, self.cap), -1)

    def weights(self, rows, logp):
        """Each token's weight, the strength of its pull, the row pulled towards, its multiplier."""
        result = self.objective(Tokens(logp, rows.clone, lambda: self.other_rows(rows.dtype)))
        weight, strength, towards = (
            result if isinstance(result, Pulled) else (result, 0.0, torch.zeros_like(rows[:1]))
        )
        times = torch.ones_like(logp) if self.times is None else self.times.to(logp)
        strength = torch.full_like(logp, strength)
        if self.fixed is not None:
            weight = torch.where(self.fixed.isnan(), weight, self.fixed.to(weight))
            strength = strength * self.fixed.isnan()
        return weight, strength, towards, times

    def magnitudes(self):
        """Norms of the gradients' sums, every term taken positive: what their error scales with.

        Terms of several tokens may cancel; then no fp32 sum is exact relative to what is left.
        """
        states, weight = self.states.double(), self.weight.double()
        bias = self.bias.double() if self.bias is not None else None
        logits = shaped(nn.functional.linear(states, weight, bias), self.scale, self.cap)
        log_rows = torch.log_softmax(logits, -1)
        logp = log_rows.gather(-1, self.targets[:, None]).squeeze(-1)
        w, strength, towards, times = self.weights(log_rows, logp)
        rows = log_rows.exp()
        pull = strength[:, None] * (rows + towards.exp())
        rows[torch.arange(len(self.targets)), self.targets] -= 1
        each = (rows.abs() * w.abs()[:, None] + pull) * times[:, None] * self.scale
        return [
            grad.norm().item()
            for grad in (each @ weight.abs(), each.t() @ states.abs(), each.sum(0))
        ]

    def by_head(self, chunk_mb=1):
        """Loss sum and gradients by the head, of three times the loss."""
        head = head_of(self.weight, self.bias)
        states = self.states.clone().requires_grad_()
        with torch.no_grad():
            other = project(self.others, head, self.scale, self.cap)
        got = projected_loss(
            project(states, head, self.scale, self.cap),
            self.targets,
            self.objective,
            chunk_mb,
            Given(self.fixed, self.times, other),
        )
        (got.loss * 3.0).backward()
        return got, [
            states.grad,
            head.weight.grad,
            head.bias.grad if self.bias is not None else None,
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


@pytest.mark.parametrize("name", TOKEN_OBJECTIVES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tokens=st.integers(1, 40),
    hidden=st.integers(2, 48),
    vocabulary=st.integers(2, 700),
    spread=st.sampled_from([0.01, 1.0, 3.0]),
    bias=st.booleans(),
    adjusted=st.booleans(),
)
def test_loss_and_gradients_equal_float64_autograd(
    name, seed, tokens, hidden, vocabulary, spread, bias, adjusted
):
    """With a scale, a cap, fixed weights and multipliers, and without."""
    case = Case(TOKEN_OBJECTIVES[name], seed, tokens, hidden, vocabulary, spread, bias, adjusted)
    loss, logp, grads = terms(case)
    got, ours = case.by_head()
    assert got.loss.item() == pytest.approx(loss.item(), rel=1e-5, abs=1e-6)
    assert found(got, "nll") == pytest.approx(-logp.sum().item(), rel=1e-5, abs=1e-5)
    assert found(got, "p") == pytest.approx(logp.exp().sum().item(), rel=1e-5, abs=1e-6)
    assert found(got, "tokens") == tokens
    for one, other, magnitude in zip(ours, grads, case.magnitudes(), strict=True):
        if other is not None:
            assert (one.double() / 3.0 - other).norm().item() <= 1e-5 * magnitude + 1e-12


@pytest.mark.parametrize("name", TOKEN_OBJECTIVES)
def test_many_chunks_equal_one(name):
    case = Case(TOKEN_OBJECTIVES[name], 0, 11, 16, 70_000, 1.0, True, adjusted=True)
    few, many = case.by_head(chunk_mb=64), case.by_head(chunk_mb=1)  # 11 rows, or 1 at once
    torch.testing.assert_close(many[0].loss, few[0].loss, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(many[0].sums, few[0].sums, rtol=1e-5, atol=1e-5)
    for one, other in zip(many[1], few[1], strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_the_divergence_from_the_reference_is_summed():
    case = Case(partial(sft_kl, kl=0.5), 3, 7, 8, 50, 2.0, False)
    got, _ = case.by_head()
    ours = torch.log_softmax(case.states.double() @ case.weight.double().t(), -1)
    theirs = case.other_rows(torch.float64)
    want = (theirs.exp() * (theirs - ours)).sum().item()
    assert want > 1
    assert found(got, "divergence") == pytest.approx(want, rel=1e-5)
    assert got.loss.item() == pytest.approx(found(got, "nll") + 0.5 * want, rel=1e-5)


@pytest.mark.parametrize("scale", [3.0, 1021.0])
def test_the_divisor_is_not_rounded(scale):
    """bf16 operands: the gradient of loss / N is that of the loss, divided, and rounded once."""
    torch.manual_seed(0)
    head = nn.Linear(32, 60, bias=False, dtype=torch.bfloat16)
    states = torch.randn(64, 32, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.randint(60, (64,))
    whole = torch.autograd.grad(
        answer_loss(states, targets, head, sft, chunk_mb=1).loss, [states, head.weight]
    )
    parts = torch.autograd.grad(
        answer_loss(states, targets, head, sft, chunk_mb=1).loss / scale, [states, head.weight]
    )
    for one, part in zip(whole, parts, strict=True):
        ratio = (part.double() * scale).sum(-1) / one.double().sum(-1)
        assert ratio.median().item() == pytest.approx(1, abs=1e-3)


def test_a_fixed_weight_holds_whatever_the_objective_says():
    case = Case(dft, 3, 4, 8, 50, 1.0, False)
    case.fixed = torch.tensor([1.0, torch.nan, 0.0, torch.nan])
    case.times = torch.tensor([1.0, 1.0, 1.0, 3.0])
    got, _ = case.by_head()
    _, logp, _ = terms(case)
    p = logp.exp()
    want = -(logp[0] + p[1] * logp[1] + 3 * p[3] * logp[3])
    assert got.loss.item() == pytest.approx(want.item(), rel=1e-5)
    assert found(got, "weight") == pytest.approx((1 + p[1] + 3 * p[3]).item(), rel=1e-5)


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


@pytest.mark.parametrize("logit", [-80.0, 80.0])
@pytest.mark.parametrize("name", TOKEN_OBJECTIVES)
def test_p_near_zero_and_one_stays_finite(name, logit):
    case = Case(TOKEN_OBJECTIVES[name], 0, 2, 1, 3, 1.0, False)
    case.weight = torch.tensor([[logit], [0.0], [0.0]])
    case.states, case.others = torch.ones(2, 1), -torch.ones(2, 1)
    case.targets = torch.tensor([0, 0])
    answers, grads = case.by_head()
    assert torch.isfinite(answers.loss) and torch.isfinite(answers.sums).all()
    assert all(torch.isfinite(grad).all() for grad in grads if grad is not None)


@pytest.mark.parametrize("name", TOKEN_OBJECTIVES)
@pytest.mark.parametrize("gap", [-30.0, -9.0, 4.0, 9.0, 12.0, 16.0])
def test_p_near_zero_and_one_keeps_its_digits(name, gap):
    """One against two hundred others, the target `gap` above or below them."""
    case = Case(TOKEN_OBJECTIVES[name], 0, 1, 1, 201, 1.0, False)
    case.weight = torch.cat([torch.tensor([[gap]]), torch.linspace(-1, 1, 200)[:, None]])
    case.states, case.others, case.targets = torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([0])
    loss, _, grads = terms(case)
    got, ours = case.by_head()
    assert got.loss.item() == pytest.approx(loss.item(), rel=1e-5)
    assert relative(ours[1] / 3, grads[1]) < 1e-5


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


def test_a_second_backward_pass_is_refused():
    """The gradients were scaled in place, and would be scaled again."""
    head = nn.Linear(4, 9)
    loss = answer_loss(torch.randn(2, 4), torch.tensor([1, 2]), head, dft, chunk_mb=1).loss
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="run backward already"):
        loss.backward()


def test_without_a_gradient_none_is_formed():
    """Under no_grad, what would be trained is not; the result is the same."""
    head = nn.Linear(4, 9)
    states = torch.randn(3, 4, requires_grad=True)
    targets = torch.tensor([1, 2, 3])
    with_gradient = answer_loss(states, targets, head, dft, chunk_mb=1)
    with torch.no_grad():
        without = answer_loss(states, targets, head, dft, chunk_mb=1)
    assert torch.equal(without.loss, with_gradient.loss) and not without.loss.requires_grad


def test_another_kind_of_head_is_refused():
    head = nn.Sequential(nn.Linear(4, 9))
    with pytest.raises(ModelError, match="Sequential"):
        answer_loss(torch.randn(1, 4), torch.tensor([1]), head, dft, chunk_mb=1)
