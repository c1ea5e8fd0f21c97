"""What an objective does to the probabilities of the training tokens (the paper's figure 2)."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmdft.data.collate import IGNORE, collate_training
from mmdft.data.dataset import RenderedRows
from mmdft.data.quarantine import usable
from mmdft.head import forward_answers
from mmdft.objectives import Tokens

EDGES = (0.0, 1e-4, 1e-3, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

# Told apart with every common colour blindness, and in grey.
_COLOURS = ("#b4b4b4", "#0072B2")


@torch.no_grad()
def token_probabilities(
    model: nn.Module,
    examples: RenderedRows,
    pad_id: int,
    batch_size: int = 16,
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Probability that the model gives each answer token of the examples.

    The model is left as it was: its modules keep their modes, and no random number is drawn.

    Args:
        model: as loaded, or as a Trainer has prepared it; then all ranks must come here together.
        examples: rendered a batch at a time.
        pad_id: the tokenizer's padding token.
        batch_size: examples in one forward pass.
        device: where the inputs go; None is where the model's weights are.

    Returns:
        Token ids (tokens,) int64 and their probabilities (tokens,) fp32, on the CPU.

    Raises:
        DataError: an example cannot be used.
    """
    seen: list[Tensor] = []

    def record(tokens: Tokens) -> Tensor:
        seen.append(tokens.logp)
        return torch.ones_like(tokens.logp)

    device = next(model.parameters()).device if device is None else device
    ids: list[Tensor] = []
    with evaluating(model):
        for start in range(0, len(examples), batch_size):
            numbers = range(start, min(start + batch_size, len(examples)))
            batch = collate_training([usable(examples[number]) for number in numbers], pad_id)
            # The first token of a row is never predicted.
            labels = batch["labels"][:, 1:]
            ids.append(labels[labels != IGNORE])
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            forward_answers(model, model.get_output_embeddings(), inputs, record, chunk_mb=64)  # type: ignore[operator]
    return torch.cat(ids), torch.cat(seen).exp().cpu()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; each of its modules then goes back to the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def histogram(
    ids: Tensor, probabilities: Tensor, tokenizer: Any, most: int = 8, low: float = EDGES[1]
) -> dict[str, Any]:
    """The answer tokens' probabilities over `EDGES`; a bin holds its lower edge, the last one both.

    Args:
        ids: the tokens, (tokens,) int64.
        probabilities: theirs, (tokens,) fp32.
        tokenizer: decodes them.
        most: how many of the most frequent tokens are told.
        low: up to which p the lowest tokens are counted; by default those of the lowest bin.

    Returns:
        `edges` and `counts`; `lowest` and `highest`, the most frequent tokens with p < `low` and
        with p >= 0.9, each as [text, count]; `mean`, the mean p; `below_0.01`, the share of tokens
        with p < 0.01.
    """
    inner = torch.tensor(EDGES[1:-1])
    bins = torch.bucketize(probabilities, inner, right=True)
    return {
        "edges": list(EDGES),
        "counts": torch.bincount(bins, minlength=len(EDGES) - 1).tolist(),
        "lowest": _most_frequent(ids[probabilities < low], tokenizer, most),
        "highest": _most_frequent(ids[probabilities >= EDGES[-2]], tokenizer, most),
        "mean": probabilities.mean().item(),
        "below_0.01": (probabilities < 0.01).float().mean().item(),
    }


def _most_frequent(ids: Tensor, tokenizer: Any, most: int) -> list[list[Any]]:
    counts = Counter(ids.tolist()).most_common(most)
    return [[tokenizer.decode([token]), count] for token, count in counts]


def probability_png(histograms: Mapping[str, Mapping[str, Any]], title: str) -> bytes:
    """Up to two histograms by name, such as before and after, side by side as a PNG."""
    # Imported here: it takes half a second, and only the rank that draws needs it.
    import matplotlib.style
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(8.4, 4.2), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        width = 0.84 / len(histograms)
        for number, (name, found) in enumerate(histograms.items()):
            offset = (number - (len(histograms) - 1) / 2) * width
            axes.bar(
                [place + offset for place in range(len(EDGES) - 1)],
                found["counts"],
                width=0.94 * width,
                color=_COLOURS[number + 2 - len(histograms)],
                label=f"{name}: mean p {found['mean']:.3f}, below 0.01 {found['below_0.01']:.1%}",
            )
        axes.set_yscale("log")
        most = max(max(found["counts"]) for found in histograms.values())
        # From below 1, so that a bin with one token still shows a bar.
        axes.set_ylim(0.7, max(10.0, 2.0 * most))
        axes.set_xlim(-0.5, len(EDGES) - 1.5)
        axes.set_xticks([place - 0.5 for place in range(len(EDGES))], [f"{e:g}" for e in EDGES])
        axes.set_xlabel("probability of the token (bins of unequal width)")
        axes.set_ylabel("answer tokens (log scale)")
        axes.grid(axis="y", color="#e4e7ea")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        # Outside the axes, because any bar may be high.
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
        axes.set_title(title, pad=26, parse_math=False)
        figure.savefig(stream, format="png")
    return stream.getvalue()
