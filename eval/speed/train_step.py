"""Whole training steps: mmdft, padded and packed, beside TRL's SFTTrainer with its DFT loss.

    pip install '.[bench]'
    python eval/speed/train_step.py --images FOLDER --shape small --rounds 5 \
        --out eval/results/train_step_small

A Qwen2.5-VL with the real vocabulary and random weights: `small` has 70 M parameters, for a CPU
(about 7 GB); `3b` and `7b` have the shapes of the published models, for a GPU. FOLDER is DynaMath's
(`dataset.json` and `image/`), or any folder of images. Loss and gradient norm are compared in fp32
before anything is timed. Writes OUT.md and OUT.json.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import (
    ALLOCATOR,
    alternating,
    cell,
    default_device,
    figure_rows,
    forget_peak,
    held_mb,
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
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from mmdft.config import DataConfig, SourceConfig
from mmdft.data.collate import IGNORE
from mmdft.data.dataset import RenderedDataset, load_examples
from mmdft.data.packing import packed_positions
from mmdft.data.vision import pixel_budget
from mmdft.errors import MmdftError
from mmdft.files import read_jsonl, write_jsonl
from mmdft.probing import spread
from mmdft.tiny import FAMILY_BUILDERS, TinySize, figure_texts
from mmdft.trainer import DFTTrainer
from mmdft.training_data import training_batch

PACKED, PADDED = "mmdft, packed", "mmdft, padded"
TRL, TRL_COMPACT, TRL_LIGER = "TRL", "TRL, trained tokens only", "TRL with Liger"
MODES = ("full fine-tuning", "LoRA")
CLOSE = 1e-4
# Of the language model: LoRA trains nothing in the vision tower.
ADAPTED = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
LONGEST = 200  # words of an answer
WARMUP = 1  # steps of a process that are not timed


class Shape(NamedTuple):
    """Sizes of a model, and of what it is shown."""

    size: TinySize
    text: Mapping[str, Any]
    """what differs from a tiny model of that size"""
    vision: Mapping[str, Any]
    image_tokens: int
    """at most, of one image"""


def _published(
    hidden: int, layers: int, heads: int, pairs: int, inner: int, vocabulary: int
) -> Any:
    """The shape of a published Qwen2.5-VL, out of its `config.json`."""
    text = {
        "vocab_size": vocabulary,
        "num_key_value_heads": pairs,
        "intermediate_size": inner,
        "max_position_embeddings": 128_000,
    }
    vision = {"intermediate_size": 3420, "fullatt_block_indexes": [7, 15, 23, 31]}
    size = TinySize(
        layers=layers,
        width=hidden,
        heads=heads,
        vision_layers=32,
        vision_width=1280,
        vision_heads=16,
        init=0.02,
    )
    return Shape(size, text, vision, image_tokens=1024)


SHAPES = {
    "tiny": Shape(TinySize(), {"vocab_size": 2048}, {}, image_tokens=64),
    "small": Shape(
        TinySize(
            layers=4,
            width=384,
            heads=6,
            vision_layers=4,
            vision_width=256,
            vision_heads=4,
            init=0.02,
        ),
        {"vocab_size": 151_936},
        {},
        image_tokens=256,
    ),
    "3b": _published(2048, 36, 16, 2, 11_008, 151_936),
    "7b": _published(3584, 28, 28, 4, 18_944, 152_064),
}


class Work(NamedTuple):
    """What one process is to do."""

    contender: str
    mode: str
    folder: Path
    """with the model's configuration, its processor and the rows"""
    device: str
    dtype: str
    batch: int
    steps: int

    def __str__(self) -> str:
        return f"{self.contender}, {self.mode}"


def main() -> None:
    """Compare, measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--batch", type=int, default=4, help="images a step")
    parser.add_argument("--steps", type=int, default=4, help="timed in each process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("eval/results/train_step"))
    options = parser.parse_args()
    device = default_device()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shape(folder, SHAPES[options.shape])
        rows = make_rows(options.images, options.batch * (options.steps + WARMUP))
        write_jsonl(folder / "rows.jsonl", rows)
        work = Work("", "", folder, device, "", options.batch, options.steps)
        found = {mode: measure(work._replace(mode=mode), options.rounds) for mode in MODES}
    given = f"--shape {options.shape} --batch {options.batch} --steps {options.steps}"
    result = {
        "versions": versions_of("mmdft", "torch", "transformers", "peft", "trl", "liger-kernel"),
        "machine": machine(),
        "allocator": ALLOCATOR,
        "device": device,
        "shape": options.shape,
        "batch": options.batch,
        "steps": options.steps,
        "rounds": options.rounds,
        "command": "python eval/speed/train_step.py --images FOLDER "
        f"{given} --rounds {options.rounds}",
        "modes": found,
    }
    save(options.out, result, as_markdown(result))


# What all are given


def write_shape(folder: Path, shape: Shape) -> None:
    """The model's configuration and processor; its weights are drawn in each process."""
    parts = FAMILY_BUILDERS["qwen2_5_vl"](shape.size, figure_texts())
    for config, changed in (
        (parts.config.text_config, shape.text),
        (parts.config.vision_config, shape.vision),
    ):
        for name, value in changed.items():
            setattr(config, name, value)
    parts.config.save_pretrained(folder)
    # Both trainers take the budget of the images from it.
    merged = parts.processor.image_processor.patch_size * parts.processor.image_processor.merge_size
    parts.processor.image_processor.size["longest_edge"] = shape.image_tokens * merged**2
    parts.processor.save_pretrained(folder)


def make_rows(images: Path, num: int) -> list[dict[str, Any]]:
    """Questions on real images; answers of 8 to LONGEST words, drawn evenly in their logarithm."""
    draw = random.Random(0)
    words = " ".join(figure_texts(2)).split()
    rows = figure_rows(images)
    if len(rows) < num:
        raise MmdftError(
            f"{images}: {len(rows)} images, {num} are needed; lower --steps or --batch"
        )
    return [
        {
            **row,
            "answer": " ".join(draw.choices(words, k=round(8 * (LONGEST / 8) ** draw.random()))),
        }
        for row in spread(rows, num)
    ]


def model_of(work: Work) -> nn.Module:
    """The model, the same weights in every process."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(work.folder)
    with torch.device(work.device):
        return AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, work.dtype))


def adapter_of(work: Work) -> LoraConfig | None:
    """What LoRA adds to it."""
    if work.mode != "LoRA":
        return None
    return LoraConfig(r=16, lora_alpha=32, target_modules=ADAPTED, task_type="CAUSAL_LM")


def draw_adapters(model: nn.Module) -> None:
    """The same adapters in every process, none of them zero."""
    draw = torch.Generator().manual_seed(1)
    for name, weight in sorted(model.named_parameters()):
        if "lora_" in name:
            with torch.no_grad():
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.02)


def arguments_of(work: Work, steps: int, out: str) -> dict[str, Any]:
    """The Trainer's arguments."""
    return {
        "output_dir": out,
        "per_device_train_batch_size": work.batch,
        "gradient_accumulation_steps": 1,
        "max_steps": steps,
        "learning_rate": 1e-5,
        "use_cpu": work.device == "cpu",
        "bf16": work.dtype == "bfloat16",
        "gradient_checkpointing": False,
        "dataloader_num_workers": 0,
        # The same examples in the same steps.
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }


# The contenders: each makes a trainer


def by_mmdft(work: Work, arguments: Mapping[str, Any], *, packed: bool) -> Trainer:
    """DFTTrainer on loaded rows, as `mmdft train` makes it."""
    processor = AutoProcessor.from_pretrained(work.folder)
    budget = pixel_budget(processor, None, None)
    source = SourceConfig(path=work.folder / "rows.jsonl", image_root=Path("/"))
    loaded = load_examples([source], DataConfig(), processor, budget)
    if loaded.bad:
        raise MmdftError(f"{len(loaded.bad)} rows cannot be used; the first: {loaded.bad[0]}")
    model, adapter = model_of(work), adapter_of(work)
    return DFTTrainer(
        model=model if adapter is None else get_peft_model(model, adapter),
        args=TrainingArguments(**arguments),
        train_dataset=RenderedDataset(loaded.rows, processor, budget),
        data_collator=partial(
            training_batch,
            pad_id=processor.tokenizer.pad_token_id,
            positions=packed_positions(model.config) if packed else None,
        ),
        processing_class=processor,
        objective="dft",
    )


def by_trl(
    work: Work, arguments: Mapping[str, Any], *, compact: bool = False, liger: bool = False
) -> Trainer:
    """SFTTrainer on a dataset of prompts, completions and images, with its own collator."""
    from datasets import Dataset, Image, List
    from trl import SFTConfig, SFTTrainer
    from trl.trainer import utils
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    if compact:
        utils._use_triton = lambda device: True
    rows = [
        {
            "prompt": [{"role": "user", "content": row["question"]}],
            "completion": [{"role": "assistant", "content": f"Answer: {row['answer']}"}],
            "images": row["images"],
        }
        for _, row in read_jsonl(work.folder / "rows.jsonl")
    ]
    processor = AutoProcessor.from_pretrained(work.folder)
    collate = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)
    return SFTTrainer(
        model=model_of(work),
        args=SFTConfig(**arguments, loss_type="dft", max_length=None, use_liger_kernel=liger),
        train_dataset=Dataset.from_list(rows).cast_column("images", List(Image())),
        data_collator=partial(without_line_break, collate=collate, processor=processor),
        processing_class=processor,
        peft_config=adapter_of(work),
    )


def without_line_break(
    examples: Sequence[Any], collate: Callable[..., dict[str, Any]], processor: Any
) -> dict[str, Any]:
    """TRL's batch, less the label of the line break behind the end of turn."""
    batch = collate(examples)
    labels = batch["labels"]
    places = torch.arange(labels.shape[1]).expand_as(labels)
    last = places.masked_fill(labels == IGNORE, -1).amax(-1, keepdim=True)
    assert set(processor.tokenizer.batch_decode(labels.gather(-1, last))) == {"\n"}
    batch["labels"] = labels.scatter(-1, last, IGNORE)
    return batch


CONTENDERS: dict[str, Callable[[Work, Mapping[str, Any]], Trainer]] = {
    TRL: by_trl,
    TRL_COMPACT: partial(by_trl, compact=True),
    TRL_LIGER: partial(by_trl, liger=True),
    PADDED: partial(by_mmdft, packed=False),
    PACKED: partial(by_mmdft, packed=True),
}


def impossible(name: str, device: str) -> str | None:
    """Why a contender has no figures; None if it has."""
    if name not in (PADDED, PACKED) and importlib.util.find_spec("trl") is None:
        return "not installed"
    if name == TRL_LIGER and importlib.util.find_spec("liger_kernel") is None:
        return "Liger is not installed"
    if name == TRL_LIGER and device == "cpu":
        return "Liger's Triton kernels need a GPU"
    if name == TRL_COMPACT and device == "cuda":
        return "is what TRL does on this device"
    return None


# Measuring


class Clock(TrainerCallback):
    """The time at the end of each step."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note it."""
        if state.global_step in (WARMUP, state.max_steps):
            wait_for(self.device)
        self.ends.append(time.perf_counter())


def trainer_of(work: Work, steps: int, out: str, **more: Any) -> Trainer:
    """The contender's trainer."""
    trainer = CONTENDERS[work.contender](work, {**arguments_of(work, steps, out), **more})
    draw_adapters(trainer.model)
    trainer.remove_callback(PrinterCallback)
    return trainer


def compared(work: Work) -> dict[str, float]:
    """Loss and gradient norm of the first step, and what it holds."""
    with tempfile.TemporaryDirectory() as out:
        trainer = trainer_of(work, 1, out, logging_steps=1, optim="sgd")
        batch = next(iter(copy.copy(trainer).get_train_dataloader()))
        trainer.train()
    log = trainer.state.log_history[0]
    labels = batch["labels"]
    return {
        "loss": log["loss"],
        "grad_norm": log["grad_norm"],
        "positions": labels.numel(),
        "trained": int((labels != IGNORE).sum()),
        "patches": len(batch["pixel_values"]),
    }


def timed(work: Work) -> dict[str, float]:
    """Seconds of a step, and the process's peak."""
    with tempfile.TemporaryDirectory() as out:
        steps = work.steps + WARMUP
        trainer = trainer_of(work, steps, out, logging_steps=steps + 1)
        clock = Clock(work.device)
        trainer.add_callback(clock)
        forget_peak(work.device)
        before = held_mb(work.device)
        trainer.train()
    return {
        "seconds": (clock.ends[-1] - clock.ends[WARMUP - 1]) / work.steps,
        "peak_mb": peak_mb(work.device),
        "before_mb": before,
    }


def tokens_of(work: Work) -> int:
    """Tokens of the examples in the timed steps, without padding."""
    trainer = CONTENDERS[PADDED](work, arguments_of(work, 1, str(work.folder / "run")))
    lengths = [row.length for row in trainer.train_dataset.rows]
    return sum(lengths[WARMUP * work.batch :])


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """By contender why it has no figures, or how far off, how slow and how large it is.

    Raises:
        MmdftError: a contender trains on something else.
    """
    reasons = {name: impossible(name, work.device) for name in CONTENDERS}
    names = [name for name, reason in reasons.items() if reason is None]
    exact = work._replace(dtype="float32")
    firsts = {name: in_a_process(compared, exact._replace(contender=name)) for name in names}
    for name, first in firsts.items():
        check_equal(f"{name}, {work.mode}", first, firsts[PADDED])
    tokens = in_a_process(tokens_of, exact._replace(contender=PADDED))
    dtype = "bfloat16" if work.device == "cuda" else "float32"
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for name in alternating(names, rounds):
        runs[name].append(in_a_process(timed, work._replace(contender=name, dtype=dtype)))
    seconds = {name: [run["seconds"] for run in each] for name, each in runs.items()}
    peaks = {name: [run["peak_mb"] for run in each] for name, each in runs.items()}
    return {
        name: {"left_out": reasons[name]}
        if name not in runs
        else {
            "dtype": dtype,
            "first_step": firsts[name],
            "seconds": spread_of(seconds[name]),
            "tokens_per_second": tokens / work.steps / spread_of(seconds[name])["median"],
            "times_packed": ratios(seconds[name], seconds[PACKED]),
            "peak_mb": spread_of(peaks[name]),
            "before_mb": spread_of([run["before_mb"] for run in runs[name]]),
        }
        for name in CONTENDERS
    }


def check_equal(name: str, one: Mapping[str, float], other: Mapping[str, float]) -> None:
    """See that two first steps are the same.

    Raises:
        MmdftError: they are not.
    """
    for key in ("trained", "patches"):
        if one[key] != other[key]:
            raise MmdftError(f"{name}: {one[key]:,} {key} in the first step, not {other[key]:,}")
    for key in ("loss", "grad_norm"):
        apart = abs(one[key] / other[key] - 1)
        if not apart < CLOSE:
            raise MmdftError(f"{name}: the first step's {key} is {apart:.1e} off mmdft's, padded")


# The report


def as_markdown(result: dict[str, Any]) -> str:
    """The tables."""
    parts = [
        f"# Whole training steps, {result['shape']} model",
        f"{result['batch']} images a step with questions and answers of 8 to {LONGEST} words, on "
        f"the {'GPU' if result['device'] == 'cuda' else 'CPU'}; medians of {result['rounds']} "
        f"rounds in alternating order (lowest to highest), each in a process of its own with "
        f"{result['steps']} timed steps behind {WARMUP} that is not. {told(result)}",
    ]
    for mode, found in result["modes"].items():
        rows = [
            [name, f"left out: {each['left_out']}", *[""] * 7]
            if "left_out" in each
            else [
                name,
                cell(each["times_packed"], ".2f"),
                cell(each["seconds"]),
                f"{each['tokens_per_second']:,.0f}",
                f"{each['peak_mb']['median'] / 1e3:.2f}",
                f"{each['peak_mb']['median'] / found[PACKED]['peak_mb']['median']:.2f}",
                f"{each['first_step']['positions']:,}",
                *(
                    f"{abs(each['first_step'][key] / found[PADDED]['first_step'][key] - 1):.0e}"
                    for key in ("loss", "grad_norm")
                ),
            ]
            for name, each in found.items()
        ]
        titles = [
            "trainer",
            "time / packed",
            "seconds a step",
            "tokens/s",
            "peak GB",
            "peak / packed",
            "positions",
            "loss apart",
            "gradient apart",
        ]
        title = f"{mode[0].upper()}{mode[1:]}, {found[PACKED]['dtype']}"
        parts += [f"## {title}", table(titles, rows)]
    parts.append(
        "The model is a Qwen2.5-VL with random weights. All take the same images through the same "
        "processor and train the same tokens: of TRL's own batches the label of the line break "
        "behind the end of turn, which TRL trains too, is taken out. A step is data, forward, "
        "backward, clipping and AdamW, without data loader workers and without gradient "
        "checkpointing. `tokens/s` counts the examples' tokens, images' included, padding not; "
        "`positions` are the first step's, padding included. `apart`: the relative difference of "
        "the first step's loss and gradient norm, in fp32, from mmdft's, padded; above 1e-4 "
        "nothing is timed. One micro-batch makes a step, because TRL normalises several otherwise "
        "(../results/loss_exactness.md). `peak`: of the process's resident memory on a CPU, of "
        "what is allocated on a GPU. All processes keep freed memory (`MALLOC_MMAP_MAX_=0`), as "
        "`mmdft train` does by itself and others only if they are told. TRL's head projects every "
        f"token where Triton does not run, as on a CPU; `{TRL_COMPACT}` is TRL told to do there "
        "what it does on a GPU."
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
