"""Every benchmark has a card that says what the code does: rules, prompt, headline, licence."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdft.evals.benchmarks import BENCHMARKS

CARDS = Path(__file__).resolve().parents[3] / "eval" / "cards"


def card(name: str) -> str:
    return (CARDS / f"{name}.md").read_text(encoding="utf-8")


def paragraph(name: str, title: str) -> str:
    """What a card says under one of its titles."""
    return card(name).partition(f"**{title}.**")[2].partition("\n\n**")[0]


def test_there_is_a_card_for_each_and_no_other() -> None:
    assert {path.stem for path in CARDS.iterdir()} == set(BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_card_says_what_the_code_does(name: str) -> None:
    benchmark = BENCHMARKS[name]
    assert f"`{name}` · {benchmark.citation}" in card(name)
    for rule in benchmark.rules:
        assert f"`{rule}`" in paragraph(name, "Rules"), rule
    named = set(paragraph(name, "Rules").split("`")[1::2])
    assert {"official", "strict", "vlmevalkit", "lmms_eval", "symbolic", "exact"} & named - {
        "official"
    } <= set(benchmark.rules)
    prompt = paragraph(name, "Prompt")
    assert benchmark.prompt.strip("\n") in prompt
    assert len(prompt.split()) > 8
    assert benchmark.licence in paragraph(name, "Licence")
    assert benchmark.licence in benchmark.citation or name == "jsonl"
    assert benchmark.headline in paragraph(name, "Headline")
    for key in benchmark.breakdowns:
        assert key in paragraph(name, "Breakdowns")
    if benchmark.cluster is not None:
        assert benchmark.cluster in card(name).partition("**Clusters.**")[2]
    for title in ("Where to get it", "Fields", "To know"):
        assert paragraph(name, title).strip()
    if benchmark.withheld is False:
        assert "withheld" not in card(name)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_prompt_that_is_not_the_authors_is_called_ours(name: str) -> None:
    authors = {"mathvista", "mathverse", "mathvision"}
    assert ("ours" in paragraph(name, "Prompt")) == (name not in authors)
