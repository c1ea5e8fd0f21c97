"""The rule sets: plain functions from an example and a prediction to a verdict."""

from __future__ import annotations

from mmdft.evals.rules import (
    chartqa,
    chartqapro,
    charxiv,
    dynamath,
    figures,
    geometry3k,
    geoqa,
    logicvista,
    mathvision,
    mathvista,
    staged,
    wemath,
)
from mmdft.evals.rules.judging import Rule

# Benchmark -> rule set -> rule; the first is the benchmark's headline.
RULES: dict[str, dict[str, Rule]] = {
    "figures": {"exact": figures.exact},
    "jsonl": {"strict": staged.strict},
    "mathvision": {
        "official": mathvision.official,
        "strict": mathvision.strict,
        "vlmevalkit": mathvision.vlmevalkit,
        "lmms_eval": mathvision.lmms_eval,
    },
    "mathvista": {
        "official": mathvista.official,
        "strict": mathvista.strict,
        "vlmevalkit": mathvista.vlmevalkit,
        "lmms_eval": mathvista.lmms_eval,
        "symbolic": mathvista.symbolic,
    },
    # Its authors' verdicts are a judge model's, and no rule stands for one.
    "mathverse": {"strict": staged.strict},
    "wemath": {"official": wemath.official, "strict": wemath.strict},
    "dynamath": {"official": dynamath.official, "strict": dynamath.strict},
    "geometry3k": {"official": geometry3k.official, "strict": staged.strict},
    "geoqa": {"official": geoqa.official, "strict": staged.strict},
    "logicvista": {"official": logicvista.official, "strict": logicvista.strict},
    "chartqa": {"official": chartqa.official, "strict": chartqa.strict},
    "chartqapro": {"official": chartqapro.official, "strict": chartqapro.strict},
    # As MathVerse's.
    "charxiv": {"strict": charxiv.strict},
}

__all__ = ["RULES", "Rule"]
