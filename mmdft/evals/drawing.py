"""Sampling that depends on each row's own seed, and on nothing else in its batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)


class RowNoise(LogitsProcessor):
    """Adds Gumbel noise to the scores, so that the largest of them is a sample of their softmax.

    Each row draws from a generator of its own. `generate` draws all rows' samples from one, where
    what an item gets depends on what else is in the batch.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores of shape (rows, vocabulary), noisy."""
        waits = torch.empty_like(scores, dtype=torch.float32)
        for row, generator in zip(waits, self._generators, strict=True):
            row.exponential_(generator=generator)
        # -log of an exponential variable is Gumbel's.
        return scores.float() - waits.log()


def sampling(
    temperature: float, top_p: float, seeds: Sequence[int], device: torch.device
) -> LogitsProcessorList:
    """What to give `generate` beside `do_sample=False`; nothing for temperature 0."""
    if temperature == 0:
        return LogitsProcessorList()
    chain: list[LogitsProcessor] = [TemperatureLogitsWarper(temperature)]
    if top_p < 1:
        chain.append(TopPLogitsWarper(top_p))
    return LogitsProcessorList([*chain, RowNoise(seeds, device)])
