"""`mmdft probe`, and the same around each training: token probabilities of some training examples.

`probabilities.json` holds under `probe` which examples were measured (`ids`, and a hash of their
content) and how many answer tokens they have, and beside it one `diagnostics.histogram` under each
of `before` and `after` training, or under `model` for a model by itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import TrainerCallback

from mmdft.config import RunConfig
from mmdft.data.dataset import LoadedRow, RenderedDataset, load_examples
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import ImageBudget, pixel_budget
from mmdft.diagnostics import histogram, probability_png, token_probabilities
from mmdft.errors import ConfigError
from mmdft.files import read_json, write_bytes, write_json
from mmdft.model import load_model, load_processor
from mmdft.provenance import fingerprint
from mmdft.records import Example, Rendered

_Item = TypeVar("_Item")

FILE, CHART = "probabilities.json", "probabilities.png"


def probe(config: RunConfig, out: Path) -> dict[str, Any]:
    """Measure the token probabilities of a model on the probe examples of `data.train`.

    They are the examples that a training with the same `data` measures before and after. The model
    is taken as `model.name` has it, be it a checkpoint, a trained model, an adapter or a model of
    the hub; `model.lora` and `model.freeze` say how to train and play no part. It runs in
    the precision of `training.bf16` and `training.fp16`, in batches of
    `training.per_device_eval_batch_size`.

    Args:
        config: from `load_config`.
        out: the folder for `probabilities.json` and `probabilities.png`.

    Returns:
        What `probabilities.json` holds: `probe`, and the histogram under `model`.

    Raises:
        ConfigError: there is nothing to measure, or `out` holds probabilities already.
        DataError: the data cannot be used.
        ModelError: the model cannot be loaded.
    """
    if not config.data.train:
        raise ConfigError("data.train is empty; name at least one training file")
    if not config.data.probe_examples:
        raise ConfigError("data.probe_examples is 0, so nothing would be measured; set it above 0")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("a probe runs in one process; start it without a launcher")
    if (out / FILE).exists():
        raise ConfigError(f"{out / FILE} exists; choose another folder, or delete that file")
    settings = config.model.model_copy(update={"lora": None, "freeze": []})
    processor = load_processor(settings)
    budget = pixel_budget(processor, config.data.min_pixels, config.data.max_pixels)
    if config.data.streaming:
        rows = StreamedDataset(config.data.train, config.data, processor, budget)
        chosen = streamed_probe(rows, config.data.probe_examples)
    else:
        loaded = load_examples(config.data.train, config.data, processor, budget)
        if loaded.bad:
            print(f"set aside: {len(loaded.bad)} rows; the first: {loaded.bad[0]}", file=sys.stderr)
        chosen = loaded_probe(loaded.rows, config.data.probe_examples, processor, budget)
    examples = [row.example for row in chosen]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_model(settings).to(device)
    with _autocast(config, device):
        found = _measure(
            model,
            RenderedDataset(chosen, processor, budget),
            config.training.per_device_eval_batch_size,
            device,
        )
    result = {"probe": _described(examples, found), "model": found}
    title = f"Token probabilities of {len(examples)} training examples\n{config.model.name[-90:]}"
    write_bytes(out / CHART, probability_png({"model": found}, title))
    write_json(out / FILE, result)
    return result


def spread(items: Sequence[_Item], num: int) -> list[_Item]:
    """`num` of the items, evenly spaced; all of them if there are fewer."""
    num = min(num, len(items))
    return [items[index * len(items) // num] for index in range(num)]


def loaded_probe(
    rows: Sequence[LoadedRow], num: int, processor: Any, budget: ImageBudget
) -> list[LoadedRow]:
    """`num` of the rows, evenly spaced, without those whose images cannot be decoded."""
    chosen = spread(rows, num)
    rendered = RenderedDataset(chosen, processor, budget)
    return [row for place, row in enumerate(chosen) if isinstance(rendered[place], Rendered)]


def streamed_probe(rows: StreamedDataset, num: int) -> list[LoadedRow]:
    """`num` of the rows, evenly spaced, without those that cannot be used."""
    found = [rows.loaded(place) for place in spread(range(len(rows)), num)]
    loaded = [row for row in found if isinstance(row, LoadedRow)]
    return loaded_probe(loaded, num, rows.processor, rows.budget)


class ProbabilityFile(TrainerCallback):
    """Measures the same examples before and after a training, into its run folder.

    Does nothing if there are no examples. All ranks take part in the measuring, because a sharded
    model needs them all; the first one writes.

    Args:
        folder: the run folder.
        dataset: the examples, rendered when they are asked for.
        config: the run's.
        device: where the model takes its inputs.
    """

    def __init__(
        self, folder: Path, dataset: RenderedDataset, config: RunConfig, device: torch.device
    ) -> None:
        self.folder, self.dataset, self.config, self.device = folder, dataset, config, device
        # Read here, where no rank can have written yet, so that all ranks find the same.
        path = folder / FILE
        self.found: dict[str, Any] = read_json(path) if path.is_file() else {}

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        """Measure the untrained model; a run that is taken up again keeps what it has."""
        if len(self.dataset) and state.global_step == 0 and "before" not in self.found:
            self._add("before", model, state.is_world_process_zero)

    def write_after(self, model: nn.Module, writes: bool) -> None:
        """Measure the trained model, and draw both.

        Args:
            model: as the Trainer holds it.
            writes: whether this is the rank that writes.
        """
        if not len(self.dataset):
            return
        self._add("after", model, writes)
        if writes:
            shown = {name: found for name, found in self.found.items() if name != "probe"}
            title = (
                f"Token probabilities of {len(self.dataset)} training examples, objective "
                f"{self.config.objective.name}"
            )
            write_bytes(self.folder / CHART, probability_png(shown, title))

    def _add(self, name: str, model: nn.Module, writes: bool) -> None:
        batch_size = self.config.training.per_device_eval_batch_size
        measured = _measure(model, self.dataset, batch_size, self.device)
        described = _described(self.dataset.examples, measured)
        self.found = {"probe": described, **self.found, name: measured}
        if writes:
            write_json(self.folder / FILE, self.found)


def _measure(
    model: nn.Module, dataset: RenderedDataset, batch_size: int, device: torch.device
) -> dict[str, Any]:
    tokenizer = dataset.processor.tokenizer
    ids, p = token_probabilities(model, dataset, tokenizer.pad_token_id, batch_size, device)
    return histogram(ids, p, tokenizer)


def _described(examples: Sequence[Example], found: dict[str, Any]) -> dict[str, Any]:
    return {
        "examples": len(examples),
        "tokens": sum(found["counts"]),
        "ids": [example.id for example in examples],
        "blake2b": fingerprint(examples)["blake2b"],
    }


def _autocast(config: RunConfig, device: torch.device) -> torch.autocast:
    """The mixed precision that a training with this configuration measures in."""
    half = bool((config.training.model_extra or {}).get("fp16"))
    return torch.autocast(
        device.type,
        dtype=torch.float16 if half else torch.bfloat16,
        enabled=half or config.training.bf16,
    )
