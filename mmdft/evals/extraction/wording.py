"""The option that a conclusion words, and yes or no where it says the question again."""

from __future__ import annotations

import re

from mmdft.evals.choices import folded, index_of, letter
from mmdft.evals.extraction.view import (
    CONCLUSION,
    LONGEST_SHORT_RESPONSE,
    NEGATION,
    REFUSAL,
    View,
    conclusions,
    coverage,
    gives_up,
    lists_options,
    stem,
    stems,
)
from mmdft.evals.text import sentences

_YES = ("yes", "true")
_NO = ("no", "false")
_WHETHER = re.compile(r"\b(?:if|whether|assume|assuming|suppose|need\s+to|let's)\b", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|never|neither|no|cannot)\b|n't\b", re.IGNORECASE)
_OPPOSITES = (
    ("greater", "less"), ("more", "fewer"), ("more", "less"), ("larger", "smaller"),
    ("bigger", "smaller"), ("higher", "lower"), ("above", "below"), ("maximum", "minimum"),
    ("highest", "lowest"), ("largest", "smallest"), ("longer", "shorter"),
    ("taller", "shorter"), ("older", "younger"), ("before", "after"), ("positive", "negative"),
    ("even", "odd"), ("increasing", "decreasing"), ("greater", "smaller"), ("higher", "less"),
    ("wider", "narrower"), ("heavier", "lighter"), ("faster", "slower"), ("high", "low"),
    ("rough", "smooth"),
)  # fmt: skip
_COMPARATIVES = {stem(word) for pair in _OPPOSITES for word in pair}
# How much of the question a sentence must say again before it is read as yes or no.
_COVERAGE = 0.7
# How many sentences a direct answer may take to come.
_OPENING = 20


def choice_text(view: View) -> str | None:
    """The one option that the response opens with, or that its conclusion words."""
    if not view.choices:
        return None
    opening = re.split(r"[,.:;\n]", view.text, maxsplit=1)[0]
    if (index := index_of(opening, view.choices)) is not None and len(folded(opening)) > 1:
        return letter(index)
    last = worded(sentences(view.text)[-1], view.choices)
    if lists_options(view.text) or (gives_up(view) and not last):
        return None  # "It cannot be determined" may be an option itself
    scopes = conclusions(view)
    if len(view.text) <= LONGEST_SHORT_RESPONSE:
        scopes.append(view.text)
    for scope in scopes:
        found = worded(scope, view.choices)
        # The "cannot" of the option "cannot be determined" denies nothing.
        own = found is not None and NEGATION.search(view.choices[ord(found) - ord("A")])
        if found and (own or not NEGATION.search(scope)):
            return found
    for scope in scopes:
        if not NEGATION.search(scope) and (found := _in_other_words(scope, view)):
            return found
    return None


def restated(view: View) -> str | None:
    """Yes or no to a question that a conclusion says again: "the bed is larger than the kitten"."""
    sides = [folded(choice) for choice in view.choices]
    if len(sides) != 2 or not view.question:
        return None
    yes = next((i for i, side in enumerate(sides) if side in _YES), None)
    if yes is None or sides[1 - yes] not in _NO or gives_up(view):
        return None
    parts = sentences(view.text)
    # A conclusion first; else a direct answer, which opens the response.
    for part in [*[part for part in parts if CONCLUSION.match(part)][-1:], *parts[:_OPENING]]:
        if REFUSAL.search(part) or _leaves_open(part, view.question) or part.endswith("?"):
            continue
        agrees = _agrees(view.question, part)
        if agrees is not None:
            return letter(yes if agrees else 1 - yes)
    return None


def _leaves_open(part: str, question: str) -> bool:
    return _WHETHER.search(part) is not None and _WHETHER.search(question) is None


def worded(text: str, choices: tuple[str, ...]) -> str | None:
    """The one option whose wording occurs in `text`, as whole words."""
    wanted = " ".join(text.casefold().split())
    spans: list[tuple[int, int, int]] = []
    for index, choice in enumerate(choices):
        wording = folded(choice)
        if not wording or wording == letter(index).casefold():
            continue  # drawn in the figure: the letter is all its wording, and "a" is a word
        # The 1 of "(x+1)^2" is no mention of the option "1".
        before, after = (r"+*/^√{\-", r"+*/^}") if wording[0].isdigit() else ("", "")
        pattern = rf"(?<![\w.{before}]){re.escape(wording)}(?![\w{after}]|\.\d)"
        spans += [(m.start(), m.end(), index) for m in re.finditer(pattern, wanted)]
    # "rabbit" inside "kangaroo and rabbit" is not a mention of the option "rabbit".
    free = {
        index
        for start, end, index in spans
        if not any(a <= start and end <= b and (a, b) != (start, end) for a, b, _ in spans)
    }
    return letter(free.pop()) if len(free) == 1 else None


def _in_other_words(text: str, view: View) -> str | None:
    """The one option all of whose words occur in `text`, their endings and order aside."""
    found = set(stems(text))
    meant = {}
    for index, choice in enumerate(view.choices):
        words = {word for word in stems(choice) if not word[0].isdigit()}
        if words and len(max(words, key=len)) > 2 and words <= found:
            meant[index] = words
    largest = [i for i, w in meant.items() if not any(w < other for other in meant.values())]
    return letter(largest[0]) if len(largest) == 1 else None


def _agrees(question: str, sentence: str) -> bool | None:
    """Whether `sentence` affirms the question; None where it does not say it again."""
    asked = stems(question)
    turned = False
    for pair in _OPPOSITES:
        for word, opposite in (pair, pair[::-1]):
            here, there = stem(word), stem(opposite)
            if here in asked and here not in stems(sentence) and there in stems(sentence):
                asked = [there if term == here else term for term in asked]
                turned = True
    compared = set(asked) & _COMPARATIVES
    if coverage(asked, sentence) < _COVERAGE or not compared <= set(stems(sentence)):
        return None
    if _exchanged(question, sentence):
        turned = not turned
    return turned == (_NOT.search(sentence) is not None)


def _exchanged(question: str, sentence: str) -> bool:
    """Whether "A is less than B" is asked and "B is less than A" is said."""
    asked, said = re.split(r"\bthan\b", question), re.split(r"\bthan\b", sentence)
    if len(asked) != 2 or len(said) != 2:
        return False
    left, right = set(stems(asked[0])), set(stems(asked[1]))
    left, right = left - right - _COMPARATIVES, right - left
    before, after = set(stems(said[0])), set(stems(said[1]))
    if not left or not right:
        return False
    straight = len(left & before) / len(left) + len(right & after) / len(right)
    crossed = len(left & after) / len(left) + len(right & before) / len(right)
    return crossed > straight
