"""Token probabilities, their histogram and its chart."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmdft.config import ModelConfig, SourceConfig
from mmdft.config_loading import load_config
from mmdft.data.collate import collate_training
from mmdft.data.dataset import RenderedDataset, load_examples
from mmdft.data.vision import pixel_budget
from mmdft.diagnostics import EDGES, histogram, probability_png, token_probabilities
from mmdft.model import load_model


class Words:
    """Decodes token 3 as "<3>"."""

    def decode(self, ids: list[int]) -> str:
        return f"<{ids[0]}>"


def test_a_bin_holds_its_lower_edge_and_the_last_one_both() -> None:
    edges = torch.tensor(EDGES)
    found = histogram(torch.arange(len(EDGES)), edges, Words())
    assert found["edges"] == list(EDGES)
    assert found["counts"] == [1] * 12 + [2]
    below = torch.nextafter(edges[1:], torch.zeros(()))
    assert histogram(torch.arange(13), below, Words())["counts"] == [1] * 13


def test_counts_and_tokens_by_hand() -> None:
    p = torch.tensor([5e-5, 5e-5, 9e-5, 5e-4, 0.005, 0.05, 0.25, 0.25, 0.75, 0.95, 1.0, 1.0])
    ids = torch.tensor([7, 8, 7, 9, 9, 9, 9, 9, 9, 4, 5, 4])
    found = histogram(ids, p, Words())
    assert found["counts"] == [3, 1, 1, 1, 0, 2, 0, 0, 0, 0, 1, 0, 3]
    assert found["lowest"] == [["<7>", 2], ["<8>", 1]]
    assert found["highest"] == [["<4>", 2], ["<5>", 1]]
    assert found["mean"] == pytest.approx(4.25569 / 12, abs=1e-7)
    assert found["below_0.01"] == pytest.approx(5 / 12)
    wider = histogram(ids, p, Words(), most=1, low=0.1)
    assert wider["lowest"] == [["<9>", 3]] and wider["highest"] == [["<4>", 2]]
    assert {**wider, "lowest": 0, "highest": 0} == {**found, "lowest": 0, "highest": 0}


@pytest.fixture
def case(
    tiny_dir: Callable[[str], Path],
    processor: Callable[[str], Any],
    figures_file: Callable[..., Path],
    tmp_path: Path,
) -> tuple[Any, RenderedDataset, int]:
    """A tiny model of unlike tokens, seven drawn examples of unequal length, the padding token."""
    torch.manual_seed(0)
    folder = tiny_dir("qwen2_5_vl")
    model = load_model(ModelConfig(name=str(folder)))
    with torch.no_grad():
        # Random weights find all tokens alike; these probabilities reach from 1e-9 to 1.
        model.get_output_embeddings().weight.mul_(30)  # type: ignore[operator]
    (tmp_path / "run.yaml").write_text("model: {name: m}\n")
    config = load_config(tmp_path / "run.yaml").data
    tools = processor("qwen2_5_vl")
    budget = pixel_budget(tools, None, None)
    source = SourceConfig(path=figures_file(num=7))
    rows = load_examples([source], config, tools, budget).rows
    return model, RenderedDataset(rows, tools, budget), tools.tokenizer.pad_token_id


def test_probabilities_are_those_of_the_full_softmax(case: Any) -> None:
    model, dataset, pad_id = case
    ids, p = token_probabilities(model, dataset, pad_id, batch_size=3)
    expected_ids, expected = [], []
    for index in range(len(dataset)):
        rendered = dataset[index]
        batch = collate_training([rendered], pad_id)
        labels = batch.pop("labels")
        with torch.no_grad():
            logits = model.eval()(
                **{n: batch[n] for n in ("input_ids", "attention_mask", "mm_token_type_ids")},
                **rendered.images,
            ).logits
        rows = logits[0].double().softmax(-1)
        for t, trained in enumerate(rendered.mask):
            assert trained == (labels[0, t].item() != -100)
            if trained:
                expected_ids.append(rendered.ids[t])
                expected.append(rows[t - 1, rendered.ids[t]].item())
    assert ids.tolist() == expected_ids
    assert p.dtype == torch.float32 and p.shape == ids.shape
    wanted = torch.tensor(expected, dtype=torch.float64)
    assert wanted.min() < 1e-4 and wanted.max() > 0.5
    torch.testing.assert_close(p.double(), wanted, rtol=1e-4, atol=1e-5)


def test_the_model_and_the_random_numbers_are_left_as_they_were(case: Any) -> None:
    model, dataset, pad_id = case
    model.train()
    part = next(module for name, module in model.named_modules() if name.endswith("visual"))
    part.eval()  # as a frozen part may be
    modes = [module.training for module in model.modules()]
    assert {*modes} == {True, False}
    state = torch.get_rng_state()
    token_probabilities(model, dataset, pad_id, batch_size=4)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_images_are_prepared_a_batch_at_a_time(case: Any) -> None:
    model, dataset, pad_id = case
    seen: list[Any] = []

    class Watched:
        def __len__(self) -> int:
            return len(dataset)

        def __getitem__(self, index: int) -> Any:
            seen.append(index)
            return dataset[index]

    model.register_forward_pre_hook(lambda *_: seen.append("forward"))
    token_probabilities(model, Watched(), pad_id, batch_size=3)
    assert seen == [0, 1, 2, "forward", 3, 4, 5, "forward", 6, "forward"]


def test_the_chart_is_a_png_in_two_colours() -> None:
    p = torch.tensor([5e-5, 0.05, 0.95, 1.0])
    found = histogram(torch.arange(4), p, Words())
    both = {"before": found, "after": {**found, "counts": found["counts"][::-1]}}
    grey, blue = pixels_in_colour(probability_png(both, "Title"))
    assert grey == pytest.approx(blue, rel=0.1) and grey > 10_000
    grey, blue = pixels_in_colour(probability_png({"model": found}, "Title"))
    assert grey < 100 and blue > 10_000


def pixels_in_colour(png: bytes) -> tuple[int, int]:
    """How many pixels are of the colour of before, and how many of that of after."""
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    colours = {colour: number for number, colour in image.convert("RGB").getcolors(2**20) or []}
    return colours[(0xB4, 0xB4, 0xB4)], colours[(0x00, 0x72, 0xB2)]
