"""Figures on disk: one JSONL in the native format, with its PNGs beside it."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from hashlib import blake2b
from pathlib import Path

from PIL.Image import Image

from mmdft.data.figures.demonstrations import NOISE_KINDS, Place, demonstration
from mmdft.data.figures.families import FAMILIES, GROUPS
from mmdft.data.figures.figure import Params
from mmdft.data.figures.generate import (
    check_family,
    check_size,
    check_split,
    check_style,
    picture,
    shifts_of,
)
from mmdft.errors import DataError
from mmdft.files import write_bytes, write_jsonl


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
    style: str = "plain",
    shift: Collection[str] | None = None,
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
        families: which families, in turn, or the names of GROUPS; all of them if None, but for
            the exercises.
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
        style: the words of the demonstrations: "plain", or "wordy", the same steps with the same
            numbers in other words and another order. All else in a row is the same; a wrong
            demonstration is made wrong before it is told.
        shift: which of "values", "wording" and "look" are other than usual; `meta` has them if some
            are given. None is all three in split "ood", and none in the others, of which "values"
            are never shifted. Of "ood" without "values", the figures are those of split "test" of
            the same seed, and so share no content with "train".

    Raises:
        DataError: an argument is wrong, or the folder cannot be written.
    """
    check_split(split)
    check_size(size)
    check_style(style)
    shifts_of(split, shift)  # refuses now what it would refuse at the first figure
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
        rows = []
        for i in range(num):
            family, index = names[i % len(names)], i // len(names)
            place = Place(family=family, split=split, seed=seed, index=index, shift=shift)
            row = demonstration(
                place, noise=noise, noise_kind=noise_kind, choices=choices, style=style
            )
            image = _write_picture(out, family, row["meta"]["params"], split, size)
            rows.append({"id": row["id"], "images": [image], **row})
        write_jsonl(path, rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def _write_picture(out: Path, family: str, params: Params, split: str, size: int) -> str:
    return store_png(out, f"images/{split}", family, encode_png(picture(family, params, size)))


def store_png(out: Path, folder: str, name: str, png: bytes) -> str:
    """Write a PNG below `out` under a name with a hash, unless it is there; return its path."""
    digest = blake2b(png, digest_size=6).hexdigest()
    image = f"{folder}/{name}-{digest}.png"
    target = out / image
    if not (target.is_file() and target.read_bytes() == png):
        write_bytes(target, png)
    return image


def encode_png(image: Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
