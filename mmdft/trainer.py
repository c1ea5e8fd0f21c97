"""DFTTrainer: transformers' Trainer with the answer head's loss in place of the model's own.

Checkpoints, resume, schedules, trackers and callbacks are transformers'. What is ours: the loss is
a sum over answer tokens, divided by their number in the whole optimizer step, over all accumulated
micro-batches and all ranks, for every objective and every architecture alike.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import Trainer

from mmdft.errors import ConfigError, DataError, MmdftError
from mmdft.head import SUMS, AnswerLoss, forward_answers
from mmdft.objectives import OBJECTIVES


class DFTTrainer(Trainer):
    """Fine-tune a vision-language model with an objective of the DFT family.

    Batches are those of `collate_training`: `labels` of shape (batch, length) hold the answer
    tokens' ids and -100 elsewhere. Beside `loss`, every log has, as means over the answer tokens
    since the last one: `nll` (plain negative log-likelihood, in nats), `mean_p`,
    `token_accuracy`, `entropy` (of the model's rows, in nats), `below_0.01` (the share of tokens
    with p < 0.01) and `effective_tokens`, (sum w)^2 / (n sum w^2); `answer_tokens`, their number;
    `clipped`, the share of steps whose gradient was clipped; `padding`, the share of padded
    positions; `tokens_per_second`, all ranks together; and `peak_memory_mb`.

    Args:
        objective: a key of `mmdft.objectives.OBJECTIVES`.
        parameters: the objective's own, such as `{"alpha": 0.5}` for power.
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
        self.objective = partial(OBJECTIVES[objective], **(parameters or {}))
        self.chunk_mb = chunk_mb
        # Qwen2.5-VL and Qwen3-VL say False, and Trainer would then pass no token count: the loss
        # would be a mean of means that changes with the accumulation setting.
        self.model_accepts_loss_kwargs = True
        self._since_log = torch.zeros(len(SUMS), device=self.args.device)
        self._positions = torch.zeros(2, device=self.args.device)
        self._clipped, self._steps = torch.zeros((), device=self.args.device), 0
        self._log_time = time.monotonic()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Loss of one micro-batch: its sum over the answer tokens of the whole step.

        Raises:
            DataError: the loss is not finite; raised before the optimizer steps.
            ConfigError: the model's outputs are asked for; there are none, by design.
        """
        if return_outputs:
            raise ConfigError("no logits are kept to return; evaluate by generation (mmdft eval)")
        names = inputs.pop("example_ids", [])
        answers = self._answers(model, inputs)
        self._since_log += answers.sums
        # A packed batch has no attention mask, and no padding.
        room = inputs["input_ids"].numel()
        used = inputs["attention_mask"].sum() if "attention_mask" in inputs else room
        self._positions += torch.tensor([used, room], device=self.args.device)
        if not torch.isfinite(answers.loss):
            raise DataError(
                f"the loss is {answers.loss.item()} at step {self.state.global_step + 1}, "
                f"examples {', '.join(names)}; lower the learning rate or look at these rows. "
                "The last checkpoint is kept"
            )
        total = (
            answers.sums[SUMS.index("tokens")] if num_items_in_batch is None else num_items_in_batch
        )
        # Ranks average their gradients, so each scales its share up by their number.
        ranks = self.accelerator.num_processes if num_items_in_batch is not None else 1
        return answers.loss * ranks / max(int(total), 1)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """The objective's loss on held-out data, with nll, mean_p and token_accuracy.

        A mean over all answer tokens of the set, whatever the batch size.
        """
        loader = self.get_eval_dataloader(eval_dataset)
        model = self.model_wrapped
        was_training = model.training
        model.eval()
        loss = torch.zeros((), device=self.args.device)
        sums = torch.zeros(len(SUMS), device=self.args.device)
        with torch.no_grad():
            for inputs in loader:
                batch = self._prepare_inputs(inputs)
                batch.pop("example_ids", None)
                answers = self._answers(model, batch)
                loss += answers.loss
                sums += answers.sums
        model.train(was_training)
        loss, sums = self.accelerator.reduce((loss, sums), reduction="sum")
        metrics = {"loss": (loss / sums[SUMS.index("tokens")].clamp(min=1)).item(), **_means(sums)}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the answer tokens' means to a training log; all ranks come here together."""
        if "loss" in logs:
            sums, (used, room) = self.accelerator.reduce(
                (self._since_log, self._positions), reduction="sum"
            )
            now = time.monotonic()
            logs.update(_means(sums))
            logs["clipped"] = (self._clipped / max(self._steps, 1)).item()
            logs["padding"] = (1 - used / room).item()
            logs["tokens_per_second"] = used.item() / (now - self._log_time)
            logs["peak_memory_mb"] = _peak_memory_mb(self.args.device)
            self._since_log, self._positions = torch.zeros_like(sums), self._positions * 0
            self._clipped, self._steps, self._log_time = self._clipped * 0, 0, now
        super().log(logs, start_time)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Clip, and count the steps in which there was something to clip."""
        norm = super()._clip_grad_norm(model)
        self._clipped += torch.as_tensor(norm > self.args.max_grad_norm).to(self._clipped)
        self._steps += 1
        return norm

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the weights; a full disk is an error that names the folder."""
        try:
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

    def _answers(self, model: nn.Module, inputs: dict[str, Any]) -> AnswerLoss:
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        return forward_answers(model, head, inputs, self.objective, self.chunk_mb)


def _means(sums: Tensor) -> dict[str, float]:
    """Means over the answer tokens; NaN where there was none."""
    found = dict(zip(SUMS, sums.tolist(), strict=True))
    tokens = found["tokens"] or math.nan
    return {
        "nll": found["nll"] / tokens,
        "mean_p": found["p"] / tokens,
        "token_accuracy": found["correct"] / tokens,
        "entropy": found["entropy"] / tokens,
        # 1 if all tokens weigh the same, 1/n if one has all the weight
        "effective_tokens": found["weight"] ** 2 / (tokens * (found["weight_squared"] or math.nan)),
        "below_0.01": found["unlikely"] / tokens,
        "answer_tokens": found["tokens"],
    }


def _peak_memory_mb(device: torch.device) -> float:
    """Most memory ever held: on the GPU if there is one, else of this process (Linux: KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
