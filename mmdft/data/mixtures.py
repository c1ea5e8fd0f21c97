"""Which rows of the sources are trained on, how often, and which are held out. No torch here.

Every choice is made by `data.seed` and does not depend on the process or the machine.
"""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from mmdft.config import SourceConfig
from mmdft.data.sources import Origin, open_sources, origin_of, read_rows
from mmdft.errors import DataError
from mmdft.records import Example, ImageRef

# Of ids that several rows have, a warning names so many.
_IDS_SHOWN = 5


def picked(num: int, source: SourceConfig, seed: int, which: int) -> Sequence[int]:
    """The places, in file order, of those of a source's `num` rows that its `limit` takes.

    Args:
        num: rows of the source.
        source: the source; with `shuffle` its limit takes a random subset, else the first rows.
        seed: `data.seed`.
        which: the source's place among the sources, so that each draws for itself.
    """
    if source.limit is None or source.limit >= num:
        return range(num)
    if not source.shuffle:
        return range(source.limit)
    return _drawn(num, source.limit, f"{seed}:limit:{which}")


def repeated(num: int, source: SourceConfig, seed: int, which: int) -> Sequence[int]:
    """The places of a source's `num` examples in an epoch, each as often as `repeat` says.

    A repeat of 2.25 has every example twice, one behind the other, and a random quarter of them
    (rounded to a whole number, a half upwards) once more. Arguments as of `picked`.

    Raises:
        DataError: there are examples, and none is left.
    """
    if source.repeat == 1:
        return range(num)
    whole = math.floor(source.repeat)
    extra = math.floor((source.repeat - whole) * num + 0.5)
    if num and not whole and not extra:
        raise DataError(
            f"{source.path}: repeat {source.repeat:g} of {num} examples is none; raise it, or "
            "leave the source out"
        )
    more = set(_drawn(num, extra, f"{seed}:repeat:{which}"))
    return array("q", (i for i in range(num) for _ in range(whole + (i in more))))


def picked_rows(source: SourceConfig, seed: int, which: int) -> Iterator[tuple[Origin, Any]]:
    """The rows of a source that `picked` names, in file order, as they stand in the file.

    Raises:
        DataError: the file is missing, of another kind, or broken as a whole.
    """
    if not source.shuffle:
        yield from read_rows(source)
        return
    files = open_sources([unpicked(source)])
    ends = list(accumulate(len(rows) for _, rows in files))
    for place in picked(ends[-1] if ends else 0, source, seed, which):
        index = bisect_right(ends, place)
        file, rows = files[index]
        number, row = rows[place - (ends[index - 1] if index else 0)]
        yield origin_of(file, number), row


def unpicked(source: SourceConfig) -> SourceConfig:
    """The source as it must be read for `picked` to choose among its rows."""
    return source.model_copy(update={"limit": None}) if source.shuffle else source


def image_digests(examples: Iterable[Example]) -> dict[ImageRef, str]:
    """A hash of each image's encoded bytes, be they in a file or in the row; each is read once."""
    found: dict[ImageRef, str] = {}
    for example in examples:
        for ref in example.images:
            if ref not in found:
                content = ref.path.read_bytes() if ref.path is not None else ref.data or b""
                found[ref] = hashlib.blake2b(content, digest_size=16).hexdigest()
    return found


def duplicates(examples: Sequence[Example], digests: Mapping[ImageRef, str]) -> dict[int, int]:
    """Places of exact duplicates, each with the place of the first like it.

    Examples are alike if their turns have the same roles and texts, word for word, and images of
    the same bytes in the same places; ids, golds and the rest do not count.
    """
    first: dict[bytes, int] = {}
    found = {}
    for place, example in enumerate(examples):
        key = content_digest(example, digests)
        if first.setdefault(key, place) != place:
            found[place] = first[key]
    return found


def content_digest(example: Example, digests: Mapping[ImageRef, str]) -> bytes:
    """A hash of what makes examples alike: roles, texts and the images' bytes in their places."""
    turns = [
        (turn.role, [part if isinstance(part, str) else (digests[part],) for part in turn.parts])
        for turn in example.turns
    ]
    return hashlib.blake2b(repr(turns).encode(), digest_size=16).digest()


def question_of(example: Example) -> str:
    """The text of the first user turn."""
    return next((turn.text for turn in example.turns if turn.role == "user"), "")


def held_out(
    examples: Sequence[Example], digests: Mapping[ImageRef, str], fraction: float, seed: int
) -> list[bool]:
    """Which examples are held out for validation.

    Examples that share an image, directly or by way of others, form a group, and so do those
    without images that have the same question but for case and white space. A hash of the group
    and the seed decides, so that neither the order nor the number of the other rows plays a part,
    and `fraction` is met on average over the groups, not exactly.

    Args:
        examples: the examples.
        digests: of all their images, as of `image_digests`.
        fraction: the share of the groups to hold out, in [0, 1).
        seed: `data.seed`.
    """
    leader: dict[str, str] = {}

    def root(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = key = leader[leader[key]]
        return key

    firsts = []
    for example in examples:
        keys = [f"image {digests[ref]}" for ref in example.images]
        keys = keys or [f"question {' '.join(question_of(example).casefold().split())}"]
        firsts.append(keys[0])
        for key in keys:
            # The least of a group's keys leads it, in whatever order they are joined.
            one, other = sorted((root(keys[0]), root(key)))
            leader[other] = one
    return [_share(f"{seed}:{root(key)}") < fraction for key in firsts]


def repeated_ids(ids: Iterable[str]) -> str | None:
    """One line that names the ids which several rows have; None if there are none."""
    counts = {name: count for name, count in Counter(ids).items() if count > 1}
    if not counts:
        return None
    shown = [f"{name} ({count} times)" for name, count in list(counts.items())[:_IDS_SHOWN]]
    if len(counts) > len(shown):
        shown.append(f"and {len(counts) - len(shown):,} more")
    return f"ids that several rows have, which are all trained on: {', '.join(shown)}"


def _drawn(num: int, count: int, seed: str) -> array[int]:
    """`count` different places below `num`, in order."""
    return array("q", sorted(random.Random(seed).sample(range(num), count)))


def _share(key: str) -> float:
    """A number in [0, 1) that is as good as random, and always the same for a key."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest()) / 2**48
