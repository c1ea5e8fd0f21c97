"""A figure's row without its picture: question, worked chain, answer, options; right or wrong."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Any

from mmdft.data.figures.figure import SHIFTS, Problem, Solution
from mmdft.data.figures.generate import pose
from mmdft.data.figures.mistakes import is_possible, wrong_answers
from mmdft.data.figures.noise import results, wrong_answer, wrong_step
from mmdft.data.figures.options import options_for
from mmdft.data.figures.wordy import TELLINGS
from mmdft.errors import DataError

NOISE_KINDS = ("mismatch", "wrong_step", "wrong_answer")

_TRIES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which figure of which set."""

    family: str
    split: str
    seed: int
    index: int
    shift: Collection[str] | None = None

    def problem(self, index: int | None = None) -> Problem:
        """The figure, or another of the set."""
        return pose(
            self.family,
            seed=self.seed,
            index=self.index if index is None else index,
            split=self.split,
            shift=self.shift,
        )


def demonstration(
    place: Place, *, noise: float, noise_kind: str, choices: float, style: str = "plain"
) -> dict[str, Any]:
    """A row in the native format but for its images; arguments as of `write_figures`.

    Raises:
        DataError: no other figure has another answer, for a mismatch.
    """
    family, split, seed, index = place.family, place.split, place.seed, place.index
    problem = place.problem()
    solution, name = problem.solution, f"{family}:{split}:{seed}:{index}"
    noisy = Random(f"noise:{name}").random() < noise
    shown, kind = solution, noise_kind
    if noisy and kind == "mismatch":
        shown = _other(place, solution)
    elif noisy:
        shown, kind = _wrong(solution, kind, Random(f"{noise_kind}:{name}"))
    rng = Random(f"choices:{name}")
    options = solution.choices
    if not options and rng.random() < choices:
        mistakes = wrong_answers(family, problem.params, solution.answer)
        steps = results(solution.reasoning)
        early = [number for number in steps if is_possible(family, solution.answer, number)]
        options = options_for(solution.answer, early, shown.answer, rng, mistakes=mistakes)
    row: dict[str, Any] = {
        "id": f"{family}-{split}-{seed}-{index}",
        "question": problem.question,
        "reasoning": TELLINGS[style](shown),
        "answer": shown.answer,
    }
    if options:
        row["choices"] = list(options)
    row["category"] = family
    row["meta"] = {"split": split, "seed": seed, "params": problem.params}
    if place.shift is not None and set(place.shift) != set(SHIFTS):
        row["meta"]["shift"] = [name for name in SHIFTS if name in place.shift]
    if noisy:
        row["meta"]["noisy"] = True
    if noisy and noise_kind != "mismatch":
        row["meta"] |= {"noise_kind": kind, "gold": solution.answer}
    return row


def _wrong(solution: Solution, kind: str, rng: Random) -> tuple[Solution, str]:
    """A wrong solution, and in which way it is wrong."""
    reasoning, answer, choices = solution.reasoning, solution.answer, solution.choices
    if kind == "wrong_step":
        found = wrong_step(reasoning, answer, rng)
        if found is not None and (not choices or found[1] in choices):
            return _solution(*found), kind
    return _solution(*wrong_answer(reasoning, answer, choices, rng)), "wrong_answer"


def _solution(reasoning: str, answer: str) -> Solution:
    """The solution that has this chain."""
    values, *steps = reasoning.removeprefix("Values: ").removesuffix(".").split(". ")
    return Solution(values=values, steps=tuple(f"{step}." for step in steps), answer=answer)


def _other(place: Place, solution: Solution) -> Solution:
    """The solution of a figure of the family with another answer that would be possible here."""
    # Far beyond the indices of any set, so that no row is told of another row's figure.
    first = 10**9 + place.index * _TRIES
    for index in range(first, first + _TRIES):
        other = place.problem(index).solution
        possible = not solution.choices or other.answer in solution.choices
        if possible and other.answer != solution.answer:
            return other
    raise DataError(f"family {place.family!r} has no other answer in {_TRIES} draws")
