"""Equality of two mathematical expressions, judged by sympy in a process that can be killed.

Model text is hostile by accident: `9**9**9**9` is one character longer than an answer. So nothing
is parsed here; a worker process (symbolic_worker.py) parses and compares through
latex2sympy2_extended and math-verify, with a limit on its memory, and is killed when it overruns
its time. It stays alive between comparisons, because importing sympy takes a second, and is
started anew after a kill. No signal is used in this process and one lock is held per comparison,
so any thread may call.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdft.evals.plain import plain_equal

MAX_LENGTH = 2_000
SECONDS = 3.0
MEMORY_BYTES = 2 * 1024**3
# Starting is not comparing: on a loaded machine the imports alone may take several seconds.
START_SECONDS = 60.0

NOT_PARSED = "not parsed"
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{3,}")
_FUNCTION_NAMES = frozenset(
    ["sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "theta", "alpha", "beta"]
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether two expressions are equal; None could not be judged, and `reason` says why."""

    equal: bool | None
    reason: str = ""


def equal(gold: str, answer: str) -> bool | None:
    """True, False, or None where it could not be judged. See `compare`."""
    return compare(gold, answer).equal


def compare(gold: str, answer: str, *, seconds: float = SECONDS) -> Comparison:
    r"""Compare two LaTeX or plain expressions.

    Plain numbers and arithmetic (`12 cm`, `\frac{\sqrt{3}}{2}`) are compared here and at once;
    everything else goes to the worker, except texts that are over-long or that are words, which
    the LaTeX grammar would read as products of letters.
    """
    if max(len(gold), len(answer)) > MAX_LENGTH:
        return Comparison(None, f"longer than {MAX_LENGTH} characters")
    plain = plain_equal(gold, answer)
    if plain is not None:
        return Comparison(plain)
    if not (_is_mathematical(gold) and _is_mathematical(answer)):
        return Comparison(None, NOT_PARSED)
    return _WORKER.compare(gold, answer, seconds)


def _is_mathematical(text: str) -> bool:
    words = _WORD.findall(_COMMAND.sub(" ", text))
    return bool(text.strip()) and all(word.lower() in _FUNCTION_NAMES for word in words)


@dataclass
class _Worker:
    """One worker process and the lock that gives it one comparison at a time."""

    process: subprocess.Popen[bytes] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def compare(self, gold: str, answer: str, seconds: float) -> Comparison:
        request = json.dumps({"gold": gold, "answer": answer, "seconds": seconds}) + "\n"
        with self.lock:
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(request.encode())
                process.stdin.flush()
                reply = _read_reply(process, seconds)
            except BrokenPipeError:
                reply = {}
            except TimeoutError:
                self.stop()
                return Comparison(None, f"time limit of {seconds:g} s")
            if not reply:
                self.stop()
                return Comparison(None, "the worker died, by its memory limit or from outside")
        return Comparison(reply["equal"], reply["reason"])

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        self.stop()
        script = Path(__file__).with_name("symbolic_worker.py")
        # -P keeps this folder and the current one off the worker's import path.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(script), str(MEMORY_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            ready = _read_reply(self.process, START_SECONDS)
        except TimeoutError:
            ready = {}
        if not ready:
            self.stop()
            raise RuntimeError(
                f"{script.name} did not start; run `{sys.executable} -P {script} {MEMORY_BYTES}` "
                "to see why"
            )
        return self.process

    def forget(self) -> None:
        self.process, self.lock = None, threading.Lock()

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                # Closing flushes what the dead process never read.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def _read_reply(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """One line of the worker; {} when it died.

    Raises:
        TimeoutError: no whole line arrived in time.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            # read1 returns what is there, at least a byte, without waiting for more.
            chunk = process.stdout.read1(65536)  # type: ignore[attr-defined]
            if not chunk:
                return {}
            line += chunk
    reply: dict[str, Any] = json.loads(line)
    return reply


_WORKER = _Worker()
atexit.register(_WORKER.stop)
# A forked child (a data loader's worker) must not share the pipe, or replies would cross.
os.register_at_fork(after_in_child=_WORKER.forget)
