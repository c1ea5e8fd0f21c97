"""The frozen records that cross a module boundary. No torch here: scoring must not load it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Status = Literal["correct", "wrong", "no_answer", "unscored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRef:
    """One image, not opened yet: a file on disk, or its encoded bytes (PNG, JPEG, ...)."""

    path: Path | None = None
    data: bytes | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.data is None):
            raise ValueError("an ImageRef has either a path or data")

    @property
    def label(self) -> str:
        """What error messages call this image."""
        return str(self.path) if self.path is not None else "<embedded image>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation: text and images in reading order."""

    role: Role
    parts: tuple[str | ImageRef, ...]

    @property
    def text(self) -> str:
        """The turn's text alone, its images left out."""
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One item of a training set or a benchmark.

    `turns` is the conversation; in training data it ends with the assistant's demonstration, in
    benchmarks with the user's question. `answer` is the gold that verdicts are given against.
    """

    id: str
    turns: tuple[Turn, ...]
    answer: str | None = None
    choices: tuple[str, ...] = ()
    category: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """All images in reading order."""
        return tuple(p for turn in self.turns for p in turn.parts if isinstance(p, ImageRef))

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The turns before the last assistant turn: what the model is shown in evaluation."""
        if self.turns and self.turns[-1].role == "assistant":
            return self.turns[:-1]
        return self.turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One example as the model takes it.

    `ids` are token ids with every image placeholder already expanded to its full run; `mask[t]`
    says whether token t is trained on; `segments[t]` which part of a reply it then belongs to, as
    a code of `mmdft.data.segments.SEGMENTS`, and is 0 where it is not trained on; `images` are the
    processor's tensors (`pixel_values` of shape (patches, patch_dim), `image_grid_thw` of shape
    (num_images, 3) for the Qwen families), or what arrives as such when a data loader's worker
    sends it (`mmdft.data.patches`). `reference_logp` has, for each trained token in order,
    the log-probability that the model gave it before training, for the objectives that need it.
    `shared` leading tokens, none of them trained on, and all images are those of the example before
    it in its packed row, and are computed there (`mmdft.data.prefixes`).
    """

    id: str
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    segments: tuple[int, ...]
    image_tokens: tuple[bool, ...]
    images: Mapping[str, Any]
    reference_logp: tuple[float, ...] | None = None
    shared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One answer that is wanted: to which item, and which of its samples.

    `seed`, below 2^31, decides the sample, together with nothing but the model, the item and the
    decoding. `benchmark` is the label of the benchmark that the item is of, and `max_new_tokens`
    that benchmark's own limit of the reply; None is the decoding's.
    """

    example: Example
    sample: int = 0
    seed: int = 0
    benchmark: str = ""
    max_new_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A request that no answer came to, and why: it is counted, and not scored as wrong."""

    id: str
    reason: str
    sample: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model answered to one item. `sample` numbers repeated answers to the same item."""

    id: str
    response: str
    sample: int = 0
    num_tokens: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The answer found in a response (None: there is none), and the stage that found it."""

    answer: str | None
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of one prediction under one rule set.

    `wrong`, `no_answer` and `unscored` are three things: a committed answer that is not the gold;
    no answer found in the response; an answer that could not be judged (no gold, a comparison
    past its limits). `detail` says why, where the status alone does not.
    """

    id: str
    rules: str
    status: Status
    extraction: Extraction
    gold: str | None
    sample: int = 0
    detail: str = ""
