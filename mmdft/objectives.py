"""The loss family: an objective gives each answer token's weight; the rest is the same for all.

    L = sum_t sg[w_t] * (-log p_t) / N        N = answer tokens of the whole optimizer step

where p_t is the model's probability of the demonstrated token and sg stops the gradient. To add
one, write a function and name it in OBJECTIVES.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], Tensor]


def sft(logp: Tensor) -> Tensor:
    """Supervised fine-tuning: w = 1, the negative log-likelihood.

    Args:
        logp: log-probability of each answer token, shape (tokens,), fp32.

    Returns:
        Weights of the same shape.
    """
    return torch.ones_like(logp)


def dft(logp: Tensor) -> Tensor:
    """Dynamic Fine-Tuning: w = p, so that the gradient is that of -p (arXiv 2508.05629, eq. 9).

    It bounds the pull of unlikely tokens. It fails where the demonstrations hold facts that the
    model does not believe: their tokens have p near 0 and are hardly learnt (the paper's
    limitation; Natural Questions 31.24 -> SFT 36.62, DFT 30.14).
    """
    return logp.exp()


OBJECTIVES: dict[str, Objective] = {"sft": sft, "dft": dft}
