"""What an objective does to the probabilities of the training tokens (the paper's figure 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdft.data.collate import collate_training
from mmdft.head import forward_answers
from mmdft.objectives import Tokens
from mmdft.records import Rendered

EDGES = (0.0, 1e-4, 1e-3, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@torch.no_grad()
def token_probabilities(
    model: nn.Module, examples: Sequence[Rendered], pad_id: int, batch_size: int = 16
) -> tuple[Tensor, Tensor]:
    """Probability that the model gives each answer token of the examples.

    Returns:
        Token ids (tokens,) int64 and their probabilities (tokens,) fp32, on the CPU.
    """
    seen: list[Tensor] = []

    def record(tokens: Tokens) -> Tensor:
        seen.append(tokens.logp)
        return torch.ones_like(tokens.logp)

    device = next(model.parameters()).device
    ids: list[Tensor] = []
    model.eval()
    for start in range(0, len(examples), batch_size):
        batch = collate_training(examples[start : start + batch_size], pad_id)
        labels = batch["labels"][:, 1:]
        ids.append(labels[labels >= 0])
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        forward_answers(model, model.get_output_embeddings(), inputs, record, chunk_mb=64)  # type: ignore[operator]
    return torch.cat(ids), torch.cat(seen).exp().cpu()


def histogram(
    ids: Tensor, probabilities: Tensor, tokenizer: Any, most: int = 8
) -> dict[str, list[Any]]:
    """Counts over `EDGES`, and the most frequent tokens at either end (p < 0.1 and p >= 0.9).

    A bin holds its lower edge, the last one both.
    """
    inner = torch.tensor(EDGES[1:-1])
    bins = torch.bucketize(probabilities, inner, right=True)
    return {
        "edges": list(EDGES),
        "counts": torch.bincount(bins, minlength=len(EDGES) - 1).tolist(),
        "lowest": _most_frequent(ids[probabilities < 0.1], tokenizer, most),
        "highest": _most_frequent(ids[probabilities >= 0.9], tokenizer, most),
    }


def _most_frequent(ids: Tensor, tokenizer: Any, most: int) -> list[list[Any]]:
    counts = Counter(ids.tolist()).most_common(most)
    return [[tokenizer.decode([token]), count] for token, count in counts]
