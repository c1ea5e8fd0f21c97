"""Samples: of the right distribution, and each row's from its own seed."""

import numpy as np
import pytest
import torch

from mmdft.evals.drawing import sampling

CPU = torch.device("cpu")


def draw(logits, seeds, temperature=1.0, top_p=1.0, steps=1):
    """Tokens of shape (rows, steps) for the same logits at each step."""
    chain = sampling(temperature, top_p, seeds, CPU)
    scores = logits.expand(len(seeds), -1)
    ids = torch.zeros((len(seeds), 1), dtype=torch.long)
    return torch.stack([chain(ids, scores.clone()).argmax(-1) for _ in range(steps)], dim=1)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 0.8)])
def test_samples_have_the_softmax_of_the_scores(temperature, top_p):
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
    tokens = draw(logits, range(50), temperature, top_p, steps=400).flatten().numpy()
    p = torch.softmax(logits / temperature, -1).numpy().astype(float)
    # Those that are left: the likeliest that together reach top_p.
    order = np.argsort(-p)
    kept = order[: int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1] if top_p < 1 else order
    counts = np.bincount(tokens, minlength=6)
    assert counts[np.setdiff1d(order, kept)].sum() == 0
    share = p[kept] / p[kept].sum()
    deviations = np.sqrt(len(tokens) * share * (1 - share))
    assert np.all(np.abs(counts[kept] - len(tokens) * share) < 4 * deviations)


def test_a_row_depends_on_its_seed_alone():
    logits = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    all_rows = draw(logits, [3, 1, 2], steps=20)
    assert torch.equal(draw(logits, [2], steps=20)[0], all_rows[2])
    assert torch.equal(draw(logits, [1, 3], steps=20), all_rows[[1, 0]])
    assert len({tuple(row.tolist()) for row in all_rows}) == 3
    # Not the same noise at each step.
    assert len(set(all_rows[0].tolist())) > 10


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draw(torch.randn(1, generator=torch.Generator()).expand(9), [1, 2], steps=5)
    assert torch.equal(torch.rand(3), expected)


def test_temperature_0_draws_nothing():
    assert len(sampling(0.0, 1.0, [1], CPU)) == 0
