r"""What follows "the answer is" in its many forms, in English and in Chinese."""

from __future__ import annotations

import re

from mmdft.evals.choices import index_of, letter
from mmdft.evals.extraction.letters import dressed, leading_letter
from mmdft.evals.extraction.numbers import FILLER, VERB, concluded, numeric_value, value_at_head
from mmdft.evals.extraction.view import HEDGED, IGNORANCE, REFUSAL, View
from mmdft.evals.extraction.wording import worded
from mmdft.evals.text import bare_text, sentences

_LONGEST_PHRASE = 80
_LONGEST_SENTENCE = 400
# "the quarterly sales of product B" is an answer; a longer run of words is a sentence about one.
_MOST_WORDS = 6
# A degenerate response repeats "the answer is" without end; its last ones are enough to read.
_MOST_PHRASES = 20

_ANSWER_IS = re.compile(
    r"""
    (?: \b(?:answer|ans|(?:correct|right|best|appropriate)\s+(?:option|choice|letter)(?:\s+letter)?
          |final\s+(?:value|result|solution))\b
        (?:\s+(?:choice|option|letter))?
        (?:\s+(?:to|for|of)\s+(?:the|this|your)\s+\w+)?
        [\s*_"]*
        (?: (?:is|was|equals|(?:must|should|would|will)\s+(?:therefore\s+|then\s+)?be)\b
            | [=:：] | [-–—](?=\s) )
      | \b(?:I|we)(?:'d|\s+would|\s+will)?\s+(?:choose|select|pick|go\s+with)\b
      | ^\#\#\#\#(?=\s*[-\d$])
      | ^\#+\s*(?:the\s+)?(?:final\s+)?answer\s*$
      | ^\*\*(?:the\s+)?(?:final\s+)?answer\*\*\s*$
      | (?:答案|选项) \s* (?:应该|应)? \s* (?:[是为选]|[:：])
      | (?:故|(?<!对)应|所以|因此) 选(?!项) (?:择)? )
    [\s*_:：]*
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_DISPLAY_MATH = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]", re.DOTALL)
_PHRASE_END = re.compile(
    r"\n|[.](?=\s|\*|$)|[。；;]|</|,?\s+(?:because|since)\b|,\s+(?:which|as|so|not|where|but)\b"
    r"|[,，]\s*(?=[^\x00-\x7f])"
)
_OPTIONS_FOLLOW = re.compile(r"\s*\(?A[).:].*\n\s*\(?B[).:]")
_CONDITION = re.compile(
    r"^\W*(?:if|otherwise|unless|when|assuming|suppose)\b|\bif\b", re.IGNORECASE
)


def phrase(view: View) -> str | None:
    """What the last "the answer is" that says something commits to.

    "If there are more, the answer is (A). Otherwise it is (B)" commits to nothing when the
    response goes on to say that it cannot tell.
    """
    conditional: set[str] = set()
    for match in list(_ANSWER_IS.finditer(view.text))[: -_MOST_PHRASES - 1 : -1]:
        rest = view.text[match.end() : match.end() + _LONGEST_SENTENCE]
        if _OPTIONS_FOLLOW.match(rest):
            continue  # "Choose the correct option:" and the options again
        if display := _DISPLAY_MATH.match(rest):
            found: str | None = bare_text(display[1] or display[2])
        else:
            end = _PHRASE_END.search(rest)
            if end is None and view.truncated:
                continue  # the sentence was cut off inside the answer
            found = committed(rest[: end.start()] if end else rest, view)
        if not found or (view.wants_number and numeric_value(found) is None):
            continue
        lead = (sentences(view.text[max(0, match.start() - 300) : match.start()]) or [""])[-1]
        if not _CONDITION.search(lead):
            return found
        conditional.add(found)
    refused = any(REFUSAL.search(part) for part in sentences(view.text)[-2:])
    return conditional.pop() if len(conditional) == 1 and not refused else None


def committed(candidate: str, view: View) -> str | None:
    """What follows "the answer is", if it is an answer."""
    candidate = FILLER.sub("", bare_text(candidate))
    if not candidate or HEDGED.search(candidate):
        return None
    choices = view.choices
    if choices:
        index = index_of(candidate, choices)
        found = leading_letter(candidate, choices) if index is None else letter(index)
        found = found or dressed(candidate, choices) or worded(candidate, choices)
        if found:
            return found
    if REFUSAL.search(candidate) or IGNORANCE.search(candidate):
        return None
    core = value_at_head(candidate)
    if len(core.split()) > _MOST_WORDS or VERB.search(core):
        core = concluded(core) or core
    if choices and numeric_value(core) is None:
        return None  # prose that names no option: a stage further down may still find one
    return core if len(core) <= _LONGEST_PHRASE else None
