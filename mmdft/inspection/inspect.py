"""`mmdft inspect`: what is trained on, token by token, as plain records.

`page` shows them as a page one can look at, `text` in the terminal. What is shown
is what training takes: the examples come from `load_data`, their tokens from `render`, their packs
from `PackedDataset`.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any

import torch
from PIL import Image

from mmdft.config import ModelConfig, RunConfig
from mmdft.data.collate import collate_training
from mmdft.data.dataset import LoadedRow, RenderedDataset
from mmdft.data.images import open_image
from mmdft.data.outline import special_tokens
from mmdft.data.packing import PACKED_FAMILIES, PackedDataset, Positions, packed_positions
from mmdft.data.prefixes import shared_prefixes
from mmdft.data.quarantine import BadRow
from mmdft.data.render import KEPT_TOKENS
from mmdft.data.segments import SEGMENTS
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import (
    ImageBudget,
    PixelBudget,
    fit,
    num_image_tokens,
    own_budget,
    pixel_budget,
)
from mmdft.errors import ConfigError, DataError
from mmdft.head import answer_logp
from mmdft.model import load_model, load_model_config, load_processor
from mmdft.probing import spread
from mmdft.records import Example, Rendered
from mmdft.training_data import TrainingData, load_data

ROLES = ("system", "prompt", "image", *SEGMENTS)
"""What a token is: of the system turn, another that is not trained on, of an image, or trained, by
its segment."""

# What turns that name their role start behind. Gemma has no system turn: there its text is part of
# the first user turn.
_BEFORE_TURNS = ("<|im_start|>", "<|begin_of_text|>", "<end_of_utterance>")
_SYSTEM = re.compile(r"system\n|\n?System:")

# A character is at most four bytes, so that at most as many tokens make one.
_MOST_PIECES = 4

Probabilities = Callable[[Rendered], list[float]]
"""The probability of each trained token of an example, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token as shown.

    `text` is what it adds to the text: of a character that several tokens make, the first has it
    and the others have none. `rotary` is its (temporal, height, width) position, None for a family
    whose numbering is not known; `p` its probability, None off the mask and without a model.
    """

    id: int
    text: str
    position: int
    rotary: tuple[int, int, int] | None
    p: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring tokens of one of ROLES; an image's whole run is one, its tokens without text."""

    role: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image as the model gets it, in PNG; sizes are (width, height) in pixels.

    `resized` is None, and the image as it was, where the model's own processor cuts it into tiles.
    """

    label: str
    original: tuple[int, int]
    resized: tuple[int, int] | None
    tokens: int
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One training example as shown. `number` counts from 1 over the data, `pack` over the packs.

    `row` is its place in the file `source`.
    """

    number: int
    id: str
    source: str
    row: int
    pack: int | None
    shared: int
    """its leading tokens that are those of the example before it in its pack, and not repeated"""
    is_cut: bool
    """whether the end of its reply is cut off (`data.truncate`)"""
    pictures: tuple[Picture, ...]
    runs: tuple[Run, ...]

    @property
    def tokens(self) -> Counter[str]:
        """Its tokens by role."""
        return Counter(run.role for run in self.runs for _ in run.tokens)

    @property
    def length(self) -> int:
        """All of its tokens."""
        return sum(len(run.tokens) for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A training's data as shown.

    The counts are of all data; with `data.streaming`, of the rows looked at alone.
    """

    config: RunConfig
    budget: ImageBudget
    num_examples: int
    num_tokens: int
    segments: dict[str, int]
    """trained tokens by segment"""
    bad: list[BadRow]
    """rows that were set aside"""
    notes: list[str]
    """what else a user should know, a line each"""
    stop: str | None = None
    """why a training refuses this data, if it does"""
    streamed: tuple[int, int] | None = None
    """with `data.streaming`, the rows looked at and the rows there are"""
    num_packs: int | None = None
    pack_lengths: dict[int, int] = field(default_factory=dict)
    """tokens of each pack shown, by its number"""
    rotary: bool = False
    """whether the family's rotary positions are known"""
    weighed: bool = False
    """whether the tokens have the model's probabilities"""
    shown: list[Shown] = field(default_factory=list)

    @property
    def summary(self) -> dict[str, Any]:
        """The counts, for machines."""
        counts: dict[str, Any] = {
            "examples": self.num_examples,
            "tokens": self.num_tokens,
            "trained": dict(self.segments),
            "quarantined": len(self.bad),
            "shown": len(self.shown),
        }
        if self.num_packs is not None:
            counts["packs"] = self.num_packs
        if self.streamed is not None:
            counts["rows_looked_at"], counts["rows"] = self.streamed
        return counts


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A row that is to be shown."""

    number: int
    row: LoadedRow
    pack: int | None = None
    shared: int = 0


def inspect(config: RunConfig, num: int, *, with_model: bool = False) -> Inspection:
    """Look at `num` training examples of a configuration, evenly spaced over the data.

    With `data.packing` whole packs are taken, evenly spaced too, that together have about `num`
    examples. Rows that cannot be used are listed, however many they are.

    Args:
        config: from `load_config`.
        num: how many examples.
        with_model: load the model that the configuration names, for the tokens' probabilities. As
            in `mmdft probe`, `model.lora` and `model.freeze` play no part.

    Raises:
        ConfigError: the configuration has no training data.
        DataError: no row can be used.
        ModelError: the processor, the model or its configuration cannot be loaded.
    """
    if not config.data.train:
        raise ConfigError("data.train is empty; name at least one training file")
    processor = load_processor(config.model)
    budget = pixel_budget(processor, config.data.min_pixels, config.data.max_pixels)
    positions = _positions(config.model)
    data, stop = _data(config, processor, budget)
    look = _streamed if config.data.streaming else _loaded
    found, chosen = look(config, num, data)
    probabilities = _probabilities(config, processor.tokenizer.pad_token_id) if with_model else None
    dataset = RenderedDataset([each.row for each in chosen], processor, budget)
    shown = []
    for each, rendered in zip(chosen, dataset, strict=True):
        if isinstance(rendered, BadRow):
            found.bad.append(rendered)
            continue
        example = each.row.example
        shown.append(
            Shown(
                number=each.number,
                id=example.id,
                source=each.row.source,
                row=each.row.row,
                pack=each.pack,
                shared=each.shared,
                is_cut=KEPT_TOKENS in example.meta,
                pictures=tuple(_pictures(example, processor, budget)),
                runs=tuple(token_runs(rendered, processor.tokenizer, positions, probabilities)),
            )
        )
    if not shown:
        raise DataError(f"none of the {len(chosen)} rows looked at can be used: {found.bad[-1]}")
    if config.data.streaming:
        counts = sum((example.tokens for example in shown), Counter[str]())
        found = replace(
            found,
            num_examples=len(shown),
            num_tokens=counts.total(),
            segments={name: counts[name] for name in SEGMENTS},
        )
    return replace(
        found,
        stop=stop or found.stop,
        rotary=positions is not None,
        weighed=with_model,
        shown=shown,
    )


def token_runs(
    rendered: Rendered,
    tokenizer: Any,
    positions: Positions | None = None,
    probabilities: Probabilities | None = None,
) -> Iterator[Run]:
    """The tokens of an example, neighbours of one role (and of one image) together.

    Args:
        rendered: the example.
        tokenizer: the model's.
        positions: of `packed_positions`; None leaves the rotary positions out.
        probabilities: None leaves the probabilities out.
    """
    where: list[list[int]] = positions(rendered).T.tolist() if positions else []
    given = iter(probabilities(rendered) if probabilities else ())
    roles = _roles(rendered, tokenizer)
    texts = _texts(rendered, tokenizer)
    image = 0
    keys = []
    for place, role in enumerate(roles):
        # A run of placeholders ends with its image, though the next one's may follow at once.
        image += role == "image" and (place == 0 or roles[place - 1] != "image")
        keys.append((role, image if role == "image" else 0))
    for (role, _), places in groupby(range(len(roles)), key=keys.__getitem__):
        yield Run(
            role=role,
            tokens=tuple(
                Token(
                    id=rendered.ids[place],
                    text=texts[place],
                    position=place,
                    rotary=(where[place][0], where[place][1], where[place][2]) if where else None,
                    p=next(given, None) if rendered.mask[place] else None,
                )
                for place in places
            ),
        )


def _roles(rendered: Rendered, tokenizer: Any) -> list[str]:
    """One of ROLES for each token."""
    ids = rendered.ids
    # Only the template writes special tokens: in content they are ordinary text.
    specials = special_tokens(tokenizer)
    opens = {specials[token] for token in _BEFORE_TURNS if token in specials}
    turns = [*(place for place, token in enumerate(ids) if token in opens), len(ids)]
    system: set[int] = set()
    for start, end in pairwise(turns):
        name = tokenizer.decode(list(ids[start + 1 : min(start + 9, end)]))
        if _SYSTEM.match(name):
            system.update(range(start, end))
    return [
        "image"
        if rendered.image_tokens[place]
        else SEGMENTS[rendered.segments[place]]
        if rendered.mask[place]
        else "system"
        if place in system
        else "prompt"
        for place in range(len(ids))
    ]


def _texts(rendered: Rendered, tokenizer: Any) -> list[str]:
    """What each token adds to the text; an image's add none."""

    def decode(start: int, end: int) -> str:
        ids = list(rendered.ids[start:end])
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    length = len(rendered.ids)
    texts = [""] * length
    place = 0
    while place < length:
        end = place + 1
        if not rendered.image_tokens[place]:
            for last in range(end, min(place + _MOST_PIECES, length) + 1):
                if "\N{REPLACEMENT CHARACTER}" not in decode(place, last):
                    end = last
                    break
            texts[place] = decode(place, end)
        place = end
    return texts


def _pictures(example: Example, processor: Any, budget: ImageBudget) -> Iterator[Picture]:
    own = own_budget(example, budget)
    images: list[Image.Image] = [open_image(ref) for ref in example.images]
    numbers = num_image_tokens([image.size for image in images], processor, own)
    for ref, image, tokens in zip(example.images, images, numbers, strict=True):
        resized = fit(image, own)
        stream = io.BytesIO()
        resized.save(stream, "PNG")
        yield Picture(
            label=ref.path.name if ref.path is not None else ref.label,
            original=image.size,
            resized=resized.size if isinstance(own, PixelBudget) else None,
            tokens=tokens,
            png=stream.getvalue(),
        )


def _data(
    config: RunConfig, processor: Any, budget: ImageBudget
) -> tuple[TrainingData, str | None]:
    """What a training draws from; if it refuses that, the same with all bad rows, and why."""

    def load(**changes: Any) -> TrainingData:
        data = config.data.model_copy(update={"validation": [], **changes})
        return load_data(config.model_copy(update={"data": data}), processor, budget)

    try:
        return load(), None
    except DataError as error:
        return load(on_bad_row="quarantine", max_bad_fraction=1.0), str(error)


def _loaded(config: RunConfig, num: int, data: TrainingData) -> tuple[Inspection, list[_Chosen]]:
    """The counts of all data, and which examples of it are shown."""
    assert isinstance(data.rows, RenderedDataset) and data.lengths and data.segments is not None
    rows, lengths = data.rows, data.lengths
    found = Inspection(
        config=config,
        budget=rows.budget,
        num_examples=len(rows),
        num_tokens=sum(lengths),
        segments=dict(data.segments),
        bad=data.bad,
        notes=data.notes,
    )
    if config.data.packing:
        seed = (config.training.model_extra or {}).get("data_seed")
        seed = config.training.seed if seed is None else seed
        chains, sharing = shared_prefixes(rows.rows, config.data, load_model_config(config.model))
        packed = PackedDataset(rows, lengths, config.data.max_length, seed, chains)
        packs = packed.packs
        wanted = spread(range(len(packs)), max(1, round(num * len(packs) / len(rows))))
        found = replace(
            found,
            num_packs=len(packs),
            pack_lengths={pack + 1: packed.sizes[pack] for pack in wanted},
            notes=found.notes + ([] if sharing is None else [sharing]),
        )
        return found, [
            _Chosen(index + 1, rows.rows[index], pack + 1, packed.shared[index])
            for pack in wanted
            for index in packs[pack]
        ]
    return found, [_Chosen(index + 1, rows.rows[index]) for index in spread(range(len(rows)), num)]


def _streamed(config: RunConfig, num: int, data: TrainingData) -> tuple[Inspection, list[_Chosen]]:
    """The same of evenly spaced rows alone; what their tokens add up to is not known yet."""
    assert isinstance(data.rows, StreamedDataset)
    rows = data.rows
    chosen, bad = [], []
    places = spread(range(len(rows)), num)
    for place in places:
        row = rows.loaded(place)
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            chosen.append(_Chosen(place + 1, row))
    if not chosen:
        raise DataError(f"all {len(places)} rows looked at are bad; the first: {bad[0]}")
    stop = None
    if bad and config.data.on_bad_row == "raise":
        stop = "data.on_bad_row=raise, and there are bad rows"
    elif len(bad) > config.data.max_bad_fraction * len(rows):
        stop = f"bad rows are more than data.max_bad_fraction={config.data.max_bad_fraction}"
    found = Inspection(
        config=config,
        budget=rows.budget,
        num_examples=0,
        num_tokens=0,
        segments={},
        bad=bad,
        notes=data.notes,
        streamed=(len(places), len(rows)),
        stop=stop,
    )
    return found, chosen


def _positions(model: ModelConfig) -> Positions | None:
    """How the model numbers tokens, from its configuration alone; None if that is not known."""
    config = load_model_config(model)
    if config.model_type not in PACKED_FAMILIES:
        return None
    # The kernel has no say in the positions.
    config._attn_implementation = "eager"
    return packed_positions(config)


def _probabilities(config: RunConfig, pad_id: int) -> Probabilities:
    """Load the model; what gives an example's probabilities, in the precision of the training."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = config.model.model_copy(update={"lora": None, "freeze": []})
    model: Any = load_model(settings).to(device).eval()
    half = bool((config.training.model_extra or {}).get("fp16"))

    def measure(example: Rendered) -> list[float]:
        batch = collate_training([example], pad_id)
        inputs = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(
            device.type,
            dtype=torch.float16 if half else torch.bfloat16,
            enabled=half or config.training.bf16,
        ):
            found = answer_logp(
                model, model.get_output_embeddings(), inputs, config.objective.chunk_mb
            )
        return found.logp.exp().tolist()

    return measure
