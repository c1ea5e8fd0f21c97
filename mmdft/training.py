"""`mmdft train`: a configuration to a run folder."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from mmdft.config import RunConfig
from mmdft.data.collate import collate_training
from mmdft.data.dataset import BadRow, RenderedDataset, load_examples, write_quarantine
from mmdft.data.images import pixel_budget
from mmdft.data.packing import PackedDataset, Positions, collate_packed, packed_positions
from mmdft.errors import ConfigError, DataError
from mmdft.files import read_json, read_jsonl, write_json, write_jsonl
from mmdft.memory import keep_freed_memory
from mmdft.model import load_model, load_processor, parameter_summary
from mmdft.provenance import (
    check_run_folder,
    claim_run_folder,
    fingerprint,
    keep_to_provenance,
    versions,
)
from mmdft.records import Rendered
from mmdft.trainer import DFTTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A finished run."""

    run_dir: Path
    """configuration, metrics, quarantine, checkpoints and the final model"""
    model_dir: Path
    """the trained model (or adapter) and its processor, in the hub's layout"""
    summary: dict[str, Any]
    """steps, final loss and statistics, examples, quarantined rows, parameters"""
    history: list[dict[str, float]]
    """what was logged, step by step"""


def train(config: RunConfig, callbacks: Sequence[TrainerCallback] = ()) -> TrainResult:
    """Fine-tune a model as the configuration says.

    The run folder is `training.output_dir`. Called again with the same configuration it goes on
    from the last whole checkpoint, or returns at once if the run had finished.

    Args:
        config: from `load_config`.
        callbacks: transformers callbacks to add.

    Raises:
        ConfigError: the folder holds a run of another configuration, or a setting is impossible.
        DataError: the data cannot be used, or the loss became non-finite.
        ModelError: the model cannot be loaded.
    """
    if not config.data.train:
        raise ConfigError("data.train is empty; name at least one training file")
    if config.training.eval_strategy != "no" and not config.data.validation:
        raise ConfigError("training.eval_strategy needs data.validation")
    run_dir = config.training.output_dir
    check_run_folder(run_dir, config)
    if (run_dir / "summary.json").is_file():
        return _finished(run_dir)
    keep_freed_memory()
    processor = load_processor(config.model)
    budget = pixel_budget(processor, config.data.min_pixels, config.data.max_pixels)
    loaded = load_examples(config.data.train, config.data, processor, budget)
    examples = loaded.examples
    held_out, bad_held_out = _validation(config, processor, budget)
    bad = [*loaded.bad, *bad_held_out]

    arguments = _arguments(config)
    set_seed(arguments.seed)
    model = load_model(config.model)
    dataset = RenderedDataset(examples, processor, budget)
    packed, positions = None, None
    if config.data.packing:
        positions = packed_positions(model.config)
        seed = arguments.seed if arguments.data_seed is None else arguments.data_seed
        packed = PackedDataset(dataset, loaded.lengths, config.data.max_length, seed)
    try:
        trainer = DFTTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset if packed is None else packed,
            eval_dataset=RenderedDataset(held_out, processor, budget) if held_out else None,
            data_collator=partial(
                training_batch, pad_id=processor.tokenizer.pad_token_id, positions=positions
            ),
            processing_class=processor,
            callbacks=[MetricsFile(run_dir / "metrics.jsonl"), LogLines(), *callbacks],
            objective=config.objective.name,
            parameters=config.objective.parameters,
            chunk_mb=config.objective.chunk_mb,
        )
    except ImportError as error:
        # Such as an optimizer whose package is not installed.
        raise ConfigError(f"training: {' '.join(str(error).split())}") from error
    # Our lines say the same as the two default callbacks, and more, in one place.
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    rows = len(dataset if packed is None else packed)
    if arguments.dataloader_drop_last and rows < arguments.train_batch_size * arguments.world_size:
        raise ConfigError(
            f"{rows} rows give no whole batch, so no step is made; lower "
            "training.per_device_train_batch_size or leave out dataloader_drop_last"
        )
    # Only now, so that a mistyped name or path does not leave a folder behind.
    claim_run_folder(run_dir, config)
    write_quarantine(run_dir / "quarantine.jsonl", bad)
    parameters = parameter_summary(model)
    if trainer.is_world_process_zero():
        _announce(config, len(examples), bad, parameters)
        if packed is not None:
            print(
                f"packed into {len(packed):,} rows of at most {config.data.max_length:,} tokens",
                file=sys.stderr,
            )
        keep_to_provenance(
            run_dir / "provenance.json",
            {
                "versions": versions(),
                "data": fingerprint(examples),
                "parameters": parameters,
                "device": str(arguments.device),
                "processes": arguments.world_size,
            },
            keys=["data"],
        )
    trainer.train(resume_from_checkpoint=last_checkpoint(run_dir))
    _save_final(trainer, run_dir / "model")
    summary = {
        "objective": config.objective.name,
        "steps": trainer.state.global_step,
        "examples": len(examples),
        "quarantined": len(bad),
        "parameters": parameters["all"]["total"],
        "trainable": parameters["all"]["trainable"],
        **_last_logged(trainer.state.log_history),
    }
    if trainer.is_world_process_zero():
        write_json(run_dir / "summary.json", summary)
    return TrainResult(
        run_dir=run_dir,
        model_dir=run_dir / "model",
        summary=summary,
        history=trainer.state.log_history,
    )


def _announce(
    config: RunConfig,
    num_examples: int,
    bad: Sequence[BadRow],
    parameters: dict[str, dict[str, int]],
) -> None:
    """Say what is about to be trained, and on what."""
    parts = ", ".join(
        f"{part} {count['trainable']:,} of {count['total']:,}"
        for part, count in parameters.items()
        if part != "all"
    )
    lines = [
        f"{config.objective.name} on {num_examples:,} examples into {config.training.output_dir}",
        f"trained parameters: {parts}",
    ]
    if bad:
        first = bad[0]
        lines.append(
            f"set aside: {len(bad)} rows, all in quarantine.jsonl; "
            f"the first: {first.source}:{first.row} (id {first.id}): {first.reason}"
        )
    print("\n".join(lines), file=sys.stderr)


def training_batch(
    rows: Sequence[Rendered | list[Rendered]], pad_id: int, positions: Positions | None = None
) -> dict[str, Any]:
    """A batch with its examples' ids, which errors then name.

    Packs are put behind one another, with the `positions` of `packed_positions`; examples, such as
    those of the validation data, are padded.
    """
    examples = [row for row in rows if isinstance(row, Rendered)]
    if examples:
        batch = collate_training(examples, pad_id)
    else:
        packs = [row for row in rows if isinstance(row, list)]
        assert positions is not None
        batch = collate_packed(packs, positions)
        examples = [example for pack in packs for example in pack]
    return {**batch, "example_ids": [example.id for example in examples]}


class MetricsFile(TrainerCallback):
    """Writes each log as a line of JSON; a resumed run first drops what its checkpoint lacks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start from the history of the checkpoint."""
        if state.is_world_process_zero:
            write_jsonl(self.path, state.log_history)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have the last step logged, whatever logging_steps is."""
        if state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Append the newest log."""
        if state.is_world_process_zero:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(state.log_history[-1]) + "\n")


class LogLines(TrainerCallback):
    """Tells on standard error how far the run is and how it goes, every few seconds at most."""

    seconds_between = 5.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.start, self.first = time.monotonic(), state.global_step
        self.told = self.start

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Print one line."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        now, last = time.monotonic(), state.global_step >= state.max_steps
        if now - self.told < self.seconds_between and not last and "eval_loss" not in logs:
            return
        self.told = now
        shown = ("loss", "nll", "mean_p", "token_accuracy", "grad_norm", "learning_rate")
        values = [
            f"{name} {logs[key]:.4g}"
            for name in shown
            for key in (name, f"eval_{name}")
            if key in logs
        ]
        kind = "validation  " if "eval_loss" in logs else ""
        each = (now - self.start) / max(state.global_step - self.first, 1)
        print(
            f"step {state.global_step}/{state.max_steps}  {kind}{'  '.join(values)}  "
            f"{each * (state.max_steps - state.global_step):.0f} s left",
            file=sys.stderr,
        )


def last_checkpoint(run_dir: Path) -> str | None:
    """The newest checkpoint that was written whole.

    transformers writes `trainer_state.json` last, so a folder without a readable one was cut
    short and is passed over.
    """
    found = []
    for folder in run_dir.glob("checkpoint-*"):
        state = folder / "trainer_state.json"
        try:
            step = int(read_json(state)["global_step"])
        except (DataError, KeyError, ValueError):
            continue
        found.append((step, str(folder)))
    return max(found)[1] if found else None


def _arguments(config: RunConfig) -> TrainingArguments:
    """The Trainer's arguments; without an accelerator it is told to use the CPU."""
    values = {"use_cpu": not torch.accelerator.is_available(), **config.training.arguments()}
    if values.get("load_best_model_at_end") or values.get("save_strategy") == "best":
        # The objective's own loss would not do: DFT's is small where p is near 0.
        values.setdefault("metric_for_best_model", "eval_token_accuracy")
        values.setdefault(
            "greater_is_better", not values["metric_for_best_model"].endswith(("loss", "nll"))
        )
    try:
        return TrainingArguments(**values)
    except (ValueError, ImportError, RuntimeError) as error:
        # Combinations of settings, and missing packages, that only transformers can judge.
        raise ConfigError(f"training: {' '.join(str(error).split())}") from error


def _finished(run_dir: Path) -> TrainResult:
    return TrainResult(
        run_dir=run_dir,
        model_dir=run_dir / "model",
        summary=read_json(run_dir / "summary.json"),
        history=[row for _, row in read_jsonl(run_dir / "metrics.jsonl")],
    )


def _validation(config: RunConfig, processor: Any, budget: Any) -> tuple[list[Any], list[BadRow]]:
    if not config.data.validation:
        return [], []
    loaded = load_examples(config.data.validation, config.data, processor, budget)
    return loaded.examples, loaded.bad


def _save_final(trainer: DFTTrainer, out: Path) -> None:
    """Save the model beside the checkpoints, whole or not at all."""
    temporary = out.with_name(f".{out.name}.tmp")
    if trainer.is_world_process_zero():
        shutil.rmtree(temporary, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(temporary))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        shutil.rmtree(out, ignore_errors=True)
        temporary.rename(out)


def _last_logged(history: Sequence[dict[str, float]]) -> dict[str, float]:
    wanted = ("loss", "nll", "mean_p", "token_accuracy", "eval_loss", "eval_nll", "eval_mean_p")
    return {
        name: next(row[name] for row in reversed(history) if name in row)
        for name in wanted
        if any(name in row for row in history)
    }
