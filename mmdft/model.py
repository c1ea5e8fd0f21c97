"""Loading a model and its processor, freezing parts, adding adapters, counting what is trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
)
from transformers.utils import is_bitsandbytes_available

from mmdft.config import LoraSettings, ModelConfig
from mmdft.data.proof import check_template
from mmdft.errors import ModelError
from mmdft.shipped import SHIPPED, model_source

Part = Literal["vision", "projector", "language"]
ADAPTER_FILE = "adapter_config.json"


def load_processor(config: ModelConfig) -> Any:
    """The model's own `AutoProcessor`, from a folder or the hub, its chat template proven.

    Raises:
        ModelError: there is none, or the loss mask cannot be proven with it; the message names
            `model.name` and the mend.
    """
    processor = _load(AutoProcessor, config, {})
    try:
        check_template(processor)
    except ModelError as error:
        raise ModelError(f"model.name {config.name!r}: {error}") from error
    return processor


def load_model(config: ModelConfig) -> nn.Module:
    """The model of a configuration, on the CPU, with its parts frozen and adapters added.

    A folder that holds a LoRA adapter is loaded on top of the base model it names.

    Raises:
        ModelError: it cannot be found or quantised, or is of no supported architecture.
    """
    dtype = config.dtype if config.dtype == "auto" else getattr(torch, config.dtype)
    options = {"dtype": dtype, "attn_implementation": config.attn_implementation}
    if config.quantization is not None:
        options.update(_quantization())
    if is_adapter(config.name):
        return _load_adapter(config, options)
    model = _load_weights(config, options)
    if config.lora is not None:
        model = add_lora(model, config.lora, config.freeze)
    else:
        freeze(model, config.freeze)
        _freeze_unused(model)
    keep_no_graph(model)
    return model  # type: ignore[no-any-return]


def load_model_config(config: ModelConfig) -> Any:
    """The `transformers` configuration of the model, or of an adapter's base; no weights.

    Its attention kernel is the one that the model would have.

    Raises:
        ModelError: there is none that can be read.
    """
    name, revision = config.name, config.revision
    if is_adapter(name):
        from peft import PeftConfig

        name, revision = PeftConfig.from_pretrained(name).base_model_name_or_path, None
    try:
        found = AutoConfig.from_pretrained(
            model_source(name),
            revision=revision or "main",
            trust_remote_code=config.trust_remote_code,
        )
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelError(
            f"model.name {config.name!r}: no configuration to be read: {reason}"
        ) from error
    found._attn_implementation = config.attn_implementation or "sdpa"
    return found


def is_adapter(name: str) -> bool:
    """Whether the folder of that name holds an adapter rather than a model."""
    return (Path(model_source(name)) / ADAPTER_FILE).is_file()


_VISION = ("visual", "vision_tower", "vision_model")
_PROJECTOR = ("connector", "multi_modal_projector", "image_newline")


def part_of(parameter: str) -> Part:
    """The part of the model that a parameter belongs to, by its dotted name."""
    names = parameter.split(".")
    if any(name in _PROJECTOR for name in names):
        return "projector"
    if not any(name in _VISION for name in names):
        return "language"
    # The Qwen families project within `visual`; Qwen3-VL intermediate layers too, by
    # `deepstack_merger_list`.
    return "projector" if any("merger" in name for name in names) else "vision"


def freeze(model: nn.Module, parts: Sequence[Part]) -> None:
    """Take the parameters of these parts out of training.

    Raises:
        ModelError: the model has no such part, so that nothing would be frozen.
    """
    present = {part_of(name) for name, _ in model.named_parameters()}
    for part in parts:
        if part not in present:
            raise ModelError(f"model.freeze: {type(model).__name__} has no part {part!r}")
    for name, parameter in model.named_parameters():
        if part_of(name) in parts:
            parameter.requires_grad_(False)


def _freeze_unused(model: nn.Module) -> None:
    """Take out of training what is in a model but not in its forward pass: DDP would wait for it.

    LLaVA-OneVision looks at the vision tower's states as they are before the last norm.
    """
    if model.config.model_type == "llava_onevision":  # type: ignore[union-attr]
        for name, parameter in model.named_parameters():
            if "vision_tower.post_layernorm." in name:
                parameter.requires_grad_(False)


def keep_no_graph(model: nn.Module) -> list[str]:
    """Have what comes before everything that is trained run without a graph.

    Autograd keeps none for frozen weights, but gradient checkpointing asks for a gradient at the
    input of all parts (`enable_input_require_grads`), and a frozen vision tower would be kept,
    recomputed and run backward for nothing.

    Args:
        model: frozen or adapted.

    Returns:
        Names of the outermost modules that now keep none: the vision tower with its projector, or
        less of it; none where some of the vision tower is trained.
    """
    if any(p.requires_grad and part_of(name) == "vision" for name, p in model.named_parameters()):
        return []
    chosen = vision_modules(model, lambda module: not any(_trained(module)))
    for module in chosen.values():
        module.register_forward_pre_hook(_forget)
        module.register_forward_hook(_remember, always_call=True)
    return list(chosen)


def vision_modules(
    model: nn.Module, wanted: Callable[[nn.Module], bool] = lambda _: True
) -> dict[str, nn.Module]:
    """The outermost modules of the vision tower and its projector that are called, by name.

    Args:
        model: adapted or not.
        wanted: whether a module is one to choose; of others their children are asked.
    """
    chosen: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        is_inside = any(name.startswith(f"{outer}.") for outer in chosen)
        # A list of layers is never called itself.
        if part_of(name) == "language" or is_inside or isinstance(module, nn.ModuleList):
            continue
        if wanted(module) and any(True for _ in module.parameters()):
            chosen[name] = module
    return chosen


def _trained(module: nn.Module) -> Iterator[bool]:
    return (parameter.requires_grad for parameter in module.parameters())


# Functions and an attribute, because a closure would not follow a copy of the model.
def _forget(module: Any, _args: Any) -> None:
    module.mmdft_kept_graph = torch.is_grad_enabled()
    torch.set_grad_enabled(False)


def _remember(module: Any, _args: Any, _output: Any) -> None:
    torch.set_grad_enabled(module.mmdft_kept_graph)


def add_lora(model: nn.Module, lora: LoraSettings, without: Sequence[Part]) -> nn.Module:
    """Freeze the model and add low-rank adapters, none of them in the parts `without`."""
    from peft import LoraConfig, get_peft_model

    excluded = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and part_of(name) in without
    ]
    settings = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        modules_to_save=lora.modules_to_save or None,
        exclude_modules=excluded or None,
        task_type="CAUSAL_LM",
    )
    try:
        return _saved_offline(get_peft_model(model, settings))
    except (ValueError, re.error) as error:
        raise ModelError(f"model.lora: {' '.join(str(error).split())}") from error


def parameter_summary(model: nn.Module) -> dict[str, dict[str, int]]:
    """Parameters by part: `{"vision": {"total": n, "trainable": n}, ..., "all": {...}}`.

    Tied weights count once.
    """
    parts: tuple[Part, ...] = ("vision", "projector", "language")
    summary = {part: {"total": 0, "trainable": 0} for part in (*parts, "all")}
    for name, parameter in model.named_parameters():
        for key in (part_of(name), "all"):
            summary[key]["total"] += parameter.numel()
            summary[key]["trainable"] += parameter.numel() * parameter.requires_grad
    return summary


def _load_adapter(config: ModelConfig, options: Mapping[str, Any]) -> nn.Module:
    from peft import PeftConfig, PeftModel

    if config.lora is not None:
        raise ModelError(f"model.lora: {config.name} is an adapter already; leave model.lora out")
    if config.freeze:
        raise ModelError(f"model.freeze: {config.name} is an adapter, its base is frozen already")
    base_name = PeftConfig.from_pretrained(config.name).base_model_name_or_path
    base = _load_weights(config.model_copy(update={"name": base_name, "revision": None}), options)
    model = _saved_offline(PeftModel.from_pretrained(base, config.name, is_trainable=True))
    keep_no_graph(model)
    return model


def _saved_offline(model: Any) -> nn.Module:
    """An adapter that is saved without looking its base up on the hub, if that came with mmdft.

    peft does so to see whether the vocabulary has grown, and its embedding is to be saved too; here
    it never has. An embedding that has an adapter is saved in any case.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    has_base = model.active_peft_config.base_model_name_or_path in SHIPPED
    if has_base and not any(isinstance(end, BaseTunerLayer) for end in ends):
        model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
    return model  # type: ignore[no-any-return]


def _quantization() -> dict[str, Any]:
    """How the weights are held in 4 bits: NF4, its constants quantised too (arXiv 2305.14314).

    Raises:
        ModelError: there is no GPU, or bitsandbytes is not installed.
    """
    if not torch.cuda.is_available():
        raise ModelError("model.quantization: needs an NVIDIA GPU; set model.quantization=null")
    if not is_bitsandbytes_available():
        raise ModelError(
            "model.quantization: bitsandbytes is not installed; run: pip install 'mmdft[qlora]'"
        )
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            # The answer head multiplies by the head's own weights; pixels are few and delicate.
            llm_int8_skip_modules=["lm_head", *_VISION, *_PROJECTOR],
        ),
        "device_map": {"": PartialState().local_process_index},
    }


def _load_weights(config: ModelConfig, options: Mapping[str, Any]) -> Any:
    model = _load(AutoModelForImageTextToText, config, options)
    if config.name in SHIPPED:
        # What is saved, such as an adapter's base, must not name a folder of this machine.
        model.name_or_path = model.config.name_or_path = config.name
    return model


def _load(auto_class: Any, config: ModelConfig, options: Mapping[str, Any]) -> Any:
    source = model_source(config.name)
    try:
        return auto_class.from_pretrained(
            source,
            revision=config.revision or "main",
            trust_remote_code=config.trust_remote_code,
            **options,
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        # transformers reports a missing repository, a missing file, a wrong architecture, remote
        # code that was not allowed, a missing package and cut weights by these.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelError(f"model.name {config.name!r} cannot be loaded: {reason}") from error
