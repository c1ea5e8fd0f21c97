"""The quickstart's report: one HTML file that needs nothing else, and the same in Markdown.

No torch here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.errors import DataError
from mmdft.evals import report_charts as charts
from mmdft.evals import report_tables as tables
from mmdft.evals.report_schema import Result, Sample, check_result
from mmdft.files import write_text
from mmdft.pages import render_page
from mmdft.records import Status

STATUS_WORDS: dict[Status, str] = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no answer",
    "unscored": "not scored",
}
_SHOWN_WIDTH = 224
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleAnswer:
    """One model's answer to a sample, as shown."""

    key: str
    title: str
    answer: str | None
    response: str
    status: Status
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCard:
    """One sample, as shown. `missed` numbers the models with a wrong answer or none.

    `width` and `height` are those it is shown at.
    """

    sample: Sample
    family: str
    image: str
    width: int
    height: int
    answers: tuple[SampleAnswer, ...]
    missed: tuple[int, ...]
    disagree: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A model's most frequent training tokens at the ends of the histogram."""

    key: str
    title: str
    lowest: tuple[tuple[str, str], ...]
    highest: tuple[tuple[str, str], ...]


def write_report(result: Mapping[str, Any], out: Path) -> Path:
    """Write the report of `result` (see `report_schema.Result`) as one HTML file.

    The file is the same, byte for byte, for the same result and the same version of matplotlib.

    Raises:
        DataError: the result is not what a report is made from, or a sample's figure cannot be
            read; a report that is already there is left as it was.
    """
    write_text(out, report_html(check_result(result)))
    return out


def report_html(result: Result) -> str:
    """The page as text."""
    models = result["models"]
    cards = [_sample_card(result, sample) for sample in result["samples"]]
    return render_page(
        "mmdft.evals",
        "report",
        result=result,
        colours=charts.colours(models),
        splits=tables.split_names(result),
        scores=tables.score_rows(result),
        differences=tables.difference_rows(result),
        families=tables.family_rows(result),
        training=charts.training_charts(models),
        lines=charts.line_styles(models),
        window=charts.smoothing_window(models),
        probabilities=charts.probability_chart(models),
        tokens=[_token_row(result, key) for key in models],
        cards=cards,
        sample_splits=_distinct(sample["split"] for sample in result["samples"]),
        sample_families=sorted(_distinct(sample["family"] for sample in result["samples"])),
        label=tables.label,
        unbroken=_unbroken,
        settings={
            tables.label(name): tables.setting_text(value)
            for name, value in result["setting"].items()
        },
        seconds={
            tables.label(name): tables.duration(value) for name, value in result["seconds"].items()
        },
        memory=f"{result['peak_memory_mb']:,.0f} MB",
    )


def report_markdown(result: Mapping[str, Any]) -> str:
    """The findings and the tables as Markdown: results, paired differences, families.

    Raises:
        DataError: the result is not what a report is made from.
    """
    checked = check_result(result)
    text = _markdown_text
    splits = [text(split) for split in tables.split_names(checked)]
    titles = [text(model["title"]) for model in checked["models"].values()]
    scores = [
        [text(row.title), *(_markdown_score(cell) for cell in row.cells)]
        for row in tables.score_rows(checked)
    ]
    differences = [
        [text(row.split), text(row.pair), row.points, row.p_value, row.a_only, row.b_only]
        for row in tables.difference_rows(checked)
    ]
    families = [
        [text(row.family), *(cell for split in row.splits for cell in split)]
        for row in tables.family_rows(checked)
    ]
    family_head = [f"{split}: {name}" for split in splits for name in ("n", *titles)]
    sections = [
        f"# {text(checked['title'])}",
        "\n".join(f"- {text(finding)}" for finding in checked["findings"]),
        "## Results",
        "Accuracy ± one standard error, the 95% interval and n. A split's best is bold only where "
        "its paired difference from the runner-up has p < 0.05.",
        _markdown_table(["Model", *splits], scores),
        "## Paired differences",
        "In percentage points, over the same questions; p-values are not corrected for their "
        "number.",
        _markdown_table(
            ["Split", "Difference", "Points", "p", "Only first right", "Only second right"],
            differences,
        ),
        "## By family",
        "Accuracy in % ± one standard error.",
        _markdown_table(["Family", *family_head], families),
    ]
    return "\n\n".join(sections) + "\n"


def _sample_card(result: Result, sample: Sample) -> SampleCard:
    answers = tuple(
        SampleAnswer(
            key=key,
            title=result["models"][key]["title"],
            word=STATUS_WORDS[sample["answers"][key]["status"]],
            **sample["answers"][key],
        )
        for key in result["models"]
        if key in sample["answers"]
    )
    places = {key: place for place, key in enumerate(result["models"])}
    missed = tuple(places[each.key] for each in answers if each.status in ("wrong", "no_answer"))
    # Two correct answers agree, however differently they are written.
    said = {("correct",) if each.status == "correct" else each.answer for each in answers}
    image, width, height = _data_uri(Path(sample["image"]), sample["id"])
    # Whole multiples only, so that every pixel is shown as a square of one size.
    scale = max(1, _SHOWN_WIDTH // max(1, width))
    return SampleCard(
        sample=sample,
        family=tables.label(sample["family"]),
        image=image,
        width=scale * width,
        height=scale * height,
        answers=answers,
        missed=missed,
        disagree=len(said) > 1,
    )


def _data_uri(path: Path, sample_id: str) -> tuple[str, int, int]:
    """A PNG file as a data URI, with its width and height."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot read the figure of sample {sample_id}: {error.strerror}"
        ) from (error)
    # The header chunk comes first in every PNG: length, "IHDR", width, height.
    if content[:8] != _PNG or content[12:16] != b"IHDR":
        raise DataError(f"{path}: the figure of sample {sample_id} is not a PNG file")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height


def _token_row(result: Result, key: str) -> TokenRow:
    model = result["models"][key]
    lowest, highest = (
        tuple((_visible(token), f"{count:,}") for token, count in model["probabilities"][end])
        for end in ("lowest", "highest")
    )
    return TokenRow(key=key, title=model["title"], lowest=lowest, highest=highest)


def _visible(token: str) -> str:
    """A token with its white space made visible."""
    return token.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥").replace("\r", "␍")


def _unbroken(text: str) -> str:
    """Text in which no line ends beside a sign: "p = 0.01" and "5 %" stay whole."""
    text = re.sub(r" ([=±<>≤≥×]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _markdown_score(cell: tables.ScoreCell | None) -> str:
    if cell is None:
        return tables.MISSING
    score = f"**{cell.score}**" if cell.best else cell.score
    parts = [cell.interval, f"n = {cell.n}", *([cell.left_open] if cell.left_open else [])]
    return "; ".join([f"{score} ({'; '.join(parts)})", *cell.samples])


def _markdown_text(text: str) -> str:
    """One line of text that Markdown takes as it is."""
    return re.sub(r"([\\`*|<\[\]])", r"\\\1", " ".join(text.split()))


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        head,
        ["---", *["---:"] * (len(head) - 1)],
        *rows,
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
