"""Summaries as Markdown tables: `results.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SAMPLES = ("score", "rules", "value %", "± s.e.", "95 % interval", "items", "left out")
_IMAGES = {
    "blank": "white images in place of the items' own",
    "swapped": "other items' images in place of their own",
}
_SCORE = ("n", "accuracy %", "± s.e.", "95 % interval", "range %", "floor %", "no answer", "open",
          "unscored")  # fmt: skip
_GROUP = ("n", "accuracy %", "± s.e.", "95 % interval", "range %", "no answer", "unscored",
          "truncated %", "mean tokens")  # fmt: skip
_BEHAVIOUR = ("n", "no answer %", "truncated %", "in form %", "repetitive %", "mean tokens",
              "mean characters")  # fmt: skip


def results_markdown(summary: Mapping[str, Any]) -> str:
    """The report of one scored file, from what `scoring.score_file` returns.

    First comes the number that the benchmark's authors report first. The first table has a row per
    rule set; then come the benchmark's own scores, how the responses are, and each breakdown under
    the first rule set, which is the headline one. An evaluation of a part of the benchmark says so
    on top.
    """
    rules: Mapping[str, Mapping[str, Any]] = summary["rules"]
    headline = next(iter(rules))
    first = rules[headline]
    lines = [f"# {summary['benchmark']}", ""]
    if "headline" in summary:
        lines += [f"**{markdown_text(headline_text(summary['headline']))}**", ""]
    if "images" in summary:
        lines += [f"**Images:** asked with {_IMAGES[summary['images']]}.", ""]
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
        (
            name,
            rule,
            percent(score["value"]),
            percent(score["standard_error"]),
            interval(score),
            range_text(score),
        )
        for rule, row in rules.items()
        for name, score in row.get("scores", {}).items()
    ]
    if scores:
        header = ("score", "rules", "value %", "± s.e.", "95 % interval", "range %")
        lines += ["", "## Scores", "", *markdown_table(header, scores)]
    if repeated := sample_rows(rules):
        lines += ["", "## Repeated answers", "", *markdown_table(SAMPLES, repeated)]
        lines += ["", *_SAMPLE_NOTES]
    lines += ["", f"## The responses (no answer by {headline})", ""]
    lines += markdown_table(("", *_BEHAVIOUR), [("all", *_behaviour_cells(first))])
    for key, groups in first.get("breakdowns", {}).items():
        rows = [(name, *_group_cells(row)) for name, row in groups.items()]
        lines += ["", f"## By {key} ({headline})", "", *markdown_table((key, *_GROUP), rows)]
    if "judge" in summary:
        said = [f"- {markdown_text(line)}" for line in judge_lines(summary["judge"])]
        lines += ["", "## The judge", "", *said]
    lines += ["", *_NOTES, "", f"Data: {summary['citation']}"]
    return "\n".join(lines) + "\n"


_NOTES = (
    "Accuracy is correct / (n - unscored); an item without an answer is not correct. The floor is "
    "the accuracy of empty responses under the same rule.",
    "",
    "Open: a response that the rule set gave no verdict on although there is a gold, unscored or "
    "without an answer that the rules could find. The range is the score if all open ones are "
    "wrong, and if all are right; - where none is open.",
    "",
    "In form: the answer stands where the prompt asks for it, if it asks. Repetitive: the response "
    "ends in one passage said at least four times and over at least 120 characters.",
)

_SAMPLE_NOTES = (
    "Of an item's n answers: avg@n is the mean, pass@k the chance that one of k of them is right, "
    "1 - C(n - right, k) / C(n, k), and majority@n whether the most frequent answer is; equally "
    "frequent ones share the item, and a response without an answer has no vote. Left out are the "
    "items with fewer than k scored answers, or whose most frequent answer could not be judged.",
)


def sample_rows(rules: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The rows of `SAMPLES`, rule set by rule set; none where no item has several answers."""
    return [
        (
            name,
            rule,
            percent(score["value"]),
            percent(score["standard_error"]),
            interval(score),
            str(score["items"]),
            str(score["left_out"]),
        )
        for rule, row in rules.items()
        for name, score in row.get("samples", {}).items()
    ]


def headline_text(headline: Mapping[str, Any]) -> str:
    """`scoring.score_file`'s headline in words: the number with its error, interval and range."""
    parts = [f"{headline['rules']} rules", f"n = {headline['n']}"]
    if headline["interval"] is not None:
        parts.insert(0, f"95 % interval {interval(headline)}")
    value = percent(headline["value"]) + (" %" if headline["value"] is not None else "")
    if headline["standard_error"] is not None:
        value += f" ± {percent(headline['standard_error'])}"
    if headline["open"]:
        parts.append(f"{headline['open']} open, range {range_text(headline)}")
    return f"{headline['name']}: {value} ({'; '.join(parts)})"


def judge_lines(judge: Mapping[str, Any]) -> list[str]:
    """What `scoring.score_file` says of the judge, in words: a line, and one for each failure."""
    return [
        f"{judge['model']} at {judge['url']}, prompt {judge['prompt']['hash'][:8]}: "
        f"{judge['open']} open, {judge['asked']} asked, {judge['cached']} known already, "
        f"{judge['unscored']} left unscored",
        *(f"{number} unscored: {reason}" for reason, number in judge["reasons"].items()),
    ]


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
        range_text(row),
        percent(row["floor"]),
        str(row["no_answer"]),
        str(row["open"]),
        str(row["unscored"]),
    )


def _group_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(row["n"]),
        percent(row["accuracy"]),
        percent(row["standard_error"]),
        interval(row),
        range_text(row),
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


def range_text(row: Mapping[str, Any]) -> str:
    """The score of a row if all that is open is wrong, and if all is right; "-" for no range."""
    low, high = row["range"] or (None, None)
    return "-" if low == high else f"{percent(low)} to {percent(high)}"


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1
) -> list[str]:
    """The lines of a table, `left` columns of names and then figures; text becomes no markup."""
    rule = [*["---"] * left, *["---:"] * (len(header) - left)]
    body = [[markdown_text(row[0]) or "(none)", *map(markdown_text, row[1:])] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (header, rule, *body)]


def markdown_text(text: str) -> str:
    """One line of text that Markdown takes as it is."""
    for mark in "\\`*_|<[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
