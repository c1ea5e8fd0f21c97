"""What a stage sees of a response, and the cuts and marks that the stages share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mmdft.evals.text import sentences

# Beyond this length a text is an explanation, not an answer.
LONGEST_SHORT_RESPONSE = 200


@dataclass(frozen=True, slots=True)
class View:
    """A response as a stage sees it: thinking and special tokens are gone.

    Attributes:
        text: The response, never blank.
        choices: The options' texts.
        truncated: Whether the response was cut off.
        question: The question, where it is known: what the response says again is no answer.
        wants_number: Whether only a number can be the answer.
    """

    text: str
    choices: tuple[str, ...] = ()
    truncated: bool = False
    question: str = ""
    wants_number: bool = False


Stage = Callable[[View], str | None]

NEGATION = re.compile(
    r"\b(?:not|isn['’]t|aren['’]t|doesn['’]t|incorrect|wrong|eliminated?|cannot|can['’]t|rules?\s+out"
    r"|ruled\s+out)\b",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\b(?:cannot|can['’]t|unable|sorry|unknown|unclear|undetermined|indeterminate|impossible"
    r"|not\s+enough|not\s+possible|insufficient|more\s+information|unfortunately"
    r"|(?:I|we)\s+(?:don['’]t|do\s+not)\s+(?:have|see)"
    r"|(?:image|figure|question|text|it)\s+(?:doesn['’]t|does\s+not)"
    r"\s+(?:provide|contain|specify|show)"
    r"|not\s+(?:provided|given|specified|available|visible|clear|sufficient)"
    r"|not\s+(?:among|one\s+of|listed)|none\s+of\s+the\s+(?:given\s+|answer\s+|provided\s+)?"
    r"(?:choices|options|answers)|no\s+(?:answer|information|image)|n/a)\b"
    r"|^\W*(?:none|null|nothing)\W*$|无法|不能确定",
    re.IGNORECASE,
)
# A sentence that does not know. It takes back no answer that stands before it, and one that goes on
# ("..., but it is probably 7") gives one.
IGNORANCE = re.compile(
    r"\b(?:unsure|uncertain|not\s+(?:sure|certain|known)|no\s+(?:idea|clue)|idk|it\s+depends"
    r"|(?:don['’]t|do\s+not)\s+(?:really\s+)?know|(?:hard|difficult)\s+to\s+(?:tell|say))\b"
    r"(?!.{0,200}\b(?:but|however|guess)\b)",
    re.IGNORECASE,
)
# What says nothing even where it is marked as the answer, in a box or a tag. "Unknown" and "N/A"
# may be what a chart says, and stand.
NO_ANSWER = re.compile(
    r"(?:sorry,?\s+)?(?:but\s+)?"
    r"(?:(?:I|we)(?:\s+am|\s+are|['’]m|['’]re)?\s+|(?:it|the\s+(?:answer|value|result))\s+(?:is\s+)?)?"
    r"(?:not\s+(?:sure|certain)|unsure|uncertain|(?:have\s+)?no\s+(?:idea|clue)"
    r"|(?:don['’]t|do\s+not)\s+know|(?:hard|difficult|impossible)\s+to\s+(?:tell|say|determine)"
    r"|(?:cannot|can\s+not|can['’]t|could\s+not|couldn['’]t|unable\s+to)\s+(?:be\s+)?"
    r"(?:determined?|tell|say|answer(?:ed)?|found|find|solved?|calculated?|computed?)"
    r"|(?:not\s+enough|insufficient)\s+(?:information|data))"
    r"(?:\s+(?:it|this|that|the\s+\w+))?(?:\s+(?:from|with|by|based|given|without|to)\s.{0,80})?",
    re.IGNORECASE,
)
HEDGED = re.compile(
    r"^\W*(?:not|either|neither|between|unclear|unknown|undetermined|none\s+given|in\s+the\s+form"
    r"|to\s+be)\b",
    re.IGNORECASE,
)
CONCLUSION = re.compile(
    r"^\W*(?:and\s+)?(?:therefore|thus|hence|so|in\s+conclusion|in\s+summary|in\s+total|overall"
    r"|finally|consequently|this\s+means|as\s+a\s+result|(?:因此|所以|综上|故|可得))(?![a-z])",
    re.IGNORECASE,
)
_PLEASE = re.compile(r"^\W*(?:please|note|let\s+me\s+know|if\s+you|could\s+you)\b", re.I)
_OPTION_LINE = re.compile(r"^\s*\(?[A-Z][).:]\s")
_WORDS = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)?")
# Words that say nothing about what is asked.
_EMPTY = (
    "a an the of in on at to is are was were be been being do does did has have had can could "
    "would will should may might must this that these those there here it its and or if as for "
    "from with by what which how who whose when where why many much s based image picture figure "
    "shown answer following also likely"
)
_EMPTY_WORDS = frozenset(_EMPTY.split())


def stem(word: str) -> str:
    """A word without its endings: "decreases", "decreased" and "decrease" are one."""
    word = word.casefold()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ing", "ed", "es", "s", "e"):
        if len(word) > len(ending) + 2 and word.endswith(ending) and not word.endswith("ss"):
            return word[: -len(ending)]
    return word


def stems(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order."""
    return [stem(w) for w in _WORDS.findall(text) if w.casefold() not in _EMPTY_WORDS]


def coverage(wanted: list[str], text: str) -> float:
    """The share of the stems `wanted` that occur in `text`."""
    found = set(stems(text))
    return sum(word in found for word in wanted) / len(wanted) if wanted else 0.0


def conclusions(view: View) -> list[str]:
    """The sentences in which an answer may stand, the most telling first.

    The last one that is marked as a conclusion, the one that says most of the question again, the
    last one, and the first one.
    """
    parts = sentences(view.text)
    marked = [part for part in parts if CONCLUSION.match(part)]
    found = marked[-1:]
    if wanted := stems(view.question):
        # From the end: of two that say as much the later one counts.
        best = max(reversed(parts[-40:]), key=lambda part: coverage(wanted, part))
        if coverage(wanted, best) >= 0.5:
            found.append(best)
    return list(dict.fromkeys([*found, parts[-1], parts[0]]))


def gives_up(view: View) -> bool:
    """Whether the response ends by saying that it cannot answer."""
    parts = [part for part in sentences(view.text) if not _PLEASE.match(part)]
    return bool(parts) and REFUSAL.search(parts[-1]) is not None


def lists_options(text: str) -> bool:
    """Whether the response repeats the question's options, one a line."""
    return sum(_OPTION_LINE.match(line) is not None for line in text.splitlines()) > 1


def is_option_line(line: str) -> bool:
    """Whether a line looks like one option of a list: `(B) 12 cm`."""
    return _OPTION_LINE.match(line) is not None
