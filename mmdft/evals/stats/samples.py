r"""Several answers to each item: their mean, whether one of k is right, and their vote.

Of an item with n scored answers, c of them right:

- avg@n is the accuracy: the mean over all scored answers;
- pass@k is the chance that one of k answers, drawn without replacement from the n, is right:
  1 - C(n - c, k) / C(n, k), which estimates it without bias (Chen et al., arXiv 2107.03374). The
  score is its mean over the items that have at least k scored answers; the others are counted in
  `left_out`, for fewer answers do not tell;
- majority@n is right as the answer is that most of the item's answers give. Two answers are one
  where they mean one option, or are equal as text, number or arithmetic; no tolerance, no rounding,
  and no look at the gold. An answer without a commitment has no vote. Of t answers with equally
  many votes each counts 1/t, which is what a random choice among them gives on average. Where none
  commits to an answer the item has none, and gets what its rule gives to that. An item whose
  winning answer could not be judged is in `left_out`.

All are means over items, with the clustered error and the interval of `means`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from mmdft.evals.choices import folded, index_of
from mmdft.evals.plain import plain_equal
from mmdft.evals.stats.means import accuracy_interval, clustered_error
from mmdft.evals.stats.scores import cluster_of
from mmdft.records import Example, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEstimate:
    """A score of repeated answers. Rates are None where no item counts."""

    value: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    clusters: int
    # Items that count, and items that have answers and do not.
    items: int
    left_out: int


# The answers to one item, and the item -> its value; None where it does not count.
ItemValue = Callable[[Example, Sequence[Verdict]], float | None]


def sample_scores(
    examples: Sequence[Example], verdicts: Sequence[Verdict], cluster: str | None
) -> dict[str, SampleEstimate]:
    """avg@n, pass@k for the powers of two up to n and for n, and majority@n, by their names.

    n is the most answers that an item has; without repeated answers there is nothing to tell.

    Args:
        examples: The benchmark's items; a superset of those judged is fine.
        verdicts: The verdicts of one rule set.
        cluster: The key whose items hang together.
    """
    by_item = _by_item(verdicts)
    most = max(map(len, by_item.values()), default=0)
    if most < 2:
        return {}
    by_id = {example.id: example for example in examples}
    found = {f"avg@{most}": _mean_of_answers(by_id, by_item, cluster)}
    for name, value in measures(most).items():
        values = _values(value, by_id, by_item)
        # An item of a vote is one observation; pass@k is made of all of its answers.
        size = (
            0 if name.startswith("majority") else sum(_num_scored(by_item[item]) for item in values)
        )
        found[name] = _estimate(
            list(values.values()),
            [cluster_of(by_id[item], cluster) for item in values],
            size=max(size, len(values)),
            items=len(values),
            left_out=len(by_item) - len(values),
        )
    return found


def measures(most: int) -> dict[str, ItemValue]:
    """The scores of up to `most` answers to an item but their mean, by their names."""
    powers = [1 << place for place in range(most.bit_length())]
    sizes = dict.fromkeys([*powers, most])
    found: dict[str, ItemValue] = {f"pass@{k}": _passing(k) for k in sizes}
    return found | {f"majority@{most}": lambda example, judged: majority(judged, example.choices)}


def item_values(
    name: str, examples: Sequence[Example], verdicts: Sequence[Verdict]
) -> dict[str, float]:
    """The value of each item that counts under the score of that name, in the order of `examples`.

    Raises:
        KeyError: the verdicts have no such score.
    """
    by_item = _by_item(verdicts)
    value = measures(max(map(len, by_item.values()), default=0))[name]
    return _values(value, {example.id: example for example in examples}, by_item)


def pass_at(k: int, n: int, correct: int) -> float:
    """The chance that one of k of n answers is right, of which `correct` are."""
    ways = math.comb(n, k)
    return (ways - math.comb(n - correct, k)) / ways


def majority(judged: Sequence[Verdict], choices: Sequence[str]) -> float | None:
    """How right the most frequent answer to an item is, 0 to 1; None where that is not known.

    Args:
        judged: The verdicts on the answers to one item, under one rule set.
        choices: The item's options.
    """
    votes = [v for v in judged if v.extraction.answer is not None and v.status != "no_answer"]
    if not votes:
        return _share_right(judged) if _num_scored(judged) == len(judged) else None
    groups: dict[int, list[Verdict]] = defaultdict(list)
    same = _same_answers(
        tuple(dict.fromkeys(str(vote.extraction.answer) for vote in votes)), tuple(choices)
    )
    for vote in votes:
        groups[same[str(vote.extraction.answer)]].append(vote)
    most = max(map(len, groups.values()))
    # The verdicts on one answer are alike but for how it was written ("0.50" as text is not "0.5").
    shares = [_share_right(group) for group in groups.values() if len(group) == most]
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if len(known) == len(shares) else None


def _by_item(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    by_item: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_item[verdict.id].append(verdict)
    return by_item


def _values(
    value: ItemValue, by_id: Mapping[str, Example], by_item: Mapping[str, Sequence[Verdict]]
) -> dict[str, float]:
    found = {name: value(by_id[name], by_item[name]) for name in by_id if name in by_item}
    return {name: each for name, each in found.items() if each is not None}


def _passing(k: int) -> ItemValue:
    def value(_: Example, judged: Sequence[Verdict]) -> float | None:
        n = _num_scored(judged)
        return None if n < k else pass_at(k, n, _num_right(judged))

    return value


def _mean_of_answers(
    by_id: Mapping[str, Example], by_item: Mapping[str, Sequence[Verdict]], cluster: str | None
) -> SampleEstimate:
    scored = [v for judged in by_item.values() for v in judged if v.status != "unscored"]
    items = len({verdict.id for verdict in scored})
    return _estimate(
        [float(verdict.status == "correct") for verdict in scored],
        [cluster_of(by_id[verdict.id], cluster) for verdict in scored],
        size=len(scored),
        items=items,
        left_out=len(by_item) - items,
    )


def _estimate(
    values: Sequence[float], clusters: Sequence[str], *, size: int, items: int, left_out: int
) -> SampleEstimate:
    """The mean of `values`; `size` is the most independent observations that they can stand for."""
    counts = {"clusters": len(set(clusters)), "items": items, "left_out": left_out}
    if not values:
        return SampleEstimate(value=None, standard_error=None, interval=None, **counts)
    array = np.array(values)
    mean, error = float(array.mean()), clustered_error(array, clusters)
    return SampleEstimate(
        value=mean,
        standard_error=error,
        interval=accuracy_interval(mean * size, size, error, counts["clusters"]),
        **counts,
    )


def _num_scored(judged: Sequence[Verdict]) -> int:
    return sum(verdict.status != "unscored" for verdict in judged)


def _num_right(judged: Sequence[Verdict]) -> int:
    return sum(verdict.status == "correct" for verdict in judged)


def _share_right(judged: Sequence[Verdict]) -> float | None:
    scored = _num_scored(judged)
    return _num_right(judged) / scored if scored else None


def _same_answers(answers: Sequence[str], choices: tuple[str, ...]) -> dict[str, int]:
    """The number of the group that each text is in.

    Equality forgives a missing unit, so "12", "12 cm" and "12 mm" are not equal two by two; what
    is joined by a third is one group, whatever the order.
    """
    group = {text: place for place, text in enumerate(answers)}
    for a, b in combinations(answers, 2):
        if group[a] != group[b] and _same(a, b, choices):
            joined, into = group[b], group[a]
            group = {text: into if place == joined else place for text, place in group.items()}
    return group


# Rule sets read the same answers, and questions have the same few options and numbers.
@lru_cache(maxsize=65536)
def _same(a: str, b: str, choices: tuple[str, ...]) -> bool:
    x, y = (index_of(text, choices) for text in (a, b))
    if x is not None or y is not None:
        return x == y
    return folded(a) == folded(b) or plain_equal(a, b) is True
