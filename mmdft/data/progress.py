"""Progress of long work, on stderr: a bar in a terminal, a line now and then in a log."""

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


def told(
    chunks: Iterable[Sequence[_Item]], what: str, total: int | None = None, unit: str = "rows"
) -> Iterator[_Item]:
    """The items of the chunks one by one; if it takes long, how many there were and how fast.

    Of several ranks only the first tells.

    Args:
        chunks: items as they come.
        what: what is done, such as "reading rows".
        total: how many items there are, if that is known.
        unit: what an item is.
    """
    is_first = os.environ.get("RANK", "0") == "0"
    is_terminal = sys.stderr.isatty()
    start = last = time.monotonic()
    num = 0
    with tqdm(
        desc=what,
        total=total,
        unit=f" {unit}",
        delay=BAR_DELAY,
        disable=not (is_first and is_terminal),
    ) as bar:
        for chunk in chunks:
            yield from chunk
            num += len(chunk)
            bar.update(len(chunk))
            now = time.monotonic()
            if is_first and not is_terminal and now - last >= LINE_EVERY:
                last = now
                print(_line(what, num, total, now - start), file=sys.stderr)


def _line(what: str, num: int, total: int | None, seconds: float) -> str:
    rate = num / seconds
    line = f"{what}: {num:,}" + ("" if total is None else f" of {total:,}")
    line += f", {rate:,.0f} a second" if rate >= 10 else f", {rate:.2g} a second"
    return line if total is None else f"{line}, {(total - num) / rate / 60:,.0f} min left"
