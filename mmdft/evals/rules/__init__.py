"""The rule sets: plain functions from an example and a prediction to a verdict."""

from __future__ import annotations

from mmdft.evals.rules import dynamath, figures, mathvision
from mmdft.evals.rules.judging import Rule

# Benchmark -> rule set -> rule; the first is the benchmark's headline.
RULES: dict[str, dict[str, Rule]] = {
    "figures": {"exact": figures.exact},
    "mathvision": {"official": mathvision.official, "strict": mathvision.strict},
    "dynamath": {"official": dynamath.official, "strict": dynamath.strict},
}

__all__ = ["RULES", "Rule"]
