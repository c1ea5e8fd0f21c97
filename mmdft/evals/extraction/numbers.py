"""The number that a sentence ends in, or the only one that it adds to the question."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from mmdft.evals.arithmetic import evaluate
from mmdft.evals.extraction.view import (
    CONCLUSION,
    HEDGED,
    IGNORANCE,
    LONGEST_SHORT_RESPONSE,
    NEGATION,
    REFUSAL,
    View,
    conclusions,
    gives_up,
    lists_options,
)
from mmdft.evals.number_words import NUMBER_WORDS, number_words
from mmdft.evals.numeric import parse_quantity, split_unit
from mmdft.evals.text import bare_text, sentences

_LONGEST_BARE = 60
_MOST_WORDS = 4
# How many characters before a value a "not" still denies it.
_NEAR = 20
_CUE = re.compile(r"=|≈|\\approx\b|\b(?:is|are|equals?|get|gives?|be|have|has)\b|[为是]", re.I)
_ROOT = r"(?:√\s*|\\sqrt\s*)(?:\d+(?:\.\d+)?|\{[^{}]{1,20}\}|\([^()]{1,20}\))"
_PI = r"(?:π|\\?pi(?![A-Za-z]))"
# A number with the roots and the pi that it is multiplied by: the 2 of "2√3" and of "2π" is none.
NUMBER = re.compile(
    r"(?<![\w^{.√])[-−]?[$€£]?(?:\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][+-]?\d+"
    rf"|\s*(?:[x×*]|\\times)\s*10\s*\^\s*\{{?[+-]?\d+\}}?)?|{_ROOT})"
    rf"(?:\s*(?:{_ROOT}|{_PI}))*(?:\s*/\s*\d+)?"
    r"(?:\s?(?:\\?%|°)|(?:mm|cm|km|kg|ft|ml|in|m|g|s|h|l)\b)?"
    rf"(?![A-Za-z_/\d]|\.\d|\s*(?:√|\\sqrt|{_PI}))",
)
# What a model says of itself; but "I and II" is an answer.
_TALK = re.compile(
    r"(?:I|we)(?:['’](?:m|re|ll|d|ve))?\s+(?:am|are|will|would|do|did|think|believe|guess|give|see|need"
    r"|can|could|hope|want|sure|done)\b|let\s+(?:me|us)\b|let['’]s\b",
    re.IGNORECASE,
)
VERB = re.compile(r"\b(?:is|are|be|has|have)\b", re.IGNORECASE)
_BOUND = re.compile(
    r"\b(?:than|at\s+least|at\s+most|between|up\s+to|below|above|under|over)\b", re.IGNORECASE
)
_BECAUSE = re.compile(r",?\s+(?:because|since)\b", re.IGNORECASE)
_ASIDE = re.compile(r",\s+(?:which|as|so|meaning|with|rounded)\b", re.IGNORECASE)
FILLER = re.compile(
    r"^(?:(?:approximately|about|roughly|around|nearly|almost|exactly|only|equal\s+to|simply"
    r"|therefore|thus|hence|indeed|then|actually|likely|just|≈|\\approx)\s*)+",
    re.IGNORECASE,
)
# "x + 1", "3/x", "x^2 + 1"; but "5 N/C" and "2 m^2" are values.
_FORMULA = re.compile(
    r"\b[a-zA-Z]\s*(?:[-+*]|/\s*\d)|(?:[-+*^]|\d\s*/)\s*[a-zA-Z]\b|[a-zA-Z)]\^\d+\s*[-+*/]"
)
# "2 objects left: one cube and one sphere", "2 objects (a cube and a sphere)"
_APPOSITION = re.compile(r"(?<=[a-z]):\s|(?<=[a-z\d])\s\((?=[a-z])")
_WORD = re.compile(r"[^\W\d_]{3,}")
_MATH = re.compile(r"\$([^$]+)\$|\\\((.+?)\\\)")
_NONE_THERE = re.compile(r"\bthere\s+(?:is|are|was|were)\s+no\b(?!\s+(?:answer|information))", re.I)
_HOW_MANY = re.compile(r"\bhow\s+many\b|\bnumber\s+of\b|\bwhat\s+number\b", re.IGNORECASE)
_WHICH_YEAR = re.compile(r"\b(?:which|what)\s+year\b|\bwhen\b", re.IGNORECASE)
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
# "the one that", "at least one" are no counts; "there is one" is.
_COUNTED = re.compile(r"\b(?:is|are|was|were|only|exactly|just|has|have|in)\s+$", re.IGNORECASE)
_THERE_ARE = re.compile(r"\bthere\s+(?:is|are|was|were)\s+(?:only\s+)?(\S+)", re.IGNORECASE)


def bare(view: View) -> str | None:
    """The whole response, where it is nothing but an answer."""
    text = bare_text(view.text)
    if len(text) > _LONGEST_BARE or "\n" in text or _states_nothing(text) or _TALK.match(text):
        return None
    if view.wants_number:
        text = value_at_head(text)
    if numeric_value(text) is not None:
        return text
    words = _WORD.findall(re.sub(r"\\[A-Za-z]+", " ", text))
    if not words and re.search(r"\w", text) and not VERB.search(text) and "?" not in text:
        return text  # a formula, a pair, a time of day
    if VERB.search(text) or HEDGED.search(text) or re.search(r"\d|[?!]", text):
        return None
    return text if len(text.split()) <= _MOST_WORDS else None


def number(view: View) -> str | None:
    """The number of the response's conclusion."""
    if view.choices and lists_options(view.text):
        return None
    last = sentences(view.text)[-1]
    if gives_up(view) or last.endswith("?"):
        return None
    if numeric_value(bare_text(last)) is not None:
        return last
    scopes = conclusions(view)
    if (found := concluded(last)) and bare_text(last).endswith(found):
        scopes.insert(1 if CONCLUSION.match(scopes[0]) else 0, last)
    for part in scopes:
        if _states_nothing(part):
            continue
        cue = _CUE.search(part)
        new = _only_new(part, view) if view.question or not cue else None
        found = concluded(part) if cue else None
        if found and not _denied(part, found) and not (new and _is_known(found, view)):
            return found
        if new:
            return new
    return None


def _states_nothing(sentence: str) -> bool:
    refuses = REFUSAL.search(sentence) or IGNORANCE.search(sentence)
    return refuses is not None or sentence.endswith("?")


def _denied(sentence: str, value: str) -> bool:
    """Whether "not" stands shortly before the value."""
    before = sentence[: sentence.rfind(value)]
    return NEGATION.search(before[-_NEAR:]) is not None


def concluded(sentence: str) -> str | None:
    """The value that a sentence ends in: "so the area is 12 cm because ..." ends in 12 cm."""
    sentence = _BECAUSE.split(bare_text(sentence), maxsplit=1)[0]
    return _value_at_end(sentence) or _value_at_end(_ASIDE.split(sentence, maxsplit=1)[0])


def _value_at_end(sentence: str) -> str | None:
    cues = list(_CUE.finditer(sentence))
    if not cues:
        return None
    rest = FILLER.sub("", bare_text(sentence[cues[-1].end() :]))
    head = _APPOSITION.split(rest, maxsplit=1)[0]
    rest = value_at_head(head if _numbers(head) else rest)
    if numeric_value(rest) is not None:
        return rest
    numbers = [match[0] for match in NUMBER.finditer(rest)]
    if len(numbers) != 1 or _BOUND.search(rest) or _FORMULA.search(rest):
        return None
    return numbers[0]


def value_at_head(candidate: str) -> str:
    """The value at the head of a candidate, where words and no other number follow it."""
    if math := _MATH.match(candidate):
        head, tail = math[1] or math[2], candidate[math.end() :]
    elif found := NUMBER.match(candidate):
        head, tail = found[0], candidate[found.end() :]
    elif (words := NUMBER_WORDS.match(candidate)) and number_words(words[0]) is not None:
        head, tail = str(number_words(words[0])), candidate[words.end() :]
    else:
        return candidate
    if numeric_value(candidate) is not None:
        return candidate
    if math and numeric_value(head + tail) is not None:
        return head  # a unit follows, such as cm^2
    words_follow = re.match(r"\s*[^\W\d_]|\s*\(", tail) is not None
    alone = not re.search(r"[\d$\\]", tail) and not _worded(tail)
    return head if alone and (words_follow or not tail) else candidate


def numeric_value(text: str) -> Fraction | float | None:
    """The value of a text that is a number with at most a unit, arithmetic, or a number word."""
    if (quantity := parse_quantity(text)) is not None:
        return quantity.value
    if (value := evaluate(split_unit(text)[0])) is not None:
        return value
    word = number_words(text)
    return None if word is None else Fraction(word)


def _only_new(part: str, view: View) -> str | None:
    """The one number of a sentence that the question does not have."""
    short = len(view.text) <= LONGEST_SHORT_RESPONSE
    if NEGATION.search(part) or _FORMULA.search(part) or not (view.question or short):
        return None
    if _HOW_MANY.search(view.question) and _NONE_THERE.search(part):
        return "0"
    found = [match[0] for match in NUMBER.finditer(part)]
    if view.question:
        if _WHICH_YEAR.search(view.question):
            years = [t for t in found if _YEAR.fullmatch(t) and not _is_known(t, view)]
            if len(years) == 1:
                return years[0]
        found = [text for text in _numbers(part) if not _is_known(text, view)]
        if not found and (count := _THERE_ARE.search(part)):
            found = _numbers(count[1])
    elif not found and view.wants_number:
        found = _worded(part)
    return found[0] if len(found) == 1 else None


def _is_known(text: str, view: View) -> bool:
    """Whether the question has this number."""
    return numeric_value(text) in _values(view.question)


@lru_cache(maxsize=64)
def _values(question: str) -> frozenset[Fraction | float | None]:
    return frozenset(numeric_value(number) for number in _numbers(question))


def _numbers(text: str) -> list[str]:
    return [match[0] for match in NUMBER.finditer(text)] + _worded(text)


def _worded(part: str) -> list[str]:
    return [
        str(number_words(match[0]))
        for match in NUMBER_WORDS.finditer(part)
        if number_words(match[0]) is not None
        and (match[0].casefold() not in ("zero", "one") or _COUNTED.search(part[: match.start()]))
    ]
