"""Answers a second: `mmdft eval`'s generation beside one by one and batches in file order.

    python eval/speed/generate.py --items 64 --rounds 5 --out eval/results/generate_speed

One by one is how VLMEvalKit asks a transformers model, batches in file order how lmms-eval does.
The shipped model answers drawn figures; `--model NAME --benchmark dynamath --data FOLDER` asks
another one something else. Answers are compared in fp32 before anything is timed. Writes OUT.md and
OUT.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import (
    ALLOCATOR,
    alternating,
    cell,
    default_device,
    forget_peak,
    in_a_process,
    machine,
    peak_mb,
    ratios,
    save,
    spread_of,
    table,
    told,
    versions_of,
    wait_for,
)
from torch import nn

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.data.figures import write_figures
from mmdft.data.images import open_image
from mmdft.data.vision import pixel_budget
from mmdft.errors import MmdftError
from mmdft.evals.asking import requests_for
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.generate import generate
from mmdft.model import load_model, load_processor
from mmdft.records import Example, Prediction

OURS, SINGLE, IN_ORDER = "mmdft", "one by one", "batches in file order"


class Work(NamedTuple):
    """What one process is to do."""

    contender: str
    model: str
    benchmark: str
    data: Path
    items: int
    batch: int
    max_new_tokens: int
    device: str
    dtype: str

    def __str__(self) -> str:
        return self.contender


def main() -> None:
    """Compare, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mmdft/tiny")
    parser.add_argument("--benchmark", default="figures")
    parser.add_argument("--data", type=Path, help="the benchmark's; without it figures are drawn")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("eval/results/generate_speed"))
    options = parser.parse_args()
    device = default_device()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or write_figures(Path(folder), num=options.items, split="test", seed=0)
        work = Work(
            "",
            options.model,
            options.benchmark,
            data,
            options.items,
            options.batch,
            options.max_new_tokens,
            device,
            "",
        )
        found = measure(work, options.rounds)
    given = f"--model {options.model} --benchmark {options.benchmark} --items {options.items} "
    given += f"--batch {options.batch} --max-new-tokens {options.max_new_tokens}"
    result = {
        "versions": versions_of("mmdft", "torch", "transformers"),
        "machine": machine(),
        "allocator": ALLOCATOR,
        "device": device,
        "work": {**work._asdict(), "data": "drawn" if options.data is None else "given"},
        "rounds": options.rounds,
        "command": f"python eval/speed/generate.py {given} --rounds {options.rounds}"
        + " --data FOLDER" * (options.data is not None),
        **found,
    }
    save(options.out, result, as_markdown(result))


# The contenders: a model, its processor and the items -> the responses in the items' order


def by_mmdft(work: Work, model: nn.Module, processor: Any, items: Sequence[Example]) -> list[str]:
    """As `mmdft eval` does: the longest prompts first, in batches."""
    settings = DecodingConfig(max_new_tokens=work.max_new_tokens, batch_size=work.batch)
    budget = pixel_budget(processor, None, None)
    found = {}
    for answers in generate(model, processor, requests_for(items, settings), budget, settings):
        for answer in answers:
            if not isinstance(answer, Prediction):
                raise MmdftError(f"item {answer.id}: {answer.reason}")
            found[answer.id] = answer.response
    return [found[item.id] for item in items]


def by_batches(
    work: Work, model: Any, processor: Any, items: Sequence[Example], size: int
) -> list[str]:
    """Chat texts and opened images through the processor, `size` items at a time."""
    responses: list[str] = []
    for start in range(0, len(items), size):
        asked = items[start : start + size]
        inputs = processor(
            text=[
                processor.apply_chat_template(messages(item), add_generation_prompt=True)
                for item in asked
            ],
            images=[open_image(image) for item in asked for image in item.images] or None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(work.device)
        output = model.generate(
            **inputs, max_new_tokens=work.max_new_tokens, do_sample=False, repetition_penalty=1.0
        )
        new = output[:, inputs["input_ids"].shape[1] :]
        responses += processor.batch_decode(new, skip_special_tokens=True)
    return responses


def messages(item: Example) -> list[dict[str, Any]]:
    """An item as chat templates take it."""
    return [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
                for part in turn.parts
            ],
        }
        for turn in item.turns
    ]


def by_one(work: Work, model: Any, processor: Any, items: Sequence[Example]) -> list[str]:
    """As VLMEvalKit does."""
    return by_batches(work, model, processor, items, 1)


def in_file_order(work: Work, model: Any, processor: Any, items: Sequence[Example]) -> list[str]:
    """As lmms-eval does."""
    return by_batches(work, model, processor, items, work.batch)


CONTENDERS: dict[str, Callable[..., list[str]]] = {
    SINGLE: by_one,
    IN_ORDER: in_file_order,
    OURS: by_mmdft,
}


# Measuring


def answered(work: Work) -> dict[str, Any]:
    """The responses, the seconds they took, and the process's peak."""
    config = ModelConfig(name=work.model, dtype=work.dtype)
    items = benchmark_named(work.benchmark).load(work.data, work.items)
    processor = load_processor(config)
    model = load_model(config).eval().to(work.device)
    answer = CONTENDERS[work.contender]
    with torch.inference_mode():
        answer(work, model, processor, items[:2])
        forget_peak(work.device)
        wait_for(work.device)
        start = time.perf_counter()
        responses = answer(work, model, processor, items)
        wait_for(work.device)
    seconds = time.perf_counter() - start
    return {"responses": responses, "seconds": seconds, "peak_mb": peak_mb(work.device)}


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """Seconds and peak of each contender, medians over the rounds.

    Raises:
        MmdftError: a contender answers otherwise.
    """
    exact = {
        name: in_a_process(answered, work._replace(contender=name, dtype="float32"))["responses"]
        for name in CONTENDERS
    }
    for name, responses in exact.items():
        for place, (one, other) in enumerate(zip(responses, exact[OURS], strict=True), start=1):
            if one != other:
                raise MmdftError(f"{name}: answer {place} is {one!r}, mmdft's is {other!r}")
    dtype = "bfloat16" if work.device == "cuda" else "float32"
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for name in alternating(list(CONTENDERS), rounds):
        runs[name].append(in_a_process(answered, work._replace(contender=name, dtype=dtype)))
    seconds = {name: [run["seconds"] for run in each] for name, each in runs.items()}
    return {
        "dtype": dtype,
        "items": len(exact[OURS]),
        "characters": sum(len(response) for response in exact[OURS]),
        "contenders": {
            name: {
                "seconds": spread_of(seconds[name]),
                "times_ours": ratios(seconds[name], seconds[OURS]),
                "peak_mb": spread_of([run["peak_mb"] for run in runs[name]]),
            }
            for name in CONTENDERS
        },
    }


# The report


def as_markdown(result: dict[str, Any]) -> str:
    """The table."""
    work = result["work"]
    rows = [
        [
            name,
            cell(each["times_ours"], ".2f"),
            cell(each["seconds"]),
            f"{result['items'] / each['seconds']['median']:.2f}",
            f"{each['peak_mb']['median'] / 1e3:.2f}",
        ]
        for name, each in result["contenders"].items()
    ]
    parts = [
        "# Answers a second",
        f"{work['model']} answers {result['items']} items of {work['benchmark']}, greedy, at most "
        f"{work['max_new_tokens']} tokens each, batches of {work['batch']}, {result['dtype']} on "
        f"the {'GPU' if result['device'] == 'cuda' else 'CPU'}; medians of {result['rounds']} "
        f"rounds in alternating order (lowest to highest), each in a process of its own whose "
        f"model is loaded and has answered two items. {told(result)}",
        table(["generation", "time / mmdft's", "seconds", "answers/s", "peak GB"], rows),
        "Opening and cutting up the images counts. All answers were equal, character for "
        f"character, in fp32. `{SINGLE}`: the processor's chat text and `generate` for each item, "
        f"as VLMEvalKit does; `{IN_ORDER}`: the same for a batch, padded on the left, as lmms-eval "
        "does; mmdft: the longest prompts first, so that a batch has little padding.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
