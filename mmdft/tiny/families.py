"""The families' configurations and processors, in small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokenizers import AddedToken
from transformers import (
    Gemma3Config,
    Gemma3ImageProcessor,
    Gemma3Processor,
    GotOcr2ImageProcessor,
    Idefics3Config,
    Idefics3ImageProcessor,
    Idefics3Processor,
    InternVLConfig,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

from mmdft.tiny import templates
from mmdft.tiny.tokenizers import (
    gemma_tokenizer,
    gpt2_tokenizer,
    llama3_tokenizer,
    qwen2_tokenizer,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TinySize:
    """Sizes of a tiny model; the defaults give about 1.3 M parameters."""

    layers: int = 3
    width: int = 128
    heads: int = 4
    vision_layers: int = 3
    vision_width: int = 96
    vision_heads: int = 3
    init: float = 0.08


class TinyParts(NamedTuple):
    """What a tiny model is made from; `ends` are the tokens that end a generation."""

    config: PreTrainedConfig
    processor: Any
    ends: tuple[str, ...]


QWEN_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# Sides of an image's tile and of a patch, in pixels: 4 x 4 patches.
_TILE, _PATCH = 56, 14

_CHATML_ENDS = ("<|im_end|>", "<|endoftext|>")


def _sizes(size: TinySize, tokenizer: Any) -> dict[str, Any]:
    """What all language models share."""
    return {
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "hidden_size": size.width,
        "intermediate_size": size.width * 3,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads // 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "initializer_range": size.init,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


# --- Qwen ---


def _qwen_text(size: TinySize, tokenizer: Any) -> dict[str, Any]:
    head = size.width // size.heads
    return {
        **_sizes(size, tokenizer),
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        # Half of a head's dimensions rotate; they are shared out over time, height and width.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [head // 2 - 2 * (head // 6), head // 6, head // 6],
        },
    }


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    return {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"),
            ("video", "video_pad"),
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
        )
    }


def _qwen2_vl(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = qwen2_tokenizer(texts, QWEN_TOKENS)
    config = Qwen2VLConfig(
        text_config=_qwen_text(size, tokenizer),
        vision_config={
            "depth": size.vision_layers,
            "embed_dim": size.vision_width,
            "hidden_size": size.width,
            "num_heads": size.vision_heads,
            "initializer_range": size.init,
            "mlp_ratio": 3,
        },
        tie_word_embeddings=True,
        **_qwen_ids(tokenizer),
    )
    processor = Qwen2VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor())
    template = templates.qwen(templates.DEFAULT_SYSTEM)
    return TinyParts(config, _with_template(processor, template), _CHATML_ENDS)


def _qwen2_5_vl(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = qwen2_tokenizer(texts, QWEN_TOKENS)
    config = Qwen2_5_VLConfig(
        text_config=_qwen_text(size, tokenizer),
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "out_hidden_size": size.width,
            "intermediate_size": size.vision_width * 3,
            "num_heads": size.vision_heads,
            "initializer_range": size.init,
            # As in the real model: windows of 112 pixels, with full attention in some layers.
            "fullatt_block_indexes": [size.vision_layers - 1],
        },
        tie_word_embeddings=True,
        **_qwen_ids(tokenizer),
    )
    processor = Qwen2_5_VLProcessor(Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor())
    template = templates.qwen(templates.DEFAULT_SYSTEM)
    return TinyParts(config, _with_template(processor, template), _CHATML_ENDS)


def _qwen3_vl(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = qwen2_tokenizer(texts, QWEN_TOKENS)
    return _qwen3(size, tokenizer, templates.qwen(None))


def _qwen3_vl_thinking(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = qwen2_tokenizer(texts, QWEN_TOKENS)
    # Tokens by themselves, but not special.
    tokenizer.add_tokens([AddedToken(tag, special=False) for tag in ("<think>", "</think>")])
    return _qwen3(size, tokenizer, templates.QWEN_THINKING)


def _qwen3(size: TinySize, tokenizer: Any, template: str) -> TinyParts:
    text = _qwen_text(size, tokenizer)
    text["head_dim"] = size.width // size.heads
    text["rope_parameters"]["mrope_interleaved"] = True
    config = Qwen3VLConfig(
        text_config=text,
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "out_hidden_size": size.width,
            "intermediate_size": size.vision_width * 3,
            "num_heads": size.vision_heads,
            "initializer_range": size.init,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0, 1],
        },
        tie_word_embeddings=True,
        **_qwen_ids(tokenizer),
    )
    images = Qwen2VLImageProcessor(
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 65_536, "longest_edge": 16_777_216},
    )
    processor = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor())
    return TinyParts(config, _with_template(processor, template), _CHATML_ENDS)


# --- Idefics3 and SmolVLM ---

_IDEFICS_IMAGES = {
    "size": {"longest_edge": 2 * _TILE},
    "max_image_size": {"longest_edge": _TILE},
}
_IDEFICS_TOKENS = (
    "<fake_token_around_image>",
    "<image>",
    "<end_of_utterance>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
_IDEFICS_WORDS = ("User: ", "Assistant: ", "System: ") * 120


def _idefics_config(kind: Any, size: TinySize, tokenizer: Any) -> PreTrainedConfig:
    text = _sizes(size, tokenizer)
    config: PreTrainedConfig = kind(
        text_config={
            "model_type": "llama",
            "bos_token_id": tokenizer.bos_token_id,
            **text,
        },
        vision_config=_siglip(size, num_hidden_layers=size.vision_layers),
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    return config


def _siglip(size: TinySize, **more: Any) -> dict[str, Any]:
    return {
        "image_size": _TILE,
        "patch_size": _PATCH,
        "hidden_size": size.vision_width,
        "intermediate_size": size.vision_width * 3,
        "num_attention_heads": size.vision_heads,
        "initializer_range": size.init,
        **more,
    }


def _idefics3(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = llama3_tokenizer(
        [*_IDEFICS_WORDS, *texts],
        ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", *_IDEFICS_TOKENS),
        bos_token="<|begin_of_text|>",
        eos_token="<end_of_utterance>",
        pad_token="<|end_of_text|>",
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessor(**_IDEFICS_IMAGES), tokenizer, image_seq_len=4
    )
    config = _idefics_config(Idefics3Config, size, tokenizer)
    template = templates.idefics("<|begin_of_text|>")
    return TinyParts(config, _with_template(processor, template), ("<end_of_utterance>",))


def _smolvlm(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = gpt2_tokenizer(
        [*_IDEFICS_WORDS, *texts],
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_IDEFICS_TOKENS),
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(**_IDEFICS_IMAGES),
        tokenizer,
        SmolVLMVideoProcessor(),
        image_seq_len=4,
    )
    config = _idefics_config(SmolVLMConfig, size, tokenizer)
    template = templates.idefics("<|im_start|>")
    return TinyParts(config, _with_template(processor, template), ("<end_of_utterance>",))


# --- LLaVA-OneVision, InternVL, Gemma 3 ---


def _llava_onevision(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = qwen2_tokenizer(
        texts, ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
    )
    grid = [[rows * _TILE, columns * _TILE] for rows in (1, 2) for columns in (1, 2)]
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_sizes(size, tokenizer)},
        vision_config={
            "model_type": "siglip_vision_model",
            "vision_use_head": False,
            **_siglip(size, num_hidden_layers=size.vision_layers),
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
        tie_word_embeddings=True,
    )
    images = LlavaOnevisionImageProcessor(
        size={"height": _TILE, "width": _TILE}, image_grid_pinpoints=grid
    )
    processor = LlavaOnevisionProcessor(
        images,
        tokenizer,
        LlavaOnevisionVideoProcessor(size={"height": _TILE, "width": _TILE}),
        num_image_tokens=(_TILE // _PATCH) ** 2,
        vision_feature_select_strategy="full",
    )
    processor = _with_template(processor, templates.LLAVA_ONEVISION)
    return TinyParts(config, processor, _CHATML_ENDS)


def _internvl(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = qwen2_tokenizer(
        texts,
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    )
    config = InternVLConfig(
        text_config={"model_type": "qwen2", **_sizes(size, tokenizer)},
        vision_config=_siglip(
            size,
            num_hidden_layers=size.vision_layers,
            image_size=(_TILE, _TILE),
            patch_size=(_PATCH, _PATCH),
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=True,
    )
    images = GotOcr2ImageProcessor(size={"height": _TILE, "width": _TILE}, max_patches=4)
    videos = InternVLVideoProcessor(size={"height": _TILE, "width": _TILE})
    processor = InternVLProcessor(images, tokenizer, videos, image_seq_length=4)
    return TinyParts(config, _with_template(processor, templates.INTERNVL), _CHATML_ENDS)


def _gemma3(size: TinySize, texts: Sequence[str]) -> TinyParts:
    tokenizer = gemma_tokenizer(
        ["model", "user"] * 120 + list(texts),
        ("<start_of_turn>", "<end_of_turn>"),
        {
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
    )
    config = Gemma3Config(
        text_config={
            **_sizes(size, tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "head_dim": size.width // size.heads,
            "query_pre_attn_scalar": size.width // size.heads,
            "sliding_window": 128,
            # As in the real model: mostly a window, with full attention in some layers.
            "layer_types": ["sliding_attention"] * (size.layers - 1) + ["full_attention"],
        },
        vision_config={
            "vision_use_head": False,
            **_siglip(size, num_hidden_layers=size.vision_layers),
        },
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
        initializer_range=size.init,
        tie_word_embeddings=True,
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessor(
            size={"height": _TILE, "width": _TILE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
        ),
        tokenizer,
        image_seq_length=4,
    )
    processor = _with_template(processor, templates.GEMMA3)
    return TinyParts(config, processor, ("<end_of_turn>", "<eos>"))


def _with_template(processor: Any, template: str) -> Any:
    processor.chat_template = template
    processor.tokenizer.chat_template = template
    return processor


FAMILY_BUILDERS: dict[str, Callable[[TinySize, Sequence[str]], TinyParts]] = {
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_thinking": _qwen3_vl_thinking,
    "smolvlm": _smolvlm,
    "idefics3": _idefics3,
    "llava_onevision": _llava_onevision,
    "internvl": _internvl,
    "gemma3": _gemma3,
}
