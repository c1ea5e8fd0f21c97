"""Answers from a transformers model: batched, left-padded, the longest texts first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig

from mmdft.config import EvaluationConfig
from mmdft.data.chat import render_text
from mmdft.data.collate import collate_generation, model_inputs
from mmdft.data.outline import opened_reasoning
from mmdft.data.render import render_prompt
from mmdft.data.vision import ImageBudget
from mmdft.errors import DataError
from mmdft.records import Example, Prediction, Rendered


def generate(
    model: nn.Module,
    processor: Any,
    examples: Sequence[Example],
    budget: ImageBudget,
    settings: EvaluationConfig,
    done: frozenset[tuple[str, int]] = frozenset(),
) -> Iterator[list[Prediction]]:
    """Yield the predictions of one batch after another.

    Args:
        model: on its device, in evaluation mode.
        processor: the model's processor.
        examples: what to ask; all turns before the last reply are shown.
        budget: pixel budget of the images.
        settings: decoding: `max_new_tokens`, `temperature` (0: greedy), `top_p`, `num_samples`,
            `seed`, `batch_size`. The model's own generation defaults, such as a repetition
            penalty, are not used: what is set here is all there is.
        done: (id, sample) pairs to leave out.

    Raises:
        DataError: an image cannot be opened; the message names the item.
    """
    _set_decoding(model, processor, settings)
    by_length = sorted(
        examples,
        key=lambda e: -len(render_text(e.prompt, processor, generate=True).ids),
    )
    wanted = [
        (example, sample)
        for sample in range(settings.num_samples)
        for example in by_length
        if (example.id, sample) not in done
    ]
    for sample, group in groupby(wanted, key=lambda pair: pair[1]):
        asked = [example for example, _ in group]
        for start in range(0, len(asked), settings.batch_size):
            batch = asked[start : start + settings.batch_size]
            prompts = [_prompt(example, processor, budget) for example in batch]
            torch.manual_seed(_seed(settings.seed, sample, [p.id for p in prompts]))
            yield _answer(model, processor, prompts, sample)


def _prompt(example: Example, processor: Any, budget: ImageBudget) -> Rendered:
    try:
        return render_prompt(example, processor, budget)
    except DataError as error:
        raise DataError(f"item {example.id}: {error}") from error


@torch.inference_mode()
def _answer(
    model: Any, processor: Any, prompts: Sequence[Rendered], sample: int
) -> list[Prediction]:
    tokenizer = processor.tokenizer
    device = next(model.parameters()).device
    batch = model_inputs(
        collate_generation(prompts, tokenizer.pad_token_id), _unwrapped(model).config.model_type
    )
    output = model.generate(**{name: tensor.to(device) for name, tensor in batch.items()})
    ends = set(_generation_config(model).eos_token_id)
    # Reasoning that never ends must be known for reasoning.
    opened = opened_reasoning(processor)
    predictions = []
    for prompt, tokens in zip(
        prompts, output[:, batch["input_ids"].shape[1] :].tolist(), strict=True
    ):
        length = next((i for i, token in enumerate(tokens) if token in ends), None)
        predictions.append(
            Prediction(
                id=prompt.id,
                sample=sample,
                response=opened + tokenizer.decode(tokens[:length], skip_special_tokens=True),
                num_tokens=len(tokens) if length is None else length + 1,
                truncated=length is None,
            )
        )
    return predictions


def _set_decoding(model: nn.Module, processor: Any, settings: EvaluationConfig) -> None:
    ends = _generation_config(model).eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    sampled = settings.temperature > 0
    decoding = GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        do_sample=sampled,
        temperature=settings.temperature if sampled else None,
        top_p=settings.top_p if sampled else None,
        top_k=0 if sampled else None,
        eos_token_id=sorted({*ends, processor.tokenizer.eos_token_id} - {None}),
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    for holder in (model, _unwrapped(model)):
        holder.generation_config = decoding


def _generation_config(model: nn.Module) -> Any:
    return _unwrapped(model).generation_config


def _unwrapped(model: Any) -> Any:
    """The transformers model itself, below a LoRA wrapper if there is one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _seed(seed: int, sample: int, ids: Sequence[str]) -> int:
    digest = hashlib.blake2b(repr((seed, sample, list(ids))).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
