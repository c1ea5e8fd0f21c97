"""A comparison in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mmdft.comparison import cells
from mmdft.comparison.records import Compared, Comparison, Difference


def text_form(comparison: Comparison) -> Group:
    """Scores, paired differences and the responses' traits, benchmark by benchmark."""
    baseline = comparison.baseline.name
    names = [run.name for run in comparison.runs]
    parts: list[RenderableType] = []
    for line in comparison.differing:
        parts.append(Text(f"not alike: {line}", style="bold red"))
    for each in comparison.benchmarks:
        left = sum(each.left_out.values())
        more = f", {left} that not all have left out" if left else ""
        parts.append(Text(f"{each.label}: {len(each.items)} items{more}", style="bold"))
        parts.append(_table(("by", "run", *_SCORE), _scores(each, names), left=2))
        for run in comparison.others:
            rows = [
                _difference(found)
                for found in comparison.differences
                if (found.benchmark, found.run) == (each.label, run.name)
            ]
            parts.append(Text(f"{run.name} minus {baseline}"))
            parts.append(_table(("by", *_DIFFERENCE), rows))
        parts.append(_table(("responses", *_RESPONSES), cells.behaviour_rows(each)))
    parts.append(Text(f"{cells.DIFFERENCE_NOTE} Tests: {cells.tests_used(comparison)}."))
    if note := cells.sample_note(comparison):
        parts.append(Text(note))
    for line in comparison.notes:
        parts.append(Text(f"note: {line}"))
    return Group(*parts)


# As much as 80 columns hold; the page has the rest.
_SCORE = ("%", "95 % interval", "floor %")
_DIFFERENCE = ("points", "95 % interval", "p (Holm)", "detectable", "won", "lost", "reading")

_RESPONSES = ("no answer %", "cut off %", "in form %", "repetitive %", "tokens", "characters")


def _scores(each: Compared, names: Sequence[str]) -> list[tuple[str, ...]]:
    """A row per rule set and run, then one per score and run, each name said once."""
    rows: list[tuple[str, ...]] = []
    for rule, *found, floor in cells.score_rows(each):
        for place, (name, cell) in enumerate(zip(names, found, strict=True)):
            rows.append((rule if place == 0 else "", name, *_parts(cell), "" if place else floor))
    for score, *found in cells.own_score_rows(each):
        for place, (name, cell) in enumerate(zip(names, found, strict=True)):
            rows.append((score if place == 0 else "", name, *_parts(cell), ""))
    return rows


def _parts(cell: str) -> tuple[str, str]:
    value, _, interval = cell.partition(" (")
    return value, interval.rstrip(")")


def _difference(found: Difference) -> tuple[str, ...]:
    points, interval, _, *rest = cells.difference_cells(found)
    return (found.measure, points, interval, *rest)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Table:
    table = Table(box=SIMPLE, padding=0, pad_edge=False)
    for place, name in enumerate(header):
        # Plain text: a name may look like rich's markup.
        first = place < left
        table.add_column(
            Text(name), justify="left" if first else "right", no_wrap=not first, overflow="fold"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table
