"""Promise: what is asked in evaluation is, token for token, the prefix that was trained on."""

import json

import pytest
import torch

from mmdft.config import SourceConfig
from mmdft.data.figures import write_figures
from mmdft.data.render import render, render_prompt
from mmdft.data.sources import read_rows, to_example
from mmdft.data.vision import pixel_budget
from mmdft.evals.benchmarks import benchmark_named
from mmdft.tiny import FAMILY_BUILDERS


@pytest.mark.parametrize("family", [name for name in FAMILY_BUILDERS if "thinking" not in name])
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


@pytest.mark.parametrize("mapped", [False, True])
def test_options_are_trained_on_as_they_are_asked(processor, tmp_path, mapped):
    row = {"id": "a", "question": "Which?", "answer": "B", "choices": ["1", "2 cm", "x^2"]}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    [question] = benchmark_named("figures").load(path)
    names = None
    if mapped:
        path.write_text(json.dumps({f"my_{name}": value for name, value in row.items()}) + "\n")
        names = {name: f"my_{name}" for name in row}
    [(origin, content)] = read_rows(SourceConfig(path=path, map=names))
    example = to_example(content, origin, None)
    assert example.choices == question.choices == ("1", "2 cm", "x^2")
    model = processor("qwen2_5_vl")
    budget = pixel_budget(model, None, None)
    whole, prompt = render(example, model, budget), render_prompt(question, model, budget)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    assert whole.mask.index(True) == len(prompt.ids)
    assert "Which?\n(A) 1\n(B) 2 cm\n(C) x^2" in model.tokenizer.decode(prompt.ids)
