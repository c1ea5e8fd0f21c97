"""The benchmarks: where their rows lie, how they are asked, how they are reported.

A module for each makes examples of rows; this table has the rest. Nothing is guessed: a missing
image, a row without a field, a path that leaves the folder are DataErrors that name the file and
the row. The cards in `eval/cards/` say the same in words, and what is to be known of each.
"""

from __future__ import annotations

from mmdft.errors import DataError
from mmdft.evals.benchmarks import (
    chartqa,
    chartqapro,
    charxiv,
    dynamath,
    geometry3k,
    geoqa,
    logicvista,
    mathverse,
    mathvision,
    mathvista,
    own,
    wemath,
)
from mmdft.evals.benchmarks.entry import Benchmark
from mmdft.evals.benchmarks.scores import Score

__all__ = ["BENCHMARKS", "Benchmark", "Score", "benchmark_named"]

_ENTRIES = (
    Benchmark(
        name="figures",
        published=own.PUBLISHED,
        example=own.example,
        prompt=own.PROMPT,
        breakdowns=("category",),
        cluster=None,
        licence="Apache-2.0",
        citation="mmdft's own drawn figures with exact answers (Apache-2.0)",
        withheld=True,
    ),
    Benchmark(
        name="jsonl",
        published=own.PUBLISHED,
        example=own.example,
        prompt=own.PROMPT,
        breakdowns=("category",),
        cluster=None,
        licence="your own",
        citation="questions of your own",
        withheld=True,
    ),
    Benchmark(
        name="mathvista",
        published=mathvista.PUBLISHED,
        example=mathvista.example,
        prompt=mathvista.PROMPT,
        breakdowns=mathvista.BREAKDOWNS,
        cluster=None,
        licence="CC BY-SA 4.0; not for training",
        citation="MathVista, Lu et al. 2024, https://mathvista.github.io "
        "(CC BY-SA 4.0; not for training)",
        withheld=True,
    ),
    Benchmark(
        name="mathverse",
        published=mathverse.PUBLISHED,
        example=mathverse.example,
        prompt="",
        breakdowns=("version", "subject", "subfield", "question_type"),
        cluster="problem",
        licence="MIT",
        citation="MathVerse, Zhang et al. 2024, https://github.com/ZrrSkywalker/MathVerse (MIT)",
        scores=mathverse.SCORES,
        headline="mean over versions",
        withheld=True,
    ),
    Benchmark(
        name="mathvision",
        published=mathvision.PUBLISHED,
        example=mathvision.example,
        prompt=mathvision.PROMPT,
        breakdowns=("subject", "level", "answer_type"),
        cluster=None,
        licence="MIT",
        citation="MATH-V, Wang et al. 2024, https://github.com/mathllm/MATH-V (MIT)",
        withheld=True,
    ),
    Benchmark(
        name="wemath",
        published=wemath.PUBLISHED,
        example=wemath.example,
        prompt=wemath.PROMPT,
        breakdowns=("key", "knowledge"),
        cluster="problem",
        licence="CC BY-NC 4.0",
        citation="We-Math, Qiao et al. 2024, https://github.com/We-Math/We-Math (CC BY-NC 4.0)",
        scores=wemath.SCORES,
        headline="score (strict)",
    ),
    Benchmark(
        name="dynamath",
        published=dynamath.PUBLISHED,
        example=dynamath.example,
        prompt=dynamath.PROMPT,
        breakdowns=("subject", "level", "answer_type"),
        cluster="seed",
        licence="MIT",
        citation="DynaMath, Zou et al. 2024, https://github.com/DynaMath/DynaMath (MIT)",
        scores=dynamath.SCORES,
        headline="worst case",
    ),
    Benchmark(
        name="geometry3k",
        published=geometry3k.PUBLISHED,
        example=geometry3k.example,
        prompt=geometry3k.PROMPT,
        breakdowns=("goal", "graph"),
        cluster=None,
        licence="MIT",
        citation="Geometry3K, Lu et al. 2021, https://github.com/lupantech/InterGPS (MIT)",
        scores=geometry3k.SCORES,
        headline="accuracy with guesses",
    ),
    Benchmark(
        name="geoqa",
        published=geoqa.PUBLISHED,
        example=geoqa.example,
        prompt=geoqa.PROMPT,
        breakdowns=("problem_type",),
        cluster=None,
        licence="not stated",
        citation="GeoQA, Chen et al. 2021, https://github.com/chen-judge/GeoQA (not stated)",
    ),
    Benchmark(
        name="logicvista",
        published=logicvista.PUBLISHED,
        example=logicvista.example,
        prompt=logicvista.PROMPT,
        breakdowns=("skill", "capability"),
        cluster=None,
        licence="Apache-2.0",
        citation="LogicVista, Xiao et al. 2024, https://github.com/Yijia-Xiao/LogicVista "
        "(Apache-2.0)",
    ),
    Benchmark(
        name="chartqa",
        published=chartqa.PUBLISHED,
        example=chartqa.example,
        prompt=chartqa.PROMPT,
        breakdowns=("half",),
        cluster=None,
        licence="GPL-3.0",
        citation="ChartQA, Masry et al. 2022, https://github.com/vis-nlp/ChartQA (GPL-3.0)",
        scores=chartqa.SCORES,
        headline="mean of halves",
    ),
    Benchmark(
        name="chartqapro",
        published=chartqapro.PUBLISHED,
        example=chartqapro.example,
        prompt=chartqapro.PROMPT,
        breakdowns=("question_type",),
        cluster=None,
        licence="MIT",
        citation="ChartQAPro, Masry et al. 2025, https://github.com/vis-nlp/ChartQAPro (MIT)",
        scores=chartqapro.SCORES,
        headline="relaxed accuracy",
    ),
    Benchmark(
        name="charxiv",
        published=charxiv.PUBLISHED,
        example=charxiv.example,
        prompt=charxiv.PROMPT,
        breakdowns=("answer_type", "question_source", "subject", "year", "subplots"),
        cluster=None,
        licence="CC BY-SA 4.0; the charts are their authors'",
        citation="CharXiv, Wang et al. 2024, https://github.com/princeton-nlp/CharXiv "
        "(CC BY-SA 4.0; the charts are their authors')",
        scores=charxiv.SCORES,
        withheld=True,
    ),
)
BENCHMARKS: dict[str, Benchmark] = {entry.name: entry for entry in _ENTRIES}


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        DataError: there is none; the message lists those there are.
    """
    if name not in BENCHMARKS:
        raise DataError(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
