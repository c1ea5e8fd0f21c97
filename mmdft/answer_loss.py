"""The answer tokens' loss from their hidden states: logits in fp32, in chunks, used at once.

No tensor of size (answer tokens, vocabulary) exists beyond one chunk. Logits are fp32 whatever the
operands are: rounded to bf16 they put the DFT weight off by per cents
(tests/numerics/test_realistic_head.py shows it). Gradients are formed in the forward pass, while a
chunk's softmax is at hand: three matrix products with a trainable projection, two with a frozen
one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn

from mmdft.errors import ModelError
from mmdft.objectives import Objective, Pulled, Tokens

_UNLIKELY = math.log(0.01)


# What is summed over the answer tokens beside the loss: -log p, p, whether the token is the
# likeliest, 1, the row's entropy in nats, the weight, its square, whether p < 0.01, and the
# divergence from what the objective pulls towards.
SUMS = (
    "nll",
    "p",
    "correct",
    "tokens",
    "entropy",
    "weight",
    "weight_squared",
    "unlikely",
    "divergence",
)


class AnswerLoss(NamedTuple):
    """Sums over the answer tokens of a batch."""

    loss: Tensor
    """sum of sg[w] * -log p, and of the pull if the objective has one, with its gradient"""
    sums: Tensor
    """detached, fp32, in the order of SUMS"""


class Projection(NamedTuple):
    """Hidden states and the head they go through.

    With z = sum of left @ right.T over the factors, plus the bias, logits are scale * z, and
    cap * tanh(scale * z / cap) where there is a cap.
    """

    factors: list[tuple[Tensor, Tensor]]
    """(tokens, k) and (vocabulary, k) each: states and weight, and a LoRA adapter's low rank"""
    bias: Tensor | None
    scale: float
    cap: float | None


class Given(NamedTuple):
    """What is known of each answer token before the head runs; None where there is nothing."""

    fixed: Tensor | None = None
    """weights in place of the objective's, NaN where the objective's holds, (tokens,)"""
    times: Tensor | None = None
    """multipliers of all that a token contributes, (tokens,)"""
    reference: Projection | None = None
    """the reference model's states for the same tokens"""


def answer_loss(
    states: Tensor,
    targets: Tensor,
    head: nn.Module,
    objective: Objective,
    chunk_mb: int,
    given: Given | None = None,
) -> AnswerLoss:
    """Weighted loss sum of the answer tokens, for a head whose logits are its plain product.

    Args:
        states: hidden states that predict an answer token, (tokens, hidden), any float type.
        targets: the answer tokens' ids, (tokens,), int64.
        head: the vocabulary projection, a linear layer, with a LoRA adapter or without.
        objective: gives each token's weight from its log-probability.
        chunk_mb: memory for one chunk's logits, in MiB.
        given: weights, multipliers and reference states of the tokens.

    Returns:
        Sums over the tokens; with no token at all, zeros that are still attached to the graph.

    Raises:
        ModelError: the head is neither a linear layer nor one with a LoRA adapter.
    """
    return projected_loss(project(states, head), targets, objective, chunk_mb, given or Given())


def projected_loss(
    projection: Projection, targets: Tensor, objective: Objective, chunk_mb: int, given: Given
) -> AnswerLoss:
    """`answer_loss` of states that already have their projection."""
    flat = [tensor for factor in projection.factors for tensor in factor]
    bias = projection.bias
    if not torch.is_grad_enabled():
        # What a Function is given with a gradient, it would form the gradient of.
        flat = [tensor.detach() for tensor in flat]
        bias = bias.detach() if bias is not None else None
    rows = max(1, chunk_mb * 2**20 // (_vocabulary(projection) * 8))
    loss, sums = _AnswerLoss.apply(
        targets, objective, rows, given, projection.scale, projection.cap, bias, *flat
    )
    return AnswerLoss(loss, sums)


def project(
    states: Tensor, head: nn.Module, scale: float = 1.0, cap: float | None = None
) -> Projection:
    """States (tokens, hidden) before a head, a linear layer with a LoRA adapter or without.

    One factor for the linear layer; a LoRA adapter adds one of its rank, so that no merged copy of
    the weights is made.

    Raises:
        ModelError: the head is of another kind.
    """
    if _is_linear(head):
        linear: Any = head
        return Projection([(states, linear.weight)], linear.bias, scale, cap)
    if isinstance(head, ModulesToSaveWrapper):
        chosen = (
            head.original_module
            if head.disable_adapters
            else head.modules_to_save[head.active_adapters[0]]
        )
        return project(states, chosen, scale, cap)
    if not isinstance(head, LoraLinear) or not _is_linear(head.base_layer) or head.merged:
        raise ModelError(
            f"the output head is a {type(head).__name__}; "
            "only a linear layer, with a LoRA adapter or without, is supported"
        )
    base: Any = head.base_layer
    factors = [(states, base.weight)]
    for name in () if head.disable_adapters else head.active_adapters:
        if head.use_dora.get(name):
            raise ModelError("DoRA on the output head is not supported; use LoRA, or leave it out")
        if name in head.lora_A:
            inner = head.lora_dropout[name](states.to(head.lora_A[name].weight.dtype))
            factors.append(
                (head.lora_A[name](inner) * head.scaling[name], head.lora_B[name].weight)
            )
    return Projection(factors, base.bias, scale, cap)


class _Operands(NamedTuple):
    """A projection, detached and ready to be multiplied."""

    lefts: list[Tensor]
    rights_t: list[Tensor]
    bias: Tensor | None
    scale: float
    cap: float | None


class _AnswerLoss(torch.autograd.Function):
    """Loss sum and statistics, with gradients formed chunk by chunk in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        targets: Tensor,
        objective: Objective,
        rows: int,
        given: Given,
        scale: float,
        cap: float | None,
        bias: Tensor | None,
        *flat: Tensor,
    ) -> tuple[Tensor, Tensor]:
        lefts, rights = flat[0::2], flat[1::2]
        wants_bias, *wants = ctx.needs_input_grad[6:]
        with torch.autocast(targets.device.type, enabled=False):
            operands = _operands(
                Projection(list(zip(lefts, rights, strict=True)), bias, scale, cap)
            )
            reference = _operands(given.reference) if given.reference is not None else None
            grad_lefts, grad_rights = (
                [
                    torch.zeros_like(tensor, dtype=torch.float32) if want else None
                    for tensor, want in zip(tensors, wanted, strict=True)
                ]
                for tensors, wanted in ((lefts, wants[0::2]), (rights, wants[1::2]))
            )
            grad_bias = torch.zeros(len(rights[0]), device=targets.device) if wants_bias else None
            loss = torch.zeros((), dtype=torch.float32, device=targets.device)
            sums = torch.zeros(len(SUMS), dtype=torch.float32, device=targets.device)
            for start in range(0, len(targets), rows):
                chunk = slice(start, start + rows)
                logits = _logits(operands, chunk)
                slope = _slope(logits, scale, cap)
                chunk_loss, chunk_sums, grad = _loss_of_rows(
                    logits, targets[chunk], objective, given, reference, chunk
                )
                loss += chunk_loss
                sums += chunk_sums
                if slope is not None:
                    grad *= slope
                if grad_bias is not None:
                    grad_bias += grad.sum(0)
                for i, left in enumerate(lefts):
                    grad_left, grad_right = grad_lefts[i], grad_rights[i]
                    if grad_left is None and grad_right is None:
                        continue
                    operand_grad = grad.to(left.dtype)
                    if grad_left is not None:
                        grad_left[chunk] = _matmul_fp32(operand_grad, operands.rights_t[i].t())
                    if grad_right is not None:
                        _add_matmul_fp32(grad_right, operand_grad.t(), left[chunk].detach())
        ctx.gradients = [(grad_bias, bias.dtype if bias is not None else None)]
        for left, right, grad_left, grad_right in zip(
            lefts, rights, grad_lefts, grad_rights, strict=True
        ):
            ctx.gradients += [(grad_left, left.dtype), (grad_right, right.dtype)]
        ctx.mark_non_differentiable(sums)
        return loss, sums

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _grad_sums: Tensor) -> tuple[Tensor | None, ...]:
        # In place, since one of them may be as large as the vocabulary: so only once.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the answer loss was run backward already; run forward again")
        # Scaled in fp32 and rounded once: 1 / N in bf16 would be off by up to 0.4 %.
        scaled = (g.mul_(grad_loss).to(dtype) if g is not None else None for g, dtype in gradients)
        return (None, None, None, None, None, None, *scaled)


def _loss_of_rows(
    logits: Tensor,
    targets: Tensor,
    objective: Objective,
    given: Given,
    reference: _Operands | None,
    chunk: slice,
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

    def reference_rows() -> Tensor:
        assert reference is not None
        return _logits(reference, chunk).log_softmax(-1)

    result = objective(Tokens(logp, log_rows.clone, None if reference is None else reference_rows))
    weight, pull = (result.weight, result) if isinstance(result, Pulled) else (result, None)
    times = torch.ones_like(logp) if given.times is None else given.times[chunk]
    if given.fixed is not None:
        fixed = given.fixed[chunk]
        weight = torch.where(fixed.isnan(), weight, fixed)
    weight = weight * times
    loss = -(weight * logp).sum()
    rows = log_rows.exp()
    entropy = -torch.linalg.vecdot(rows, log_rows).sum()
    divergence = torch.zeros((), device=logits.device)
    if pull is None:
        towards = None
    else:
        towards = pull.log_rows.exp()
        each = (towards * (pull.log_rows - log_rows)).sum(-1)
        strength = pull.strength * times
        if given.fixed is not None:
            # A weight given in place of the objective's stands in place of its pull too.
            strength = strength * given.fixed[chunk].isnan()
        loss = loss + (strength * each).sum()
        divergence = each.sum()
        towards = (rows - towards).mul_(strength[:, None])
    sums = [
        -logp.sum(),
        logp.exp().sum(),
        (top == target).sum(),
        # Not torch.tensor, which a GPU is waited for to copy.
        logits.new_full((), len(targets)),
        entropy,
        weight.sum(),
        weight.square().sum(),
        (logp < _UNLIKELY).sum(),
        divergence,
    ]
    # w * (softmax - one-hot), in the softmax's own memory
    grad = rows.scatter_(-1, target, -torch.sigmoid(odds)).mul_(weight[:, None])
    if towards is not None:
        grad += towards
    return loss, torch.stack(sums), grad


def token_logp(projection: Projection, targets: Tensor, chunk_mb: int) -> Tensor:
    """Log-probability of each target, (tokens,) fp32, without a gradient."""
    found = [torch.empty(0, device=targets.device)]

    def record(tokens: Tokens) -> Tensor:
        found.append(tokens.logp)
        return tokens.logp

    with torch.no_grad():
        projected_loss(projection, targets, record, chunk_mb, Given())
    return torch.cat(found)


def projected_logits(projection: Projection) -> Tensor:
    """All logits at once, (tokens, vocabulary) fp32: for a few tokens."""
    return _logits(_operands(projection), slice(None))


def _operands(projection: Projection) -> _Operands:
    lefts = [left.detach() for left, _ in projection.factors]
    rights_t = [
        _fp32_operand(right.detach().to(left.dtype).t()) for left, right in projection.factors
    ]
    return _Operands(lefts, rights_t, projection.bias, projection.scale, projection.cap)


def _logits(operands: _Operands, chunk: slice) -> Tensor:
    """A chunk's logits, (tokens, vocabulary) fp32."""
    logits = _matmul_fp32(operands.lefts[0][chunk], operands.rights_t[0])
    for left, right_t in zip(operands.lefts[1:], operands.rights_t[1:], strict=True):
        _add_matmul_fp32(logits, left[chunk], right_t)
    if operands.bias is not None:
        logits += operands.bias
    if operands.scale != 1:
        logits *= operands.scale
    if operands.cap is not None:
        logits = logits.div_(operands.cap).tanh_().mul_(operands.cap)
    return logits


def _slope(logits: Tensor, scale: float, cap: float | None) -> Tensor | float | None:
    """Derivative of the logits by the product: the scale, and what the cap leaves of it."""
    if cap is None:
        return None if scale == 1 else scale
    return (1 - (logits / cap).square_()) * scale


def _is_linear(module: nn.Module) -> bool:
    # Not by the type: FSDP2 derives one of its own. Not by isinstance: a quantised layer is one.
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


def _vocabulary(projection: Projection) -> int:
    return len(projection.factors[0][1])


def _fp32_operand(matrix: Tensor) -> Tensor:
    """The right operand of `_matmul_fp32`, converted once where the device cannot mix types."""
    return matrix if matrix.is_cuda else matrix.float()


def _matmul_fp32(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product with fp32 result and fp32 sums, from operands of any float type."""
    if left.is_cuda and left.dtype != torch.float32:
        return torch.mm(left, right, out_dtype=torch.float32)
    return left.float() @ right.float()


def _add_matmul_fp32(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add to an fp32 total what `_matmul_fp32` gives, without a tensor for it.

    That of a weight's gradient would be as large as the weight in fp32.
    """
    if left.is_cuda and left.dtype != torch.float32:
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total.addmm_(left.float(), right.float())
