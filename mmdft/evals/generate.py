"""Answers from a transformers model: batched, left-padded, the longest prompts first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig

from mmdft.config import DecodingConfig
from mmdft.data.collate import collate_generation, model_inputs
from mmdft.data.images import image_size
from mmdft.data.outline import opened_reasoning
from mmdft.data.render import add_images, render_prompt_tokens
from mmdft.data.vision import ImageBudget, PixelBudget, own_budget
from mmdft.errors import DataError
from mmdft.evals.batching import (
    batches,
    bytes_for_one,
    free_memory,
    halved_when_full,
    most_at_once,
)
from mmdft.evals.drawing import sampling
from mmdft.records import Prediction, Rendered, Request, Unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request with its prompt's tokens; its images are opened when its batch comes."""

    request: Request
    tokens: Rendered
    sizes: tuple[tuple[int, int], ...]
    patches: int


def generate(
    model: nn.Module,
    processor: Any,
    requests: Sequence[Request],
    budget: ImageBudget,
    settings: DecodingConfig,
    *,
    in_step: bool = False,
) -> Iterator[list[Prediction | Unanswered]]:
    """Yield the answers of one batch after another.

    A request's answer does not depend on what else is in its batch, but for rounding: a model's
    arithmetic may round otherwise in a batch of another shape.

    Args:
        model: on its device, in evaluation mode.
        processor: the model's processor.
        requests: what to ask; all turns before the last reply are shown.
        budget: pixel budget of the images.
        settings: decoding: `max_new_tokens`, `temperature` (0: greedy), `top_p`, `batch_size`.
            The model's own generation defaults, such as a repetition penalty, are not used: what
            is set here is all there is.
        in_step: the model is divided among ranks. All of them come here together, each with as
            many requests, all or none of them with images, and a `batch_size` in figures; they
            make the same number of forward passes, and memory that runs out is an error.

    Yields:
        Predictions; a request that the memory does not hold even alone is unanswered.

    Raises:
        DataError: an image cannot be opened; the message names the item.
    """
    _set_decoding(model, processor, settings)
    asked = sorted(
        (_asked(request, processor, budget) for request in requests),
        key=lambda each: (-len(each.tokens.ids), each.request.example.id, each.request.sample),
    )
    sizes = _sizes(model, asked, settings)
    if in_step:
        ends = list(accumulate(sizes))
        for start, end in zip([0, *ends], ends, strict=False):
            yield _answer(model, processor, asked[start:end], budget, settings, in_step)
        return
    for batch, answers in halved_when_full(
        lambda part: _answer(model, processor, part, budget, settings, in_step), asked, sizes
    ):
        yield [_too_large(each) for each in batch] if answers is None else answers


def _asked(request: Request, processor: Any, budget: ImageBudget) -> _Asked:
    example = request.example
    try:
        sizes = tuple(image_size(ref) for ref in example.images)
        tokens = render_prompt_tokens(example, sizes, processor, budget)
        own = own_budget(example, budget)
    except DataError as error:
        raise DataError(f"item {example.id}: {error}") from error
    seen = sum(tokens.image_tokens)
    # Without a pixel budget the tower's patches are not told; a projector takes four to one.
    merged = own.merge_size**2 if isinstance(own, PixelBudget) else 4
    return _Asked(request=request, tokens=tokens, sizes=sizes, patches=seen * merged)


def _sizes(model: Any, asked: Sequence[_Asked], settings: DecodingConfig) -> list[int]:
    """How many requests each batch takes."""
    if settings.batch_size != "auto":
        whole, rest = divmod(len(asked), settings.batch_size)
        return [settings.batch_size] * whole + [rest] * (rest > 0)
    plain = _unwrapped(model)
    device = next(plain.parameters()).device
    return batches(
        asked,
        lambda each: bytes_for_one(
            plain, len(each.tokens.ids), settings.max_new_tokens, each.patches
        ),
        free_memory(device),
        most_at_once(device),
    )


@torch.inference_mode()
def _answer(
    model: Any,
    processor: Any,
    batch: Sequence[_Asked],
    budget: ImageBudget,
    settings: DecodingConfig,
    in_step: bool,
) -> list[Prediction | Unanswered]:
    tokenizer = processor.tokenizer
    device = next(model.parameters()).device
    # Several samples of one item have one prompt, and its images are opened once.
    opened = {e.request.example.id: e for e in batch}
    whole = {name: _with_images(each, processor, budget) for name, each in opened.items()}
    prompts = [whole[each.request.example.id] for each in batch]
    inputs = model_inputs(
        collate_generation(prompts, tokenizer.pad_token_id), _unwrapped(model).config.model_type
    )
    seeds = [each.request.seed for each in batch]
    output = model.generate(
        **{name: tensor.to(device) for name, tensor in inputs.items()},
        logits_processor=sampling(settings.temperature, settings.top_p, seeds, device),
        synced_gpus=in_step,
    )
    ends = set(_generation_config(model).eos_token_id)
    # Reasoning that never ends must be known for reasoning.
    opening = opened_reasoning(processor)
    predictions: list[Prediction | Unanswered] = []
    for each, tokens in zip(batch, output[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
        length = next((i for i, token in enumerate(tokens) if token in ends), None)
        predictions.append(
            Prediction(
                id=each.request.example.id,
                sample=each.request.sample,
                response=opening + tokenizer.decode(tokens[:length], skip_special_tokens=True),
                num_tokens=len(tokens) if length is None else length + 1,
                truncated=length is None,
            )
        )
    return predictions


def _with_images(each: _Asked, processor: Any, budget: ImageBudget) -> Rendered:
    example = each.request.example
    try:
        return add_images(each.tokens, example, each.sizes, processor, budget)
    except DataError as error:
        raise DataError(f"item {example.id}: {error}") from error


def _too_large(each: _Asked) -> Unanswered:
    return Unanswered(
        id=each.request.example.id,
        sample=each.request.sample,
        reason=f"out of memory, alone with its {len(each.tokens.ids):,} tokens; lower "
        "evaluation.max_pixels or max_new_tokens",
    )


def _set_decoding(model: nn.Module, processor: Any, settings: DecodingConfig) -> None:
    ends = _generation_config(model).eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    decoding = GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        # Samples are drawn in `sampling`.
        do_sample=False,
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
