r"""Equality that needs no sympy: as text, as an exact number, as the value of arithmetic."""

from __future__ import annotations

from mmdft.evals.arithmetic import evaluate, values_equal
from mmdft.evals.choices import folded
from mmdft.evals.number_words import number_words
from mmdft.evals.numeric import Quantity, parse_quantity, quantities_equal, split_unit
from mmdft.evals.text import bare_text


def plain_equal(gold: str, answer: str) -> bool | None:
    """Whether two texts say the same; None where they are not both text-equal or numeric.

    A unit may be left out but not exchanged. `x = 5` answers a gold `5`, for the name on the left
    says nothing about the value; a gold `x = 5` wants a formula and is compared as text here.
    """
    if folded(gold) == folded(answer):
        return True
    gold, answer = bare_text(gold), bare_text(answer)
    if "=" not in gold and "=" in answer:
        answer = bare_text(answer.rsplit("=", 1)[1])
    a, b = _quantity(gold), _quantity(answer)
    if a is not None and b is not None:
        return quantities_equal(a, b)
    (gold, gold_unit), (answer, unit) = split_unit(gold), split_unit(answer)
    x, y = evaluate(gold), evaluate(answer)
    if x is None or y is None:
        return None
    same_unit = not gold_unit or not unit or gold_unit == unit
    return same_unit and values_equal(x, y)


def _quantity(text: str) -> Quantity | None:
    word = number_words(text)
    return parse_quantity(text if word is None else str(word))
