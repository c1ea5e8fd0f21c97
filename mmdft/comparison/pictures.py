"""The images of a page: small ones inside it, the rest by their place beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mmdft.errors import DataError
from mmdft.evals.previews import preview
from mmdft.records import ImageRef

# Bytes of the previews inside a page, as they are written there. About a thousand figures.
BUDGET = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What stands for each image in a page; None for one that is not there or no image."""

    sources: Mapping[Path, str | None]
    embedded: int
    linked: int
    missing: int


def pictures(paths: Iterable[Path], folder: Path, budget: int = BUDGET) -> Pictures:
    """Sources for the images of a page.

    Args:
        paths: The images, those that matter most first.
        folder: Where the page will be; what no longer fits the budget is linked from there.
        budget: Characters of the images inside the page.
    """
    sources: dict[Path, str | None] = {}
    embedded = linked = missing = spent = 0
    for path in dict.fromkeys(paths):
        if not path.is_file():
            sources[path] = None
            missing += 1
        elif spent < budget:
            try:
                content, ending = preview(ImageRef(path=path))
            except DataError:
                sources[path] = None
                missing += 1
                continue
            source = f"data:image/{ending};base64,{base64.b64encode(content).decode()}"
            sources[path] = source
            spent += len(source)
            embedded += 1
        else:
            sources[path] = quote(os.path.relpath(path.resolve(), folder.resolve()))
            linked += 1
    return Pictures(sources=sources, embedded=embedded, linked=linked, missing=missing)
