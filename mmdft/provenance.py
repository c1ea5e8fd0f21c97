"""What a run folder says about how it came about. No torch here."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmdft.config import RunConfig
from mmdft.config_loading import dump_config
from mmdft.errors import ConfigError
from mmdft.files import read_json, write_json, write_text
from mmdft.records import Example
from mmdft.shipped import model_source

_END = 2**20
# What messages call an entry of provenance.json whose name does not read well there.
_WORDS = {"processes": "number of processes"}
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


def file_fingerprint(paths: Iterable[Path]) -> dict[str, str | int]:
    """Number and hash of the files, from their sizes and both their ends, not read in full."""
    digest = hashlib.blake2b(digest_size=16)
    count = 0
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                count += 1
                _add_ends(digest, file)
    return {"files": count, "blake2b": digest.hexdigest()}


def config_fingerprint(config: RunConfig) -> str:
    """Hash of a configuration, wherever its results go."""
    training = config.training.model_copy(update={"output_dir": Path("run")})
    text = dump_config(config.model_copy(update={"training": training}))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run folder; however this one ends, the hold ends with it.

    Raises:
        ConfigError: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{folder}: another process is at work there; wait for it, or choose another "
                "output_dir"
            ) from error
        yield


def check_run_folder(folder: Path, config: RunConfig) -> None:
    """See that a run folder is new, empty, or holds this very configuration.

    Raises:
        ConfigError: it holds a run of another configuration, or files of another kind.
    """
    path = folder / "config.yaml"
    if path.is_file():
        if path.read_text(encoding="utf-8") != dump_config(config):
            raise ConfigError(
                f"{folder} holds a run of another configuration (see {path}); "
                "choose another output_dir, or delete that folder"
            )
    # Hidden files may be another rank's, just being written.
    elif folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise ConfigError(f"{folder} holds files but no run; choose another output_dir")


def claim_run_folder(folder: Path, config: RunConfig) -> None:
    """Write the resolved configuration into a folder that `check_run_folder` found fit."""
    path = folder / "config.yaml"
    if not path.is_file():
        write_text(path, dump_config(config))


def model_fingerprint(name: str, revision: str | None) -> str:
    """What tells a model from another under the same name: the ends of each of its weight files.

    A model on the hub is told by its name and revision.
    """
    folder = Path(model_source(name))
    if not folder.is_dir():
        return f"{name}@{revision or 'main'}"
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.glob("*.safetensors")):
        _add_ends(digest, path)
    return digest.hexdigest()


def _add_ends(digest: hashlib.blake2b, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as stream:
        digest.update(f"{path.name}:{size}".encode() + stream.read(_END))
        stream.seek(max(0, size - _END))
        digest.update(stream.read())


def keep_to_provenance(path: Path, found: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Write `provenance.json`, unless there is one that differs in `keys`.

    Raises:
        ConfigError: what was made so far came from other data or another model.
    """
    if path.is_file():
        before = read_json(path)
        differs = [_WORDS.get(key, key) for key in keys if before.get(key) != found[key]]
        if differs:
            raise ConfigError(
                f"{path.parent} was begun with another {' and '.join(differs)} than what is there "
                "now under the same name; choose another output_dir, or delete that folder"
            )
    write_json(path, found)
