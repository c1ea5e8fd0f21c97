"""An experiment's charts. What was not measured is not drawn, never drawn as zero. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mmdft import charts
from mmdft.charts import Bins, Chart, svg_chart
from mmdft.experiments import tables
from mmdft.experiments.schema import BASE, Results, Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMALL = (3.6, 2.3)
_DASHES = {"dashed": "--", "solid": "-", "dotted": ":"}
_STATISTICS: dict[str, tuple[str, str, Callable[[Training], list[float | None]]]] = {
    "grad_norm": ("Gradient norm", "Before clipping.", lambda each: each.grad_norm),
    "entropy": ("Entropy", "Of the model's distribution at an answer token.",
                lambda each: each.entropy),
    "nll": ("Negative log-likelihood", "Mean \N{MINUS SIGN}log p of an answer token.",
            lambda each: each.nll),
    "mean_p": ("Mean probability", "That the model gives an answer token.",
               lambda each: each.mean_p),
}  # fmt: skip


def colours(results: Results) -> dict[str, str]:
    """Each model's colour, the same in every chart and table."""
    return charts.colours(results.titles)


def line_styles(results: Results) -> dict[str, str]:
    """Each variant's line, by its CSS name, so that colour is not all that differs."""
    names = list(results.variants)
    dashes = list(_DASHES)
    return {name: dashes[place % len(dashes)] for place, name in enumerate(names)}


def difference_chart(results: Results) -> Chart | None:
    """The other variants minus the first one, with 95 % intervals."""
    tests = tables.tests_against(results, results.first)
    if not tests:
        return None
    palette = colours(results)
    several = len({test.a for test in tests}) > 1

    def draw(axes: Axes) -> None:
        axes.axvline(0, color="#9aa1a9", linewidth=0.8)
        for place, test in enumerate(tests):
            colour = palette[test.a]
            if test.low is not None and test.high is not None:
                ends = [100 * test.low, 100 * test.high]
                axes.plot(ends, [place, place], color=colour, linewidth=1.4)
            clear = tables.reading(test) in ("higher", "lower")
            face = colour if clear else "white"
            axes.plot(
                100 * test.difference, place, "o", markersize=4.5, color=colour, mfc=face, zorder=3
            )
        names = [
            f"{test.benchmark}, {test.measure}" + (f", {results.titles[test.a]}" if several else "")
            for test in tests
        ]
        # Names are the user's: a $ in them is no formula.
        axes.set_yticks(range(len(tests)), names, parse_math=False)
        axes.set_ylim(len(tests) - 0.4, -0.6)
        axes.set_xlabel("points")
        axes.grid(axis="x")

    others = " and ".join(dict.fromkeys(results.titles[test.a] for test in tests))
    title = f"{others} \N{MINUS SIGN} {results.titles[results.first]}"
    return Chart(
        title=title,
        note="Points, with 95 % intervals; filled where the corrected p is below 0.05.",
        svg=svg_chart(
            draw,
            "chart-differences",
            f"Differences in accuracy, {title}, with 95 % intervals",
            (3.9, 0.7 + 0.2 * len(tests)),
        ),
    )


def rate_charts(results: Results) -> list[Chart]:
    """Accuracy over the learning rate, one chart a benchmark; none with a single rate."""
    table = tables.rate_table(results)
    if table is None:
        return []
    rates, palette, lines = tables.all_rates(results), colours(results), line_styles(results)

    def draw(axes: Axes, label: str) -> None:
        axes.set_xscale("log")
        for place, (name, variant) in enumerate(results.variants.items()):
            found = {
                rate: spread
                for rate in rates
                if (spread := tables.at_rate(variant, rate, label)) is not None
            }
            # Beside one another, or the intervals hide each other.
            shift = 1.04 ** (place - (len(results.variants) - 1) / 2)
            means = [100 * spread.mean for spread in found.values()]
            places, dashes = [rate * shift for rate in found], _DASHES[lines[name]]
            axes.plot(places, means, color=palette[name], linestyle=dashes, linewidth=1.3)
            for rate, spread in found.items():
                at, chosen = rate * shift, rate == variant.best
                if spread.low is not None and spread.high is not None:
                    ends = [100 * spread.low, 100 * spread.high]
                    axes.plot([at, at], ends, color=palette[name], linewidth=1)
                axes.plot(
                    at,
                    100 * spread.mean,
                    "D" if chosen else "o",
                    markersize=6 if chosen else 3.5,
                    color=palette[name],
                )
        axes.set_xticks(rates, [tables.rate_text(rate) for rate in rates])
        axes.minorticks_off()
        axes.set_xlabel("learning rate")
        axes.set_ylabel("correct, %")
        axes.grid(axis="y")

    return [
        Chart(
            title=group.title,
            note="",
            svg=svg_chart(
                partial(draw, label=group.title),
                f"chart-rates-{number}",
                f"Accuracy on {group.title} over the learning rate, {_names(results)}",
                _SMALL,
            ),
        )
        for number, group in enumerate(table.groups)
    ]


def curve_charts(results: Results, page_part: str = "chart") -> list[Chart]:
    """Accuracy over the steps with bands, one chart a benchmark; the base is a level line.

    Args:
        results: the experiment's.
        page_part: how the charts' names open; no two of a page may be alike.
    """
    palette, lines = colours(results), line_styles(results)
    labels = [
        label
        for _, named in results.roles()
        for label in named
        if any(label in variant.curves.labels for variant in results.variants.values())
    ]

    def draw(axes: Axes, label: str) -> None:
        base = tables.greedy_of(results, BASE, label)
        if base is not None:
            axes.axhline(100 * base.mean, color=palette[BASE], linewidth=0.9, linestyle=(0, (2, 2)))
        for name, variant in results.variants.items():
            curve = variant.curves.labels.get(label)
            if curve is None:
                continue
            steps = variant.curves.steps
            if curve.low is not None and curve.high is not None:
                low, high = _percents(curve.low), _percents(curve.high)
                axes.fill_between(steps, low, high, color=palette[name], alpha=0.16, linewidth=0)
            axes.plot(
                steps,
                _percents(curve.mean),
                color=palette[name],
                linestyle=_DASHES[lines[name]],
                linewidth=1.4,
                marker="o",
                markersize=2.5,
            )
        axes.set_xlabel("step")
        axes.set_ylabel("correct, %")
        axes.grid(axis="y")

    return [
        Chart(
            title=label,
            note="",
            svg=svg_chart(
                partial(draw, label=label),
                f"{page_part}-curve-{number}",
                f"Accuracy on {label} over the steps, {_names(results)}",
                _SMALL,
            ),
        )
        for number, label in enumerate(labels)
    ]


def training_charts(results: Results) -> list[Chart]:
    """Gradient norm, entropy, likelihood and probability over the steps; those that were logged."""
    palette, lines = colours(results), line_styles(results)

    def draw(axes: Axes, of: Callable[[Training], list[float | None]], statistic: str) -> None:
        for name, variant in results.variants.items():
            if values := of(variant.training):
                axes.plot(
                    variant.training.steps,
                    [math.nan if value is None else value for value in values],
                    color=palette[name],
                    linestyle=_DASHES[lines[name]],
                    linewidth=1.3,
                    # Also a value between two gaps is to be seen.
                    marker=".",
                    markersize=2.5,
                )
        axes.set_ylim(0, 1) if statistic == "mean_p" else axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.grid(axis="y")

    return [
        Chart(
            title=title,
            note=note,
            svg=svg_chart(
                partial(draw, of=of, statistic=statistic),
                f"chart-{statistic}",
                f"{title} over the training steps, {_names(results)}",
                _SMALL,
            ),
        )
        for statistic, (title, note, of) in _STATISTICS.items()
        if any(_has_values(of(variant.training)) for variant in results.variants.values())
    ]


def token_chart(results: Results) -> Chart | None:
    """Histogram of the demonstrations' token probabilities; None where none was made."""
    bins = {
        name: Bins(title=results.titles[name], edges=each.edges, counts=each.counts)
        for name, each in tables.histograms(results).items()
    }
    return charts.probability_chart(bins, colours(results)) if bins else None


def _names(results: Results) -> str:
    return ", ".join(variant.title for variant in results.variants.values())


def _percents(values: Sequence[float | None]) -> list[float]:
    """Shares as percent; a gap where there is none."""
    return [math.nan if value is None else 100 * value for value in values]


def _has_values(values: Sequence[float | None]) -> bool:
    return any(value is not None and math.isfinite(value) for value in values)
