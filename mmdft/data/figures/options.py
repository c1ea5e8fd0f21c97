"""Options for an open question: multiple choice from what a solver may get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmdft.data.figures.noise import near_numbers

NUM_OPTIONS = 4


def options_for(
    answer: str, early: Sequence[str], needed: str, rng: Random, *, mistakes: Sequence[str] = ()
) -> tuple[str, ...]:
    """Four different numbers in random order, the right one and `needed` among them.

    The wrong ones are two of `mistakes`, then two of `early`, the results on the way to the answer,
    as of a solver who stops there, then near numbers.

    Raises:
        ValueError: the answer is no number.
    """
    likely = list(mistakes)
    rng.shuffle(likely)
    steps = [number for number in early if number != answer]
    rng.shuffle(steps)
    near = near_numbers(answer)
    rng.shuffle(near)
    chosen = list(dict.fromkeys([answer, needed, *likely[:2], *steps[:2], *near]))[:NUM_OPTIONS]
    rng.shuffle(chosen)
    return tuple(chosen)
