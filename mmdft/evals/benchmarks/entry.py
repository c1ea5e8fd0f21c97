"""What a benchmark is: where its rows are published, how one is asked, how results are reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmdft.errors import DataError
from mmdft.evals.benchmarks.presets import asked_as
from mmdft.evals.benchmarks.published import Published, rows
from mmdft.evals.benchmarks.rows import Row
from mmdft.evals.benchmarks.scores import Score
from mmdft.evals.rules import RULES
from mmdft.records import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    r"""One benchmark. Its card, `eval/cards/NAME.md`, says the same in words.

    Attributes:
        name: Its name on the command line.
        published: Where its rows lie.
        example: Makes an example of a row: one user turn, the images first and then the prompt.
        prompt: The words put around a question, one form of them; "" where the rows hold the
            whole prompt.
        breakdowns: Keys of `Example.meta` (or "category") that results are broken down by.
        cluster: The key whose items are not independent of each other, for the standard error.
        licence: Of the data.
        citation: Authors, year, source and licence, in a line.
        scores: Scores beside the accuracy.
        headline: The number that its authors report first: "accuracy", or one of `scores`.
        withheld: Whether the gold of some split is not published; such items are unscored.
    """

    name: str
    published: Published
    example: Callable[[Row], Example]
    prompt: str
    breakdowns: tuple[str, ...]
    cluster: str | None
    licence: str
    citation: str
    scores: tuple[Score, ...] = ()
    headline: str = "accuracy"
    withheld: bool = False

    @property
    def rules(self) -> tuple[str, ...]:
        """Its rule sets, the headline one first."""
        return tuple(RULES[self.name])

    def load(
        self,
        path: Path,
        limit: int | None = None,
        *,
        images: bool = True,
        split: str | None = None,
        preset: str | None = None,
    ) -> list[Example]:
        """Read the benchmark.

        Args:
            path: Its folder as published, a file of it (JSON, JSONL, plain or gzipped, parquet,
                VLMEvalKit's .tsv), or `hf://owner/name`.
            limit: Only the first rows.
            images: Whether each row's images are needed. Without, they may be absent: scoring
                needs none.
            split: Which split of a folder or of a dataset of the hub; None takes the one that is
                there, and of the hub the benchmark's usual one.
            preset: "vlmevalkit" or "lmms_eval" asks with that tool's prompt.

        Raises:
            ConfigError: the preset's tool has no such benchmark.
            DataError: there is no such split, or the folder, a row or an image is not as it
                should be.
        """
        examples: dict[str, Example] = {}
        found = rows(path, self.published, limit=limit, images=images, split=split)
        for row in found:
            example = self.example(row)
            if preset is not None:
                example = asked_as(preset, self.name, row, example)
            if example.answer is None and not self.withheld:
                raise row.error("the gold answer is missing; take the data as published")
            if example.id in examples:
                raise row.error(f"id {example.id!r} appears twice; ids must be unique")
            examples[example.id] = example
        if not examples:
            raise DataError(f"{path}: no rows for benchmark {self.name!r}")
        return list(examples.values())
