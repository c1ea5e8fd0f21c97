"""Progress of reading rows, on stderr: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

# Seconds before a bar shows, and between two lines of a log.
BAR_DELAY, LINE_EVERY = 1.0, 30.0

_Item = TypeVar("_Item")


def told(chunks: Iterable[Sequence[_Item]], what: str) -> Iterator[_Item]:
    """The items of the chunks one by one; if it takes long, how many there were and how fast.

    Of several ranks only the first tells.

    Args:
        chunks: items as they come.
        what: what is done, such as "reading rows".
    """
    is_first = os.environ.get("RANK", "0") == "0"
    is_terminal = sys.stderr.isatty()
    start = last = time.monotonic()
    num = 0
    with tqdm(
        desc=what, unit=" rows", delay=BAR_DELAY, disable=not (is_first and is_terminal)
    ) as bar:
        for chunk in chunks:
            yield from chunk
            num += len(chunk)
            bar.update(len(chunk))
            now = time.monotonic()
            if is_first and not is_terminal and now - last >= LINE_EVERY:
                last = now
                print(f"{what}: {num:,}, {num / (now - start):,.0f} a second", file=sys.stderr)
