"""What an experiment's results.json holds, as records. No torch here.

All accuracies are shares from 0 to 1. What a run did not measure is None or empty, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmdft.errors import DataError
from mmdft.records import Status

ROLES = ("in_distribution", "out_of_distribution", "forgetting", "validation")
BASE = "base"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Spread(_Part):
    """The mean over seeds with its 95 % Student interval; None for the ends with one seed."""

    mean: float
    low: float | None = None
    high: float | None = None
    values: list[float] = []


class Benchmark(_Part):
    """A benchmark's role, its number of items and its name for readers."""

    role: str
    n: int
    title: str


class Sampled(_Part):
    """The accuracy of `k` sampled answers to each item (avg@k)."""

    k: int
    temperature: float
    accuracy: float


class BaseResult(_Part):
    """The base on one benchmark."""

    greedy: float | None = None
    sampled: Sampled | None = None
    temperatures: dict[str, float] = {}
    behaviour: dict[str, float | None] = {}


class VariantResult(_Part):
    """A variant on one benchmark, at its own best learning rate."""

    greedy: Spread | None = None
    sampled: Spread | None = None
    temperatures: dict[str, Spread] = {}
    early_stop: Spread | None = None
    behaviour: dict[str, Spread | None] = {}


class Curve(_Part):
    """Accuracy over the steps; None where a step was not evaluated, or has no interval."""

    mean: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None


class Curves(_Part):
    """The learning curves of a variant, benchmark by benchmark."""

    steps: list[int] = []
    labels: dict[str, Curve] = {}

    @model_validator(mode="before")
    @classmethod
    def _labels_apart(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "labels" in value:
            return value
        return {
            "steps": value.get("steps", []),
            "labels": {name: curve for name, curve in value.items() if name != "steps"},
        }


class Training(_Part):
    """Statistics over the steps, each the mean over seeds."""

    steps: list[int] = []
    grad_norm: list[float | None] = []
    nll: list[float | None] = []
    mean_p: list[float | None] = []
    entropy: list[float | None] = []


class Probabilities(_Part):
    """Histogram of the probabilities of the demonstrations' tokens."""

    edges: list[float]
    counts: list[int]
    mean: float
    below: float = Field(alias="below_0.01")


class Controls(_Part):
    """Controls that are trainings of their own."""

    clipping_off: dict[str, Spread] = {}


class Variant(_Part):
    """All that is known of one variant. `learning_rates` has rate -> benchmark -> accuracy."""

    title: str
    overrides: dict[str, Any] = {}
    best: float | None = None
    learning_rates: dict[str, dict[str, Spread]] = {}
    results: dict[str, VariantResult] = {}
    controls: Controls = Controls()
    curves: Curves = Curves()
    training: Training = Training()
    probabilities: Probabilities | None = None


class Test(_Part):
    """Accuracy of `a` minus that of `b` on one benchmark."""

    __test__ = False

    benchmark: str
    measure: str
    a: str
    b: str
    difference: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_corrected: float | None = None
    test: str = ""


class Advice(_Part):
    """What the preflight suggested before training, and what turned out to be better."""

    mean_p: float | None = None
    suggests: str | None = None
    expects_tie: bool = False
    text: str = ""
    better: str | None = None
    agrees: bool | None = None


class Answer(_Part):
    """What one model said to a sample, and the verdict on it."""

    response: str
    answer: str | None
    status: Status


class Sample(_Part):
    """One question with the path of its picture and all models' answers."""

    image: str | None = None
    question: str
    gold: str | None
    label: str
    answers: dict[str, Answer]


class Failure(_Part):
    """A run that failed, and its error."""

    run: str
    error: str


class Results(_Part):
    """A whole results.json. The first variant is the one that the others are compared with."""

    name: str
    title: str
    command: str
    finished: bool = True
    failures: list[Failure] = []
    setting: dict[str, str | bool | int | float | None] = {}
    versions: dict[str, str] = {}
    seconds: dict[str, float] = {}
    benchmarks: dict[str, Benchmark]
    base: dict[str, BaseResult] = {}
    base_probabilities: Probabilities | None = None
    variants: dict[str, Variant]
    tests: list[Test] = []
    advice: Advice | None = None
    samples: list[Sample] = []

    @property
    def first(self) -> str:
        """The variant that the others are compared with."""
        return next(iter(self.variants))

    @property
    def titles(self) -> dict[str, str]:
        """Every model's name for readers, the base first."""
        named = {name: variant.title for name, variant in self.variants.items()}
        return {BASE: "Base", **named}

    @property
    def num_seeds(self) -> int:
        """The most seeds that any result at a best learning rate is the mean of."""
        found = (
            len(result.greedy.values)
            for variant in self.variants.values()
            for result in variant.results.values()
            if result.greedy is not None
        )
        return max(found, default=0)

    def labels_of(self, role: str) -> list[str]:
        """The benchmarks of a role, in the order of the file."""
        return [label for label, each in self.benchmarks.items() if each.role == role]

    def roles(self) -> Iterator[tuple[str, list[str]]]:
        """The roles that have benchmarks, with these; what the experiment is about comes first."""
        others = dict.fromkeys(each.role for each in self.benchmarks.values())
        for role in dict.fromkeys((*ROLES, *others)):
            if labels := self.labels_of(role):
                yield role, labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Also:
    """Another experiment, which a report shows in short: its results.json, and its own page."""

    title: str
    results: Mapping[str, Any]
    link: str
    """from the report's folder"""


def check_results(value: Mapping[str, Any]) -> Results:
    """Return the content of a results.json as records; keys that no report uses are left out.

    Raises:
        DataError: a field is missing or of the wrong kind, or names a model or benchmark that is
            not there.
    """
    try:
        results = Results.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"the experiment's results: {field}: {first['msg']}") from error
    if not results.variants:
        raise DataError("the experiment's results: variants: there must be at least one")
    for place, models, labels in _names(results):
        for model in models:
            if model not in results.titles:
                raise DataError(f"the experiment's results: {place}: there is no model {model!r}")
        for label in labels:
            if label not in results.benchmarks:
                raise DataError(
                    f"the experiment's results: {place}: there is no benchmark {label!r}"
                )
    _check_lengths(results)
    return results


def _names(results: Results) -> Iterator[tuple[str, list[str], list[str]]]:
    """Where models and benchmarks are named: the place, the models, the benchmarks."""
    yield "base", [], list(results.base)
    for name, variant in results.variants.items():
        yield f"variants.{name}.results", [], list(variant.results)
        yield f"variants.{name}.curves", [], list(variant.curves.labels)
        for rate, by_label in variant.learning_rates.items():
            yield f"variants.{name}.learning_rates.{rate}", [], list(by_label)
    for number, test in enumerate(results.tests):
        yield f"tests.{number}", [test.a, test.b], [test.benchmark]
    for number, sample in enumerate(results.samples):
        yield f"samples.{number}", list(sample.answers), [sample.label]


def _check_lengths(results: Results) -> None:
    """Lists that belong together are of one length: a chart would else drop their ends."""
    pairs: list[tuple[str, list[Any], list[Any]]] = []
    histograms = {BASE: results.base_probabilities}
    for name, variant in results.variants.items():
        histograms[name] = variant.probabilities
        at = f"variants.{name}"
        for label, curve in variant.curves.labels.items():
            for part in (curve.mean, curve.low, curve.high):
                if part is not None:
                    pairs.append((f"{at}.curves.{label}", variant.curves.steps, part))
        for field in ("grad_norm", "nll", "mean_p", "entropy"):
            if values := getattr(variant.training, field):
                pairs.append((f"{at}.training.{field}", variant.training.steps, values))
    known = {name: found for name, found in histograms.items() if found is not None}
    for name, found in known.items():
        pairs.append((f"probabilities of {name}", found.edges[1:], found.counts))
        if found.edges != next(iter(known.values())).edges:
            raise DataError(
                f"the experiment's results: probabilities of {name}: other edges than the first"
            )
    for place, wanted, given in pairs:
        if len(wanted) != len(given):
            raise DataError(
                f"the experiment's results: {place}: {len(given)} values where there must be "
                f"{len(wanted)}"
            )
