"""How a model takes images: the size each is fitted to, the text it becomes, its tensors.

The Qwen families resize any image to a pixel budget (sizes of qwen-vl-utils, pixels of their image
processors). The others have sizes of their own: tiles of a fixed side, or one square, as their
image processors make them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from qwen_vl_utils import smart_resize
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from mmdft.data.fields import OWN_PIXELS
from mmdft.data.patches import patches
from mmdft.errors import ConfigError, ModelError
from mmdft.records import Example

Size: TypeAlias = tuple[int, int]
"""(width, height) in pixels."""

Expansion: TypeAlias = tuple[tuple[str, int], ...]
"""The text that takes an image's place in the chat: pieces, and how often each stands there."""


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

    def fitted_size(self, width: int, height: int) -> Size:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSizes:
    """For families without a pixel budget: their image processor's settings, as JSON."""

    settings: str


ImageBudget: TypeAlias = PixelBudget | OwnSizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is known of a processor class.

    `sees` gives, from the images' sizes alone, what the class's `replace_image_token` looks at;
    None for the families with a pixel budget. `tensors` are the model's inputs. Where the token
    that is repeated for an image is not the template's placeholder, the tokenizer names it
    (`repeats_other`). `single_differs`: an image that is alone in its chat is cut otherwise.
    """

    name: str
    tensors: tuple[str, ...]
    sees: Callable[[Sequence[Size], Any], Mapping[str, Any]] | None = None
    repeats_other: bool = False
    single_differs: bool = False


def _rows_and_columns(sizes: Sequence[Size], processor: Any) -> Mapping[str, Any]:
    grids = [_patches(processor, size) for size in sizes]
    return {"rows": [[rows for _, rows, _ in grids]], "cols": [[columns for *_, columns in grids]]}


def _num_patches(sizes: Sequence[Size], processor: Any) -> Mapping[str, Any]:
    return {"num_patches": [_patches(processor, size) for size in sizes]}


def _patches(processor: Any, size: Size) -> Any:
    width, height = size
    return processor.image_processor.get_number_of_image_patches(
        height, width, dict(processor.images_kwargs)
    )


def _tile_and_sizes(sizes: Sequence[Size], processor: Any) -> Mapping[str, Any]:
    size = processor.image_processor.size
    sides = [size[name] for name in ("shortest_edge", "height", "width") if size[name] is not None]
    # Of the tile only the shape is looked at; on the meta device it has no memory.
    tile = torch.empty((3, min(sides), min(sides)), device="meta")
    return {
        "batch_num_images": [len(sizes)],
        "image_sizes": [[height, width] for width, height in sizes],
        "pixel_values": [[tile]] * len(sizes),
    }


def _no_crops(sizes: Sequence[Size], processor: Any) -> Mapping[str, Any]:
    return {"num_crops": [0] * len(sizes)}


_QWEN = ("pixel_values", "image_grid_thw")
_IDEFICS = ("pixel_values", "pixel_attention_mask")

FAMILIES = {
    "Qwen2VLProcessor": Family(name="Qwen2-VL", tensors=_QWEN),
    "Qwen2_5_VLProcessor": Family(name="Qwen2.5-VL", tensors=_QWEN),
    "Qwen3VLProcessor": Family(name="Qwen3-VL", tensors=_QWEN),
    "SmolVLMProcessor": Family(name="SmolVLM", tensors=_IDEFICS, sees=_rows_and_columns),
    "Idefics3Processor": Family(name="Idefics3", tensors=_IDEFICS, sees=_rows_and_columns),
    "LlavaOnevisionProcessor": Family(
        name="LLaVA-OneVision",
        tensors=("pixel_values", "image_sizes", "batch_num_images"),
        sees=_tile_and_sizes,
        single_differs=True,
    ),
    "InternVLProcessor": Family(name="InternVL", tensors=("pixel_values",), sees=_num_patches),
    "Gemma3Processor": Family(
        name="Gemma 3", tensors=("pixel_values",), sees=_no_crops, repeats_other=True
    ),
}
"""The families by the name of their processor's class."""


def family_of(processor: Any) -> Family:
    """What is known of a processor.

    Raises:
        ModelError: nothing is; the message names the known families.
    """
    name = type(processor).__name__
    if name not in FAMILIES:
        known = ", ".join(family.name for family in FAMILIES.values())
        raise ModelError(f"{name} is not supported; use a model of one of these families: {known}")
    return FAMILIES[name]


def soft_token(processor: Any) -> str:
    """The token that stands where an image's features go, many times for each image."""
    named_by = processor.tokenizer if family_of(processor).repeats_other else processor
    return str(named_by.image_token)


def pixel_budget(processor: Any, min_pixels: int | None, max_pixels: int | None) -> ImageBudget:
    """The budget for a model's processor; what is None is the processor's own setting.

    Raises:
        ConfigError: pixels are given, and the family has sizes of its own.
        ModelError: the processor is of no known family.
    """
    family = family_of(processor)
    images = processor.image_processor
    if family.sees is not None:
        if (min_pixels, max_pixels) != (None, None):
            raise ConfigError(_no_budget(family.name))
        return OwnSizes(settings=json.dumps(images.to_dict(), sort_keys=True, default=str))
    smallest = min_pixels if min_pixels is not None else images.size["shortest_edge"]
    largest = max_pixels if max_pixels is not None else images.size["longest_edge"]
    return PixelBudget(
        min_pixels=min(smallest, largest),
        max_pixels=largest,
        patch_size=images.patch_size,
        merge_size=images.merge_size,
    )


def own_budget(example: Example, budget: ImageBudget) -> ImageBudget:
    """The budget of an example's images: what its source has of its own, else `budget`.

    Raises:
        ConfigError: the source has one, and the family has sizes of its own.
    """
    smallest, largest = example.meta.get(OWN_PIXELS, (None, None))
    if isinstance(budget, OwnSizes):
        if (smallest, largest) != (None, None):
            raise ConfigError(f"example {example.id}: its source's {_no_budget('this model')}")
        return budget
    largest = budget.max_pixels if largest is None else largest
    smallest = budget.min_pixels if smallest is None else smallest
    return replace(budget, min_pixels=min(smallest, largest), max_pixels=largest)


def fit(image: Image.Image, budget: ImageBudget) -> Image.Image:
    """Resize to the pixel budget, keeping the aspect ratio to within one visual token.

    Without one the image stays as it is: the family's image processor resizes it.
    """
    if isinstance(budget, OwnSizes):
        return image
    size = budget.fitted_size(*image.size)
    if size == image.size:
        return image
    # As the families' processors do, bit for bit. Pillow's resize, which qwen-vl-utils takes, gives
    # other values of some pixels, and takes several times as long.
    planes = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    resized = resize(planes, size[::-1], interpolation=InterpolationMode.BICUBIC, antialias=True)
    return Image.fromarray(resized.permute(1, 2, 0).numpy())


def expansions(sizes: Sequence[Size], processor: Any, budget: ImageBudget) -> list[Expansion]:
    """What the images of one example become in its chat, from their sizes alone.

    How a family cuts an image may depend on how many images there are.
    """
    if not sizes:
        return []
    if isinstance(budget, PixelBudget):
        return [((soft_token(processor), budget.num_tokens(*size)),) for size in sizes]
    sees = family_of(processor).sees
    assert sees is not None
    seen = sees(sizes, processor)
    soft = soft_token(processor)
    return [
        _runs(processor.replace_image_token(seen, image_idx=index), soft)
        for index in range(len(sizes))
    ]


def num_image_tokens(sizes: Sequence[Size], processor: Any, budget: ImageBudget) -> list[int]:
    """Visual tokens of each image of one example, without opening it."""
    soft = soft_token(processor)
    return [
        sum(times for text, times in expansion if text == soft)
        for expansion in expansions(sizes, processor, budget)
    ]


def image_tensors(
    images: Sequence[Image.Image], processor: Any, budget: ImageBudget
) -> dict[str, Any]:
    """The model's tensors of one example's images; none for no images.

    In a data loader's worker `pixel_values` may be `mmdft.data.patches.BytePatches`.

    Args:
        images: upright, in the order of the chat; fitted already where there is a pixel budget.
        processor: the model's `AutoProcessor`.
        budget: of `pixel_budget`.

    Raises:
        ModelError: the processor makes other image tokens of them than `expansions` says.
    """
    if not images:
        return {}
    family = family_of(processor)
    if isinstance(budget, PixelBudget):
        batch = patches(images, processor.image_processor)
        if batch is None:
            # Resizing twice would blur.
            batch = processor.image_processor(
                images=list(images), do_resize=False, return_tensors="pt"
            )
        return {name: batch[name] for name in family.tensors}
    # As the processor calls it, with the defaults of its class.
    options = dict(getattr(processor, "images_kwargs", {}))
    batch = processor.image_processor([list(images)], **options, return_tensors="pt")
    expected = expansions([image.size for image in images], processor, budget)
    soft = soft_token(processor)
    for index, image in enumerate(images):
        found = _runs(processor.replace_image_token(batch, image_idx=index), soft)
        if found != expected[index]:
            raise ModelError(
                f"{type(processor).__name__} makes other tokens of an image of "
                f"{image.width} x {image.height} pixels than follow from its size"
            )
    return {name: batch[name] for name in family.tensors}


def _no_budget(whose: str) -> str:
    return (
        f"min_pixels and max_pixels: {whose} has image sizes of its own, "
        "set in its preprocessor_config.json; leave them out"
    )


@lru_cache(maxsize=1024)
def _runs(text: str, soft: str) -> Expansion:
    """Take the runs of the soft token in an expansion together."""
    pieces = re.split(f"((?:{re.escape(soft)})+)", text)
    return tuple(
        (soft, len(piece) // len(soft)) if index % 2 else (piece, 1)
        for index, piece in enumerate(pieces)
        if piece
    )
