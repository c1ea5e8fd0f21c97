"""Summaries as Markdown tables: `results.md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEADER = ("n", "accuracy %", "± s.e.", "95 % interval", "no answer", "unscored", "truncated %",
           "mean tokens")  # fmt: skip


def results_markdown(summary: Mapping[str, Any]) -> str:
    """The report of one scored file, from what `scoring.score_file` returns.

    The first table has a row per rule set; then each breakdown has a table under the first rule
    set, which is the headline one. An evaluation of a part of the benchmark says so on top.
    """
    rules: Mapping[str, Mapping[str, Any]] = summary["rules"]
    headline = next(iter(rules))
    lines = [f"# {summary['benchmark']}", ""]
    if summary["partial"]:
        lines += [
            f"**Partial:** {summary['missing']} of {summary['n_benchmark']} items have no "
            "prediction. They are not in the figures below.",
            "",
        ]
    lines += _table("rules", {name: rules[name] for name in rules})
    for key, groups in rules[headline].get("breakdowns", {}).items():
        lines += ["", f"## By {key} ({headline})", "", *_table(key, groups)]
    lines += ["", "Accuracy is correct / (n - unscored); an item without an answer is not correct."]
    lines += ["", f"Data: {summary['citation']}"]
    return "\n".join(lines) + "\n"


def _table(first: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    header = (first, *_HEADER)
    lines = [_row(header), _row(["---", *["---:"] * len(_HEADER)])]
    return lines + [_row([_cell(name), *_figures(row)]) for name, row in rows.items()]


def _figures(row: Mapping[str, Any]) -> list[str]:
    interval = row["interval"]
    return [
        str(row["n"]),
        _percent(row["accuracy"]),
        _percent(row["standard_error"]),
        "-" if interval is None else f"{_percent(interval[0])} to {_percent(interval[1])}",
        str(row["no_answer"]),
        str(row["unscored"]),
        _percent(row["truncated_rate"]),
        "-" if row["mean_tokens"] is None else f"{row['mean_tokens']:.0f}",
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or "(none)"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
