r"""Where a text has `\boxed{...}`, as answers are marked."""

from __future__ import annotations

import re
from collections.abc import Iterator

# `\{` and `\}` are printed braces: matched so that they are passed over.
_BOX_OR_BRACE = re.compile(r"\\(?:f?boxed|fbox)\s*\{|\\[{}]|[{}]")


def boxes(text: str) -> Iterator[tuple[int, int, int]]:
    r"""The balanced `\boxed{...}` and `\fbox{...}` of a text, in the order in which they close.

    Yields:
        Where the box starts, and where its content starts and ends, in characters. Of boxes within
        one another the inner one closes first.
    """
    # One pass with a stack: a model's text may open ten thousand boxes and close none.
    opened: list[re.Match[str]] = []
    for match in _BOX_OR_BRACE.finditer(text):
        if match[0] == "}":
            if opened and "box" in (box := opened.pop())[0]:
                yield box.start(), box.end(), match.start()
        elif match[0] not in (r"\{", r"\}"):
            opened.append(match)
