"""A comparison in words and figures, the same for terminal, Markdown and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdft.comparison.records import Compared, Comparison, Difference
from mmdft.evals.stats import Estimate, SampleEstimate, Summary
from mmdft.evals.tables import percent, whole

TESTS: Mapping[str, str] = {
    "mcnemar": "McNemar's exact test",
    "sign_flip": "exact sign-flip test over clusters",
    "swap": "permutation test over clusters (9,999 swaps)",
}
BEHAVIOUR = ("no answer %", "truncated %", "in form %", "repetitive %", "mean tokens",
             "mean characters")  # fmt: skip
DIFFERENCES = ("difference", "95 % interval", "p", "p (Holm)", "detectable", "won", "lost",
               "reading")  # fmt: skip
DIFFERENCE_NOTE = (
    "Differences are in points, run minus baseline, on the items that both have scored. p is "
    "two-sided; p (Holm) is corrected over all runs and benchmarks, for the headline numbers "
    "together and for every other rule set and score by itself; the reading goes by it at 5 %. "
    "Detectable: the true difference that such a comparison finds with 80 % power; an unclear one "
    "may be anything smaller. Won and lost count the answers that only the run, or only the "
    "baseline, has right."
)
_SAMPLE_NOTE = (
    "Of an item's n answers: avg@n is the mean, pass@k the chance that one of k of them is right "
    "(over the items that have k scored answers), majority@n whether the most frequent one is. "
    "The difference of avg@n is that of the rule set."
)
CATEGORY_NOTE = (
    "Differences within categories have 95 % intervals of their own, not corrected for their "
    "number: to look at, not to conclude from."
)


def score_cell(summary: Summary) -> str:
    """Accuracy and interval in percent."""
    if summary.accuracy is None or summary.interval is None:
        return "-"
    low, high = summary.interval
    return f"{percent(summary.accuracy)} ({percent(low)} to {percent(high)})"


def score_rows(each: Compared) -> list[tuple[str, ...]]:
    """A row per rule set: its name, a cell per run, the floor."""
    rows = []
    for rule, of_run in each.summaries.items():
        floor = next(iter(of_run.values())).floor
        rows.append((rule, *(score_cell(summary) for summary in of_run.values()), percent(floor)))
    return rows


def own_score_rows(each: Compared) -> list[tuple[str, ...]]:
    """A row per score that is no accuracy, by the headline rule set: its name, a cell per run.

    Those of repeated answers (avg@n, pass@k, majority@n) come last; a run may lack some of them.
    """
    of_run = each.summaries[each.headline].values()
    found: list[dict[str, Estimate | SampleEstimate]]
    found = [{**summary.scores, **summary.samples} for summary in of_run]
    names = dict.fromkeys(name for scores in found for name in scores)
    return [(name, *(_estimate_cell(scores.get(name)) for scores in found)) for name in names]


def _estimate_cell(estimate: Estimate | SampleEstimate | None) -> str:
    if estimate is None or estimate.interval is None:
        return percent(None if estimate is None else estimate.value)
    low, high = estimate.interval
    return f"{percent(estimate.value)} ({percent(low)} to {percent(high)})"


def behaviour_rows(each: Compared) -> list[tuple[str, ...]]:
    """A row per run: how its responses are; no answer is under the headline rule set."""
    return [
        (
            name,
            percent(summary.no_answer_rate),
            percent(summary.truncated_rate),
            percent(summary.format_rate),
            percent(summary.repetition_rate),
            whole(summary.mean_tokens),
            whole(summary.mean_characters),
        )
        for name, summary in each.summaries[each.headline].items()
    ]


def difference_cells(each: Difference) -> tuple[str, ...]:
    """The figures of `DIFFERENCES`."""
    return (
        points(each.difference),
        interval_cell(each),
        p_cell(each.p_value),
        p_cell(each.p_holm),
        percent(each.detectable),
        "-" if each.only_run is None else str(each.only_run),
        "-" if each.only_baseline is None else str(each.only_baseline),
        each.conclusion,
    )


def category_rows(each: Compared, key: str) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Per value of a breakdown key: the value, n, and each run's score and difference."""
    rows = []
    of_run = each.summaries[each.headline]
    pairs = each.categories[key]
    values = {value: None for summary in of_run.values() for value in summary.breakdowns[key]}
    for value in sorted(values):
        groups = {name: summary.breakdowns[key].get(value) for name, summary in of_run.items()}
        n = max(group.n for group in groups.values() if group is not None)
        cells = []
        for name, group in groups.items():
            pair = pairs.get(value, {}).get(name)
            change = "" if pair is None else f"{points(pair.difference)} ({_ends(pair.interval)})"
            cells.append((percent(None if group is None else group.accuracy), change))
        rows.append((value, str(n), tuple(cells)))
    return rows


def tests_used(comparison: Comparison) -> str:
    """The tests that the p values come from, in words."""
    used = dict.fromkeys(each.test for each in comparison.differences)
    return "; ".join(TESTS[name] for name in used)


def sample_note(comparison: Comparison) -> str:
    """What the scores of repeated answers are; "" where no run has any."""
    summaries = (
        summary
        for each in comparison.benchmarks
        for summary in each.summaries[each.headline].values()
    )
    return _SAMPLE_NOTE if any(summary.samples for summary in summaries) else ""


def points(value: float | None) -> str:
    """A signed difference in points."""
    return "-" if value is None else f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def p_cell(p: float | None) -> str:
    """A p value with two significant figures at most four places deep."""
    if p is None:
        return "-"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def interval_cell(each: Any) -> str:
    """The 95 % interval of a difference."""
    return "-" if each.interval is None else _ends(each.interval)


def _ends(interval: tuple[float, float]) -> str:
    return f"{points(interval[0])} to {points(interval[1])}"
