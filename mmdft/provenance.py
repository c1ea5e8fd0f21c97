"""What a run folder says about how it came about. No torch here."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path

from mmdft.config import RunConfig
from mmdft.config_loading import dump_config
from mmdft.errors import ConfigError
from mmdft.files import write_text
from mmdft.records import Example

PACKAGES = ("mmdft", "torch", "transformers", "accelerate", "peft", "qwen-vl-utils", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "machine": platform.machine(), **found}


def fingerprint(examples: Iterable[Example]) -> dict[str, str | int]:
    """Number and hash of the examples: turns, golds, and the images' bytes or paths and sizes."""
    digest = hashlib.blake2b(digest_size=16)
    count = 0
    for example in examples:
        count += 1
        digest.update(repr((example.id, example.answer, example.choices)).encode())
        for turn in example.turns:
            digest.update(turn.role.encode())
            for part in turn.parts:
                if isinstance(part, str):
                    digest.update(part.encode())
                elif part.path is not None:
                    digest.update(f"{part.path.name}:{part.path.stat().st_size}".encode())
                else:
                    digest.update(part.data or b"")
    return {"examples": count, "blake2b": digest.hexdigest()}


def claim_run_folder(folder: Path, config: RunConfig) -> None:
    """Write the resolved configuration into a run folder, or find it there unchanged.

    Raises:
        ConfigError: the folder holds a run of another configuration, which is left as it is.
    """
    path = folder / "config.yaml"
    resolved = dump_config(config)
    if path.is_file():
        if path.read_text(encoding="utf-8") != resolved:
            raise ConfigError(
                f"{folder} holds a run of another configuration (see {path}); "
                "choose another output_dir, or delete that folder"
            )
        return
    write_text(path, resolved)
