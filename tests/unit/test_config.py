from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mmdft.config import (
    BenchmarkConfig,
    DataConfig,
    EvaluationConfig,
    LoraSettings,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    SourceConfig,
    TrainingConfig,
)
from mmdft.config_loading import dump_config, load_config
from mmdft.errors import ConfigError
from mmdft.training_fields import ALIASES, training_fields

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str, name: str = "run.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def problems(path: Path, *overrides: str) -> list[str]:
    """The error's lines, with the folder of `path` left out."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


# Reading


def test_defaults_and_a_source_as_a_bare_path(write: Write) -> None:
    config = load_config(write("model: {name: org/model}\ndata: {train: [rows.jsonl]}\n"))
    assert config.data.train == [SourceConfig(path=Path("rows.jsonl"))]
    assert config.objective == ObjectiveConfig(name="dft", chunk_mb=256)
    assert config.training.output_dir == Path("runs/train")
    assert config.training.remove_unused_columns is False


def test_yaml_words_are_read_as_they_look(write: Write) -> None:
    config = load_config(
        write(
            "model: {name: m, revision: 2024-01-01}\n"
            "training:\n"
            "  eval_strategy: no\n"
            "  learning_rate: 1e-5\n"
            "  lr_scheduler_kwargs: {min_lr: 1e-6, word: off}\n"
            "  max_steps: 1_000\n"
        )
    )
    assert config.model.revision == "2024-01-01"
    assert config.training.eval_strategy == "no"
    assert config.training.learning_rate == 1e-5
    assert config.training.max_steps == 1000
    assert config.training.arguments()["lr_scheduler_kwargs"] == {"min_lr": 1e-6, "word": "off"}


def test_a_quoted_number_is_taken_for_a_number(write: Write) -> None:
    config = load_config(write('model: {name: m}\ntraining: {learning_rate: "1e-5"}'))
    assert config.training.learning_rate == 1e-5


def test_an_empty_section_is_its_defaults(write: Write) -> None:
    assert load_config(write("model: {name: m}\ntraining:\n")).training == TrainingConfig()


def test_home_is_expanded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load_config(write("model: {name: m}\ndata: {train: [~/rows.jsonl]}"))
    assert config.data.train[0].path == Path("/home/somebody/rows.jsonl")


def test_a_configuration_cannot_be_changed(write: Write) -> None:
    config = load_config(write("model: {name: m}"))
    with pytest.raises(ValidationError, match="frozen"):
        config.training.learning_rate = 1.0  # type: ignore[misc]


def test_anchors_and_merge_keys_work(write: Write) -> None:
    config = load_config(
        write(
            "model: {name: m}\n"
            "data:\n"
            "  train: [&rows {path: a.jsonl, limit: 5}]\n"
            "  validation: [&few {<<: *rows, limit: 2}, *few]\n"
        )
    )
    assert config.data.validation == [SourceConfig(path=Path("a.jsonl"), limit=2)] * 2


# What is wrong, and how it is told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "training: {learning_rat: 1}",
            "run.yaml:2: training.learning_rat: unknown key; did you mean training.learning_rate?",
        ),
        (
            "training: {adam_beta: 1}",
            "run.yaml:2: training.adam_beta: unknown key; did you mean training.adam_beta2?",
        ),
        ("objectve: {}", "run.yaml:2: objectve: unknown key; did you mean objective?"),
        (
            "learning_rate: 1",
            "run.yaml:2: learning_rate: unknown key; did you mean training.learning_rate?",
        ),
        (
            "objective: {loss: dft}",
            "run.yaml:2: objective.loss: unknown key; "
            "the keys here are name, parameters, segments, normalize, chunk_mb",
        ),
        (
            "data: {train: [{path: a, formt: native}]}",
            "run.yaml:2: data.train.0.formt: unknown key; did you mean data.train.0.format?",
        ),
        (
            "training: {zzz: 1}",
            "run.yaml:2: training.zzz: unknown key; the nearest of the "
            f"{len(training_fields())} keys here is training.auto_find_batch_size",
        ),
        (
            "training: {learning_rate: fast}",
            "run.yaml:2: training.learning_rate: got 'fast', expected a number",
        ),
        (
            "training: {adam_beta1: fast}",
            "run.yaml:2: training.adam_beta1: got 'fast', expected a number",
        ),
        (
            "training: {learning_rate: .nan}",
            "run.yaml:2: training.learning_rate: got nan, expected a finite number",
        ),
        (
            "training: {per_device_train_batch_size: true}",
            "run.yaml:2: training.per_device_train_batch_size: got True, expected a number",
        ),
        (
            "training: {warmup_steps: -1}",
            "run.yaml:2: training.warmup_steps: got -1, expected at least 0",
        ),
        (
            "training: {eval_strategy: step}",
            "run.yaml:2: training.eval_strategy: got 'step', expected no or steps or epoch",
        ),
        (
            "training: {optim: adamw_torch_fuse}",
            "run.yaml:2: training.optim: got 'adamw_torch_fuse', expected one of "
            "41 names, such as adamw_torch_fused",
        ),
        (
            "training: {report_to: 3}",
            "run.yaml:2: training.report_to: got 3, "
            "expected text (in quotes, if it looks like a number) or a list",
        ),
        (
            "training: {remove_unused_columns: true}",
            "run.yaml:2: training.remove_unused_columns: must stay False: "
            "the collator needs every column",
        ),
        (
            "training: {hub_token: hf_secret}",
            "run.yaml:2: training.hub_token: must stay None: a run's folder keeps a copy of its "
            "configuration; use `hf auth login` or HF_TOKEN",
        ),
        (
            "training: {gradient_checkpointing: true, activation_checkpointing: false}",
            "run.yaml:2: training.activation_checkpointing: the same as gradient_checkpointing; "
            "write only one of them",
        ),
        (
            "training: {bf16: true, fp16: true}",
            "run.yaml:2: training: bf16 and fp16 are both true; choose one",
        ),
        (
            "training: {eval_strategy: steps}",
            "run.yaml: training.eval_strategy is 'steps' but data.validation is empty; "
            "name a validation source, set data.validation_fraction, or set eval_strategy: no",
        ),
        (
            "objective: {name: dtf}",
            "run.yaml:2: objective.name: got 'dtf', "
            "expected one of 16 names, such as dft or deft or cadft",
        ),
        (
            "objective: dft",
            "run.yaml:2: objective: got 'dft', expected a mapping",
        ),
        (
            "data: {min_pixels: 9, max_pixels: 4}",
            "run.yaml:2: data: min_pixels 9 is larger than max_pixels 4",
        ),
        (
            "data: {max_pixels: 4}\nevaluation: {min_pixels: 9}",
            "run.yaml: evaluation: min_pixels 9 is larger than max_pixels 4",
        ),
        (
            "data: {max_bad_fraction: 2}",
            "run.yaml:2: data.max_bad_fraction: got 2, expected at most 1",
        ),
        (
            "data: {validation: [a], validation_fraction: 0.1}",
            "run.yaml:2: data: validation and validation_fraction are both set; name sources for "
            "validation, or split it off the training data",
        ),
        (
            "data: {validation_fraction: 1}",
            "run.yaml:2: data.validation_fraction: got 1, expected less than 1",
        ),
        (
            "data: {train: [{path: a, repeat: 0}]}",
            "run.yaml:2: data.train.0.repeat: got 0, expected more than 0",
        ),
        (
            "data: {train: [{path: a, shuffle: true}]}",
            "run.yaml:2: data.train.0: shuffle draws the rows of limit, which is not set; set it",
        ),
        (
            "data: {streaming: true, deduplicate: true}",
            "run.yaml:2: data: deduplicate compares all rows before training, and streaming reads "
            "each when its turn comes; drop one of the two",
        ),
        (
            "data: {share_prefix: true}",
            "run.yaml:2: data: share_prefix shares within packed rows; set packing: true",
        ),
        (
            "data: {streaming: true, packing: true, share_prefix: true}",
            "run.yaml:2: data: share_prefix: true compares all rows before training, and streaming "
            "reads each when its turn comes; drop one of the two",
        ),
        (
            "data: {streaming: true, on_leak: drop}",
            "run.yaml:2: data: on_leak: drop compares all rows before training, and streaming "
            "reads each when its turn comes; drop one of the two",
        ),
        (
            "data: {train: [a], on_leak: raise}",
            "run.yaml: data.on_leak is 'raise' but evaluation.benchmarks is empty, so nothing "
            "would be looked for; name the benchmarks, or set data.on_leak: warn",
        ),
        (
            "data: {probe_examples: -1}",
            "run.yaml:2: data.probe_examples: got -1, expected at least 0",
        ),
        (
            "evaluation: {num_samples: 4}",
            "run.yaml:2: evaluation: num_samples is 4 at temperature 0, which repeats one answer; "
            "set temperature above 0",
        ),
        (
            "evaluation: {benchmarks: [{name: figures}]}",
            "run.yaml:2: evaluation.benchmarks.0.path: missing; expected: Folder of its data "
            "as published, a file of it, or a dataset of the hub (hf://owner/name)",
        ),
        (
            "evaluation: {benchmarks: [{name: figures, path: a}, {name: figures, path: b}]}",
            "run.yaml:2: evaluation.benchmarks: two benchmarks are called 'figures'; "
            "give one another label",
        ),
    ],
)
def test_one_mistake_is_one_line(write: Write, text: str, line: str) -> None:
    assert problems(write(f"model: {{name: m}}\n{text}\n")) == [line]


def test_freezing_everything_needs_lora(write: Write) -> None:
    frozen = "model: {name: m, freeze: [vision, projector, language]"
    assert problems(write(frozen + "}")) == [
        "run.yaml:1: model: freeze names every part and lora is not set, so nothing is trained; "
        "leave a part out of freeze, or set lora"
    ]
    assert load_config(write(frozen + ", lora: {r: 8}}")).model.lora == LoraSettings(r=8)


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    path = write(
        "model:\n"
        "  dtype: int8\n"
        "data:\n"
        "  max_length: long\n"
        "training:\n"
        "  learning_rate: fast\n"
        "  learning_rat: 1\n"
        "evaluation: {top_p: 2}\n"
    )
    assert problems(path, "objective.nam=sft", "seed") == [
        "command line: 'seed': expected key=value, such as training.learning_rate=1e-5",
        "run.yaml:1: model.name: missing; expected: Hub id, the folder of a saved model, or "
        "mmdft/tiny, which comes with mmdft",
        "run.yaml:2: model.dtype: got 'int8', expected auto or float32 or bfloat16 or float16",
        "run.yaml:4: data.max_length: got 'long', expected a whole number",
        "command line: objective.nam: unknown key; did you mean objective.name?",
        "run.yaml:6: training.learning_rate: got 'fast', expected a number",
        "run.yaml:7: training.learning_rat: unknown key; did you mean training.learning_rate?",
        "run.yaml:8: evaluation.top_p: got 2, expected at most 1",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "model: {name: m}\ntraining:\n  seed: 1\n  seed: 2\n",
            "run.yaml:4: training.seed: written twice, first on line 3",
        ),
        (
            "data:\n  train:\n  - {path: a, path: b}\n",
            "run.yaml:3: data.train.0.path: written twice, first on line 3",
        ),
        ("model: {name: m}\nmodel: {name: n}\n", "run.yaml:2: model: written twice, first on line"),
        ("- a\n", "run.yaml: got ['a'], expected a mapping of sections"),
        ("", "run.yaml: got None, expected a mapping of sections"),
        ("model: {name: m\n", "run.yaml:2: not valid YAML: expected ',' or '}', but got"),
        ("? [a]\n: b\n", "run.yaml:1: a key must be a word, not a list or a mapping"),
        (
            "model: !!python/name:os.system x\n",
            "run.yaml:1: the YAML tag tag:yaml.org,2002:python/name:os.system has no place",
        ),
        (
            "model: !!python/object/apply:os.system [x]\n",
            "run.yaml:1: the YAML tag tag:yaml.org,2002:python/object/apply:os.system has no",
        ),
        ("model: !!int x\n", "run.yaml:1: 'x' is not tag:yaml.org,2002:int"),
        ("model: !!bool x\n", "run.yaml:1: 'x' is not tag:yaml.org,2002:bool"),
        ("model: &a [*a]\n", "run.yaml:1: nested too deep or too large for a configuration"),
        ("model: \x01\n", "run.yaml: not valid YAML: special characters are not allowed"),
    ],
)
def test_what_yaml_alone_gets_wrong(write: Write, text: str, line: str) -> None:
    [problem] = problems(write(text))
    assert problem.startswith(line)


def test_many_aliases_are_not_expanded(write: Write) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    [problem] = problems(write("\n".join(lines)))
    assert problem.endswith("nested too deep or too large for a configuration")


def test_files_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml") == ["none.yaml: no such file"]
    path = write("")
    path.write_bytes(b"model: \xff")
    assert problems(path) == ["run.yaml: not UTF-8 text (byte 7)"]


# Including


def test_an_included_file_is_merged_key_by_key(write: Write, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    write(
        "model: {name: base, dtype: float32}\n"
        "data: {train: [a.jsonl, b.jsonl]}\n"
        "training: {seed: 1, learning_rate: 1e-3}\n",
        "shared/base.yaml",
    )
    path = write(
        "include: shared/base.yaml\n"
        "model: {name: mine}\n"
        "data: {train: [c.jsonl]}\n"
        "training: {seed: 2}\n"
    )
    config = load_config(path)
    assert (config.model.name, config.model.dtype) == ("mine", "float32")
    assert [source.path.name for source in config.data.train] == ["c.jsonl"]
    assert (config.training.seed, config.training.learning_rate) == (2, 1e-3)


def test_a_mistake_is_told_where_it_was_written(write: Write) -> None:
    write("model: {name: m}\ntraining: {seed: x, learning_rate: x}\n", "base.yaml")
    path = write("include: base.yaml\n\ntraining: {learning_rate: y}\n")
    assert problems(path) == [
        "base.yaml:2: training.seed: got 'x', expected a whole number",
        "run.yaml:3: training.learning_rate: got 'y', expected a number",
    ]


def test_an_included_file_may_not_include(write: Write, tmp_path: Path) -> None:
    write("include: other.yaml\n", "base.yaml")
    assert problems(write("include: base.yaml\n")) == [
        "base.yaml:1: include: run.yaml includes this file, "
        "and an included file may not include another"
    ]
    assert problems(write("include: none.yaml\n")) == ["none.yaml: no such file"]
    assert problems(write("include: [a]\n")) == [
        "run.yaml:1: include: got ['a'], expected the path of a YAML file"
    ]


# Overrides


def test_overrides_are_read_as_yaml(write: Write) -> None:
    path = write(
        "model: {name: m}\n"
        "data: {train: [a.jsonl, {path: b.jsonl}]}\n"
        "evaluation: {benchmarks: [{name: figures, path: x}]}\n"
    )
    config = load_config(
        path,
        [
            "training.learning_rate=1e-6",
            "training.max_steps=-1",
            "training.eval_strategy=no",
            "model.lora.r=8",
            "model.freeze=[vision]",
            "model.revision=",
            "data.train.0.limit=3",
            "data.train.1.path=c=d.jsonl",
            "data.train.2=e.jsonl",
            "data.validation.0.path=f.jsonl",
            "evaluation.benchmarks.0.path=y",
            "evaluation.system=Answer: one word",
            "objective.name=sft",
            "objective.name=dft",
        ],
    )
    assert config.training.learning_rate == 1e-6
    assert config.model.lora == LoraSettings(r=8)
    assert config.model.freeze == ["vision"]
    assert config.model.revision is None
    assert config.data.train == [
        SourceConfig(path=Path("a.jsonl"), limit=3),
        SourceConfig(path=Path("c=d.jsonl")),
        SourceConfig(path=Path("e.jsonl")),
    ]
    assert config.data.validation == [SourceConfig(path=Path("f.jsonl"))]
    assert config.evaluation.benchmarks[0].path == Path("y")
    assert config.evaluation.system == "Answer: one word"
    assert config.objective.name == "dft"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "training.learning_rat=1",
            "training.learning_rat: unknown key; did you mean training.learning_rate?",
        ),
        ("trainig.seed=1", "trainig: unknown key; did you mean training?"),
        ("training.seed=x", "training.seed: got 'x', expected a whole number"),
        ("data.train.7=x", "data.train.7: got '7', expected an index of data.train from 0 to 1"),
        ("data.train.a=x", "data.train.a: got 'a', expected an index of data.train from 0 to 1"),
        ("model.name.x=1", "model.name.x: model.name is 'm', which has no 'x'"),
        ("training.=1", "'training.=1': expected key=value, such as training.learning_rate=1e-5"),
        ("=1", "'=1': expected key=value, such as training.learning_rate=1e-5"),
        ("data.train.0={path: a, path: b}", "data.train.0: path: written twice"),
    ],
)
def test_a_wrong_override(write: Write, override: str, line: str) -> None:
    path = write("model: {name: m}\ndata: {train: [{path: a, limit: 2}]}\n")
    assert problems(path, override) == [f"command line: {line}"]


def test_an_override_that_is_not_yaml(write: Write) -> None:
    [line] = problems(write("model: {name: m}"), "evaluation.system=[a")
    assert line.startswith("command line: evaluation.system: not valid YAML: ")


def test_an_override_answers_for_all_below_it(write: Write) -> None:
    path = write("model: {name: m}\ndata:\n  train:\n  - {path: a, limit: 2}\n")
    assert problems(path, "data.train=[{path: a, limit: x}]") == [
        "command line: data.train.0.limit: got 'x', expected a whole number"
    ]


# transformers.TrainingArguments


def test_fields_are_those_of_the_installed_class() -> None:
    from transformers import TrainingArguments

    real = {field.name for field in fields(TrainingArguments) if field.init}
    assert set(training_fields()) == real
    assert set(TrainingConfig.model_fields) <= real
    assert set(ALIASES) | set(ALIASES.values()) <= real


def test_literal_defaults_are_those_of_the_installed_class() -> None:
    from transformers import TrainingArguments

    for field in fields(TrainingArguments):
        read = training_fields()[field.name]
        if repr(read.default) != "<computed>":
            assert read.default == field.default, field.name
            assert read.check(read.default) == read.default, field.name


def test_every_help_text_is_read() -> None:
    assert [name for name, field in training_fields().items() if not field.help] == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("fsdp", [True, "full_shard", None], [3]),
        ("lr_scheduler_type", ["cosine"], ["cosin", None]),
        ("debug", ["", ["underflow_overflow"]], [["overflow"]]),
        ("deepspeed", ["ds.json", {"a": 1}, None], [[1]]),
        ("report_to", ["none", ["wandb"], None], [3]),
        ("trackio_static_space_id", ["a/b", False, None], [True]),
        ("liger_kernel_config", [{"rope": True}], [{"rope": "maybe"}]),
        ("dataloader_multiprocessing_context", ["spawn", None], ["thread"]),
        ("parallelism_config", [None], ["x"]),
        ("adam_beta1", [0.9, "0.9", 1], ["x", True, None]),
    ],
)
def test_annotations_become_types(name: str, good: list[Any], bad: list[Any]) -> None:
    field = training_fields()[name]
    for value in good:
        field.check(value)
    for value in bad:
        with pytest.raises(ValidationError):
            field.check(value)


def test_arguments_are_taken_by_transformers() -> None:
    from transformers import TrainingArguments

    config = TrainingConfig.model_validate(
        {"use_cpu": True, "gradient_checkpointing": True, "adam_beta2": "0.95"}
    )
    arguments = TrainingArguments(**config.arguments())
    assert arguments.adam_beta2 == 0.95
    assert arguments.activation_checkpointing is True
    assert arguments.learning_rate == config.learning_rate
    assert arguments.remove_unused_columns is False
    assert arguments.report_to == []


def test_either_name_of_checkpointing_is_taken() -> None:
    config = TrainingConfig.model_validate({"activation_checkpointing": True})
    assert config == TrainingConfig(gradient_checkpointing=True)
    assert config.arguments()["activation_checkpointing"] is True
    assert "gradient_checkpointing" not in config.arguments()


def test_construction_in_python_is_checked_alike() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainingConfig.model_validate({"learning_rat": 1, "seed": "x", "adam_beta1": "x"})
    assert sorted(error["loc"] for error in caught.value.errors()) == [
        ("adam_beta1",),
        ("learning_rat",),
        ("seed",),
    ]


def test_every_setting_has_a_doc_line() -> None:
    sections: list[type[BaseModel]] = [RunConfig, ModelConfig, LoraSettings, DataConfig]
    sections += [SourceConfig, ObjectiveConfig, TrainingConfig, EvaluationConfig, BenchmarkConfig]
    for section in sections:
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"


# Writing back

# What YAML is most likely to read back as something else.
_TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["no", "null", "~", "1e-5", "1_0", "0o7", ".5", "2024-01-01", "<<", "=", "on"]),
)
_PATH = _TEXT.filter(lambda text: "\0" not in text).map(Path)
_COUNT = st.integers(1, 10**9)
_FLOAT = st.floats(0, 1e6, allow_nan=False)
_SOURCE = st.builds(
    SourceConfig,
    path=_PATH,
    format=st.sampled_from([None, "native", "llava", "prompt_completion"]),
    limit=st.none() | _COUNT,
    system=st.none() | _TEXT,
) | st.builds(
    SourceConfig,
    path=_PATH,
    map=st.fixed_dictionaries(
        {"question": st.sampled_from(["no", "{a}: {b c}", "{{}}"]), "answer": st.just("1e-5")},
        optional={"images": st.just(["null", "~"])},
    ),
    reasoning=st.sampled_from(["keep", "strip"]),
)
_TRAINING = st.fixed_dictionaries(
    {},
    optional={
        "output_dir": _PATH,
        "learning_rate": _FLOAT,
        "run_name": st.none() | _TEXT,
        "adam_beta1": _FLOAT,
        "fsdp": st.none() | st.booleans() | _TEXT,
        "lr_scheduler_kwargs": st.dictionaries(_TEXT, _TEXT | _FLOAT | _COUNT, max_size=3),
        "optim_target_modules": st.none() | _TEXT | st.lists(_TEXT, max_size=2),
    },
).map(TrainingConfig.model_validate)
_CONFIG = st.builds(
    RunConfig,
    model=st.builds(
        ModelConfig,
        name=_TEXT.filter(bool),
        revision=st.none() | _TEXT,
        lora=st.none() | st.builds(LoraSettings, target_modules=_TEXT | st.lists(_TEXT)),
    ),
    data=st.builds(DataConfig, train=st.lists(_SOURCE, max_size=2), max_length=_COUNT),
    training=_TRAINING,
    evaluation=st.builds(
        EvaluationConfig, system=st.none() | _TEXT, output_dir=st.none() | _PATH, temperature=_FLOAT
    ),
)


@settings(max_examples=150, deadline=None)
@given(config=_CONFIG)
def test_what_is_dumped_loads_equal(
    config: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    loaded = load_config(path)
    assert loaded == config
    assert dump_config(loaded) == dump_config(config)


def test_a_dump_holds_what_was_set_and_our_defaults(write: Write) -> None:
    dumped = dump_config(load_config(write("model: {name: m}\ntraining: {adam_beta1: 0.8}")))
    assert "  adam_beta1: 0.8\n" in dumped
    assert "  lr_scheduler_type: cosine\n" in dumped
    assert "adam_beta2" not in dumped


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("{segments: {answer: {}}}", "answer: give either weight or multiplier"),
        (
            "{segments: {answer: {weight: 1, multiplier: 2}}}",
            "answer: give either weight or multiplier",
        ),
        ("{segments: {answer: {weight: -1}}}", "got -1, expected at least 0"),
        ("{segments: {eos: {weight: 1}}}", "segments.eos"),
        ("{normalize: sum}", "expected tokens or weights"),
        ("{name: power, parameters: {beta: 1}}", "power has no parameter 'beta'; known: alpha"),
        ("{name: dft, parameters: {tau: 0.1}}", "dft has no parameter 'tau'; known: it has none"),
        ("{name: threshold, parameters: {tau: 1}}", "tau is 1.0; it must lie between 0 and 1"),
        ("{name: focal, parameters: {gamma: -1}}", "gamma is -1.0; it must lie between 0 and 100"),
    ],
)
def test_an_objectives_parameters_are_its_own_and_in_range(
    tmp_path: Path, objective: str, message: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"model: {{name: m}}\nobjective: {objective}\n")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(path)


def test_an_objective_keeps_its_parameters(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: {name: m}\nobjective: {name: power, parameters: {alpha: 2}}\n")
    assert load_config(path).objective.parameters == {"alpha": 2.0}
    assert load_config(path, ["objective.parameters.alpha=0.25"]).objective.parameters == {
        "alpha": 0.25
    }
