"""The answer head: answer tokens' hidden states to loss sum and statistics.

Only answer tokens reach the vocabulary projection, in chunks, so that no tensor of size (answer
tokens, vocabulary) exists beyond one chunk. Logits are fp32 whatever the operands are: rounded to
bf16 they put the DFT weight off by 3 % on average. Gradients are formed in the forward pass, while
a chunk's softmax is at hand: three matrix products with a trainable projection, two with a frozen
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmdft.data.collate import IGNORE
from mmdft.errors import ModelError
from mmdft.objectives import Objective


class AnswerLoss(NamedTuple):
    """Sums over the answer tokens of a batch; all but `loss` are detached fp32 scalars."""

    loss: Tensor
    """sum of sg[w] * -log p, with its gradient"""
    nll: Tensor
    """sum of -log p"""
    probability: Tensor
    """sum of p"""
    correct: Tensor
    """number of tokens that are the most likely one"""
    tokens: Tensor
    """number of answer tokens"""


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
        head: the vocabulary projection, a linear layer.
        objective: gives each token's weight from its log-probability.
        chunk_mb: memory for one chunk's logits, in MiB.

    Returns:
        Sums over the tokens; with no token at all, zeros that are still attached to the graph.

    Raises:
        ModelError: the head is not a plain linear layer.
    """
    if type(head) is not nn.Linear:
        raise ModelError(f"the output head is a {type(head).__name__}; only nn.Linear is supported")
    rows = max(1, chunk_mb * 2**20 // (head.out_features * 4))
    loss, sums = _AnswerLoss.apply(states, head.weight, head.bias, targets, objective, rows)
    return AnswerLoss(loss, *sums.unbind())


class _AnswerLoss(torch.autograd.Function):
    """Loss sum and statistics, with gradients formed chunk by chunk in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        objective: Objective,
        rows: int,
    ) -> tuple[Tensor, Tensor]:
        wants_states, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        wants_any = wants_states or wants_weight or wants_bias
        with torch.autocast(states.device.type, enabled=False):
            operand = weight.detach().to(states.dtype)
            operand_t = _fp32_operand(operand.t())
            grad_states = torch.zeros_like(states) if wants_states else None
            grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
            grad_bias = (
                torch.zeros_like(bias, dtype=torch.float32)
                if bias is not None and wants_bias
                else None
            )
            loss = torch.zeros((), dtype=torch.float32, device=states.device)
            sums = torch.zeros(4, dtype=torch.float32, device=states.device)
            for start in range(0, len(targets), rows):
                chunk = states[start : start + rows].detach()
                target = targets[start : start + rows, None]
                logits = _matmul_fp32(chunk, operand_t)  # (rows, vocabulary)
                if bias is not None:
                    logits += bias
                top = logits.argmax(-1, keepdim=True)
                # All of it from the log-odds of the other tokens against the target: where p is
                # near 1, log p and 1 - p keep their digits, which z - logsumexp(z) would lose.
                wanted = logits.gather(-1, target)
                logits.scatter_(-1, target, -torch.inf)
                odds = logits.logsumexp(-1, keepdim=True) - wanted
                logp = -nn.functional.softplus(odds).squeeze(-1)
                token_weight = objective(logp)
                loss -= (token_weight * logp).sum()
                sums += torch.stack(
                    [
                        -logp.sum(),
                        logp.exp().sum(),
                        (top == target).sum(),
                        torch.tensor(len(target), device=loss.device),
                    ]
                )
                if not wants_any:
                    continue
                # d loss / d logits = w * (softmax - one-hot), in the logits' own memory
                grad = logits.sub_(wanted - logp[:, None]).exp_()
                grad.scatter_(-1, target, -torch.sigmoid(odds))
                grad *= token_weight[:, None]
                if grad_bias is not None:
                    grad_bias += grad.sum(0)
                operand_grad = grad.to(states.dtype)
                if grad_states is not None:
                    grad_states[start : start + rows] = operand_grad @ operand
                if grad_weight is not None:
                    grad_weight += _matmul_fp32(operand_grad.t(), _fp32_operand(chunk))
        ctx.gradients = (
            grad_states,
            grad_weight.to(weight.dtype) if grad_weight is not None else None,
            grad_bias.to(bias.dtype) if grad_bias is not None and bias is not None else None,
        )
        ctx.mark_non_differentiable(sums)
        return loss, sums

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _grad_sums: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (g * grad_loss.to(g.dtype) if g is not None else None for g in ctx.gradients)
        return (*scaled, None, None, None)


def _fp32_operand(matrix: Tensor) -> Tensor:
    """The right operand of `_matmul_fp32`, converted once where the device cannot mix types."""
    return matrix if matrix.is_cuda else matrix.float()


def _matmul_fp32(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product with fp32 result and fp32 sums, from operands of any float type."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()
