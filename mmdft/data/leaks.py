"""Whether training examples are also items of the benchmarks that a model will be asked.

An example leaks an item in one of three ways, the surest first:

1. `image`: an image of the same bytes.
2. `similar image`: a picture that looks the same, saved or scaled anew. A 64-bit difference hash
   (Dhash: which of 9x8 grey fields is brighter than its left neighbour) finds pairs at most 4 bits
   apart. Small drawn figures collide in it by the hundred, so three more things are asked: the
   correlation of the two pictures at 32x32 grey is at least 0.98, both pictures are not blank, and
   the hashes are equal or most of the question's words are the same.
3. `question`: the example's question, of 20 characters or more without marks and case, stands in
   the item's prompt. "What is the area of the triangle?" says nothing of the item, its picture
   does. So where both have images the question must have 60 characters, and a wording that goes
   with several images, in the training data or in the benchmark, does not count.

What is not found: pictures that are cropped, turned, recoloured or drawn anew, and questions that
are reworded or whose training prompt has instructions around them. Two figures of one kind that
differ in a thin line or a digit can be reported as similar. No hash replaces a look at the rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, product
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmdft.data.images import open_image
from mmdft.data.mixtures import image_digests, question_of
from mmdft.errors import DataError
from mmdft.records import Example, ImageRef

MAX_DISTANCE = 4
"""bits in which the hashes of similar images differ at most"""
MIN_CORRELATION = 0.98
"""of the grey values of similar images at 32x32"""
MIN_QUESTION = 20
"""characters of a question that is compared"""
MIN_PICTURED_QUESTION = 60
"""the same, where both have images and those differ"""
SIMILAR_WORDS = 0.8
"""share of the words of the shorter of two similar questions that the other one has"""

Kind = Literal["image", "similar image", "question"]

_SIDE = 32
# A blank picture is like any other: its grey values have a smaller standard deviation than this.
_BLANK = 2.0
# Rows of the training data whose distances to all items are in memory at once.
_CHUNK = 256
# Questions are looked up by their first words.
_OPENING = 4
_MARKS = re.compile(r"<image\d*>")
# Numbers, words (in Chinese and Japanese each sign), and what tells 2 + 3 from 2 - 3.
_SIGN = "\u3040-\u30ff\u3400-\u9fff"
_WORDS = re.compile(
    rf"\d+(?:[.,]\d+)*|[{_SIGN}]|[^\W\d_{_SIGN}]+|[+*/^=<>%]|(?<![^\W\d_])[-\u2212](?=\s*\d|\w)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A training example that is an item of a benchmark too."""

    place: int
    """of the example among those compared, from 0"""
    id: str
    """the example's"""
    benchmark: str
    item: str
    """the item's id; the first, of several that are equally close"""
    kind: Kind
    distance: int | None = None
    """of a similar image: bits in which the hashes differ"""


_Picture: TypeAlias = tuple[int, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Pictures:
    """Different pictures, by the digest of their bytes; blank ones are left out."""

    digests: list[str]
    hashes: NDArray[np.uint64]  # (n,)
    greys: NDArray[np.float32]  # (n, 32 * 32), each of mean 0 and length 1


def leaks(examples: Sequence[Example], benchmarks: Mapping[str, Sequence[Example]]) -> list[Leak]:
    """The examples that are items of a benchmark too: for each and each benchmark the surest sign.

    Images are opened only if both sides have some; of an example with an image that cannot be
    decoded, which training sets aside, only that image's bytes are compared.

    Args:
        examples: the training examples.
        benchmarks: the items of each benchmark by its name.

    Raises:
        DataError: an item's image cannot be decoded.
    """
    compared = {name: items for name, items in benchmarks.items() if _any_images(examples, items)}
    digests = image_digests(
        [*examples, *chain.from_iterable(compared.values())] if compared else []
    )
    own = _pictures(examples, digests, _decodable) if compared else None
    questions = [words_of(question_of(example)) for example in examples]
    result = []
    for name, items in benchmarks.items():
        asked = [words_of(question_of(item)) for item in items]
        found: dict[int, tuple[int, Kind, int | None]] = {}
        if name in compared and own is not None:
            for place, item in _same_images(examples, items, digests):
                found.setdefault(place, (item, "image", None))
            near = _near_images(own, _pictures(items, digests))
            for distance, place, item in _owners(near, examples, items, digests):
                if not distance or _similar(questions[place], asked[item]):
                    found.setdefault(place, (item, "similar image", distance))
        for place, item in _same_questions(examples, questions, items, asked, digests):
            found.setdefault(place, (item, "question", None))
        result += [
            Leak(
                place=place,
                id=examples[place].id,
                benchmark=name,
                item=items[item].id,
                kind=kind,
                distance=distance,
            )
            for place, (item, kind, distance) in found.items()
        ]
    return sorted(result, key=lambda leak: leak.place)


def words_of(text: str) -> tuple[str, ...]:
    """A question's words, numbers and signs of calculation, without case and punctuation."""
    return tuple(_WORDS.findall(_MARKS.sub(" ", text).casefold()))


def difference_hash(grey: Image.Image) -> int:
    """64 bits: whether each of the 9x8 fields of a grey image is brighter than the one before."""
    fields = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(fields[:, 1:] > fields[:, :-1]).tobytes())


def _any_images(*sides: Sequence[Example]) -> bool:
    return all(any(example.images for example in side) for side in sides)


def _pictures(
    examples: Iterable[Example],
    digests: Mapping[ImageRef, str],
    look: Callable[[ImageRef], _Picture | None] | None = None,
) -> _Pictures:
    refs = {digests[ref]: ref for example in examples for ref in example.images}
    with ThreadPoolExecutor() as pool:
        seen = zip(refs, pool.map(look or _picture, refs.values()), strict=True)
        kept = [(digest, *picture) for digest, picture in seen if picture is not None]
    return _Pictures(
        digests=[digest for digest, _, _ in kept],
        hashes=np.array([code for _, code, _ in kept], dtype=np.uint64),
        greys=np.array([grey for _, _, grey in kept], dtype=np.float32).reshape(-1, _SIDE**2),
    )


def _decodable(ref: ImageRef) -> _Picture | None:
    """The same; also None if the image cannot be decoded."""
    try:
        return _picture(ref)
    except DataError:
        return None


def _picture(ref: ImageRef) -> _Picture | None:
    """An image's hash and its grey values, (32 * 32,); None if it is blank."""
    grey = open_image(ref).convert("L")
    values = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32)
    values = values.ravel() - values.mean()
    if values.std() < _BLANK:
        return None
    return difference_hash(grey), values / np.linalg.norm(values)


def _same_images(
    examples: Sequence[Example], items: Sequence[Example], digests: Mapping[ImageRef, str]
) -> Iterator[tuple[int, int]]:
    """Places of examples and items with an image of the same bytes."""
    first: dict[str, int] = {}
    for item, one in enumerate(items):
        for ref in one.images:
            first.setdefault(digests[ref], item)
    for place, example in enumerate(examples):
        yield from ((place, first[digests[r]]) for r in example.images if digests[r] in first)


def _near_images(own: _Pictures, other: _Pictures) -> list[tuple[int, str, str]]:
    """Pairs of pictures that look the same, the closest first: (distance, own, other digest)."""
    found = []
    for start in range(0, len(own.digests), _CHUNK):
        part = own.hashes[start : start + _CHUNK]
        distances = np.bitwise_count(part[:, None] ^ other.hashes[None, :])
        for row, column in np.argwhere(distances <= MAX_DISTANCE):
            if own.greys[start + row] @ other.greys[column] >= MIN_CORRELATION:
                pair = own.digests[start + row], other.digests[column]
                found.append((int(distances[row, column]), *pair))
    return sorted(found)


def _owners(
    near: Iterable[tuple[int, str, str]],
    examples: Sequence[Example],
    items: Sequence[Example],
    digests: Mapping[ImageRef, str],
) -> Iterator[tuple[int, int, int]]:
    """The examples and items that have the pictures of each pair: (distance, place, item)."""
    places, asked = _by_image(examples, digests), _by_image(items, digests)
    for distance, own, other in near:
        yield from ((distance, *pair) for pair in product(places[own], asked[other]))


def _by_image(examples: Sequence[Example], digests: Mapping[ImageRef, str]) -> dict[str, list[int]]:
    found = defaultdict(list)
    for place, example in enumerate(examples):
        for ref in example.images:
            found[digests[ref]].append(place)
    return found


def _similar(one: Sequence[str], other: Sequence[str]) -> bool:
    first, second = set(one), set(other)
    smaller = min(len(first), len(second))
    return smaller > 0 and len(first & second) >= SIMILAR_WORDS * smaller


def _same_questions(
    examples: Sequence[Example],
    questions: Sequence[tuple[str, ...]],
    items: Sequence[Example],
    asked: Sequence[tuple[str, ...]],
    digests: Mapping[ImageRef, str],
) -> Iterator[tuple[int, int]]:
    """Places of examples whose question stands in an item's prompt and is no common wording."""
    places = defaultdict(list)
    for place, question in enumerate(questions):
        if len(question) >= _OPENING and len(" ".join(question)) >= MIN_QUESTION:
            places[question].append(place)
    by_opening = defaultdict(list)
    for question in places:
        by_opening[question[:_OPENING]].append(question)
    inside = defaultdict(list)
    for item, prompt in enumerate(asked):
        for start in range(len(prompt) - _OPENING + 1):
            for question in by_opening.get(prompt[start : start + _OPENING], ()):
                if prompt[start : start + len(question)] == question:
                    inside[question].append(item)
    for question, there in inside.items():
        here = places[question]
        if _pictured(examples, here, digests) > 1 or _pictured(items, there, digests) > 1:
            continue
        long = len(" ".join(question)) >= MIN_PICTURED_QUESTION
        for place in here:
            if long or not (examples[place].images and items[there[0]].images):
                yield place, there[0]


def _pictured(
    examples: Sequence[Example], places: Iterable[int], digests: Mapping[ImageRef, str]
) -> int:
    """How many different images, or sets of them, these examples have."""
    return len({tuple(digests.get(r, r) for r in examples[place].images) for place in places})
