"""From (family, seed, index, split) to a figure, and to which split a figure belongs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from hashlib import blake2b
from random import Random

from PIL.Image import Image

from mmdft.data.figures.canvas import Canvas
from mmdft.data.figures.families import ALL_FAMILIES
from mmdft.data.figures.figure import SHIFTS, SPLITS, STYLES, Family, Figure, Params, Problem
from mmdft.data.figures.looks import styled, worn
from mmdft.data.figures.questions import OOD_QUESTIONS, QUESTIONS
from mmdft.data.figures.wordy import TELLINGS
from mmdft.errors import DataError

MIN_SIZE, MAX_SIZE = 56, 1024
# Of ten buckets of content, which belong to which split.
BUCKETS = {0: "validation", 1: "test"}
NUM_BUCKETS = 10
MAX_DRAWS = 10_000


def draw(
    family: str,
    *,
    seed: int,
    index: int,
    split: str = "train",
    size: int = 112,
    style: str = "plain",
    shift: Collection[str] | None = None,
) -> Figure:
    """Draw one figure; the same arguments give the same figure, byte for byte.

    Every (seed, family, split, index) has a random stream of its own. `size` changes the
    resolution only: the figure shown is the same. Labels are made for 112 pixels and more;
    below that their digits blur.

    Args:
        family: a key of `ALL_FAMILIES`.
        seed: names a set of figures.
        index: numbers the figures of a set, from 0.
        split: "train", "validation" and "test" never share a figure; "ood" has other ranges,
            questions and looks, listed in `mmdft.data.figures.families`.
        size: the side of the picture in pixels, from 56 to 1024; at least the family's `min_size`.
        style: the words of the reasoning, "plain" or "wordy"; nothing else depends on it.
        shift: which of `SHIFTS` are other than usual; None is all of them in split "ood" and none
            in the others. Of "ood" without "values" the content is that of split "test", index by
            index; "values" are shifted in "ood" alone.

    Raises:
        DataError: an argument is not one of these; the message names the mend.
    """
    check_size(size)
    check_style(style)
    problem = pose(family, seed=seed, index=index, split=split, shift=shift)
    return Figure(
        image=picture(family, problem.params, size),
        question=problem.question,
        reasoning=TELLINGS[style](problem.solution),
        answer=problem.solution.answer,
        choices=problem.solution.choices,
        family=family,
        params=problem.params,
    )


def picture(family: str, params: Params, size: int) -> Image:
    """The picture of a family with these parameters, `size` pixels a side or the family's least."""
    style, look = STYLES[params["style"]], params.get("look")
    size = max(size, ALL_FAMILIES[family].min_size)
    canvas = Canvas(size, styled(style, look), look["turn"]) if look else Canvas(size, style)
    ALL_FAMILIES[family].paint(canvas, params)
    image = canvas.finish()
    return worn(image, look) if look else image


def pose(
    family: str,
    *,
    seed: int,
    index: int,
    split: str = "train",
    shift: Collection[str] | None = None,
) -> Problem:
    """A figure without its picture, which takes nearly all of the time; arguments as of `draw`.

    Raises:
        DataError: an argument is not one of those; the message names the mend.
    """
    check_family(family)
    check_split(split)
    shifted = shifts_of(split, shift)
    if index < 0:
        raise DataError(f"index must be 0 or more, got {index}")
    entry = ALL_FAMILIES[family]
    content = "test" if split == "ood" and "values" not in shifted else split
    name = f"{seed}/{family}/{content}/{index}".encode()
    rng = Random(int.from_bytes(blake2b(name, digest_size=16).digest(), "big"))
    params = {
        "style": "shifted" if "look" in shifted else "plain",
        **_sample(entry, rng, content),
    }
    questions = (OOD_QUESTIONS if "wording" in shifted else QUESTIONS)[family]
    question = rng.choice(questions).format(**params)
    return Problem(params=params, question=question, solution=entry.solve(params))


def content_split(key: Iterable[str], params: Params) -> str:
    """To which of train, validation and test a figure with these parameters belongs."""
    content = json.dumps({name: params[name] for name in key}, sort_keys=True)
    digest = blake2b(content.encode(), digest_size=8).digest()
    return BUCKETS.get(int.from_bytes(digest, "big") % NUM_BUCKETS, "train")


def _sample(entry: Family, rng: Random, split: str) -> Params:
    if split == "ood":
        return entry.sample(rng, entry.ood_ranges)
    for _ in range(MAX_DRAWS):
        params = entry.sample(rng, entry.ranges)
        if content_split(entry.key, params) == split:
            return params
    raise RuntimeError(f"no content for {split} in {MAX_DRAWS} draws; widen the family's ranges")


def check_family(family: str) -> None:
    """Raise DataError unless `family` is one of `ALL_FAMILIES`."""
    if family not in ALL_FAMILIES:
        raise DataError(f"unknown figure family '{family}'; {_nearest(family, ALL_FAMILIES)}")


def check_split(split: str) -> None:
    """Raise DataError unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise DataError(f"unknown split '{split}'; {_nearest(split, SPLITS)}")


def check_style(style: str) -> None:
    """Raise DataError unless chains can be told in this style."""
    if style not in TELLINGS:
        raise DataError(f"unknown style '{style}'; {_nearest(style, TELLINGS)}")


def shifts_of(split: str, shift: Collection[str] | None) -> Collection[str]:
    """What is other than usual: `shift`, or what is so in the split if it is None.

    Raises:
        DataError: `shift` names nothing, something else than `SHIFTS`, or the values of a split
            that is not "ood".
    """
    if shift is None:
        return SHIFTS if split == "ood" else ()
    for name in shift:
        if name not in SHIFTS:
            raise DataError(f"unknown shift '{name}'; {_nearest(name, SHIFTS)}")
    if not shift:
        raise DataError("shift names nothing; leave it out, or name one of " + ", ".join(SHIFTS))
    if "values" in shift and split != "ood":
        raise DataError(f"values are shifted in split ood alone, and split is {split}")
    return shift


def check_size(size: int) -> None:
    """Raise DataError unless pictures can be drawn at `size`."""
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"size must be from {MIN_SIZE} to {MAX_SIZE} pixels, got {size}")


def _nearest(name: str, names: Iterable[str]) -> str:
    names = list(names)
    close = get_close_matches(name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"
