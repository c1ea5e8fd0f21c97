"""Images' features from a frozen vision tower, kept in files: across epochs, runs and processes.

Below the folder of `data.cache_vision` each vision tower has one of its own. There an entry is
named by a hash of the image as the model gets it, and holds its features behind their checksum; a
second name, by the hash of the image's file and of all that decides what is decoded and resized
from it, leads to the first, so that an image whose features are there is not decoded at all.
Entries are written under a temporary name, then renamed: processes and ranks may share a folder.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.utils.data import get_worker_info

from mmdft.data.images import image_size, open_image, refuse_other_size
from mmdft.data.patches import BytePatches, byte_patches
from mmdft.data.vision import ImageBudget, PixelBudget, fit, image_tensors, own_budget
from mmdft.files import write_bytes, write_text
from mmdft.records import Example, ImageRef, Rendered

_CHECKSUM = 32  # bytes of SHA-256


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFolder:
    """Where the features of one vision tower are kept."""

    path: Path
    decoding: str
    """what else than its file decides on an image's pixels: settings and versions"""


class CachedImage(NamedTuple):
    """An image of a batch: its features, or its pixels where there are none yet."""

    source: str
    """hash of its file and of what decides on its pixels"""
    key: str
    """hash of its pixels"""
    is_found: bool
    values: Any
    """features, (1 + deepstack, visual tokens, width), or `pixel_values` of this image alone"""


def feature_folder(path: Path, tower: str, processor: Any) -> FeatureFolder:
    """The folder of a vision tower's features.

    Args:
        path: of `data.cache_vision`.
        tower: hash of the tower.
        processor: the model's `AutoProcessor`.
    """
    packages = ("mmdft", "pillow", "torch", "torchvision", "transformers", "qwen-vl-utils")
    settings = {
        "processor": processor.image_processor.to_dict(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    return FeatureFolder(
        path=path / tower, decoding=json.dumps(settings, sort_keys=True, default=str)
    )


def add_features(
    rendered: Rendered,
    example: Example,
    sizes: Sequence[tuple[int, int]],
    processor: Any,
    budget: ImageBudget,
    folder: FeatureFolder,
) -> Rendered:
    """As `add_images`, but with the features of the images that are in the folder.

    Args:
        rendered: the example's tokens, of `render_tokens`.
        example: a training example.
        sizes: (width, height) of its images, that the tokens were made for.
        processor: the model's `AutoProcessor`.
        budget: the pixel budget that the tokens were made for.
        folder: of the model's vision tower.

    Returns:
        The example with the images' tensors `image_grid_thw` (images, 3) and `vision`, a list of
        `CachedImage`; none for no images.

    Raises:
        DataError: an image cannot be opened, or has another size now.
    """
    own = own_budget(example, budget)
    assert isinstance(own, PixelBudget)
    found = [
        _cached(ref, size, processor, own, folder)
        for ref, size in zip(example.images, sizes, strict=True)
    ]
    if not found:
        return rendered
    grids = torch.tensor([grid_of(size, own) for size in sizes])
    return replace(rendered, images={"image_grid_thw": grids, "vision": found})


def grid_of(size: tuple[int, int], budget: PixelBudget) -> tuple[int, int, int]:
    """The patches of an image of that (width, height): frames, rows and columns."""
    columns, rows = budget.fitted_size(*size)
    return 1, rows // budget.patch_size, columns // budget.patch_size


def _cached(
    ref: ImageRef,
    size: tuple[int, int],
    processor: Any,
    budget: PixelBudget,
    folder: FeatureFolder,
) -> CachedImage:
    refuse_other_size(ref, image_size(ref), size)
    source = _hash(_content(ref), repr(budget).encode(), folder.decoding.encode())
    link = _place(folder, "sources", source)
    if link.is_file():
        _use(link)
        key = link.read_text(encoding="utf-8")
        features = read_features(folder, key)
        if features is not None:
            return CachedImage(source, key, True, features)
    image = fit(open_image(ref), budget)
    cut = byte_patches([image], processor.image_processor)
    if cut is None:
        tensors = image_tensors([image], processor, budget)
        pixels, grid = tensors["pixel_values"], tensors["image_grid_thw"]
    else:
        pixels, grid = cut
    key = pixels_key(pixels, grid)
    features = read_features(folder, key)
    if features is None:
        if cut is not None and get_worker_info() is None:
            pixels = cut[0].values()
        return CachedImage(source, key, False, pixels)
    # The same picture in another file.
    write_text(link, key)
    return CachedImage(source, key, True, features)


def pixels_key(pixels: Tensor | BytePatches, grid: Tensor) -> str:
    """Hash of an image as the model gets it: of its pixels, or its bytes where they decide."""
    blocks, kind = (
        (pixels.blocks, repr(pixels.cut)) if isinstance(pixels, BytePatches) else (pixels, "values")
    )
    return _hash(_bytes(blocks), kind.encode(), repr(grid.tolist()).encode())


def read_features(folder: FeatureFolder, key: str) -> Tensor | None:
    """The features of an image; None if they are not there, or damaged, which is told."""
    path = _place(folder, "features", key)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content[_CHECKSUM:]).digest() != content[:_CHECKSUM]:
        print(f"{path}: damaged; these features are computed again", file=sys.stderr)
        path.unlink(missing_ok=True)
        return None
    _use(path)
    return load(content[_CHECKSUM:])["features"]


def packed_features(features: Tensor) -> bytes:
    """Features as an entry holds them."""
    content = save({"features": features.contiguous()})
    return hashlib.sha256(content).digest() + content


def write_features(folder: FeatureFolder, image: CachedImage, content: bytes) -> None:
    """Keep an image's features.

    Args:
        folder: of the vision tower.
        image: whose they are.
        content: of `packed_features`.
    """
    write_bytes(_place(folder, "features", image.key), content)
    write_text(_place(folder, "sources", image.source), image.key)


def room_in(root: Path, most: int, wanted: int, since: float) -> int:
    """Bytes that may still be written below a folder, after what is old has given way.

    Args:
        root: of all vision towers' entries.
        most: bytes that they may take together.
        wanted: bytes that should be free; for them entries are deleted, the oldest first.
        since: those that were used after this time (seconds since the epoch) stay.
    """
    files = []
    for path in root.rglob("*"):
        try:
            state = path.stat()
        except FileNotFoundError:
            # Another process has renamed or deleted it.
            continue
        if path.is_file():
            files.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in files)
    for used, size, path in sorted(files):
        if total + wanted <= most or used >= since:
            break
        path.unlink(missing_ok=True)
        total -= size
    return most - total


def _use(path: Path) -> None:
    """Note that an entry is used now; another process may be deleting it."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return


def _place(folder: FeatureFolder, kind: str, name: str) -> Path:
    return folder.path / kind / name[:2] / name


def _content(ref: ImageRef) -> bytes:
    return ref.path.read_bytes() if ref.path is not None else ref.data or b""


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        # So that no two lists of parts are hashed as the same bytes.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
