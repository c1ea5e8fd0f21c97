"""The speed measurements run from end to end at tiny sizes; times are not looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmdft.files import read_json

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(script, folder, *arguments):
    """What the script writes: its numbers, and its table."""
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "eval" / "speed" / script), *arguments),
            *("--rounds", "1", "--out", str(folder / "out")),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return read_json(folder / "out.json"), (folder / "out.md").read_text()


def test_head(tmp_path):
    sizes = ("--hidden", "32", "--vocabulary", "1000", "--tokens", "64", "--trained", "16")
    found, text = run("head.py", tmp_path, *sizes, "--steps", "1")
    for head, kinds in found["heads"].items():
        # The others may not be installed.
        assert max(kinds["mmdft"]["apart"].values()) < 1e-4, head
        assert kinds["mmdft"]["times_ours"]["all"] == [1]
        assert kinds["full logits"]["seconds"]["median"] > 0
    assert list(found["heads"]) == ["trainable", "frozen", "LoRA"]
    assert "| mmdft | 1.00 (1.00 to 1.00) |" in text


def test_train_step(tmp_path, figures_file):
    images = next(figures_file(num=4).parent.glob("images/*"))
    sizes = ("--shape", "tiny", "--batch", "2", "--steps", "1")
    found, text = run("train_step.py", tmp_path, "--images", str(images), *sizes)
    assert list(found["modes"]) == ["full fine-tuning", "LoRA"]
    for mode, kinds in found["modes"].items():
        padded, packed = (kinds[f"mmdft, {way}"]["first_step"] for way in ("padded", "packed"))
        assert packed["loss"] == pytest.approx(padded["loss"], rel=1e-4), mode
        assert packed["positions"] < padded["positions"]
        assert packed["trained"] == padded["trained"] > 0
    assert "| mmdft, packed | 1.00 (1.00 to 1.00) |" in text


def test_generate(tmp_path):
    sizes = ("--items", "4", "--batch", "3", "--max-new-tokens", "8")
    found, _ = run("generate.py", tmp_path, *sizes)
    # That the answers are equal is checked by the script.
    assert found["items"] == 4 and found["characters"] > 0
    assert list(found["contenders"]) == ["one by one", "batches in file order", "mmdft"]


def test_score(tmp_path):
    found, _ = run("score.py", tmp_path, "--items", "12")
    for rules, each in found["benchmarks"]["figures"].items():
        assert each["verdicts"] == sum(each["statuses"].values()) == 12, rules
        assert each["statuses"]["correct"] and each["statuses"]["wrong"], rules
