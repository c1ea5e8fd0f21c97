"""Demonstrations that are wrong on purpose, in a way that is known."""

from __future__ import annotations

import math
import re
from random import Random

_EQUATION = re.compile(r"(\d+) ([-+x/]) (\d+) = (\d+)")
_NUMBER = re.compile(r"\d+")
# How far a wrong number is from the right one, at most.
_NEAR = 5


def wrong_step(reasoning: str, answer: str, rng: Random) -> tuple[str, str] | None:
    """The chain with one result altered, and all that follows computed from it.

    Exactly one of its equations is then false, and its answer is not the right one. A root that is
    told by its square moves with it. A step is left alone if what follows uses a number that is its
    result and stands for something else too.

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
        for by in (*range(-_NEAR, _NEAR + 1), *_to_squares(sentence))
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


def _to_squares(sentence: str) -> list[int]:
    """How far the squares next to a step's result are, where the result is one."""
    result = int(sentence.rpartition(" = ")[2])
    root = math.isqrt(result)
    if root * root != result:
        return []
    return [(root + by) ** 2 - result for by in (-2, -1, 1, 2) if root + by > 0]


def _altered(sentences: list[str], answer: str, place: int, by: int) -> tuple[str, str] | None:
    moved: dict[str, str] = {}
    shown = sentences[:place]
    for number, sentence in enumerate(sentences[place:], start=place):
        match = _EQUATION.fullmatch(sentence)
        if match is None:
            shown.append(_NUMBER.sub(lambda found: moved.get(found[0], found[0]), sentence))
            continue
        a, sign, b, result = match.groups()
        if number != place and _is_root(sentences, number) and result in moved:
            root = math.isqrt(int(moved[result]))
            if root * root != int(moved[result]):
                return None
            moved[a] = str(root)
        new_a, new_b = moved.get(a, a), moved.get(b, b)
        value = _result(int(new_a), sign, int(new_b))
        if number == place:
            value = None if value is None else value + by
        if value is None or value <= 0:
            return None
        if str(value) != result:
            # What a number stands for is told by its value alone.
            if _is_ambiguous(sentences, number, result):
                return None
            moved[result] = str(value)
        shown.append(f"{new_a} {sign} {new_b} = {value}")
    text, wrong = ". ".join(shown) + ".", moved.get(answer, answer)
    if wrong == answer or num_false(text) != 1 or wrong not in _NUMBER.findall(shown[-1]):
        return None
    return text, wrong


def _is_root(sentences: list[str], number: int) -> bool:
    """Whether a sentence as "12 x 12 = 144" tells the root of an earlier result, 144."""
    match = _EQUATION.fullmatch(sentences[number])
    if match is None or match[1] != match[3] or match[2] != "x":
        return False
    before = ". ".join(sentences[:number])
    return match[4] in results(before) and match[1] not in _NUMBER.findall(sentences[0])


def _is_ambiguous(sentences: list[str], number: int, result: str) -> bool:
    """Whether a later step uses a number that is this step's result and something else as well."""
    used = {n for s in sentences[number + 1 :] for n in _NUMBER.findall(s.split(" = ")[0])}
    others = [s for i, s in enumerate(sentences) if i != number and not _is_root(sentences, i)]
    elsewhere = results(". ".join(others)) + _NUMBER.findall(sentences[0])
    return result in used and result in elsewhere and not _is_root(sentences, number)


def _result(a: int, sign: str, b: int) -> int | None:
    """What a step comes to; None if it is no whole number."""
    if sign == "/":
        return a // b if b and a % b == 0 else None
    return {"+": a + b, "-": a - b, "x": a * b}[sign]
