"""vLLM in this process (the extra `vllm`): one GPU, the answers in chunks.

Prompts are those of the transformers backend, token for token: vLLM is given our tokens with one
placeholder for each image and our fitted images, and puts the image's tokens there; what it made of
them is compared with our own rendering, and anything else is an error. Seeds are the requests' own.
The same seed draws another sample than in the transformers backend, and greedy answers can differ
where two tokens are nearly as likely.

Interface of vLLM 0.32: `LLM.generate` takes token ids with `multi_modal_data`, and sampling
parameters for each prompt. Tried with its build for CPUs on tiny models, beside a transformers that
is newer than vLLM allows (`tests/gpu/test_vllm.py`); not on a GPU yet.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import AutoConfig, GenerationConfig

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.data.chat import render_text
from mmdft.data.images import open_image
from mmdft.data.outline import opened_reasoning
from mmdft.data.render import render_prompt_tokens
from mmdft.data.vision import ImageBudget, PixelBudget, fit, own_budget, pixel_budget
from mmdft.errors import ConfigError, DataError, ModelError
from mmdft.evals.backends import Backend
from mmdft.files import read_json
from mmdft.model import ADAPTER_FILE, is_adapter, load_processor, part_of
from mmdft.provenance import model_fingerprint
from mmdft.records import Example, Prediction, Request, Unanswered
from mmdft.shipped import model_source

# Requests handed to vLLM at once; a killed run loses no more.
CHUNK = 256
# What `max_lora_rank` may be.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One item as vLLM takes it, and the tokens that the model must come to see."""

    prompt: Mapping[str, Any]
    expected: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Engine:
    llm: Any
    adapter: Any
    ends: tuple[int, ...]


def open_vllm(
    model: ModelConfig, settings: DecodingConfig, pixels: tuple[int | None, int | None]
) -> Backend:
    """A model in vLLM; it is loaded when it is first asked.

    A folder that holds a LoRA adapter of the language part is used on top of its base model.
    `batch_size` is the number of sequences that vLLM works on at once.

    Raises:
        ConfigError: vLLM is not installed, it does not do what the model's settings ask, or pixels
            are given and the model has image sizes of its own.
        ModelError: the processor cannot be loaded; on asking, the model, or vLLM shows it other
            tokens than it is trained on.
    """
    vllm = _vllm()
    refuse_settings(model)
    processor = load_processor(model)
    budget = pixel_budget(processor, *pixels)
    opened: list[_Engine] = []

    def answer(requests: Sequence[Request]) -> Iterator[list[Prediction | Unanswered]]:
        if not opened:
            opened.append(_open(vllm, model, settings, budget, processor))
        for start in range(0, len(requests), CHUNK):
            chunk = requests[start : start + CHUNK]
            yield _answer(vllm, opened[0], chunk, settings, budget, processor)

    return Backend(
        identity={
            "backend": "vllm",
            "model": model_fingerprint(model.name, model.revision),
            "dtype": model.dtype,
            "pixels": asdict(budget),
        },
        details={"vllm": vllm.__version__},
        answer=answer,
    )


def _vllm() -> Any:
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "vllm"
        reason = "is not installed" if absent else f"cannot be imported ({error})"
        raise ConfigError(
            f"the backend vllm needs the package vllm (the extra mmdft[vllm]), which {reason}; "
            "where it does not go together with the installed transformers, run `vllm serve` in an "
            "environment of its own and use the backend endpoint"
        ) from error


def refuse_settings(model: ModelConfig) -> None:
    """Refuse what this backend would leave out.

    Raises:
        ConfigError: quantisation or an attention kernel is set, or the adapter is one that vLLM
            does not apply whole.
    """
    if model.quantization is not None:
        raise ConfigError(
            f"model.quantization {model.quantization}: the backend vllm does not load it; leave it "
            "out, or use the backend transformers"
        )
    if model.attn_implementation is not None:
        raise ConfigError(
            f"model.attn_implementation {model.attn_implementation}: the backend vllm has kernels "
            "of its own; leave it out"
        )
    if not is_adapter(model.name):
        return
    folder = Path(model.name)
    if modules := read_json(folder / ADAPTER_FILE).get("modules_to_save"):
        raise ConfigError(
            f"model.name {model.name}: its modules_to_save ({', '.join(modules)}) are not loaded "
            "by vLLM; use the backend transformers"
        )
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise ConfigError(f"{weights}: no such file; save the adapter with mmdft or peft")
    with safe_open(weights, framework="pt") as tensors:
        others = sorted({part_of(name) for name in tensors.keys()} - {"language"})  # noqa: SIM118
    if others:
        raise ConfigError(
            f"model.name {model.name}: the adapter is on the {' and the '.join(others)} too, where "
            "vLLM does not apply it; use the backend transformers"
        )


def _open(
    vllm: Any,
    model: ModelConfig,
    settings: DecodingConfig,
    budget: ImageBudget,
    processor: Any,
) -> _Engine:
    options = engine_options(model, settings, budget)
    try:
        llm = vllm.LLM(**options)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        # vLLM reports an unknown architecture, missing memory and a failed process by these.
        reason = str(error).strip().splitlines() or [repr(error)]
        raise ModelError(f"model.name {model.name!r}: vLLM cannot load it: {reason[0]}") from error
    adapter = None
    if "enable_lora" in options:
        request = importlib.import_module("vllm.lora.request").LoRARequest
        adapter = request("adapter", 1, str(Path(model.name).resolve()))
    return _Engine(llm=llm, adapter=adapter, ends=_ends(options, processor))


def engine_options(
    model: ModelConfig, settings: DecodingConfig, budget: ImageBudget
) -> dict[str, Any]:
    """The arguments of `vllm.LLM`.

    Raises:
        ModelError: the model's configuration cannot be loaded.
    """
    options: dict[str, Any] = {
        "model": model_source(model.name),
        "revision": model.revision,
        "tokenizer_revision": model.revision,
    }
    if is_adapter(model.name):
        adapter = read_json(Path(model.name) / ADAPTER_FILE)
        ranks = [adapter["r"], *(adapter.get("rank_pattern") or {}).values()]
        options = {
            "model": model_source(adapter["base_model_name_or_path"]),
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": next((rank for rank in _RANKS if rank >= max(ranks)), max(ranks)),
        }
    options |= {
        "trust_remote_code": model.trust_remote_code,
        "dtype": _dtype(options, model),
        # As long as the model and the memory allow.
        "max_model_len": -1,
        "limit_mm_per_prompt": {"video": 0},
        # The model's own generation defaults are not used.
        "generation_config": "vllm",
        "seed": 0,
    }
    if isinstance(budget, PixelBudget):
        options["mm_processor_kwargs"] = _size(budget)
    if settings.batch_size != "auto":
        options["max_num_seqs"] = settings.batch_size
    return options


def _dtype(options: Mapping[str, Any], model: ModelConfig) -> str:
    """The type that the weights were saved in, where it is "auto": vLLM's own halves float32."""
    if model.dtype != "auto":
        return model.dtype
    config = _load(AutoConfig, options, trust_remote_code=model.trust_remote_code)
    saved = config.dtype or getattr(config.get_text_config(), "dtype", None)
    return "auto" if saved is None else str(saved).removeprefix("torch.")


def _load(kind: Any, options: Mapping[str, Any], **more: Any) -> Any:
    try:
        return kind.from_pretrained(
            options["model"], revision=options.get("revision") or "main", **more
        )
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise ModelError(f"model.name {options['model']!r} cannot be loaded: {reason}") from error


def _ends(options: Mapping[str, Any], processor: Any) -> tuple[int, ...]:
    """The tokens that end a reply, as the transformers backend has them."""
    ends = _load(GenerationConfig, options).eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return tuple(sorted({*ends, processor.tokenizer.eos_token_id} - {None}))


def _size(budget: PixelBudget) -> dict[str, Any]:
    """The budget as the Qwen families' image processors have it."""
    return {"size": {"shortest_edge": budget.min_pixels, "longest_edge": budget.max_pixels}}


def _answer(
    vllm: Any,
    engine: _Engine,
    requests: Sequence[Request],
    settings: DecodingConfig,
    budget: ImageBudget,
    processor: Any,
) -> list[Prediction | Unanswered]:
    longest = engine.llm.model_config.max_model_len
    shown = [show(request.example, processor, budget) for request in requests]
    fitting = [
        (request, each)
        for request, each in zip(requests, shown, strict=True)
        if len(each.expected) < longest
    ]
    answers: list[Prediction | Unanswered] = [
        Unanswered(
            id=request.example.id,
            sample=request.sample,
            reason=f"{len(each.expected):,} tokens of prompt, and vLLM takes {longest:,}; lower "
            "evaluation.max_pixels",
        )
        for request, each in zip(requests, shown, strict=True)
        if len(each.expected) >= longest
    ]
    if not fitting:
        return answers
    outputs = engine.llm.generate(
        [dict(each.prompt) for _, each in fitting],
        [
            vllm.SamplingParams(**sampling_options(request, settings, engine.ends))
            for request, _ in fitting
        ],
        lora_request=engine.adapter,
        use_tqdm=False,
    )
    opened = opened_reasoning(processor)
    for (request, each), output in zip(fitting, outputs, strict=True):
        if tuple(output.prompt_token_ids) != each.expected:
            raise ModelError(
                f"item {request.example.id}: vLLM makes {len(output.prompt_token_ids)} tokens of "
                f"the prompt, which are not the {len(each.expected)} that the model is trained on; "
                "use the backend transformers, or another version of vLLM"
            )
        answers.append(outcome(request, output.outputs[0], engine.ends, opened, processor))
    return answers


def show(example: Example, processor: Any, budget: ImageBudget) -> Shown:
    """An item as vLLM takes it: tokens with one placeholder for each image, and fitted images.

    vLLM resizes images to the same budget once more, which leaves a fitted one as it is.

    Raises:
        DataError: an image cannot be opened; the message names the item.
    """
    try:
        images = [open_image(ref) for ref in example.images]
        own = own_budget(example, budget)
        sizes = [image.size for image in images]
        expected = render_prompt_tokens(example, sizes, processor, budget).ids
        prompt: dict[str, Any] = {
            "prompt_token_ids": render_text(example.prompt, processor, generate=True).ids
        }
    except DataError as error:
        raise DataError(f"item {example.id}: {error}") from error
    if images:
        prompt["multi_modal_data"] = {"image": [fit(image, own) for image in images]}
    if own != budget and isinstance(own, PixelBudget):
        prompt["mm_processor_kwargs"] = _size(own)
    return Shown(prompt=prompt, expected=expected)


def sampling_options(
    request: Request, settings: DecodingConfig, ends: Sequence[int]
) -> dict[str, Any]:
    """The arguments of `vllm.SamplingParams` for one request."""
    options: dict[str, Any] = {
        "max_tokens": request.max_new_tokens or settings.max_new_tokens,
        "temperature": settings.temperature,
        "stop_token_ids": list(ends),
        # Decoded here, as the other backends' answers are.
        "detokenize": False,
    }
    if settings.temperature > 0:
        options |= {"top_p": settings.top_p, "seed": request.seed}
    return options


def outcome(
    request: Request, completion: Any, ends: Sequence[int], opened: str, processor: Any
) -> Prediction | Unanswered:
    """What vLLM's completion says.

    Args:
        request: what was asked.
        completion: of vLLM: `token_ids`, and `finish_reason`: "stop", "length", or that it failed.
        ends: the tokens that end a reply.
        opened: what the prompt has written of the reply already.
        processor: the model's processor.
    """
    tokens = list(completion.token_ids)
    if completion.finish_reason not in ("stop", "length"):
        return Unanswered(
            id=request.example.id,
            sample=request.sample,
            reason=f"vLLM gave up on it: {completion.finish_reason}",
        )
    length = next((i for i, token in enumerate(tokens) if token in ends), None)
    return Prediction(
        id=request.example.id,
        sample=request.sample,
        response=opened + processor.tokenizer.decode(tokens[:length], skip_special_tokens=True),
        num_tokens=len(tokens) if length is None else length + 1,
        truncated=length is None,
    )
