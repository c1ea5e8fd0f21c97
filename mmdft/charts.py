"""Charts as inline SVG, the same bytes for the same numbers. No torch here."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's vermilion and blue: told apart with every common colour blindness, and in grey.
COLOURS = {"base": "#767676", "sft": "#D55E00", "dft": "#0072B2"}
OTHER_COLOURS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00")

_INK = "#33383e"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mmdft",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.edgecolor": "#9aa1a9",
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e4e7ea",
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": "#9aa1a9",
    "ytick.color": "#9aa1a9",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "savefig.facecolor": "none",
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One drawn chart with the words around it."""

    title: str
    note: str
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """A model's histogram: counts between neighbouring edges, under the model's title."""

    title: str
    edges: Sequence[float]
    counts: Sequence[int]


def colours(names: Iterable[str]) -> dict[str, str]:
    """Each model's colour, the same in every chart and table."""
    names = list(names)
    others = iter(OTHER_COLOURS * (1 + len(names) // len(OTHER_COLOURS)))
    return {name: COLOURS.get(name) or next(others) for name in names}


def probability_chart(models: Mapping[str, Bins], palette: Mapping[str, str]) -> Chart:
    """Histogram of the training tokens' probabilities, as the paper's figure 2 has it.

    Each model's bars are shares of its own tokens: histograms over several seeds have more.

    Args:
        models: at least one, all with the same edges.
        palette: the models' colours.
    """
    totals = {key: max(1, sum(model.counts)) for key, model in models.items()}

    def draw(axes: Axes) -> None:
        axes.set_yscale("log")
        # From below one token, so that a bin with one still shows a bar.
        axes.set_ylim(70 / max(totals.values()), 150)
        width = 0.84 / len(models)
        for number, (key, model) in enumerate(models.items()):
            offset = (number - (len(models) - 1) / 2) * width
            places = [place + offset for place in range(len(model.counts))]
            shares = [100 * count / totals[key] for count in model.counts]
            axes.bar(places, shares, width=0.92 * width, color=palette[key])
        edges = next(iter(models.values())).edges
        axes.set_xlim(-0.5, len(edges) - 1.5)
        axes.set_xticks([place - 0.5 for place in range(len(edges))], [edge_text(e) for e in edges])
        axes.set_yticks(*_decades(axes.get_ylim()))
        axes.minorticks_off()
        axes.set_xlabel("probability of the token (bins of unequal width)")
        axes.set_ylabel("answer tokens, % (log scale)")
        axes.grid(axis="y")

    names = ", ".join(model.title for model in models.values())
    return Chart(
        title="Probabilities of the training tokens",
        note="",
        svg=svg_chart(
            draw, "chart-probabilities", f"Histogram of token probabilities: {names}", (7.6, 2.9)
        ),
    )


def _decades(limits: tuple[float, float]) -> tuple[list[float], list[str]]:
    """The powers of ten within the limits, and how they are written."""
    low, high = (math.log10(limit) for limit in limits)
    exponents = range(math.ceil(low), math.floor(high) + 1)
    return [10.0**n for n in exponents], [f"{10.0**n:g}" for n in exponents]


def edge_text(edge: float) -> str:
    """A bin edge: 0.0001 -> "10⁻⁴", 0.3 -> "0.3"."""
    small = {1e-5: "10⁻⁵", 1e-4: "10⁻⁴", 1e-3: "10⁻³"}
    return small.get(edge, f"{edge:g}")


def svg_chart(
    draw: Callable[[Axes], None], name: str, words: str, inches: tuple[float, float]
) -> Markup:
    """What `draw` draws, as an SVG element.

    Args:
        draw: draws on the axes that it is given.
        name: the chart's own in its page; its parts are named after it.
        words: what the chart shows, for those who do not see it.
        inches: width and height; the page scales them, the text with them.
    """
    # Imported here: it takes half a second, and the Markdown reports do without.
    import matplotlib.style
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(stream, format="svg", metadata=_NO_METADATA)
    text = stream.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    # Every chart names its parts alike; in one page the names must differ.
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    width, height = (72 * inch for inch in inches)
    # The drawing is our own numbers and words; nothing from the data is in it but via `escape`.
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(words)}">{body.strip()}'
    )
