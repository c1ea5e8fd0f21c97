"""Demonstrations that are wrong on purpose, in a way that is known."""

from __future__ import annotations

import re
from random import Random

_EQUATION = re.compile(r"(\d+) ([-+x/]) (\d+) = (\d+)")
_NUMBER = re.compile(r"\d+")
# How far a wrong number is from the right one, at most.
_NEAR = 5


def wrong_step(reasoning: str, answer: str, rng: Random) -> tuple[str, str] | None:
    """The chain with one result altered, and all that follows computed from it.

    Exactly one of its equations is then false, and its answer is not the right one.

    Args:
        reasoning: sentences, of which equations have the form "3 x 4 = 12".
        answer: the chain's answer.
        rng: chooses the step and the wrong number.

    Returns:
        The chain and its answer; None if no step can be altered so.
    """
    sentences = reasoning.rstrip(".").split(". ")
    tries = [
        (place, by)
        for place, sentence in enumerate(sentences)
        if _EQUATION.fullmatch(sentence)
        for by in range(-_NEAR, _NEAR + 1)
        if by
    ]
    rng.shuffle(tries)
    for place, by in tries:
        found = _altered(sentences, answer, place, by)
        if found is not None:
            return found
    return None


def wrong_answer(
    reasoning: str, answer: str, choices: tuple[str, ...], rng: Random
) -> tuple[str, str]:
    """The chain as it is, but for a last sentence that only states the answer; and a wrong answer.

    It is another of the choices where there are any, else a near number.

    Raises:
        ValueError: the answer is no number, and there are no choices.
    """
    others = [choice for choice in choices if choice != answer] or near_numbers(answer)
    wrong = rng.choice(others)
    *before, last = reasoning.rstrip(".").split(". ")
    if " = " not in last:
        last = re.sub(rf"(?<!\w){re.escape(answer)}(?!\w)", wrong, last)
    return ". ".join([*before, last]) + ".", wrong


def near_numbers(answer: str) -> list[str]:
    """Positive whole numbers near one, nearest first."""
    value = int(answer)
    near = [value + by for step in range(1, _NEAR + 1) for by in (step, -step)]
    return [str(number) for number in near if number > 0]


def results(reasoning: str) -> list[str]:
    """The results of a chain's equations, in order: what a solver who stops early would answer."""
    return [match[4] for match in _EQUATION.finditer(reasoning)]


def num_false(reasoning: str) -> int:
    """How many of a chain's equations do not hold."""
    return sum(
        _result(int(a), sign, int(b)) != int(c) for a, sign, b, c in _EQUATION.findall(reasoning)
    )


def _altered(sentences: list[str], answer: str, place: int, by: int) -> tuple[str, str] | None:
    moved: dict[str, str] = {}
    shown = sentences[:place]
    for number, sentence in enumerate(sentences[place:], start=place):
        match = _EQUATION.fullmatch(sentence)
        if match is None:
            shown.append(_NUMBER.sub(lambda found: moved.get(found[0], found[0]), sentence))
            continue
        a, sign, b, result = match.groups()
        new_a, new_b = moved.get(a, a), moved.get(b, b)
        value = _result(int(new_a), sign, int(new_b))
        if number == place:
            value = None if value is None else value + by
        if value is None or value <= 0:
            return None
        if str(value) != result:
            moved[result] = str(value)
        shown.append(f"{new_a} {sign} {new_b} = {value}")
    text, wrong = ". ".join(shown) + ".", moved.get(answer, answer)
    # A number that stands for two things in the chain may have been moved in both.
    if wrong == answer or num_false(text) != 1 or wrong not in _NUMBER.findall(text):
        return None
    return text, wrong


def _result(a: int, sign: str, b: int) -> int | None:
    """What a step comes to; None if it is no whole number."""
    if sign == "/":
        return a // b if b and a % b == 0 else None
    return {"+": a + b, "-": a - b, "x": a * b}[sign]
