"""Promise: what is asked in evaluation is, token for token, the prefix that was trained on."""

import pytest
import torch

from mmdft.config import SourceConfig
from mmdft.data.figures import write_figures
from mmdft.data.render import render, render_prompt
from mmdft.data.sources import read_rows, to_example
from mmdft.data.vision import pixel_budget
from mmdft.evals.benchmarks import benchmark_named


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_the_same_file_trained_on_and_asked(family, processor, tmp_path):
    path = write_figures(
        tmp_path, num=6, split="train", families=["bar_max", "grid_area", "triangle_angle"]
    )
    trained = [to_example(row, origin, None) for origin, row in read_rows(SourceConfig(path=path))]
    asked = benchmark_named("figures").load(path)
    budget = pixel_budget(processor(family), None, None)
    for example, question in zip(trained, asked, strict=True):
        assert (example.id, example.answer) == (question.id, question.answer)
        whole = render(example, processor(family), budget)
        prompt = render_prompt(question, processor(family), budget)
        assert whole.ids[: len(prompt.ids)] == prompt.ids
        assert whole.mask.index(True) == len(prompt.ids)
        for name, tensor in whole.images.items():
            assert torch.equal(tensor, prompt.images[name])
