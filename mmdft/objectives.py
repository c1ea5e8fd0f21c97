"""The loss family: an objective gives each answer token's weight; the rest is the same for all.

    L = sum_t sg[w_t] * (-log p_t) / N        N = answer tokens of the whole optimizer step

where p_t is the model's probability of the demonstrated token and sg stops the gradient. For a loss
published as f(p), w = -df/dlog p, so that the gradients are the same though the reported values
differ. Some also pull every row towards another distribution q, by lambda * KL(q || p).

An objective of the token or its row is computed where the logits are, chunk by chunk. One of the
sequence needs all answer tokens first, which costs the head one more matrix product. To add one,
write a function and name it in its table; a parameter is a keyword with a default, and its range
stands in `mmdft.config.OBJECTIVE_PARAMETERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mmdft.errors import ConfigError


class Tokens(NamedTuple):
    """What an objective of the token may look at: answer tokens, under the current model."""

    logp: Tensor
    """log-probability of each demonstrated token, (tokens,), fp32, detached"""
    log_softmax: Callable[[], Tensor]
    """computes the whole rows of log-probabilities, (tokens, vocabulary), fp32"""
    reference: Callable[[], Tensor] | None = None
    """computes the reference model's rows for the same tokens; None if there is no reference"""


class Pulled(NamedTuple):
    """Weights, and a pull of each row: the loss has strength * KL(rows || p) beside them."""

    weight: Tensor
    """(tokens,)"""
    strength: float
    log_rows: Tensor
    """log-probabilities of the distribution pulled towards, (tokens or 1, vocabulary), fp32"""


class Answers(NamedTuple):
    """What an objective of the sequence may look at: all answer tokens of a batch, in order."""

    logp: Tensor
    """log-probability of each demonstrated token, (tokens,), fp32, detached"""
    example: Tensor
    """number of the example that each token belongs to, (tokens,), int64, never falling"""
    reference_logp: Tensor | None
    """the same tokens' log-probability under the reference, (tokens,); None without one"""
    batch: BatchStatistics | None
    """of the whole optimizer step; None if the objective is not in STATISTICS_OBJECTIVES"""


class BatchStatistics(NamedTuple):
    """The examples' mean negative log-likelihood in nats, over a whole optimizer step."""

    mean: float
    std: float
    """population standard deviation"""


Objective = Callable[[Tokens], Tensor | Pulled]
SequenceObjective = Callable[[Answers], Tensor]


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


def label_smoothing(tokens: Tokens, epsilon: float = 0.1) -> Pulled:
    """Label smoothing: (1 - epsilon) (-log p) + epsilon KL(uniform || p) (arXiv 1512.00567).

    The published form has the cross-entropy with the uniform distribution, which is larger by the
    constant epsilon ln V. A control: it spends gradient on all the tokens nobody demonstrated.
    """
    size = tokens.log_softmax().shape[-1]
    uniform = tokens.logp.new_full((1, size), -math.log(size))
    return Pulled(torch.full_like(tokens.logp, 1 - epsilon), epsilon, uniform)


def asft(tokens: Tokens, kl: float = 0.05) -> Pulled:
    """Anchored SFT: DFT + kl * KL(reference || p), over the whole vocabulary (arXiv 2509.23753).

    The anchor keeps the model near where it started; without it the distance soars under DFT. Its
    authors use 0.05 (0.1 in their code). It costs a forward pass of the reference. On plentiful
    data that fits the model, DFT alone did better in its authors' own table.
    """
    return Pulled(dft(tokens), kl, _reference(tokens))


def sft_kl(tokens: Tokens, kl: float = 0.05) -> Pulled:
    """SFT + kl * KL(reference || p): the control that ASFT needs, with w = 1."""
    return Pulled(sft(tokens), kl, _reference(tokens))


def dft_sequence(answers: Answers) -> Tensor:
    """DFT of the whole reply: w = prod_t p_t, the same for all tokens of an example.

    For ablation only: the product of many probabilities is 0, and nothing is learnt (the paper's
    table 5: 15.75 on average, where the base has 15.92).
    """
    return mean_by_example(answers, answers.logp, total=True).exp()


def dft_geometric(answers: Answers) -> Tensor:
    """DFT of the reply's mean: w = exp(mean_t log p_t), the same for all tokens of an example.

    For ablation (the paper's table 5: 17.21 on average, where DFT has 31.58).
    """
    return mean_by_example(answers, answers.logp).exp()


def cadft(answers: Answers, beta: float = 1.0) -> Tensor:
    """CADFT's weighting: w = p exp(-beta max(0, z)), for examples harder than most (2606.11206).

    z = (c - mean) / (std + 1e-6), where c is an example's mean negative log-likelihood, and mean
    and std are over the examples of the whole optimizer step (population std; one example alone has
    z = 0, plain DFT). It costs a forward pass over the step before the first backward. Its authors
    also rewrite the hardest examples from the model's own samples; that is not done here.
    """
    assert answers.batch is not None
    z = (-mean_by_example(answers, answers.logp) - answers.batch.mean) / (answers.batch.std + 1e-6)
    return (answers.logp - beta * z.clamp(min=0)).exp()


def iw_sft(answers: Answers, temperature: float = 1.0, largest: float = 16.0) -> Tensor:
    """Importance-weighted SFT: w = min(exp(temperature * mean_t(log p_t - log q_t)), largest).

    The same for all tokens of an example; q is the model before training, whose log-probabilities
    are computed once (arXiv 2507.12856; temperature 1 and largest 16 in the authors' code). It
    starts as SFT, w = 1, and then grows with what has been learnt, noise included.
    """
    if answers.reference_logp is None:
        raise ConfigError(
            "iw_sft needs reference log-probabilities: train by `mmdft train`, or give DFTTrainer "
            "a dataset wrapped in mmdft.reference.WithReference"
        )
    ratio = mean_by_example(answers, answers.logp - answers.reference_logp)
    return (temperature * ratio).exp().clamp(max=largest)


def mean_by_example(answers: Answers, values: Tensor, *, total: bool = False) -> Tensor:
    """Mean (or total) of values (tokens,) over each example's answer tokens, given to each token.

    The sums run in order, so that the same batch gives the same bits also on a GPU.
    """
    if not len(values):
        return values
    _, where, counts = torch.unique_consecutive(
        answers.example, return_inverse=True, return_counts=True
    )
    found = torch.segment_reduce(values, "sum" if total else "mean", lengths=counts)
    return found[where]


def _reference(tokens: Tokens) -> Tensor:
    if tokens.reference is None:
        raise ConfigError(
            "this objective needs a reference model: give DFTTrainer one (reference=...), "
            "or train an adapter, whose base is the reference"
        )
    return tokens.reference()


TOKEN_OBJECTIVES: dict[str, Callable[..., Tensor | Pulled]] = {
    "sft": sft,
    "dft": dft,
    "power": power,
    "threshold": threshold,
    "floored_dft": floored_dft,
    "chord": chord,
    "focal": focal,
    "eaft": eaft,
    "deft": deft,
    "label_smoothing": label_smoothing,
    "asft": asft,
    "sft_kl": sft_kl,
}
SEQUENCE_OBJECTIVES: dict[str, Callable[..., Tensor]] = {
    "dft_sequence": dft_sequence,
    "dft_geometric": dft_geometric,
    "cadft": cadft,
    "iw_sft": iw_sft,
}
OBJECTIVES = (*TOKEN_OBJECTIVES, *SEQUENCE_OBJECTIVES)

# The reference model runs beside the trained one.
REFERENCE_OBJECTIVES = ("asft", "sft_kl")
# The reference's log-probabilities of the training tokens are computed once.
STORED_REFERENCE_OBJECTIVES = ("iw_sft",)
# A forward pass over the whole optimizer step comes first.
STATISTICS_OBJECTIVES = ("cadft",)
