"""Answer options: which of them a text means, by letter or by its wording."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmdft.evals.arithmetic import evaluate, values_equal
from mmdft.evals.numeric import parse_quantity, quantities_equal
from mmdft.evals.text import bare_text

# The dresses of a letter standing alone, and of one that leads its option's text: "(B) 12 cm".
_LONE_LETTER = re.compile(r"(?:option|choice|answer)?\s*[(\[]?\s*([A-Za-z])\s*[)\]]?[.:]?", re.I)
_LEADING_LETTER = re.compile(
    r"(?:(?:option|choice)\s+)?(?:\(([A-Za-z])\)|([A-Za-z])[).:])\s+(.+)", re.I
)
_ANOTHER_LETTER = re.compile(r"\([A-Z]\)|(?:\b(?:and|or)|[,/&])\s*[A-Z]\b(?!')")


def letter(index: int) -> str:
    """The letter of the option at `index`: A for 0."""
    return chr(ord("A") + index)


def index_of(text: str, choices: Sequence[str]) -> int | None:
    """The option that `text` means, or None: by its letter, by its wording, by letter and wording.

    Letter and wording that contradict each other ("(B) 12" where B is 15) mean no option.
    """
    text = bare_text(text)
    if (found := index_of_letter(text, choices)) is not None:
        return found
    if (found := index_of_wording(text, choices)) is not None:
        return found
    if leading := _LEADING_LETTER.fullmatch(text):
        position = ord((leading[1] or leading[2]).upper()) - ord("A")
        worded = index_of_wording(leading[3], choices)
        another = worded is None and names_another_letter(leading[3])
        if position < len(choices) and worded in (None, position) and not another:
            return position
    return None


def names_another_letter(rest: str) -> bool:
    """Whether the text after one option letter goes on to another: "(A), (B), and (C)"."""
    return _ANOTHER_LETTER.search(rest) is not None


def index_of_letter(text: str, choices: Sequence[str]) -> int | None:
    """The option whose letter, dressed or not, is all of `text`."""
    lone = _LONE_LETTER.fullmatch(bare_text(text))
    position = ord(lone[1].upper()) - ord("A") if lone else len(choices)
    return position if position < len(choices) else None


def index_of_wording(text: str, choices: Sequence[str]) -> int | None:
    """The single option whose wording, or whose number, is all of `text`."""
    wanted = folded(text)
    same = [i for i, choice in enumerate(choices) if folded(choice) == wanted]
    if not same and (quantity := parse_quantity(bare_text(text))) is not None:
        values = [parse_quantity(bare_text(choice)) for choice in choices]
        same = [i for i, v in enumerate(values) if v is not None and quantities_equal(v, quantity)]
    elif not same and (value := evaluate(bare_text(text))) is not None:
        exact = [evaluate(bare_text(choice)) for choice in choices]
        same = [i for i, v in enumerate(exact) if v is not None and values_equal(v, value)]
    return same[0] if len(same) == 1 else None


def folded(text: str) -> str:
    """Text as compared: undressed, case-folded, white space as single spaces."""
    return " ".join(bare_text(text).casefold().split())
