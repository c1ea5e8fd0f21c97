"""How VLMEvalKit reads an option out of a response before it asks its judge.

Source: `vlmeval/utils/matching_util.py` of https://github.com/open-compass/VLMEvalKit at e8e78f05.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmdft.evals.choices import letter

ASKS_ITS_JUDGE = "VLMEvalKit asks its judge"
# What it takes for a refusal; such a response gets an option that is never right.
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_NO_OPTION = "Z"
_SPLIT_AT = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_ANSWER_IS = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", re.IGNORECASE)
_LAST_WORDS = 5


def inferred(response: str, choices: Sequence[str]) -> str | None:
    """The letter it infers ("Z" for a refusal), or None where it asks its judge.

    By a single option letter among the last words, by "answer is B", or by the one option whose
    text is contained in a response that is not long.
    """
    if "Failed to obtain answer via API" in response:
        return _by_text(response, choices)
    if any(refusal in response for refusal in _REFUSALS):
        return _NO_OPTION
    letters = [letter(i) for i in range(len(choices))]
    words = response.translate(_SPLIT_AT).split()
    named = [option for option in letters if option in words]
    if len(named) == 1 and words.index(named[0]) > len(words) - _LAST_WORDS:
        return named[0]
    if not named and _NO_OPTION in words:
        return _NO_OPTION
    said = _ANSWER_IS.search(response)
    if said and said[1].upper() in letters:
        return said[1].upper()
    return _by_text(response, choices)


def _by_text(response: str, choices: Sequence[str]) -> str | None:
    if len(response) > 2 * sum(len(choice) for choice in choices):
        return None
    folded = response.lower()
    found = [i for i, choice in enumerate(choices) if choice.lower() in folded]
    return letter(found[0]) if len(found) == 1 else None
