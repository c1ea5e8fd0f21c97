"""What a training draws its batches from: examples loaded beforehand, or rows streamed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from PIL import Image

from mmdft.config import RunConfig
from mmdft.data.collate import collate_training
from mmdft.data.dataset import LoadedRow, RenderedDataset, load_examples
from mmdft.data.leaks import Leak, leaks
from mmdft.data.outline import opened_reasoning
from mmdft.data.packing import Positions, collate_packed
from mmdft.data.quarantine import BadRow, Quarantine, most_bad
from mmdft.data.render import render
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import ImageBudget
from mmdft.errors import ConfigError, DataError
from mmdft.evals.benchmarks import benchmark_named
from mmdft.files import write_jsonl
from mmdft.probing import loaded_probe, streamed_probe
from mmdft.provenance import file_fingerprint, fingerprint
from mmdft.records import Example, ImageRef, Rendered, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """The training rows, and what is known of them before the first step."""

    rows: RenderedDataset | StreamedDataset
    lengths: list[int] | None
    """tokens of each example; None if they are streamed"""
    segments: Mapping[str, int] | None
    """trained tokens by the part of the reply they belong to; None if they are streamed"""
    held_out: RenderedDataset | None
    bad: list[BadRow]
    """rows that were set aside, so far"""
    num_rows: int
    """different rows that were read, or will be"""
    num_bad: int
    """those of them that are known to be bad"""
    probe: list[LoadedRow]
    """what the token probabilities are measured on"""
    fingerprint: Mapping[str, str | int]
    notes: list[str]
    """what else a user should know, a line each"""
    leaks: list[Leak] | None
    """training examples that are items of the configured benchmarks too; None if not looked for"""


def load_data(config: RunConfig, processor: Any, budget: ImageBudget) -> TrainingData:
    """Read the data of a run; bad rows are set aside by `data.on_bad_row`.

    Raises:
        DataError: the data cannot be used, or leaks with `data.on_leak: raise`.
        ConfigError: a part of the reply has a weight of its own and is not in the data.
    """
    held_out, bad = None, []
    asked = config.evaluation.benchmarks
    notes: list[str] = []
    if config.data.validation and _validates(config):
        validation = load_examples(config.data.validation, config.data, processor, budget)
        held_out = RenderedDataset(validation.rows, processor, budget)
        bad = validation.bad
        notes += [f"validation: {note}" for note in validation.notes]
    if config.data.streaming:
        rows = StreamedDataset(config.data.train, config.data, processor, budget)
        return TrainingData(
            rows=rows,
            lengths=None,
            segments=None,
            held_out=held_out,
            bad=bad,
            num_rows=rows.num_different,
            num_bad=0,
            probe=streamed_probe(rows, config.data.probe_examples),
            fingerprint=file_fingerprint(source.path for source in rows.sources),
            notes=notes + ["streamed rows are not compared with the benchmarks"] * bool(asked),
            leaks=None,
        )
    found: list[Leak] = []
    loaded = load_examples(
        config.data.train,
        config.data,
        processor,
        budget,
        leave_out=partial(_leaking, config=config, found=found, notes=notes) if asked else None,
    )
    if asked:
        notes.append(_told(found, config))
    if loaded.held_out:
        held_out = RenderedDataset(loaded.held_out, processor, budget)
    for name in config.objective.segments:
        if not loaded.segments[name]:
            raise ConfigError(
                f"objective.segments.{name}: no token of the training data is of this part; "
                "leave it out, or give the rows an answer or a reply form that tells it apart"
            )
    return TrainingData(
        rows=RenderedDataset(loaded.rows, processor, budget),
        lengths=loaded.lengths,
        segments=loaded.segments,
        held_out=held_out,
        bad=[*loaded.bad, *bad],
        num_rows=loaded.num_rows,
        num_bad=loaded.num_bad,
        probe=loaded_probe(loaded.rows, config.data.probe_examples, processor, budget),
        fingerprint=fingerprint(loaded.examples),
        notes=[*loaded.notes, *notes],
        leaks=found if asked else None,
    )


def _leaking(
    examples: Sequence[Example], config: RunConfig, found: list[Leak], notes: list[str]
) -> dict[int, str]:
    """Find the examples that are items of the benchmarks; those to leave out, with the reason."""
    benchmarks = {}
    for chosen in config.evaluation.benchmarks:
        name = chosen.label or chosen.name
        try:
            benchmark = benchmark_named(chosen.name)
            benchmarks[name] = benchmark.load(chosen.path, chosen.limit, split=chosen.split)
        except DataError as error:
            if config.data.on_leak != "warn":
                raise
            notes.append(f"leaks into {name} were not looked for: {error}")
    found += leaks(examples, benchmarks)
    if found and config.data.on_leak == "raise":
        raise DataError(
            f"{_told(found, config)}; leave them out with data.on_leak: drop, or look at them with "
            "data.on_leak: warn"
        )
    if config.data.on_leak == "warn":
        return {}
    # Reversed, so that of an example's leaks the first is told.
    return {leak.place: f"leak: {_described(leak)}" for leak in reversed(found)}


def _told(found: Sequence[Leak], config: RunConfig) -> str:
    names = ", ".join(chosen.label or chosen.name for chosen in config.evaluation.benchmarks)
    if not found:
        return f"no training example was found in the benchmarks ({names})"
    num = len({leak.place for leak in found})
    what = "set aside" if config.data.on_leak == "drop" else "trained on"
    where = "" if config.data.on_leak == "raise" else f", {what}"
    return (
        f"leaks: {num:,} training examples are in the benchmarks ({names}) too{where}; "
        f"the first: {found[0].id} {_described(found[0])}"
    )


def _described(leak: Leak) -> str:
    kind = {
        "image": "has the image of",
        "similar image": "has an image like that of",
        "question": "has the question of",
    }[leak.kind]
    return f"{kind} {leak.benchmark} item {leak.item}"


def _validates(config: RunConfig) -> bool:
    arguments = config.training.arguments()
    return config.training.eval_strategy != "no" or bool(arguments.get("eval_on_start"))


def quarantine(run_dir: Path, config: RunConfig, data: TrainingData, rank: int) -> Quarantine:
    """Write down the rows that were set aside; what is called with those that are met later."""
    if not rank and data.leaks is not None:
        write_jsonl(run_dir / "leaks.jsonl", (asdict(leak) for leak in data.leaks))
    path = run_dir / ("quarantine.jsonl" if not rank else f"quarantine-{rank}.jsonl")
    if not rank:
        path.touch()
    return Quarantine(
        path,
        # Sooner or later every rank meets every row.
        allowed=most_bad(data.num_rows, config.data.max_bad_fraction),
        raises=config.data.on_bad_row == "raise",
        counted=data.num_bad,
        before=data.bad if not rank else (),
    )


def num_quarantined(met: Quarantine) -> int:
    """Rows that were set aside, before and in training, by any rank; all ranks come here."""
    return len(set(gather_object(sorted(met.known))))


def training_batch(
    rows: Sequence[Rendered | BadRow | list[Rendered | BadRow]],
    pad_id: int,
    positions: Positions | None = None,
    blank: Rendered | None = None,
) -> dict[str, Any]:
    """A batch with its examples' ids, which errors then name, and its bad rows.

    Given the `positions` of `packed_positions`, examples and packs are put behind one another in a
    single row; otherwise examples are padded. Given a `blank_image`, a batch without an image gets
    it as one more example, of which nothing is trained on.
    """
    given = [row if isinstance(row, list) else [row] for row in rows]
    bad = [each for pack in given for each in pack if isinstance(each, BadRow)]
    whole = ([each for each in pack if isinstance(each, Rendered)] for pack in given)
    packs = [pack for pack in whole if pack]
    if not packs:
        packs = [[blank or _nothing(pad_id)]]
    elif blank is not None and not any(each.images for pack in packs for each in pack):
        packs.append([blank])
    examples = [example for pack in packs for example in pack]
    batch: dict[str, Any] = (
        collate_training(examples, pad_id)
        if positions is None
        else collate_packed(packs, positions)
    )
    batch["example_ids"] = [example.id for example in examples]
    if bad:
        batch["bad_rows"] = bad
    return batch


def blank_image(processor: Any, budget: ImageBudget) -> Rendered:
    """A white picture as an example of which nothing is trained on."""
    stream = io.BytesIO()
    Image.new("RGB", (56, 56), "white").save(stream, "PNG")
    user = Turn(role="user", parts=(ImageRef(data=stream.getvalue()),))
    # Thinking models' templates show no reply without it.
    reply = "<think>.</think>." if opened_reasoning(processor) else "."
    example = Example(id="blank", turns=(user, Turn(role="assistant", parts=(reply,))))
    rendered = render(example, processor, budget)
    none = len(rendered.ids)
    return replace(rendered, mask=(False,) * none, segments=(0,) * none, reference_logp=())


def _nothing(pad_id: int) -> Rendered:
    """What stands for a batch of which no row can be used: a token that is not trained on."""
    return Rendered(
        id="none",
        ids=(pad_id,),
        mask=(False,),
        segments=(0,),
        image_tokens=(False,),
        images={},
        reference_logp=(),
    )
