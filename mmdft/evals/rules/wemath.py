"""Rules of We-Math: its authors' own, the first letter after the last "Answer", and a strict one.

Source: `evaluation/four_dimensional_metrics.py` of https://github.com/We-Math/We-Math at a57a0e8.
It reads the form that the authors ask for, `<Answer>: <<B>>`. `(B)`, `**B**` and
`<answer>B</answer>` are no answers to it, and "Answer: Both are equal" is B.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mmdft.evals.extract import visible_text
from mmdft.evals.rules import staged
from mmdft.evals.rules.judging import judge
from mmdft.evals.symbolic import Comparison
from mmdft.records import Example, Extraction, Prediction, Verdict

_DROPPED = str.maketrans("", "", "><:.")
_LETTERS = "ABCDEFGH"
_MARKED = re.compile(r"<Answer>\s*:\s*<<\s*(.*?)\s*(?:>>|\Z)", re.DOTALL)


def official_letter(response: str) -> str | None:
    """The letter that the official rule reads from a response; None where it reads none."""
    text = response.rpartition("Answer")[2].strip().translate(_DROPPED).strip()
    return text[0] if text and text[0] in _LETTERS else None


def strict(example: Example, prediction: Prediction) -> Verdict:
    """The staged extraction, of what stands in the form asked for where there is that form."""
    for marked in list(_MARKED.finditer(visible_text(prediction.response) or ""))[-1:]:
        # What comes after a closed mark may be cut off; the answer is not.
        cut = prediction.truncated and not marked[0].endswith(">>")
        prediction = replace(prediction, response=marked[1], truncated=cut)
    return staged.strict(example, prediction)


def official(example: Example, prediction: Prediction) -> Verdict:
    """The authors' rule, on the response as it stands."""
    found = official_letter(prediction.response)
    return judge(
        example,
        prediction,
        rules="official",
        extraction=Extraction(answer=found, stage="official" if found else "none"),
        compare=lambda gold, answer: Comparison(gold == answer),
    )
