"""How a run ends early and goes on: signals, and checkpoints to go on from.

Whenever a run is killed, the same command ends in the same bits. So a checkpoint is picked up only
if it was written whole, and it holds all that the steps before it have logged.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from mmdft.errors import ConfigError, DataError, MmdftError
from mmdft.files import read_json

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopOnSignal(TrainerCallback):
    """Ends training on SIGTERM or SIGINT after the step at hand, with a checkpoint and an error.

    A second signal takes its usual way at once; under torchrun, which sends SIGTERM more than once,
    only SIGINT does. Signals are caught from the first step until the `with` block around the
    training ends, and only if that runs in the main thread; ranks stop together as soon as one of
    them got a signal. Where the validation score chooses what is kept, a step that is validated
    without being saved is not stopped at: a checkpoint there would be one more to choose from. The
    next one is.
    """

    def __init__(self) -> None:
        self._received = 0
        self._agreed = 0
        self._before: dict[signal.Signals, Any] = {}
        self._held_back: set[signal.Signals] = set()
        # Shared with the data loader's worker processes.
        self._training = multiprocessing.RawValue("b", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._training.value = 0
        self._restore()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._held_back)
        if error is None and self._received:
            # It came after the last step that could be stopped at.
            signal.raise_signal(self._received)

    def on_train_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any
    ) -> None:
        """Catch the signals from here on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            before = signal.getsignal(number)
            # None: set by other code than Python's. Ignored: as nohup wants it.
            if before not in (None, signal.SIG_IGN):
                self._before[number] = before
                self._held_back.add(number)
                signal.signal(number, self._receive)
        self._training.value = 1
        # accelerate's loader holds another one, which it iterates over.
        loader = getattr(train_dataloader, "base_dataloader", train_dataloader)
        loader.worker_init_fn = partial(_init_worker, self._training, loader.worker_init_fn)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hold signals back while worker processes start; they could not take them yet."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._held_back)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Let signals through."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._held_back)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have a checkpoint saved if a signal came."""
        self._agreed = self._received
        if args.world_size > 1:
            received = torch.tensor(self._received, device=args.device)
            torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
            self._agreed = int(received)
        chosen = args.load_best_model_at_end or args.save_strategy == "best"
        if chosen and control.should_evaluate and not control.should_save:
            return
        control.should_save |= self._agreed > 0

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop, once all ranks have written their part.

        Raises:
            MmdftError: always, if a signal came.
        """
        if not self._agreed:
            return
        if args.world_size > 1:
            torch.distributed.barrier()
        raise MmdftError(
            f"stopped by {signal.Signals(self._agreed).name} after step {state.global_step} of "
            f"{state.max_steps}; checkpoint saved; run the same command again to continue"
        )

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again, self._received = self._received, number
        # torchrun passes a SIGTERM on that its workers may have got already, as under SLURM.
        passed_on = number == signal.SIGTERM and "TORCHELASTIC_RUN_ID" in os.environ
        for each in list(self._before):
            if each != number or not passed_on:
                signal.signal(each, self._before.pop(each))
        if again:
            return
        # Not by print: the signal may have come in the middle of one.
        name = signal.Signals(number).name
        once_more = "SIGINT" if passed_on else "once more"
        os.write(2, f"{name}: saving after this step; {once_more} ends at once\n".encode())

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())


def _init_worker(training: Any, init: Callable[[int], None] | None, worker: int) -> None:
    """Let a worker process outlive a signal to the whole group, as torchrun sends it.

    The trainer still needs its batches, and ends it afterwards.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if not training.value:
            os._exit(0)

    for number in _SIGNALS:
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if init is not None:
        init(worker)


class Checkpoints(TrainerCallback, ExportableState):
    """Makes every checkpoint one that a run can go on from without a difference.

    A step that saves or evaluates is logged too: the sums since the last log are in no checkpoint.
    The last step of an epoch logs, evaluates and saves when the epoch ends, once: a run that went
    on from a checkpoint before that would leave out what is due there.

    Args:
        folder: where the checkpoints are.
        limit: how many are kept; the newest and the best always are. None keeps all.
        run: `provenance.config_fingerprint`, which each checkpoint carries.
    """

    def __init__(self, folder: Path, limit: int | None, run: str) -> None:
        self.folder = folder
        self.limit = limit
        self.run = run
        self._held = (False, False, False)

    def state(self) -> dict[str, Any]:
        """What trainer_state.json keeps of this callback."""
        return {"args": {"run": self.run}, "attributes": {}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Delete what was cut short; it could be taken for the best checkpoint later."""
        if args.should_save:
            for folder in _folders(self.folder):
                if _step(folder) is None:
                    shutil.rmtree(folder)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Have the step logged if it saves; hold all back if the epoch ends with it."""
        ends = control.should_training_stop or state.global_step >= state.max_steps
        if ends or control.should_save or control.should_evaluate:
            control.should_log = True
        if ends or state.epoch == int(state.epoch):
            self._held = (control.should_log, control.should_evaluate, control.should_save)
            control.should_log = control.should_evaluate = control.should_save = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Let go of what was held back."""
        log, evaluate, save = self._held
        self._held = (False, False, False)
        control.should_evaluate |= evaluate
        control.should_save |= save
        control.should_log |= log or control.should_evaluate or control.should_save

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Delete the oldest checkpoints over the limit."""
        if self.limit is None or not args.should_save:
            return
        whole = _whole(self.folder)
        best = state.best_model_checkpoint
        spare = [path for path in whole[:-1] if best is None or path != Path(best)]
        for path in spare[: max(len(whole) - self.limit, 0)]:
            # First what makes it whole, lest a kill leave half of it behind.
            (path / "trainer_state.json").unlink()
            shutil.rmtree(path)


def last_checkpoint(run_dir: Path, run: str | None = None) -> str | None:
    """The newest checkpoint that was written whole.

    `trainer_state.json` is written last, after all ranks' files, and deleted first; so a folder
    without a readable one was cut short and is passed over.

    Args:
        run_dir: the run folder.
        run: `provenance.config_fingerprint` of the run that wants to go on; None takes any.

    Raises:
        ConfigError: the checkpoint is of another configuration.
    """
    whole = _whole(run_dir)
    if not whole:
        return None
    kept = read_json(whole[-1] / "trainer_state.json").get("stateful_callbacks") or {}
    origin = kept.get(Checkpoints.__name__, {}).get("args", {}).get("run")
    if run is not None and origin != run:
        raise ConfigError(
            f"{whole[-1]} is a checkpoint of another configuration; take it away, or choose "
            "another output_dir"
        )
    return str(whole[-1])


def _whole(run_dir: Path) -> list[Path]:
    """The whole checkpoints, the newest last."""
    steps = {folder: _step(folder) for folder in _folders(run_dir)}
    return [folder for _, folder in sorted((s, f) for f, s in steps.items() if s is not None)]


def _folders(run_dir: Path) -> list[Path]:
    return [path for path in run_dir.glob("checkpoint-*") if re.search(r"-\d+$", path.name)]


def _step(checkpoint: Path) -> int | None:
    """The step it was written at; None if it was cut short."""
    try:
        return int(read_json(checkpoint / "trainer_state.json")["global_step"])
    except (DataError, KeyError, ValueError):
        return None
