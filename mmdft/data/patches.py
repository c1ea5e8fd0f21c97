"""Images cut into patches as Qwen's image processors do it, bit for bit, in less time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image


class _Cut(NamedTuple):
    """How a processor cuts images, and what it makes of their values."""

    patch: int
    merge: int
    frames: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float


def patches(images: Sequence[Image.Image], tools: Any) -> dict[str, torch.Tensor] | None:
    """The tensors of images in RGB whose sides are multiples of patch times merge size.

    Args:
        images: one or more, fitted to the pixel budget.
        tools: the model's image processor.

    Returns:
        `pixel_values` (patches, channels * frames * patch * patch) fp32 and `image_grid_thw`
        (images, 3) int64, equal to those of the processor without resizing; None if that processor
        is of a kind that was not seen to be equal.
    """
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
    ours = _cut(images, cut)
    return theirs.keys() == ours.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


def _cut(images: Sequence[Image.Image], cut: _Cut) -> dict[str, torch.Tensor]:
    grids = [(1, image.height // cut.patch, image.width // cut.patch) for image in images]
    counts = [rows * columns for _, rows, columns in grids]
    shape = (sum(counts), len(cut.mean), cut.frames, cut.patch, cut.patch)
    values = np.empty(shape, dtype=np.float32)
    start = 0
    for image, (_, rows, columns), count in zip(images, grids, counts, strict=True):
        planes = _normalised(image, cut)
        blocks = planes.reshape(
            len(cut.mean),
            *(rows // cut.merge, cut.merge, cut.patch),
            *(columns // cut.merge, cut.merge, cut.patch),
        )
        # Patches that become one visual token stand together; each is there once for each frame.
        place = values[start : start + count].reshape(
            rows // cut.merge, columns // cut.merge, cut.merge, cut.merge, *shape[1:]
        )
        place[...] = blocks.transpose(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None]
        start += count
    return {
        "pixel_values": torch.from_numpy(values.reshape(shape[0], -1)),
        "image_grid_thw": torch.tensor(grids),
    }


def _normalised(image: Image.Image, cut: _Cut) -> NDArray[np.float32]:
    """(channels, height, width): values / 255, less the mean, by the deviation."""
    pixels = np.asarray(image)
    planes = np.empty((pixels.shape[2], *pixels.shape[:2]), dtype=np.float32)
    # Mean and deviation are scaled in place of the values, as transformers' processors do.
    scale = np.float32(1 / cut.scale)
    for channel, plane in enumerate(planes):
        plane[...] = pixels[:, :, channel]
        plane -= np.float32(cut.mean[channel]) * scale
        plane /= np.float32(cut.std[channel]) * scale
    return planes
