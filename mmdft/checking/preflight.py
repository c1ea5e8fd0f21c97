"""How probable the untrained model finds its training tokens, by the parts of the replies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmdft.checking.advice import Advice, Measured, advice
from mmdft.checking.numbers import number_tokens
from mmdft.config import RunConfig
from mmdft.data.collate import collate_training
from mmdft.data.dataset import RenderedDataset
from mmdft.data.segments import SEGMENTS
from mmdft.errors import DataError
from mmdft.head import answer_logp
from mmdft.inspection.inspect import token_runs
from mmdft.model import load_model
from mmdft.records import Rendered

PARTS = ("all", *SEGMENTS, "numbers")
"""Which tokens a mean is of; numbers are those of all segments."""
BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PartMean:
    """Mean probability of a part's tokens, with its standard error over the examples.

    The error is that of a ratio of sums (tokens of one example go together); None of one example.
    """

    tokens: int
    examples: int
    """those that have such tokens"""
    mean: float
    standard_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The probabilities of the answer tokens before training."""

    examples: int
    tokens: int
    parts: dict[str, PartMean]
    """by name of PARTS; those without a token are left out"""
    median: float
    below_001: float
    """share of the tokens with p < 0.01"""
    above_09: float
    """with p > 0.9"""
    bins: list[int]
    """tokens with p in [0, 0.1), [0.1, 0.2), ... [0.9, 1]"""
    nll: float
    """mean, in nats"""
    perplexity: float
    advice: list[Advice]


def preflight(config: RunConfig, examples: RenderedDataset) -> Preflight:
    """Load the model that the configuration names, and measure it on the examples.

    As in `mmdft probe`, `model.lora` and `model.freeze` play no part, and the precision is that of
    the training.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: no example can be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = config.model.model_copy(update={"lora": None, "freeze": []})
    if config.model.quantization is not None:
        # As loaded for training it needs its adapter; what is measured is its base.
        settings = settings.model_copy(update={"quantization": None})
    model: Any = load_model(settings).to(device).eval()
    tokenizer = examples.processor.tokenizer
    half = bool((config.training.model_extra or {}).get("fp16"))
    logp: list[NDArray[np.float64]] = []
    names: list[NDArray[np.int64]] = []
    numbers: list[NDArray[np.bool_]] = []
    for rendered in examples:
        if not isinstance(rendered, Rendered):
            continue
        batch = collate_training([rendered], tokenizer.pad_token_id)
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(
            device.type,
            dtype=torch.float16 if half else torch.bfloat16,
            enabled=half or config.training.bf16,
        ):
            found = answer_logp(
                model, model.get_output_embeddings(), inputs, config.objective.chunk_mb
            )
        logp.append(found.logp.double().cpu().numpy())
        codes = zip(rendered.mask, rendered.segments, strict=True)
        names.append(np.array([code for is_trained, code in codes if is_trained]))
        numbers.append(np.array(numbers_of(rendered, tokenizer)))
    if not logp:
        raise DataError("no example can be used, so nothing was measured")
    return measured(logp, names, numbers, config)


def numbers_of(rendered: Rendered, tokenizer: Any) -> list[bool]:
    """Whether each trained token of an example is of a number, in order.

    A reply's text is what its tokens add to it, from the first to the last, less its end of turn.
    """
    found: list[bool] = []
    reply: list[str] = []
    for run in token_runs(rendered, tokenizer):
        if run.role in SEGMENTS and run.role != "end_of_turn":
            reply += [token.text for token in run.tokens]
            continue
        found += number_tokens(reply)
        reply = []
        found += [False] * (len(run.tokens) if run.role == "end_of_turn" else 0)
    return found + number_tokens(reply)


def measured(
    logp: Sequence[NDArray[np.float64]],
    names: Sequence[NDArray[np.int64]],
    numbers: Sequence[NDArray[np.bool_]],
    config: RunConfig,
) -> Preflight:
    """Sum up what was measured of each example.

    Args:
        logp: log-probabilities of its answer tokens, (tokens,).
        names: their segments, codes of SEGMENTS, (tokens,).
        numbers: whether they are of a number, (tokens,).
        config: the run's, for the advice.
    """
    p = [np.exp(values) for values in logp]
    chosen = {
        "all": [np.ones(len(codes), dtype=bool) for codes in names],
        **{name: [codes == code for codes in names] for code, name in enumerate(SEGMENTS)},
        "numbers": list(numbers),
    }
    parts = {name: found for name in PARTS if (found := part_mean(p, chosen[name])) is not None}
    every = np.concatenate(p)
    nll = -float(np.concatenate(logp).mean())
    return Preflight(
        examples=len(p),
        tokens=len(every),
        parts=parts,
        median=float(np.median(every)),
        below_001=float((every < 0.01).mean()),
        above_09=float((every > 0.9).mean()),
        bins=np.histogram(every, BINS, (0.0, 1.0))[0].tolist(),
        nll=nll,
        perplexity=math.exp(min(nll, 700.0)),
        advice=advice(_for_advice(parts, p, chosen["numbers"], config)),
    )


def part_mean(
    p: Sequence[NDArray[np.float64]], chosen: Sequence[NDArray[np.bool_]]
) -> PartMean | None:
    """Mean of the chosen tokens' probabilities; None if there are none.

    With s_i the sum and n_i the number of an example's chosen tokens, of n examples that have some,
    the mean is m = sum s_i / sum n_i, and its standard error, of a ratio estimator,
    sqrt(n / (n - 1) * sum (s_i - m n_i)^2) / sum n_i.
    """
    pairs = [(values[mask].sum(), mask.sum()) for values, mask in zip(p, chosen, strict=True)]
    sums, counts = np.array([pair for pair in pairs if pair[1]]).reshape(-1, 2).T
    if not len(sums):
        return None
    total, num = counts.sum(), len(sums)
    mean = sums.sum() / total
    squares = ((sums - mean * counts) ** 2).sum()
    return PartMean(
        tokens=int(total),
        examples=num,
        mean=float(mean),
        standard_error=float(math.sqrt(num / (num - 1) * squares) / total) if num > 1 else None,
    )


def _for_advice(
    parts: Mapping[str, PartMean],
    p: Sequence[NDArray[np.float64]],
    numbers: Sequence[NDArray[np.bool_]],
    config: RunConfig,
) -> Measured:
    def mean(name: str) -> float | None:
        return parts[name].mean if name in parts else None

    return Measured(
        objective=config.objective.name,
        model=config.model.name,
        mean=parts["all"].mean,
        numbers=mean("numbers"),
        numbers_error=_error_of_difference(p, numbers),
        end_of_turn=mean("end_of_turn"),
        end_of_turn_weighted="end_of_turn" in config.objective.segments,
        validates=config.training.eval_strategy != "no",
    )


def _error_of_difference(
    p: Sequence[NDArray[np.float64]], chosen: Sequence[NDArray[np.bool_]]
) -> float | None:
    """Standard error, over the examples, of the chosen tokens' mean minus the mean of all."""
    one, every = part_mean(p, chosen), part_mean(p, [np.ones(len(v), dtype=bool) for v in p])
    if one is None or every is None or len(p) < 2:
        return None
    deviations = np.array(
        [
            (v[m] - one.mean).sum() / one.tokens - (v - every.mean).sum() / every.tokens
            for v, m in zip(p, chosen, strict=True)
        ]
    )
    return float(math.sqrt(len(p) / (len(p) - 1) * (deviations**2).sum()))
