"""Examples that begin alike, as branches of one prefix that is computed once.

In a packed row such examples stand behind one another, each without the tokens that it has in
common with the one before it. A token is seen until an example comes that does not have it; its
positions are those it has in its example alone. So every example sees its own tokens and no others,
and the images and the question that several answers share are there once. Where examples branch
again (several questions to an image, several answers to each) the row is a tree, walked depth
first; mask and positions are the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmdft.config import DataConfig
from mmdft.data.dataset import LoadedRow
from mmdft.data.fields import OWN_PIXELS
from mmdft.data.stored import unstored
from mmdft.errors import ModelError
from mmdft.records import Rendered

# Kernels that take any mask. FlashAttention takes only where examples begin and end.
SHARED_ATTENTION = ("eager", "sdpa")

# Examples that share a prefix are trained on in one step. Where this share of the tokens is not
# saved, `auto` leaves them where the shuffle puts them. The figure is ours.
PAYS = 0.1


class Branch(NamedTuple):
    """An example by its number, and how many leading tokens are those of the one before it."""

    example: int
    shared: int


Chain = list[Branch]
"""Examples in the order in which each shares most with the one before it; the first nothing."""


def shared_prefixes(
    rows: Sequence[LoadedRow], config: DataConfig, model_config: Any
) -> tuple[list[Chain] | None, str | None]:
    """The chains that a training packs its rows by, as `data.share_prefix` has it.

    Args:
        rows: the examples.
        config: the data's settings.
        model_config: the model's `transformers` configuration, its attention kernel chosen.

    Returns:
        The chains, None if prefixes are not shared; and what a user should know, if anything.

    Raises:
        ModelError: prefixes are to be shared, and the model's attention does not allow it.
    """
    if config.share_prefix is False:
        return None, None
    refusal = _refusal(model_config)
    if config.share_prefix is True and refusal is not None:
        raise ModelError(f"data.share_prefix: {refusal}, or data.share_prefix=false")
    chains = chains_of(rows, config.max_length)
    total = sum(row.length for row in rows)
    saved = sum(branch.shared for chain in chains for branch in chain)
    if config.share_prefix == "auto" and saved < PAYS * total:
        return None, None
    share = f"{saved:,} of {total:,} tokens ({saved / max(total, 1):.0%})"
    if refusal is not None:
        return None, f"prefixes are not shared, which would save {share}: {refusal}"
    return chains, f"shared prefixes save {share}"


def chains_of(rows: Sequence[LoadedRow], capacity: int) -> list[Chain]:
    """Put rows with the same images, or without images the same question, into one chain.

    Images are the same if they are one file, or the same bytes, under one pixel budget. What two
    rows share ends one token before either's first reply, whose first token that one predicts; and
    nothing is shared that does not hold all of the images. Rows that are there again are in another
    chain than before.

    Args:
        rows: the examples, none longer than the capacity.
        capacity: most tokens in a chain, what is shared counted once.

    Returns:
        Every row once.
    """
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    times: Counter[tuple[str, int]] = Counter()
    for index, row in enumerate(rows):
        # A source's `repeat` asks for its rows several times an epoch, not several times a step.
        where = row.source, row.row
        groups[_kind(row), times[where]].append(index)
        times[where] += 1
    lengths = [row.length for row in rows]
    return [
        part
        for members in groups.values()
        for chain in _chains(rows, members)
        for part in _cut(chain, lengths, capacity)
    ]


def seen_until(examples: Sequence[Rendered]) -> Tensor:
    """For each token of a packed row, the place in the row from which on it is not seen.

    Examples of 4, 3 and 2 tokens, of which the second shares 2 with the first, give
    [5, 5, 4, 4, 5, 7, 7]: from place 4 on, where the second begins, the first's last two are not
    seen; from 5 on, where the third begins, nothing before it is.

    Args:
        examples: in their order in the row, each `shared` with the one before it.

    Returns:
        (length,) int64.
    """
    until = torch.full((sum(len(each.ids) - each.shared for each in examples),), -1)
    path, place = until[:0], 0  # where the tokens of the example at hand stand
    for each in examples:
        until[path[each.shared :]] = place
        own = torch.arange(place, place + len(each.ids) - each.shared)
        path = torch.cat([path[: each.shared], own])
        place += len(own)
    until[path] = place
    return until


def branch_mask(until: Tensor, attention: str) -> Tensor:
    """Which token sees which, as the attention kernel takes it.

    Args:
        until: of `seen_until`, (1, length).
        attention: one of SHARED_ATTENTION.

    Returns:
        (1, 1, length, length), queries by keys: truth values for sdpa; for eager what is added to
        the scores, in fp32.
    """
    places = torch.arange(until.shape[-1], device=until.device)
    queries, keys = places[:, None], places
    seen = (keys <= queries) & (queries < until[:, None, None])
    if attention == "eager":
        return torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    return seen


def _refusal(model_config: Any) -> str | None:
    """Why a model's attention does not let examples share a prefix, with the mend."""
    text = model_config.get_text_config()
    if model_config._attn_implementation not in SHARED_ATTENTION:
        return (
            f"not available with attention {model_config._attn_implementation}, only with "
            f"{', '.join(SHARED_ATTENTION)}; set model.attn_implementation"
        )
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()):
        # The window is counted in the row, where a branch may stand far from its prefix.
        return (
            f"layers of this model see {text.sliding_window} tokens back only; choose another model"
        )
    return None


def _kind(row: LoadedRow) -> Hashable:
    """What is equal for rows that may share a prefix."""
    example = row.example
    if example.images:
        return example.images, example.meta.get(OWN_PIXELS)
    first = next(place for place, turn in enumerate(example.turns) if turn.role == "assistant")
    return example.turns[:first]


def _chains(rows: Sequence[LoadedRow], members: Sequence[int]) -> list[Chain]:
    if len(members) == 1:
        return [[Branch(members[0], 0)]]
    tokens = {index: unstored(rows[index].tokens, rows[index].example.id) for index in members}
    prompts = {index: each.ids[: each.mask.index(True)] for index, each in tokens.items()}
    # In the order of a dictionary, what begins alike stands together.
    order = sorted(members, key=lambda index: (prompts[index], index))
    chains = [[Branch(order[0], 0)]]
    for before, index in pairwise(order):
        one, other = prompts[before], prompts[index]
        most = min(len(one), len(other)) - 1
        same = next((place for place in range(most) if one[place] != other[place]), most)
        if same == 0 or any(tokens[index].image_tokens[same:]):
            chains.append([Branch(index, 0)])
        else:
            chains[-1].append(Branch(index, same))
    return chains


def _cut(chain: Chain, lengths: Sequence[int], capacity: int) -> list[Chain]:
    """Divide a chain into such as fit; each begins with a whole example."""
    parts: list[Chain] = []
    room = 0
    for index, shared in chain:
        if parts and lengths[index] - shared <= room:
            parts[-1].append(Branch(index, shared))
            room -= lengths[index] - shared
        else:
            parts.append([Branch(index, 0)])
            room = capacity - lengths[index]
    return parts
