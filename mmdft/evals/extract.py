r"""Finding the answer in a response: stages in a table, tried in order, and no judge.

A stage that is sure goes before one that guesses: an `<answer>` tag, a `\boxed{}`, "the answer
is", a lone option letter, the wording of exactly one option, a response that is nothing but an
answer, and last the number that a concluding sentence ends in. What the model thinks
(`<think>...</think>`) is never mined. A response cut off by the token limit has not concluded, so
only stages whose marks are explicit read it. No stage knows the gold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmdft.evals.arithmetic import evaluate
from mmdft.evals.choices import (
    folded,
    index_of,
    index_of_letter,
    letter,
    names_another_letter,
)
from mmdft.evals.numeric import parse_quantity, split_unit
from mmdft.evals.text import bare_text, last_boxed, sentences
from mmdft.records import Extraction

# Beyond these lengths a text is an explanation, not an answer.
_LONGEST_PHRASE = 80
_LONGEST_SENTENCE = 400
_LONGEST_BARE = 60
_LONGEST_SHORT_RESPONSE = 200
# "the quarterly sales of product B" is an answer; a longer run of words is a sentence about one.
_MOST_WORDS = 6
# A degenerate response repeats "the answer is" without end; its last ones are enough to read.
_MOST_PHRASES = 20


@dataclass(frozen=True, slots=True)
class _Response:
    text: str
    choices: tuple[str, ...]
    truncated: bool


def extract(response: str, *, choices: Sequence[str] = (), truncated: bool = False) -> Extraction:
    """The answer that a response commits to.

    Args:
        response: What the model wrote.
        choices: The options' texts, where the question has options. An answer that means one of
            them is given as its letter, A for the first.
        truncated: Whether the token limit cut the response off.

    Returns:
        The answer and the stage that found it; answer None and stage "none" where the response
        commits to none.
    """
    text = visible_text(response)
    if text is not None and text.strip():
        view = _Response(text.strip(), tuple(choices), truncated)
        for name, stage, reads_truncated in STAGES:
            if truncated and not reads_truncated:
                continue
            if found := stage(view):
                return Extraction(answer=_canonical(found, view.choices), stage=name)
    return Extraction(answer=None, stage="none")


def visible_text(response: str) -> str | None:
    """The response without its thinking; None where the thinking never ended."""
    shown: list[str] = []
    thinking = False
    for part in _THINK_TAG.split(_SPECIAL_TOKEN.sub("", response)):
        if _THINK_TAG.fullmatch(part) is None:
            shown += [] if thinking else [part]
        elif part.startswith("</"):
            # The opening tag is often part of the prompt: a lone closing one ends thinking too.
            shown = shown if thinking else []
            thinking = False
        else:
            thinking = True
    return None if thinking else " ".join(shown)


def _canonical(answer: str, choices: tuple[str, ...]) -> str:
    index = index_of(answer, choices)
    return bare_text(answer) if index is None else letter(index)


# --- the stages: each gives the answer's text, or None (or "") to leave it to the next ---


def _tag(view: _Response) -> str | None:
    contents = _ANSWER_TAG.findall(view.text)
    if not contents and not view.truncated:
        # Generation often stops at the closing tag and leaves it out.
        contents = view.text.rsplit("<answer>", 1)[1:]
    return _inner(contents[-1], view) if contents else None


def _boxed(view: _Response) -> str | None:
    content = last_boxed(view.text)
    return None if content is None else bare_text(content)


def _phrase(view: _Response) -> str | None:
    for match in list(_ANSWER_IS.finditer(view.text))[: -_MOST_PHRASES - 1 : -1]:
        rest = view.text[match.end() : match.end() + _LONGEST_SENTENCE]
        if display := _DISPLAY_MATH.match(rest):
            return bare_text(display[1] or display[2])
        end = _PHRASE_END.search(rest)
        if end is None and view.truncated:
            continue  # the sentence was cut off inside the answer
        if found := _committed(rest[: end.start()] if end else rest, view.choices):
            return found
    return None


def _letter(view: _Response) -> str | None:
    if not view.choices:
        return None
    if (index := index_of_letter(view.text, view.choices)) is not None:
        return letter(index)  # only as the whole response does a letter need no dress
    lines = view.text.splitlines()
    scopes = (sentences(view.text)[-1], lines[-1], lines[0], view.text)
    for scope in scopes:
        if _OPTION_LINE.match(scope) and _lists_options(lines):
            continue  # the question's options, repeated
        if found := _dressed(scope, view.choices):
            return found
    return None


def _choice_text(view: _Response) -> str | None:
    if not view.choices:
        return None
    opening = re.split(r"[,.:;\n]", view.text, maxsplit=1)[0]
    if (index := index_of(opening, view.choices)) is not None and len(folded(opening)) > 1:
        return letter(index)
    scopes = [sentences(view.text)[-1]]
    if len(view.text) <= _LONGEST_SHORT_RESPONSE:
        scopes.append(view.text)
    for scope in scopes:
        if _NEGATION.search(scope) or _lists_options(view.text.splitlines()):
            continue
        if found := _worded(scope, view.choices):
            return found
    return None


def _bare(view: _Response) -> str | None:
    text = bare_text(view.text)
    if len(text) > _LONGEST_BARE or "\n" in text or _REFUSAL.search(text):
        return None
    if parse_quantity(text) is not None or evaluate(text) is not None:
        return text
    words = _WORD.findall(re.sub(r"\\[A-Za-z]+", " ", text))
    if not words and re.search(r"\w", text) and not _VERB.search(text) and "?" not in text:
        return text  # a formula, a pair, a time of day
    return text if len(text.split()) <= 4 and not re.search(r"\d|[?!]", text) else None


def _number(view: _Response) -> str | None:
    last = sentences(view.text)[-1]
    if _REFUSAL.search(last) or _NEGATION.search(last) or last.endswith("?"):
        return None
    if view.choices and _lists_options(view.text.splitlines()):
        return None
    if _CUE.search(last):
        return _concluded(last)
    numbers = _NUMBER.findall(last)
    short = len(view.text) <= _LONGEST_SHORT_RESPONSE
    return numbers[0] if short and len(numbers) == 1 else None


Stage = Callable[[_Response], str | None]
# name, stage, whether it may read a response that was cut off
STAGES: tuple[tuple[str, Stage, bool], ...] = (
    ("tag", _tag, True),
    ("boxed", _boxed, True),
    ("phrase", _phrase, True),
    ("letter", _letter, False),
    ("choice_text", _choice_text, False),
    ("bare", _bare, False),
    ("number", _number, False),
)

# --- what the stages are made of ---

# End-of-turn tokens that a decoder left in the text.
_SPECIAL_TOKEN = re.compile(r"</s>|<\|[a-z_]+\|>")
_THINK_TAG = re.compile(r"(</?think(?:ing)?>)", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL | re.IGNORECASE)
_ANSWER_IS = re.compile(
    r"""
    (?: \b(?:answer|(?:correct|right|best)\s+(?:option|choice|letter))\b
        (?:\s+(?:to|for|of)\s+(?:the|this|your)\s+\w+)?
        [\s*_"]*
        (?: (?:is|was|equals|(?:must|should|would|will)\s+(?:therefore\s+|then\s+)?be)\b | [=:：] )
      | 答案 (?:应该)? (?:是|为|[:：]) )
    [\s*_:：]*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_DISPLAY_MATH = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]", re.DOTALL)
_PHRASE_END = re.compile(
    r"\n|[.](?=\s|\*|$)|[。；;]|</|,?\s+(?:because|since)\b|,\s+(?:which|as|so|not|where|but)\b"
)
_HEDGED = re.compile(
    r"^\W*(?:not|either|neither|unclear|unknown|undetermined|none\s+given|in\s+the\s+form|to\s+be)\b"
    r"|\b(?:cannot|can't|could\s+not|couldn't|unable)\b",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"^(?:(?:approximately|about|roughly|around|equal\s+to|simply|therefore|thus|hence|indeed|then"
    r"|actually|likely|just|≈|\\approx)\s*)+",
    re.IGNORECASE,
)
_DRESSED_LETTER = re.compile(
    r"""\(([A-Z])\) | \[([A-Z])\] | \*\*\(?([A-Z])\)?[.:)]?\*\*
      | \b(?:[Oo]ption|[Cc]hoice|[Ll]etter)\s+[("]?([A-Z])\b
      | \b([A-Z])\)?\s+is\s+(?:the\s+)?(?:correct|right|best)\b
      | \bis\s+([A-Z])\)?[.]?\s*$
      | ^\s*\(?([A-Z])[).:](?=\s|$)
    """,
    re.VERBOSE | re.MULTILINE,
)
_LEADING_CAPITAL = re.compile(r"^[(\[*\s]*([A-Z])[)\]*]*(?=[,.:;)]|\s+(?:is|with|\()|\s*$)")
_OPTION_LINE = re.compile(r"^\s*\(?[A-Z][).:]\s")
_NEGATION = re.compile(
    r"\b(?:not|isn't|incorrect|wrong|eliminated?|cannot|can't|rules?\s+out|ruled\s+out)\b", re.I
)
_REFUSAL = re.compile(
    r"\b(?:cannot|can't|unable|sorry|unknown|unclear|undetermined|not\s+enough|insufficient"
    r"|no\s+answer|n/a)\b|^none$|^null$",
    re.IGNORECASE,
)
_CUE = re.compile(r"=|≈|\\approx\b|\b(?:is|are|equals?|get|gives?|be|have|has)\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w^{.])[-−]?[$€£]?\d+(?:,\d{3})*(?:\.\d+)?(?:\s*/\s*\d+)?"
    r"(?:\s?(?:\\?%|°)|(?:mm|cm|km|kg|ft|ml|in|m|g|s|h|l)\b)?(?![\w/]|\.\d)"
)
_VERB = re.compile(r"\b(?:is|are|be|has|have)\b", re.IGNORECASE)
_BOUND = re.compile(r"\b(?:than|at\s+least|at\s+most|between|up\s+to)\b", re.IGNORECASE)
_BECAUSE = re.compile(r",?\s+(?:because|since)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{3,}")


def _inner(content: str, view: _Response) -> str | None:
    # A tag may hold a sentence: the stages after this one read it, else it is taken as it stands.
    inside = _Response(content.strip(), view.choices, truncated=False)
    if not inside.text:
        return None
    for name, stage, _ in STAGES:
        if name != "tag" and (found := stage(inside)):
            return found
    return inside.text


def _committed(candidate: str, choices: tuple[str, ...]) -> str | None:
    """What follows "the answer is", if it is an answer."""
    candidate = _FILLER.sub("", bare_text(candidate))
    if not candidate or _HEDGED.search(candidate):
        return None
    if choices:
        index = index_of(candidate, choices)
        found = _leading_letter(candidate, choices) if index is None else letter(index)
        found = found or _dressed(candidate, choices) or _worded(candidate, choices)
        if found:
            return found
    core = _core(candidate)
    if len(core.split()) > _MOST_WORDS or _VERB.search(core):
        core = _concluded(core) or core
    if choices and parse_quantity(core) is None and evaluate(core) is None:
        return None  # prose that names no option: a stage further down may still find one
    return core if len(core) <= _LONGEST_PHRASE else None


def _concluded(sentence: str) -> str | None:
    """The value that a sentence ends in: "so the area is 12 cm because ..." ends in 12 cm."""
    sentence = _BECAUSE.split(bare_text(sentence), maxsplit=1)[0]
    cues = list(_CUE.finditer(sentence))
    if not cues:
        return None
    rest = _core(_FILLER.sub("", bare_text(sentence[cues[-1].end() :])))
    if parse_quantity(rest) is not None or evaluate(split_unit(rest)[0]) is not None:
        return rest
    numbers = _NUMBER.findall(rest)
    return numbers[0] if len(numbers) == 1 and not _BOUND.search(rest) else None


def _core(candidate: str) -> str:
    """The value at the head of a candidate, where words and no other number follow it."""
    if math := re.match(r"\$([^$]+)\$|\\\((.+?)\\\)", candidate):
        head, tail = math[1] or math[2], candidate[math.end() :]
    elif number := _NUMBER.match(candidate):
        head, tail = number[0], candidate[number.end() :]
    else:
        return candidate
    if parse_quantity(candidate) is not None or evaluate(candidate) is not None:
        return candidate
    words_follow = re.match(r"\s+[^\W\d_]", tail) is not None
    return head if words_follow and not re.search(r"[\d$\\]", tail) else candidate


def _leading_letter(text: str, choices: tuple[str, ...]) -> str | None:
    match = _LEADING_CAPITAL.match(text)
    if match and names_another_letter(text[match.end() :]):
        return None
    return match[1] if match and ord(match[1]) - ord("A") < len(choices) else None


def _dressed(text: str, choices: tuple[str, ...]) -> str | None:
    """The one option letter that stands in a letter's dress in `text`."""
    allowed = {letter(i) for i in range(len(choices))}
    found = set()
    for part in sentences(text):
        if _NEGATION.search(part):
            continue  # "(B) is not possible" names B and means another
        for match in _DRESSED_LETTER.finditer(part):
            found.add(next(group for group in match.groups() if group))
    found &= allowed
    return found.pop() if len(found) == 1 else None


def _lists_options(lines: list[str]) -> bool:
    return sum(_OPTION_LINE.match(line) is not None for line in lines) > 1


def _worded(text: str, choices: tuple[str, ...]) -> str | None:
    """The one option whose wording occurs in `text`, as whole words."""
    wanted = " ".join(text.casefold().split())
    spans: list[tuple[int, int, int]] = []
    for index, choice in enumerate(choices):
        wording = folded(choice)
        if not wording:
            continue
        pattern = rf"(?<![\w.]){re.escape(wording)}(?![\w]|\.\d)"
        spans += [(m.start(), m.end(), index) for m in re.finditer(pattern, wanted)]
    # "rabbit" inside "kangaroo and rabbit" is not a mention of the option "rabbit".
    free = {
        index
        for start, end, index in spans
        if not any(a <= start and end <= b and (a, b) != (start, end) for a, b, _ in spans)
    }
    return letter(free.pop()) if len(free) == 1 else None
