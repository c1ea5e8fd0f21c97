"""`train` and `evaluate` as a user runs them: recipes, real images, kills, bad input."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmdft import evaluate, load_config, train
from mmdft.data.figures import write_figures
from mmdft.errors import ConfigError, DataError, ModelError
from mmdft.files import read_json, read_jsonl
from mmdft.model import load_model
from mmdft.provenance import claim_run_folder, held
from mmdft.tiny import build_tiny

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "configs/train"


def mmdft(*arguments, cwd, **options):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mmdft", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


@pytest.fixture
def rows(tmp_path):
    """Eight drawn rows in the native format and in WeThink's; odd image sizes."""
    native = write_figures(tmp_path / "data", num=8, split="train", size=150)
    wethink = tmp_path / "data/wethink.jsonl"
    with wethink.open("w") as stream:
        for _, row in read_jsonl(native):
            stream.write(
                json.dumps(
                    {
                        "problem": "<image> " + row["question"],
                        "refined_cot": row["reasoning"],
                        "answer": row["answer"],
                        "image_path": row["images"][0],
                    }
                )
                + "\n"
            )
    return {"native": native, "wethink": wethink}


@pytest.mark.parametrize(
    ("recipe", "family", "kind"),
    [
        ("qwen2_5_vl_3b_wethink_dft", "qwen2_5_vl", "wethink"),
        ("qwen2_5_vl_3b_wethink_sft", "qwen2_5_vl", "wethink"),
        ("qwen2_5_vl_7b_lora_dft", "qwen2_5_vl", "native"),
        ("qwen3_vl_8b_lora_dft", "qwen3_vl", "native"),
    ],
)
def test_a_recipe_trains_when_only_the_model_and_the_data_are_changed(
    recipe, family, kind, rows, tiny_dir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    changes = [f"model.name={tiny_dir(family)}", f"data.train.0.path={rows[kind]}"]
    if kind == "wethink":
        changes.append(f"data.train.0.image_root={tmp_path / 'data'}")
    config = load_config(RECIPES / f"{recipe}.yaml", changes)
    result = train(config)

    assert result.run_dir == Path("runs") / recipe
    assert result.summary["objective"] == ("sft" if recipe.endswith("sft") else "dft")
    assert result.summary["steps"] == 1 and result.summary["examples"] == 8
    assert result.summary["quarantined"] == 0
    by_part = read_json(result.run_dir / "provenance.json")["parameters"]
    assert by_part["vision"]["trainable"] == by_part["projector"]["trainable"] == 0
    assert by_part["language"]["trainable"] > 0
    adapter = (result.model_dir / "adapter_model.safetensors").is_file()
    assert adapter == ("lora" in recipe)
    trained = {"name": str(result.model_dir), "lora": None, "freeze": []}
    load_model(config.model.model_copy(update=trained))


def test_sft_and_dft_twins_differ_in_the_objective_alone():
    twins = [
        load_config(RECIPES / f"qwen2_5_vl_3b_wethink_{name}.yaml").model_dump()
        for name in ("sft", "dft")
    ]
    assert [twin["objective"].pop("name") for twin in twins] == ["sft", "dft"]
    for twin in twins:
        twin["training"].pop("output_dir")
    assert twins[0] == twins[1]


@pytest.mark.parametrize(
    ("name", "folder"), [("dynamath", "dynamath"), ("mathvision_testmini", "mathvision_testmini")]
)
def test_real_benchmarks_run_on_real_images(name, folder, shared, tiny_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(
        ROOT / f"configs/eval/{name}.yaml",
        [
            f"model.name={tiny_dir('qwen2_5_vl')}",
            f"evaluation.benchmarks.0.path={shared(f'benchmarks/{folder}')}",
            "evaluation.benchmarks.0.limit=20",
            "evaluation.max_new_tokens=4",
            "evaluation.max_pixels=50176",
        ],
    )
    result = evaluate(config)
    label = config.evaluation.benchmarks[0].name
    summary = result.benchmarks[label]["rules"]["official"]
    assert summary["n"] == 20
    assert summary["correct"] + summary["wrong"] + summary["no_answer"] == 20
    written = [row for _, row in read_jsonl(result.run_dir / label / "predictions.jsonl")]
    assert len({row["id"] for row in written}) == 20
    assert all(row["num_tokens"] <= 4 for row in written)


def small_run(tiny_dir, tmp_path, out):
    """A configuration file of a short run with checkpoints, and its text."""
    data = tmp_path / "figures"
    if not data.exists():
        write_figures(data, num=40, split="train", size=56)
    path = tmp_path / f"{out}.yaml"
    path.write_text(
        f"""
model: {{name: {tiny_dir("qwen2_5_vl")}}}
data: {{train: [{data / "train.jsonl"}]}}
training:
  output_dir: {tmp_path / out}
  max_steps: 12
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 2
  learning_rate: 1.0e-3
  logging_steps: 1
  save_steps: 2
  use_cpu: true
"""
    )
    return path


def metrics(run_dir, *without):
    """The logged steps, less what depends on the clock, the machine, or `without`."""
    varying = {"tokens_per_second", "peak_memory_mb", *without}
    return [
        {name: value for name, value in row.items() if name not in varying}
        for _, row in read_jsonl(run_dir / "metrics.jsonl")
        if "loss" in row
    ]


def test_a_killed_run_ends_bit_identical(tiny_dir, tmp_path):
    undisturbed = small_run(tiny_dir, tmp_path, "undisturbed")
    assert mmdft("train", undisturbed, cwd=tmp_path).returncode == 0
    killed = small_run(tiny_dir, tmp_path, "killed")
    process = subprocess.Popen(
        [sys.executable, "-m", "mmdft", "train", str(killed)],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/summary.json").exists()
    # A checkpoint that was cut short, as a kill in the middle of saving leaves it.
    newest = max((tmp_path / "killed").glob("checkpoint-*"), key=lambda p: p.stat().st_mtime)
    cut = tmp_path / "killed/checkpoint-11"
    shutil.copytree(newest, cut)
    (cut / "trainer_state.json").write_text('{"global_step": 11, "log_hist')

    done = mmdft("train", killed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, other = (
        load_file(tmp_path / n / "model/model.safetensors") for n in ("undisturbed", "killed")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    logs = [metrics(tmp_path / name) for name in ("undisturbed", "killed")]
    assert logs[0] == logs[1] and len(logs[0]) == 12
    probed = [tmp_path / name / "probabilities.json" for name in ("undisturbed", "killed")]
    assert probed[0].read_bytes() == probed[1].read_bytes()
    # a finished run is left as it is
    before = (tmp_path / "killed/model/model.safetensors").stat().st_mtime_ns
    assert mmdft("train", killed, cwd=tmp_path).returncode == 0
    assert (tmp_path / "killed/model/model.safetensors").stat().st_mtime_ns == before


def test_two_ranks_train_as_one(tiny_dir, tmp_path):
    """torchrun with two processes (gloo) against one with twice the batch, to rounding."""
    alone, ranks = (small_run(tiny_dir, tmp_path, name) for name in ("alone", "ranks"))
    # Adam would enlarge rounding; a small step would drown in that of the weights.
    changes = ["training.max_steps=4", "training.optim=sgd", "training.learning_rate=0.5"]
    one = mmdft("train", alone, *changes, "training.per_device_train_batch_size=4", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    two = subprocess.run(
        [sys.executable, *launch, "-m", "mmdft", "train", str(ranks), *changes],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert two.returncode == 0, two.stderr
    assert read_json(tmp_path / "ranks/provenance.json")["processes"] == 2
    logs = [metrics(tmp_path / name, "padding") for name in ("alone", "ranks")]
    assert len(logs[0]) == len(logs[1]) == 4
    for row, other in zip(*logs, strict=True):
        assert other == pytest.approx(row, rel=1e-5)
    weights = "model/model.safetensors"
    before = load_file(tiny_dir("qwen2_5_vl") / "model.safetensors")
    first, second = (load_file(tmp_path / name / weights) for name in ("alone", "ranks"))
    moved = sum((first[name] - before[name]).double().square().sum() for name in before).sqrt()
    apart = sum((first[name] - second[name]).double().square().sum() for name in before).sqrt()
    assert moved > 0 and apart < 1e-5 * moved
    probed = [read_json(tmp_path / name / "probabilities.json") for name in ("alone", "ranks")]
    assert probed[0]["probe"] == probed[1]["probe"] and probed[0]["before"] == probed[1]["before"]
    means = [found["after"]["mean"] for found in probed]
    assert means[0] == pytest.approx(means[1], rel=1e-5) and means[0] > probed[0]["before"]["mean"]
    assert two.stdout.count(str(tmp_path / "ranks")) == 1  # one process speaks


def test_a_lora_run_resumes_bit_identically(tiny_dir, tmp_path):
    """Trained in two halves against in one go; the halves share a run folder."""
    lora = ["model.lora={r: 4, dropout: 0.1}", "training.save_total_limit=20"]
    whole = small_run(tiny_dir, tmp_path, "whole")
    assert mmdft("train", whole, *lora, cwd=tmp_path).returncode == 0
    halves = small_run(tiny_dir, tmp_path, "halves")
    folder = tmp_path / "halves"
    claim_run_folder(folder, load_config(halves, lora))
    shutil.copytree(tmp_path / "whole/checkpoint-6", folder / "checkpoint-6")
    assert mmdft("train", halves, *lora, cwd=tmp_path).returncode == 0
    file = "model/adapter_model.safetensors"
    one, other = (load_file(tmp_path / name / file) for name in ("whole", "halves"))
    assert one and all(torch.equal(one[name], other[name]) for name in one)
    assert read_json(folder / "checkpoint-12/trainer_state.json")["global_step"] == 12


def test_a_folder_of_another_configuration_is_refused_and_kept(tiny_dir, tmp_path):
    config = load_config(small_run(tiny_dir, tmp_path, "run"))
    train(config)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    other = load_config(small_run(tiny_dir, tmp_path, "run"), ["training.learning_rate=1e-4"])
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        train(other)
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}


def test_a_checkpoint_of_another_configuration_is_refused(tiny_dir, tmp_path):
    train(load_config(small_run(tiny_dir, tmp_path, "sft"), ["objective.name=sft"]))
    config = load_config(small_run(tiny_dir, tmp_path, "dft"))
    claim_run_folder(tmp_path / "dft", config)
    shutil.copytree(tmp_path / "sft/checkpoint-12", tmp_path / "dft/checkpoint-12")
    with pytest.raises(ConfigError, match="checkpoint-12 is a checkpoint of another config"):
        train(config)
    assert (tmp_path / "dft/checkpoint-12/model.safetensors").is_file()
    assert not (tmp_path / "dft/model").exists()


def test_another_model_under_the_same_name_is_refused(tmp_path):
    """Such as one that was trained on since: its run would go on from elsewhere."""
    build_tiny(tmp_path / "model", family="qwen2_5_vl")
    path = small_run(lambda family: tmp_path / "model", tmp_path, "run")
    config = load_config(path, ["training.max_steps=2"])
    train(config)
    (tmp_path / "run/summary.json").unlink()
    shutil.rmtree(tmp_path / "model")
    build_tiny(tmp_path / "model", family="qwen2_5_vl", seed=1)
    with pytest.raises(ConfigError, match="begun with another model"):
        train(config)


def test_a_folder_at_work_is_left_alone(tiny_dir, tmp_path):
    config = load_config(small_run(tiny_dir, tmp_path, "run"))
    claim_run_folder(tmp_path / "run", config)
    with (
        held(tmp_path / "run"),
        pytest.raises(ConfigError, match="another process is at work there"),
    ):
        train(config)
    train(config)


def test_a_bad_image_met_by_a_worker_is_one_line(tiny_dir, tmp_path):
    """It was whole when the data was loaded, as all others were: one too many stops the run."""
    config = small_run(tiny_dir, tmp_path, "run")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mmdft import training\n"
        "from mmdft.cli import main\n"
        "load = training.load_data\n"
        "def spoil(*args):\n"
        "    data = load(*args)\n"
        "    for path in Path(sys.argv[1]).rglob('*.png'): path.write_bytes(b'gone')\n"
        "    return data\n"
        "training.load_data = spoil\n"
        "main(['train', sys.argv[2], 'training.dataloader_num_workers=1', 'data.probe_examples=0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "figures"), str(config)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and re.search(
        r"error: .*\.jsonl:\d+ \(id .*\): .*\.png: not an image.* bad rows, more than", errors[0]
    )
    assert "Traceback" not in done.stderr


def test_folders_that_hold_something_else_are_left_alone(tiny_dir, tmp_path):
    mine = tmp_path / "run/summary.json"
    mine.parent.mkdir()
    mine.write_text('{"mine": 1}')
    with pytest.raises(ConfigError, match="holds files but no run"):
        train(load_config(small_run(tiny_dir, tmp_path, "run")))
    with pytest.raises(ConfigError, match="exists and is not empty"):
        build_tiny(mine.parent, family="qwen2_vl")
    assert [p.name for p in mine.parent.iterdir()] == ["summary.json"]
    assert mine.read_text() == '{"mine": 1}'


def test_a_mistake_does_not_claim_the_folder(tiny_dir, tmp_path):
    path = small_run(tiny_dir, tmp_path, "run")
    with pytest.raises(DataError, match="no such file"):
        train(load_config(path, [f"data.train.0.path={tmp_path / 'typo.jsonl'}"]))
    with pytest.raises(ModelError, match="cannot be loaded"):
        train(load_config(path, ["model.name=no/such"]))
    assert not (tmp_path / "run/config.yaml").exists()
    with pytest.raises(ConfigError, match="40 rows give no whole batch"):
        train(
            load_config(
                path,
                [
                    "training.dataloader_drop_last=true",
                    "training.per_device_train_batch_size=999",
                    "training.max_steps=-1",
                ],
            )
        )
    assert not (tmp_path / "run/model").exists()


BAD_DATA = {
    "no such file": (None, r"error: .*rows\.jsonl: no such file"),
    "no image": ({"images": ["note.png"]}, r"rows\.jsonl:1 .*note\.png: not an image"),
    "no answer": ({"answer": ""}, r"rows\.jsonl:1 .*field 'answer' is missing or empty"),
    "missing image": ({"images": ["gone.png"]}, r"rows\.jsonl:1 .*gone\.png: no such file"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_one_line_that_names_it(case, tiny_dir, tmp_path):
    change, expected = BAD_DATA[case]
    (tmp_path / "note.png").write_text("not a picture")
    if change is not None:
        row = {"question": "How many?", "answer": "3", **change}
        (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    config = tmp_path / "run.yaml"
    config.write_text(f"model: {{name: {tiny_dir('qwen2_vl')}}}\ndata: {{train: [rows.jsonl]}}\n")
    done = mmdft("train", config, cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert re.search(expected, lines[-1]) and lines[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_missing_model_is_one_line(tmp_path):
    write_figures(tmp_path, num=2, split="train", size=56)
    config = tmp_path / "run.yaml"
    config.write_text("model: {name: no/such-model}\ndata: {train: [train.jsonl]}\n")
    done = mmdft("train", config, cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("error: model.name 'no/such-model' cannot be loaded: ")
    )


def test_a_full_disk_is_one_line_and_costs_nothing(tiny_dir, tmp_path):
    """No file may grow past 200 kB: the weights cannot be written."""
    config = small_run(tiny_dir, tmp_path, "run")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = mmdft("train", config, cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "run/model").exists()
    # with room again, the same command finishes the run
    assert mmdft("train", config, cwd=tmp_path).returncode == 0
    assert (tmp_path / "run/model/model.safetensors").is_file()
