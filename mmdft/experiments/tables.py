"""An experiment's tables as formatted text, the same for the page and for Markdown. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from mmdft.comparison.cells import p_cell
from mmdft.experiments.schema import (
    BASE,
    Probabilities,
    Results,
    Sampled,
    Spread,
    Test,
    Variant,
    VariantResult,
)
from mmdft.experiments.words import MISSING, percent, setting_text, signed_points

SIGNIFICANT = 0.05
ROLE_WORDS = {
    "in_distribution": "In distribution",
    "out_of_distribution": "Out of distribution",
    "forgetting": "Forgetting",
    "validation": "Validation",
}
MEASURES = {"greedy": "greedy", "sampled": "sampled"}
BEHAVIOUR = {
    "stopped": "Stopped by itself, %",
    "formatted": "Gave an answer that can be read, %",
    "adopts_style": "Adopted the demonstrations' style, %",
    "mean_tokens": "Mean tokens",
}
RATE_NOTE = (
    "Greedy accuracy in %, mean over seeds, with the 95 % interval. ✓: the rate that the variant "
    "chose, by the validation benchmarks alone."
)
CONTROL_NOTE = (
    "Accuracy in %, mean over seeds, with the 95 % interval. Early stop: the step that was best in "
    "validation. No clipping: trained again without gradient clipping. The differences between "
    "these were not tested."
)
PROBABILITY_NOTE = (
    "How probable each model finds the tokens of the demonstrations; a variant's tokens are those "
    "of all its seeds together."
)
Reading = Literal["higher", "lower", "unclear", "not tested"]
MARKS: dict[Reading, str] = {"higher": "▲", "lower": "▼", "unclear": "", "not tested": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure with its interval and a mark; `more` is a second one, with a name to tell it by."""

    value: str
    name: str = ""
    interval: str = ""
    mark: str = ""
    more: Cell | None = None
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row; `note` is small print under its name."""

    name: str
    note: str = ""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows under a heading of their own; "" for none."""

    title: str = ""
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table. `models` are the columns' models in their order, where columns are models.

    `corner` says what the rows are, `over` what the groups are; `notes` are the head's small print.
    """

    corner: str
    over: str = ""
    head: tuple[str, ...]
    notes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    groups: tuple[Group, ...]


NOTHING = Cell(value=MISSING)


def main_table(results: Results) -> Table:
    """Base and variants, each at its own best learning rate, on all benchmarks role by role."""
    names = list(results.titles)

    def row(label: str) -> Row:
        each = results.benchmarks[label]
        note = f"{each.title}, n = {each.n:,}" if each.title != label else f"n = {each.n:,}"
        cells = (_main_cell(results, label, name) for name in names)
        return Row(name=label, note=note, cells=tuple(cells))

    groups = (
        Group(title=_role_title(results, role), rows=tuple(map(row, labels)))
        for role, labels in results.roles()
    )
    return _of_models(results, "Benchmark", "Role", tuple(groups))


def _role_title(results: Results, role: str) -> str:
    chosen = role == "validation" and len(all_rates(results)) > 1
    return ROLE_WORDS.get(role, role) + (" (learning rates are chosen here)" if chosen else "")


def main_note(results: Results) -> str:
    """How to read the main table."""
    parts = [
        "Greedy accuracy in %, mean over seeds, with the 95 % interval over seeds where there are "
        "several; the base is one model and has none."
    ]
    cells = product(results.titles, results.benchmarks)
    if any(sampled_of(results, name, label) is not None for name, label in cells):
        name, words = sampled_name(results), sampled_words(results)
        parts.append(f"{name}: the mean of several sampled answers to each item ({words}).")
    if results.tests:
        first = results.titles[results.first]
        parts.append(f"▲ ▼: above or below {first} with a corrected p below 0.05.")
    return " ".join(parts)


def references(results: Results) -> list[tuple[str, str]]:
    """The models that others were tested against, the first variant first: title and name."""
    names = [results.first, *(name for name in results.titles if name != results.first)]
    return [(results.titles[name], name) for name in names if tests_against(results, name)]


def test_note(results: Results) -> str:
    """How to read the tables of tests."""
    kinds = dict.fromkeys(test.test for test in results.tests if test.test)
    used = f" Test: {'; '.join(kinds)}." if kinds else ""
    return (
        "Differences in points. p is two-sided; the corrected one takes into account how many "
        f"tests this experiment makes, and the reading goes by it at 5 %.{used}"
    )


def setting_cell(value: str | bool | int | float | None) -> str:
    """A setting as one would write it in a configuration; large numbers with separators."""
    if value is None:
        return MISSING
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"{value:,}"
    return setting_text(value)


def overrides_text(variant: Variant) -> str:
    """What a variant changes, and the learning rate that it chose."""
    parts = [f"{key}={value}" for key, value in variant.overrides.items()]
    if variant.best is not None:
        parts.append(f"learning rate {rate_text(variant.best)}")
    return ", ".join(parts) or MISSING


def test_table(results: Results, tests: list[Test]) -> Table:
    """The differences of some tests, pair by pair."""
    titles = results.titles
    pairs = dict.fromkeys((test.a, test.b) for test in tests)
    return Table(
        corner="Benchmark",
        over="Difference",
        head=("points", "95 % interval", "p", "p corrected", "reading"),
        groups=tuple(
            Group(
                title=f"{titles[a]} \N{MINUS SIGN} {titles[b]}",
                rows=tuple(_test_row(test) for test in tests if (test.a, test.b) == (a, b)),
            )
            for a, b in pairs
        ),
    )


def tests_against(results: Results, reference: str) -> list[Test]:
    """The tests whose second model is `reference`."""
    return [test for test in results.tests if test.b == reference]


def find_test(results: Results, label: str, measure: str, a: str, b: str) -> Test | None:
    """The test of `a` minus `b` on a benchmark, if there is one."""
    for test in results.tests:
        if (test.benchmark, test.measure, test.a, test.b) == (label, measure, a, b):
            return test
    return None


def reading(test: Test | None) -> Reading:
    """What a test says of its first model, by the corrected p at 5 %."""
    if test is None or test.p_corrected is None:
        return "not tested"
    if test.p_corrected >= SIGNIFICANT:
        return "unclear"
    return "higher" if test.difference > 0 else "lower"


def rate_table(results: Results) -> Table | None:
    """Greedy accuracy at every learning rate; each variant's own choice stands out."""
    names = list(results.variants)
    rates = all_rates(results)
    labels = [
        label
        for _, labels in results.roles()
        for label in labels
        if any(
            label in by_label
            for variant in results.variants.values()
            for by_label in variant.learning_rates.values()
        )
    ]
    if len(rates) < 2 or not labels:
        return None

    def cell(variant: Variant, rate: float, label: str) -> Cell:
        chosen = rate == variant.best
        return spread_cell(at_rate(variant, rate, label), "✓" if chosen else "", strong=chosen)

    groups = (
        Group(
            title=label,
            rows=tuple(
                Row(
                    name=rate_text(rate),
                    cells=tuple(cell(results.variants[name], rate, label) for name in names),
                )
                for rate in rates
            ),
        )
        for label in labels
    )
    return Table(
        corner="Learning rate",
        over="Benchmark",
        head=tuple(results.titles[name] for name in names),
        models=tuple(names),
        groups=tuple(groups),
    )


def all_rates(results: Results) -> list[float]:
    """The learning rates that any variant was trained with, in rising order."""
    variants = results.variants.values()
    return sorted({float(rate) for variant in variants for rate in variant.learning_rates})


def at_rate(variant: Variant, rate: float, label: str) -> Spread | None:
    """A variant's accuracy at a learning rate; files write 3e-04 in more than one way."""
    for text, by_label in variant.learning_rates.items():
        if float(text) == rate:
            return by_label.get(label)
    return None


def control_table(results: Results) -> Table | None:
    """Other decodings and trainings beside the main results; None without any of them."""
    groups = []
    for _, labels in results.roles():
        for label in labels:
            rows = tuple(
                row for row in _control_rows(results, label) if any(c != NOTHING for c in row.cells)
            )
            # Greedy and sampled accuracy alone are no controls.
            if any(row.name not in MEASURES.values() for row in rows):
                groups.append(Group(title=label, rows=rows))
    return _of_models(results, "Control", "Benchmark", tuple(groups)) if groups else None


def behaviour_table(results: Results) -> Table | None:
    """How the greedy responses are, trait by trait; what nobody measured is left out."""
    names = list(results.titles)
    labels = [label for _, labels in results.roles() for label in labels]
    groups = []
    for trait, words in BEHAVIOUR.items():
        scale = 1.0 if trait == "mean_tokens" else 100.0
        rows = []
        for label in labels:
            cells = tuple(_trait_cell(results, name, label, trait, scale) for name in names)
            if any(cell != NOTHING for cell in cells):
                rows.append(Row(name=label, cells=cells))
        if rows:
            groups.append(Group(title=words, rows=tuple(rows)))
    return _of_models(results, "Benchmark", "Trait", tuple(groups)) if groups else None


def probability_table(results: Results) -> Table | None:
    """Mean probability of the demonstrations' tokens, and the share of unlikely ones."""
    rows = tuple(
        Row(
            name=results.titles[name],
            cells=(
                Cell(value=f"{each.mean:.3f}"),
                Cell(value=f"{100 * each.below:.2f}"),
                Cell(value=f"{sum(each.counts):,}"),
            ),
        )
        for name, each in histograms(results).items()
    )
    head = ("mean p", "p < 0.01, %", "tokens")
    return Table(corner="Model", head=head, groups=(Group(rows=rows),)) if rows else None


def histograms(results: Results) -> dict[str, Probabilities]:
    """The histograms of token probabilities that there are, by model."""
    found = {name: variant.probabilities for name, variant in results.variants.items()}
    every = {BASE: results.base_probabilities, **found}
    return {name: each for name, each in every.items() if each is not None}


def spread_cell(spread: Spread | None, mark: str = "", strong: bool = False) -> Cell:
    """A mean in percent with its interval."""
    if spread is None:
        return NOTHING
    return Cell(
        value=percent(spread.mean), interval=interval_text(spread), mark=mark, strong=strong
    )


def interval_text(spread: Spread, scale: float = 100.0) -> str:
    """The interval as "92.1 to 96.5"; "" with one seed."""
    if spread.low is None or spread.high is None:
        return ""
    return f"{scale * spread.low:.1f} to {scale * spread.high:.1f}"


def difference_interval(test: Test) -> str:
    """The interval of a difference as "+2.9 to +6.9"; "" where there is none."""
    if test.low is None or test.high is None:
        return ""
    return f"{signed_points(test.low)} to {signed_points(test.high)}"


def rate_text(rate: float) -> str:
    """A learning rate as people write it: 0.0003 -> "3e-4", 0.00025 -> "2.5e-4"."""
    digits, exponent = f"{rate:.3e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def sampled_name(results: Results) -> str:
    """What the accuracy of repeated answers is called, such as "avg@4"."""
    drawn = _drawn(results)
    return "sampled" if drawn is None else f"avg@{drawn.k}"


def sampled_words(results: Results) -> str:
    """The same with its temperature, as "avg@4 at temperature 1"."""
    drawn = _drawn(results)
    at = "" if drawn is None else f" at temperature {drawn.temperature:g}"
    return f"{sampled_name(results)}{at}"


def _drawn(results: Results) -> Sampled | None:
    """How the base's answers were sampled, which is how all models' were."""
    return next((each.sampled for each in results.base.values() if each.sampled), None)


def _of_models(results: Results, corner: str, over: str, groups: tuple[Group, ...]) -> Table:
    """A table with a column for each model, which tells the learning rate that it chose."""
    rates = [None, *(variant.best for variant in results.variants.values())]
    return Table(
        corner=corner,
        over=over,
        head=tuple(results.titles.values()),
        notes=tuple("" if rate is None else f"lr {rate_text(rate)}" for rate in rates),
        models=tuple(results.titles),
        groups=groups,
    )


def _main_cell(results: Results, label: str, name: str) -> Cell:
    greedy, sampled = greedy_of(results, name, label), sampled_of(results, name, label)
    marks = {
        measure: MARKS[reading(find_test(results, label, measure, name, results.first))]
        for measure in MEASURES
    }
    cell = spread_cell(greedy, mark=marks["greedy"])
    if sampled is None:
        return cell
    more = replace(spread_cell(sampled, mark=marks["sampled"]), name=sampled_name(results))
    return replace(cell, more=more)


def greedy_of(results: Results, name: str, label: str) -> Spread | None:
    """A model's greedy accuracy on a benchmark; the base's is one number."""
    if name == BASE:
        base = results.base.get(label)
        return None if base is None or base.greedy is None else Spread(mean=base.greedy)
    found = results.variants[name].results.get(label)
    return None if found is None else found.greedy


def sampled_of(results: Results, name: str, label: str) -> Spread | None:
    """A model's avg@k on a benchmark."""
    if name == BASE:
        base = results.base.get(label)
        return None if base is None or base.sampled is None else Spread(mean=base.sampled.accuracy)
    found = results.variants[name].results.get(label)
    return None if found is None else found.sampled


def temperature_of(results: Results, name: str, label: str, temperature: str) -> Spread | None:
    """A model's accuracy on a benchmark when decoded at another temperature."""
    if name == BASE:
        base = results.base.get(label)
        share = None if base is None else base.temperatures.get(temperature)
        return None if share is None else Spread(mean=share)
    found = results.variants[name].results.get(label)
    return None if found is None else found.temperatures.get(temperature)


def temperatures(results: Results) -> list[str]:
    """The temperatures of the controls, from low to high."""
    found = {key for each in results.base.values() for key in each.temperatures}
    for variant in results.variants.values():
        found |= {key for each in variant.results.values() for key in each.temperatures}
    return sorted(found, key=float)


def early_stop_of(results: Results, name: str, label: str) -> Spread | None:
    """A variant's accuracy at the step that was best in validation; the base has none."""
    found: VariantResult | None = None
    if name != BASE:
        found = results.variants[name].results.get(label)
    return None if found is None else found.early_stop


def unclipped_of(results: Results, name: str, label: str) -> Spread | None:
    """A variant's accuracy when trained without gradient clipping; the base has none."""
    return None if name == BASE else results.variants[name].controls.clipping_off.get(label)


def _control_rows(results: Results, label: str) -> Iterator[Row]:
    def row(name: str, of: Callable[[Results, str, str], Spread | None]) -> Row:
        cells = tuple(spread_cell(of(results, model, label)) for model in results.titles)
        return Row(name=name, cells=cells)

    yield row("greedy", greedy_of)
    for temperature in temperatures(results):
        cells = tuple(
            spread_cell(temperature_of(results, model, label, temperature))
            for model in results.titles
        )
        yield Row(name=f"temperature {temperature}", cells=cells)
    yield row("sampled", sampled_of)
    yield row("early stop, greedy", early_stop_of)
    yield row("no clipping, greedy", unclipped_of)


def _trait_cell(results: Results, name: str, label: str, trait: str, scale: float) -> Cell:
    spread = None
    if name == BASE:
        base = results.base.get(label)
        share = None if base is None else base.behaviour.get(trait)
        spread = None if share is None else Spread(mean=share)
    elif (found := results.variants[name].results.get(label)) is not None:
        spread = found.behaviour.get(trait)
    if spread is None:
        return NOTHING
    return Cell(value=f"{scale * spread.mean:.1f}", interval=interval_text(spread, scale))


def _test_row(test: Test) -> Row:
    found = reading(test)
    return Row(
        name=test.benchmark,
        note=MEASURES.get(test.measure, test.measure),
        cells=(
            Cell(value=signed_points(test.difference), strong=found in ("higher", "lower")),
            Cell(value=difference_interval(test) or MISSING),
            Cell(value=MISSING if test.p_value is None else p_cell(test.p_value)),
            Cell(value=MISSING if test.p_corrected is None else p_cell(test.p_corrected)),
            Cell(value=found),
        ),
    )
