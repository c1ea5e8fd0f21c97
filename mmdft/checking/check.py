"""`mmdft check`: what a training would do with its data, as plain records.

Each row is looked at once (`survey`): its images are decoded whole, its tokens counted. What an
epoch is made of is asked of `load_data` itself, packs of `PackedDataset`; so duplicates, leaks,
splits and repeats are those of the training. Streamed data is not compared, as in training.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from mmdft.checking.memory import Batch, Memory, estimate
from mmdft.checking.preflight import Preflight, preflight
from mmdft.checking.steps import all_steps, batches, epoch_steps, padding
from mmdft.checking.survey import Survey, key_of, survey_sources, survey_streamed
from mmdft.config import RunConfig
from mmdft.data.dataset import LoadedRow, RenderedDataset
from mmdft.data.packing import PackedDataset
from mmdft.data.prefixes import shared_prefixes
from mmdft.data.quarantine import BadRow, most_bad
from mmdft.data.segments import SEGMENTS
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import ImageBudget, PixelBudget, pixel_budget
from mmdft.errors import ConfigError, DataError, ModelError
from mmdft.files import write_json, write_jsonl
from mmdft.model import load_model_config, load_processor
from mmdft.probing import loaded_probe, streamed_probe
from mmdft.provenance import check_run_folder
from mmdft.training_data import TrainingData, load_data

# Of duplicates and leaks, so many are shown.
_SHOWN = 5
_BINS = 10

# What differs between two reasons of one kind: quoted text, paths and file names, numbers.
_QUOTED = re.compile(r"b?'[^']*'|b?\"[^\"]*\"")
_PATHS = re.compile(r"\S*/\S*[^\s:;,)]|[^\s(]+\.[A-Za-z]\w{1,4}(?=[\s:;,)]|$)")
_NUMBERS = re.compile(r"\d[\d.,]*\d|\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCount:
    """A source's rows; `formats` says how many were read by which."""

    path: str
    rows: int
    usable: int
    formats: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Rows that are set aside for reasons of one kind; what differs in them is left out of it."""

    kind: str
    count: int
    first: str
    """file:row (id), and that row's own reason"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Smallest, median, upper percentiles and largest; percentiles between two are interpolated."""

    min: float
    median: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The images of usable rows; one that several rows have counts for each."""

    count: int
    pixels: Spread | None
    width: Spread | None
    height: Spread | None
    shrunk: int | None
    """those the pixel budget makes smaller; None for a model without a pixel budget"""
    enlarged: int | None
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of the usable rows, after any cut; and how many rows are too long."""

    spread: Spread | None
    edges: list[int]
    counts: list[int]
    """rows by length, from one edge to below the next"""
    too_long: int
    """set aside, because they are over data.max_length"""
    longest: int | None
    """the longest of all rows, those included"""
    cut: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens of an epoch; `trained` by segment."""

    total: int
    image: int
    answer: int
    trained: dict[str, int]
    padding: float
    """share of all positions that padding would be, at the configured batch size"""
    shared: int
    """those of all that stand in the prefix of another example, and are computed with that"""
    packs: int | None
    """rows that the epoch packs into, at data.max_length; None with streaming"""
    fill: float | None
    """share of those packs' room that is used"""
    packing: bool
    """whether the configuration packs"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Rows that are in two places; of the first few, both."""

    count: int
    first: list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a training would do.

    Tokens a step and in total are those computed, a shared prefix once; means over whole epochs.
    """

    examples: int
    """an epoch, those that cannot be decoded included"""
    rows: int
    """what batches are made of: examples, or packs of them"""
    undecodable: int
    """examples of an epoch that a training would set aside when their turn comes"""
    ranks: int
    rows_per_step: int
    steps_per_epoch: int
    steps: int
    epochs: float
    tokens_per_step: float
    answer_tokens_per_step: float
    tokens: int
    answer_tokens: int
    validation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """All that was found."""

    sources: list[SourceCount]
    set_aside: list[Reason]
    quarantine: list[BadRow]
    images: Images
    lengths: Lengths
    tokens: Tokens
    duplicates: Pairs
    deduplicate: bool
    leaks: Pairs | None
    """example and benchmark item; None if not looked for"""
    all_leaks: list[dict[str, Any]]
    run: Run
    memory: Memory
    preflight: Preflight | None
    stops: list[str]
    """why a training would refuse this, or stop"""
    notes: list[str]

    @property
    def summary(self) -> dict[str, Any]:
        """The same for machines, less what `write` puts into files of their own."""
        found = asdict(self)
        del found["quarantine"], found["all_leaks"]
        return {"would_start": not self.stops, **found}


def check(config: RunConfig, *, ranks: int = 1, with_model: bool = False, num: int = 64) -> Check:
    """Look at all the data of a training, and say what a run would do with it.

    Args:
        config: from `load_config`.
        ranks: processes that the training would have, for the steps.
        with_model: load the model, for the probabilities it gives the answer tokens.
        num: on so many examples.

    Raises:
        ConfigError: the configuration has no training data.
        DataError: a source cannot be read at all.
        ModelError: the processor, the model or its configuration cannot be loaded.
    """
    if not config.data.train:
        raise ConfigError("data.train is empty; name at least one training file")
    processor = load_processor(config.model)
    budget = pixel_budget(processor, config.data.min_pixels, config.data.max_pixels)
    streamed = None
    if config.data.streaming:
        streamed = StreamedDataset(config.data.train, config.data, processor, budget)
        survey = survey_streamed(streamed)
    else:
        survey = survey_sources(config.data.train, config.data, processor, budget)
    data, refusals = _data(config, processor, budget)
    loaded = [] if data is None or streamed is not None else _rows(data)
    places = _places(survey, loaded)
    num_examples = len(loaded) if streamed is None else len(streamed)
    rows, packs = num_examples, None
    told: list[str] = []
    refused: list[str] = []
    if streamed is None:
        # Packs are made before an image is decoded, and then lose the rows that cannot be.
        made, told, refused = _packed(config, loaded)
        rows = len(made) if config.data.packing else rows
        usable = [row for row in loaded if key_of(row) in survey.place_of]
        packs = made if len(usable) == len(loaded) else _packed(config, usable)[0]
    tokens = _tokens(config, survey, places, packs)
    run = _run(config, ranks, num_examples, rows, len(places), tokens, data)
    memory = estimate(config, _longest(config, survey, places, packs), ranks)
    if survey.width and not isinstance(budget, PixelBudget):
        unknown = "activations of the vision tower: not estimated for this family"
        memory = replace(memory, notes=[*memory.notes, unknown])
    stops = [
        *_stops_of_bad_rows(config, survey),
        *_refusals(config, survey, refusals),
        *refused,
        *_other_stops(config, run, memory),
    ]
    found = None
    if with_model and places:
        sample = (
            loaded_probe(loaded, num, processor, budget)
            if streamed is None
            else streamed_probe(streamed, num)
        )
        found = preflight(config, RenderedDataset(sample, processor, budget))
    known = {(row.source, row.row) for row in survey.bad}
    others = [] if data is None else data.bad
    quarantine = [
        *survey.bad,
        *(row for row in others if (row.source, row.row) not in known),
    ]
    leaks = None if data is None or data.leaks is None else data.leaks
    return Check(
        sources=[
            SourceCount(
                path=str(source.path),
                rows=survey.num_rows[which],
                usable=survey.num_usable[which],
                formats=dict(survey.formats.get(which, {})),
            )
            for which, source in enumerate(config.data.train)
        ],
        set_aside=reasons(quarantine),
        quarantine=quarantine,
        images=_images(survey, isinstance(budget, PixelBudget)),
        lengths=_lengths(survey),
        tokens=tokens,
        duplicates=Pairs(
            count=len(survey.duplicates),
            first=[
                (survey.where(place), survey.where(first))
                for place, first in list(survey.duplicates.items())[:_SHOWN]
            ],
        ),
        deduplicate=config.data.deduplicate,
        leaks=None
        if leaks is None
        else Pairs(
            count=len({leak.place for leak in leaks}),
            first=[(leak.id, f"{leak.benchmark}:{leak.item}") for leak in leaks[:_SHOWN]],
        ),
        all_leaks=[asdict(leak) for leak in leaks or []],
        run=run,
        memory=memory,
        preflight=found,
        stops=stops,
        # Which formats were recognised stands with the sources.
        notes=[
            note for note in (*(data.notes if data else ()), *told) if " rows read as " not in note
        ],
    )


def write(found: Check, out: Path) -> None:
    """Write check.json, quarantine.jsonl and, if looked for, leaks.jsonl into a folder."""
    write_json(out / "check.json", found.summary)
    write_jsonl(out / "quarantine.jsonl", (asdict(row) for row in found.quarantine))
    if found.leaks is not None:
        write_jsonl(out / "leaks.jsonl", found.all_leaks)


def reasons(rows: Iterable[BadRow]) -> list[Reason]:
    """The rows by the kind of their reasons, the most frequent first."""
    first: dict[str, BadRow] = {}
    counts: Counter[str] = Counter()
    for row in rows:
        kind = kind_of(row.reason)
        first.setdefault(kind, row)
        counts[kind] += 1
    return [
        Reason(kind=kind, count=count, first=str(first[kind]))
        for kind, count in counts.most_common()
    ]


def kind_of(reason: str) -> str:
    """A reason without the names and numbers in it.

    `"'a.png': 812 tokens, more than 512"` gives `"…: N tokens, more than N"`.
    """
    for pattern, stand_in in ((_QUOTED, "…"), (_PATHS, "…"), (_NUMBERS, "N")):
        reason = pattern.sub(stand_in, reason)
    return reason


def spread(values: Sequence[int]) -> Spread | None:
    """Of the values; None if there are none."""
    if not len(values):
        return None
    found = np.percentile(np.asarray(values), [0, 50, 95, 99, 100]).tolist()
    return Spread(**dict(zip(("min", "median", "p95", "p99", "max"), found, strict=True)))


def _data(
    config: RunConfig, processor: Any, budget: ImageBudget
) -> tuple[TrainingData | None, list[tuple[str, str]]]:
    """What a training draws from, and each reason why it would refuse with what overcame it.

    What it refuses is asked for again with one demand less at a time; None if nothing helps.
    """
    leak = "warn" if config.data.on_leak == "raise" else config.data.on_leak
    no_validation: dict[str, Any] = {"validation": [], "validation_fraction": 0.0}
    demands: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("", {"probe_examples": 0}, {}),
        ("bad", {"on_bad_row": "quarantine", "max_bad_fraction": 1.0}, {}),
        ("leaks", {"on_leak": leak}, {}),
        ("segments", {}, {"segments": {}}),
        ("validation", no_validation, {}),
    ]
    refusals: list[tuple[str, str]] = []
    pending: str | None = None
    for cure, change, objective in demands:
        config = config.model_copy(
            update={
                "data": config.data.model_copy(update=change),
                "objective": config.objective.model_copy(update=objective),
            }
        )
        try:
            data = load_data(config, processor, budget)
        except (DataError, ConfigError) as error:
            if pending is not None and pending != str(error):
                refusals.append((cure, pending))
            pending = str(error)
            continue
        return data, refusals if pending is None else [*refusals, (cure, pending)]
    return None, [*refusals, ("", str(pending))]


def _rows(data: TrainingData) -> Sequence[LoadedRow]:
    assert isinstance(data.rows, RenderedDataset)
    return data.rows.rows


def _places(survey: Survey, rows: Sequence[LoadedRow]) -> Sequence[int]:
    """The places in the survey of an epoch's rows, less those that cannot be decoded."""
    if survey.epoch is not None:
        return survey.epoch
    found = (survey.place_of.get(key_of(row)) for row in rows)
    return [place for place in found if place is not None]


def _packed(
    config: RunConfig, rows: Sequence[LoadedRow]
) -> tuple[PackedDataset, list[str], list[str]]:
    """Packs of the rows, as configured or not; notes, and why a training would refuse to share."""
    chains, notes, refused = None, [], []
    if config.data.packing:
        known = load_model_config(config.model)
        try:
            chains, note = shared_prefixes(rows, config.data, known)
            notes = [note] if note is not None else []
        except ModelError as error:
            refused = [str(error)]
    lengths = [row.length for row in rows]
    # Of the dataset only the number of its rows plays a part.
    dataset = cast(Any, rows)
    made = PackedDataset(dataset, lengths, config.data.max_length, _seed(config), chains)
    return made, notes, refused


def _seed(config: RunConfig) -> int:
    seed = (config.training.model_extra or {}).get("data_seed")
    return config.training.seed if seed is None else seed


def _images(survey: Survey, has_budget: bool) -> Images:
    areas = [w * h for w, h in zip(survey.width, survey.height, strict=True)]
    return Images(
        count=len(survey.width),
        pixels=spread(areas),
        width=spread(survey.width),
        height=spread(survey.height),
        shrunk=survey.num_shrunk if has_budget else None,
        enlarged=survey.num_enlarged if has_budget else None,
        tokens=sum(survey.image_tokens),
    )


def _lengths(survey: Survey) -> Lengths:
    found = spread(survey.length)
    edges: list[int] = []
    counts: list[int] = []
    if found is not None:
        low, high = int(found.min), int(found.max) + 1
        step = -(-(high - low) // _BINS)
        edges = [low + step * index for index in range(_BINS + 1)]
        counts = np.histogram(survey.length, edges)[0].tolist()
    return Lengths(
        spread=found,
        edges=edges,
        counts=counts,
        too_long=len(survey.too_long),
        longest=max([*survey.too_long, *survey.length], default=None),
        cut=survey.num_cut,
    )


def _tokens(
    config: RunConfig,
    survey: Survey,
    places: Sequence[int],
    packs: PackedDataset | None,
) -> Tokens:
    where = np.asarray(places, dtype=np.int64)
    total = int(np.asarray(survey.length)[where].sum())
    trained = {
        name: int(np.asarray(column)[where].sum())
        for name, column in zip(SEGMENTS, survey.segments, strict=True)
    }
    lengths = [survey.length[place] for place in places]
    return Tokens(
        total=total,
        image=int(np.asarray(survey.image_tokens)[where].sum()),
        answer=sum(trained.values()),
        trained=trained,
        padding=padding(lengths, config.training.per_device_train_batch_size, _seed(config)),
        shared=0 if packs is None else total - sum(packs.sizes),
        packs=None if packs is None else len(packs),
        fill=sum(packs.sizes) / (len(packs) * config.data.max_length) if packs else None,
        packing=config.data.packing,
    )


def _run(
    config: RunConfig,
    ranks: int,
    num_examples: int,
    rows: int,
    usable: int,
    tokens: Tokens,
    data: TrainingData | None,
) -> Run:
    training = config.training
    size, accumulation = training.per_device_train_batch_size, training.gradient_accumulation_steps
    drop_last = bool((training.model_extra or {}).get("dataloader_drop_last"))
    num = batches(rows, size, ranks, drop_last)
    each = epoch_steps(num, accumulation) if num else 0
    steps = all_steps(each, training.num_train_epochs, training.max_steps) if num else 0
    epochs = steps / each if each else 0.0
    computed = tokens.total - tokens.shared
    return Run(
        examples=num_examples,
        rows=rows,
        undecodable=num_examples - usable,
        ranks=ranks,
        rows_per_step=size * accumulation * ranks,
        steps_per_epoch=each,
        steps=steps,
        epochs=epochs,
        tokens_per_step=computed / each if each else 0.0,
        answer_tokens_per_step=tokens.answer / each if each else 0.0,
        tokens=round(computed * epochs),
        answer_tokens=round(tokens.answer * epochs),
        validation=0 if data is None or data.held_out is None else len(data.held_out),
    )


def _longest(
    config: RunConfig,
    survey: Survey,
    places: Sequence[int],
    packs: PackedDataset | None,
) -> Batch:
    """The largest batch that an epoch can have: as if its largest rows came together."""
    size = config.training.per_device_train_batch_size
    where = np.asarray(places, dtype=np.int64)
    answers = np.sum([np.asarray(column)[where] for column in survey.segments], axis=0)
    lengths, pixels = np.asarray(survey.length)[where], np.asarray(survey.pixels)[where]
    if config.data.packing and packs:
        shown = np.where(packs.shared, 0, pixels)
        lengths = np.asarray(packs.sizes)
        answers, pixels = (
            np.asarray([sum(column[index] for index in pack) for pack in packs.packs])
            for column in (answers, shown)
        )
    length, answer, area = (
        [int(value) for value in np.sort(column)[::-1][:size]]
        for column in (lengths, answers, pixels)
    )
    if config.data.packing:
        return Batch(rows=1, length=sum(length), answers=sum(answer), pixels=sum(area))
    rows = max(len(length), 1)
    return Batch(rows=rows, length=max(length, default=0), answers=sum(answer), pixels=sum(area))


def _too_many_bad(config: RunConfig, survey: Survey) -> bool:
    bad, total = len(survey.bad), survey.num_rows.total()
    raises = bad > 0 and config.data.on_bad_row == "raise"
    return raises or bad > most_bad(total, config.data.max_bad_fraction) or bad == total


def _stops_of_bad_rows(config: RunConfig, survey: Survey) -> list[str]:
    if not _too_many_bad(config, survey):
        return []
    bad, total = len(survey.bad), survey.num_rows.total()
    if not total:
        return []  # then `load_data` says so
    first = f"the first: {survey.bad[0]}"
    if config.data.on_bad_row == "raise":
        return [f"data.on_bad_row=raise, and {bad:,} of {total:,} rows are bad; {first}"]
    more = f"more than data.max_bad_fraction={config.data.max_bad_fraction:g}"
    return [f"{bad:,} of {total:,} rows are bad, {'all' if bad == total else more}; {first}"]


def _refusals(config: RunConfig, survey: Survey, refusals: Sequence[tuple[str, str]]) -> list[str]:
    """Those that are not of bad rows, which are told with the ones that only decoding finds."""
    told = {"bad"} if _too_many_bad(config, survey) else set()
    if survey.bad and not survey.length:
        told.add("")
    return [text for cure, text in refusals if cure not in told]


def _other_stops(config: RunConfig, run: Run, memory: Memory) -> list[str]:
    stops = []
    drops = (config.training.model_extra or {}).get("dataloader_drop_last")
    size = config.training.per_device_train_batch_size
    if drops and 0 < run.rows < size * run.ranks:
        stops.append(
            f"{run.rows} rows give no whole batch, so no step is made; lower "
            "training.per_device_train_batch_size or leave out dataloader_drop_last"
        )
    try:
        check_run_folder(config.training.output_dir, config)
    except ConfigError as error:
        stops.append(str(error))
    return stops if memory.stop is None else [*stops, memory.stop]
