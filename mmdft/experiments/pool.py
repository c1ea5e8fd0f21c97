"""Processes that do tasks one after the other. One that dies costs its task and no other.

They are spawned, with one thread each, and end when the process that started them does, however
that happens; what they print goes into each task's log.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmdft.errors import MmdftError

# Seconds that a training has to write its checkpoint in, when all is to end.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A function of some module, and what it is called with; all of it is pickled."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A task's value, or in one line why there is none."""

    task: Task
    value: Any = None
    error: str | None = None
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None
    start: float = field(default_factory=time.monotonic)


class Workers:
    """A number of processes, started when there is something to do."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """End all; after an error a training that is under way only writes its checkpoint."""
        for worker in self.workers:
            # An idle one ends by itself, and cleans up.
            worker.connection.close()
            if worker.task is not None:
                worker.process.terminate()
        deadline = time.monotonic() + _PATIENCE
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()

    def outcomes(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Do all tasks, and yield what became of each as it ends."""
        waiting = list(reversed(tasks))
        while len(self.workers) < min(self.number, len(waiting)):
            self.workers.append(_started())
        while waiting or any(worker.task is not None for worker in self.workers):
            for place, worker in enumerate(self.workers):
                if worker.task is None and waiting:
                    if not worker.process.is_alive():
                        worker = self.workers[place] = _started()
                    worker.task, worker.start = waiting.pop(), time.monotonic()
                    # Of a process that is gone, receiving tells.
                    with suppress(BrokenPipeError):
                        worker.connection.send(worker.task)
            busy = [worker for worker in self.workers if worker.task is not None]
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection in ready:
                    yield self._outcome(worker)

    def _outcome(self, worker: _Worker) -> Outcome:
        assert worker.task is not None
        task, worker.task = worker.task, None
        seconds = time.monotonic() - worker.start
        try:
            value, error = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            self.workers[self.workers.index(worker)] = _started()
            return Outcome(task=task, error=_last_words(worker.process), seconds=seconds)
        return Outcome(task=task, value=value, error=error, seconds=seconds)


def _started() -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,))
    process.start()
    # So that the end of the process is the end of the pipe.
    theirs.close()
    return _Worker(process=process, connection=ours)


def _last_words(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        hint = ", as when memory runs out" if -code == signal.SIGKILL else ""
        return f"its process was ended by {signal.Signals(-code).name}{hint}"
    return f"its process ended with status {code}"


def _work(connection: Connection) -> None:
    """What a worker does all its life."""
    # Not of the terminal's group: an interrupt is the parent's to tell, once.
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Before torch is loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        try:
            connection.send(_done(task))
        except BrokenPipeError:
            return


def _done(task: Task) -> tuple[Any, str | None]:
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        return task.function(*task.arguments), None
    except MmdftError as error:
        return None, "; ".join(str(error).splitlines())
    except Exception as error:  # noqa: BLE001 - a bug in one task must not cost the others; it is told
        traceback.print_exc()
        return None, f"{type(error).__name__}: {' '.join(str(error).split())} (see {task.log})"
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _end_with_parent() -> None:
    """A worker that goes on alone would hold its folder against the next call."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
