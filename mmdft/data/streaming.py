"""Rows read, checked and rendered when their turn comes: for data that memory does not hold.

Every row has a place, so that the sampler shuffles all of them, divides them among ranks and
workers, and goes on after an interruption where it was, without reading what lies before.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from torch.utils.data import Dataset

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.dataset import LoadedRow, load_row, too_long
from mmdft.data.features import FeatureFolder, add_features
from mmdft.data.images import image_size
from mmdft.data.mixtures import picked, repeated, unpicked
from mmdft.data.quarantine import BadRow, bad_row
from mmdft.data.render import render, render_tokens
from mmdft.data.sources import (
    Origin,
    open_sources,
    origin_of,
    parse_row,
    row_id,
    to_example,
)
from mmdft.data.vision import ImageBudget
from mmdft.errors import DataError
from mmdft.records import Example, Rendered


class StreamedDataset(Dataset[Rendered | BadRow]):
    """The rows of the sources by number; a row that cannot be used is a BadRow.

    Args:
        sources: the training sources.
        config: the data's settings.
        processor: the model's `AutoProcessor`.
        budget: the pixel budget.

    Raises:
        DataError: a source cannot be read, or there are no rows.
    """

    features: FeatureFolder | None = None
    """as of `RenderedDataset`"""

    def __init__(
        self,
        sources: Sequence[SourceConfig],
        config: DataConfig,
        processor: Any,
        budget: ImageBudget,
    ) -> None:
        files = [open_sources([unpicked(source)]) for source in sources]
        self.sources = [file for opened in files for file, _ in opened]
        self.rows = [rows for opened in files for _, rows in opened]
        self.file_ends = list(accumulate(len(rows) for rows in self.rows))
        self.config, self.processor, self.budget = config, processor, budget
        # Of each source its rows in an epoch, counted over all files: a range, or 8 bytes a row.
        self.places: list[Sequence[int]] = []
        num = [sum(len(rows) for _, rows in opened) for opened in files]
        for which, (source, start) in enumerate(zip(sources, accumulate([0, *num]), strict=False)):
            taken = picked(num[which], source, config.seed, which)
            order = repeated(len(taken), source, config.seed, which)
            plain = isinstance(taken, range) and isinstance(order, range)
            self.places.append(
                range(start, start + len(order))
                if plain
                else array("q", (start + taken[place] for place in order))
            )
        self.ends = list(accumulate(len(places) for places in self.places))
        if not self.ends[-1]:
            raise DataError(f"{', '.join(str(source.path) for source in sources)}: no rows")

    def __len__(self) -> int:
        return self.ends[-1]

    @property
    def num_different(self) -> int:
        """Rows of an epoch, each counted once."""
        return sum(
            len(places) if isinstance(places, range) else len(set(places)) for places in self.places
        )

    def __getitem__(self, index: int) -> Rendered | BadRow:
        source, origin, row = self.row(index)
        try:
            rendered = self._rendered(to_example(row, origin, source.format))
            if len(rendered.ids) > self.config.max_length:
                raise too_long(len(rendered.ids), self.config.max_length)
        except DataError as error:
            return bad_row(origin, _id(row, origin), error)
        return rendered

    def _rendered(self, example: Example) -> Rendered:
        if self.features is None:
            return render(example, self.processor, self.budget)
        sizes = [image_size(ref) for ref in example.images]
        tokens = render_tokens(example, sizes, self.processor, self.budget)
        return add_features(tokens, example, sizes, self.processor, self.budget, self.features)

    def loaded(self, index: int) -> LoadedRow | BadRow:
        """A row as `load_examples` has it, its images not decoded yet."""
        source, origin, row = self.row(index)
        return load_row(row, origin, source, self.config, self.processor, self.budget)

    def row(self, index: int) -> tuple[SourceConfig, Origin, Any]:
        """A row as it stands in its file, and where that is."""
        which = bisect_right(self.ends, index)
        row = self.places[which][index - (self.ends[which - 1] if which else 0)]
        file = bisect_right(self.file_ends, row)
        number, content = self.rows[file][row - (self.file_ends[file - 1] if file else 0)]
        return self.sources[file], origin_of(self.sources[file], number), content


def _id(row: Any, origin: Origin) -> str:
    try:
        return row_id(parse_row(row), origin)
    except DataError:
        return origin.id
