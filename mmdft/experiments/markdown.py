"""An experiment's results as Markdown: `results.md`. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdft.evals.tables import markdown_table, markdown_text
from mmdft.experiments import tables
from mmdft.experiments.findings import advice_text, caveats, findings, unfinished
from mmdft.experiments.schema import Also, Results, check_results
from mmdft.experiments.tables import Cell, Table
from mmdft.experiments.words import duration, label


def experiment_markdown(
    results: Mapping[str, Any], *, lead: Sequence[str] = (), also: Also | None = None
) -> str:
    """The findings, all tables and the setting of a results.json, as `report.html` has them.

    Args:
        results: the experiment's.
        lead: sentences that come before the findings.
        also: another experiment, whose findings and main table come last but the setting.

    Raises:
        DataError: the results are not what an experiment writes.
    """
    it = check_results(results)
    parts = [f"# {markdown_text(it.title)}"]
    parts += [f"**{markdown_text(line)}**" for line in unfinished(it)]
    parts += [_bullets(lead), _bullets(findings(it)), _bullets(caveats(it))]
    parts += ["## Results", _table(tables.main_table(it)), tables.main_note(it)]
    for title, reference in tables.references(it):
        parts += [f"## Against {markdown_text(title)}"]
        parts.append(_table(tables.test_table(it, tables.tests_against(it, reference))))
    if it.tests:
        parts.append(markdown_text(tables.test_note(it)))
    for title, table, note in (
        ("Learning rates", tables.rate_table(it), tables.RATE_NOTE),
        ("Controls", tables.control_table(it), tables.CONTROL_NOTE),
        ("The responses", tables.behaviour_table(it), ""),
        ("Token probabilities", tables.probability_table(it), tables.PROBABILITY_NOTE),
    ):
        if table is not None:
            parts += [f"## {title}", _table(table), note]
    if it.advice is not None:
        parts += ["## The preflight's advice", markdown_text(advice_text(it.advice, it))]
    if also is not None:
        parts += _in_short(also)
    parts += ["## Setting", f"```sh\n{it.command}\n```", _setting(it)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_short(also: Also) -> list[str]:
    it = check_results(also.results)
    return [
        f"## {markdown_text(also.title)}",
        _bullets(findings(it)),
        _table(tables.main_table(it)),
        tables.main_note(it),
        f"More on [its own page]({also.link}).",
    ]


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(text)}" for text in texts)


def _setting(it: Results) -> str:
    rows = [
        *((label(key), tables.setting_cell(value)) for key, value in it.setting.items()),
        *((it.titles[name], tables.overrides_text(each)) for name, each in it.variants.items()),
        *((f"time, {label(key)}", duration(value)) for key, value in it.seconds.items()),
        *(it.versions.items()),
    ]
    return "\n".join(markdown_table(("", "value"), rows))


def _table(table: Table) -> str:
    """A table whose groups are a column of their own, where they have titles."""
    grouped = any(group.title for group in table.groups)
    notes = table.notes or ("",) * len(table.head)
    named = (_noted(*pair) for pair in zip(table.head, notes, strict=True))
    head = (*((table.over,) if grouped else ()), table.corner, *named)
    rows = [
        (
            *((group.title,) if grouped else ()),
            _noted(row.name, row.note),
            *map(_cell, row.cells),
        )
        for group in table.groups
        for row in group.rows
    ]
    return "\n".join(markdown_table(head, rows, left=2 if grouped else 1))


def _noted(name: str, note: str) -> str:
    return f"{name} ({note})" if note else name


def _cell(cell: Cell) -> str:
    """A cell in one line: "94.8 ▲ (92.1 to 96.5); avg@4 90.6"."""
    mark = f" {cell.mark}" if cell.mark else ""
    interval = f" ({cell.interval})" if cell.interval else ""
    more = f"; {cell.more.name} {_cell(cell.more)}" if cell.more else ""
    return f"{cell.value}{mark}{interval}{more}"
