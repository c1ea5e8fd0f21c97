"""Images cut into patches as Qwen's image processors do it, bit for bit, in less time.

The processor's values are 24 bytes for a pixel of three. What a data loader's worker sends goes
through shared memory, and to fill so much of it takes longer than to make the values. So a worker
sends the bytes, in the patches' order, and the values are made of them where they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import get_worker_info


class _Cut(NamedTuple):
    """How a processor cuts images, and what it makes of their values."""

    patch: int
    merge: int
    frames: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class BytePatches:
    """`pixel_values` that are not normalised yet; sent to another process, they arrive as these."""

    blocks: torch.Tensor
    """(patches, patch * patch, channels) uint8; those of one visual token stand together"""
    cut: _Cut

    def values(self) -> torch.Tensor:
        """`pixel_values`, (patches, channels * frames * patch * patch) fp32."""
        return _values(self.blocks, self.cut)

    def __reduce__(self) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, _Cut]]:
        return _values, (self.blocks, self.cut)


def joined(parts: Sequence[BytePatches]) -> BytePatches:
    """The patches of several examples, made by one processor, in order."""
    return BytePatches(torch.cat([part.blocks for part in parts]), parts[0].cut)


def patches(images: Sequence[Image.Image], tools: Any) -> dict[str, Any] | None:
    """The tensors of images in RGB whose sides are multiples of patch times merge size.

    Args:
        images: one or more, fitted to the pixel budget.
        tools: the model's image processor.

    Returns:
        `pixel_values` (patches, channels * frames * patch * patch) fp32 and `image_grid_thw`
        (images, 3) int64, equal to those of the processor without resizing; in a data loader's
        worker the former as `BytePatches`. None if the processor is of a kind that was not seen to
        be equal.
    """
    found = byte_patches(images, tools)
    if found is None:
        return None
    pixels, grids = found
    return {
        "pixel_values": pixels.values() if get_worker_info() is None else pixels,
        "image_grid_thw": grids,
    }


def byte_patches(
    images: Sequence[Image.Image], tools: Any
) -> tuple[BytePatches, torch.Tensor] | None:
    """As `patches`, `pixel_values` always as bytes; then `image_grid_thw`."""
    try:
        cut = _Cut(
            patch=tools.patch_size,
            merge=tools.merge_size,
            frames=tools.temporal_patch_size,
            mean=tuple(tools.image_mean),
            std=tuple(tools.image_std),
            scale=tools.rescale_factor,
        )
    except (AttributeError, TypeError):
        return None
    return _cut(images, cut) if _is_proven(tools, cut) else None


@lru_cache(maxsize=16)
def _is_proven(tools: Any, cut: _Cut) -> bool:
    """Whether the processor gives the same for two random images."""
    draw = np.random.default_rng(0)
    side = cut.patch * cut.merge
    images = [
        Image.fromarray(draw.integers(0, 256, (rows * side, columns * side, 3), dtype=np.uint8))
        for rows, columns in ((2, 3), (3, 1))
    ]
    theirs = tools(images=images, do_resize=False, return_tensors="pt")
    found, grids = _cut(images, cut)
    ours = {"pixel_values": found.values(), "image_grid_thw": grids}
    return theirs.keys() == ours.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


def _cut(images: Sequence[Image.Image], cut: _Cut) -> tuple[BytePatches, torch.Tensor]:
    """The images' patches, and `image_grid_thw`."""
    grids = [(1, image.height // cut.patch, image.width // cut.patch) for image in images]
    blocks = torch.cat([torch.from_numpy(_blocks(image, cut)) for image in images])
    return BytePatches(blocks, cut), torch.tensor(grids)


def _blocks(image: Image.Image, cut: _Cut) -> NDArray[np.uint8]:
    """Those of one image, as `BytePatches` has them."""
    pixels = np.asarray(image)
    height, width, channels = pixels.shape
    # A row of a patch is moved as one item; byte by byte takes several times as long.
    items = pixels.reshape(height, -1).view(f"V{cut.patch * channels}")
    tokens = items.reshape(
        *(height // cut.patch // cut.merge, cut.merge, cut.patch),
        *(width // cut.patch // cut.merge, cut.merge),
    )
    ordered = tokens.transpose(0, 3, 1, 4, 2).copy()
    return ordered.view(np.uint8).reshape(-1, cut.patch**2, channels)


def _values(blocks: torch.Tensor, cut: _Cut) -> torch.Tensor:
    """Values / 255, less the mean, by the deviation; each is there once for each frame."""
    pixels = blocks.numpy()
    made = np.empty((len(pixels), len(cut.mean), cut.frames, cut.patch**2), dtype=np.float32)
    # Mean and deviation are scaled in place of the values, as transformers' processors do.
    scale = np.float32(1 / cut.scale)
    for channel, (mean, deviation) in enumerate(zip(cut.mean, cut.std, strict=True)):
        plane = pixels[:, :, channel].astype(np.float32)
        plane -= np.float32(mean) * scale
        plane /= np.float32(deviation) * scale
        made[:, channel] = plane[:, None]
    return torch.from_numpy(made.reshape(len(made), -1))
