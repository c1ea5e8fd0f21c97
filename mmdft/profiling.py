"""Where the time of a training step goes: a table of its parts, and a trace.

One clock runs through a step, and at each boundary what has passed is put down to the part that
ends there, so the parts add up to the step. The device is waited for at each boundary; therefore
the trace, which shows the steps as they are, is of other steps than the table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle
from transformers import TrainerCallback

from mmdft.errors import ConfigError
from mmdft.files import write_json
from mmdft.model import vision_modules

PARTS = (
    "data wait",
    "vision tower forward",
    "language model forward",
    "head forward",
    "head backward",
    "language model backward",
    "vision tower backward",
    "optimizer",
    "other",
)
"""Parts of a step, all its micro-batches together.

The vision tower has its projector with it, and the language model its embeddings. The head forms
its gradients in its forward pass (`mmdft.answer_loss`); its backward pass only scales them. The
optimizer has the clipping with it. Other is what is left, logging, saving and evaluating included.
"""


class PartClock:
    """Puts passing time down to the part at hand.

    Args:
        device: waited for before each look at the clock, if it is not the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Forget what has passed."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.part = "other"
        self.start = self.last = self._now()

    def switch(self, part: str) -> str:
        """Begin a part; returns the one that ends."""
        ended, now = self.part, self._now()
        self.seconds[ended] += now - self.last
        self.part, self.last = part, now
        return ended

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """What is done while open belongs to a part."""
        before = self.switch(part)
        try:
            yield
        finally:
            self.switch(before)

    def _now(self) -> float:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        return time.perf_counter()


class StepProfile(TrainerCallback):
    """Times the parts of a few steps after warm-up, then traces a few more; rank 0 alone.

    The training is the same, bit for bit. Written are `profile.json` and `trace.json.gz`, a Chrome
    trace; the table is told on standard error too.

    Args:
        folder: where to write.
        warm_up: steps to leave out first.
        timed: steps to time.
        traced: steps to trace behind them.
    """

    def __init__(self, folder: Path, warm_up: int = 3, timed: int = 5, traced: int = 2) -> None:
        self.folder = folder
        self.warm_up, self.timed, self.traced = warm_up, timed, traced
        self.found: list[dict[str, float]] = []
        self.handles: list[RemovableHandle] = []

    def follow(self, trainer: Any) -> None:
        """Belong to a `DFTTrainer`.

        Raises:
            ConfigError: its model is compiled, so that its parts cannot be told apart.
        """
        if trainer.args.torch_compile:
            raise ConfigError(
                "--profile tells the parts of a model apart by its modules, which a compiled model "
                "has not; set training.torch_compile=false"
            )
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See that there are steps enough."""
        self.first = state.global_step
        wanted, left = self.warm_up + self.timed + self.traced, state.max_steps - state.global_step
        if left < wanted:
            raise ConfigError(
                f"--profile needs {wanted} steps ({self.warm_up} to warm up, {self.timed} timed, "
                f"{self.traced} traced), and {left} are left to train; train for longer, or leave "
                "it out"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on to what is to be done with the next step."""
        if not state.is_world_process_zero:
            return
        done = state.global_step - self.first - self.warm_up
        if done == 0:
            self._time()
        elif 0 < done <= self.timed:
            self.clock.switch("other")
            self.found.append({**self.clock.seconds, "step": self.clock.last - self.clock.start})
            self.clock.restart()
        if done == self.timed:
            self._release()
            print(self._table(), file=sys.stderr)
            self._trace()
        elif done == self.timed + self.traced:
            self._write()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The optimizer begins."""
        self.optimizing = self.trainer.timed("optimizer")
        self.optimizing.__enter__()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The optimizer has ended."""
        self.optimizing.__exit__(None, None, None)

    def _time(self) -> None:
        self.clock = PartClock(self.trainer.args.device)
        self.handles = watch(self._model(), self.clock)
        self.trainer.timed = self.clock.timed
        self.clock.restart()

    def _trace(self) -> None:
        kinds = [ProfilerActivity.CPU]
        if self.trainer.args.device.type == "cuda":
            kinds.append(ProfilerActivity.CUDA)
        self.handles = label(self._model())
        self.trainer.timed = record_function
        self.profiler = profile(activities=kinds)
        self.profiler.start()

    def _write(self) -> None:
        self.profiler.stop()
        self._release()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / ".trace.json.gz"
        self.profiler.export_chrome_trace(str(temporary))
        temporary.replace(self.folder / "trace.json.gz")
        write_json(self.folder / "profile.json", self._summary())
        print(
            f"profile: {self.folder / 'profile.json'}, and trace.json.gz of {self.traced} further "
            "steps, for ui.perfetto.dev or chrome://tracing",
            file=sys.stderr,
        )

    def _release(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.trainer.timed = nullcontext

    def _model(self) -> Any:
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    def _summary(self) -> dict[str, Any]:
        """Means over the timed steps, in seconds and as shares, and each step."""
        step = sum(each["step"] for each in self.found) / len(self.found)
        means = {part: sum(each[part] for each in self.found) / len(self.found) for part in PARTS}
        return {
            "device": str(self.trainer.args.device),
            "warm_up_steps": self.warm_up,
            "timed_steps": self.timed,
            "traced_steps": self.traced,
            "micro_batches_per_step": self.trainer.args.gradient_accumulation_steps,
            "seconds_per_step": step,
            "parts": {
                part: {"seconds": seconds, "share": seconds / step}
                for part, seconds in means.items()
            },
            "steps": self.found,
        }

    def _table(self) -> str:
        summary = self._summary()
        lines = [
            f"profile: {self.timed} steps of {summary['seconds_per_step']:.4g} s each on "
            f"{summary['device']}, after {self.warm_up} to warm up",
            f"  {'part':<24}{'seconds':>10}{'share':>9}",
        ]
        for part, each in summary["parts"].items():
            lines.append(f"  {part:<24}{each['seconds']:>10.4f}{each['share']:>9.1%}")
        return "\n".join(lines)


def watch(model: Any, clock: PartClock) -> list[RemovableHandle]:
    """Have a model switch the clock where a part begins and ends.

    Backward, a part begins where the gradient of what it gave is known: hooks of tensors run
    before the node that made them.

    Args:
        model: unwrapped.
        clock: the clock.

    Returns:
        What takes the hooks off again.
    """
    before: list[str] = []

    def begin(part: str) -> Any:
        return lambda _module, _args: before.append(clock.switch(part))

    def end(_module: nn.Module, _args: Any, _output: Any) -> None:
        clock.switch(before.pop())

    def backward(tensors: Any, part: str) -> None:
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                _when_gradient_is_known(tensor, lambda: clock.switch(part))

    def start_backward() -> None:
        clock.switch("head backward")
        engine: Any = torch.autograd.Variable._execution_engine
        engine.queue_callback(lambda: clock.switch("other"))

    def model_end(_module: nn.Module, _args: Any, output: Any) -> None:
        clock.switch(before.pop())
        _when_gradient_is_known(output.logits, start_backward)

    head = model.get_output_embeddings()
    handles = [
        model.register_forward_pre_hook(begin("language model forward")),
        model.register_forward_hook(model_end),
        model.get_input_embeddings().register_forward_hook(
            lambda _module, _args, output: backward(output, "language model backward")
        ),
        # Before the hook that takes the states out of the model.
        head.register_forward_pre_hook(begin("head forward"), prepend=True),
        head.register_forward_pre_hook(
            lambda _module, args: backward(args, "language model backward"), prepend=True
        ),
        head.register_forward_hook(end),
    ]
    for module in vision_modules(model).values():
        handles += [
            module.register_forward_pre_hook(begin("vision tower forward")),
            module.register_forward_hook(end),
            module.register_forward_hook(
                lambda _module, _args, output: backward(output, "vision tower backward")
            ),
        ]
    return handles


def label(model: Any) -> list[RemovableHandle]:
    """Name the forward passes of a model's parts in a trace; returns what takes the hooks off."""
    opened: list[Any] = []

    def begin(name: str) -> Any:
        def enter(_module: nn.Module, _args: Any) -> None:
            opened.append(record_function(name))
            opened[-1].__enter__()

        return enter

    def end(_module: nn.Module, _args: Any, _output: Any) -> None:
        opened.pop().__exit__(None, None, None)

    handles = []
    named = [(model, "language model"), (model.get_output_embeddings(), "head")]
    for module, name in [
        *named,
        *((each, "vision tower") for each in vision_modules(model).values()),
    ]:
        handles += [
            module.register_forward_pre_hook(begin(name), prepend=True),
            module.register_forward_hook(end),
        ]
    return handles


def _when_gradient_is_known(tensor: Tensor, then: Callable[[], Any]) -> None:
    """Call a function in the backward pass, before the node that made the tensor runs."""

    def call(_grad: Tensor) -> None:
        then()

    if tensor.requires_grad:
        tensor.register_hook(call)  # type: ignore[no-untyped-call]
