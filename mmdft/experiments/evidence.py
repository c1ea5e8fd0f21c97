"""Several experiments side by side: one Markdown file from their results.json. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdft.evals.tables import markdown_table, markdown_text
from mmdft.experiments import tables
from mmdft.experiments.schema import BASE, Results, Spread, check_results
from mmdft.experiments.statistics import spread
from mmdft.experiments.tables import find_test, greedy_of, interval_text, reading, spread_cell
from mmdft.experiments.words import MISSING
from mmdft.files import read_json, write_text

_ROLES = {
    "in_distribution": "in distribution",
    "out_of_distribution": "out of distribution",
    "forgetting": "forgetting",
}
_ADVICE = {True: "yes", False: "no", None: MISSING}


def write_evidence(folders: Sequence[Path], out: Path) -> Path:
    """Write the overview of the experiments in some output folders, in the order given.

    Raises:
        DataError: a folder has no results.json, or it is not what an experiment writes.
    """
    write_text(out, evidence_markdown([read_json(folder / "results.json") for folder in folders]))
    return out


def evidence_markdown(experiments: Sequence[Mapping[str, Any]]) -> str:
    """The overview: every variant of every experiment, and whether the advice was right.

    Raises:
        DataError: one of them is not what an experiment writes.
    """
    every = [check_results(results) for results in experiments]
    scores = [row for results in every for row in _score_rows(results)]
    advice = [_advice_row(results) for results in every if results.advice is not None]
    unfinished = [results.name for results in every if not results.finished]
    parts = [
        "## All experiments",
        _table(("experiment", "model", *_ROLES.values()), scores, left=2),
        "Greedy accuracy in %, the mean over seeds and over the benchmarks of a role, with the "
        "95 % interval over seeds. ▲ ▼: on how many of the role's benchmarks the variant is above "
        "or below its experiment's first with a corrected p below 0.05.",
        f"Not finished: {markdown_text(', '.join(unfinished))}." if unfinished else "",
    ]
    if advice:
        head = ("experiment", "mean p", "p < 0.01, %", "preflight", "better", "sampled", "agrees")
        parts += ["## The preflight's advice", advice_sentence(every), _table(head, advice)]
        parts += [
            "Mean p and the share of tokens below 0.01 are the base's on the demonstrations. "
            "Better: SFT or DFT, if one of them is clearly so in distribution, greedy and sampled; "
            "the advice is held against the greedy answers."
        ]
    commands = "\n".join(results.command for results in every)
    parts += ["## Commands", f"```sh\n{commands}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def advice_sentence(every: Sequence[Results]) -> str:
    """In how many experiments the preflight points to the objective that is clearly better."""
    advised = [results.advice for results in every if results.advice is not None]
    counted = Counter(advice.agrees for advice in advised)
    suggested = sum(advice.suggests is not None for advice in advised)
    ties = sum(advice.expects_tie for advice in advised)
    decided = sum(advice.better is not None for advice in advised)
    return (
        f"Of {len(advised)} experiments the preflight suggests an objective in {suggested} and "
        f"expects a tie in {ties}; an objective is clearly better in distribution in {decided}. It "
        f"is right in {counted[True]} and wrong in {counted[False]}; in {counted[None]} it cannot "
        "be checked."
    )


def role_spread(results: Results, name: str, role: str) -> Spread | None:
    """A model's accuracy over all benchmarks of a role, seed by seed; None if one is lacking."""
    found = [greedy_of(results, name, label) for label in results.labels_of(role)]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    if name == BASE:
        return Spread(mean=sum(each.mean for each in known) / len(known))
    if len({len(each.values) for each in known}) > 1:
        return None
    by_seed = zip(*(each.values for each in known), strict=True)
    return spread([sum(values) / len(values) for values in by_seed])


def _score_rows(results: Results) -> list[tuple[str, ...]]:
    rows = []
    for name, title in results.titles.items():
        best = None if name == BASE else results.variants[name].best
        at = "" if best is None else f" (lr {tables.rate_text(best)})"
        cells = (_role_cell(results, name, role) for role in _ROLES)
        rows.append((results.name, f"{title}{at}", *cells))
    return rows


def _role_cell(results: Results, name: str, role: str) -> str:
    found = role_spread(results, name, role)
    if found is None:
        return MISSING
    interval = interval_text(found)
    tests = [
        reading(find_test(results, label, "greedy", name, results.first))
        for label in results.labels_of(role)
    ]
    counted = Counter(each for each in tests if each in ("higher", "lower"))
    marks = ", ".join(
        f"{tables.MARKS[each]} {number} of {len(tests)}" for each, number in counted.items()
    )
    parts = (spread_cell(found).value, f"({interval})" if interval else "", marks)
    return " ".join(part for part in parts if part)


def _advice_row(results: Results) -> tuple[str, ...]:
    advice = results.advice
    assert advice is not None

    def title(name: str | None) -> str:
        return MISSING if name is None else results.titles.get(name, name)

    probabilities = results.base_probabilities
    return (
        results.name,
        MISSING if advice.mean_p is None else f"{advice.mean_p:.3f}",
        MISSING if probabilities is None else f"{100 * probabilities.below:.1f}",
        "tie" if advice.expects_tie else title(advice.suggests),
        title(advice.better),
        title(_better_sampled(results)),
        _ADVICE[advice.agrees],
    )


def _better_sampled(results: Results) -> str | None:
    """DFT or SFT, if one is clearly better in all of the role's benchmarks that were sampled."""
    found = {
        test.a if test.difference > 0 else test.b
        for label in results.labels_of("in_distribution")
        if (test := find_test(results, label, "sampled", "dft", "sft")) is not None
        and reading(test) in ("higher", "lower")
    }
    return found.pop() if len(found) == 1 else None


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], left: int = 1) -> str:
    return "\n".join(markdown_table(head, rows, left=left))
