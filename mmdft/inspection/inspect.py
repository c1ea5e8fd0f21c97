"""`mmdft inspect`: what is trained on, token by token, as plain records.

`page` shows them as a page one can look at, `text` in the terminal. What is shown
is what training takes: the examples come from `load_data`, their tokens from `render`, their packs
from `PackedDataset`.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig

from mmdft.config import ModelConfig, RunConfig
from mmdft.data.collate import collate_training
from mmdft.data.dataset import BadRow, RenderedDataset
from mmdft.data.images import open_image
from mmdft.data.packing import PACKED_FAMILIES, PackedDataset, Positions, packed_positions
from mmdft.data.render import KEPT_TOKENS
from mmdft.data.segments import SEGMENTS
from mmdft.data.sources import parse_row, read_rows, row_id, to_example
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import PixelBudget, fit, own_budget, pixel_budget
from mmdft.errors import ConfigError, DataError, ModelError
from mmdft.head import answer_logp
from mmdft.model import ADAPTER_FILE, load_model, load_processor
from mmdft.records import Example, ImageRef, Rendered
from mmdft.training_data import TrainingData, load_data

ROLES = ("system", "prompt", "image", *SEGMENTS)
"""What a token is: of the system turn, another that is not trained on, of an image, or trained, by
its segment."""

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
    """An image as the model gets it, in PNG; sizes are (width, height) in pixels."""

    label: str
    original: tuple[int, int]
    resized: tuple[int, int]
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
    budget: PixelBudget
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
    """An example that is to be shown, with where it comes from."""

    number: int
    example: Example
    source: str
    row: int
    pack: int | None = None


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
    dataset = RenderedDataset([each.example for each in chosen], processor, budget)
    shown = [
        Shown(
            number=each.number,
            id=each.example.id,
            source=each.source,
            row=each.row,
            pack=each.pack,
            is_cut=KEPT_TOKENS in each.example.meta,
            pictures=tuple(
                _picture(ref, own_budget(each.example, budget)) for ref in each.example.images
            ),
            runs=tuple(token_runs(rendered, processor.tokenizer, positions, probabilities)),
        )
        for each, rendered in zip(chosen, dataset, strict=True)
    ]
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
    opens = tokenizer.convert_tokens_to_ids("<|im_start|>")
    turns = [*(place for place, token in enumerate(ids) if token == opens), len(ids)]
    system: set[int] = set()
    for start, end in pairwise(turns):
        name = tokenizer.decode(list(ids[start + 1 : min(start + 9, end)]))
        if name.partition("\n")[0] == "system":
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


def _picture(ref: ImageRef, budget: PixelBudget) -> Picture:
    image: Image.Image = open_image(ref)
    resized = fit(image, budget)
    stream = io.BytesIO()
    resized.save(stream, "PNG")
    return Picture(
        label=ref.path.name if ref.path is not None else ref.label,
        original=image.size,
        resized=resized.size,
        tokens=budget.num_tokens(*image.size),
        png=stream.getvalue(),
    )


def _data(
    config: RunConfig, processor: Any, budget: PixelBudget
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
    numbers: list[tuple[int, int | None]] = [(index, None) for index in _evenly(num, len(rows))]
    if config.data.packing:
        seed = (config.training.model_extra or {}).get("data_seed")
        seed = config.training.seed if seed is None else seed
        packs = PackedDataset(rows, lengths, config.data.max_length, seed).packs
        wanted = _evenly(max(1, round(num * len(packs) / len(rows))), len(packs))
        numbers = [(index, pack + 1) for pack in wanted for index in packs[pack]]
        sizes = {pack + 1: sum(lengths[index] for index in packs[pack]) for pack in wanted}
        found = replace(found, num_packs=len(packs), pack_lengths=sizes)
    origins = _origins(config, [rows.examples[index] for index, _ in numbers])
    return found, [
        _Chosen(index + 1, rows.examples[index], *origin, pack)
        for (index, pack), origin in zip(numbers, origins, strict=True)
    ]


def _streamed(config: RunConfig, num: int, data: TrainingData) -> tuple[Inspection, list[_Chosen]]:
    """The same of evenly spaced rows alone; what their tokens add up to is not known yet."""
    assert isinstance(data.rows, StreamedDataset)
    rows = data.rows
    chosen, bad = [], []
    places = _evenly(num, len(rows))
    for place in places:
        row, example = rows[place], rows.example(place)
        if isinstance(row, BadRow):
            bad.append(row)
        elif isinstance(example, Example):
            _, origin, _ = rows.row(place)
            chosen.append(_Chosen(place + 1, example, str(origin.file), origin.row))
    if not chosen:
        raise DataError(
            f"all {len(places)} rows looked at are bad; the first: "
            f"{bad[0].source}:{bad[0].row} (id {bad[0].id}): {bad[0].reason}"
        )
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


def _evenly(num: int, length: int) -> list[int]:
    """`num` of the numbers below `length`, evenly spaced; all of them if there are fewer."""
    num = min(num, length)
    return [index * length // num for index in range(num)]


def _origins(config: RunConfig, examples: Sequence[Example]) -> list[tuple[str, int]]:
    """File and row of each example, of several rows that are alike the first.

    Rows are read again for it, because what `load_examples` returns does not tell: a row may have
    been repeated, and those before it left out.
    """
    found: dict[int, tuple[str, int]] = {}
    wanted: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        wanted.setdefault(example.id, []).append(place)
    for source in config.data.train:
        # Which rows the limit takes is not asked: one that it does not take may be alike.
        for origin, content in read_rows(source.model_copy(update={"limit": None})):
            if len(found) == len(examples):
                break
            try:
                row = parse_row(content)
                if row_id(row, origin) not in wanted:
                    continue
                example = to_example(row, origin, source.format)
            except DataError:
                continue  # a bad row is listed among the quarantined
            for place in wanted[example.id]:
                known = examples[place]
                same = (known.turns, known.answer) == (example.turns, example.answer)
                if place not in found and same:
                    found[place] = (str(origin.file), origin.row)
    return [found[place] for place in range(len(examples))]


def _positions(model: ModelConfig) -> Positions | None:
    """How the model numbers tokens, from its configuration alone; None if that is not known."""
    name, revision = model.name, model.revision
    if (Path(name) / ADAPTER_FILE).is_file():
        from peft import PeftConfig

        name, revision = PeftConfig.from_pretrained(name).base_model_name_or_path, None
    try:
        config = AutoConfig.from_pretrained(
            name, revision=revision or "main", trust_remote_code=model.trust_remote_code
        )
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelError(f"model.name {name!r}: no configuration to be read: {reason}") from error
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
