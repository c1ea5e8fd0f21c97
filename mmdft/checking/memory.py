"""How much memory a training needs on one device: an estimate, term by term, without weights.

Weights, gradients and optimizer states are counted on the model itself, built on the meta device
and frozen or adapted as for training. Activations follow from formulas for a decoder of the usual
kind (RMSNorm, grouped attention, gated feed-forward) and a vision transformer: what autograd keeps
of each layer. What allocators waste, kernels borrow and CUDA takes for itself is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText

from mmdft.config import ModelConfig, RunConfig
from mmdft.data.packing import packed_positions
from mmdft.errors import ModelError
from mmdft.model import add_lora, freeze, is_adapter, part_of
from mmdft.objectives import REFERENCE_OBJECTIVES
from mmdft.shipped import model_source
from mmdft.vision_features import check_frozen

GIB = 2**30

# Bytes of optimizer state for each trained parameter: so many copies in the parameter's own type,
# and so many bytes beside.
_STATES: Mapping[str, tuple[int, float]] = {
    "adamw_torch": (2, 0),
    "adamw_torch_fused": (2, 0),
    "adamw_hf": (2, 0),
    "adamw_apex_fused": (2, 0),
    "adamw_bnb_8bit": (0, 2),
    "paged_adamw_8bit": (0, 2),
    "paged_adamw_32bit": (0, 8),
    "ademamix": (3, 0),
    "ademamix_8bit": (0, 3),
    "lion_32bit": (0, 4),
    "lion_8bit": (0, 1),
    "paged_lion_32bit": (0, 4),
    "paged_lion_8bit": (0, 1),
    "adagrad": (1, 0),
    "rmsprop": (1, 0),
    "sgd": (0, 0),
}
# NF4: half a byte, and for each 64 of them a constant of one byte, whose own constants are of
# 4 bytes for each 256 (arXiv 2305.14314).
_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The largest batch of a training, as the model gets it.

    With packing it has one row, of all examples. `pixels` are those of all its images together.
    """

    rows: int
    length: int
    answers: int
    pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on one device by what takes them; `parameters` as counted, tied weights once."""

    parameters: int
    trainable: int
    terms: dict[str, int]
    total: int
    """the sum of the terms"""
    batch: Batch
    device: int | None
    """memory of the GPU that is there; None if there is none"""
    sharding: str
    notes: list[str]
    stop: str | None = None
    """why a training would refuse the model, if that is known without weights"""


def estimate(config: RunConfig, batch: Batch, ranks: int) -> Memory:
    """Estimate a training's memory on one device.

    Args:
        config: the run's.
        batch: the largest one.
        ranks: processes; above 1, every rank is taken to hold all of the model (DDP).

    Raises:
        ModelError: the model has no configuration that can be read, or cannot be adapted.
    """
    notes: list[str] = []
    model = meta_model(config.model, notes)
    stop = None
    if config.data.packing:
        try:
            packed_positions(model.config)
        except ModelError as error:
            stop = str(error)
    if config.data.cache_vision is not None:
        try:
            check_frozen(model)
        except ModelError as error:
            stop = str(error)
    half = config.training.bf16 or bool((config.training.model_extra or {}).get("fp16"))
    terms = {
        "weights": _weights(model, config.model),
        "gradients": sum(_bytes(p) for p in _trained(model)),
        "optimizer": _optimizer(config, model, notes),
    }
    if half:
        terms["half-precision copies"] = _copies(model)
    adapted = config.model.lora is not None or is_adapter(config.model.name)
    if config.objective.name in REFERENCE_OBJECTIVES and not adapted:
        terms["reference"] = terms["weights"]
    if ranks > 1:
        terms["DDP buckets"] = terms["gradients"]
    compute = 2 if half else _itemsize(model)
    terms.update(_activations(config, model, batch, compute))
    terms["answer head"] = _head(config, model, batch, compute)
    found = {name: round(value) for name, value in terms.items()}
    device = None
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0).total_memory
    parameters = list(model.parameters())
    return Memory(
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in _trained(model)),
        terms=found,
        total=sum(found.values()),
        batch=batch,
        device=device,
        sharding=_sharding(config, ranks),
        notes=notes,
        stop=stop,
    )


def meta_model(config: ModelConfig, notes: list[str]) -> Any:
    """The model as it is trained, frozen and adapted, on the meta device: no memory, no weights.

    Args:
        config: the model's.
        notes: what had to be assumed is added.

    Raises:
        ModelError: there is no configuration that can be read, or no such model.
    """
    name, revision = config.name, config.revision
    adapter = None
    try:
        if is_adapter(config.name):
            from peft import PeftConfig

            adapter = PeftConfig.from_pretrained(config.name)
            adapter.inference_mode = False
            name, revision = adapter.base_model_name_or_path, None
        options = {"revision": revision or "main", "trust_remote_code": config.trust_remote_code}
        known = AutoConfig.from_pretrained(model_source(name), **options)
        # The kernels that must be installed need the same memory as sdpa, or less.
        attention = "eager" if config.attn_implementation == "eager" else "sdpa"
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(
                known,
                dtype=_dtype(config, known, notes),
                attn_implementation=attention,
                trust_remote_code=config.trust_remote_code,
            )
            if adapter is not None:
                from peft import get_peft_model

                return get_peft_model(model, adapter)
            if config.lora is not None:
                return add_lora(model, config.lora, config.freeze)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelError(f"model.name {config.name!r}: {reason}") from error
    freeze(model, config.freeze)
    return model


def _dtype(config: ModelConfig, known: Any, notes: list[str]) -> torch.dtype:
    if config.dtype != "auto":
        return getattr(torch, config.dtype)  # type: ignore[no-any-return]
    found = known.dtype or known.get_text_config().dtype
    if found is None:
        notes.append("the model's configuration names no dtype; taken as float32")
        return torch.float32
    return found if isinstance(found, torch.dtype) else getattr(torch, found)


def _trained(model: nn.Module) -> Iterator[nn.Parameter]:
    return (p for p in model.parameters() if p.requires_grad)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _itemsize(model: Any) -> int:
    """Bytes of a number in the language part's activations."""
    return int(model.get_input_embeddings().weight.element_size())


def _is_quantized(name: str, module: nn.Module, config: ModelConfig) -> bool:
    # What `mmdft.model` leaves as it is.
    kept = any(part in name.split(".") for part in ("lm_head", "visual"))
    lora = any(part.startswith("lora_") for part in name.split("."))
    return (
        config.quantization is not None and isinstance(module, nn.Linear) and not kept and not lora
    )


def _weights(model: nn.Module, config: ModelConfig) -> float:
    """Of all parameters and buffers; weights of 4 bits with their constants."""
    quantized = {
        id(module.weight)
        for name, module in model.named_modules()
        if _is_quantized(name, module, config)
    }
    parameters = sum(
        p.numel() * _NF4 if id(p) in quantized else _bytes(p) for p in model.parameters()
    )
    return parameters + sum(_bytes(buffer) for buffer in model.buffers())


def _copies(model: nn.Module) -> int:
    """What autocast keeps in half precision of the fp32 weights that matrices are multiplied by."""
    kinds = (nn.Linear, nn.Conv2d, nn.Conv3d)
    weights = {id(m.weight): m.weight for m in model.modules() if isinstance(m, kinds)}
    return sum(w.numel() * 2 for w in weights.values() if w.dtype == torch.float32)


def _optimizer(config: RunConfig, model: nn.Module, notes: list[str]) -> float:
    name = config.training.optim
    if name == "adafactor":
        # A row and a column of each matrix; of vectors all.
        return sum(
            4 * (p.numel() // p.shape[-1] + p.numel() // p.shape[-2] if p.dim() > 1 else p.numel())
            for p in _trained(model)
        )
    if name not in _STATES:
        notes.append(f"the states of training.optim={name} are not known here, and left out")
        return 0
    copies, beside = _STATES[name]
    return sum(_bytes(p) * copies + p.numel() * beside for p in _trained(model))


def _activations(config: RunConfig, model: Any, batch: Batch, compute: int) -> dict[str, float]:
    """What autograd keeps of the largest batch, and what its largest layer's backward takes."""
    parts = {part: _kind(model, part) for part in ("vision", "projector", "language")}
    flows = any(kind != "frozen" for kind in parts.values())
    text = model.config.get_text_config()
    tokens = batch.rows * batch.length
    residual = _itemsize(model)
    checkpointing = config.training.gradient_checkpointing
    # Nothing is kept where no gradient goes through.
    kind = parts["language"] if parts["language"] != "frozen" or not flows else "passed"
    each = tokens * _decoder_layer(model, text, batch, kind, residual, compute)
    inputs = tokens * text.hidden_size * residual
    kept = text.num_hidden_layers * (inputs if checkpointing else each) + each * checkpointing
    # The embeddings, the final norm and its copy in fp32.
    ends = tokens * text.hidden_size * (3 * residual + 4)
    found = {"activations, language": kept + ends}
    if _is_masked(config, batch):
        # Which positions see which: as truth values, and as what is added to the scores.
        found["attention mask"] = batch.rows * batch.length**2 * (1 + compute)
    vision = getattr(model.config, "vision_config", None)
    if batch.pixels and vision is not None:
        found["activations, vision"] = _vision(model, vision, batch, parts, residual, compute)
    return found


def _kind(model: nn.Module, part: str) -> str:
    """Whether a part's own weights are trained, adapters on it, or nothing of it."""
    trained = [n for n, p in model.named_parameters() if p.requires_grad and part_of(n) == part]
    if not trained:
        return "frozen"
    return "adapted" if all("lora_" in name for name in trained) else "trained"


def _decoder_layer(
    model: nn.Module, text: Any, batch: Batch, kind: str, residual: int, compute: int
) -> float:
    """Bytes that autograd keeps of a decoder layer for each token."""
    hidden, inner, heads = text.hidden_size, text.intermediate_size, text.num_attention_heads
    width = heads * (getattr(text, "head_dim", None) or hidden // heads)
    casts = residual > compute
    # Of each norm its input in fp32.
    kept = 2.0 * hidden * 4
    # Queries, keys and values as attention takes them, keys and values once for each head, and
    # what it gives.
    kept += 4 * width * compute + 4 * heads
    if text._attn_implementation == "eager":
        kept += heads * batch.length * (compute + 4)
    # Gate, its activation, and what it is multiplied by.
    kept += 3 * inner * compute
    if kind == "trained":
        # The norms' results before their weight, and the inputs of all matrices: under autocast
        # each of the three and of the two that share one has a copy of its own.
        kept += 2 * hidden * residual + (5 if casts else 2) * hidden * compute
        kept += (inner + width) * compute
    if kind == "adapted":
        inputs = sum(
            module.in_features
            for name, module in model.named_modules()
            if name.endswith(".lora_A.default") and part_of(name) == "language"
        )
        share = inputs / text.num_hidden_layers
        if residual == compute == 4:
            # Adapters of one input share it; elsewhere each has it in a type of its own.
            share = min(share, 2 * hidden + inner + width)
        kept += share * (compute if casts else 4)
    return float(kept)


def _vision(
    model: nn.Module,
    vision: Any,
    batch: Batch,
    parts: Mapping[str, str],
    residual: int,
    compute: int,
) -> float:
    """Bytes that autograd keeps of the vision tower, and its pixels."""
    patch = _first(vision, "patch_size")
    patches = batch.pixels / patch**2
    frames = getattr(vision, "temporal_patch_size", 1)
    pixels = batch.pixels * 3 * frames * 4
    depth, hidden = _first(vision, "depth", "num_hidden_layers"), _width(vision)
    inner = float(getattr(vision, "intermediate_size", None) or hidden * vision.mlp_ratio)
    own = [(name, m) for name, m in model.named_modules() if part_of(name) == "vision"]
    gated = any(name.endswith("gate_proj") for name, _ in own)
    rms = any("RMSNorm" in type(module).__name__ for _, module in own)
    kind = parts["vision"]
    if kind == "frozen":
        # One layer at a time: its widest results.
        return pixels + patches * (2 * hidden + 3 * inner) * compute
    casts = residual > compute
    each: float = 2 * hidden * (4 if rms else residual) + 6 * hidden * compute
    each += (3 if gated else 2) * inner * compute
    if kind == "trained":
        each += (2 * hidden * residual if rms else 0) + 2 * hidden * compute
        each += hidden * compute * (casts and gated) + hidden * compute + inner * compute * gated
    if kind == "adapted":
        adapted = (m.in_features for name, m in own if name.endswith(".lora_A.default"))
        share = sum(adapted) / depth
        if residual == compute == 4:
            share = min(share, 2 * hidden + inner)
        each += share * (compute if casts else 4)
    return pixels + patches * each * depth


def _first(config: Any, *names: str) -> int:
    return int(next(getattr(config, name) for name in names if hasattr(config, name)))


def _width(vision: Any) -> int:
    # Qwen2-VL's `hidden_size` is what its tower gives to the language part.
    return int(getattr(vision, "embed_dim", None) or vision.hidden_size)


def _is_masked(config: RunConfig, batch: Batch) -> bool:
    return config.data.packing or batch.rows > 1


def _head(config: RunConfig, model: Any, batch: Batch, compute: int) -> float:
    """The chunk of logits, and the gradients that are formed beside it (`mmdft.answer_loss`)."""
    weight = model.get_output_embeddings().weight
    vocabulary, hidden = weight.shape
    chunk = config.objective.chunk_mb * 2**20
    logits = min(chunk, batch.answers * vocabulary * 8)
    states = batch.answers * hidden * (compute + 4)
    gradient = vocabulary * hidden * 4 if weight.requires_grad else 0
    return float(logits + states + gradient)


def _sharding(config: RunConfig, ranks: int) -> str:
    if ranks == 1:
        return "one process holds everything"
    fsdp = (config.training.model_extra or {}).get("fsdp")
    if fsdp:
        return (
            f"training.fsdp={fsdp}: weights, gradients and optimizer states are divided by up to "
            f"{ranks}; the figures are for one rank that holds them whole"
        )
    deepspeed = (config.training.model_extra or {}).get("deepspeed")
    if deepspeed:
        return (
            f"training.deepspeed={deepspeed}: what is divided stands there; the figures are for "
            "one rank that holds everything"
        )
    return (
        "as DDP, every rank holds everything; what an accelerate configuration divides (FSDP2, "
        "ZeRO-3) is not known here"
    )
