"""Rendered examples to batches. The only place that pads, and the only one that writes -100."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmdft.data.patches import BytePatches, joined
from mmdft.records import Rendered

IGNORE = -100

IMAGE_TOKEN_INPUTS = {
    "qwen2_vl": "mm_token_type_ids",
    "qwen2_5_vl": "mm_token_type_ids",
    "qwen3_vl": "mm_token_type_ids",
    # Image tokens see one another in both directions.
    "gemma3": "token_type_ids",
}
"""How models that are told which tokens are an image's call that; others find them by their id."""


def collate_training(examples: Sequence[Rendered], pad_id: int) -> dict[str, Tensor]:
    """Pad on the right to the longest example of the batch.

    With pad 0, examples (ids 5 6 7, mask 0 1 1, segments 0 2 3) and (ids 8 9, mask 0 1, segments
    0 3) become
        input_ids      [[5, 6, 7], [8, 9, 0]]
        attention_mask [[1, 1, 1], [1, 1, 0]]
        labels         [[-100, 6, 7], [-100, 9, -100]]
        segments       [[0, 2, 3], [0, 3, 0]]

    Returns:
        `input_ids`, `attention_mask`, `mm_token_type_ids` (1 where an image token stands; see
        `model_inputs`), `labels` and `segments` (codes of SEGMENTS, 0 where a label is -100), all
        (batch, length) int64, and the images' tensors, concatenated in order; with reference
        log-probabilities also `reference_logp` (batch, length) fp32, 0 where a label is -100.
        Models do not know `segments` and `reference_logp`.
    """
    batch = _pad(examples, pad_id, left=False)
    labels = torch.full_like(batch["input_ids"], IGNORE)
    segments = torch.zeros_like(labels)
    for row, example in enumerate(examples):
        mask = torch.tensor(example.mask)
        labels[row, : len(mask)][mask] = batch["input_ids"][row, : len(mask)][mask]
        segments[row, : len(mask)] = torch.tensor(example.segments)
    return {
        **batch,
        "labels": labels,
        "segments": segments,
        **place_reference(examples, labels),
        **concatenate_images(examples),
    }


def place_reference(examples: Sequence[Rendered], labels: Tensor) -> dict[str, Tensor]:
    """The examples' reference log-probabilities where the labels are; nothing without them."""
    stored = [e.reference_logp for e in examples if e.reference_logp is not None]
    if len(stored) < len(examples):
        return {}
    logp = torch.zeros(labels.shape, dtype=torch.float32)
    logp[labels != IGNORE] = torch.tensor([value for each in stored for value in each])
    return {"reference_logp": logp}


def collate_generation(examples: Sequence[Rendered], pad_id: int) -> dict[str, Tensor]:
    """Pad on the left, so that all prompts end where generation starts; no labels."""
    return {**_pad(examples, pad_id, left=True), **concatenate_images(examples)}


def model_inputs(batch: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """The entries of a batch that the model's own forward pass takes.

    Args:
        batch: of `collate_training`, `collate_packed` or `collate_generation`.
        model_type: of the model's configuration.
    """
    ours = ("labels", "segments", "reference_logp", "mm_token_type_ids", "seen_until")
    inputs = {name: value for name, value in batch.items() if name not in ours}
    types = batch.get("mm_token_type_ids")
    if types is not None and model_type in IMAGE_TOKEN_INPUTS:
        inputs[IMAGE_TOKEN_INPUTS[model_type]] = types
    return inputs


def _pad(examples: Sequence[Rendered], pad_id: int, *, left: bool) -> dict[str, Tensor]:
    length = max(len(example.ids) for example in examples)
    shape = (len(examples), length)
    ids = torch.full(shape, pad_id, dtype=torch.long)
    attention = torch.zeros(shape, dtype=torch.long)
    types = torch.zeros(shape, dtype=torch.long)
    for row, example in enumerate(examples):
        size = len(example.ids)
        where = slice(length - size, length) if left else slice(0, size)
        ids[row, where] = torch.tensor(example.ids)
        attention[row, where] = 1
        types[row, where] = torch.tensor(example.image_tokens, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": attention, "mm_token_type_ids": types}


def concatenate_images(examples: Sequence[Rendered]) -> dict[str, Any]:
    """The images' tensors of all examples, in order; nothing if there are no images.

    In a data loader's worker one may be `BytePatches`, which arrive as a tensor. `vision`, of
    `add_features`, stays a list.

    Where images are cut into tiles, and not all into as many, zeros stand for those that one lacks,
    as the families' processors have it.
    """
    names = {name for example in examples for name in example.images}
    return {
        name: _joined([e.images[name] for e in examples if name in e.images])
        for name in sorted(names)
    }


def _joined(parts: list[Any]) -> Tensor | BytePatches | list[Any]:
    if isinstance(parts[0], list):
        return [each for part in parts for each in part]
    if all(isinstance(part, BytePatches) for part in parts):
        return joined(parts)
    return torch.cat(_even([p.values() if isinstance(p, BytePatches) else p for p in parts]))


def _even(tensors: list[Tensor]) -> list[Tensor]:
    """Fill up the second dimension with zeros to the longest."""
    lengths = {tensor.shape[1] for tensor in tensors if tensor.ndim > 1}
    if len(lengths) < 2:
        return tensors
    return [
        torch.cat([t, t.new_zeros(t.shape[0], max(lengths) - t.shape[1], *t.shape[2:])], dim=1)
        for t in tensors
    ]
