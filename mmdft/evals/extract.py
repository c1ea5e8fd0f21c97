r"""Finding the answer in a response: stages in a table, tried in order, and no judge.

A stage that is sure goes before one that guesses: an `<answer>` tag, a `\boxed{}`, "the answer
is", a lone option letter, the wording of exactly one option, the question said again as a yes or
a no, a response that is nothing but an answer, and last the number that a conclusion ends in.
What the model thinks (`<think>...</think>`) is never mined. A response that was cut off has not
concluded, so only stages whose marks are explicit read it. No stage knows the gold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from mmdft.evals.choices import index_of, letter
from mmdft.evals.extraction.letters import lone_letter
from mmdft.evals.extraction.numbers import bare, number, numeric_value
from mmdft.evals.extraction.parts import last_part, looks_cut, own_part, without_courtesy
from mmdft.evals.extraction.phrases import phrase
from mmdft.evals.extraction.view import NO_ANSWER, Stage, View
from mmdft.evals.extraction.wording import choice_text, restated, worded
from mmdft.evals.number_words import number_words
from mmdft.evals.text import bare_text, last_boxed
from mmdft.records import Extraction


def extract(
    response: str,
    *,
    choices: Sequence[str] = (),
    truncated: bool = False,
    question: str = "",
    wants_number: bool = False,
    part: Literal["own", "last"] = "own",
) -> Extraction:
    """The answer that a response commits to.

    Args:
        response: What the model wrote.
        choices: The options' texts, where the question has options. An answer that means one of
            them is given as its letter, A for the first.
        truncated: Whether the token limit cut the response off. A long response that ends in the
            middle of a sentence is taken for cut off in any case.
        question: The question's text. With it, a number that the question already has is not
            taken for the answer, and a yes-or-no question said again is one.
        wants_number: Whether the question has no options and only a number can answer it.
        part: A response may go on to a question of its own ("Question: ..."). "own" reads it up
            to there; "last" reads the last such question that it answers, as a judge does that is
            shown the whole response.

    Returns:
        The answer and the stage that found it; answer None and stage "none" where the response
        commits to none.
    """
    text = visible_text(response)
    if text is not None and text.strip():
        text = _same_width(text).strip()
        text = (last_part(text) if part == "last" else own_part(text)).strip()
        text = without_courtesy(text).strip()
        cut = truncated or looks_cut(text)
        view = View(text, tuple(choices), cut, question, wants_number)
        for name, stage, reads_truncated in STAGES:
            if cut and not reads_truncated:
                continue
            if found := stage(view):
                answer = _canonical(found, view.choices)
                if NO_ANSWER.fullmatch(answer):
                    option = worded(answer, view.choices)
                    if option is None:
                        break
                    answer = option
                if wants_number and numeric_value(answer) is None:
                    continue
                return Extraction(answer=answer, stage=name)
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
    if index is not None:
        return letter(index)
    answer = bare_text(answer)
    number = None if choices else number_words(answer)
    return answer if number is None else str(number)


def _same_width(text: str) -> str:
    # Chinese text writes （Ｂ） and ，
    return text.translate(_WIDE)


# --- the stages: each gives the answer's text, or None (or "") to leave it to the next ---


def _tag(view: View) -> str | None:
    contents = _ANSWER_TAG.findall(view.text)
    if not contents and not view.truncated:
        # Generation often stops at the closing tag and leaves it out.
        contents = view.text.rsplit("<answer>", 1)[1:]
    return _inner(contents[-1], view) if contents else None


def _boxed(view: View) -> str | None:
    content = last_boxed(view.text)
    return None if content is None else bare_text(content)


# name, stage, whether it may read a response that was cut off
STAGES: tuple[tuple[str, Stage, bool], ...] = (
    ("tag", _tag, True),
    ("boxed", _boxed, True),
    ("phrase", phrase, True),
    ("letter", lone_letter, False),
    ("choice_text", choice_text, False),
    ("restated", restated, False),
    ("bare", bare, False),
    ("number", number, False),
)

# End-of-turn tokens that a decoder left in the text.
_SPECIAL_TOKEN = re.compile(r"</s>|<\|[a-z_]+\|>")
_THINK_TAG = re.compile(r"(</?think(?:ing)?>)", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL | re.IGNORECASE)
# The full-width forms of printable ASCII.
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


def _inner(content: str, view: View) -> str | None:
    # A tag may hold a sentence: the stages after this one read it, else it is taken as it stands.
    content = content.strip()
    if not content:
        return None
    inside = replace(view, text=content, truncated=False)
    for name, stage, _ in STAGES:
        if name != "tag" and (found := stage(inside)):
            return found
    return content
