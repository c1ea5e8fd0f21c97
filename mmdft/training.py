"""`mmdft train`: a configuration to a run folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from mmdft.config import RunConfig
from mmdft.data.dataset import RenderedDataset, RenderedRows
from mmdft.data.features import feature_folder
from mmdft.data.packing import PackedDataset, packed_positions
from mmdft.data.prefixes import shared_prefixes
from mmdft.data.vision import pixel_budget
from mmdft.errors import ConfigError
from mmdft.files import read_json, read_jsonl, write_json
from mmdft.memory import keep_freed_memory
from mmdft.metrics import LogLines, MetricsFile, last_logged
from mmdft.model import load_model, load_processor, parameter_summary
from mmdft.objectives import REFERENCE_OBJECTIVES, STORED_REFERENCE_OBJECTIVES
from mmdft.probing import ProbabilityFile
from mmdft.profiling import StepProfile
from mmdft.provenance import (
    check_run_folder,
    claim_run_folder,
    config_fingerprint,
    held,
    keep_to_provenance,
    model_fingerprint,
    versions,
)
from mmdft.reference import WithReference, frozen_copy, stored_reference
from mmdft.scored_training import ScoredTraining, asked_in_training
from mmdft.stopping import Checkpoints, StopOnSignal, last_checkpoint
from mmdft.trainer import DFTTrainer
from mmdft.training_data import (
    TrainingData,
    blank_image,
    load_data,
    num_quarantined,
    quarantine,
    training_batch,
)
from mmdft.vision_features import VisionFeatures, check_frozen, tower_hash


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


def train(
    config: RunConfig,
    callbacks: Sequence[TrainerCallback] = (),
    profile: StepProfile | None = None,
) -> TrainResult:
    """Fine-tune a model as the configuration says.

    The run folder is `training.output_dir`. Called again with the same configuration it goes on
    from the last whole checkpoint, or returns at once if the run had finished. SIGTERM and SIGINT
    end the training after the step at hand, with a checkpoint.

    Args:
        config: from `load_config`.
        callbacks: transformers callbacks to add.
        profile: times some steps; the training is the same with it.

    Raises:
        ConfigError: the folder holds a run of another configuration, or is at work; a setting is
            impossible; or too few steps are left to be profiled.
        DataError: the data cannot be used, or the loss became non-finite.
        ModelError: the model cannot be loaded.
        MmdftError: a signal ended the training; the message names the step.
    """
    if not config.data.train:
        raise ConfigError("data.train is empty; name at least one training file")
    validated = config.data.validation or config.data.validation_fraction
    if config.training.eval_strategy != "no" and not validated:
        raise ConfigError("training.eval_strategy needs data.validation or validation_fraction")
    run_dir = config.training.output_dir
    check_run_folder(run_dir, config)
    if (run_dir / "summary.json").is_file():
        if profile is not None:
            raise ConfigError(
                f"{run_dir}: this training has ended, so there are no steps to profile; choose "
                "another training.output_dir"
            )
        return _finished(run_dir)
    asked = asked_in_training(config)
    keep_freed_memory()
    processor = load_processor(config.model)
    budget = pixel_budget(processor, config.data.min_pixels, config.data.max_pixels)
    data = load_data(config, processor, budget)
    arguments = _arguments(config)
    set_seed(arguments.seed)
    model = load_model(config.model)
    if config.data.cache_vision is not None:
        check_frozen(model)
    reference = None
    if config.objective.name in REFERENCE_OBJECTIVES and not isinstance(model, PeftModel):
        reference = frozen_copy(model)
    positions = packed_positions(model.config) if config.data.packing else None
    # Ranks that divide a model, or its gradients, must all run all of it: also the vision tower.
    # But not one whose features are kept, which has no gradient.
    must_see = arguments.world_size > 1 and config.data.cache_vision is None
    blank = blank_image(processor, budget) if must_see else None
    packed, sharing = None, None
    if config.data.packing and isinstance(data.rows, RenderedDataset):
        assert data.lengths is not None
        seed = arguments.seed if arguments.data_seed is None else arguments.data_seed
        chains, sharing = shared_prefixes(data.rows.rows, config.data, model.config)
        packed = PackedDataset(data.rows, data.lengths, config.data.max_length, seed, chains)
    probabilities = ProbabilityFile(
        run_dir, RenderedDataset(data.probe, processor, budget), config, arguments.device
    )
    scores = ScoredTraining(config, asked, processor) if asked else None
    stop = StopOnSignal()
    try:
        trainer = DFTTrainer(
            model=model,
            args=arguments,
            train_dataset=data.rows if packed is None else packed,
            eval_dataset=data.held_out,
            data_collator=partial(
                training_batch,
                pad_id=processor.tokenizer.pad_token_id,
                positions=positions,
                blank=blank,
            ),
            processing_class=processor,
            callbacks=[
                # First, so that the clock of LogLines starts after it.
                probabilities,
                MetricsFile(run_dir / "metrics.jsonl"),
                LogLines(),
                *([scores] if scores is not None else []),
                *callbacks,
                *([profile] if profile is not None else []),
                # Last, because they act on what the others ask for.
                stop,
                Checkpoints(run_dir, config.training.save_total_limit, config_fingerprint(config)),
            ],
            objective=config.objective.name,
            parameters=config.objective.parameters,
            segments={
                name: each.model_dump(exclude_none=True)
                for name, each in config.objective.segments.items()
            },
            normalize=config.objective.normalize,
            reference=reference,
            chunk_mb=config.objective.chunk_mb,
        )
    except ImportError as error:
        # Such as an optimizer whose package is not installed.
        raise ConfigError(f"training: {' '.join(str(error).split())}") from error
    if scores is not None:
        scores.follow(trainer)
    if profile is not None:
        profile.follow(trainer)
    # Our lines say the same as the two default callbacks, and more, in one place.
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    rows = len(data.rows if packed is None else packed)
    if arguments.dataloader_drop_last and rows < arguments.train_batch_size * arguments.world_size:
        raise ConfigError(
            f"{rows} rows give no whole batch, so no step is made; lower "
            "training.per_device_train_batch_size or leave out dataloader_drop_last"
        )
    divided = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    if config.data.cache_vision is not None and divided:
        raise ConfigError(
            "data.cache_vision: ranks that divide a model must run the same parts of it together, "
            "and some would have features to compute that others have not; use "
            "configs/accelerate/ddp.yaml, or leave it out"
        )
    # Only now, so that a mistyped name or path does not leave a folder behind.
    with held(run_dir) if trainer.is_world_process_zero() else nullcontext():
        claim_run_folder(run_dir, config)
        trainer.set_aside = quarantine(run_dir, config, data, arguments.process_index)
        parameters = parameter_summary(model)
        if trainer.is_world_process_zero():
            _announce(config, data, parameters)
            if packed is not None:
                most = config.data.max_length
                print(
                    f"packed into {len(packed):,} rows of at most {most:,} tokens", file=sys.stderr
                )
            if sharing is not None:
                print(sharing, file=sys.stderr)
            keep_to_provenance(
                run_dir / "provenance.json",
                {
                    "versions": versions(),
                    "data": data.fingerprint,
                    "model": model_fingerprint(config.model.name, config.model.revision),
                    "parameters": parameters,
                    "device": str(arguments.device),
                    "processes": arguments.world_size,
                },
                # With another number of processes a step would have other examples.
                keys=["data", "model", "processes"],
            )
        if config.objective.name in STORED_REFERENCE_OBJECTIVES:
            _give_reference(trainer, packed, run_dir)
        if config.data.cache_vision is not None:
            trainer.features = _keep_features(trainer, config, data, processor)
        checkpoint = last_checkpoint(run_dir, config_fingerprint(config))
        # A run that goes on has had that evaluation.
        arguments.eval_on_start &= checkpoint is None
        with stop:
            trainer.train(resume_from_checkpoint=checkpoint)
        _save_final(trainer, run_dir / "model")
        probabilities.write_after(trainer.model, trainer.is_world_process_zero())
        summary = {
            "objective": config.objective.name,
            "steps": trainer.state.global_step,
            "examples": len(data.rows),
            "quarantined": num_quarantined(trainer.set_aside),
            "parameters": parameters["all"]["total"],
            "trainable": parameters["all"]["trainable"],
            **last_logged(trainer.state.log_history),
        }
        if trainer.is_world_process_zero():
            write_json(run_dir / "summary.json", summary)
        return TrainResult(
            run_dir=run_dir,
            model_dir=run_dir / "model",
            summary=summary,
            history=trainer.state.log_history,
        )


def _give_reference(trainer: DFTTrainer, packed: PackedDataset | None, run_dir: Path) -> None:
    """Have the trainer's examples carry the reference's log-probabilities."""
    if trainer.is_world_process_zero():
        print("computing the reference's log-probabilities", file=sys.stderr)

    def stored(name: str, dataset: RenderedRows) -> WithReference:
        return stored_reference(
            run_dir / name, trainer.model, dataset, trainer.accelerator, trainer.chunk_mb
        )

    if packed is None:
        trainer.train_dataset = stored("reference.safetensors", trainer.train_dataset)
    else:
        packed.dataset = stored("reference.safetensors", packed.dataset)
    if trainer.eval_dataset is not None:
        trainer.eval_dataset = stored("reference_validation.safetensors", trainer.eval_dataset)


def _keep_features(
    trainer: DFTTrainer, config: RunConfig, data: TrainingData, processor: Any
) -> VisionFeatures:
    """Have images' features looked for by what reads the rows; returns what computes the others."""
    root = config.data.cache_vision
    assert root is not None
    model: Any = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}
    tower = tower_hash(model, trainer.args.device, half.get(trainer.accelerator.mixed_precision))
    folder = feature_folder(root, tower, processor)
    data.rows.features = folder
    if data.held_out is not None:
        data.held_out.features = folder
    most = round(config.data.cache_vision_gb * 10**9)
    return VisionFeatures(model, folder, root, most, trainer.args.world_size)


def _announce(config: RunConfig, data: TrainingData, parameters: dict[str, dict[str, int]]) -> None:
    """Say what is about to be trained, and on what."""
    parts = ", ".join(
        f"{part} {count['trainable']:,} of {count['total']:,}"
        for part, count in parameters.items()
        if part != "all"
    )
    kind = "examples" if data.segments is not None else "streamed rows"
    lines = [
        f"{config.objective.name} on {len(data.rows):,} {kind} into {config.training.output_dir}"
    ]
    if data.segments is not None:
        tokens = (f"{name.replace('_', ' ')} {n:,}" for name, n in data.segments.items())
        lines.append(f"answer tokens: {', '.join(tokens)}")
    lines.append(f"trained parameters: {parts}")
    if data.bad:
        lines.append(
            f"set aside: {len(data.bad)} rows, all in quarantine.jsonl; the first: {data.bad[0]}"
        )
    lines += data.notes
    if data.leaks:
        lines.append(f"all leaks are in {config.training.output_dir / 'leaks.jsonl'}")
    print("\n".join(lines), file=sys.stderr)


def _arguments(config: RunConfig) -> TrainingArguments:
    """The Trainer's arguments; without an accelerator it is told to use the CPU."""
    values = {"use_cpu": not torch.accelerator.is_available(), **config.training.arguments()}
    # `Checkpoints` keeps to it; Trainer would leave halves of checkpoints behind when killed.
    values.pop("save_total_limit", None)
    # A loss that is not finite is an error here; to look for it twice a batch would wait for a GPU.
    values.setdefault("logging_nan_inf_filter", False)
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
