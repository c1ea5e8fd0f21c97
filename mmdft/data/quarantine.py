"""Rows that cannot be used: what is known of each, and the file that lists them.

They are met before training, where rows are parsed and measured, and in training, where images are
decoded. Either way a row is set aside by name, told once, and counted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdft.data.fields import Origin
from mmdft.errors import DataError
from mmdft.files import drop_cut_line, read_jsonl
from mmdft.records import Rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that is not trained on, and why."""

    source: str
    row: int
    id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}:{self.row} (id {self.id}): {self.reason}"


def bad_row(origin: Origin, name: str, error: DataError) -> BadRow:
    """The record of a row that is set aside for this reason."""
    return BadRow(source=str(origin.file), row=origin.row, id=name, reason=str(error))


def usable(row: Rendered | BadRow) -> Rendered:
    """A row that must not be missing.

    Raises:
        DataError: it cannot be used.
    """
    if isinstance(row, BadRow):
        raise DataError(str(row))
    return row


def most_bad(total: int, fraction: float) -> int:
    """How many of `total` rows may be bad, so that their share is not above the fraction."""
    most = math.floor(fraction * total) + 1
    # 0.29 * 100 is less than 29 in floating point.
    return most if total and most / total <= fraction else most - 1


def refuse_too_many(names: str, bad: Sequence[BadRow], total: int, fraction: float) -> None:
    """Stop where no row can be used, or a larger share is bad than allowed.

    Args:
        names: the data's, for the message.
        bad: the rows that cannot be used.
        total: all rows, usable or not.
        fraction: `data.max_bad_fraction`.

    Raises:
        DataError: it is so.
    """
    if not total:
        raise DataError(f"{names}: no rows")
    if len(bad) > most_bad(total, fraction):
        raise DataError(
            f"{names}: {len(bad)} of {total} rows are bad, more than data.max_bad_fraction="
            f"{fraction}; the first: {bad[0]}"
        )
    if len(bad) == total:
        raise DataError(f"{names}: all {total} rows are bad; the first: {bad[0]}")


class Quarantine:
    """Takes the bad rows that are met in training, writes each once, and stops at too many.

    Args:
        path: a file of JSON lines, this rank's own.
        allowed: the most different rows.
        raises: stop at the first.
        counted: bad rows that were found before training.
        before: rows to be written down at once, which do not count.
    """

    def __init__(
        self,
        path: Path,
        allowed: int,
        raises: bool,
        counted: int = 0,
        before: Sequence[BadRow] = (),
    ) -> None:
        self.path, self.allowed, self.raises, self.counted = path, allowed, raises, counted
        self.known: set[tuple[str, int]] = set()
        if path.is_file():
            drop_cut_line(path)
            self.known = {(row["source"], row["row"]) for _, row in read_jsonl(path)}
        self._note(before)
        self.before = {(row.source, row.row) for row in before}

    def __call__(self, rows: Sequence[BadRow]) -> None:
        """Set rows aside.

        Raises:
            DataError: they are more than allowed.
        """
        new = self._note(rows)
        if not new:
            return
        if self.raises:
            raise DataError(str(new[0]))
        count = self.counted + len(self.known - self.before)
        if count > self.allowed:
            raise DataError(
                f"{new[0]}; that makes {count} bad rows, more than data.max_bad_fraction allows; "
                f"see {self.path}"
            )

    def _note(self, rows: Sequence[BadRow]) -> list[BadRow]:
        """Write down those that are new."""
        found = []
        for row in rows:
            if (row.source, row.row) not in self.known:
                self.known.add((row.source, row.row))
                found.append(row)
        if found:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.writelines(
                    json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in found
                )
        return found
