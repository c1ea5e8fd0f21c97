"""Features of a frozen vision tower in place of its forward pass, in training."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from mmdft.data.features import (
    CachedImage,
    FeatureFolder,
    packed_features,
    read_features,
    room_in,
    write_features,
)
from mmdft.errors import ModelError
from mmdft.model import part_of, vision_modules

OUTPUTS = {
    "qwen2_vl": BaseModelOutputWithPooling,
    "qwen2_5_vl": BaseModelOutputWithPooling,
    "qwen3_vl": BaseModelOutputWithDeepstackFeatures,
}
"""What the vision towers give whose models take it in place of pixels (`mm_encoder_outputs`)."""


def check_frozen(model: Any) -> None:
    """See that a model's vision features can be kept.

    Raises:
        ModelError: it does not take them, or they change in training.
    """
    if model.config.model_type not in OUTPUTS:
        raise ModelError(
            f"data.cache_vision: {model.config.model_type} does not take features in place of "
            f"pixels, only {', '.join(OUTPUTS)} do; leave it out"
        )
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and part_of(name) != "language":
            raise ModelError(
                f"data.cache_vision: {name} is trained, and with it the images' features change; "
                "set model.freeze=[vision, projector], or leave data.cache_vision out"
            )


def tower_hash(model: Any, device: torch.device, autocast: torch.dtype | None) -> str:
    """Hash of all that decides on the features of an image: weights, types, kernels, versions.

    Args:
        model: with its weights.
        device: where it is to run.
        autocast: the type that matrix products are made in, if not the weights' own.
    """
    config = model.config.vision_config
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    about = {
        "config": config.to_dict(),
        "attention": config._attn_implementation,
        "products": [str(autocast), torch.get_float32_matmul_precision()],
        "device": kind,
        "versions": [torch.__version__, transformers.__version__],
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for outer in vision_modules(model).values():
        for name, tensor in (*outer.named_parameters(), *outer.named_buffers()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(content.numpy().data)
    return digest.hexdigest()


class VisionFeatures:
    """Completes batches with their images' features: those that are kept, and the others computed.

    An image's features are computed for it alone, so that they do not depend on the batch that it
    is first met in, and neither does a training that goes on.

    Args:
        model: the model, not wrapped.
        folder: where the features are kept.
        root: of all vision towers' features.
        most: bytes that these may take. What no process has used since this one began gives way,
            the oldest first; when nothing is left of that, further features are not kept, which is
            told. Each rank is given its share of what is free; several runs that begin at the same
            time do not know of each other until they look again.
        ranks: processes of the run.
    """

    def __init__(
        self, model: nn.Module, folder: FeatureFolder, root: Path, most: int, ranks: int
    ) -> None:
        self.model: Any = model
        self.folder, self.root, self.most, self.ranks = folder, root, most, ranks
        self.since = time.time()
        self.room = room_in(root, most, 0, self.since) // ranks
        self.is_full = False

    def complete(
        self, inputs: Mapping[str, Any], images: Sequence[CachedImage], device: torch.device
    ) -> dict[str, Any]:
        """A batch with the images' features as the model takes them.

        Args:
            inputs: the batch, with `image_grid_thw` (images, 3).
            images: in the order of the batch.
            device: the model's.
        """
        grids = inputs["image_grid_thw"]
        features = [
            self._of(image, grids[index : index + 1], device) for index, image in enumerate(images)
        ]
        output = OUTPUTS[self.model.config.model_type]()
        output.pooler_output = tuple(each[0] for each in features)
        if len(features[0]) > 1:
            output.deepstack_features = [
                tuple(each[level] for each in features) for level in range(1, len(features[0]))
            ]
        return {**inputs, "mm_encoder_outputs": {"image": output}}

    def _of(self, image: CachedImage, grid: Tensor, device: torch.device) -> Tensor:
        # A batch that was fetched beforehand may have an image that was met since.
        found: Tensor | None
        found = image.values if image.is_found else read_features(self.folder, image.key)
        if found is not None:
            return found.to(device)
        computed = self._computed(image.values.to(device), grid)
        self._keep(image, computed)
        return computed

    @torch.no_grad()
    def _computed(self, pixels: Tensor, grid: Tensor) -> Tensor:
        """Features of one image, (1 + deepstack, visual tokens, width)."""
        output = self.model.get_image_features(pixels, grid, return_dict=True)
        deep = getattr(output, "deepstack_features", None) or []
        return torch.stack([output.pooler_output[0], *(level[0] for level in deep)])

    def _keep(self, image: CachedImage, features: Tensor) -> None:
        if self.is_full:
            return
        content = packed_features(features.cpu())
        # With the second name.
        size = len(content) + len(image.key)
        if size > self.room:
            wanted = max(size * self.ranks, self.most // 16)
            self.room = room_in(self.root, self.most, wanted, self.since) // self.ranks
        if size > self.room:
            self.is_full = True
            print(
                f"{self.root}: data.cache_vision_gb is used up by this run's own images; the "
                "features of the others are computed each time",
                file=sys.stderr,
            )
            return
        write_features(self.folder, image, content)
        self.room -= size
