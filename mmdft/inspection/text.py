"""`mmdft inspect --text`: the same in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from mmdft.data.segments import SEGMENTS
from mmdft.data.vision import PixelBudget
from mmdft.inspection.inspect import Inspection, Run, Shown
from mmdft.inspection.page import WORDS, packs_of

_STYLES = {
    "system": "dim italic",
    "prompt": "dim",
    "image": "dim reverse",
    "reasoning": "bold blue",
    "answer": "bold underline yellow",
    "other": "bold magenta",
    "end_of_turn": "bold green",
}
_MOST_BAD = 10

# A terminal would obey them. Line breaks stay.
_CONTROLS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


def text_form(inspection: Inspection) -> RenderableType:
    """The counts, the quarantined rows and the examples, to be printed with rich."""
    return Group(*_parts(inspection))


def _parts(it: Inspection) -> Iterator[RenderableType]:
    config = it.config
    facts = Table.grid(padding=(0, 2))
    trained = sum(it.segments.values())
    parts = ", ".join(f"{WORDS[name]} {it.segments[name]:,}" for name in SEGMENTS)
    rows = {
        "model": config.model.name,
        "data.max_length": f"{config.data.max_length:,}",
        "pixel budget": f"{it.budget.min_pixels:,} to {it.budget.max_pixels:,}"
        if isinstance(it.budget, PixelBudget)
        else "none; the model's own processor cuts and resizes images",
        "examples": f"{it.num_examples:,}",
        "tokens": f"{it.num_tokens:,}",
        "trained": f"{trained:,} ({parts})",
        "quarantined": f"{len(it.bad):,}",
    }
    if it.streamed is not None:
        rows["rows looked at"] = f"{it.streamed[0]:,} of {it.streamed[1]:,}"
    if it.num_packs is not None:
        rows["packed rows"] = f"{it.num_packs:,}"
    for name, value in rows.items():
        facts.add_row(Text(name, "dim"), Text(value))
    yield facts
    if it.stop:
        yield Text(f"This data stops a training. {it.stop}.", "bold red")
    for note in it.notes:
        yield _safe(note)
    for row in it.bad[:_MOST_BAD]:
        yield _safe(f"{row.source}:{row.row} (id {row.id}): {row.reason}", "red")
    if len(it.bad) > _MOST_BAD:
        yield Text(f"and {len(it.bad) - _MOST_BAD:,} more", "red")
    legend = Text("\n")
    for role, style in _STYLES.items():
        legend.append(WORDS[role], style).append("  ")
    yield legend
    for pack, members in packs_of(it.shown):
        if pack is not None:
            yield Rule(f"packed row {pack}, {it.pack_lengths[pack]:,} tokens", characters="═")
        for example, start in members:
            yield from _example(example, start)


def _example(example: Shown, start: int) -> Iterator[RenderableType]:
    trained = sum(example.tokens[name] for name in SEGMENTS)
    title = _safe(f"example {example.number}, id {example.id}")
    yield Rule(title, align="left", style="dim")
    where = f"{example.source}:{example.row}, {example.length:,} tokens, {trained:,} trained"
    if example.is_cut:
        where += ", reply cut at data.max_length"
    if example.pack is not None:
        end = start + example.length - example.shared - 1
        where += f", {start:,} to {end:,} of the row"
        if example.shared:
            where += f", its first {example.shared:,} tokens shared with the example before it"
    yield _safe(where, "dim")
    for picture in example.pictures:
        sizes = " -> ".join(
            f"{size[0]} x {size[1]}" for size in (picture.original, picture.resized) if size
        )
        yield _safe(f"{picture.label}: {sizes} px, {picture.tokens:,} tokens", "dim")
    yield Padding(_tokens(example), (1, 0))


def _tokens(example: Shown) -> Text:
    shown = Text()
    for run in example.runs:
        if run.role == "image":
            shown.append(f"[image: {len(run.tokens):,} tokens]", _STYLES["image"])
        else:
            shown.append_text(_safe("".join(token.text for token in run.tokens), _STYLES[run.role]))
            if mean := _mean_p(run):
                shown.append(mean, "dim")
    shown.rstrip()
    return shown


def _mean_p(run: Run) -> str:
    """The mean probability of a trained run, behind it."""
    found = [token.p for token in run.tokens if token.p is not None]
    return f"[p {sum(found) / len(found):.2g}]" if found else ""


def _safe(text: str, style: str = "") -> Text:
    return Text(text.translate(_CONTROLS), style)
