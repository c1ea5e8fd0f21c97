"""The two sentences on top of the quickstart's report, whichever way the tests came out."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiment_results import complete_results

from mmdft.experiments.schema import Results, check_results
from mmdft.quickstart import NOISE, NUM_FACTS, both_sentences, facts, noisy

SHARES = "the base answers 81.0 % correctly, after SFT it answers 89.9 % and after DFT 94.8 %"


def compared(folder: Path, difference: float, p: float | None) -> Results:
    """Results in which DFT minus SFT on the test is so large and so sure."""
    results = complete_results(folder)
    for test in results["tests"]:
        if (test["benchmark"], test["measure"], test["b"]) == ("test", "greedy", "sft"):
            low, high = difference - 0.02, difference + 0.02
            test.update(difference=difference, low=low, high=high, p_corrected=p)
    return check_results(results)


@pytest.mark.parametrize(
    ("difference", "p", "found", "advised", "sure"),
    [
        (
            0.049,
            0.006,
            "DFT is better than SFT",
            "Teaching facts that the base cannot know does not speak against DFT here",
            "; DFT minus SFT is +4.9 points (95 % interval +2.9 to +6.9, corrected p = 0.0060)",
        ),
        (
            -0.049,
            0.006,
            "DFT is worse than SFT",
            "Do not use DFT to teach facts that the base cannot know",
            "; DFT minus SFT is \N{MINUS SIGN}4.9 points (95 % interval \N{MINUS SIGN}6.9 to "
            "\N{MINUS SIGN}2.9, corrected p = 0.0060)",
        ),
        (
            0.049,
            0.2,
            "there is no clear difference between DFT and SFT",
            "Whether DFT is the wrong choice to teach facts is not clear from this run",
            "; DFT minus SFT is +4.9 points (95 % interval +2.9 to +6.9, corrected p = 0.20)",
        ),
        (
            0.049,
            None,
            "DFT and SFT were not tested against each other",
            "Whether DFT is the wrong choice to teach facts was not tested",
            "",
        ),
    ],
)
def test_they_say_what_came_out(
    tmp_path: Path, difference: float, p: float | None, found: str, advised: str, sure: str
) -> None:
    results = compared(tmp_path, difference, p)
    asked = f"questions about {NUM_FACTS} arbitrary facts"
    assert both_sentences(results, results) == (
        f"With {100 * NOISE:g} % of the demonstrations wrong, {found}: of 400 fresh figures "
        f"{SHARES}{sure}.",
        f"{advised}: of 400 {asked} {SHARES}{sure}.",
    )


def test_each_sentence_is_of_its_own_experiment(tmp_path: Path) -> None:
    better, worse = compared(tmp_path, 0.049, 0.006), compared(tmp_path, -0.049, 0.006)
    first, second = both_sentences(better, worse)
    assert "DFT is better than SFT" in first and second.startswith("Do not use DFT")


def test_both_experiments_start_from_the_shipped_base_with_one_rate(tmp_path: Path) -> None:
    for config in (noisy(tmp_path, 5), facts(tmp_path, 5)):
        assert config.run.model.name == "mmdft/tiny"
        assert config.seeds == [5, 6, 7] and len(config.learning_rates) == 1
        assert config.grid == config.roles.validation == ["validation"]
        (demonstrations,) = (source.path for source in config.run.data.train)
        assert demonstrations == tmp_path / f"figures/{config.name}/train.jsonl"
        assert all(
            getattr(drawn, "seed", None) == 5 for sets in config.figures.values() for drawn in sets
        )
