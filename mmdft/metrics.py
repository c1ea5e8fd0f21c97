"""What a run tells as it goes: a file of metrics, and lines on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmdft.files import write_jsonl


class MetricsFile(TrainerCallback):
    """Writes each log as a line of JSON; a resumed run first drops what its checkpoint lacks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start from the history of the checkpoint."""
        if state.is_world_process_zero:
            write_jsonl(self.path, state.log_history)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Append the newest log."""
        # Trainer's mean over the steps since the last start, which a kill would change.
        state.log_history[-1].pop("train_loss", None)
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
        scored = scored_benchmarks(logs)
        evaluated = "eval_loss" in logs or scored
        if now - self.told < self.seconds_between and not last and not evaluated:
            return
        self.told = now
        shown = ("loss", "nll", "mean_p", "token_accuracy", "grad_norm", "learning_rate")
        values = [
            f"{name} {logs[key]:.4g}"
            for name in shown
            for key in (name, f"eval_{name}")
            if key in logs
        ]
        values += [
            f"{label} accuracy {logs[f'eval_{label}_accuracy']:.4g} "
            f"± {logs[f'eval_{label}_standard_error']:.2g}"
            for label in scored
        ]
        kind = "validation  " if "eval_loss" in logs else ""
        each = (now - self.start) / max(state.global_step - self.first, 1)
        print(
            f"step {state.global_step}/{state.max_steps}  {kind}{'  '.join(values)}  "
            f"{each * (state.max_steps - state.global_step):.0f} s left",
            file=sys.stderr,
        )


def scored_benchmarks(logs: Mapping[str, float]) -> list[str]:
    """The labels of the benchmarks that a log has scores of (see `scored_training`)."""
    ending = "_standard_error"
    return [
        name.removeprefix("eval_").removesuffix(ending) for name in logs if name.endswith(ending)
    ]


def last_logged(history: Sequence[dict[str, float]]) -> dict[str, float]:
    """The newest value of each headline number."""
    wanted = ["loss", "nll", "mean_p", "token_accuracy", "eval_loss", "eval_nll", "eval_mean_p"]
    labels = {label: None for row in history for label in scored_benchmarks(row)}
    wanted += [
        f"eval_{label}_{what}" for label in labels for what in ("accuracy", "standard_error")
    ]
    return {
        name: next(row[name] for row in reversed(history) if name in row)
        for name in wanted
        if any(name in row for row in history)
    }
