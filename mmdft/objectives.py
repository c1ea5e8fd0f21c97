"""The loss family: an objective gives each answer token's weight; the rest is the same for all.

    L = sum_t sg[w_t] * (-log p_t) / N        N = answer tokens of the whole optimizer step

where p_t is the model's probability of the demonstrated token and sg stops the gradient. For a loss
published as f(p), w = -df/dlog p, so that the gradients are the same though the reported values
differ. To add one, write a function and name it in OBJECTIVES; a parameter is a keyword with a
default, and its range stands in `mmdft.config.OBJECTIVE_PARAMETERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Tokens(NamedTuple):
    """What an objective may look at: answer tokens, under the current model, detached."""

    logp: Tensor
    """log-probability of each demonstrated token, (tokens,), fp32"""
    log_softmax: Callable[[], Tensor]
    """computes the whole rows of log-probabilities, (tokens, vocabulary), fp32"""


Objective = Callable[[Tokens], Tensor]


def sft(tokens: Tokens) -> Tensor:
    """Supervised fine-tuning: w = 1, the negative log-likelihood."""
    return torch.ones_like(tokens.logp)


def dft(tokens: Tokens) -> Tensor:
    """Dynamic Fine-Tuning: w = p, so that the gradient is that of -p (arXiv 2508.05629, eq. 9).

    It bounds the pull of unlikely tokens. It fails where the demonstrations hold facts that the
    model does not believe: their tokens have p near 0 and are hardly learnt (the paper's
    limitation; Natural Questions 31.24 -> SFT 36.62, DFT 30.14).
    """
    return tokens.logp.exp()


def power(tokens: Tokens, alpha: float = 0.5) -> Tensor:
    """Power of p: w = p^alpha, the gradient of (1 - p^alpha) / alpha (arXiv 2510.00526).

    alpha 0 is SFT, 1 is DFT; the authors use 1 and 10. The default, the square root, lies between
    the two. Large alpha shares DFT's failure on what the model does not believe.
    """
    return (alpha * tokens.logp).exp()


def threshold(tokens: Tokens, tau: float = 0.1) -> Tensor:
    """Thresholded likelihood: w = 1 where p >= tau, else 0.

    From arXiv 2510.00526 (tau 0.2) and ProFit, arXiv 2601.09195 (tau 0.1). Tokens below tau are
    never learnt, however often they come.
    """
    return (tokens.logp >= math.log(tau)).to(tokens.logp.dtype)


def floored_dft(tokens: Tokens, floor: float = 0.1) -> Tensor:
    """DFT that does not let go of unlikely tokens: w = max(p, floor).

    The advice of DFT's author, with floor 0.1: github.com/yongliang-wu/DFT/issues/1.
    """
    return tokens.logp.exp().clamp(min=floor)


def chord(tokens: Tokens) -> Tensor:
    """CHORD-phi: w = p (1 - p), neither the unlikely nor the settled tokens (arXiv 2508.11408).

    Published as the supervised part of a reinforcement-learning loss; alone it has little gradient.
    """
    return tokens.logp.exp() * -torch.expm1(tokens.logp)


def focal(tokens: Tokens, gamma: float = 2.0) -> Tensor:
    """Focal loss, -(1 - p)^gamma log p (arXiv 1708.02002, gamma 2): a control.

    w = (1 - p)^gamma - gamma p (1 - p)^(gamma - 1) log p. It stresses the unlikely tokens, the
    opposite of DFT.
    """
    miss = -torch.expm1(tokens.logp)
    pull = gamma * tokens.logp.exp() * tokens.logp
    # Where p rounds to 1, (1 - p)^(gamma - 1) has no limit for gamma < 1; the weight itself has.
    return torch.where(miss > 0, miss**gamma - pull * miss ** (gamma - 1), torch.zeros_like(miss))


def eaft(tokens: Tokens) -> Tensor:
    """EAFT: w = H / 3.0, H the entropy in nats of the 20 likeliest tokens, renormalised.

    From arXiv 2601.02151; 3.0 is about ln 20, so w is at most about 1. It keeps what the model is
    unsure of and drops what it is sure of, right or wrong; easy tokens weaken too, so the loss is
    small. Not for editing knowledge, its authors say.
    """
    rows = tokens.log_softmax()
    top = rows.topk(min(20, rows.shape[-1]), sorted=True).values
    # Against the likeliest: log1p keeps the digits of a small entropy, which log_softmax loses.
    below = top[:, 1:] - top[:, :1]
    rest = below.exp().sum(-1)
    return (torch.log1p(rest) - (below * below.exp()).sum(-1) / (1 + rest)) / 3.0


def deft(tokens: Tokens) -> Tensor:
    """DEFT: w = p^a with a the sum of the row's squared probabilities (arXiv 2602.11424).

    A flat row (a near 0) trains like SFT, a peaked one (a near 1) like DFT. No parameter.
    """
    return (tokens.log_softmax().exp().square().sum(-1) * tokens.logp).exp()


OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "sft": sft,
    "dft": dft,
    "power": power,
    "threshold": threshold,
    "floored_dft": floored_dft,
    "chord": chord,
    "focal": focal,
    "eaft": eaft,
    "deft": deft,
}
