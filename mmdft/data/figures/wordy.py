"""Worked chains told with other words and in another order: the same mathematics, another style."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from mmdft.data.figures.figure import Solution

_FIRST, _NEXT, _LAST = "To begin with,", "After that,", "So the result that we find is"
# How a plain sentence is told, after _FIRST or _NEXT. Of two numbers the second comes first, but
# in a division.
_TOLD = tuple(
    (re.compile(words), told)
    for words, told in (
        (r"(\d+) \+ (\d+) = (\d+)\.", r"adding \2 to \1 gives us \3."),
        (r"(\d+) - (\d+) = (\d+)\.", r"taking \2 from \1 leaves us \3."),
        (r"(\d+) x (\d+) = (\d+)\.", r"multiplying \2 and \1 gives us \3."),
        (r"(\d+) / (\d+) = (\d+)\.", r"dividing \1 by \2 gives us \3."),
        (r"(\d+) is the most\.", r"the largest number that we see is \1."),
        (r"(\d+) is the least\.", r"the smallest number that we see is \1."),
        (r"The first is (\d+), the last is (\d+)\.", r"we see \2 at the end and \1 at the start."),
        (r"The last is (\d+)\.", r"we see \1 at the end."),
        (r"The bar is (\w+)\.", r"we see that it is the \1 bar."),
        (r"The (\w+) bar is (\d+)\.", r"we see \2 at the \1 bar."),
        (r"(\d+) is (\w+)\.", r"we see that \2 has \1."),
        (r"The (side|length|line|value) is (\d+)\.", r"we see that \2 is the \1."),
    )
)


def wordy(solution: Solution) -> str:
    """The chain in the wordy style: opening and numbers as in `solution.reasoning`.

    Its last sentence states `solution.answer`, also where the steps come to something else.

    Raises:
        ValueError: a step is of a form that has no wordy telling yet.
    """
    told = [f"Values: {solution.values}."]
    for number, step in enumerate(solution.steps):
        told.append(f"{_NEXT if number else _FIRST} {_told(step)}")
    return " ".join([*told, f"{_LAST} {solution.answer}."])


def plain(solution: Solution) -> str:
    """The chain in the plain style."""
    return solution.reasoning


TELLINGS: Mapping[str, Callable[[Solution], str]] = {"plain": plain, "wordy": wordy}
"""The styles of worked chains: how each is told."""


def is_wordy(text: str) -> bool:
    """Whether a text is in the wordy style, as told by its openings of sentences.

    True for every chain told by `wordy`, false for every plain one, whatever the family.
    """
    return any(words in text for words in (_FIRST, _NEXT, _LAST))


def _told(step: str) -> str:
    for words, told in _TOLD:
        match = words.fullmatch(step)
        if match is not None:
            return match.expand(told)
    raise ValueError(f"no wordy telling of the step {step!r}")
