"""An experiment as data: which runs, from one base, and what each is asked. No torch here.

The file is read as a run's configuration is: an unknown key is an error, and `key=value` overrides
reach everything, also what the runs share (`run.training.max_steps=30`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mmdft.config import RunConfig, UserPath
from mmdft.config_errors import Key, describe
from mmdft.config_loading import load_as
from mmdft.errors import ConfigError
from mmdft.training_fields import Number, WholeNumber

ROLES = ("validation", "in_distribution", "out_of_distribution", "forgetting")
Role = Literal["validation", "in_distribution", "out_of_distribution", "forgetting"]

# What an experiment sets for each of its runs, and where that is said instead.
_SET_HERE: Mapping[str, str] = {
    "model.name": "all variants start from one base; set run.model.name",
    "training.learning_rate": "each variant is trained at every one of learning_rates",
    "training.seed": "each variant is trained with every one of seeds",
    "training.output_dir": "the runs lie below the experiment's output_dir",
    "evaluation": "all variants are asked the same; set run.evaluation",
}

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Positive = Annotated[WholeNumber, Field(gt=0)]
Above0 = Annotated[Number, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FiguresConfig(_Section):
    """A set of drawn figures; see `mmdft figures`."""

    kind: Literal["figures"] = "figures"
    """Geometry and charts with exact answers."""
    split: Literal["train", "validation", "test", "ood"] = "train"
    """The split, which names the file: FOLDER/SPLIT.jsonl."""
    num: Positive
    """How many, in all families together."""
    seed: WholeNumber = 0
    """Names the set."""
    families: list[str] | None = None
    """Which kinds of figure, or groups of them, in turn; None takes all."""
    size: Positive = 112
    """The side of the pictures in pixels."""
    noise: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of demonstrations that are wrong on purpose."""
    noise_kind: Literal["mismatch", "wrong_step", "wrong_answer"] = "mismatch"
    """How they are wrong."""
    choices: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Share of questions with four options."""
    style: Literal["plain", "wordy"] = "plain"
    """The words of the demonstrations."""
    shift: list[Literal["values", "wording", "look"]] | None = None
    """What is other than usual; None is all of it in split ood, and nothing in the others."""


class FactsConfig(_Section):
    """Pictures of symbols, each with an arbitrary number to know by heart; all files at once."""

    kind: Literal["facts"]
    """Symbols and their values."""
    num: Positive
    """How many pictures to train on."""
    num_facts: Positive
    """How many symbols."""
    num_test: Positive = 200
    """How many pictures each of the other files has."""
    seed: WholeNumber = 0
    """Names the facts."""
    size: Positive = 112
    """The side of the pictures in pixels."""


class OwnSamplesConfig(_Section):
    """The base's own right answers to the questions of a training file: `mmdft sample`."""

    kind: Literal["samples"]
    """Sampled answers, of which the right ones are kept."""
    questions: UserPath
    """The training file whose questions are asked."""
    num_samples: Positive = 4
    """Answers to each question."""
    temperature: Above0 = 1.0
    """At which they are sampled."""
    max_new_tokens: Positive = 64
    """Longest answer in tokens."""
    max_kept: Positive | None = None
    """At most so many different right answers to a question; None keeps all different ones."""
    seed: WholeNumber = 0
    """Seed of the sampling."""


Drawn = Annotated[
    FiguresConfig | FactsConfig | OwnSamplesConfig,
    Field(discriminator="kind"),
]


class RolesConfig(_Section):
    """What the benchmarks are for, by their labels."""

    validation: Annotated[list[str], Field(min_length=1)]
    """Learning rate and early stop are chosen on these, and on no other."""
    in_distribution: Annotated[list[str], Field(min_length=1)]
    """Fresh items of the kind that is trained on."""
    out_of_distribution: list[str] = []
    """Items that differ from the training's on purpose."""
    forgetting: list[str] = []
    """What the base knew and is not trained on."""


class SamplesConfig(_Section):
    """Sampled answers at the best learning rate: avg@k."""

    num_samples: Annotated[WholeNumber, Field(ge=2)] = 4
    """Answers to each item."""
    temperature: Above0 = 1.0
    """At which they are sampled."""
    benchmarks: Annotated[list[str], Field(min_length=1)]
    """The labels that are sampled."""


class ControlsConfig(_Section):
    """What could explain a difference in another way."""

    temperatures: list[Above0] = []
    """Lower temperatures at which the base and every variant are sampled as well."""
    clipping_off: bool = False
    """Train each variant at its best learning rate without gradient clipping, too."""
    early_stop: bool = False
    """Report each run also at the step that validates best; needs run.evaluation.every_steps. It
    is known of the labels in grid, which are asked in training."""
    benchmarks: list[str] = []
    """The labels that the controls are measured on."""


class ExperimentConfig(_Section):
    """Variants of one run x learning rates x seeds, from one base."""

    name: Name
    """A short name."""
    title: str | None = None
    """For readers; None is the name."""
    output_dir: UserPath
    """Where runs, evaluations and results go."""
    figures: dict[str, Annotated[list[Drawn], Field(min_length=1)]] = {}
    """Data to draw first: a folder, and what is drawn there."""
    run: RunConfig
    """What all runs share. Its benchmarks are all that is asked in the experiment."""
    roles: RolesConfig
    """What the benchmarks are for."""
    variants: Annotated[dict[Name, dict[str, Any] | None], Field(min_length=1)]
    """Name and dotted overrides of run; the others are compared with the first."""
    learning_rates: Annotated[list[Above0], Field(min_length=1)]
    """Peak learning rates, of which each variant's best is chosen on the validation labels."""
    seeds: Annotated[list[Annotated[WholeNumber, Field(ge=0)]], Field(min_length=1)]
    """Seeds of the trainings; variants with the same seed see the same data in the same order."""
    grid: Annotated[list[str], Field(min_length=1)]
    """Labels asked at every learning rate; the others at each variant's best alone."""
    samples: SamplesConfig | None = None
    """Sampled answers; None has none."""
    controls: ControlsConfig = ControlsConfig()
    """Controls."""
    workers: Positive | Literal["auto"] = "auto"
    """Processes at once, one thread each; auto is one for each core, or one if there is a GPU."""

    @field_validator("figures", mode="before")
    @classmethod
    def _one_set_alone(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            folder: [_with_kind(each) for each in (sets if isinstance(sets, list) else [sets])]
            for folder, sets in value.items()
        }

    @field_validator("variants")
    @classmethod
    def _names_differ(cls, variants: dict[str, Any]) -> dict[str, Any]:
        if "base" in variants:
            raise ValueError("a variant may not be called 'base', which is the untrained model")
        return variants

    @field_validator("learning_rates", "seeds", "grid")
    @classmethod
    def _no_twins(cls, values: list[Any]) -> list[Any]:
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{value} is named twice")
        return values

    @model_validator(mode="after")
    def _run_is_greedy(self) -> Self:
        evaluation = self.run.evaluation
        if evaluation.temperature or evaluation.num_samples > 1:
            raise ValueError(
                "run.evaluation samples, but its benchmarks are asked greedily; leave temperature "
                "and num_samples out, and set samples and controls.temperatures"
            )
        if evaluation.backend.name != "transformers":
            raise ValueError(
                f"run.evaluation.backend is {evaluation.backend.name!r}, but the models are asked "
                "where they are trained; leave it out"
            )
        return self

    @property
    def labels(self) -> list[str]:
        """All benchmarks' labels, in the order of the file."""
        return [each.label or each.name for each in self.run.evaluation.benchmarks]

    @property
    def role_of(self) -> dict[str, Role]:
        """Each benchmark's role, in the benchmarks' order."""
        found: dict[str, Role] = {label: role for role, label in _in_roles(self.roles)}
        return {label: found[label] for label in self.labels if label in found}

    @property
    def first(self) -> str:
        """The variant that the others are compared with."""
        return next(iter(self.variants))


def _with_kind(value: Any) -> Any:
    return {"kind": "figures", **value} if isinstance(value, Mapping) else value


def _in_roles(roles: RolesConfig) -> Iterator[tuple[Role, str]]:
    for role in ROLES:
        for label in getattr(roles, role):
            yield role, label  # type: ignore[misc]


def load_experiment(path: Path | str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read the experiment in `path`, with dotted `key=value` overrides on top.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    return load_as(ExperimentConfig, path, overrides, problems)


def check_experiment(config: ExperimentConfig) -> None:
    """See that an experiment that was made without a file hangs together.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    found = [f"{'.'.join(map(str, key))}: {words}" for key, words in problems(config)]
    if found:
        raise ConfigError("\n".join(found))


def problems(config: ExperimentConfig) -> Iterator[tuple[Key, str]]:
    """What its parts say of each other and is not so: the key, and what is wrong there."""
    known = config.labels
    if not known:
        yield ("run", "evaluation", "benchmarks"), "empty; name the benchmarks that are asked"
        return
    places: list[tuple[Key, Sequence[str]]] = [
        *((("roles", role), getattr(config.roles, role)) for role in ROLES),
        (("grid",), config.grid),
        (("samples", "benchmarks"), config.samples.benchmarks if config.samples else ()),
        (("controls", "benchmarks"), config.controls.benchmarks),
    ]
    for key, labels in places:
        for label in labels:
            if label not in known:
                yield key, f"no benchmark of run is labelled {label!r}; there are {_listed(known)}"
    in_roles = [label for _, label in _in_roles(config.roles)]
    for label in known:
        if in_roles.count(label) != 1:
            found = "none" if label not in in_roles else "several"
            yield ("roles",), f"{label!r} is in {found} of the roles; name it in one"
    for label in config.roles.validation:
        if label in known and label not in config.grid:
            yield (
                ("grid",),
                f"{label!r} validates, so every learning rate must be asked it; add it",
            )
    if not config.run.data.train:
        yield ("run", "data", "train"), "empty; name the training data"
    yield from _problems_of_controls(config)
    for name in config.variants:
        try:
            variant_run(config, name)
        except ConfigError as error:
            for line in str(error).splitlines():
                yield ("variants", name), line


def _problems_of_controls(config: ExperimentConfig) -> Iterator[tuple[Key, str]]:
    controls = config.controls
    wanted = controls.temperatures or controls.clipping_off or controls.early_stop
    if wanted and not controls.benchmarks:
        yield ("controls", "benchmarks"), "empty; name the labels that the controls are measured on"
    if controls.early_stop and config.run.evaluation.every_steps is None:
        yield (
            ("controls", "early_stop"),
            "needs scores during the training; set run.evaluation.every_steps",
        )
    if controls.early_stop and not set(controls.benchmarks) & set(config.grid):
        yield (
            ("controls", "early_stop"),
            "known of the labels in grid alone, and none of controls.benchmarks is; add one",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def variant_run(config: ExperimentConfig, name: str) -> RunConfig:
    """The run of a variant: what all share, with the variant's overrides on top.

    A value that is a mapping is merged into what is there.

    Raises:
        ConfigError: an override names nothing, gives what cannot be, or something that the
            experiment sets; without the variant's name.
    """
    values = config.run.model_dump(mode="json")
    for dotted, value in (config.variants[name] or {}).items():
        _override(values, dotted, value)
    found = []
    before = config.run.model_dump(mode="json")
    for dotted, mend in _SET_HERE.items():
        if _at(values, dotted) != _at(before, dotted):
            found.append(f"{dotted}: not for a variant to set: {mend}")
    try:
        run = RunConfig.model_validate(values)
    except ValidationError as error:
        # Where it was written is the caller's to say.
        found += [line.removeprefix(": ") for line in describe(error, values, lambda _: "")]
    if found:
        raise ConfigError("\n".join(found))
    return run


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    here: Any = values
    *path, last = dotted.split(".")
    for number, word in enumerate(path):
        if not isinstance(here, dict):
            raise ConfigError(
                f"{dotted}: {'.'.join(path[:number])} is no mapping, so it has no {word!r}; "
                "give the whole of it"
            )
        if here.get(word) is None:
            here[word] = {}
        here = here[word]
    if not isinstance(here, dict):
        raise ConfigError(
            f"{dotted}: {'.'.join(path)} is no mapping, so it has no {last!r}; give the whole of it"
        )
    _merge(here, last, value)


def _merge(into: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, dict) and isinstance(into.get(name), dict):
        for key, inner in value.items():
            _merge(into[name], key, inner)
    else:
        into[name] = value


def _at(values: Any, dotted: str) -> Any:
    for word in dotted.split("."):
        values = values.get(word) if isinstance(values, dict) else None
    return values
