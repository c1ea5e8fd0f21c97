"""Summaries as Markdown tables: `results.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SCORE = ("n", "accuracy %", "± s.e.", "95 % interval", "floor %", "no answer", "unscored")
_GROUP = ("n", "accuracy %", "± s.e.", "95 % interval", "no answer", "unscored", "truncated %",
          "mean tokens")  # fmt: skip
_BEHAVIOUR = ("n", "no answer %", "truncated %", "in form %", "repetitive %", "mean tokens",
              "mean characters")  # fmt: skip


def results_markdown(summary: Mapping[str, Any]) -> str:
    """The report of one scored file, from what `scoring.score_file` returns.

    The first table has a row per rule set; then come the benchmark's own scores, how the responses
    are, and each breakdown under the first rule set, which is the headline one. An evaluation of a
    part of the benchmark says so on top.
    """
    rules: Mapping[str, Mapping[str, Any]] = summary["rules"]
    headline = next(iter(rules))
    first = rules[headline]
    lines = [f"# {summary['benchmark']}", ""]
    if summary["partial"]:
        lines += [
            f"**Partial:** {summary['missing']} of {summary['n_benchmark']} items have no "
            "prediction. They are not in the figures below.",
            "",
        ]
    if summary.get("withheld"):
        lines += [
            f"**Withheld:** {summary['withheld']} of {summary['n_predictions']} predictions are "
            "for items whose gold is not published. They are unscored, not wrong.",
            "",
        ]
    lines += markdown_table(
        ("rules", *_SCORE), [(name, *_score_cells(row)) for name, row in rules.items()]
    )
    if first["detectable"] is not None:
        lines += ["", _detectable(first["detectable"], headline)]
    scores = [
        (name, rule, percent(score["value"]), percent(score["standard_error"]), interval(score))
        for rule, row in rules.items()
        for name, score in row.get("scores", {}).items()
    ]
    if scores:
        header = ("score", "rules", "value %", "± s.e.", "95 % interval")
        lines += ["", "## Scores", "", *markdown_table(header, scores)]
    lines += ["", f"## The responses (no answer by {headline})", ""]
    lines += markdown_table(("", *_BEHAVIOUR), [("all", *_behaviour_cells(first))])
    for key, groups in first.get("breakdowns", {}).items():
        rows = [(name, *_group_cells(row)) for name, row in groups.items()]
        lines += ["", f"## By {key} ({headline})", "", *markdown_table((key, *_GROUP), rows)]
    lines += ["", *_NOTES, "", f"Data: {summary['citation']}"]
    return "\n".join(lines) + "\n"


_NOTES = (
    "Accuracy is correct / (n - unscored); an item without an answer is not correct. The floor is "
    "the accuracy of empty responses under the same rule.",
    "",
    "In form: the answer stands where the prompt asks for it, if it asks. Repetitive: the response "
    "ends in one passage said at least four times and over at least 120 characters.",
)


def _detectable(difference: float, rules: str) -> str:
    return (
        f"Against an independent run on as many items, a difference of {percent(difference)} "
        f"points ({rules}) is found with 80 % power at two-sided 5 %; smaller ones are mostly "
        "missed. `mmdft compare` pairs runs by item and finds smaller ones."
    )


def _score_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["n"]),
        percent(row["accuracy"]),
        percent(row["standard_error"]),
        interval(row),
        percent(row["floor"]),
        str(row["no_answer"]),
        str(row["unscored"]),
    )


def _group_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["n"]),
        percent(row["accuracy"]),
        percent(row["standard_error"]),
        interval(row),
        str(row["no_answer"]),
        str(row["unscored"]),
        percent(row["truncated_rate"]),
        whole(row["mean_tokens"]),
    )


def _behaviour_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    rates = ("no_answer_rate", "truncated_rate", "format_rate", "repetition_rate")
    means = ("mean_tokens", "mean_characters")
    return (
        str(row["n"]),
        *(percent(row[name]) for name in rates),
        *(whole(row[name]) for name in means),
    )


def percent(value: float | None) -> str:
    """A share in percent with one decimal; "-" for None."""
    return "-" if value is None else f"{100 * value:.1f}"


def whole(value: float | None) -> str:
    """A number without decimals; "-" for None."""
    return "-" if value is None else f"{value:.0f}"


def interval(row: Mapping[str, Any]) -> str:
    """The 95 % interval of a row, in percent."""
    found = row["interval"]
    return "-" if found is None else f"{percent(found[0])} to {percent(found[1])}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table, names on the left and figures on the right; text becomes no markup."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    body = [[markdown_text(row[0]) or "(none)", *map(markdown_text, row[1:])] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (header, rule, *body)]


def markdown_text(text: str) -> str:
    """One line of text that Markdown takes as it is."""
    for mark in "\\`*_|<[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
