"""DFTTrainer: transformers' Trainer with the answer head's loss in place of the model's own.

Checkpoints, resume, schedules, trackers and callbacks are transformers'. What is ours: the loss is
a sum over answer tokens, divided by their number in the whole optimizer step, over all accumulated
micro-batches and all ranks, for every objective and every architecture alike. Where an objective or
the normalisation needs to know the whole step before its first backward pass, a forward pass over
the step's micro-batches comes first.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal

import torch
from accelerate.utils import fsdp2_prepare_model
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import Trainer

from mmdft.answer_loss import SUMS, AnswerLoss
from mmdft.data.collate import IGNORE
from mmdft.data.segments import SEGMENTS
from mmdft.errors import ConfigError, DataError, MmdftError
from mmdft.head import answer_logp, check_projection, forward_answers
from mmdft.objectives import (
    OBJECTIVES,
    REFERENCE_OBJECTIVES,
    SEQUENCE_OBJECTIVES,
    STATISTICS_OBJECTIVES,
    TOKEN_OBJECTIVES,
    Answers,
    BatchStatistics,
    Objective,
    SequenceObjective,
    mean_by_example,
    sft,
)
from mmdft.reference import reference_projection
from mmdft.sampling import flat_order
from mmdft.vision_features import VisionFeatures

# Where every weight of a step is 0, so is its loss.
_TINY = 1e-12


class DFTTrainer(Trainer):
    """Fine-tune a vision-language model with an objective of the DFT family.

    Batches are those of `collate_training`: `labels` of shape (batch, length) hold the answer
    tokens' ids and -100 elsewhere. Beside `loss`, every log has, as means over the answer tokens
    since the last one: `nll` (plain negative log-likelihood, in nats), `mean_p`,
    `token_accuracy`, `entropy` (of the model's rows, in nats), `below_0.01` (the share of tokens
    with p < 0.01) and `effective_tokens`, (sum w)^2 / (n sum w^2); `answer_tokens`, their number;
    `clipped`, the share of steps whose gradient was clipped; `padding`, the share of padded
    positions; `tokens_per_second`, all ranks together, a shared prefix once; and `peak_memory_mb`.

    Objectives that pull towards a reference also log `divergence`, the mean KL(reference || p) in
    nats.

    Args:
        objective: one of `mmdft.objectives.OBJECTIVES`.
        parameters: the objective's own, such as `{"alpha": 0.5}` for power.
        segments: by name of `mmdft.data.segments.SEGMENTS`, what its tokens weigh instead
            (`{"weight": 1.0}`), or what all they contribute is multiplied by
            (`{"multiplier": 2.0}`).
        normalize: divide the step's loss by its number of answer tokens, or by their summed weights
            (which costs a forward pass over the step).
        reference: the frozen reference model of asft and sft_kl; None with an adapter, whose base
            is the reference.
        chunk_mb: memory for one chunk of the answer head's logits, in MiB.
        *args: as for `transformers.Trainer`.
        **kwargs: as for `transformers.Trainer`.

    Raises:
        ConfigError: settings under which the loss would not be the one described.
    """

    def __init__(
        self,
        *args: Any,
        objective: str = "dft",
        parameters: Mapping[str, float] | None = None,
        segments: Mapping[str, Mapping[str, float]] | None = None,
        normalize: Literal["tokens", "weights"] = "tokens",
        reference: nn.Module | None = None,
        chunk_mb: int = 256,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if objective not in OBJECTIVES:
            raise ConfigError(f"unknown objective {objective!r}; known: {', '.join(OBJECTIVES)}")
        if self.args.n_gpu > 1:
            raise ConfigError(
                f"{self.args.n_gpu} GPUs in one process; start with `accelerate launch`, "
                "or choose one with CUDA_VISIBLE_DEVICES"
            )
        if not self.args.average_tokens_across_devices:
            raise ConfigError("training.average_tokens_across_devices must stay true")
        self.objective: Objective = sft
        self.sequence: SequenceObjective | None = None
        if objective in SEQUENCE_OBJECTIVES:
            self.sequence = partial(SEQUENCE_OBJECTIVES[objective], **(parameters or {}))
        else:
            self.objective = partial(TOKEN_OBJECTIVES[objective], **(parameters or {}))
        self.needs_statistics = objective in STATISTICS_OBJECTIVES
        self.normalize = normalize
        self.segments = _segment_table(segments, self.args.device)
        self.reference = (
            self._place_reference(objective, reference)
            if objective in REFERENCE_OBJECTIVES
            else None
        )
        self.chunk_mb = chunk_mb
        # Qwen2.5-VL and Qwen3-VL say False, and Trainer would then pass no token count: the loss
        # would be a mean of means that changes with the accumulation setting.
        self.model_accepts_loss_kwargs = True
        # Called with the rows of a step that cannot be used, where a dataset gives such.
        self.set_aside: Any = None
        # Gives batches their images' features, where these are kept.
        self.features: VisionFeatures | None = None
        # What is known of the model at this step beside its loss, for the choice of the best one.
        self.also_measured: Callable[[], Mapping[str, float]] | None = None
        # What is done while open belongs to the part of a step that it is called with.
        self.timed: Callable[[str], AbstractContextManager[Any]] = nullcontext
        self._statistics: BatchStatistics | None = None
        self._projection_checked = False
        # Of the step at hand, each micro-batch's loss and the ids of its examples.
        self._losses: list[tuple[Tensor, list[str]]] = []
        self._since_log = torch.zeros(len(SUMS), device=self.args.device)
        self._positions = torch.zeros(2, device=self.args.device)
        self._clipped, self._steps = torch.zeros((), device=self.args.device), 0
        self._log_time = time.monotonic()

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The micro-batches of an optimizer step, and what its loss is divided by.

        Raises:
            DataError: no rank has an answer token in the whole step.
        """
        with self.timed("data wait"):
            batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batches:
            return batches, count
        bad = [row for batch in batches for row in batch.pop("bad_rows", [])]
        if bad:
            self.set_aside(bad)
        # Where bad rows are met in training, a step may have been made of them alone.
        if self.set_aside is None and not int(count):
            names = [name for batch in batches for name in batch.get("example_ids", [])]
            raise DataError(
                f"step {self.state.global_step + 1} has no answer token to train on, "
                f"examples {', '.join(names)}; look at their masks"
            )
        if self.needs_statistics:
            self._statistics = self._statistics_of(batches)
        if self.normalize == "weights":
            count = self._summed(batches)[1][SUMS.index("weight")]
        return batches, count

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Loss of one micro-batch: its sum over the answer tokens of the whole step.

        Raises:
            ConfigError: the model's outputs are asked for; there are none, by design.
        """
        if return_outputs:
            raise ConfigError("no logits are kept to return; evaluate by generation (mmdft eval)")
        names = inputs.pop("example_ids", [])
        if not self._projection_checked:
            self._check_projection(model, inputs)
        answers = self._answers(model, inputs)
        self._since_log += answers.sums
        # A packed batch has no attention mask, and no padding.
        ids = inputs["input_ids"]
        used = inputs.get("attention_mask", torch.ones_like(ids)).sum()
        self._positions += torch.stack([used, used.new_full((), ids.numel())])
        self._losses.append((answers.loss.detach(), names))
        if self.is_deepspeed_enabled:
            # It makes its step within the last backward pass, before any norm is asked for.
            self._refuse_what_is_not_finite()
        total = self._divisor(answers.sums) if num_items_in_batch is None else num_items_in_batch
        # Ranks average their gradients, so each scales its share up by their number.
        ranks = self.accelerator.num_processes if num_items_in_batch is not None else 1
        return answers.loss * ranks / torch.as_tensor(total).clamp(min=_TINY)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """The objective's loss on held-out data, with nll, mean_p and token_accuracy.

        A mean over all answer tokens of the set, whatever the batch size.
        """
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        with self.untimed():
            if self.needs_statistics:
                self._statistics = self._statistics_of(self._eval_batches(dataset))
            loss, sums = self._summed(self._eval_batches(dataset))
        metrics = {"loss": (loss / self._divisor(sums).clamp(min=_TINY)).item()}
        metrics.update(self._means(sums.tolist()))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self.log(metrics)
        if self.also_measured is not None:
            metrics = {**self.also_measured(), **metrics}
        self.control: Any = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """What is done while open does not count in `tokens_per_second`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._log_time += time.monotonic() - start

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the answer tokens' means to a training log; all ranks come here together."""
        if "loss" in logs:
            sums, positions = self.accelerator.reduce(
                (self._since_log, self._positions), reduction="sum"
            )
            # Read at once: a GPU is waited for at each reading.
            *sums, used, room, clipped = torch.cat([sums, positions, self._clipped[None]]).tolist()
            now = time.monotonic()
            logs.update(self._means(sums))
            logs["clipped"] = clipped / max(self._steps, 1)
            logs["padding"] = 1 - used / room
            logs["tokens_per_second"] = used / (now - self._log_time)
            logs["peak_memory_mb"] = _peak_memory_mb(self.args.device)
            self._since_log, self._positions = self._since_log * 0, self._positions * 0
            self._clipped, self._steps, self._log_time = self._clipped * 0, 0, now
        super().log(logs, start_time)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The Trainer's; its order is the same, and held in less memory."""
        return flat_order(super().get_train_dataloader())

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The gradient's norm, the last that is asked for before the optimizer steps.

        Losses are looked at here, all of the step at once: to read one makes a GPU be waited for.

        Raises:
            DataError: a loss of the step is not finite.
        """
        self._refuse_what_is_not_finite()
        return super()._get_grad_norm(model, grad_norm=grad_norm)

    def _refuse_what_is_not_finite(self) -> None:
        losses, self._losses = self._losses, []
        if not losses:
            return
        for loss, (_, names) in zip(
            torch.stack([loss for loss, _ in losses]).tolist(), losses, strict=True
        ):
            if not math.isfinite(loss):
                raise DataError(
                    f"the loss is {loss} at step {self.state.global_step + 1}, examples "
                    f"{', '.join(names)}; look at these rows, or lower the learning rate in "
                    "another output_dir. No step was made of it, and the checkpoints are kept"
                )

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Clip, and count the steps in which there was something to clip."""
        with self.timed("optimizer"):
            norm = super()._clip_grad_norm(model)
        total = norm.full_tensor() if isinstance(norm, DTensor) else torch.as_tensor(norm)
        self._clipped += (total > self.args.max_grad_norm).to(self._clipped)
        self._steps += 1
        return norm

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the weights, whole; a full disk is an error that names the folder.

        Under FSDP2 transformers saves no final model with sharded checkpoints, and a tied weight
        under both its names, by which it is read back as two.
        """
        try:
            if self.is_fsdp_enabled:
                if _internal_call and "FULL" not in str(self._fsdp().state_dict_type):
                    return
                weights = self.accelerator.get_state_dict(self.model_wrapped)
                tied = getattr(
                    self.accelerator.unwrap_model(self.model), "all_tied_weights_keys", {}
                )
                self._save(output_dir, {n: w for n, w in weights.items() if n not in tied})
            else:
                super().save_model(output_dir, _internal_call)
        except SafetensorError as error:
            # How safetensors reports what would be an OSError elsewhere.
            raise MmdftError(
                f"{output_dir}: the weights cannot be written ({error}); free some space, then "
                "run the same command again"
            ) from error

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save a checkpoint; a full disk is an error that names the folder."""
        try:
            super()._save_checkpoint(model, trial)
        except RuntimeError as error:
            # torch.save reports a failed write by its zip writer's name only.
            if "inline_container" not in str(error):
                raise
            raise MmdftError(
                f"{self.args.output_dir}: the checkpoint of step {self.state.global_step} cannot "
                "be written; free some space, then run the same command again"
            ) from error

    def _save_rng_state(self, output_dir: str) -> None:
        """Save it, and wait for the other ranks: what is written next says the rest is there."""
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train an epoch; Trainer would add a step to a checkpoint that had been the last."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        """Load a checkpoint's weights, all of them or none.

        transformers 5.23 saves a VLM's weights under the hub's names and loads them back under the
        module's own: nothing matches, a warning is logged, and the run would go on from the base.
        """
        target: Any = self.model if model is None else model
        if isinstance(target, PeftModel) or self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype)
        target.load_state_dict(saved.state_dict(), strict=True)

    def _load_best_model(self) -> None:
        """The same for `load_best_model_at_end`, which has the same fault."""
        if isinstance(self.model, PeftModel) or self.is_fsdp_enabled:
            super()._load_best_model()
        else:
            self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _prepare_inputs(self, inputs: Any) -> dict[str, Any]:
        """A batch on the device, with its images' features in place of what stands for them."""
        prepared: dict[str, Any] = super()._prepare_inputs(
            {name: value for name, value in inputs.items() if name != "vision"}
        )
        if self.features is None or "vision" not in inputs:
            return prepared
        with self.accelerator.autocast():
            return self.features.complete(prepared, inputs["vision"], self.args.device)

    def _answers(self, model: nn.Module, inputs: dict[str, Any]) -> AnswerLoss:
        reference = None
        if self.reference is not None:
            with self.accelerator.autocast():
                reference = reference_projection(self.reference, inputs)
        return forward_answers(
            model,
            self._head(model),
            inputs,
            self.objective,
            self.chunk_mb,
            sequence=self.sequence,
            segments=self.segments,
            reference=reference,
            statistics=self._statistics,
        )

    def _head(self, model: nn.Module) -> nn.Module:
        inner: Any = self.accelerator.unwrap_model(model)
        return inner.get_output_embeddings()  # type: ignore[no-any-return]

    @torch.no_grad()
    def _summed(self, batches: Iterable[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Loss and SUMS over batches and all ranks, without a gradient and without dropout."""
        loss = torch.zeros((), device=self.args.device)
        sums = torch.zeros(len(SUMS), device=self.args.device)
        for inputs in self._without_training(batches):
            answers = self._answers(self.model_wrapped, inputs)
            loss += answers.loss
            sums += answers.sums
        loss, sums = self.accelerator.reduce((loss, sums), reduction="sum")
        return loss, sums

    def _statistics_of(self, batches: Iterable[dict[str, Any]]) -> BatchStatistics:
        """Mean and deviation of the examples' mean NLL over batches and all ranks."""
        losses = torch.cat(
            [
                _losses_of_examples(
                    answer_logp(
                        self.model_wrapped, self._head(self.model_wrapped), inputs, self.chunk_mb
                    )
                )
                for inputs in self._without_training(batches)
            ]
        )
        count, total = self.accelerator.reduce(
            (losses.new_full((), len(losses)), losses.sum()), reduction="sum"
        )
        mean = total / count
        squares = self.accelerator.reduce((losses - mean).square().sum(), reduction="sum")
        return BatchStatistics(*torch.stack([mean, (squares / count).sqrt()]).tolist())

    def _without_training(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The batches on the device, less the examples' ids; the model in evaluation mode."""
        model = self.model_wrapped
        was_training = model.training
        model.eval()
        try:
            for batch in batches:
                yield self._prepare_inputs({k: v for k, v in batch.items() if k != "example_ids"})
        finally:
            model.train(was_training)

    def _eval_batches(self, dataset: Any) -> Iterator[dict[str, Any]]:
        """This rank's share of the held-out examples, each of them on one rank only.

        A rank that has run out goes on with a batch without answers, so that all ranks take part
        in what the model does together.
        """
        ranks, size = self.accelerator.num_processes, self.args.per_device_eval_batch_size
        mine = range(self.accelerator.process_index, len(dataset), ranks)
        loader = DataLoader(
            dataset,
            batch_sampler=[list(mine[at : at + size]) for at in range(0, len(mine), size)],
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
        )
        for batch in loader:
            bad = batch.pop("bad_rows", [])
            if bad:
                self.set_aside(bad)
            yield batch
        most = -(-len(range(0, len(dataset), ranks)) // size)
        for _ in range(most - len(loader)):
            batch = self.data_collator([dataset[0]])
            batch.pop("bad_rows", None)
            yield {**batch, "labels": torch.full_like(batch["labels"], IGNORE)}

    def _check_projection(self, model: nn.Module, inputs: dict[str, Any]) -> None:
        # Not as compiled: this runs once.
        inner = self.accelerator.unwrap_model(model, keep_torch_compile=False)
        was_training = inner.training
        inner.eval()
        check_projection(inner, self._head(inner), inputs)
        inner.train(was_training)
        self._projection_checked = True

    def _place_reference(self, objective: str, reference: nn.Module | None) -> nn.Module:
        """The reference, where the model will be."""
        plugin = getattr(self.accelerator.state, "deepspeed_plugin", None)
        if plugin is not None and plugin.zero_stage == 3:
            raise ConfigError(
                f"objective {objective} has no reference under DeepSpeed ZeRO-3, which takes "
                "weights away between forward passes; use FSDP2 (configs/accelerate/fsdp2.yaml)"
            )
        if isinstance(self.model, PeftModel):
            adapted: nn.Module = self.model
            return adapted
        if reference is None:
            raise ConfigError(
                f"objective {objective} needs a reference model: give "
                "reference=mmdft.reference.frozen_copy(model), or train an adapter"
            )
        if self.accelerator.is_fsdp2:
            reference = fsdp2_prepare_model(self.accelerator, reference)
            return reference
        return reference.to(self.args.device)

    def _fsdp(self) -> Any:
        return self.accelerator.state.fsdp_plugin

    def _divisor(self, sums: Tensor) -> Tensor:
        return sums[SUMS.index("weight" if self.normalize == "weights" else "tokens")]

    def _means(self, sums: Sequence[float]) -> dict[str, float]:
        """Means over the answer tokens; NaN where there was none."""
        found = dict(zip(SUMS, sums, strict=True))
        tokens, squares = found["tokens"] or math.nan, found["weight_squared"] or 1.0
        means = {
            "nll": found["nll"] / tokens,
            "mean_p": found["p"] / tokens,
            "token_accuracy": found["correct"] / tokens,
            "entropy": found["entropy"] / tokens,
            # 1 if all tokens weigh the same, 1/n if one has all the weight, 0 if none has any
            "effective_tokens": found["weight"] ** 2 / (tokens * squares),
            "below_0.01": found["unlikely"] / tokens,
            "answer_tokens": found["tokens"],
        }
        if self.reference is not None:
            means["divergence"] = found["divergence"] / tokens
        return means


def _losses_of_examples(answers: Answers) -> Tensor:
    """Mean negative log-likelihood of each example that has an answer token, (examples,)."""
    first = torch.ones_like(answers.example, dtype=torch.bool)
    first[1:] = answers.example[1:] != answers.example[:-1]
    return -mean_by_example(answers, answers.logp)[first]


def _segment_table(
    segments: Mapping[str, Mapping[str, float]] | None, device: torch.device
) -> Tensor | None:
    """Weight in place of the objective's (NaN for none) and multiplier, (segments, 2)."""
    if not segments:
        return None
    unknown = set(segments) - set(SEGMENTS)
    if unknown:
        raise ConfigError(f"unknown segments {sorted(unknown)}; known: {', '.join(SEGMENTS)}")
    rows = [segments.get(name, {}) for name in SEGMENTS]
    return torch.tensor(
        [[row.get("weight", math.nan), row.get("multiplier", 1.0)] for row in rows], device=device
    )


def _peak_memory_mb(device: torch.device) -> float:
    """Most memory ever held: on the GPU if there is one, else of this process (Linux: KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
