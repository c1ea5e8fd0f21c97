"""Options for an open question: multiple choice from what a solver may get wrong."""

from __future__ import annotations

from random import Random

from mmdft.data.figures.noise import near_numbers, results

NUM_OPTIONS = 4


def options_for(answer: str, reasoning: str, needed: str, rng: Random) -> tuple[str, ...]:
    """Four different numbers in random order, the right one and `needed` among them.

    The wrong ones are results on the way to the answer, as of a solver who stops early, then near
    numbers.

    Raises:
        ValueError: the answer is no number.
    """
    early = [number for number in results(reasoning) if number != answer]
    rng.shuffle(early)
    near = near_numbers(answer)
    rng.shuffle(near)
    chosen = list(dict.fromkeys([answer, needed, *early[:2], *near]))[:NUM_OPTIONS]
    rng.shuffle(chosen)
    return tuple(chosen)
