"""Fixtures for all tests: tiny models, their processors, drawn figures, the shared folder."""

from __future__ import annotations

import os
import shutil
import subprocess

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from transformers import AutoProcessor

from mmdft.data.figures import write_figures
from mmdft.tiny import build_tiny

SHARED = Path(__file__).parents[2] / "shared"

torch.set_num_threads(1)
# Times on a shared machine say nothing, and session fixtures are read-only.
settings.register_profile(
    "mmdft",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("mmdft")


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tiny_dir(family)`: the folder of a tiny model; built once, so only read from it."""

    @cache
    def build(family: str) -> Path:
        return build_tiny(tmp_path_factory.mktemp("tiny") / family, family=family)

    return build


@pytest.fixture(scope="session")
def processor(tiny_dir: Callable[[str], Path]) -> Callable[[str], Any]:
    """`processor(family)`: the tiny model's processor, as `AutoProcessor` loads it."""

    @cache
    def load(family: str) -> Any:
        return AutoProcessor.from_pretrained(tiny_dir(family))

    return load


@pytest.fixture(scope="session")
def figures_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`figures_file(num=4, split="train")`: a JSONL of drawn native rows, PNGs beside it."""

    @cache
    def draw(num: int = 4, split: str = "train", seed: int = 0) -> Path:
        return write_figures(
            tmp_path_factory.mktemp("figures"), num=num, split=split, seed=seed, size=56
        )

    return draw


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("benchmarks/dynamath")`: a path below ../shared; skips the test if it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not on this machine")
        return path

    return find


@pytest.fixture(scope="session")
def browse() -> Callable[[str, Path], str]:
    """`browse(address, profile)`: a page's elements after its script has run, in chromium.

    Fails if the page complains in the console; skips the test if there is no chromium.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not on PATH")

    def look(address: str, profile: Path) -> str:
        quiet = (
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
        )
        done = subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu"),
                *(*quiet, "--dump-dom", address),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        # That there is no icon is the server's affair.
        complaints = [
            line for line in done.stderr.splitlines() if "CONSOLE" in line and "favicon" not in line
        ]
        assert not complaints, complaints
        return done.stdout

    return look
