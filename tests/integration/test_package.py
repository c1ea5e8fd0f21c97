"""The built wheel outside of the checkout, and the README's Python example."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmdft.data.figures import write_figures

ROOT = Path(__file__).parents[2]
BASE = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    # A copy: building writes beside the sources.
    shutil.copytree(ROOT / "mmdft", source / "mmdft", ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(out)]
    subprocess.run([sys.executable, *build, str(source)], check=True, capture_output=True)
    (path,) = out.glob("mmdft-*.whl")
    return path


def test_the_wheel_holds_the_package_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"mmdft"}
    page = (f"experiments/templates/experiment.{ending}" for ending in ("html.jinja", "css", "js"))
    for needed in ("py.typed", *page):
        assert f"mmdft/{needed}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_holds_the_base(wheel):
    held = zipfile.ZipFile(wheel)
    names = {name.removeprefix("mmdft/base/") for name in held.namelist() if "/base/" in name}
    assert names >= set(BASE)
    assert names == {path.name for path in (ROOT / "mmdft/base").iterdir()}
    assert held.getinfo("mmdft/base/model.safetensors").file_size <= 8_000_000


def test_git_does_not_leave_the_base_out():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    files = [f"mmdft/base/{name}" for name in BASE]
    found = subprocess.run(
        ["git", "check-ignore", "--no-index", *files], cwd=ROOT, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (1, "")


def test_the_installed_base_answers_in_an_empty_folder(wheel, tmp_path):
    """Without the checkout, and without a network: whatever asks for one is told."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere.mkdir()
    data = write_figures(tmp_path / "figures", num=2, split="test", families=["bar_max"])
    code = (
        "import socket, sys\n"
        "def refuse(*arguments, **named): raise SystemExit(f'network: {arguments}')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import mmdft; print(mmdft.__file__)\n"
        "from mmdft.cli import main; main(sys.argv[1:])"
    )
    config = elsewhere / "eval.yaml"
    config.write_text(
        "model: {name: mmdft/tiny}\n"
        f"evaluation: {{max_new_tokens: 4, benchmarks: [{{name: figures, path: {data}}}]}}\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", code, "eval", "eval.yaml"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(site / "mmdft/__init__.py")
    answers = elsewhere / "runs/eval-tiny/figures/predictions.jsonl"
    assert len(answers.read_text().splitlines()) == 2


def test_the_wheel_works_outside_of_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import mmdft, sys; print(mmdft.__file__); from mmdft.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "figures", "out", "--num", "3", "--size", "56"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.stdout.splitlines() == [str(site / "mmdft/__init__.py"), "out/train.jsonl"]
    assert len(list((elsewhere / "out/images/train").glob("*.png"))) == 3


def test_the_readmes_example_runs(tiny_dir, figures_file, tmp_path):
    """Word for word, but for the model, the data and the number of steps."""
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    for name in ("configs/train/figures_tiny_dft.yaml", "configs/eval/figures.yaml"):
        assert name in example
        example = example.replace(name, str(ROOT / name))
    rows = figures_file(num=4)
    changes = {
        '"training.max_steps=200"': ", ".join(
            repr(change)
            for change in (
                "training.max_steps=2",
                "training.per_device_train_batch_size=2",
                f"model.name={tiny_dir('qwen2_5_vl')}",
                f"data.train=[{rows}]",
                f"data.validation=[{rows}]",
            )
        ),
        '"evaluation.batch_size=32"': f"'evaluation.benchmarks.0.path={rows}'",
    }
    for old, new in changes.items():
        assert old in example
        example = example.replace(old, new)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"accuracy 0\.\d+ ± 0\.\d+", done.stdout)
