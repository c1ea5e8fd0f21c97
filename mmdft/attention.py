"""Attention of a packed row on a CPU, one part after the other.

PyTorch's attention on a CPU computes all pairs of positions of a row that has a mask, and where
several examples share the row, most of them for nothing. Each part of the row by itself attends to
the same, so that nothing changes but the time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward


def attend_by_parts() -> None:
    """Have transformers call `attend` where a model asks for "sdpa", in this process."""
    AttentionInterface.register("sdpa", attend)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """What `sdpa_attention_forward` gives, computed for each part of a packed row by itself.

    Args:
        module: the attention layer.
        query: (batch, heads, length, width).
        key: the same, of fewer heads perhaps.
        value: as the key.
        attention_mask: (batch, 1, length, length), or None. It lets no part of a packed row see
            another; within a part it holds.
        options: as of `sdpa_attention_forward`. Where each part begins, `position_ids`, (batch,
            length) int64, is 0.

    Returns:
        The attended values, (batch, length, heads, width), and None.
    """
    sizes = _sizes(query, key, attention_mask, options.get("position_ids"))
    if len(sizes) < 2:
        whole: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return whole
    assert attention_mask is not None
    # Split, not sliced: the gradient of each slice would be as long as the whole row.
    parts = zip(*(torch.split(each, sizes, dim=2) for each in (query, key, value)), strict=True)
    found, start = [], 0
    for size, part in zip(sizes, parts, strict=True):
        seen = slice(start, start + size)
        mask = attention_mask[..., seen, seen]
        found.append(sdpa_attention_forward(module, *part, mask, **options)[0])
        start += size
    return torch.cat(found, dim=1), None


def _sizes(query: Tensor, key: Tensor, mask: Tensor | None, positions: Tensor | None) -> list[int]:
    """The lengths of a packed row's parts; nothing if it is no such row, or not on a CPU.

    On a GPU, to know them would be to wait for it in every layer.
    """
    length = query.shape[2]
    # Without a mask all of the row is one part, wherever its positions begin.
    if mask is None or query.device.type != "cpu" or torch.compiler.is_compiling():
        return []
    if positions is None or positions.shape != (1, length) or key.shape[2] != length:
        return []
    starts = (positions[0] == 0).nonzero()[:, 0].tolist()
    if starts[:1] != [0]:
        return []
    return [stop - start for start, stop in pairwise([*starts, length])]
