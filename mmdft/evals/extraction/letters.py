"""An option letter in one of its dresses: `(B)`, `B.`, `**B**`, `option B`, "B is correct"."""

from __future__ import annotations

import re

from mmdft.evals.choices import index_of_letter, index_of_wording, letter, names_another_letter
from mmdft.evals.extraction.view import NEGATION, View, gives_up, is_option_line, lists_options
from mmdft.evals.text import sentences

_DRESSED_LETTER = re.compile(
    r"""\(([A-Z])\) | \[([A-Z])\] | \*\*\(?([A-Z])\)?[.:)]?\*\*
      | \b(?:[Oo]ption|[Cc]hoice|[Ll]etter)(?:\s+letter)?\s*(?:is\s+|:\s*)?
        [("']*([A-Z])(?![A-Za-z'])
      | \b([A-Z])\)?\s+is\s+(?:the\s+)?(?:correct|right|best)\b
      | (?:\b(?:is|be):?|'s)\s+([A-Z])\)?(?=[.]?\s*$|,?\s+(?:since|because)\b)
      | ^\s*\(?([A-Z])[).:](?=\s|$)
      | ^\s*(?:Solution|Answer|Ans)\s*[:.]?\s*\(?([A-Z])\)?[.]?\s*$
      | (?:选项?|答案)\s*(?:应该|应)?\s*(?:[是为选]|择|:)*\s*[("]?([A-Z])(?![A-Za-z])
    """,
    re.VERBOSE | re.MULTILINE,
)
# "A triangle" begins with an article; "A 6", "A. a triangle" and "B triangle" with a letter.
_LEADING_CAPITAL = re.compile(
    r"""^[*\s]*(?: [(\[]+\s*([A-Z])\s*[)\]]+
      | [(\[*]*([A-Z])[)\]*]*(?= [,.:;)] | \s+(?:is\b|with\b|[^a-z]) | \s*$)
      | ([B-HJ-Z])(?=\s) )""",
    re.VERBOSE,
)
_LETTER_AND_WORDING = re.compile(r"\bis\s+\(?([A-Z])\)?[\s:.,-]*\(?([^()]+)\)?[.]?$")


def lone_letter(view: View) -> str | None:
    """The letter that the response, its last sentence, its last or its first line gives."""
    if not view.choices:
        return None
    if (index := index_of_letter(view.text, view.choices)) is not None:
        return letter(index)  # only as the whole response does a letter need no dress
    if gives_up(view):
        return None
    lines = view.text.splitlines()
    scopes = (sentences(view.text)[-1], lines[-1], lines[0], view.text)
    for scope in scopes:
        if is_option_line(scope) and lists_options(view.text):
            continue  # the question's options, repeated
        if found := dressed(scope, view.choices):
            return found
    return None


def leading_letter(text: str, choices: tuple[str, ...]) -> str | None:
    """The letter that `text` begins with and that means one option alone."""
    match = _LEADING_CAPITAL.match(text)
    if match and names_another_letter(text[match.end() :]):
        return None
    found = match and next(group for group in match.groups() if group)
    return found if found and ord(found) - ord("A") < len(choices) else None


def dressed(text: str, choices: tuple[str, ...]) -> str | None:
    """The one option letter that stands in a letter's dress in `text`."""
    allowed = {letter(i) for i in range(len(choices))}
    found = set()
    for part in sentences(text):
        if NEGATION.search(part):
            continue  # "(B) is not possible" names B and means another
        for match in _DRESSED_LETTER.finditer(part):
            found.add(next(group for group in match.groups() if group))
        if (both := _LETTER_AND_WORDING.search(part)) and both[1] in allowed:
            index = ord(both[1]) - ord("A")
            found |= {both[1]} if index_of_wording(both[2], choices) == index else set()
    found &= allowed
    return found.pop() if len(found) == 1 else None
