"""Where a response ends and a question that the model made up begins; where it was cut off."""

from __future__ import annotations

import re

_NEXT_QUESTION = re.compile(
    r"\n\s*(?:#+\s*|\*\*)?(?:(?:Next|New|Another)\s+)?"
    r"(?:Question|Problem|Exercise|Hint|Human|User|问题|题目)\**\s*\d*\s*[:：]"
)
_ASKED = re.compile(
    r"^\s*(?:(?:Question|Problem|Hint|Choices|Image|问题|题目)\b.*|\(?[A-Z]{1,2}[).:]?(?:\s.*)?"
    r"|(?:Answer|Solution|Explanation)\s*:|Please\s.*|.*\?)?\s*$",
    re.IGNORECASE,
)
_CUT = re.compile(
    r"(?:[-+=*/×,(\[{:≈<>^]|\\[A-Za-z]+\{?"
    r"|\b(?:the|a|an|of|and|or|to|is|are|that|than|with|by|in|for|as|be|if|since|so|half))$"
)
_COURTESY = re.compile(
    r"(?:^|\n|(?<=[.!?*`\s]))\s*(?:(?:is\s+there\s+anything|do\s+you\s+(?:have|want|need|wish)"
    r"|would\s+you\s+like|(?:please\s+)?(?:let\s+me\s+know|feel\s+free)|i\s+hope|hope\s+(?:this|that)"
    r"|if\s+you\s+(?:have|need|would)|(?:how|what)\s+(?:else\s+)?can\s+i|thank\s+you|thanks)\b"
    r"[^\n.!?]*[.!?]*\s*)+$",
    re.IGNORECASE,
)
# A short response may end in anything.
_LONG = 300


def own_part(text: str) -> str:
    """The response up to the first question that the model asks itself."""
    match = _NEXT_QUESTION.search(text)
    return text[: match.start()] if match and text[: match.start()].strip() else text


def without_courtesy(text: str) -> str:
    """The response without the offer of more help that it closes with."""
    match = _COURTESY.search(text, max(0, len(text) - _LONG))
    return text[: match.start()] if match and text[: match.start()].strip() else text


def last_part(text: str) -> str:
    """The last question that the model asks itself with what it answers; all, where it asks none.

    A question that it leaves unanswered does not count.
    """
    end = len(text)
    starts = [match.start() for match in _NEXT_QUESTION.finditer(text)]
    for start in reversed(starts):
        part = text[start:end]
        if any(not _ASKED.match(line) for line in part.splitlines()):
            return part if text[:start].strip() else text[:end]
        end = start
    return text[:end] if text[:end].strip() else text


def looks_cut(text: str) -> bool:
    """Whether a long response ends in the middle of a sentence or of a formula."""
    text = text.rstrip(" \t\r\n*")  # bold ends in stars, too
    return len(text) > _LONG and (_CUT.search(text) is not None or text.count("```") % 2 == 1)
