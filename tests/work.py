"""Counting the work of what is run: products, attention and new memory, on any machine the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_PRODUCTS = {
    torch.ops.aten.mm: "linear",
    torch.ops.aten.addmm: "linear",
    torch.ops.aten.addmm_: "linear",
    torch.ops.aten.bmm: "batched",
    torch.ops.aten.baddbmm: "batched",
    torch.ops.aten.baddbmm_: "batched",
}


class Work(TorchDispatchMode):
    """Counts what is run within it, backward passes on the CPU included.

    Attributes:
        products: floating-point operations of matrix products, two for a multiplication and its
            addition: `linear` of two matrices, as linear layers make them, `batched` of stacks of
            them, as attention does.
        attended: by the numbers of queries and keys, how often PyTorch's attention on a CPU ran,
            each example of a batch and each head once.
        new: bytes of newly made tensors by shape. What is written in place or only looked at
            otherwise makes none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[str] = Counter()
        self.attended: Counter[tuple[int, int]] = Counter()
        self.new: Counter[tuple[int, ...]] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        kind = _PRODUCTS.get(func.overloadpacket)
        if kind is not None:
            left, right = [arg for arg in args if isinstance(arg, torch.Tensor)][-2:]
            self.products[kind] += 2 * left.numel() * right.shape[-1]
        if func.overloadpacket is torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
            query, key = args[:2]
            self.attended[query.shape[2], key.shape[2]] += query.shape[0] * query.shape[1]
        seen = {tensor.untyped_storage().data_ptr() for tensor in given}
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage().data_ptr() not in seen:
                self.new[tuple(leaf.shape)] += leaf.untyped_storage().nbytes()
        return result

    def new_along(self, size: int) -> int:
        """Bytes of the new tensors that have a dimension of this size."""
        return sum(count for shape, count in self.new.items() if size in shape)
