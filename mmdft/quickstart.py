"""`mmdft quickstart`: the whole way once, from the shipped base, on a CPU, in minutes.

Two experiments as `mmdft experiment` runs them, so every stage's folder is an ordinary run or
evaluation folder. In the first the base is fine-tuned with SFT and with DFT on demonstrations of
which some are wrong, the same ones in the same order for the same steps. The second is the
counter-example: both are to learn facts that nothing in a picture tells.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.errors import ConfigError, MmdftError
from mmdft.experiments import tables
from mmdft.experiments.findings import difference_text
from mmdft.experiments.markdown import experiment_markdown
from mmdft.experiments.page import write_page
from mmdft.experiments.pool import Workers
from mmdft.experiments.run import PAGE, num_workers, run_experiment
from mmdft.experiments.schema import BASE as THE_BASE
from mmdft.experiments.schema import Also, Results, check_results
from mmdft.experiments.settings import ExperimentConfig, load_experiment
from mmdft.experiments.words import percent
from mmdft.files import write_json, write_text

BASE = "mmdft/tiny"
# Kinds of figure that the base knows, but not so well that nothing can be learnt.
TUNED = ("triangle_perimeter", "triangle_angle", "rectangle_area", "polygon_sides", "bar_sum")
OTHERS = ("rectangle_perimeter", "grid_area", "bar_min", "bar_count", "line_change")
SIZE = 112
NOISE = 0.3
NUM_TUNE, NUM_VALIDATION, NUM_TEST, NUM_VALUES, NUM_OTHERS = 1_000, 48, 200, 60, 80
NUM_FACTS, NUM_FACT_PICTURES, NUM_RECALL = 8, 1_200, 72
STEPS, FACT_STEPS = 50, 80
BATCH = 16
# Scores and statistics of a training are noted so many times, evenly spaced.
NUM_SCORES, NUM_LOGGED = 2, 20
# Learning rates, the same for both objectives: on wrong demonstrations one that is too high for
# SFT and not for DFT, on facts SFT's best in validation (eval/results/experiments).
RATES = {"noisy": 1e-4, "facts": 1e-3}
NUM_SEEDS = 3
NUM_SAMPLES = 2
MAX_NEW_TOKENS = 64

NOISY, FACTS = "noisy", "facts"
TEST = "test"
COUNTER_EXAMPLE = "The counter-example: facts"

_NOISY_WORDS: dict[tables.Reading, str] = {
    "higher": "DFT is better than SFT",
    "lower": "DFT is worse than SFT",
    "unclear": "there is no clear difference between DFT and SFT",
    "not tested": "DFT and SFT were not tested against each other",
}
_FACTS_WORDS: dict[tables.Reading, str] = {
    "lower": "Do not use DFT to teach facts that the base cannot know",
    "higher": "Teaching facts that the base cannot know does not speak against DFT here",
    "unclear": "Whether DFT is the wrong choice to teach facts is not clear from this run",
    "not tested": "Whether DFT is the wrong choice to teach facts was not tested",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickstartResult:
    """The report's path, the sentences on top of it, and both experiments' results by name."""

    page: Path
    sentences: tuple[str, str]
    results: dict[str, dict[str, Any]]


def quickstart(out: Path, seed: int = 0) -> QuickstartResult:
    """Run both experiments in `out`, and write `report.html`, `report.md` and `report.json` there.

    Interrupted, it goes on where it stopped when called again.

    Args:
        out: the folder; `out/noisy` and `out/facts` are the experiments'.
        seed: the first of the trainings' seeds; the figures are of this seed, too.

    Raises:
        ConfigError: the folder holds a quickstart of another seed.
        MmdftError: a training or an evaluation failed.
    """
    configs = {NOISY: noisy(out, seed), FACTS: facts(out, seed)}
    for name in configs:
        _refuse_another_seed(out, name, seed)
    command = shlex.join(["mmdft", "quickstart", "--out", str(out), "--seed", str(seed)])
    results = {}
    # The same processes do both: each has to load torch first.
    with Workers(num_workers(configs[NOISY])) as workers:
        for name, config in configs.items():
            results[name] = run_experiment(config, command=command, workers=workers)
            if failures := results[name]["failures"]:
                lines = [f"{each['run']}: {each['error']}" for each in failures]
                raise MmdftError("\n".join([*lines, "the same command tries these again"]))
    sentences = both_sentences(check_results(results[NOISY]), check_results(results[FACTS]))
    also = Also(title=COUNTER_EXAMPLE, results=results[FACTS], link=f"{FACTS}/{PAGE}")
    write_json(out / "report.json", results)
    write_text(out / "report.md", experiment_markdown(results[NOISY], lead=sentences, also=also))
    page = write_page(results[NOISY], out / "report.html", lead=sentences, also=also)
    return QuickstartResult(page=page, sentences=sentences, results=results)


def noisy(out: Path, seed: int) -> ExperimentConfig:
    """SFT against DFT on demonstrations of which some are wrong."""
    figures = out / "figures"
    return _experiment(
        name=NOISY,
        title=f"mmdft quickstart: {NOISE:.0%} wrong demonstrations".replace("%", " %"),
        out=out,
        seed=seed,
        steps=STEPS,
        figures={
            figures / NOISY: [
                _drawn("train", NUM_TUNE, seed, TUNED, noise=NOISE),
                _drawn("validation", NUM_VALIDATION, seed, TUNED),
                _drawn("test", NUM_TEST, seed, TUNED),
                # Other ranges of numbers, another number of bars.
                _drawn("ood", NUM_VALUES, seed, TUNED, shift=["values"]),
            ],
            figures / "others": [_drawn("test", NUM_OTHERS, seed, OTHERS)],
        },
        benchmarks={
            "validation": figures / NOISY / "validation.jsonl",
            TEST: figures / NOISY / "test.jsonl",
            "values": figures / NOISY / "ood.jsonl",
            "others": figures / "others/test.jsonl",
        },
        out_of_distribution=["values"],
        forgetting=["others"],
        samples={"num_samples": NUM_SAMPLES, "benchmarks": [TEST]},
    )


def facts(out: Path, seed: int) -> ExperimentConfig:
    """SFT against DFT on symbols whose values can only be known by heart."""
    figures = out / "figures"
    return _experiment(
        name=FACTS,
        title=f"mmdft quickstart: {NUM_FACTS} arbitrary facts",
        out=out,
        seed=seed,
        steps=FACT_STEPS,
        figures={
            figures / FACTS: [
                {
                    "kind": "facts",
                    "num": NUM_FACT_PICTURES,
                    "num_facts": NUM_FACTS,
                    "num_test": NUM_RECALL,
                    "seed": seed,
                    "size": SIZE,
                }
            ],
            figures / "known": [_drawn("test", NUM_OTHERS, seed, (*TUNED, *OTHERS))],
        },
        benchmarks={
            "validation": figures / FACTS / "validation.jsonl",
            TEST: figures / FACTS / "test.jsonl",
            "known": figures / "known/test.jsonl",
        },
        forgetting=["known"],
    )


def both_sentences(on_noisy: Results, on_facts: Results) -> tuple[str, str]:
    """What was found, and when not to use DFT, whichever way the tests came out."""
    found = (
        f"With {percent(NOISE).removesuffix('.0')} % of the demonstrations wrong, "
        f"{_verdict(on_noisy, _NOISY_WORDS, 'fresh figures')}"
    )
    asked = f"questions about {NUM_FACTS} arbitrary facts"
    return found, _verdict(on_facts, _FACTS_WORDS, asked)


def _verdict(results: Results, words: Mapping[tables.Reading, str], asked: str) -> str:
    """The reading of DFT against SFT on the test, with all three models' figures."""
    test = tables.find_test(results, TEST, "greedy", "dft", "sft")
    reading = tables.reading(test)
    base, sft, dft = (_share(results, name) for name in (THE_BASE, "sft", "dft"))
    n = results.benchmarks[TEST].n
    sure = "" if test is None or reading == "not tested" else difference_text(test)
    difference = f"; DFT minus SFT is {sure}" if sure else ""
    return (
        f"{words[reading]}: of {n} {asked} the base answers {base} correctly, after SFT it answers "
        f"{sft} and after DFT {dft}{difference}."
    )


def _share(results: Results, name: str) -> str:
    spread = tables.greedy_of(results, name, TEST)
    # An experiment that finished has asked every model.
    assert spread is not None
    return f"{percent(spread.mean)} %"


def _refuse_another_seed(out: Path, name: str, seed: int) -> None:
    """Tell it at once: the figures would be refused for it, in words about experiments."""
    path = out / name / "experiment.yaml"
    if not path.is_file():
        return
    before = load_experiment(path).seeds[0]
    if before != seed:
        raise ConfigError(
            f"{out} holds a quickstart of seed {before}, not {seed}; choose another --out, or "
            "delete that folder"
        )


def _drawn(
    split: str, num: int, seed: int, families: Sequence[str], **options: Any
) -> dict[str, Any]:
    return {
        "split": split,
        "num": num,
        "seed": seed,
        "families": list(families),
        "size": SIZE,
        **options,
    }


def _experiment(
    *,
    name: str,
    title: str,
    out: Path,
    seed: int,
    steps: int,
    figures: Mapping[Path, list[dict[str, Any]]],
    benchmarks: Mapping[str, Path],
    out_of_distribution: Sequence[str] = (),
    forgetting: Sequence[str],
    samples: Mapping[str, Any] | None = None,
) -> ExperimentConfig:
    """What both experiments share: SFT against DFT at one learning rate."""
    return ExperimentConfig.model_validate(
        {
            "name": name,
            "title": title,
            "output_dir": out / name,
            "figures": {str(folder): sets for folder, sets in figures.items()},
            "run": {
                "model": {"name": BASE, "dtype": "float32"},
                "data": {
                    "train": [out / "figures" / name / "train.jsonl"],
                    "max_length": 256,
                    "probe_examples": 64,
                },
                "training": {
                    "max_steps": steps,
                    "per_device_train_batch_size": BATCH,
                    "gradient_accumulation_steps": 1,
                    "warmup_steps": 0.1,
                    "lr_scheduler_type": "cosine",
                    "logging_steps": max(1, steps // NUM_LOGGED),
                    # It takes less than a minute.
                    "save_strategy": "no",
                },
                "evaluation": {
                    "max_new_tokens": MAX_NEW_TOKENS,
                    "batch_size": 50,
                    "every_steps": max(1, steps // NUM_SCORES),
                    "benchmarks": [
                        {"label": label, "name": "figures", "path": path}
                        for label, path in benchmarks.items()
                    ],
                },
            },
            "roles": {
                "validation": ["validation"],
                "in_distribution": [TEST],
                "out_of_distribution": list(out_of_distribution),
                "forgetting": list(forgetting),
            },
            "variants": {"sft": {"objective.name": "sft"}, "dft": {"objective.name": "dft"}},
            "learning_rates": [RATES[name]],
            "seeds": [seed + number for number in range(NUM_SEEDS)],
            "grid": ["validation"],
            "samples": samples,
        }
    )
