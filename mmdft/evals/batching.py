"""How many answers are worked on at once: what memory holds, and less where it was too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psutil
import torch
from torch import nn

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# More at once gains little, and a killed run loses the batch in flight.
_MOST = {"cuda": 64, "cpu": 16}
# Shares of the free memory; on a CPU it is shared with everything else, and too much is fatal.
_SHARE = {"cuda": 0.8, "cpu": 0.25}
# Copies of a layer's width and of its feed-forward's that a forward pass holds at its peak.
_WIDTHS, _INNERS = 8, 3


def free_memory(device: torch.device) -> int:
    """Bytes that answering may take on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What the allocator holds and does not use is free for us too.
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(_SHARE["cuda"] * (free + held))
    return int(_SHARE["cpu"] * psutil.virtual_memory().available)


def bytes_for_one(model: nn.Module, prompt_tokens: int, new_tokens: int, patches: int) -> int:
    """Bytes that one more answer takes: its cache, and the activations of reading its prompt.

    Args:
        model: a vision-language model of transformers.
        prompt_tokens: of the prompt, image tokens included.
        new_tokens: that may be answered.
        patches: of the vision tower, of all its images.
    """
    config: Any = model.config
    text = config.get_text_config()
    size = next(model.parameters()).element_size()
    heads = text.num_attention_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // heads
    cached = 2 * text.num_hidden_layers * (text.num_key_value_heads or heads) * head_size * size
    read = (_WIDTHS * text.hidden_size + _INNERS * text.intermediate_size) * size
    # The logits of one position, and copies of them in fp32.
    written = 4 * 4 * text.vocab_size
    seen = 0
    if patches:
        vision = config.vision_config
        width = getattr(vision, "embed_dim", None) or vision.hidden_size
        inner = getattr(vision, "intermediate_size", None) or 4 * width
        seen = patches * (_WIDTHS * width + _INNERS * inner) * size
    return int((prompt_tokens + new_tokens) * cached + prompt_tokens * read + written + seen)


def most_at_once(device: torch.device) -> int:
    """The largest batch that is tried on a device, whatever its memory."""
    return _MOST["cuda" if device.type == "cuda" else "cpu"]


def batches(
    items: Sequence[_Item], cost: Callable[[_Item], int], budget: int, most: int
) -> list[int]:
    """How many items each batch takes, in order, so that none costs more than the budget.

    None takes more than `most`. All items of a batch cost what its dearest does, for they are
    padded; one item always goes.
    """
    sizes: list[int] = []
    dearest = 0
    for item in items:
        dearest = max(dearest, cost(item))
        fits = sizes and sizes[-1] < most and (sizes[-1] + 1) * dearest <= budget
        if fits:
            sizes[-1] += 1
        else:
            sizes.append(1)
            dearest = cost(item)
    return sizes


def halved_when_full(
    work: Callable[[Sequence[_Item]], _Result], items: Sequence[_Item], sizes: Sequence[int]
) -> Iterator[tuple[Sequence[_Item], _Result | None]]:
    """Work through the items, `sizes` at a time; a batch that memory does not hold goes in halves.

    No later batch is larger than the largest that went through since.

    Yields:
        (items, what `work` gave for them), or None for a single one that memory does not hold.
    """
    most = max(sizes, default=1)
    waiting = list(items)
    planned = list(sizes)
    while waiting:
        size = min(planned[0], most)
        batch = waiting[:size]
        try:
            result: _Result | None = work(batch)
        except torch.OutOfMemoryError:
            result = None
        if result is None:
            # Outside of the handler, whose traceback holds on to the tensors that did not fit.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if size > 1:
                most = size // 2
                continue
        yield batch, result
        del waiting[:size]
        planned[0] -= size
        if planned[0] == 0:
            del planned[0]
