"""One function over many rows, by several processes where there are enough rows for it to pay."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any, TypeVar

# So many rows are done in this process first: a second or less, and fewer would not pay.
ALONE = 2048
CHUNK = 64
# Chunks that wait for each process, so that none is idle, and no source is held as a whole.
_WAITING = 4
_MOST_PROCESSES = 16

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_function: Callable[[Any], Any]


def mapped_chunks(
    function: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Iterator[list[_Result]]:
    """The function's results in order, some at a time.

    Args:
        function: what a process forked from this one can do too.
        items: what can be sent to it.
    """
    items = iter(items)
    for _ in range(ALONE // CHUNK):
        if not (chunk := list(islice(items, CHUNK))):
            return
        yield list(map(function, chunk))
    chunks = iter(lambda: list(islice(items, CHUNK)), [])
    num = _num_processes()
    if num < 2:
        yield from (list(map(function, chunk)) for chunk in chunks)
        return
    waiting: deque[Future[list[_Result]]] = deque()
    # Forked, as a data loader's workers are: the function comes along without being sent.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(num, context, initializer=_begin, initargs=(function,))
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_mapped, chunk))
            if len(waiting) == _WAITING * num:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _num_processes() -> int:
    """One for each core that is ours; 1 where processes are not forked by default."""
    if multiprocessing.get_all_start_methods()[0] != "fork":
        return 1
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(len(os.sched_getaffinity(0)) // ranks, _MOST_PROCESSES)


def _begin(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function


def _mapped(chunk: list[Any]) -> list[Any]:
    return list(map(_function, chunk))
