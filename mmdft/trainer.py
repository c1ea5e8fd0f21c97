"""DFTTrainer: transformers' Trainer with the answer head's loss in place of the model's own.

Checkpoints, resume, schedules, trackers and callbacks are transformers'. What is ours: the loss is
a sum over answer tokens, divided by their number in the whole optimizer step, over all accumulated
micro-batches and all ranks, for every objective and every architecture alike.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import Trainer

from mmdft.errors import ConfigError, DataError, MmdftError
from mmdft.head import AnswerLoss, forward_answers
from mmdft.objectives import OBJECTIVES


class DFTTrainer(Trainer):
    """Fine-tune a vision-language model with an objective of the DFT family.

    Batches are those of `collate_training`: `labels` of shape (batch, length) hold the answer
    tokens' ids and -100 elsewhere. Beside `loss`, every log has, as means over the answer tokens
    since the last one: `nll` (plain negative log-likelihood, in nats), `mean_p` and
    `token_accuracy`; and `answer_tokens`, their number.

    Args:
        objective: a key of `mmdft.objectives.OBJECTIVES`.
        chunk_mb: memory for one chunk of the answer head's logits, in MiB.
        *args: as for `transformers.Trainer`.
        **kwargs: as for `transformers.Trainer`.

    Raises:
        ConfigError: settings under which the loss would not be the one described.
    """

    def __init__(
        self, *args: Any, objective: str = "dft", chunk_mb: int = 256, **kwargs: Any
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
        self.objective = OBJECTIVES[objective]
        self.chunk_mb = chunk_mb
        # Qwen2.5-VL and Qwen3-VL say False, and Trainer would then pass no token count: the loss
        # would be a mean of means that changes with the accumulation setting.
        self.model_accepts_loss_kwargs = True
        self._since_log = torch.zeros(4, device=self.args.device)

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
        """
        if return_outputs:
            raise NotImplementedError("no logits are kept; evaluate by generation (mmdft eval)")
        names = inputs.pop("example_ids", [])
        answers = self._answers(model, inputs)
        self._since_log += _sums(answers)
        if not torch.isfinite(answers.loss):
            raise DataError(
                f"the loss is {answers.loss.item()} at step {self.state.global_step + 1}, "
                f"examples {', '.join(names)}; lower the learning rate or look at these rows. "
                "The last checkpoint is kept"
            )
        total = answers.tokens if num_items_in_batch is None else num_items_in_batch
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
        sums = torch.zeros(4, device=self.args.device)
        with torch.no_grad():
            for inputs in loader:
                batch = self._prepare_inputs(inputs)
                batch.pop("example_ids", None)
                answers = self._answers(model, batch)
                loss += answers.loss
                sums += _sums(answers)
        model.train(was_training)
        loss, sums = self.accelerator.reduce((loss, sums), reduction="sum")
        metrics = {"loss": (loss / sums[3].clamp(min=1)).item(), **_means(sums)}
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the answer tokens' means to a training log; all ranks come here together."""
        if "loss" in logs:
            sums = self.accelerator.reduce(self._since_log, reduction="sum")
            self._since_log = torch.zeros_like(self._since_log)
            logs.update(_means(sums))
        super().log(logs, start_time)

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


def _sums(answers: AnswerLoss) -> Tensor:
    return torch.stack([answers.nll, answers.probability, answers.correct, answers.tokens])


def _means(sums: Tensor) -> dict[str, float]:
    nll, probability, correct, count = sums.tolist()
    tokens = max(count, 1.0)
    return {
        "nll": nll / tokens,
        "mean_p": probability / tokens,
        "token_accuracy": correct / tokens,
        "answer_tokens": count,
    }
