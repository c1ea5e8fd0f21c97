"""Tokenizers of the families' own kinds, with small vocabularies learnt from texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import GemmaTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

VOCABULARY = 640

# Numbers by three digits at most, words with the space before them.
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def qwen2_tokenizer(
    texts: Sequence[str],
    special: Sequence[str],
    named: Mapping[str, str] | None = None,
) -> Any:
    """A Qwen2 tokenizer: byte-level BPE behind NFC; `named` special tokens become attributes."""
    family = Qwen2Tokenizer().backend_tokenizer
    vocab, merges = _learn_bytes(texts, family, VOCABULARY - len(special) - len(named or {}))
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
        merges=merges,
        eos_token="<|im_end|>",
        extra_special_tokens=dict(named) if named else list(special),
    )
    if named:
        tokenizer.add_tokens([AddedToken(token, special=True) for token in special], True)
    return tokenizer


def gpt2_tokenizer(texts: Sequence[str], special: Sequence[str], **roles: str) -> Any:
    """A GPT-2 tokenizer: byte-level BPE; `roles` are tokens such as `eos_token`."""
    family = GPT2Tokenizer().backend_tokenizer
    vocab, merges = _learn_bytes(texts, family, VOCABULARY - len(special))
    return GPT2Tokenizer(vocab=vocab, merges=merges, extra_special_tokens=list(special), **roles)


def llama3_tokenizer(texts: Sequence[str], special: Sequence[str], **roles: str) -> Any:
    """Llama 3's: byte-level BPE that puts its `bos_token` in front unless told not to."""
    family = Tokenizer(BPE())
    family.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LLAMA3_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    vocab, merges = _learn_bytes(texts, family, VOCABULARY - len(special))
    learnt = Tokenizer(BPE(vocab=vocab, merges=merges))
    learnt.pre_tokenizer, learnt.decoder = family.pre_tokenizer, decoders.ByteLevel()
    learnt.add_special_tokens(list(special))
    bos = roles["bos_token"]
    learnt.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, learnt.token_to_id(bos))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learnt, extra_special_tokens=list(special), **roles
    )


def gemma_tokenizer(texts: Sequence[str], special: Sequence[str], named: Mapping[str, str]) -> Any:
    """Gemma's: BPE over characters with spaces as U+2581, bytes for what it does not know."""
    first = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{n:02X}>" for n in range(256))]
    lines = ["\n" * length for length in range(1, 8)]
    learner = Tokenizer(BPE(unk_token="<unk>", byte_fallback=True))
    learner.normalizer = GemmaTokenizer().backend_tokenizer.normalizer
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "removed"),
            pre_tokenizers.Split("\u2581", "merged_with_next"),
        ]
    )
    num_more = len(lines) + len(special) + len(named)
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - num_more, special_tokens=first, show_progress=False
        ),
    )
    vocab, merges = _model(learner)
    tokenizer = GemmaTokenizer(vocab=vocab, merges=merges, extra_special_tokens=dict(named))
    # Line breaks are tokens by themselves, however many.
    tokenizer.add_tokens([AddedToken(line, normalized=False, special=False) for line in lines])
    tokenizer.add_tokens([AddedToken(token, special=True) for token in special], True)
    return tokenizer


def _learn_bytes(
    texts: Sequence[str], family: Tokenizer, size: int
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE, with the family's words."""
    learner = Tokenizer(BPE())
    if family.normalizer is not None:
        learner.normalizer = family.normalizer
    learner.pre_tokenizer = family.pre_tokenizer
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return _model(learner)


def _model(learner: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(learner.to_str())["model"]
    return model["vocab"], [(first, second) for first, second in model["merges"]]
