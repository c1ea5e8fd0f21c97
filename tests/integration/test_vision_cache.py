"""data.cache_vision: a frozen tower's features kept in files, with the same training to the bit."""

import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, TrainerCallback

from mmdft.checking.memory import Batch, estimate
from mmdft.config import ModelConfig, RunConfig
from mmdft.data.features import room_in
from mmdft.data.figures import draw
from mmdft.errors import ModelError
from mmdft.files import write_jsonl
from mmdft.model import load_model
from mmdft.training import train
from mmdft.vision_features import check_frozen, tower_hash

FROZEN = {"freeze": ["vision", "projector"]}
LORA = {**FROZEN, "lora": {"target_modules": r".*language_model.*\.(q_proj|v_proj)"}}
NUM = 5


class TowerCalls(TrainerCallback):
    """The epoch in which each call of the vision tower came."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.epochs = []
        [tower] = [m for name, m in model.named_modules() if name.endswith("visual")]
        tower.register_forward_hook(lambda *_: self.epochs.append(int(state.epoch)))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Figures of several sizes: one row with two, one with none, five in all."""
    folder = tmp_path_factory.mktemp("rows")
    sides = [(112, 112), (180, 60), (60, 150), (56, 56), (120, 90)]
    for index, size in enumerate(sides):
        image = draw("bar_sum", seed=1, index=index, size=112).image.resize(size)
        image.save(folder / f"{index}.png")
    shown = [[0], [1, 2], [], [3], [4]]
    write_jsonl(
        folder / "rows.jsonl",
        (
            {"images": [f"{i}.png" for i in images], "question": "How many?", "answer": f"{n} 9"}
            for n, images in enumerate(shown)
        ),
    )
    return folder / "rows.jsonl"


@pytest.fixture(scope="module")
def configured(tiny_dir, rows):
    """A configuration of two epochs of three steps."""

    def make(folder, family, cache=None, model=FROZEN, data=None, objective="dft", **training):
        return RunConfig.model_validate(
            {
                "model": {"name": str(tiny_dir(family)), **model},
                "data": {
                    "train": [{"path": str(rows)}],
                    "validation": [{"path": str(rows)}],
                    "probe_examples": 0,
                    "cache_vision": None if cache is None else str(cache),
                    **(data or {}),
                },
                "objective": {"name": objective},
                "training": {
                    "output_dir": str(folder),
                    "num_train_epochs": 2,
                    "per_device_train_batch_size": 2,
                    "learning_rate": 1e-3,
                    "logging_steps": 1,
                    "save_strategy": "no",
                    "report_to": "none",
                    **training,
                },
            }
        )

    return make


@pytest.fixture(scope="module")
def trained(configured):
    """`trained(folder, family, ...)`: the weights, the losses, the epochs of the tower's calls."""

    def run(*given, **settings):
        calls = TowerCalls()
        result = train(configured(*given, **settings), [calls])
        [weights] = [path.read_bytes() for path in result.model_dir.glob("*model.safetensors")]
        losses = [
            row[name] for row in result.history for name in ("loss", "eval_loss") if name in row
        ]
        return weights, losses, calls.epochs

    return run


def entries(cache, kind="features"):
    return {path.name: path for path in Path(cache).glob(f"*/{kind}/*/*")}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        # The reference is shown the same features; held-out images are looked for too.
        ("qwen2_vl", {"objective": "asft", "eval_strategy": "epoch"}),
        # Each step's batches are looked at twice.
        ("qwen2_5_vl", {"objective": "cadft", "model": LORA, "gradient_checkpointing": True}),
        ("qwen3_vl", {"data": {"packing": True, "max_length": 400}}),
        ("qwen3_vl", {"data": {"streaming": True}}),
    ],
)
def test_the_training_is_the_same_and_the_tower_runs_once_for_each_image(
    trained, tmp_path, monkeypatch, family, settings
):
    weights, losses, calls = trained(tmp_path / "plain", family, **settings)
    assert 0 in calls and 1 in calls
    decoded = []
    monkeypatch.setattr("mmdft.data.features.open_image", counted(decoded))
    kept = {**settings, "data": {**settings.get("data", {}), "cache_vision": str(tmp_path / "c")}}
    again = trained(tmp_path / "cached", family, **kept)
    assert (weights, losses) == again[:2]
    assert again[2] == [0] * NUM
    assert (
        len(decoded)
        == NUM
        == len(entries(tmp_path / "c"))
        == len(entries(tmp_path / "c", "sources"))
    )
    # A further run has nothing to compute, and nothing to decode.
    third = trained(tmp_path / "third", family, **kept)
    assert (weights, losses, []) == third
    assert len(decoded) == NUM


def counted(opened):
    from mmdft.data.images import open_image

    def count(ref):
        opened.append(ref)
        return open_image(ref)

    return count


def test_a_worker_finds_what_a_process_without_one_has_kept(trained, tmp_path):
    cache = tmp_path / "cache"
    weights, _, _ = trained(tmp_path / "one", "qwen2_5_vl", cache)
    names = set(entries(cache))
    other = trained(tmp_path / "two", "qwen2_5_vl", cache, dataloader_num_workers=1)
    assert other[0] == weights and other[2] == []
    elsewhere = tmp_path / "elsewhere"
    third = trained(tmp_path / "three", "qwen2_5_vl", elsewhere, dataloader_num_workers=1)
    assert third[0] == weights and third[2] == [0] * NUM
    assert set(entries(elsewhere)) == names


def test_a_damaged_entry_is_computed_again_and_told(trained, tmp_path, capfd):
    cache = tmp_path / "cache"
    weights, _, _ = trained(tmp_path / "one", "qwen2_5_vl", cache)
    path = next(iter(entries(cache).values()))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    capfd.readouterr()
    again = trained(tmp_path / "two", "qwen2_5_vl", cache)
    assert again[0] == weights and again[2] == [0]
    assert f"{path}: damaged; these features are computed again" in capfd.readouterr().err
    assert path.read_bytes() == whole


def test_the_folder_stays_within_its_bound(trained, tmp_path, capfd):
    cache = tmp_path / "cache"
    weights, _, _ = trained(tmp_path / "one", "qwen2_5_vl", cache)
    sizes = sorted(path.stat().st_size for path in entries(cache).values())
    small = tmp_path / "small"
    old = small / "another tower" / "features" / "00" / "old"
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(sizes[0]))
    os.utime(old, (0, 0))
    most = sum(sizes[-2:]) + 200
    capfd.readouterr()
    bounded = {"cache_vision": str(small), "cache_vision_gb": most / 1e9}
    again = trained(tmp_path / "two", "qwen2_5_vl", data=bounded)
    assert again[0] == weights
    assert not old.exists()
    assert 0 < len(entries(small)) < NUM
    assert sum(path.stat().st_size for path in small.rglob("*") if path.is_file()) <= most
    assert capfd.readouterr().err.count("data.cache_vision_gb is used up") == 1
    # What is not kept is computed in the second epoch too.
    assert again[2].count(1) == NUM - len(entries(small))


def test_old_entries_give_way_in_the_order_of_their_use(tmp_path):
    for age, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (100 - age, 100 - age))
    assert room_in(tmp_path, 40, 0, since=200) == 0
    assert room_in(tmp_path, 40, 15, since=200) == 20
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert room_in(tmp_path, 40, 40, since=100) == 30
    assert {path.name for path in tmp_path.iterdir()} == {"a"}


def test_pictures_of_the_same_pixels_are_one_entry(trained, rows, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, level in (("a.png", 1), ("b.png", 9)):
        draw("bar_sum", seed=1, index=0, size=112).image.save(pictures / name, compress_level=level)
    write_jsonl(
        pictures / "rows.jsonl",
        ({"images": [n], "question": "?", "answer": "9"} for n in ("a.png", "b.png")),
    )
    data = {"train": [{"path": str(pictures / "rows.jsonl")}], "cache_vision": str(tmp_path / "c")}
    settings = {"data": data, "per_device_train_batch_size": 1}
    _, _, calls = trained(tmp_path / "run", "qwen2_5_vl", **settings)
    assert calls == [0]
    assert len(entries(tmp_path / "c")) == 1 and len(entries(tmp_path / "c", "sources")) == 2
    smaller = {"data": {**data, "max_pixels": 56 * 56}, "per_device_train_batch_size": 1}
    _, _, calls = trained(tmp_path / "smaller", "qwen2_5_vl", **smaller)
    assert calls == [0]
    assert len(entries(tmp_path / "c")) == 2 and len(entries(tmp_path / "c", "sources")) == 4


def test_another_tower_has_other_features(tiny_dir):
    model = AutoModelForImageTextToText.from_pretrained(tiny_dir("qwen2_5_vl"))
    cpu = torch.device("cpu")
    first = tower_hash(model, cpu, None)
    assert first == tower_hash(model, cpu, None)
    model.lm_head.weight.data[0, 0] += 1
    assert first == tower_hash(model, cpu, None)
    hashes = {first, tower_hash(model, cpu, torch.bfloat16)}
    model.model.visual.merger.ln_q.weight.data[0] += 1e-3
    hashes.add(tower_hash(model, cpu, None))
    hashes.add(tower_hash(model.bfloat16(), cpu, None))
    assert len(hashes) == 4


@pytest.mark.parametrize(
    ("family", "model", "reason"),
    [
        ("qwen2_5_vl", {}, r"visual\S+ is trained, and with it .*set model\.freeze"),
        ("qwen2_5_vl", {"freeze": ["vision"]}, r"visual\.merger\S+ is trained"),
        ("qwen3_vl", {"freeze": ["vision"]}, r"visual\.(deepstack_)?merger\S+ is trained"),
        ("qwen2_vl", {"lora": {"target_modules": "all-linear"}}, r"visual\S+lora_A\S+ is trained"),
        ("smolvlm", FROZEN, "smolvlm does not take features in place of pixels, only qwen2_vl"),
    ],
)
def test_a_tower_whose_features_change_is_refused(
    configured, tiny_dir, tmp_path, family, model, reason
):
    config = configured(tmp_path / "run", family, tmp_path / "cache", model=model)
    with pytest.raises(ModelError, match=f"data.cache_vision: .*{reason}"):
        check_frozen(load_model(ModelConfig.model_validate(config.model.model_dump())))
    batch = Batch(rows=1, length=10, answers=5, pixels=3136)
    assert str(estimate(config, batch, ranks=1).stop).startswith("data.cache_vision: ")
    with pytest.raises(ModelError, match=r"data\.cache_vision: "):
        train(config)
    assert not (tmp_path / "run").exists() and not (tmp_path / "cache").exists()
