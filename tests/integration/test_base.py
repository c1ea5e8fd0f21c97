"""The shipped base, `mmdft/tiny`: it reads figures that it never saw, and by looking at them."""

import json
import math
import os
import subprocess
import sys
from collections import Counter

import pytest
from safetensors import safe_open

from mmdft import evaluate, load_config
from mmdft.data.figures import write_figures
from mmdft.files import read_jsonl
from mmdft.shipped import model_source
from mmdft.tiny.base import FAMILIES

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
# No training set of the recipe has this seed, and test content is in none.
SEED = 86028


def write_config(folder, data, **evaluation):
    path = folder / "eval.yaml"
    settings = {
        "output_dir": str(folder / "eval"),
        "max_new_tokens": 96,
        "benchmarks": [{"name": "figures", "path": str(data)}],
        **evaluation,
    }
    model = {"name": "mmdft/tiny", "dtype": "float32"}
    path.write_text(json.dumps({"model": model, "evaluation": settings}))
    return path


@pytest.fixture(
    scope="module",
    params=[pytest.param(20, id="20"), pytest.param(200, id="200", marks=pytest.mark.slow)],
)
def figures(request, tmp_path_factory):
    """So many test figures of each family that the base is trained on."""
    return write_figures(
        tmp_path_factory.mktemp("figures"),
        num=request.param * len(FAMILIES),
        split="test",
        seed=SEED,
        families=FAMILIES,
    )


@pytest.fixture
def scored(figures, tmp_path):
    """`scored(images)`: what the base scores on them when it is shown these."""

    def score(images):
        done = evaluate(load_config(write_config(tmp_path, figures, images=images)))
        return next(iter(done.benchmarks["figures"]["rules"].values()))

    return score


def test_it_answers_figures_of_every_kind_that_it_is_trained_on(scored):
    found = scored("kept")
    families = {name: each["accuracy"] for name, each in found["breakdowns"]["category"].items()}
    assert set(families) == set(FAMILIES)
    assert found["accuracy"] >= 0.85, families
    assert min(families.values()) >= 0.60, families


@pytest.mark.parametrize("images", ["blank", "swapped"])
def test_without_the_right_picture_it_falls_to_chance(scored, figures, images):
    """Chance is what the most frequent answer of each family would score on these figures."""
    golds = {family: Counter() for family in FAMILIES}
    for _, row in read_jsonl(figures):
        golds[row["category"]][row["answer"]] += 1
    chance = sum(max(each.values()) for each in golds.values())
    chance /= sum(each.total() for each in golds.values())
    found = scored(images)
    # So far up luck would take it once in a thousand times.
    margin = 3.09 * math.sqrt(chance * (1 - chance) / found["n"])
    assert found["accuracy"] <= chance + margin
    assert found["n"] == sum(each.total() for each in golds.values())


@pytest.mark.slow
def test_two_processes_answer_the_same_with_the_weights_that_are_shipped(figures_file, tmp_path):
    with safe_open(f"{model_source('mmdft/tiny')}/model.safetensors", framework="pt") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert kinds == {"BF16"}
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        path = write_config(folder, figures_file(num=8))
        command = [sys.executable, "-m", "mmdft", "eval", str(path), "model.dtype=bfloat16"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, env=ENVIRONMENT)
        found.append((folder / "eval/figures/predictions.jsonl").read_bytes())
    assert found[0] == found[1]
    assert found[0].count(b"\n") == 8
