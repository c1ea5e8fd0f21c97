"""The report's tables as formatted text, the same for the page and for Markdown. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mmdft.evals.report_schema import Difference, Result, SampleScore, SplitScore

SIGNIFICANT = 0.05
MISSING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCell:
    """One model on one split. `best`: ahead of the runner-up by more than chance explains.

    `samples` are the scores of repeated answers, as "pass@4 61.2 % (52.0 to 69.7)"; `left_open` is
    what else the accuracy may be, as "4 open, range 41.2 to 42.0", and "" where nothing is open.
    """

    score: str
    interval: str
    n: str
    no_answer: str
    truncated: str
    best: bool
    samples: tuple[str, ...] = ()
    left_open: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One model's cells, in the order of the splits; None where it was not evaluated."""

    key: str
    title: str
    cells: tuple[ScoreCell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    """One paired comparison."""

    split: str
    pair: str
    points: str
    p_value: str
    a_only: str
    b_only: str
    significant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRow:
    """One family: for every split its n, then each model's accuracy."""

    family: str
    splits: tuple[tuple[str, ...], ...]


def percent(fraction: float) -> str:
    """0.4123 -> "41.2"; a dash for what is not a number."""
    return f"{100 * fraction:.1f}" if math.isfinite(fraction) else MISSING


def with_error(fraction: float, stderr: float) -> str:
    """0.4123, 0.018 -> "41.2 ± 1.8"."""
    return f"{percent(fraction)} ± {percent(stderr)}"


def signed_points(fraction: float) -> str:
    """0.0321 -> "+3.2", with a true minus sign, and no sign for what rounds to zero."""
    text = percent(abs(fraction))
    if text in ("0.0", MISSING):
        return text
    return ("+" if fraction > 0 else "\N{MINUS SIGN}") + text


def p_text(p: float) -> str:
    """Three decimals, or "< 0.001"."""
    if not math.isfinite(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """12.34 -> "12.3 s", 185 -> "3 min 05 s", 3720 -> "1 h 02 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def setting_text(value: str | bool | int | float) -> str:
    """A setting as one would write it in a configuration: 5e-05 -> "5e-5"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e+")
    return str(value)


def label(name: str) -> str:
    """A family's or setting's name as words."""
    return name.replace("_", " ")


def split_names(result: Result) -> list[str]:
    """All splits, in the order in which the models name them."""
    return _in_order(split for model in result["models"].values() for split in model["results"])


def score_rows(result: Result) -> list[ScoreRow]:
    """The results table: models by splits."""
    splits = split_names(result)
    best = {split: clear_best(result, split) for split in splits}
    return [
        ScoreRow(
            key=key,
            title=model["title"],
            cells=tuple(
                _score_cell(model["results"][split], key == best[split])
                if split in model["results"]
                else None
                for split in splits
            ),
        )
        for key, model in result["models"].items()
    ]


def clear_best(result: Result, split: str) -> str | None:
    """The split's best model, if its paired difference from the runner-up has p < 0.05."""
    scores = {
        key: model["results"][split]["accuracy"]
        for key, model in result["models"].items()
        if split in model["results"]
    }
    ranked = sorted(scores, key=lambda key: -scores[key])
    if len(ranked) < 2 or scores[ranked[0]] == scores[ranked[1]]:
        return None
    first, second = ranked[:2]
    clear = any(
        {difference["a"], difference["b"]} == {first, second} and _is_significant(difference)
        for difference in result["differences"]
        if difference["split"] == split
    )
    return first if clear else None


def difference_rows(result: Result) -> list[DifferenceRow]:
    """The paired differences, in the order given."""
    titles = {key: model["title"] for key, model in result["models"].items()}
    return [
        DifferenceRow(
            split=each["split"],
            pair=f"{titles[each['a']]} \N{MINUS SIGN} {titles[each['b']]}",
            points=f"{signed_points(each['difference'])} ± {percent(each['stderr'])}",
            p_value=p_text(each["p_value"]),
            a_only=f"{each['a_only']:,}",
            b_only=f"{each['b_only']:,}",
            significant=_is_significant(each),
        )
        for each in result["differences"]
    ]


def family_rows(result: Result) -> list[FamilyRow]:
    """Accuracy by family: for every split its n, then each model."""
    splits = split_names(result)
    families = _in_order(
        family
        for model in result["models"].values()
        for score in model["results"].values()
        for family in score["categories"]
    )
    return [
        FamilyRow(
            family=label(family),
            splits=tuple(_family_cells(result, split, family) for split in splits),
        )
        for family in families
    ]


def _score_cell(score: SplitScore, best: bool) -> ScoreCell:
    return ScoreCell(
        score=f"{with_error(score['accuracy'], score['stderr'])} %",
        interval=f"{percent(score['low'])} to {percent(score['high'])}",
        n=f"{score['n']:,}",
        no_answer=f"{score['no_answer']:,}",
        truncated=f"{score['truncated']:,}",
        best=best,
        samples=tuple(_sample_text(*pair) for pair in score.get("samples", {}).items()),
        left_open=_open_text(score),
    )


def _open_text(score: SplitScore) -> str:
    if not score.get("open") or "range" not in score:
        return ""
    low, high = score["range"]
    return f"{score['open']:,} open, range {percent(low)} to {percent(high)}"


def _sample_text(name: str, score: SampleScore) -> str:
    if score["value"] is None or score["interval"] is None:
        return f"{name} {MISSING}"
    low, high = map(percent, score["interval"])
    return f"{name} {percent(score['value'])} % ({low} to {high})"


def _is_significant(difference: Difference) -> bool:
    return difference["p_value"] < SIGNIFICANT


def _family_cells(result: Result, split: str, family: str) -> tuple[str, ...]:
    scores = [
        model["results"][split]["categories"].get(family) if split in model["results"] else None
        for model in result["models"].values()
    ]
    counts = sorted({score["n"] for score in scores if score is not None})
    n = "/".join(f"{count:,}" for count in counts) or MISSING
    accuracies = (
        MISSING if score is None else with_error(score["accuracy"], score["stderr"])
        for score in scores
    )
    return (n, *accuracies)


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
