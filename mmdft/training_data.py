"""What a training draws its batches from: examples loaded beforehand, or rows streamed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.config import RunConfig
from mmdft.data.collate import collate_training
from mmdft.data.dataset import BadRow, RenderedDataset, load_examples, write_quarantine
from mmdft.data.images import PixelBudget
from mmdft.data.packing import Positions, collate_packed
from mmdft.data.streaming import Quarantine, StreamedDataset
from mmdft.errors import ConfigError
from mmdft.probing import spread
from mmdft.provenance import file_fingerprint, fingerprint
from mmdft.records import Example, Rendered


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
    probe: list[Example]
    """what the token probabilities are measured on"""
    fingerprint: Mapping[str, str | int]


def load_data(config: RunConfig, processor: Any, budget: PixelBudget) -> TrainingData:
    """Read the data of a run; bad rows are set aside by `data.on_bad_row`.

    Raises:
        DataError: the data cannot be used.
        ConfigError: a part of the reply has a weight of its own and is not in the data.
    """
    held_out, bad = None, []
    if config.data.validation:
        validation = load_examples(config.data.validation, config.data, processor, budget)
        held_out = RenderedDataset(validation.examples, processor, budget)
        bad = validation.bad
    if config.data.streaming:
        rows = StreamedDataset(config.data.train, config.data, processor, budget)
        num = min(config.data.probe_examples, len(rows))
        probe = [rows.example(index * len(rows) // num) for index in range(num)]
        return TrainingData(
            rows=rows,
            lengths=None,
            segments=None,
            held_out=held_out,
            bad=bad,
            probe=[example for example in probe if isinstance(example, Example)],
            fingerprint=file_fingerprint(source.path for source in config.data.train),
        )
    loaded = load_examples(config.data.train, config.data, processor, budget)
    for name in config.objective.segments:
        if not loaded.segments[name]:
            raise ConfigError(
                f"objective.segments.{name}: no token of the training data is of this part; "
                "leave it out, or give the rows an answer or a reply form that tells it apart"
            )
    return TrainingData(
        rows=RenderedDataset(loaded.examples, processor, budget),
        lengths=loaded.lengths,
        segments=loaded.segments,
        held_out=held_out,
        bad=[*loaded.bad, *bad],
        probe=spread(loaded.examples, config.data.probe_examples),
        fingerprint=fingerprint(loaded.examples),
    )


def quarantine(run_dir: Path, config: RunConfig, data: TrainingData, rank: int, ranks: int) -> Any:
    """Write down the rows that were set aside; what is called with those that are met later."""
    if not config.data.streaming:
        if not rank:
            write_quarantine(run_dir / "quarantine.jsonl", data.bad)
        return None
    path = run_dir / ("quarantine.jsonl" if not rank else f"quarantine-{rank}.jsonl")
    allowed = math.ceil(config.data.max_bad_fraction * len(data.rows) / ranks)
    found = Quarantine(path, allowed, raises=config.data.on_bad_row == "raise")
    if not rank:
        found(data.bad)
    return found


def training_batch(
    rows: Sequence[Rendered | list[Rendered] | BadRow],
    pad_id: int,
    positions: Positions | None = None,
) -> dict[str, Any]:
    """A batch with its examples' ids, which errors then name, and its bad rows.

    Given the `positions` of `packed_positions`, examples and packs are put behind one another in a
    single row; otherwise examples are padded.
    """
    bad = [row for row in rows if isinstance(row, BadRow)]
    packs = [
        row if isinstance(row, list) else [row] for row in rows if not isinstance(row, BadRow)
    ] or [[_nothing(pad_id)]]
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


def _nothing(pad_id: int) -> Rendered:
    """What stands for a batch of which no row can be used: a token that is not trained on."""
    return Rendered(
        id="none", ids=(pad_id,), mask=(False,), segments=(0,), image_tokens=(False,), images={}
    )
