"""What a comparison holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mmdft.comparison.runs import Run
from mmdft.evals.items import Item
from mmdft.evals.stats import PairedDifference, Summary
from mmdft.records import Prediction, Verdict

LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A score of `run` minus that of the baseline, on the same items.

    `measure` is a rule set, for the accuracy under it, or the name of a score, under the headline
    rule set; `is_headline` marks the one that the benchmark is reported by. `p_holm` is `p_value`
    corrected over its family. `only_baseline` and `only_run` count the pairs that one alone has
    right; they are None for a score.
    """

    benchmark: str
    run: str
    measure: str
    is_score: bool
    is_headline: bool
    n: int
    clusters: int
    difference: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    p_holm: float | None
    test: str
    detectable: float | None
    only_baseline: int | None = None
    only_run: int | None = None

    @property
    def conclusion(self) -> str:
        """What the corrected test says: "higher", "lower", or "unclear"."""
        if self.p_holm is None or self.difference is None or self.p_holm > LEVEL:
            return "unclear"
        return "higher" if self.difference > 0 else "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One benchmark, on the items that all runs have. Mappings by run have its name as the key."""

    label: str
    benchmark: str
    citation: str
    rules: tuple[str, ...]
    breakdowns: tuple[str, ...]
    items: tuple[Item, ...]
    # run -> its items that not all have
    left_out: Mapping[str, int]
    # run -> answers, in the order of the items; run -> rule set -> verdicts, one for each answer
    predictions: Mapping[str, tuple[Prediction, ...]]
    verdicts: Mapping[str, Mapping[str, tuple[Verdict, ...]]]
    # rule set -> run -> summary
    summaries: Mapping[str, Mapping[str, Summary]]
    # breakdown key -> value -> run -> difference to the baseline, headline rule set
    categories: Mapping[str, Mapping[str, Mapping[str, PairedDifference]]]
    # run -> ids of the items that it has right more often than the baseline, and less often
    flips: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]

    @property
    def headline(self) -> str:
        """The rule set that the benchmark is reported by."""
        return self.rules[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs on the same benchmarks."""

    runs: tuple[Run, ...]
    baseline: Run
    # What should be equal and is not (the comparison was forced), and what else to know.
    differing: tuple[str, ...]
    notes: tuple[str, ...]
    benchmarks: tuple[Compared, ...]
    differences: tuple[Difference, ...]

    @property
    def others(self) -> tuple[Run, ...]:
        """The runs but the baseline."""
        return tuple(run for run in self.runs if run is not self.baseline)

    def as_dict(self) -> dict[str, Any]:
        """All but the answers themselves, as JSON-able values."""
        return {
            "baseline": self.baseline.name,
            "runs": [
                {"name": run.name, "folder": str(run.folder), "model": run.model}
                for run in self.runs
            ],
            "differing": list(self.differing),
            "notes": list(self.notes),
            "benchmarks": {each.label: _benchmark_dict(each) for each in self.benchmarks},
            "differences": [
                asdict(each)
                | {
                    "interval": None if each.interval is None else list(each.interval),
                    "conclusion": each.conclusion,
                }
                for each in self.differences
            ],
        }


def _benchmark_dict(each: Compared) -> dict[str, Any]:
    return {
        "benchmark": each.benchmark,
        "citation": each.citation,
        "headline": each.headline,
        "n": len(each.items),
        "left_out": dict(each.left_out),
        "rules": {
            rule: {name: summary.as_dict() for name, summary in of_run.items()}
            for rule, of_run in each.summaries.items()
        },
        "categories": {
            key: {
                value: {name: pair.as_dict() for name, pair in of_run.items()}
                for value, of_run in values.items()
            }
            for key, values in each.categories.items()
        },
        "flips": {
            name: {"won": list(won), "lost": list(lost)} for name, (won, lost) in each.flips.items()
        },
    }
