"""What a rule gives for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmdft.evals.rules import Rule
from mmdft.records import Example, Prediction


def floor_accuracy(
    rule: Rule, examples: Sequence[Example], ids: Iterable[str] | None = None
) -> float | None:
    """The accuracy of empty responses under a rule; None where none of them can be scored.

    A rule that takes the nearest choice gives one even to an empty answer. A score means something
    only as far as it lies above this.

    Args:
        rule: The rule.
        examples: The benchmark's items.
        ids: Those to take; None takes all.
    """
    wanted = None if ids is None else set(ids)
    verdicts = [
        rule(example, Prediction(id=example.id, response=""))
        for example in examples
        if wanted is None or example.id in wanted
    ]
    scored = [verdict.status for verdict in verdicts if verdict.status != "unscored"]
    return scored.count("correct") / len(scored) if scored else None
