"""The answer head: answer tokens' hidden states to loss sum and statistics.

Only answer tokens reach the vocabulary projection, in chunks, so that no tensor of size (answer
tokens, vocabulary) exists beyond one chunk. Logits are fp32 whatever the operands are: rounded to
bf16 they put the DFT weight off by per cents (tests/numerics/test_head.py shows it). Gradients are
formed in the forward pass, while a chunk's softmax is at hand: three matrix products with a
trainable projection, two with a frozen one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn

from mmdft.data.collate import IGNORE
from mmdft.errors import ModelError
from mmdft.objectives import Objective, Tokens

_UNLIKELY = math.log(0.01)


# What is summed over the answer tokens beside the loss: -log p, p, whether the token is the
# likeliest, 1, the row's entropy in nats, the weight, its square, whether p < 0.01.
SUMS = ("nll", "p", "correct", "tokens", "entropy", "weight", "weight_squared", "unlikely")


class AnswerLoss(NamedTuple):
    """Sums over the answer tokens of a batch."""

    loss: Tensor
    """sum of sg[w] * -log p, with its gradient"""
    sums: Tensor
    """detached, fp32, in the order of SUMS"""


def forward_answers(
    model: nn.Module, head: nn.Module, inputs: dict[str, Any], objective: Objective, chunk_mb: int
) -> AnswerLoss:
    """Run the model up to the hidden states that predict an answer token, then the head.

    Args:
        model: the model, wrapped for distributed training or not.
        head: its vocabulary projection (`get_output_embeddings()` of the unwrapped model).
        inputs: a batch of `collate_training`; `labels` are (batch, length), -100 off the answers.
        objective: gives each token's weight.
        chunk_mb: memory for one chunk's logits, in MiB.
    """
    labels = inputs["labels"]
    # The token at position t is predicted at t - 1.
    targets = nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE)
    predicts = targets != IGNORE
    rest = {name: value for name, value in inputs.items() if name != "labels"}
    with answer_states(head) as caught:
        model(**rest, logits_to_keep=predicts, use_cache=False)
    return answer_loss(caught[0], targets[predicts], head, objective, chunk_mb)


@contextmanager
def answer_states(head: nn.Module) -> Iterator[list[Tensor]]:
    """While open, `head` projects nothing; the hidden states it was given are caught instead.

    Call the model inside with `logits_to_keep` set to the (batch, length) boolean mask of the
    positions that predict an answer token; the list then holds one tensor (tokens, hidden).
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        states = args[0]
        device = states.device.type
        if torch.is_autocast_enabled(device):
            # The precision of the operands is the run's choice; that of the logits is ours.
            caught.append(states.to(torch.get_autocast_dtype(device)))
        else:
            caught.append(states)
        return (states[:0],)

    hook = head.register_forward_pre_hook(catch)
    try:
        yield caught
    finally:
        hook.remove()


def answer_loss(
    states: Tensor, targets: Tensor, head: nn.Module, objective: Objective, chunk_mb: int
) -> AnswerLoss:
    """Weighted loss sum of the answer tokens.

    Args:
        states: hidden states that predict an answer token, (tokens, hidden), any float type.
        targets: the answer tokens' ids, (tokens,), int64.
        head: the vocabulary projection, a linear layer, with a LoRA adapter or without.
        objective: gives each token's weight from its log-probability.
        chunk_mb: memory for one chunk's logits, in MiB.

    Returns:
        Sums over the tokens; with no token at all, zeros that are still attached to the graph.

    Raises:
        ModelError: the head is neither a linear layer nor one with a LoRA adapter.
    """
    bias, factors = _factors(states, head)
    # A chunk's logits and their exponentials are held at once.
    rows = max(1, chunk_mb * 2**20 // (len(factors[0][1]) * 8))
    flat = [tensor for factor in factors for tensor in factor]
    loss, sums = _AnswerLoss.apply(targets, objective, rows, bias, *flat)
    return AnswerLoss(loss, sums)


def _factors(states: Tensor, head: nn.Module) -> tuple[Tensor | None, list[tuple[Tensor, Tensor]]]:
    """The head as a bias and factors: logits are the sum of left @ right.T.

    One factor for a linear layer; a LoRA adapter adds one of its rank, so that no merged copy of
    the weights is made.
    """
    if type(head) is nn.Linear:
        return head.bias, [(states, head.weight)]
    if isinstance(head, ModulesToSaveWrapper):
        return _factors(states, head.modules_to_save[head.active_adapters[0]])
    if not isinstance(head, LoraLinear) or type(head.base_layer) is not nn.Linear or head.merged:
        raise ModelError(
            f"the output head is a {type(head).__name__}; "
            "only a linear layer, with a LoRA adapter or without, is supported"
        )
    factors = [(states, head.base_layer.weight)]
    for name in () if head.disable_adapters else head.active_adapters:
        if head.use_dora.get(name):
            raise ModelError("DoRA on the output head is not supported; use LoRA, or leave it out")
        if name in head.lora_A:
            inner = head.lora_dropout[name](states.to(head.lora_A[name].weight.dtype))
            factors.append(
                (head.lora_A[name](inner) * head.scaling[name], head.lora_B[name].weight)
            )
    return head.base_layer.bias, factors


class _AnswerLoss(torch.autograd.Function):
    """Loss sum and statistics, with gradients formed chunk by chunk in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        targets: Tensor,
        objective: Objective,
        rows: int,
        bias: Tensor | None,
        *factors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        lefts, rights = factors[0::2], factors[1::2]
        wants_bias, *wants = ctx.needs_input_grad[3:]
        with torch.autocast(targets.device.type, enabled=False):
            operands = [
                right.detach().to(left.dtype) for left, right in zip(lefts, rights, strict=True)
            ]
            operands_t = [_fp32_operand(operand.t()) for operand in operands]
            grad_lefts = [
                torch.zeros_like(left) if want else None
                for left, want in zip(lefts, wants[0::2], strict=True)
            ]
            grad_rights = [
                torch.zeros_like(right, dtype=torch.float32) if want else None
                for right, want in zip(rights, wants[1::2], strict=True)
            ]
            grad_bias = torch.zeros(len(rights[0]), device=targets.device) if wants_bias else None
            loss = torch.zeros((), dtype=torch.float32, device=targets.device)
            sums = torch.zeros(len(SUMS), dtype=torch.float32, device=targets.device)
            for start in range(0, len(targets), rows):
                chunk = slice(start, start + rows)
                logits = _matmul_fp32(lefts[0][chunk].detach(), operands_t[0])
                for left, operand_t in zip(lefts[1:], operands_t[1:], strict=True):
                    logits += _matmul_fp32(left[chunk].detach(), operand_t)
                if bias is not None:
                    logits += bias
                chunk_loss, chunk_sums, grad = _loss_of_rows(logits, targets[chunk], objective)
                loss += chunk_loss
                sums += chunk_sums
                if grad_bias is not None:
                    grad_bias += grad.sum(0)
                for i, left in enumerate(lefts):
                    grad_left, grad_right = grad_lefts[i], grad_rights[i]
                    if grad_left is None and grad_right is None:
                        continue
                    operand_grad = grad.to(left.dtype)
                    if grad_left is not None:
                        grad_left[chunk] = operand_grad @ operands[i]
                    if grad_right is not None:
                        grad_right += _matmul_fp32(
                            operand_grad.t(), _fp32_operand(left[chunk].detach())
                        )
        ctx.gradients = [
            grad_bias.to(bias.dtype) if bias is not None and grad_bias is not None else None
        ]
        for right, grad_left, grad_right in zip(rights, grad_lefts, grad_rights, strict=True):
            ctx.gradients += [
                grad_left,
                grad_right.to(right.dtype) if grad_right is not None else None,
            ]
        ctx.mark_non_differentiable(sums)
        return loss, sums

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _grad_sums: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (g * grad_loss.to(g.dtype) if g is not None else None for g in ctx.gradients)
        return (None, None, None, *scaled)


def _loss_of_rows(
    logits: Tensor, targets: Tensor, objective: Objective
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss sum, SUMS and d loss / d logits of (tokens, vocabulary) fp32 logits, used up."""
    target = targets[:, None]
    top = logits.argmax(-1, keepdim=True)
    # All of it from the log-odds of the other tokens against the target: where p is near 1, log p
    # and 1 - p keep their digits, which z - logsumexp(z) would lose.
    wanted = logits.gather(-1, target)
    logits.scatter_(-1, target, -torch.inf)
    odds = logits.logsumexp(-1, keepdim=True) - wanted
    logp = -nn.functional.softplus(odds).squeeze(-1)
    log_rows = logits.sub_(wanted - logp[:, None]).scatter_(-1, target, logp[:, None])
    weight = objective(Tokens(logp, log_rows.clone))
    rows = log_rows.exp()
    sums = [
        -logp.sum(),
        logp.exp().sum(),
        (top == target).sum(),
        torch.tensor(len(targets), device=logits.device),
        -torch.linalg.vecdot(rows, log_rows).sum(),
        weight.sum(),
        weight.square().sum(),
        (logp < _UNLIKELY).sum(),
    ]
    # w * (softmax - one-hot), in the softmax's own memory
    grad = rows.scatter_(-1, target, -torch.sigmoid(odds)).mul_(weight[:, None])
    return -(weight * logp).sum(), torch.stack(sums), grad


def _fp32_operand(matrix: Tensor) -> Tensor:
    """The right operand of `_matmul_fp32`, converted once where the device cannot mix types."""
    return matrix if matrix.is_cuda else matrix.float()


def _matmul_fp32(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product with fp32 result and fp32 sums, from operands of any float type."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()
