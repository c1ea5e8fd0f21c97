"""Objectives that need more than the tokens at hand, as a user runs them: by a configuration."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from mmdft import load_config, train
from mmdft.data.figures import write_figures
from mmdft.errors import ConfigError
from mmdft.files import read_jsonl
from mmdft.provenance import claim_run_folder


@pytest.fixture
def run(tiny_dir, tmp_path):
    """`run("out", *overrides)`: the configuration of four steps over twelve figures."""
    write_figures(tmp_path / "figures", num=12, split="train", size=56)

    def configure(out, *overrides):
        rows = tmp_path / "figures/train.jsonl"
        path = tmp_path / f"{out}.yaml"
        path.write_text(
            f"""
model: {{name: {tiny_dir("qwen2_5_vl")}}}
data: {{train: [{rows}], validation: [{rows}], probe_examples: 0}}
training:
  output_dir: {tmp_path / out}
  max_steps: 4
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 3
  learning_rate: 1.0e-3
  logging_steps: 1
  save_steps: 2
  eval_strategy: steps
  eval_steps: 4
  use_cpu: true
"""
        )
        return load_config(path, overrides)

    return configure


def logged(result):
    rows = [row for _, row in read_jsonl(result.run_dir / "metrics.jsonl")]
    return [row for row in rows if "loss" in row], [row for row in rows if "eval_loss" in row]


@pytest.mark.parametrize("packing", ["false", "true"])
def test_iw_sft_starts_as_sft_and_goes_on_with_the_reference_it_began_with(run, packing, tmp_path):
    settings = ["objective.name=iw_sft", f"data.packing={packing}", "data.max_length=700"]
    whole = train(run("whole", *settings))
    steps, [evaluated] = logged(whole)
    # The model is still the reference in the first step, and likelier than it afterwards.
    assert steps[0]["loss"] == pytest.approx(steps[0]["nll"], rel=1e-5)
    assert steps[-1]["loss"] > 1.05 * steps[-1]["nll"]
    assert evaluated["eval_loss"] > 1.05 * evaluated["eval_nll"]

    halves = run("halves", *settings)
    folder = tmp_path / "halves"
    claim_run_folder(folder, halves)
    for name in ("checkpoint-2", "reference.safetensors", "reference_validation.safetensors"):
        source = tmp_path / "whole" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    again = train(halves)
    one, other = (load_file(r.model_dir / "model.safetensors") for r in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [row["loss"] for row in logged(again)[0]] == [row["loss"] for row in steps]


@pytest.mark.parametrize("lora", ["null", "{r: 4}"])
@pytest.mark.parametrize("name", ["asft", "sft_kl"])
def test_the_anchor_holds_the_model_near_its_start(run, name, lora):
    """A frozen copy, or the base under an adapter: a strong pull keeps the divergence lower."""
    ends = {}
    for kl in (0.01, 10.0):
        settings = [f"objective.name={name}", f"objective.parameters.kl={kl}", f"model.lora={lora}"]
        steps, [evaluated] = logged(train(run(f"kl-{kl}", *settings)))
        assert abs(steps[0]["divergence"]) < 1e-5
        ends[kl] = evaluated["eval_divergence"]
    assert 0 < ends[10.0] < 0.75 * ends[0.01]


def parts(**weights):
    """`objective.segments` with a fixed weight for each part that drawn figures have."""
    return "{" + ", ".join(f"{name}: {{weight: {w}}}" for name, w in weights.items()) + "}"


def test_segments_and_normalisation_by_configuration(run):
    """All parts at weight 1 are SFT; with only the end of turn at 1, that alone is trained."""
    ones = parts(reasoning=1, answer=1, end_of_turn=1)
    like_sft, _ = logged(train(run("ones", f"objective.segments={ones}")))
    sft, _ = logged(train(run("sft", "objective.name=sft")))
    for row, other in zip(like_sft, sft, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-6)
    ends = parts(reasoning=0, answer=0, end_of_turn=1)
    only_end, _ = logged(
        train(run("end", f"objective.segments={ends}", "objective.normalize=weights"))
    )
    # Six of the tokens count in each step, one for each example.
    assert only_end[0]["effective_tokens"] * only_end[0]["answer_tokens"] == pytest.approx(6)


def test_a_part_that_no_example_has_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"objective\.segments\.other: no token of the training"):
        train(run("other", "objective.segments.other.weight=1"))
    assert not (tmp_path / "other").exists()
