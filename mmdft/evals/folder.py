"""The folder of an evaluation: which configurations may go on in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdft.config import RunConfig
from mmdft.config_loading import load_config
from mmdft.errors import ConfigError
from mmdft.provenance import check_run_folder

# Settings of `evaluation` that no answer depends on, or that only say which answers are wanted.
_FREE = ("output_dir", "benchmarks", "batch_size", "num_samples", "judge", "every_steps")
_FREE_OF_BACKEND = ("url", "concurrency", "retries", "timeout", "key_variable")


def check_folder(folder: Path, config: RunConfig) -> None:
    """See that a folder is new, empty, or holds an evaluation that this one may go on with.

    What may be another one: which benchmarks, how many items and samples, and how fast; answers
    that are there are kept.

    Raises:
        ConfigError: the folder holds an evaluation with another model, decoding, system prompt,
            pixels, preset or backend, or files of another kind.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        check_run_folder(folder, config)
        return
    before, now = (dict(_flat(_matters(each))) for each in (load_config(path), config))
    for key, value in now.items():
        if before.get(key) != value:
            raise ConfigError(
                f"{folder} holds an evaluation with {key}: {before.get(key)!r}, and this one has "
                f"{value!r}; choose another evaluation.output_dir, or delete that folder"
            )


def _matters(config: RunConfig) -> dict[str, Any]:
    """The settings that answers depend on."""
    evaluation = config.evaluation.model_dump(mode="json", exclude=set(_FREE))
    for name in _FREE_OF_BACKEND:
        del evaluation["backend"][name]
    evaluation["min_pixels"], evaluation["max_pixels"] = config.evaluation_pixels()
    return {"model": config.model.model_dump(mode="json"), "evaluation": evaluation}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
