"""The report's charts as inline SVG, the same bytes for the same numbers. No torch here."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup, escape

from mmdft.evals.report_schema import HistoryPoint, ModelResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Models = Mapping[str, ModelResult]
Statistic = Literal["loss", "nll", "mean_p", "grad_norm"]

# Okabe and Ito's vermilion and blue: told apart with every common colour blindness, and in grey.
COLOURS = {"base": "#767676", "sft": "#D55E00", "dft": "#0072B2"}
OTHER_COLOURS = ("#009E73", "#CC79A7", "#56B4E9", "#E69F00")

STATISTICS: dict[Statistic, tuple[str, str]] = {
    "loss": ("Training loss", "Each objective’s own loss; the scales are not comparable."),
    "nll": ("Negative log-likelihood", "Mean −log p of an answer token, for both alike."),
    "mean_p": ("Mean probability", "Mean p that the model gives an answer token."),
    "grad_norm": ("Gradient norm", "Before clipping."),
}

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
_DASHES = {"dashed": "--", "solid": "-"}
_POINTS_PER_WINDOW = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One drawn chart with the words around it."""

    title: str
    note: str
    svg: Markup


def colours(models: Models) -> dict[str, str]:
    """Each model's colour, the same in every chart and table."""
    others = iter(OTHER_COLOURS * (1 + len(models) // len(OTHER_COLOURS)))
    return {key: COLOURS.get(key) or next(others) for key in models}


def line_styles(models: Models) -> dict[str, str]:
    """The line of each trained model, by its CSS name, so that colour is not all that differs."""
    trained = [key for key, model in models.items() if model["history"]]
    return dict(zip(trained, cycle(_DASHES), strict=False))


def training_charts(models: Models) -> list[Chart]:
    """One small chart for each statistic over the steps; none if no model was trained."""
    lines = line_styles(models)
    if not lines:
        return []
    names = " and ".join(models[key]["title"] for key in lines)
    palette = colours(models)

    def draw(axes: Axes, statistic: Statistic) -> None:
        for key, line in lines.items():
            history = models[key]["history"]
            _draw_history(axes, history, statistic, palette[key], _DASHES[line])
        axes.set_xlabel("step")
        axes.grid(axis="y")
        axes.set_ylim(0, 1) if statistic == "mean_p" else axes.set_ylim(bottom=0)

    return [
        Chart(
            title=title,
            note=note,
            svg=_svg(
                partial(draw, statistic=statistic),
                f"chart-{statistic}",
                f"{title} over the training steps, {names}",
                (3.6, 2.1),
            ),
        )
        for statistic, (title, note) in STATISTICS.items()
    ]


def probability_chart(models: Models) -> Chart:
    """Histogram of the training tokens' probabilities, as the paper's figure 2 has it."""
    palette = colours(models)

    def draw(axes: Axes) -> None:
        largest = max(max(model["probabilities"]["counts"]) for model in models.values())
        axes.set_yscale("log")
        # From below 1, so that a bin with one token still shows a bar.
        axes.set_ylim(0.7, max(10, 1.5 * largest))
        width = 0.84 / len(models)
        for number, (key, model) in enumerate(models.items()):
            counts = model["probabilities"]["counts"]
            offset = (number - (len(models) - 1) / 2) * width
            places = [place + offset for place in range(len(counts))]
            axes.bar(places, counts, width=0.92 * width, color=palette[key])
        edges = next(iter(models.values()))["probabilities"]["edges"]
        axes.set_xlim(-0.5, len(edges) - 1.5)
        axes.set_xticks([place - 0.5 for place in range(len(edges))], [edge_text(e) for e in edges])
        axes.set_xlabel("probability of the token (bins of unequal width)")
        axes.set_ylabel("answer tokens (log scale)")
        axes.grid(axis="y")

    names = ", ".join(model["title"] for model in models.values())
    return Chart(
        title="Probabilities of the training tokens",
        note="",
        svg=_svg(
            draw, "chart-probabilities", f"Histogram of token probabilities: {names}", (7.6, 2.9)
        ),
    )


def edge_text(edge: float) -> str:
    """A bin edge: 0.0001 -> "10⁻⁴", 0.3 -> "0.3"."""
    small = {1e-5: "10⁻⁵", 1e-4: "10⁻⁴", 1e-3: "10⁻³"}
    return small.get(edge, f"{edge:g}")


def smoothing_window(models: Models) -> int:
    """Logged steps that the thick lines average over; 1 when the lines are as logged."""
    longest = max((len(model["history"]) for model in models.values()), default=0)
    return max(1, longest // _POINTS_PER_WINDOW)


def _draw_history(
    axes: Axes, history: list[HistoryPoint], statistic: Statistic, colour: str, dashes: str
) -> None:
    steps = [point["step"] for point in history]
    values = [float(point[statistic]) for point in history]
    half = max(1, len(history) // _POINTS_PER_WINDOW) // 2
    if half:
        axes.plot(steps, values, color=colour, alpha=0.3, linewidth=0.6)
        windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
        values = [sum(window) / len(window) for window in windows]
    marker = "o" if len(history) == 1 else ""
    axes.plot(steps, values, color=colour, linewidth=1.4, linestyle=dashes, marker=marker)


def _svg(
    draw: Callable[[Axes], None], name: str, words: str, inches: tuple[float, float]
) -> Markup:
    # Imported here: it takes half a second, and the Markdown report does without.
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
