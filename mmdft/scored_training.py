"""A model's scores while it is trained: benchmarks answered by generation every so many steps.

`RUN/evaluations/step-N` is an evaluation's folder as `mmdft eval` writes it, but that the answers
are judged under the headline rule set alone; two of them can be compared.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import TrainerCallback

from mmdft.config import BenchmarkConfig, EvaluationConfig, RunConfig
from mmdft.config_loading import dump_config
from mmdft.data.progress import told
from mmdft.data.vision import pixel_budget
from mmdft.diagnostics import evaluating
from mmdft.errors import ConfigError
from mmdft.evals.asking import PREDICTIONS, answer_into, requests_for
from mmdft.evals.backends import Backend
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.generate import generate
from mmdft.evals.items import write_items
from mmdft.evals.run import ask
from mmdft.evals.scoring import score_file
from mmdft.files import write_json, write_text
from mmdft.provenance import config_fingerprint, fingerprint, versions
from mmdft.records import Example, Prediction, Request, Unanswered

# Stands for an item where a rank has fewer of them than another.
_FILLER = "\0filler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A benchmark that a training is scored by."""

    chosen: BenchmarkConfig
    label: str
    examples: Sequence[Example]


def asked_in_training(config: RunConfig) -> list[Asked]:
    """The benchmarks that a training answers; none without `evaluation.every_steps`.

    Raises:
        ConfigError: there is nothing to ask or to judge by, or another backend than the model in
            training is to answer.
        DataError: a benchmark's data cannot be used.
    """
    settings = config.evaluation
    if settings.every_steps is None:
        return []
    if not settings.benchmarks:
        raise ConfigError(
            "evaluation.every_steps is set but evaluation.benchmarks is empty; name the benchmarks "
            "to answer, or leave every_steps out"
        )
    if settings.backend.name != "transformers":
        raise ConfigError(
            f"evaluation.backend is {settings.backend.name!r}, and evaluation.every_steps has the "
            "model in training answer; set evaluation.backend: transformers, or leave every_steps "
            "out"
        )
    found = []
    for chosen in settings.benchmarks:
        label = chosen.label or chosen.name
        if label == "token":
            raise ConfigError(
                "evaluation.benchmarks: a benchmark labelled 'token' would be logged as "
                "eval_token_accuracy, which is another metric; give it another label"
            )
        examples = ask(chosen, settings.of(chosen))
        if all(example.answer is None for example in examples):
            raise ConfigError(
                f"evaluation.benchmarks: no item of {label} has a gold answer, so that a training "
                "cannot be scored by it; take a split whose golds are published"
            )
        found.append(Asked(chosen=chosen, label=label, examples=examples))
    return found


class ScoredTraining(TrainerCallback):
    """Answers benchmarks every so many optimizer steps and after the last, and logs the scores.

    Of each benchmark, by its label: `eval_LABEL_accuracy`, `eval_LABEL_standard_error`, and the
    shares `eval_LABEL_no_answer` and `eval_LABEL_truncated`, under the benchmark's headline rule
    set, in the precision of the training. NaN where nothing could be judged; items that memory
    does not hold are counted in `eval_LABEL_unanswered`, which is logged if there are any.

    The training goes on as if nothing had been asked: random numbers, the modules' modes and the
    decoding settings are put back, and the time is not counted in `tokens_per_second`. The ranks
    share the items; where they share the model too, all make the same forward passes.

    Args:
        config: the run's.
        asked: from `asked_in_training`.
        processor: the model's.
    """

    trainer: Any
    """the `DFTTrainer`; set by `follow`"""

    def __init__(self, config: RunConfig, asked: Sequence[Asked], processor: Any) -> None:
        self.config, self.asked, self.processor = config, asked, processor
        self.budget = pixel_budget(processor, *config.evaluation_pixels())
        assert config.evaluation.every_steps is not None
        self.every = config.evaluation.every_steps

    def follow(self, trainer: Any) -> None:
        """Belong to a trainer; if it picks its best checkpoint by a score, give it that score.

        Raises:
            ConfigError: the model is divided in a way that it cannot be asked in.
        """
        accelerator = trainer.accelerator
        deepspeed = getattr(accelerator.state, "deepspeed_plugin", None)
        if (trainer.is_fsdp_enabled and not accelerator.is_fsdp2) or (
            deepspeed is not None and deepspeed.zero_stage == 3
        ):
            raise ConfigError(
                "evaluation.every_steps: a model divided by FSDP 1 or DeepSpeed ZeRO-3 is not "
                "asked in training; use FSDP2 (configs/accelerate/fsdp2.yaml), or leave "
                "every_steps out"
            )
        self.trainer = trainer
        best = trainer.args.metric_for_best_model
        if best is not None and best.removeprefix("eval_") in {
            f"{each.label}_accuracy" for each in self.asked
        }:
            trainer.also_measured = self.scores

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Answer, if it is time."""
        if state.global_step % self.every == 0:
            self.scores()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Answer, if the training ends here."""
        if control.should_training_stop:
            self.scores()

    def scores(self) -> dict[str, float]:
        """This step's scores; logged, the first time that they are asked for."""
        state, control = self.trainer.state, self.trainer.control
        for row in reversed(state.log_history):
            if row["step"] == state.global_step and f"eval_{self.asked[0].label}_accuracy" in row:
                return {name: row[name] for name in row if name.startswith("eval_")}
        with self.trainer.untimed():
            found = self._measured()
        # A log takes back that one is wanted; the step's own is still to come.
        wanted = control.should_log
        self.trainer.log(dict(found))
        control.should_log = wanted
        return found

    def _measured(self) -> dict[str, float]:
        """Answer and judge all benchmarks; all ranks come here, and get the same."""
        accelerator, args = self.trainer.accelerator, self.trainer.args
        step = self.trainer.state.global_step
        folder = self.config.training.output_dir / "evaluations" / f"step-{step}"
        backend = Backend(
            identity={
                "backend": "transformers",
                "model": f"step {step} of the run {config_fingerprint(self.config)}",
                "dtype": self.config.model.dtype,
                "pixels": asdict(self.budget),
            },
            details={"device": str(args.device), "processes": args.world_size},
            answer=lambda requests: iter([answers]),
        )
        if accelerator.is_main_process:
            # What a killed run may have left of it.
            shutil.rmtree(folder, ignore_errors=True)
            write_text(folder / "config.yaml", dump_config(self.config))
            data = {each.label: fingerprint(each.examples) for each in self.asked}
            write_json(
                folder / "provenance.json",
                {**backend.identity, **backend.details, "versions": versions(), "data": data},
            )
        metrics: dict[str, float] = {}
        results = {}
        for each in self.asked:
            own = self.config.evaluation.of(each.chosen)
            requests = requests_for(each.examples, own, each.label)
            answers = self._answers(requests, own, each.label)
            if accelerator.is_main_process:
                write_items(folder / each.label, each.examples)
                unanswered = answer_into(folder / each.label, requests, backend, own)
                if len(unanswered) < len(requests):
                    results[each.label] = score_file(
                        folder / each.label / PREDICTIONS,
                        benchmark=each.chosen.name,
                        data=each.chosen.path,
                        split=each.chosen.split,
                        rules=benchmark_named(each.chosen.name).rules[:1],
                        out=folder / each.label / "scored.jsonl",
                    )
                metrics |= _metrics(each.label, results.get(each.label), len(unanswered))
        if accelerator.is_main_process:
            write_json(folder / "results.json", results)
        # Judged once, because a comparison that is cut off by its time may end otherwise elsewhere.
        [metrics] = broadcast_object_list([metrics])
        return metrics

    def _answers(
        self, requests: Sequence[Request], settings: EvaluationConfig, label: str
    ) -> list[Prediction | Unanswered]:
        """All ranks' answers."""
        trainer = self.trainer
        model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        rank, ranks = trainer.accelerator.process_index, trainer.accelerator.num_processes
        divided = isinstance(model, FSDPModule)
        if divided:
            size = settings.batch_size
            if size == "auto":
                # Ranks may find different amounts of free memory.
                size = trainer.args.per_device_eval_batch_size
            settings = settings.model_copy(update={"batch_size": size})
            shares = equal_shares(requests, ranks)[rank]
        else:
            shares = [list(requests[rank::ranks])]
        batches = (
            batch
            for share in shares
            for batch in generate(
                model, self.processor, share, self.budget, settings, in_step=divided
            )
        )
        with _as_before(model, trainer.args.device), trainer.accelerator.autocast():
            answers = list(
                told(batches, f"answering {label}", sum(map(len, shares)), unit="answers")
            )
        return [each for each in gather_object(answers) if each.id != _FILLER]


def equal_shares(requests: Sequence[Request], ranks: int) -> list[list[list[Request]]]:
    """For each rank what it answers, with images and then without, as many as any other rank.

    Ranks that divide a model must all run the same parts of it at the same time.
    """
    shares: list[list[list[Request]]] = [[] for _ in range(ranks)]
    for group in (
        [request for request in requests if request.example.images],
        [request for request in requests if not request.example.images],
    ):
        if not group:
            continue
        filler = replace(group[0], example=replace(group[0].example, id=_FILLER))
        full = [*group, *[filler] * (-len(group) % ranks)]
        for rank in range(ranks):
            shares[rank].append(full[rank::ranks])
    return shares


@contextmanager
def _as_before(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode while open; then all is put back that answering changes."""
    decoding = [(module, vars(module).get("generation_config")) for module in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()
    # Of a wrapped adapter the root's forward pass is never called, which would gather its weights.
    root = model if isinstance(model, FSDPModule) and hasattr(model, "get_base_model") else None
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), evaluating(model):
            if root is not None:
                root.unshard()
            yield
    finally:
        if root is not None:
            root.reshard()
        random.setstate(python)
        np.random.set_state(numpy)
        for module, before in decoding:
            if before is None:
                vars(module).pop("generation_config", None)
            else:
                module.generation_config = before


def _metrics(label: str, scored: Mapping[str, Any] | None, unanswered: int) -> dict[str, float]:
    """What is logged of one benchmark, from what `score_file` returns; None: nothing to score."""
    summary = {} if scored is None else next(iter(scored["rules"].values()))
    metrics = {
        f"eval_{label}_{name}": math.nan if summary.get(key) is None else float(summary[key])
        for name, key in (
            ("accuracy", "accuracy"),
            ("standard_error", "standard_error"),
            ("no_answer", "no_answer_rate"),
            ("truncated", "truncated_rate"),
        )
    }
    return metrics | ({f"eval_{label}_unanswered": float(unanswered)} if unanswered else {})
