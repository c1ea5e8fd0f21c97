"""The folder of answers, of an evaluation or a sampling: which configurations may go on in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdft.config import RunConfig
from mmdft.config_errors import show
from mmdft.config_loading import load_config
from mmdft.errors import ConfigError
from mmdft.provenance import check_run_folder

FREE_OF_BACKEND = frozenset({"url", "concurrency", "retries", "timeout", "key_variable"})
"""Settings of a backend that no answer depends on."""
# The same of `evaluation`, and those that only say which answers are wanted.
_FREE = ("output_dir", "benchmarks", "batch_size", "num_samples", "judge", "every_steps")


def check_folder(
    folder: Path, config: RunConfig, matters: Callable[[RunConfig], Mapping[str, Any]]
) -> None:
    """See that a folder is new, empty, or holds answers that this configuration may go on with.

    Args:
        folder: where answers are kept.
        config: the configuration that asks.
        matters: the settings that must be those that the folder's answers came of.

    Raises:
        ConfigError: one of them is another, or the folder holds files of another kind.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        check_run_folder(folder, config)
        return
    before, now = (dict(_flat(matters(each))) for each in (load_config(path), config))
    for key in (*now, *before):
        if before.get(key) != now.get(key):
            raise ConfigError(
                f"{folder} holds answers with {key}: {show(before.get(key))}, and this "
                f"configuration has {show(now.get(key))}; choose another output_dir, or delete "
                "that folder"
            )


def evaluation_matters(config: RunConfig) -> dict[str, Any]:
    """What the answers of an evaluation depend on.

    Which benchmarks, how many items and samples, and how fast may be other than before; answers
    that are there are kept.
    """
    evaluation = config.evaluation.model_dump(
        mode="json", exclude={**dict.fromkeys(_FREE, True), "backend": set(FREE_OF_BACKEND)}
    )
    evaluation["min_pixels"], evaluation["max_pixels"] = config.evaluation_pixels()
    return {"model": config.model.model_dump(mode="json"), "evaluation": evaluation}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
