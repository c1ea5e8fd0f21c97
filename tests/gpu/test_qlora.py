"""QLoRA on a GPU, with bitsandbytes: `pytest -m gpu tests/gpu`."""

import pytest
import torch

from mmdft import load_config, train
from mmdft.data.figures import write_figures
from mmdft.files import read_jsonl
from mmdft.model import load_model

pytest.importorskip("bitsandbytes")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def test_four_bit_weights_train_an_adapter(tiny_dir, tmp_path):
    write_figures(tmp_path / "figures", num=16, split="train", size=56)
    path = tmp_path / "run.yaml"
    path.write_text(
        f"""
model: {{name: {tiny_dir("qwen2_5_vl")}, quantization: nf4, dtype: bfloat16, lora: {{r: 8}}}}
data: {{train: [{tmp_path / "figures/train.jsonl"}], probe_examples: 0}}
objective: {{name: asft}}
training:
  output_dir: {tmp_path / "run"}
  max_steps: 20
  per_device_train_batch_size: 8
  gradient_accumulation_steps: 2
  learning_rate: 1.0e-2
  logging_steps: 1
  bf16: true
"""
    )
    config = load_config(path)
    kinds = {type(module).__name__ for module in load_model(config.model).modules()}
    assert "Linear4bit" in kinds
    result = train(config)
    steps = [row for _, row in read_jsonl(result.run_dir / "metrics.jsonl") if "loss" in row]
    assert steps[-1]["nll"] < 0.8 * steps[0]["nll"]
    assert abs(steps[0]["divergence"]) < 1e-3 < steps[-1]["divergence"]
