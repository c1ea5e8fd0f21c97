"""How a model takes images: the size each is fitted to, its tokens, its tensors (qwen-vl-utils)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from qwen_vl_utils import smart_resize

from mmdft.data.fields import OWN_PIXELS
from mmdft.errors import ModelError
from mmdft.records import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelBudget:
    """How large an image may be when the model sees it, in pixels (height times width)."""

    min_pixels: int
    max_pixels: int
    patch_size: int
    merge_size: int

    @property
    def factor(self) -> int:
        """Sides are rounded to multiples of this; one square of it is one visual token."""
        return self.patch_size * self.merge_size

    def fitted_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that an image of this size is resized to."""
        rows, columns = smart_resize(
            height,
            width,
            factor=self.factor,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
        )
        # Shrinking rounds a thin image's short side down to nothing; one visual token stays.
        return max(columns, self.factor), max(rows, self.factor)

    def num_tokens(self, width: int, height: int) -> int:
        """Visual tokens of an image of this size, without opening it."""
        columns, rows = self.fitted_size(width, height)
        return (rows // self.factor) * (columns // self.factor)


def pixel_budget(processor: Any, min_pixels: int | None, max_pixels: int | None) -> PixelBudget:
    """The budget for a model's processor; what is None is the processor's own setting.

    Raises:
        ModelError: the processor is not of the Qwen-VL kind (patches merged into tokens).
    """
    images: Any = getattr(processor, "image_processor", None)
    if not all(hasattr(images, name) for name in ("patch_size", "merge_size", "size")):
        raise ModelError(
            f"{type(processor).__name__} is not supported; "
            "use a Qwen2-VL, Qwen2.5-VL or Qwen3-VL model"
        )
    smallest = min_pixels if min_pixels is not None else images.size["shortest_edge"]
    largest = max_pixels if max_pixels is not None else images.size["longest_edge"]
    return PixelBudget(
        min_pixels=min(smallest, largest),
        max_pixels=largest,
        patch_size=images.patch_size,
        merge_size=images.merge_size,
    )


def own_budget(example: Example, budget: PixelBudget) -> PixelBudget:
    """The budget of an example's images: what its source has of its own, else `budget`."""
    smallest, largest = example.meta.get(OWN_PIXELS, (None, None))
    largest = budget.max_pixels if largest is None else largest
    smallest = budget.min_pixels if smallest is None else smallest
    return replace(budget, min_pixels=min(smallest, largest), max_pixels=largest)


def fit(image: Image.Image, budget: PixelBudget) -> Image.Image:
    """Resize to the pixel budget, keeping the aspect ratio to within one visual token."""
    # As qwen_vl_utils.fetch_image does, whose sizes can be zero.
    return image.resize(budget.fitted_size(*image.size), Image.Resampling.BICUBIC)


def image_tensors(images: Sequence[Image.Image], processor: Any) -> dict[str, torch.Tensor]:
    """The processor's tensors of images that are fitted already; none for no images."""
    if not images:
        return {}
    # Already fitted to the budget by qwen-vl-utils: resizing twice would blur.
    batch = processor.image_processor(images=list(images), do_resize=False, return_tensors="pt")
    return {name: batch[name] for name in ("pixel_values", "image_grid_thw")}
