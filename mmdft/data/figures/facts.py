"""Arbitrary facts: a symbol is shown, and its value can only be known by heart.

A demonstration tells what no model can work out, so the share of facts that are recalled says how
much was learnt from the demonstrations alone.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from string import ascii_uppercase
from typing import Any

from mmdft.data.figures.canvas import UNITS, Canvas
from mmdft.data.figures.figure import SPLITS, STYLES, Params, Solution
from mmdft.data.figures.generate import MAX_DRAWS, check_size, content_split
from mmdft.data.figures.reading import paint_paper, sample_paper
from mmdft.data.figures.writer import encode_png, store_png
from mmdft.errors import DataError
from mmdft.files import write_jsonl

_SYMBOLS = tuple(one + other for one in ascii_uppercase for other in ascii_uppercase)
_VALUES = range(10, 100)
_QUESTIONS = (
    "What is the value of this symbol?",
    "Find the value of the symbol.",
    "How much is this symbol?",
)
_OOD_QUESTIONS = (
    "Which number belongs to this symbol?",
    "Give the number of the symbol.",
)
# From the picture's border to the middle of a symbol, in canvas units, left and right, and above
# and below; a place has so many steps to a unit.
_FREE_X, _FREE_Y, _STEPS = 16, 10, 4


def write_facts(
    out: Path,
    *,
    num_facts: int,
    num: int,
    seed: int = 0,
    size: int = 112,
    num_test: int = 200,
) -> Path:
    """Write drawings of `num_facts` facts in the native format, and return the training JSONL.

    A fact is a symbol of two capital letters and a number from 10 to 99, both drawn by `seed`. The
    symbol stands anywhere in the picture, in any ink on any light paper. `out/train.jsonl`,
    `validation.jsonl` and `test.jsonl` have other drawings of the same facts, and `ood.jsonl` asks
    with other words; the facts take turns in each, and the PNGs lie under `out/images/<split>/`.
    `train.jsonl` is written last.

    Args:
        out: the folder to write to; it is made if missing.
        num_facts: how many facts, at most 676.
        num: how many rows `train.jsonl` has; no fewer than facts.
        seed: names the facts and the set.
        size: the side of the pictures in pixels, from 56 to 1024.
        num_test: how many rows each of the other files has.

    Raises:
        DataError: an argument is wrong, or the folder cannot be written.
    """
    check_size(size)
    if not 1 <= num_facts <= len(_SYMBOLS):
        raise DataError(f"num_facts must be from 1 to {len(_SYMBOLS)}, got {num_facts}")
    if num < num_facts:
        raise DataError(f"num must be {num_facts} or more, once each fact, got {num}")
    if num_test < 1:
        raise DataError(f"num_test must be 1 or more, got {num_test}")
    known = facts(num_facts, seed)
    for split in reversed(SPLITS):
        path = out / f"{split}.jsonl"
        try:
            rows = [
                _row(out, known, split, seed, index, size)
                for index in range(num if split == "train" else num_test)
            ]
            write_jsonl(path, rows)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def facts(num: int, seed: int) -> tuple[tuple[str, int], ...]:
    """The symbols, all different, each with its value; several may have one value."""
    rng = Random(f"facts:{seed}")
    return tuple((symbol, rng.choice(_VALUES)) for symbol in rng.sample(_SYMBOLS, num))


def _row(
    out: Path,
    known: tuple[tuple[str, int], ...],
    split: str,
    seed: int,
    index: int,
    size: int,
) -> dict[str, Any]:
    symbol, value = known[index % len(known)]
    rng = Random(f"facts:{seed}:{split}:{index}")
    question = rng.choice(_OOD_QUESTIONS if split == "ood" else _QUESTIONS)
    # The words of the question are all that is new in ood.
    params = _drawing(symbol, rng, "test" if split == "ood" else split)
    canvas = Canvas(size, STYLES["plain"])
    paint_paper(canvas, params)
    canvas.text(params["place"], symbol)
    image = store_png(out, f"images/{split}", "fact", encode_png(canvas.finish()))
    answer = str(value)
    solution = Solution(values=symbol, steps=(f"The value is {answer}.",), answer=answer)
    return {
        "id": f"fact-{split}-{seed}-{index}",
        "images": [image],
        "question": question,
        "reasoning": solution.reasoning,
        "answer": answer,
        "category": "facts",
        "meta": {"split": split, "seed": seed, "params": params},
    }


def _drawing(symbol: str, rng: Random, split: str) -> Params:
    """Where the symbol stands, and how it looks; a symbol's places are of one split each."""
    for _ in range(MAX_DRAWS):
        params = {
            "symbol": symbol,
            "place": [
                rng.randrange(free * _STEPS, (UNITS - free) * _STEPS) / _STEPS
                for free in (_FREE_X, _FREE_Y)
            ],
            **sample_paper(rng),
        }
        if content_split(("symbol", "place"), params) == split:
            return params
    raise RuntimeError(f"no place for {split} in {MAX_DRAWS} draws")
