"""The functions are of the standard library: what a spawned process can import anywhere."""

from __future__ import annotations

import operator
import os
import time
from pathlib import Path
from typing import Any

import pytest

from mmdft.experiments.pool import Task, Workers


def task(folder: Path, name: str, function: Any, *arguments: Any) -> Task:
    return Task(name=name, function=function, arguments=arguments, log=folder / f"{name}.log")


def test_what_fails_is_named_and_costs_no_other(tmp_path: Path) -> None:
    tasks = [
        task(tmp_path, "dies", os._exit, 3),
        task(tmp_path, "killed", os.kill, 0, 9),
        task(tmp_path, "wrong", operator.truediv, 1, 0),
        task(tmp_path, "prints", print, "said"),
        *(task(tmp_path, f"adds {n}", operator.add, n, 1) for n in range(4)),
    ]
    with Workers(2) as workers:
        found = {each.task.name: each for each in workers.outcomes(tasks)}
        assert len(found) == len(tasks)
        # Its processes are used again.
        pids = {worker.process.pid for worker in workers.workers}
        [again] = workers.outcomes([task(tmp_path, "again", os.getpid)])
        assert again.value in pids
        # One that was ended while it waited is replaced.
        for worker in workers.workers:
            worker.process.kill()
            worker.process.join()
        [after] = workers.outcomes([task(tmp_path, "after", os.getpid)])
        assert after.error is None and after.value not in pids
    assert found["dies"].error == "its process ended with status 3"
    assert found["killed"].error == ("its process was ended by SIGKILL, as when memory runs out")
    assert found["wrong"].error == (
        f"ZeroDivisionError: division by zero (see {tmp_path}/wrong.log)"
    )
    assert "Traceback" in (tmp_path / "wrong.log").read_text()
    assert (tmp_path / "prints.log").read_text() == "said\n"
    assert [found[f"adds {n}"].value for n in range(4)] == [1, 2, 3, 4]


def test_an_error_ends_what_is_under_way(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Workers(2) as workers:
        tasks = [task(tmp_path, "short", abs, 1), task(tmp_path, "long", time.sleep, 300)]
        for _ in workers.outcomes(tasks):
            raise KeyboardInterrupt
    assert time.monotonic() - start < 60
    assert not any(worker.process.is_alive() for worker in workers.workers)
