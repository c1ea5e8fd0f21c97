"""The page of `mmdft inspect`: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from mmdft.data.segments import SEGMENTS
from mmdft.files import write_text
from mmdft.inspection.inspect import ROLES, Inspection, Picture, Run, Shown, Token
from mmdft.pages import render_page

WORDS = {role: role.replace("_", " ") for role in ROLES}
# As a reader meets them in a reply.
_SEGMENT_ORDER = ("reasoning", "answer", "other", "end_of_turn")
assert set(_SEGMENT_ORDER) == set(SEGMENTS)
# A page that lists a hundred thousand rows opens nowhere.
_MOST_BAD = 500


def write_page(inspection: Inspection, out: Path) -> Path:
    """Write the page; a file that is already there is replaced."""
    write_text(out, page_html(inspection))
    return out


def page_html(inspection: Inspection) -> str:
    """The page as text, the same byte for byte for the same inspection."""
    config = inspection.config
    return render_page(
        "mmdft.inspection",
        "inspect",
        it=inspection,
        config=config,
        words=WORDS,
        roles=ROLES,
        segment_order=_SEGMENT_ORDER,
        num_trained=sum(inspection.segments.values()),
        sources=[source.model_dump(mode="json")["path"] for source in config.data.train],
        files=sorted({example.source for example in inspection.shown}),
        bad=inspection.bad[:_MOST_BAD],
        packs=packs_of(inspection.shown),
        probabilities=_probabilities(inspection.shown),
        details=token_details,
        image_details=image_details,
        is_special=is_special,
        data_uri=_data_uri,
        lines=_lines,
    )


def packs_of(shown: Sequence[Shown]) -> list[tuple[int | None, list[tuple[Shown, int]]]]:
    """The examples pack by pack, each with the place in the packed row of its first own token."""
    packs = []
    for number, members in groupby(shown, key=lambda example: example.pack):
        start, placed = 0, []
        for example in members:
            placed.append((example, start))
            start += example.length - example.shared
        packs.append((number, placed))
    return packs


def token_details(token: Token) -> str:
    """A token's id, position, rotary position and probability, as the script reads them.

    The three parts of a rotary position are written as one where they are equal.
    """
    rotary = "-" if token.rotary is None else ",".join(map(str, token.rotary))
    if token.rotary is not None and len(set(token.rotary)) == 1:
        rotary = str(token.rotary[0])
    parts = [str(token.id), str(token.position), rotary]
    return " ".join(parts if token.p is None else [*parts, f"{token.p:.3g}"])


def image_details(run: Run) -> str:
    """The same of an image's run, with the first and last of each."""
    first, last = run.tokens[0], run.tokens[-1]
    where = [token.rotary for token in run.tokens if token.rotary is not None]
    rotary = ",".join(f"{min(axis)}–{max(axis)}" for axis in zip(*where, strict=True)) or "-"
    return f"{first.id} {first.position}–{last.position} {rotary}"


def is_special(text: str) -> bool:
    """Whether a token's text is a special token's: in content such text is several tokens."""
    return text.startswith("<|") and text.endswith("|>")


def _probabilities(shown: Sequence[Shown]) -> dict[str, float] | None:
    found = [
        token.p
        for example in shown
        for run in example.runs
        for token in run.tokens
        if token.p is not None
    ]
    if not found:
        return None
    return {
        "mean": sum(found) / len(found),
        "below_0.01": sum(p < 0.01 for p in found) / len(found),
    }


def _lines(text: str) -> list[tuple[str, str]]:
    """A token's text cut at its line breaks, each piece with the break that follows it, if any."""
    pieces = text.split("\n")
    return [(piece, "\n" if last < len(pieces) - 1 else "") for last, piece in enumerate(pieces)]


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
