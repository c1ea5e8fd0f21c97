"""Scores that are no plain accuracy: sums over clusters, and what is made of the sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmdft.records import Example, Verdict

Judged = Sequence[tuple[Example, Verdict]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A score of a benchmark that is not the plain accuracy.

    It is made of sums over clusters, so that a bootstrap over clusters is one matrix product.

    Attributes:
        name: What reports call it.
        counts: Of one cluster (all judged items of one problem, in file order), some numbers;
            always the same many.
        value: The score, from the sums of those numbers over the clusters; None where it is
            undefined (0 / 0).
    """

    name: str
    counts: Callable[[Judged], tuple[float, ...]]
    value: Callable[[Sequence[float]], float | None]


def is_scored(verdict: Verdict) -> bool:
    """Whether a verdict says right or wrong at all."""
    return verdict.status != "unscored"


def is_right(verdict: Verdict) -> bool:
    """Whether it says right."""
    return verdict.status == "correct"


def share(sums: Sequence[float]) -> float | None:
    """Of two sums the second over the first; None for 0 / 0."""
    return sums[1] / sums[0] if sums[0] else None


def accuracy_of(name: str, belongs: Callable[[Example], bool]) -> Score:
    """The accuracy over the items that belong."""

    def counts(judged: Judged) -> tuple[float, ...]:
        rights = [is_right(v) for example, v in judged if belongs(example) and is_scored(v)]
        return (len(rights), sum(rights))

    return Score(name=name, counts=counts, value=share)


def mean_of(name: str, parts: Sequence[Callable[[Example], bool]]) -> Score:
    """The mean of the accuracies over several parts, each counting the same; all must be there."""
    scores = [accuracy_of("", belongs) for belongs in parts]

    def counts(judged: Judged) -> tuple[float, ...]:
        return tuple(number for score in scores for number in score.counts(judged))

    def value(sums: Sequence[float]) -> float | None:
        rates = [share(sums[place : place + 2]) for place in range(0, len(sums), 2)]
        known = [rate for rate in rates if rate is not None]
        return sum(known) / len(known) if len(known) == len(rates) else None

    return Score(name=name, counts=counts, value=value)
