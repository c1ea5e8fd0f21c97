"""What k answers to one image and question cost: a shared prefix beside each answer by itself.

    python eval/speed/shared_prefix.py --shape small --rounds 5 --out eval/results/shared_prefix

Loss and gradient of one micro-batch: k answers behind a prefix of an image and a question, as a
shared prefix (`data.share_prefix`), packed without it, and padded; no position is padded, for all
answers are of one length. A Qwen2.5-VL with random weights and the real vocabulary, on the GPU in
bf16 if there is one, else on the CPU in fp32. Losses and gradients are compared in fp32 before
anything is timed. Writes OUT.md and OUT.json.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import (
    ALLOCATOR,
    alternating,
    cell,
    default_device,
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
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, PreTrainedConfig

from mmdft.data.collate import collate_training
from mmdft.data.packing import collate_packed, packed_positions
from mmdft.errors import MmdftError
from mmdft.head import forward_answers
from mmdft.objectives import dft
from mmdft.records import Rendered
from mmdft.tiny import FAMILY_BUILDERS, TinySize, figure_texts

SHARED, PACKED, PADDED = CONTENDERS = ("shared prefix", "packed", "padded")
CLOSE = 1e-4
WARMUP = 1

SMALL = {"width": 384, "layers": 4, "heads": 6}
SMALL_VISION = {"vision_width": 256, "vision_layers": 4, "vision_heads": 4}
LARGE = {"width": 2048, "layers": 36, "heads": 16}
LARGE_VISION = {"vision_width": 1280, "vision_layers": 32, "vision_heads": 16}
# By name the sizes, and what the language part and the vision tower have other than those say; "3b"
# is of Qwen2.5-VL-3B's `config.json`.
SHAPES: dict[str, tuple[TinySize, Mapping[str, Any], Mapping[str, Any]]] = {
    "tiny": (TinySize(), {}, {}),
    "small": (TinySize(**SMALL, **SMALL_VISION, init=0.02), {"vocab_size": 151_936}, {}),
    "3b": (
        TinySize(**LARGE, **LARGE_VISION, init=0.02),
        {"vocab_size": 151_936, "num_key_value_heads": 2, "intermediate_size": 11_008},
        {"intermediate_size": 3420, "fullatt_block_indexes": [7, 15, 23, 31]},
    ),
}


class Work(NamedTuple):
    """What one process is to do."""

    contender: str
    answers: int
    prefix: int
    length: int
    """tokens of an answer"""
    shape: str
    device: str
    dtype: str
    steps: int

    def __str__(self) -> str:
        return f"{self.contender}, {self.answers} answers"


class Found(NamedTuple):
    """Loss sum of a batch, the gradient's norm, and the gradient by random directions."""

    loss: float
    norm: float
    projections: list[float]


def main() -> None:
    """Compare, measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, nargs="+", default=[2, 4, 8], help="k")
    parser.add_argument("--prefix", type=int, default=1000, help="tokens of image and question")
    parser.add_argument("--length", type=int, default=100, help="tokens of an answer")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--steps", type=int, default=3, help="timed in each process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("eval/results/shared_prefix"))
    options = parser.parse_args()
    device = default_device()
    work = Work(
        "", 0, options.prefix, options.length, options.shape, device, "float32", options.steps
    )
    given = f"--shape {options.shape} --answers {' '.join(map(str, options.answers))}"
    given += f" --prefix {options.prefix} --length {options.length} --steps {options.steps}"
    result = {
        "versions": versions_of("mmdft", "torch", "transformers"),
        "machine": machine(),
        "allocator": ALLOCATOR,
        "device": device,
        "shape": options.shape,
        "prefix": options.prefix,
        "length": options.length,
        "steps": options.steps,
        "rounds": options.rounds,
        "command": f"python eval/speed/shared_prefix.py {given} --rounds {options.rounds}",
        "answers": {
            str(k): measure(work._replace(answers=k), options.rounds) for k in options.answers
        },
    }
    save(options.out, result, as_markdown(result))


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """By contender how far off, how slow and how large it is.

    Raises:
        MmdftError: a contender computes something else.
    """
    firsts = {name: in_a_process(compared, work._replace(contender=name)) for name in CONTENDERS}
    for name, first in firsts.items():
        check_equal(name, first, firsts[PADDED])
    dtype = "bfloat16" if work.device == "cuda" else "float32"
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for name in alternating(CONTENDERS, rounds):
        runs[name].append(in_a_process(timed, work._replace(contender=name, dtype=dtype)))
    seconds = {name: [run["seconds"] for run in each] for name, each in runs.items()}
    return {
        name: {
            **firsts[name]._asdict(),
            "positions": runs[name][0]["positions"],
            "seconds": spread_of(seconds[name]),
            "times_shared": ratios(seconds[name], seconds[SHARED]),
            "peak_mb": spread_of([run["peak_mb"] for run in runs[name]]),
            "before_mb": spread_of([run["before_mb"] for run in runs[name]]),
        }
        for name in CONTENDERS
    }


def check_equal(name: str, one: Found, other: Found) -> None:
    """See that two contenders computed the same.

    Raises:
        MmdftError: they did not.
    """
    size = other.norm * math.sqrt(len(other.projections))
    apart = max(
        abs(one.loss / other.loss - 1),
        abs(one.norm / other.norm - 1),
        math.dist(one.projections, other.projections) / size,
    )
    if not apart < CLOSE:
        raise MmdftError(f"{name} computes something else: {one}, {PADDED} {other}")


def compared(work: Work) -> Found:
    """What the contender computes."""
    model, batch = model_of(work), batch_of(work)
    loss = step(model, batch)
    grads = [p.grad.flatten().double() for p in model.parameters() if p.grad is not None]
    generator = torch.Generator(work.device).manual_seed(1)
    projections = [
        sum(
            torch.dot(
                grad,
                torch.randn(len(grad), generator=generator, device=work.device).double(),
            ).item()
            for grad in grads
        )
        for _ in range(4)
    ]
    norm = math.sqrt(sum(grad.square().sum().item() for grad in grads))
    return Found(loss.item(), norm, projections)


def timed(work: Work) -> dict[str, float]:
    """Seconds of a loss and its gradient, and the process's peak."""
    model, batch = model_of(work), batch_of(work)
    forget_peak(work.device)
    before = held_mb(work.device)
    for number in range(WARMUP + work.steps):
        if number == WARMUP:
            wait_for(work.device)
            start = time.perf_counter()
        step(model, batch)
    wait_for(work.device)
    return {
        "seconds": (time.perf_counter() - start) / work.steps,
        "positions": batch["input_ids"].numel(),
        "peak_mb": peak_mb(work.device),
        "before_mb": before,
    }


def step(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """The loss of a batch; its gradient is left in the model."""
    model.zero_grad(set_to_none=True)
    answers = forward_answers(model, model.lm_head, batch, dft, chunk_mb=256)
    answers.loss.backward()
    return answers.loss


def config_of(work: Work) -> PreTrainedConfig:
    """The model's configuration."""
    size, text, vision = SHAPES[work.shape]
    config = FAMILY_BUILDERS["qwen2_5_vl"](size, figure_texts()).config
    for part, changes in ((config.text_config, text), (config.vision_config, vision)):
        for name, value in changes.items():
            setattr(part, name, value)
    config._attn_implementation = "sdpa"
    return config


def model_of(work: Work) -> nn.Module:
    """The model, the same weights in every process."""
    torch.manual_seed(0)
    with torch.device(work.device):
        return AutoModelForImageTextToText.from_config(
            config_of(work), dtype=getattr(torch, work.dtype)
        )


def batch_of(work: Work) -> dict[str, Tensor]:
    """An image of six tenths of the prefix, the question and the answers in random words."""
    config = config_of(work)
    generator = torch.Generator().manual_seed(0)
    vision = config.vision_config
    # An image of twenty visual tokens to a row.
    rows = max(1, work.prefix * 6 // 10 // 20)
    side = vision.spatial_merge_size
    grid = torch.tensor([[1, rows * side, 20 * side]])
    width = 3 * vision.temporal_patch_size * vision.patch_size**2
    pixels = torch.randn(int(grid.prod()), width, generator=generator)
    image = (config.image_token_id,) * (rows * 20)
    if len(image) + 2 > work.prefix:
        raise MmdftError(f"--prefix {work.prefix} has no room for an image and a question")
    # Of the first tokens, which are bytes and not special.
    words = torch.randint(0, 200, (work.prefix - len(image),), generator=generator).tolist()
    prompt = (words[0], *image, *words[1:])
    answers = torch.randint(0, 200, (work.answers, work.length), generator=generator).tolist()
    examples = [
        Rendered(
            id=str(number),
            ids=(*prompt, *answer),
            mask=(False,) * len(prompt) + (True,) * len(answer),
            segments=(0,) * (len(prompt) + len(answer)),
            image_tokens=tuple(
                0 < place <= len(image) for place in range(len(prompt) + len(answer))
            ),
            images={"pixel_values": pixels, "image_grid_thw": grid},
            shared=len(prompt) - 1 if number and work.contender == SHARED else 0,
        )
        for number, answer in enumerate(answers)
    ]
    batch = (
        collate_training(examples, pad_id=0)
        if work.contender == PADDED
        else collate_packed([examples], packed_positions(config))
    )
    return {name: tensor.to(work.device) for name, tensor in batch.items()}


def as_markdown(result: Mapping[str, Any]) -> str:
    """The table."""
    rows = [
        [
            k,
            name,
            f"{each['positions']:,}",
            cell(each["seconds"]),
            cell(each["times_shared"]),
            cell(each["peak_mb"], ",.0f"),
        ]
        for k, found in result["answers"].items()
        for name, each in found.items()
    ]
    titles = ["answers", "form", "positions", "seconds", "times the shared prefix's", "peak MB"]
    parts = [
        "# What k answers to one image and question cost",
        f"Loss and gradient of k answers of {result['length']} tokens behind a prefix of "
        f"{result['prefix']:,} tokens, six tenths of them an image's; Qwen2.5-VL of the shape "
        f"`{result['shape']}`, random weights, sdpa attention. Medians of {result['rounds']} "
        f"rounds in alternating order, {result['steps']} steps each in a process of its own, "
        f"lowest and highest in brackets; losses and gradients were equal within {CLOSE:g} in "
        f"fp32 first. {told(result)}",
        table(titles, rows),
        "`packed` is `data.packing` without a shared prefix: on a CPU each answer attends by "
        "itself (`mmdft.attention`), on a GPU sdpa computes all pairs of positions in the row. "
        "`padded` has a row for each answer, and as all are of one length no padding.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
