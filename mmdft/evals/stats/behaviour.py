r"""How responses are, whatever they answer: their form, their length, whether they go in circles.

A response **repeats itself** if it ends in one passage said again and again: for some period of at
most 200 characters, its last max(120, 4 x period) characters are periodic with it. White space of
any length counts as one space. So it takes four rounds of a sentence, or 120 characters of a word,
and a table or a sum that stops in time is none.

A response is **in form** if the answer stands where the benchmark's prompt asks for it: in a
complete `\boxed{}`, under "short answer" of a JSON object, after `<Answer>: <<`. It is a matter of
the response alone, not of a rule set, and reasoning between `<think>` tags does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmdft.evals.extract import visible_text
from mmdft.evals.rules.dynamath import short_answer
from mmdft.evals.text import last_boxed
from mmdft.records import Prediction

LONGEST_PERIOD = 200
_ROUNDS = 4
_LEAST = 120

Form = Callable[[str], bool]


def _is_boxed(response: str) -> bool:
    return last_boxed(visible_text(response) or "") is not None


def _is_json(response: str) -> bool:
    return short_answer(response) is not None


def _is_marked(response: str) -> bool:
    return _ANSWER_MARK.search(visible_text(response) or "") is not None


_ANSWER_MARK = re.compile(r"<Answer>\s*:\s*<<\s*\S")

# The form that a benchmark's prompt asks for, for those that ask for one.
_FORMS: Mapping[str, Form] = {
    "mathvision": _is_boxed,
    "dynamath": _is_json,
    "wemath": _is_marked,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Of each prediction, in order: what its text shows. `in_form` is None without a form."""

    repeats: NDArray[np.bool_]
    in_form: NDArray[np.bool_] | None
    characters: NDArray[np.int64]


def form_asked(benchmark: str) -> Form | None:
    """Whether a response is in the form that the benchmark's prompt asks for; None: any will do."""
    return _FORMS.get(benchmark)


def traits_of(predictions: Sequence[Prediction], form: Form | None = None) -> Traits:
    """The traits of all predictions; compute them once for several rule sets."""
    responses = [prediction.response for prediction in predictions]
    return Traits(
        repeats=np.array([repeats(response) for response in responses], dtype=bool),
        in_form=None
        if form is None
        else np.array([form(response) for response in responses], dtype=bool),
        characters=np.array([len(response) for response in responses], dtype=np.int64),
    )


def repeats(response: str) -> bool:
    """Whether the response ends in a passage said again and again (see the module)."""
    text = " " + " ".join(response.split())  # each word with a space before it, the first as well
    for period in range(1, LONGEST_PERIOD + 1):
        span = max(_LEAST, _ROUNDS * period)
        if len(text) < span:
            return False
        if text[-1] == text[-1 - period] and text[-span:-period] == text[period - span :]:
            return True
    return False
