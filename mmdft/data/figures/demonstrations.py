"""A figure's row without its picture: question, worked chain, answer, options; right or wrong."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from mmdft.data.figures.figure import Solution
from mmdft.data.figures.generate import pose
from mmdft.data.figures.mistakes import is_possible, wrong_answers
from mmdft.data.figures.noise import results, wrong_answer, wrong_step
from mmdft.data.figures.options import options_for
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


def demonstration(place: Place, *, noise: float, noise_kind: str, choices: float) -> dict[str, Any]:
    """A row in the native format but for its images; arguments as of `write_figures`.

    Raises:
        DataError: no other figure has another answer, for a mismatch.
    """
    family, split, seed, index = place.family, place.split, place.seed, place.index
    problem = pose(family, seed=seed, index=index, split=split)
    solution, name = problem.solution, f"{family}:{split}:{seed}:{index}"
    noisy = Random(f"noise:{name}").random() < noise
    reasoning, answer, kind = solution.reasoning, solution.answer, noise_kind
    if noisy and kind == "mismatch":
        other = _other(place, solution)
        reasoning, answer = other.reasoning, other.answer
    elif noisy:
        reasoning, answer, kind = _wrong(solution, kind, Random(f"{noise_kind}:{name}"))
    rng = Random(f"choices:{name}")
    options = solution.choices
    if not options and rng.random() < choices:
        mistakes = wrong_answers(family, problem.params, solution.answer)
        steps = results(solution.reasoning)
        early = [number for number in steps if is_possible(family, solution.answer, number)]
        options = options_for(solution.answer, early, answer, rng, mistakes=mistakes)
    row: dict[str, Any] = {
        "id": f"{family}-{split}-{seed}-{index}",
        "question": problem.question,
        "reasoning": reasoning,
        "answer": answer,
    }
    if options:
        row["choices"] = list(options)
    row["category"] = family
    row["meta"] = {"split": split, "seed": seed, "params": problem.params}
    if noisy:
        row["meta"]["noisy"] = True
    if noisy and noise_kind != "mismatch":
        row["meta"] |= {"noise_kind": kind, "gold": solution.answer}
    return row


def _wrong(solution: Solution, kind: str, rng: Random) -> tuple[str, str, str]:
    """Wrong reasoning and answer, and in which way they are wrong."""
    reasoning, answer, choices = solution.reasoning, solution.answer, solution.choices
    if kind == "wrong_step":
        found = wrong_step(reasoning, answer, rng)
        if found is not None and (not choices or found[1] in choices):
            return *found, kind
    return *wrong_answer(reasoning, answer, choices, rng), "wrong_answer"


def _other(place: Place, solution: Solution) -> Solution:
    """The solution of a figure of the family with another answer that would be possible here."""
    # Far beyond the indices of any set, so that no row is told of another row's figure.
    first = 10**9 + place.index * _TRIES
    for index in range(first, first + _TRIES):
        other = pose(place.family, seed=place.seed, index=index, split=place.split).solution
        possible = not solution.choices or other.answer in solution.choices
        if possible and other.answer != solution.answer:
            return other
    raise DataError(f"family {place.family!r} has no other answer in {_TRIES} draws")
