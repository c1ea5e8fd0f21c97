"""How fast rows become batches: mmdft beside TRL's and LLaMA-Factory's collation; on the CPU.

    python eval/speed/data.py --images FOLDER --rounds 5 --out eval/results/data_speed

FOLDER is DynaMath's (`dataset.json` and `image/`), or any folder of images. Writes OUT.md and
OUT.json. A peer that is not installed is left out; both live well in an environment of their own
(`pip install trl`; `pip install --no-deps llamafactory torchaudio`).
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from measure import figure_rows, machine, save, table, told, versions_of
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import AutoProcessor

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.dataset import Loaded, RenderedDataset, load_examples
from mmdft.data.streaming import StreamedDataset
from mmdft.data.vision import pixel_budget
from mmdft.errors import DataError
from mmdft.files import write_jsonl
from mmdft.memory import keep_freed_memory
from mmdft.probing import spread
from mmdft.tiny import build_tiny
from mmdft.training_data import training_batch

HAS_TRL = importlib.util.find_spec("trl") is not None
HAS_LLAMA_FACTORY = importlib.util.find_spec("llamafactory") is not None
OURS, STREAMED, TRL, LLAMA_FACTORY = "mmdft", "mmdft, streamed", "TRL", "LLaMA-Factory"

BATCH = 4
WORKERS = (0, 1, 2)
BUDGETS = {"the processor's own budget": None, "at most 256 tokens an image": 256 * 28 * 28}


class Pipeline(NamedTuple):
    """Rows, and what makes a batch of them."""

    rows: Dataset[Any]
    collate: Callable[[Any], dict[str, Any]]
    prepared: float
    """seconds before the first batch: what is read, tokenised or measured for all rows"""
    begin: Callable[[], None] = lambda: None
    """what a training does to its process first"""


class Work(NamedTuple):
    """What an epoch's batches hold."""

    image_tokens: int
    patches: int
    labels: int


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, help="only so many, evenly spaced")
    parser.add_argument("--out", type=Path, default=Path("eval/results/data_speed"))
    options = parser.parse_args()
    for name, is_there in (("TRL", HAS_TRL), ("LLaMA-Factory", HAS_LLAMA_FACTORY)):
        if not is_there:
            print(f"{name} is not installed, so its rows are left out")
    torch.set_num_threads(1)
    rows = figure_rows(options.images)
    if options.rows is not None:
        rows = spread(rows, options.rows)
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "versions": versions_of(
                "mmdft", "torch", "transformers", "pillow", "trl", "llamafactory"
            ),
            "machine": machine(),
            "rows": len(rows),
            "batch": BATCH,
            "rounds": options.rounds,
            "command": "python eval/speed/data.py --images FOLDER"
            + f" --rows {options.rows}" * bool(options.rows)
            + f" --rounds {options.rounds}",
            "budgets": {
                name: measure(rows, largest, Path(folder), options.rounds)
                for name, largest in BUDGETS.items()
            },
        }
    save(options.out, result, as_markdown(result))


def measure(
    rows: Sequence[dict[str, Any]], largest: int | None, folder: Path, rounds: int
) -> dict[str, Any]:
    """Rows a second of each pipeline by number of workers, medians over the rounds."""
    model = folder / "tiny"
    if not model.exists():
        build_tiny(model, family="qwen2_5_vl")

    def processor() -> Any:
        # One each: TRL and LLaMA-Factory read the budget from it, and set things on it.
        tools = AutoProcessor.from_pretrained(model)
        if largest is not None:
            tools.image_processor.size["longest_edge"] = largest
        return tools

    makers: dict[str, Callable[..., Pipeline]] = {OURS: ours, STREAMED: ours_streamed}
    makers |= {TRL: trl} if HAS_TRL else {}
    makers |= {LLAMA_FACTORY: llama_factory} if HAS_LLAMA_FACTORY else {}
    pipelines = {name: make(rows, processor(), folder) for name, make in makers.items()}
    token = processor().image_token_id
    work = {name: work_of(pipeline, token) for name, pipeline in pipelines.items()}
    for name, done in work.items():
        wanted = work[OURS]
        if (done.image_tokens, done.patches) != (wanted.image_tokens, wanted.patches):
            print(f"{name} does other work: {done}, mmdft {wanted}")
    taken: dict[str, dict[int, list[Taken]]] = {
        name: {workers: [] for workers in WORKERS} for name in pipelines
    }
    for number in range(rounds):
        for workers in WORKERS:
            names = list(pipelines)
            # So that none always comes first.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                taken[name][workers].append(epoch_time(pipelines[name], workers))
    return {
        name: {
            "prepared_seconds": pipelines[name].prepared,
            "work": work[name]._asdict(),
            "rows_per_second": {
                str(workers): len(rows) / statistics.median(one.seconds for one in found)
                for workers, found in each.items()
            },
            "cpu_ms_per_row": {
                str(workers): statistics.median(one.cpu for one in found) / len(rows) * 1e3
                for workers, found in each.items()
            },
            "all": {str(workers): found for workers, found in each.items()},
        }
        for name, each in taken.items()
    }


def epoch(pipeline: Pipeline, workers: int) -> Iterator[dict[str, Any]]:
    """All batches of an epoch, in the rows' order."""
    return iter(
        DataLoader(
            pipeline.rows, batch_size=BATCH, collate_fn=pipeline.collate, num_workers=workers
        )
    )


class Taken(NamedTuple):
    """What an epoch took: seconds by the clock, and of all processes' computing."""

    seconds: float
    cpu: float


def epoch_time(pipeline: Pipeline, workers: int) -> Taken:
    """An epoch in a process of its own, the start of its workers included."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        pipeline.begin()
        start = time.perf_counter()
        for _ in epoch(pipeline, workers):
            pass
        seconds = time.perf_counter() - start
        used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        sender.send(Taken(seconds, sum(each.ru_utime + each.ru_stime for each in used)))

    process = context.Process(target=run)
    process.start()
    sender.close()
    taken: Taken = receiver.recv()
    process.join()
    return taken


def work_of(pipeline: Pipeline, token: int) -> Work:
    """What an epoch's batches hold."""
    found = Work(0, 0, 0)
    for batch in epoch(pipeline, 0):
        found = Work(
            found.image_tokens + int((batch["input_ids"] == token).sum()),
            found.patches + len(batch["pixel_values"]),
            found.labels + int((batch["labels"] != -100).sum()),
        )
    return found


# The pipelines


def ours(rows: Sequence[dict[str, Any]], processor: Any, folder: Path) -> Pipeline:
    """Loaded rows, as `mmdft train` has them."""
    config, source = as_source(rows, folder)
    start = time.perf_counter()
    budget = pixel_budget(processor, None, None)
    loaded: Loaded = load_examples([source], config, processor, budget)
    prepared = time.perf_counter() - start
    if len(loaded.rows) != len(rows):
        raise DataError(f"{len(loaded.bad)} images cannot be used; the first: {loaded.bad[0]}")
    dataset = RenderedDataset(loaded.rows, processor, budget)
    return Pipeline(dataset, collator(processor), prepared, keep_freed_memory)


def ours_streamed(rows: Sequence[dict[str, Any]], processor: Any, folder: Path) -> Pipeline:
    """The same with `data.streaming`."""
    config, source = as_source(rows, folder)
    start = time.perf_counter()
    budget = pixel_budget(processor, None, None)
    streamed = StreamedDataset([source], config, processor, budget)
    prepared = time.perf_counter() - start
    return Pipeline(streamed, collator(processor), prepared, keep_freed_memory)


def as_source(rows: Sequence[dict[str, Any]], folder: Path) -> tuple[DataConfig, SourceConfig]:
    """The rows in a file."""
    path = folder / "rows.jsonl"
    write_jsonl(path, rows)
    return DataConfig(), SourceConfig(path=path, image_root=Path("/"))


def collator(processor: Any) -> Callable[[Any], dict[str, Any]]:
    """The Trainer's."""
    pad_id = processor.tokenizer.pad_token_id
    return lambda each: training_batch(each, pad_id=pad_id)


class Rows(Dataset[dict[str, Any]]):
    """Rows made when they are asked for."""

    def __init__(self, make: Callable[[int], dict[str, Any]], num: int) -> None:
        self.make, self.num = make, num

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.make(index)


def trl(rows: Sequence[dict[str, Any]], processor: Any, folder: Path) -> Pipeline:
    """TRL's collator, which tokenises and makes tensors, with images opened as `datasets` does."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    def make(index: int) -> dict[str, Any]:
        row = rows[index]
        image = Image.open(row["images"][0])
        image.load()
        return {
            "prompt": [{"role": "user", "content": row["question"]}],
            "completion": [{"role": "assistant", "content": f"Answer: {row['answer']}"}],
            "images": [image],
        }

    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    return Pipeline(Rows(make, len(rows)), collate, 0.0)


def llama_factory(rows: Sequence[dict[str, Any]], processor: Any, folder: Path) -> Pipeline:
    """LLaMA-Factory's template over all rows beforehand, then its collator.

    The collator gets no model, so that it does not compute rotary positions, as the others do not.
    """
    from llamafactory.data.collator import SFTDataCollatorWith4DAttentionMask
    from llamafactory.data.template import TEMPLATES

    template, tokenizer = TEMPLATES["qwen2_vl"], processor.tokenizer
    size = processor.image_processor.size
    # What `patch_processor` sets of its arguments.
    processor.image_max_pixels = size["longest_edge"]
    processor.image_min_pixels = size["shortest_edge"]
    processor.image_do_pan_and_scan = processor.crop_to_patches = False

    def encoded(row: dict[str, Any]) -> dict[str, Any]:
        messages = [
            {"role": "user", "content": f"<image>{row['question']}"},
            {"role": "assistant", "content": f"Answer: {row['answer']}"},
        ]
        plugin, images = template.mm_plugin, row["images"]
        messages = plugin.process_messages(messages, images, [], [], processor)
        ids, labels = plugin.process_token_ids([], [], images, [], [], tokenizer, processor)
        for prompt, reply in template.encode_multiturn(tokenizer, messages):
            ids += prompt + reply
            labels += [-100] * len(prompt) + reply
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

    start = time.perf_counter()
    made = [encoded(row) for row in rows]
    prepared = time.perf_counter() - start
    collate = SFTDataCollatorWith4DAttentionMask(
        tokenizer=tokenizer, template=template, processor=processor, label_pad_token_id=-100
    )
    # The collator takes what it reads out of the rows.
    return Pipeline(
        Rows(lambda index: {**made[index], "images": list(rows[index]["images"])}, len(rows)),
        collate,
        prepared,
    )


# The report


def as_markdown(result: dict[str, Any]) -> str:
    """The tables."""
    parts = [
        "# How fast rows become batches",
        f"{result['rows']} rows with one image each (decoded, resized, cut into patches, padded), "
        f"batches of {result['batch']}, the tiny Qwen2.5-VL's processor, the same pixel budget "
        f"for all; rows a second, medians of {result['rounds']} rounds in alternating order, one "
        f"thread in each process. {told(result)}",
    ]
    for name, found in result["budgets"].items():
        rows = []
        for who, each in found.items():
            speeds = each["rows_per_second"]
            ratios = [found[OURS]["rows_per_second"][n] / speeds[n] for n in speeds]
            rows.append(
                [
                    who,
                    *(f"{speed:.1f}" for speed in speeds.values()),
                    *(f"{ratio:.2f}" for ratio in ratios),
                    *(f"{ms:.1f}" for ms in each["cpu_ms_per_row"].values()),
                    f"{each['prepared_seconds']:.1f}",
                    f"{each['work']['image_tokens']:,}",
                    f"{each['work']['labels']:,}",
                ]
            )
        titles = [
            "pipeline",
            *(f"rows/s, {n} worker{'s' * (n != 1)}" for n in WORKERS),
            *(f"mmdft / it, {n}" for n in WORKERS),
            *(f"CPU ms a row, {n}" for n in WORKERS),
            "s before",
            "image tokens",
            "labels",
        ]
        parts += [f"## With {name}", table(titles, rows)]
    parts.append(
        "`CPU ms a row` is the computing of all processes in an epoch with so many workers, which "
        "other work on the machine changes least. Every epoch runs in a process of its own, the "
        "start of its workers included; mmdft's keeps freed memory, as `mmdft train` does "
        "(`mmdft.memory`). mmdft's workers send pixels as bytes, an eighth of the processor's "
        "values, which are made of them where they arrive; the others fill shared memory with the "
        "values. `s before` is spent before the first "
        "batch: mmdft parses, tokenises and measures every row, and reads the headers of the "
        "images; LLaMA-Factory tokenises, and decodes every image to count its tokens; TRL does "
        "all in the collator. An epoch is like the next in all of them; `mmdft, streamed` parses "
        "and tokenises anew in each, where mmdft keeps the tokens. `labels`: "
        "TRL and LLaMA-Factory also train the line break behind the end of turn. LLaMA-Factory "
        "shrinks an image above the budget twice, which makes other sizes of some."
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
