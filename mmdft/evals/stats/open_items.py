"""What a rule set leaves open, and what a score may become once it is closed.

A prediction is **open** under a rule set that gave no verdict on it although there is a gold:

- it is unscored: a comparison that hit its limit, a toolkit's rule that would ask its judge;
- or our own reading (`READING`) found no answer in a response that was not cut off and has text
  outside of its thinking: another reader may find one.

An empty response, one that is all thinking and one that was cut off committed to nothing: no answer
is the last word on them. A published rule has its own say on a response without an answer, so only
what it leaves unscored is open. Without a gold nothing can be right, and nothing is open.

The **range** of a score is the pair of what it is if all open predictions are wrong, and if all are
right. It is no confidence interval: it says what a judge could change, not what chance could.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmdft.evals.extract import visible_text
from mmdft.evals.extraction.parts import looks_cut
from mmdft.records import Extraction, Prediction, Verdict

# The rule sets that read with the staged extraction and take no answer for no answer.
READING = frozenset({"strict", "exact", "symbolic"})


def is_open(verdict: Verdict, prediction: Prediction) -> bool:
    """Whether the rule set of `verdict` left `prediction` open (see the module)."""
    if not verdict.gold:  # LogicVista has a gold that is empty
        return False
    if verdict.status == "no_answer" and verdict.rules in READING:
        return _concluded(prediction)
    return verdict.status == "unscored"


def closed(verdicts: Sequence[Verdict], left_open: Sequence[bool], *, right: bool) -> list[Verdict]:
    """The verdicts with all open ones taken for right, or for wrong.

    One taken for right answers with the gold itself, one taken for wrong with nothing, for scores
    that give parts of a point look at the answer.
    """
    return [
        replace(
            verdict,
            status="correct" if right else "wrong",
            extraction=Extraction(answer=verdict.gold if right else None, stage="none"),
        )
        if is_left
        else verdict
        for verdict, is_left in zip(verdicts, left_open, strict=True)
    ]


def _concluded(prediction: Prediction) -> bool:
    shown = visible_text(prediction.response)
    cut = prediction.truncated or looks_cut(prediction.response)
    return shown is not None and bool(shown.strip()) and not cut
