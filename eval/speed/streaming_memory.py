"""What a source costs in memory when it is streamed: 100,000 rows beside a million; on the CPU.

    python eval/speed/streaming_memory.py --out eval/results/streaming_memory

writes OUT.md and OUT.json. Rows of text that share one small image are written to a temporary
JSONL file (300 MB for a million). Each measurement is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from PIL import Image
from torch.utils.data import DataLoader
from transformers import AutoProcessor

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import pixel_budget
from mmdft.files import write_json, write_text
from mmdft.sampling import ShuffledRows
from mmdft.tiny import build_tiny
from mmdft.training_data import training_batch

SIZES = (100_000, 1_000_000)
STEPS, BATCH = 200, 4


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("eval/results/streaming_memory"))
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_tiny(folder / "tiny", family="qwen2_5_vl")
        Image.new("RGB", (56, 56), "white").save(folder / "figure.png")
        found = [
            in_a_process(write_rows(folder, rows), rows, workers)
            for rows in SIZES
            for workers in (0, 1)
        ]
    result = {
        "versions": {each: version(each) for each in ("mmdft", "torch", "transformers")},
        "steps": STEPS,
        "batch": BATCH,
        "runs": found,
    }
    text = as_markdown(result)
    print(text)
    write_json(out.with_name(out.name + ".json"), result)
    write_text(out.with_name(out.name + ".md"), text)


def write_rows(folder: Path, num: int) -> Path:
    """So many rows of about 300 bytes, unless they are there."""
    path = folder / f"{num}.jsonl"
    if not path.exists():
        with path.open("w") as stream:
            for index in range(num):
                row = {
                    "id": f"row-{index}",
                    "images": ["figure.png"],
                    "question": f"How many squares of side {index} fit? " + "Think first. " * 8,
                    "answer": str(index),
                }
                stream.write(json.dumps(row) + "\n")
    return path


def in_a_process(path: Path, rows: int, workers: int) -> dict[str, Any]:
    """The measurement in a process of its own, started anew: peaks do not go down."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(path, rows, workers, sender))
    process.start()
    sender.close()
    found: dict[str, Any] = receiver.recv()
    process.join()
    return found


def measure(path: Path, rows: int, workers: int, sender: Any) -> None:
    """Index a file, shuffle its rows as the Trainer does, and take some steps' batches."""
    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(path.parent / "tiny")
    before = peak()
    start = time.perf_counter()
    dataset = StreamedDataset(
        [SourceConfig(path=path)],
        DataConfig(streaming=True),
        processor,
        pixel_budget(processor, None, None),
    )
    indexed, seconds = peak(), time.perf_counter() - start
    assert len(dataset) == rows
    loader = DataLoader(
        dataset,
        batch_size=BATCH,
        sampler=ShuffledRows(rows, seed=0),
        collate_fn=partial(training_batch, pad_id=processor.tokenizer.pad_token_id),
        num_workers=workers,
        # A worker's default, in a process that was not spawned itself.
        multiprocessing_context="fork" if workers else None,
    )
    for step, batch in enumerate(loader, start=1):
        assert batch["input_ids"].shape[0] == BATCH and "bad_rows" not in batch
        if step == STEPS:
            break
    sender.send(
        {
            "rows": rows,
            "workers": workers,
            "index_seconds": seconds,
            "before_mb": before,
            "indexed_mb": indexed,
            "peak_mb": peak(),
        }
    )


def peak() -> float:
    """Most memory that this process ever held, in MB.

    Not getrusage's, which a new process inherits from the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


def as_markdown(result: dict[str, Any]) -> str:
    """The table, and what a row costs."""
    titles = ("rows", "workers", "s to index", "MB before", "MB indexed", "MB at most")
    lines = [titles, ["---"] * len(titles)]
    lines += [
        (
            f"{run['rows']:,}",
            str(run["workers"]),
            f"{run['index_seconds']:.1f}",
            *(f"{run[name]:.0f}" for name in ("before_mb", "indexed_mb", "peak_mb")),
        )
        for run in result["runs"]
    ]
    more = SIZES[1] - SIZES[0]
    costs = [
        (after[name] - first[name]) * 1e6 / more
        for name in ("indexed_mb", "peak_mb")
        for first, after in zip(result["runs"][:2], result["runs"][2:], strict=True)
    ]
    return (
        "\n\n".join(
            [
                "# What a streamed source costs in memory",
                "Rows streamed through `StreamedDataset` and a `DataLoader` with the Trainer's "
                f"sampler: {result['steps']} batches of {result['batch']}; memory is the "
                "main process's. Made by `python eval/speed/streaming_memory.py`.",
                "\n".join("| " + " | ".join(line) + " |" for line in lines),
                f"Each further row costs {costs[0]:.0f} bytes in the index, and {costs[2]:.0f} "
                f"({costs[3]:.0f} with a worker) together with the sampler's order.",
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
