from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmdft.errors import ConfigError
from mmdft.experiments.settings import (
    FactsConfig,
    FiguresConfig,
    check_experiment,
    load_experiment,
    variant_run,
)

Write = Callable[..., Path]

SMALL: dict[str, Any] = {
    "name": "small",
    "output_dir": "out",
    "run": {
        "model": {"name": "tiny"},
        "data": {"train": ["figs/train.jsonl"]},
        "training": {"max_steps": 2},
        "evaluation": {
            "every_steps": 1,
            "benchmarks": [
                {"name": "figures", "path": "figs", "split": "validation", "label": "validation"},
                {"name": "figures", "path": "figs", "split": "test", "label": "test"},
                {"name": "figures", "path": "others"},
            ],
        },
    },
    "roles": {
        "validation": ["validation"],
        "in_distribution": ["test"],
        "forgetting": ["figures"],
    },
    "variants": {"sft": {"objective.name": "sft"}, "dft": None},
    "learning_rates": [1e-4, 1e-3],
    "seeds": [0, 1],
    "grid": ["validation", "test"],
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(**changes: Any) -> Path:
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({**SMALL, **changes}, sort_keys=False))
        return path

    return _write


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def test_what_is_not_written_has_its_default(write: Write) -> None:
    config = load_experiment(write(figures={"figs": {"num": 5}}))
    assert config.labels == ["validation", "test", "figures"]
    assert config.role_of["figures"] == "forgetting"
    assert config.first == "sft"
    assert config.figures == {"figs": [FiguresConfig(num=5)]}
    assert (config.samples, config.controls.temperatures, config.workers) == (None, [], "auto")


def test_overrides_reach_everything(write: Write) -> None:
    config = load_experiment(
        write(),
        [
            "seeds=[7]",
            "run.training.max_steps=9",
            "run.data.train.0.limit=3",
            "variants.dft.objective.name=focal",
            "variants.dft.objective.parameters.gamma=3",
        ],
    )
    assert config.seeds == [7]
    assert config.run.data.train[0].limit == 3
    run = variant_run(config, "dft")
    assert (run.objective.name, run.objective.parameters) == ("focal", {"gamma": 3.0})
    assert run.training.max_steps == 9


def test_several_sets_in_a_folder_and_facts(write: Write) -> None:
    sets = [{"num": 5}, {"split": "ood", "num": 2, "shift": ["values"]}]
    facts = {"kind": "facts", "num": 8, "num_facts": 4}
    config = load_experiment(write(figures={"a": sets, "b": facts}))
    assert config.figures["a"][1] == FiguresConfig(split="ood", num=2, shift=["values"])
    assert config.figures["b"] == [FactsConfig(kind="facts", num=8, num_facts=4)]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seedz=[1]"], "command line: seedz: unknown key; did you mean seeds?"),
        (
            ["run.learning_rate=1"],
            "command line: run.learning_rate: unknown key; "
            "did you mean run.training.learning_rate?",
        ),
        (["learning_rates=[0]"], "command line: learning_rates.0: got 0, expected more than 0"),
        (["seeds=[1,1]"], "command line: seeds: 1 is named twice"),
        (
            ["figures={f: {kind: fax}}"],
            "command line: figures.f: got {'kind': 'fax'}, expected one with 'kind' 'figures', "
            "'facts', 'samples'",
        ),
        (
            ["figures={f: {nom: 3}}"],
            "command line: figures.f.nom: unknown key; did you mean figures.f.num?",
        ),
    ],
)
def test_what_cannot_be_is_one_line(write: Write, overrides: list[str], said: str) -> None:
    assert said in problems(write(), *overrides)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"grid": ["test"]},
            "grid: 'validation' validates, so every learning rate must be asked it; add it",
        ),
        (
            {"roles": {"validation": ["validation"], "in_distribution": ["test", "figures"]}},
            None,
        ),
        (
            {"roles": {"validation": ["validation"], "in_distribution": ["test"]}},
            "roles: 'figures' is in none of the roles; name it in one",
        ),
        (
            {"roles": {"validation": ["test"], "in_distribution": ["test", "figures", "a"]}},
            "roles.in_distribution: no benchmark of run is labelled 'a'; "
            "there are validation, test, figures",
        ),
        (
            {"roles": {"validation": ["test"], "in_distribution": ["test", "figures"]}},
            "roles: 'test' is in several of the roles; name it in one",
        ),
        (
            {"samples": {"benchmarks": ["tset"]}},
            "samples.benchmarks: no benchmark of run is labelled 'tset'; "
            "there are validation, test, figures",
        ),
        (
            {"controls": {"temperatures": [0.5]}},
            "controls.benchmarks: empty; name the labels that the controls are measured on",
        ),
        (
            {"controls": {"early_stop": True, "benchmarks": ["figures"]}},
            "controls.early_stop: known of the labels in grid alone, and none of "
            "controls.benchmarks is; add one",
        ),
        (
            {"run": {**SMALL["run"], "data": {}}},
            "run.data.train: empty; name the training data",
        ),
        (
            {"variants": {"a": {"objective.nam": "sft"}}},
            "variants.a: objective.nam: unknown key; did you mean objective.name?",
        ),
        (
            {"variants": {"a": {"training.seed": 3}}},
            "variants.a: training.seed: not for a variant to set: each variant is trained with "
            "every one of seeds",
        ),
        (
            {"variants": {"a": {"model.name": "other"}}},
            "variants.a: model.name: not for a variant to set: all variants start from one base; "
            "set run.model.name",
        ),
        (
            {"variants": {"a": {"data.train.x": 1}}},
            "variants.a: data.train.x: data.train is no mapping, so it has no 'x'; give the whole "
            "of it",
        ),
    ],
)
def test_parts_that_do_not_fit(write: Write, changes: dict[str, Any], said: str | None) -> None:
    path = write(**changes)
    if said is None:
        load_experiment(path)
        return
    # After the file's name and the line.
    assert said in [line.partition(": ")[2] for line in problems(path)]
    config = load_experiment(write())
    data = {**config.model_dump(mode="json"), **changes}
    with pytest.raises(ConfigError) as caught:
        check_experiment(type(config).model_validate(data))
    assert said in str(caught.value).splitlines()


def test_early_stop_needs_scores_in_training(write: Write) -> None:
    path = write(controls={"early_stop": True, "benchmarks": ["test"]})
    load_experiment(path)
    [said] = problems(path, "run.evaluation.every_steps=null")
    assert said.endswith("needs scores during the training; set run.evaluation.every_steps")


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("run.evaluation.temperature=0.5", "greedily"),
        ("run.evaluation.backend=vllm", "where they are trained"),
        ("variants={base: {}}", "'base'"),
    ],
)
def test_what_an_experiment_does_itself(write: Write, override: str, word: str) -> None:
    [said] = problems(write(), override)
    assert word in said


def test_mappings_are_merged_and_the_shared_run_is_left_alone(write: Write) -> None:
    config = load_experiment(
        write(
            run={**SMALL["run"], "objective": {"segments": {"answer": {"weight": 1.0}}}},
            variants={
                "a": {"objective.segments.end_of_turn.weight": 1.0, "model.lora": {"r": 4}},
                "b": {},
            },
        )
    )
    a, b = variant_run(config, "a"), variant_run(config, "b")
    assert set(a.objective.segments) == {"answer", "end_of_turn"}
    assert a.model.lora is not None and a.model.lora.r == 4
    assert b == config.run
