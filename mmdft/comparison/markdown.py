"""A comparison as Markdown: `compare.md`."""

from __future__ import annotations

from collections.abc import Sequence

from mmdft.comparison import cells
from mmdft.comparison.records import Compared, Comparison
from mmdft.evals.tables import markdown_table, markdown_text

# A list of more ids is in compare.json, and nobody reads it here.
_MOST_FLIPS = 50


def markdown_form(comparison: Comparison) -> str:
    """The tables of a comparison, and the ids of the items that flipped."""
    names = [run.name for run in comparison.runs]
    parts = [f"# {markdown_text(' · '.join(names))}"]
    if comparison.differing:
        lines = "\n".join(f"- {markdown_text(line)}" for line in comparison.differing)
        parts.append(f"**These runs are not alike; the comparison was forced.**\n\n{lines}")
    rows = [
        (run.name, run.model, "baseline" if run is comparison.baseline else "")
        for run in comparison.runs
    ]
    parts.append(_table(("run", "model", ""), rows))
    for each in comparison.benchmarks:
        parts += _benchmark(comparison, each, names)
    note = f"{cells.DIFFERENCE_NOTE} Tests: {cells.tests_used(comparison)}."
    parts += ["## How to read this", markdown_text(note), markdown_text(cells.CATEGORY_NOTE)]
    if sampled := cells.sample_note(comparison):
        parts.append(markdown_text(sampled))
    if comparison.notes:
        parts.append("\n".join(f"- {markdown_text(line)}" for line in comparison.notes))
    return "\n\n".join(parts) + "\n"


def _benchmark(comparison: Comparison, each: Compared, names: list[str]) -> list[str]:
    parts = [f"## {markdown_text(each.label)}"]
    left = ", ".join(f"{n} of {name}" for name, n in each.left_out.items() if n)
    more = f" Not all runs have: {left}; these are left out." if left else ""
    parts.append(f"{len(each.items)} items, headline {each.headline}.{markdown_text(more)}")
    header = tuple(f"{name} % (95 %)" for name in names)
    parts.append(_table(("rules", *header, "floor %"), cells.score_rows(each)))
    if own := cells.own_score_rows(each):
        parts.append(_table((f"score ({each.headline})", *header), own))
    rows = [
        (found.run, found.measure, *cells.difference_cells(found))
        for found in comparison.differences
        if found.benchmark == each.label
    ]
    parts.append(_table((f"minus {comparison.baseline.name}", "by", *cells.DIFFERENCES), rows))
    parts.append(_table(("responses", *cells.BEHAVIOUR), cells.behaviour_rows(each)))
    for key in each.breakdowns:
        found = [
            (value, n, *(f"{score} {change}".strip() for score, change in by_run))
            for value, n, by_run in cells.category_rows(each, key)
        ]
        parts += [f"### By {markdown_text(key)}", _table((key, "n", *names), found)]
    for name, (won, lost) in each.flips.items():
        parts.append(
            f"### {markdown_text(name)} against {markdown_text(comparison.baseline.name)}\n\n"
            f"{_ids('Won', won)}\n\n{_ids('Lost', lost)}"
        )
    parts.append(f"Data: {markdown_text(each.citation)}")
    return parts


def _ids(word: str, ids: tuple[str, ...]) -> str:
    listed = ", ".join(markdown_text(name) for name in ids[:_MOST_FLIPS])
    more = f", and {len(ids) - _MOST_FLIPS} more in compare.json" if len(ids) > _MOST_FLIPS else ""
    return f"{word} {len(ids)}{': ' if ids else ''}{listed}{more}"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(markdown_table(tuple(markdown_text(name) for name in header), rows))
