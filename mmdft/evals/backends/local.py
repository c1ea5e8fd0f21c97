"""The model itself, in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import torch

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.data.vision import pixel_budget
from mmdft.evals.backends import Backend
from mmdft.evals.generate import generate
from mmdft.memory import keep_freed_memory
from mmdft.model import load_model, load_processor
from mmdft.provenance import model_fingerprint
from mmdft.records import Prediction, Request, Unanswered


def open_local(
    model: ModelConfig, settings: DecodingConfig, pixels: tuple[int | None, int | None]
) -> Backend:
    """A model of transformers on this process's device; it is loaded when it is first asked.

    Raises:
        ConfigError: pixels are given, and the model has image sizes of its own.
        ModelError: the processor cannot be loaded; on asking, also the model.
    """
    processor = load_processor(model)
    budget = pixel_budget(processor, *pixels)
    device = local_device()
    loaded: list[torch.nn.Module] = []

    def answer(requests: Sequence[Request]) -> Iterator[list[Prediction | Unanswered]]:
        if not loaded:
            keep_freed_memory()
            loaded.append(load_model(model).eval().to(device))
        limits = [request.max_new_tokens or settings.max_new_tokens for request in requests]
        for limit in dict.fromkeys(limits):
            same = [each for each, own in zip(requests, limits, strict=True) if own == limit]
            own_settings = settings.model_copy(update={"max_new_tokens": limit})
            yield from generate(loaded[0], processor, same, budget, own_settings)

    return Backend(
        identity={
            "backend": "transformers",
            "model": model_fingerprint(model.name, model.revision),
            "dtype": model.dtype,
            "pixels": asdict(budget),
        },
        details={"device": str(device)},
        answer=answer,
    )


def local_device() -> torch.device:
    """The GPU of this process, of several the one that its launcher gave it; else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
