"""Figures on disk: one JSONL in the native format, with its PNGs beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from PIL.Image import Image

from mmdft.data.figures.chart_families import CHART_FAMILIES
from mmdft.data.figures.families import BASIC_FAMILIES, FAMILIES
from mmdft.data.figures.figure import Figure
from mmdft.data.figures.generate import check_family, check_size, check_split, draw
from mmdft.data.figures.geometry_families import GEOMETRY_FAMILIES
from mmdft.data.figures.noise import wrong_answer, wrong_step
from mmdft.data.figures.options import options_for
from mmdft.data.figures.space_families import COORDINATE_FAMILIES, SOLID_FAMILIES
from mmdft.errors import DataError
from mmdft.files import write_bytes, write_jsonl

NOISE_KINDS = ("mismatch", "wrong_step", "wrong_answer")

GROUPS = {
    "basic": tuple(BASIC_FAMILIES),
    "geometry": tuple(GEOMETRY_FAMILIES),
    "coordinates": tuple(COORDINATE_FAMILIES),
    "solids": tuple(SOLID_FAMILIES),
    "charts": tuple(CHART_FAMILIES),
}
"""Families that can be asked for together."""

_TRIES = 1000


def write_figures(
    out: Path,
    *,
    num: int,
    split: str,
    seed: int = 0,
    families: Sequence[str] | None = None,
    size: int = 112,
    noise: float = 0.0,
    noise_kind: str = "mismatch",
    choices: float = 0.0,
) -> Path:
    """Write `num` figures of a split, families taking turns, and return the JSONL's path.

    `out/<split>.jsonl` holds one row a figure; the PNGs lie under `out/images/<split>/`. The
    JSONL is replaced last and at once, and a PNG's name carries a hash of its content, so a
    failure on the way leaves an older set complete. PNGs of older sets are not removed. A family
    with few distinct numbers repeats them, in other colours, when many are asked for.

    Args:
        out: the folder to write to; it is made if missing.
        num: how many figures, in all families together.
        split: "train", "validation", "test" or "ood".
        seed: names the set.
        families: which families, in turn, or the names of GROUPS; all of them if None.
        size: the side of the pictures in pixels, from 56 to 1024; no less than a family needs.
        noise: the share of rows, chosen at random, whose demonstration is wrong on purpose. They
            have `"noisy": true` in their `meta`. For training data; what is scored against should
            have none.
        noise_kind: how they are wrong. mismatch: reasoning and answer are those of another figure
            of the family. wrong_step: one result of the reasoning is altered, and what follows is
            computed from it. wrong_answer: the reasoning is right, the answer is not. Of the last
            two, `meta` has `noise_kind`, and `gold`, the right answer; a chain in which no step
            can be altered gets a wrong answer, and `noise_kind` says so.
        choices: the share of rows with an open question, chosen at random, that get four options.

    Raises:
        DataError: an argument is wrong, or the folder cannot be written.
    """
    check_split(split)
    check_size(size)
    names = [
        name
        for asked in (FAMILIES if families is None else families)
        for name in GROUPS.get(asked, (asked,))
    ]
    for name in names:
        check_family(name)
    if not names:
        raise DataError("no figure family asked for; name at least one, or leave families out")
    if len(set(names)) < len(names):
        raise DataError(f"a figure family is named twice in: {', '.join(names)}")
    if not 0 <= noise < 1:
        raise DataError(f"noise must be from 0 to below 1, got {noise}")
    if noise_kind not in NOISE_KINDS:
        raise DataError(f"noise kind must be one of {', '.join(NOISE_KINDS)}, got {noise_kind!r}")
    if not 0 <= choices <= 1:
        raise DataError(f"choices must be from 0 to 1, got {choices}")
    if num < 1:
        raise DataError(f"num must be 1 or more, got {num}")
    path = out / f"{split}.jsonl"
    try:
        rows = [
            _write_row(
                out,
                family=names[i % len(names)],
                index=i // len(names),
                split=split,
                seed=seed,
                size=size,
                noise=noise,
                noise_kind=noise_kind,
                choices=choices,
            )
            for i in range(num)
        ]
        write_jsonl(path, rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def _write_row(
    out: Path,
    *,
    family: str,
    index: int,
    split: str,
    seed: int,
    size: int,
    noise: float,
    noise_kind: str,
    choices: float,
) -> dict[str, Any]:
    figure = draw(family, seed=seed, index=index, split=split, size=size)
    name = f"{family}:{split}:{seed}:{index}"
    noisy = Random(f"noise:{name}").random() < noise
    reasoning, answer, kind = figure.reasoning, figure.answer, noise_kind
    if noisy and kind == "mismatch":
        other = _other(figure, seed=seed, index=index, split=split)
        reasoning, answer = other.reasoning, other.answer
    elif noisy:
        reasoning, answer, kind = _wrong(figure, kind, Random(f"{noise_kind}:{name}"))
    rng = Random(f"choices:{name}")
    options = figure.choices
    if not options and rng.random() < choices:
        options = options_for(figure.answer, figure.reasoning, answer, rng)
    png = encode_png(figure.image)
    digest = blake2b(png, digest_size=6).hexdigest()
    image = f"images/{split}/{family}-{digest}.png"
    target = out / image
    if not (target.is_file() and target.read_bytes() == png):
        write_bytes(target, png)
    row: dict[str, Any] = {
        "id": f"{family}-{split}-{seed}-{index}",
        "images": [image],
        "question": figure.question,
        "reasoning": reasoning,
        "answer": answer,
    }
    if options:
        row["choices"] = list(options)
    row["category"] = family
    row["meta"] = {"split": split, "seed": seed, "params": figure.params}
    if noisy:
        row["meta"]["noisy"] = True
    if noisy and noise_kind != "mismatch":
        row["meta"] |= {"noise_kind": kind, "gold": figure.answer}
    return row


def _wrong(figure: Figure, kind: str, rng: Random) -> tuple[str, str, str]:
    """Wrong reasoning and answer, and in which way they are wrong."""
    if kind == "wrong_step":
        found = wrong_step(figure.reasoning, figure.answer, rng)
        if found is not None and (not figure.choices or found[1] in figure.choices):
            return *found, kind
    return *wrong_answer(figure.reasoning, figure.answer, figure.choices, rng), "wrong_answer"


def _other(figure: Figure, *, seed: int, index: int, split: str) -> Figure:
    """Another figure of the family whose answer differs and would be possible here."""
    # Far beyond the indices of any set, so that no row is told of another row's figure.
    first = 10**9 + index * _TRIES
    for other_index in range(first, first + _TRIES):
        other = draw(figure.family, seed=seed, index=other_index, split=split)
        possible = not figure.choices or other.answer in figure.choices
        if possible and other.answer != figure.answer:
            return other
    raise DataError(f"family {figure.family!r} has no other answer in {_TRIES} draws")


def encode_png(image: Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
