r"""Small cuts on model text that extraction and comparison share."""

from __future__ import annotations

import re

from mmdft.boxes import boxes

_WRAPPERS = (
    re.compile(r"\*\*(.+)\*\*", re.DOTALL),
    re.compile(r"__(.+)__", re.DOTALL),
    re.compile(r"\*([^*]+)\*"),
    re.compile(r"`+([^`]+)`+"),
    re.compile(r"\$\$([^$]+)\$\$"),
    re.compile(r"\$([^$]+)\$"),
    re.compile(r"\\\((.+)\\\)", re.DOTALL),
    re.compile(r"\\\[(.+)\\\]", re.DOTALL),
    re.compile(r'"([^"]+)"'),
    re.compile(r"“([^”]+)”"),
    re.compile(r"\\(?:text|textbf|mathrm|mathbf|boldsymbol|mbox)\s*\{([^{}]*)\}"),
    re.compile(r"\{([^{}]*)\}"),
    re.compile(r"\\boxed\s*\{(.*)\}", re.DOTALL),
)
_EDGES = " \t\r\n,;:"


def bare_text(text: str) -> str:
    r"""`text` without the dress that says nothing: `**$\text{12 cm}$**.` is `12 cm`."""
    while True:
        before = text
        text = text.strip(_EDGES)
        # A closing full stop is dress; an opening one may belong to ".5".
        text = text.rstrip(".。．")
        if text.count("**") == 1:
            text = text.replace("**", "")  # half a pair, cut off from "**Answer: 12**"
        if text.startswith("= "):
            text = text[2:]
        for wrapper in _WRAPPERS:
            if (match := wrapper.fullmatch(text)) and _is_one_pair(match[1], text):
                text = match[1]
        if text == before:
            return text


def _is_one_pair(inside: str, text: str) -> bool:
    # "**a** and **b**" and "\boxed{1} or \boxed{2}" begin and end with a dress but are not in one.
    if text.startswith(("**", "__", "\\(", "\\[")):
        return text[:2] not in inside
    depth = 0
    for character in inside:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return True


def last_boxed(text: str) -> str | None:
    r"""The content of the last balanced `\boxed{...}` (or `\fbox{...}`), or None."""
    content = None
    for _, start, end in boxes(text):
        content = text[start:end]
    return content


def sentences(text: str) -> list[str]:
    """The text's sentences and lines, without blank ones; the point of `3.5` ends none."""
    parts = re.split(r"\n+|(?<=[.!?。！？])(?<!\b[A-Za-z]\.)\s+|(?<=[。！？])", text)
    return [part.strip() for part in parts if part.strip()]
