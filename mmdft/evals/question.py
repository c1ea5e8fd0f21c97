"""Options that a question carries in its own text."""

from __future__ import annotations

import re

from mmdft.evals.choices import letter

_IN_LINE = re.compile(r"\(([A-H])\)\s*")
_ON_LINES = re.compile(r"^[ \t]*([A-H])[.:)][ \t]*", re.MULTILINE)
_CHOICES = re.compile(r"\n\s*(?:Choices|Options)\s*:")


def options_in_question(question: str) -> tuple[str, ...]:
    """The options written as `(A) yes (B) no`, or one a line as `A. yes` or `A: yes`.

    Options without a text (drawn in the figure) are given as their letters. Letters out of order
    are no list of options: the result is then empty.
    """
    for form in (_IN_LINE, _ON_LINES):
        marks = list(form.finditer(question))
        if len(marks) < 2 or any(mark[1] != letter(i) for i, mark in enumerate(marks)):
            continue
        ends = [mark.start() for mark in marks[1:]] + [len(question)]
        texts = [question[m.end() : end].strip() for m, end in zip(marks, ends, strict=True)]
        return tuple(text or letter(i) for i, text in enumerate(texts))
    return ()


def asked(prompt: str) -> str:
    """The question alone, without the hint before it and the choices after it.

    For prompts of the form `Hint: ... Question: ... Choices: ...`; others are given whole.
    """
    _, marked, rest = prompt.rpartition("Question:")
    question = rest if marked else prompt
    return _CHOICES.split(question, maxsplit=1)[0].strip()
