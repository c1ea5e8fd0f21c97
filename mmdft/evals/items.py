"""What was asked, kept beside the predictions: `items.jsonl` of an evaluation's folder.

A comparison shows questions and images, and the benchmark's own folder may be far away by then.
An image is named by its path relative to this file. One without a path, out of a table, is written
beside it as a preview.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.errors import DataError
from mmdft.evals.previews import preview
from mmdft.files import read_jsonl, write_bytes, write_jsonl
from mmdft.records import Example, Turn

ITEMS = "items.jsonl"
_KEYS = {
    "id": str,
    "prompt": str,
    "gold": str | None,
    "choices": list,
    "category": str,
    "meta": dict,
    "images": list,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item as it was asked: an example whose images are files, which may be gone by now."""

    example: Example
    images: tuple[Path, ...]

    @property
    def prompt(self) -> str:
        """The text of what was asked, without the system prompt."""
        return self.example.turns[0].text


def write_items(folder: Path, examples: Sequence[Example]) -> None:
    """Write the items of one benchmark into its folder of an evaluation, atomically."""
    rows = []
    for number, example in enumerate(examples, start=1):
        asked = [turn for turn in example.prompt if turn.role != "system"]
        images = []
        for place, image in enumerate(example.images, start=1):
            path = image.path
            if path is None:
                content, ending = preview(image)
                path = folder / "images" / f"{number:05d}-{place}.{ending}"
                write_bytes(path, content)
            images.append(os.path.relpath(path.resolve(), folder.resolve()))
        rows.append(
            {
                "id": example.id,
                "prompt": "\n\n".join(turn.text for turn in asked),
                "gold": example.answer,
                "choices": list(example.choices),
                "category": example.category,
                "meta": dict(example.meta),
                "images": images,
            }
        )
    write_jsonl(folder / ITEMS, rows)


def read_items(folder: Path) -> list[Item]:
    """Read what `write_items` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = folder / ITEMS
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; run the same mmdft eval again, which keeps the answers and "
            "writes what is missing"
        )
    items = [_item(row, f"{path}:{number}", folder) for number, row in read_jsonl(path)]
    if len({item.example.id for item in items}) < len(items):
        raise DataError(f"{path}: an id appears twice; run the same mmdft eval again")
    return items


def _item(row: Any, where: str, folder: Path) -> Item:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, not {type(row).__name__}")
    for key, kind in _KEYS.items():
        if key not in row or not isinstance(row[key], kind):
            raise DataError(f"{where}: {key!r} is missing or of the wrong kind")
    return Item(
        example=Example(
            id=row["id"],
            turns=(Turn(role="user", parts=(row["prompt"],)),),
            answer=row["gold"],
            choices=tuple(str(choice) for choice in row["choices"]),
            category=row["category"],
            meta=row["meta"],
        ),
        images=tuple(Path(os.path.normpath(folder / str(name))) for name in row["images"]),
    )
