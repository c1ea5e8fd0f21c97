"""An experiment's page: one HTML file that needs nothing else. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.charts import Chart, colours
from mmdft.experiments import charts, tables
from mmdft.experiments.findings import advice_text, caveats, findings, unfinished
from mmdft.experiments.schema import Also, Answer, Results, Sample, check_results
from mmdft.experiments.words import duration, label
from mmdft.files import write_text
from mmdft.pages import png_uri, render_page, unbroken
from mmdft.records import Status

_STATUS_WORDS: Mapping[Status, str] = {
    "correct": "correct",
    "wrong": "wrong",
    "no_answer": "no answer",
    "unscored": "not scored",
}
# For those who do not see the signs.
_MARK_WORDS = {"▲": "clearly higher:", "▼": "clearly lower:", "✓": "chosen:"}
# A picture of 112 pixels is shown at twice its size.
_SHOWN_WIDTH = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One sample, as shown. `missed` numbers the models with a wrong answer or none.

    `picture` is its data URI with the width and height that it is shown at; None for a sample
    without one, or whose file is no longer there.
    """

    sample: Sample
    picture: tuple[str, int, int] | None
    answers: tuple[tuple[str, Answer], ...]
    missed: tuple[int, ...]
    disagree: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """Another experiment, as shown in short."""

    title: str
    link: str
    findings: tuple[str, ...]
    main: tables.Table
    main_note: str
    curves: tuple[Chart, ...]
    titles: Mapping[str, str]
    lines: Mapping[str, str]


def write_page(
    results: Mapping[str, Any],
    out: Path,
    *,
    lead: Sequence[str] = (),
    also: Also | None = None,
) -> Path:
    """Write the page of a results.json; a file that is already there is replaced.

    The samples' pictures are read from where their paths lead and are then inside the page.

    Args:
        results: the experiment's.
        out: the file.
        lead: sentences that come before the findings, which are then beside the main table.
        also: another experiment, whose findings, main table and curves are shown, too.

    Raises:
        DataError: the results are not what an experiment writes, or a picture is no PNG; a page
            that is already there is left as it was.
    """
    short = None if also is None else _short(also, check_results(also.results))
    write_text(out, page_html(check_results(results), lead=lead, also=short))
    return out


def page_html(it: Results, *, lead: Sequence[str] = (), also: Short | None = None) -> str:
    """The page as text, the same byte for byte for the same results and pictures."""
    titles = it.titles
    return render_page(
        "mmdft.experiments",
        "experiment",
        it=it,
        titles=titles,
        # A model that both experiments have has one colour.
        colours=colours([*titles, *(() if also is None else also.titles)]),
        lines=charts.line_styles(it),
        unfinished=unfinished(it),
        lead=lead or findings(it),
        findings=findings(it) if lead else [],
        also=also,
        caveats=caveats(it),
        main=tables.main_table(it),
        main_note=tables.main_note(it),
        differences=charts.difference_chart(it),
        tests=[
            (title, tables.test_table(it, tables.tests_against(it, name)))
            for title, name in tables.references(it)
        ],
        test_note=tables.test_note(it),
        rates=tables.rate_table(it),
        rate_note=tables.RATE_NOTE,
        rate_charts=charts.rate_charts(it),
        curves=charts.curve_charts(it),
        controls=tables.control_table(it),
        control_note=tables.CONTROL_NOTE,
        behaviour=tables.behaviour_table(it),
        training=charts.training_charts(it),
        tokens=charts.token_chart(it),
        token_table=tables.probability_table(it),
        probability_note=tables.PROBABILITY_NOTE,
        token_models=list(tables.histograms(it)),
        advice=None if it.advice is None else advice_text(it.advice, it),
        cards=[_card(it, sample) for sample in it.samples],
        sample_labels=list(dict.fromkeys(sample.label for sample in it.samples)),
        words=_STATUS_WORDS,
        mark_words=_MARK_WORDS,
        unbroken=unbroken,
        setting={label(key): tables.setting_cell(value) for key, value in it.setting.items()},
        variants={titles[name]: tables.overrides_text(each) for name, each in it.variants.items()},
        seconds={label(key): duration(value) for key, value in it.seconds.items()},
    )


def _short(also: Also, it: Results) -> Short:
    return Short(
        title=also.title,
        link=also.link,
        findings=tuple(findings(it)),
        main=tables.main_table(it),
        main_note=tables.main_note(it),
        curves=tuple(charts.curve_charts(it, "also")),
        titles=it.titles,
        lines=charts.line_styles(it),
    )


def _card(it: Results, sample: Sample) -> Card:
    answers = tuple((name, sample.answers[name]) for name in it.titles if name in sample.answers)
    places = {name: place for place, name in enumerate(it.titles)}
    missed = (places[name] for name, said in answers if said.status in ("wrong", "no_answer"))
    # Two correct answers agree, however differently they are written.
    said = {("correct",) if each.status == "correct" else each.answer for _, each in answers}
    return Card(
        sample=sample,
        picture=_picture(sample),
        answers=answers,
        missed=tuple(missed),
        disagree=len(said) > 1,
    )


def _picture(sample: Sample) -> tuple[str, int, int] | None:
    if sample.image is None or not Path(sample.image).is_file():
        return None
    uri, width, height = png_uri(Path(sample.image), f"the picture of {sample.question!r}")
    # Whole multiples only, so that every pixel is shown as a square of one size.
    scale = max(1, _SHOWN_WIDTH // max(1, width))
    return uri, scale * width, scale * height
