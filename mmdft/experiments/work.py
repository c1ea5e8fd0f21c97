"""What the worker processes of an experiment do: each a function that is called by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdft.config import DataConfig, RunConfig, SampleConfig, SourceConfig
from mmdft.errors import DataError
from mmdft.experiments.plan import Job
from mmdft.experiments.settings import FactsConfig, FiguresConfig, OwnSamplesConfig
from mmdft.files import write_json


def carry_out(job: Job) -> None:
    """Train and evaluate; what is there already is kept.

    Raises:
        MmdftError: a training failed, or an item got no answer.
    """
    import torch

    from mmdft.evals.run import evaluate
    from mmdft.training import train

    torch.set_num_threads(1)
    if job.training is not None:
        train(job.training)
    for config in job.evaluations:
        result = evaluate(config)
        for label, scored in result.benchmarks.items():
            if lacking := scored.get("unanswered"):
                raise DataError(
                    f"{result.run_dir / label}: no answer came to {lacking['n']} items; the first: "
                    f"{lacking['first']['id']}: {lacking['first']['reason']}"
                )


def draw(folder: Path, wanted: FiguresConfig | FactsConfig) -> None:
    """Draw a set of figures or facts into its folder."""
    if isinstance(wanted, FactsConfig):
        from mmdft.data.figures.facts import write_facts

        write_facts(folder, **wanted.model_dump(exclude={"kind"}))
        return
    from mmdft.data.figures import write_figures

    options = wanted.model_dump(exclude={"kind"}, exclude_none=True)
    write_figures(folder, **options)


def own_samples(folder: Path, wanted: OwnSamplesConfig, run: RunConfig) -> None:
    """Write the base's own right answers to a training file's questions as a training file.

    Raises:
        DataError: none of the answers is right.
    """
    import torch

    from mmdft.rejection.run import sample

    torch.set_num_threads(1)
    result = sample(sampling(folder, wanted, run))
    if result.path is None:
        raise DataError(f"{folder}: no answer of the base is right, so there is nothing to keep")


def sampling(folder: Path, wanted: OwnSamplesConfig, run: RunConfig) -> RunConfig:
    """The configuration of that sampling, as `mmdft sample` takes it."""
    return RunConfig(
        model=run.model.model_copy(update={"lora": None, "freeze": [], "quantization": None}),
        data=DataConfig(
            train=[SourceConfig(path=wanted.questions)],
            max_length=run.data.max_length,
            min_pixels=run.data.min_pixels,
            max_pixels=run.data.max_pixels,
        ),
        sample=SampleConfig(output_dir=folder, **wanted.model_dump(exclude={"kind", "questions"})),
    )


def look_first(run: RunConfig, num: int, out: Path) -> None:
    """Measure the demonstrations under the base, and write what `mmdft check` would advise.

    The file holds `mean_p` of the answer tokens, which of the published points that is near
    (`rule`) with its `text`, the number of `examples`, and `wordy`, the share of them in the wordy
    style.

    Args:
        run: the run that all variants share.
        num: how many training examples, evenly spaced, as `mmdft check --num`.
        out: the file.
    """
    import torch

    from mmdft.checking.preflight import preflight
    from mmdft.data.dataset import RenderedDataset, load_examples
    from mmdft.data.figures.wordy import is_wordy
    from mmdft.data.vision import pixel_budget
    from mmdft.model import load_processor
    from mmdft.probing import loaded_probe

    torch.set_num_threads(1)
    processor = load_processor(run.model)
    budget = pixel_budget(processor, run.data.min_pixels, run.data.max_pixels)
    rows = load_examples(run.data.train, run.data, processor, budget).rows
    chosen = loaded_probe(rows, num, processor, budget)
    found = preflight(run, RenderedDataset(chosen, processor, budget))
    said = found.advice[0]
    wordy = [is_wordy(row.example.turns[-1].text) for row in chosen]
    result: dict[str, Any] = {
        "mean_p": found.parts["all"].mean,
        "rule": said.rule,
        "text": f"{said.measured}; {said.found} ({said.source})",
        "examples": len(chosen),
        "wordy": sum(wordy) / len(wordy),
    }
    write_json(out, result)
