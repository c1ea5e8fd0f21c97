"""The shipped experiments load, ask what they should, and differ in what they say they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmdft.config import OBJECTIVE_NAMES
from mmdft.data.figures import BASIC_FAMILIES, write_figures
from mmdft.experiments.plan import first_stage, trainings
from mmdft.experiments.settings import (
    ExperimentConfig,
    FactsConfig,
    FiguresConfig,
    OwnSamplesConfig,
    load_experiment,
    variant_run,
)
from mmdft.files import read_jsonl
from mmdft.tiny.base import FAMILIES as TRAINED

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(path.relative_to(ROOT) for path in (ROOT / "configs/experiments").glob("*.yaml"))
# SFT against DFT in one regime each.
REGIMES = [
    *("clean", "facts", "hard", "noisy_10", "noisy_20", "noisy_30", "noisy_40", "own_samples"),
    *("style_shift", "wordy"),
]
# The same where the base has much to learn.
LOOKS = ["new_look", "new_look_noisy_30"]
# More variants on the data of one of these: name -> regime.
WIDER = {
    "lora": "noisy_30",
    "objectives_facts": "facts",
    "objectives_noisy_30": "noisy_30",
    "objectives_wordy": "wordy",
    "robustness": "noisy_30",
}


def load(path: Path) -> ExperimentConfig:
    return load_experiment(ROOT / path)


def named(name: str) -> ExperimentConfig:
    return load(Path("configs/experiments") / f"{name}.yaml")


def sets_of(
    config: ExperimentConfig,
) -> Iterator[tuple[str, FiguresConfig | FactsConfig | OwnSamplesConfig]]:
    """Each file that is drawn, with how."""
    for folder, sets in config.figures.items():
        for each in sets:
            if isinstance(each, FiguresConfig):
                yield f"{folder}/{each.split}.jsonl", each
            else:
                yield f"{folder}/train.jsonl", each
            if isinstance(each, FactsConfig):
                for split in ("validation", "test", "ood"):
                    yield f"{folder}/{split}.jsonl", each


def asked_of(config: ExperimentConfig) -> dict[str, Any]:
    """How the items of each label are drawn."""
    drawn = dict(sets_of(config))
    return {b.label: drawn[str(b.path)] for b in config.run.evaluation.benchmarks}


def test_all_are_there() -> None:
    assert [path.stem for path in SHIPPED] == sorted([*REGIMES, *LOOKS, *WIDER])


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_each_is_whole(path: Path) -> None:
    config = load(path)
    first, *_ = (ROOT / path).read_text(encoding="utf-8").splitlines()
    assert first == f"# mmdft experiment {path}"
    assert config.name == path.stem
    assert config.output_dir == Path(f"runs/experiments/{path.stem}")
    assert config.run.model.name == "mmdft/tiny"
    runs = len(config.variants) * len(config.seeds) * len(config.learning_rates)
    assert len(list(trainings(first_stage(config)))) == runs
    drawn = dict(sets_of(config))
    # Nothing is drawn twice into one file, and all that is read is drawn here.
    assert len(drawn) == len(list(sets_of(config)))
    read = {str(b.path) for b in config.run.evaluation.benchmarks}
    assert read | {str(source.path) for source in config.run.data.train} <= drawn.keys()


@pytest.mark.parametrize("name", [*REGIMES, *LOOKS])
def test_a_regime_compares_two_with_five_seeds_and_all_controls(name: str) -> None:
    config = named(name)
    assert list(config.variants) == ["sft", "dft"] and len(config.seeds) == 5
    controls = config.controls
    assert controls.temperatures and controls.clipping_off and controls.early_stop
    steps, every = config.run.training.max_steps, config.run.evaluation.every_steps
    assert every is not None and steps % every == 0


@pytest.mark.parametrize(("name", "regime"), WIDER.items())
def test_what_is_wider_has_the_data_and_the_steps_of_its_regime(name: str, regime: str) -> None:
    config, before = named(name), named(regime)
    drawn, known = dict(sets_of(config)), dict(sets_of(before))
    assert {path: known[path] for path in drawn} == drawn
    assert config.run.data == before.run.data
    assert config.run.training == before.run.training
    asked = [each.label for each in config.run.evaluation.benchmarks]
    assert {"validation", "test", "others"} < set(asked) <= {*before.labels}
    assert len(config.seeds) >= 3


@pytest.mark.parametrize("regime", ["noisy_30", "wordy", "facts"])
def test_all_objectives_are_compared(regime: str) -> None:
    config = named(f"objectives_{regime}")
    assert list(config.variants)[:2] == ["sft", "dft"]
    assert {*config.variants} == {*OBJECTIVE_NAMES}
    for name in config.variants:
        assert variant_run(config, name).objective.name == name


@pytest.mark.parametrize("name", [name for name in REGIMES if name != "facts"])
def test_what_is_asked_is_new_and_shifted_as_its_label_says(name: str) -> None:
    config = named(name)
    asked, trained_on = asked_of(config), set()
    for _, each in sets_of(config):
        if isinstance(each, FiguresConfig) and each.split == "train":
            trained_on |= set(each.families or ())
    for label, (split, shift, num) in {
        "validation": ("validation", None, 200),
        "test": ("test", None, 400),
        "values": ("ood", ["values"], 200),
        "wording": ("ood", ["wording"], 200),
        "look": ("ood", ["look"], 200),
    }.items():
        each = asked[label]
        assert (each.split, each.shift, each.num) == (split, shift, num)
        assert set(each.families) == trained_on
        # What is scored is right and in the plain style, whatever is trained on.
        assert each.noise == 0 and each.style == "plain"
    # Wording and look are those of the test's first figures.
    assert asked["wording"].seed == asked["look"].seed == asked["test"].seed
    assert asked["unseen"].split == asked["others"].split == "test"
    assert not set(asked["unseen"].families) & (set(TRAINED) | trained_on)
    assert set(asked["others"].families) == set(TRAINED) - trained_on
    assert asked["others"].num == 300 and asked["unseen"].num == 200
    basic = {*asked["others"].families, *asked["unseen"].families, *trained_on}
    assert basic == set(BASIC_FAMILIES)


def test_they_differ_in_one_thing_each() -> None:
    clean, *others = (differences(named(name)) for name in REGIMES if name not in ("facts", "hard"))
    noisy, (own, shift, wordy) = others[:4], others[4:]
    same = {key: value for key, value in clean.items() if key != "set"}
    for share, one in zip((0.1, 0.2, 0.3, 0.4), noisy, strict=True):
        # With two more learning rates, which are too high.
        rates = [*clean["rates"], 3e-4, 1e-3] if share == 0.3 else clean["rates"]
        assert one == {**same, "set": {**clean["set"], "noise": share}, "rates": rates}
    worded = {**clean["set"], "style": "wordy"}
    longer = {"max_new_tokens": 112, "rates": [3e-5, 1e-4, 3e-4, 1e-3]}
    assert wordy == {**same, **longer, "set": worded}
    assert shift == {**wordy, "max_steps": 3 * clean["max_steps"], "every_steps": 30}
    assert own == {**same, "set": {**clean["set"], "num": 1000, "seed": 12}}
    samples = [each for _, each in sets_of(named("own_samples")) if each.kind == "samples"]
    assert [(each.num_samples, each.temperature) for each in samples] == [(4, 1.0)]


def test_a_new_look_is_trained_and_asked_and_the_old_one_is_not_to_be_forgotten() -> None:
    clean, *others = (differences(named(name)) for name in LOOKS)
    (noisy,) = others
    assert noisy == {**clean, "set": {**clean["set"], "noise": 0.3}}
    tuned = clean["set"]["families"]
    assert clean["set"]["shift"] == ["look"] and clean["set"]["split"] == "train"
    asked = clean["asked"]
    for label, (split, shift) in {
        "validation": ("validation", ["look"]),
        "test": ("test", ["look"]),
        "values": ("ood", ["values", "look"]),
        "wording": ("ood", ["wording", "look"]),
        "look_others": ("test", ["look"]),
        "plain": ("test", None),
        "others": ("test", None),
    }.items():
        each = asked[label]
        assert (each["split"], each["shift"], each["noise"]) == (split, shift, 0)
        kinds = {*TRAINED} - {*tuned} if label.endswith("others") else {*tuned}
        assert {*each["families"]} == kinds
    # The same figures in both looks.
    for label in ("test", "others"):
        other = {"test": "plain", "others": "look_others"}[label]
        assert {**asked[label], "shift": None} == {**asked[other], "shift": None}


def differences(config: ExperimentConfig) -> dict[str, Any]:
    (trained,) = (
        each
        for _, each in sets_of(config)
        if isinstance(each, FiguresConfig) and each.split == "train"
    )
    training, evaluation = config.run.training, config.run.evaluation
    return {
        "set": trained.model_dump(),
        "rates": config.learning_rates,
        "max_steps": training.max_steps,
        "batch": training.per_device_train_batch_size,
        "every_steps": evaluation.every_steps,
        "max_new_tokens": evaluation.max_new_tokens,
        "asked": {label: each.model_dump() for label, each in asked_of(config).items()},
        "controls": config.controls,
        "samples": config.samples,
    }


def test_facts_are_recalled_and_the_rest_is_not_forgotten() -> None:
    config = named("facts")
    asked = asked_of(config)
    assert {label for label, each in asked.items() if isinstance(each, FactsConfig)} == {
        *("validation", "test", "wording")
    }
    assert set(asked["others"].families) == set(TRAINED)
    paths = {b.label: b.path.name for b in config.run.evaluation.benchmarks}
    assert paths["wording"] == "ood.jsonl" and paths["validation"] == "validation.jsonl"


def test_the_first_figures_of_the_test_are_those_of_wording_and_look(tmp_path: Path) -> None:
    asked = asked_of(named("clean"))
    rows = {}
    for label in ("test", "wording", "look"):
        options = asked[label].model_dump(exclude={"kind", "num"}, exclude_none=True)
        path = write_figures(tmp_path / label, num=12, **{**options, "size": 56})
        rows[label] = [row for _, row in read_jsonl(path)]
    for test, wording, look in zip(*rows.values(), strict=True):
        assert test["answer"] == wording["answer"] == look["answer"]
        assert test["question"] == look["question"] != wording["question"]
