"""Every configuration that is shipped loads, and opens with the command that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdft.config_loading import load_config

ROOT = Path(__file__).parents[2]
VERBS = {
    "train": "mmdft train",
    "eval": "mmdft eval",
    "sample": "mmdft sample",
    "suites": "mmdft eval",
}
# Set to the exact number, so that a file this test does not see is noticed.
NUM_SHIPPED = 13


def shipped() -> list[Path]:
    return sorted(
        path.relative_to(ROOT)
        for folder in ("configs/train", "configs/eval", "configs/sample", "eval/suites")
        for path in (ROOT / folder).rglob("*.y*ml")
    )


def test_some_are_found() -> None:
    assert len(shipped()) == NUM_SHIPPED


@pytest.mark.parametrize("path", shipped(), ids=str)
def test_it_loads(path: Path) -> None:
    config = load_config(ROOT / path)
    has_rows = path.parts[1] in ("train", "sample")
    assert config.data.train if has_rows else config.evaluation.benchmarks


@pytest.mark.parametrize("path", shipped(), ids=str)
def test_it_opens_with_its_command(path: Path) -> None:
    first = (ROOT / path).read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("#")
    assert f"{VERBS[path.parts[1]]} {path}" in first
