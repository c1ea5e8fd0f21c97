"""What is chosen by looking: each variant's learning rate, and the step of an early stop.

Both are chosen on the validation labels alone, by greedy accuracy, the mean over these labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def best_rate(scores: Mapping[float, Sequence[float | None]]) -> float | None:
    """The learning rate with the highest mean over seeds; of equal ones the lowest.

    A rate at which a run failed is not chosen: the mean over the others would flatter it.

    Args:
        scores: of each rate, a validation accuracy for each seed; None where there is none.

    Returns:
        The rate; None if at each of them a run failed.
    """
    means = {
        rate: sum(known) / len(known)
        for rate, values in scores.items()
        if (known := [value for value in values if value is not None]) and len(known) == len(values)
    }
    # Rounded, because sums of the same numbers in another order are not equal.
    return min(means, key=lambda rate: (-round(means[rate], 12), rate), default=None)


def best_step(scores: Mapping[int, float]) -> int | None:
    """The step with the highest validation accuracy; of equal ones the first. None if none is."""
    return min(scores, key=lambda step: (-round(scores[step], 12), step), default=None)


def mean_score(by_label: Mapping[str, float | None], labels: Sequence[str]) -> float | None:
    """The mean over the labels; None if one is missing."""
    found = [by_label.get(label) for label in labels]
    known = [score for score in found if score is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None
