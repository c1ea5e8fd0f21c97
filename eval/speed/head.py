"""The loss head alone: mmdft's beside full logits, Liger's and TRL's fused heads.

    pip install '.[bench]'
    python eval/speed/head.py --rounds 5 --out eval/results/head_speed

The size is that of Qwen2.5-VL-3B's head, 1024 tokens of which 128 are trained, on the GPU in bf16
if there is one, else on the CPU in fp32 (about 7 GB). Losses and gradients are compared in fp32
before anything is timed. Writes OUT.md and OUT.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import time
from collections.abc import Callable
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
from peft import LoraConfig
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers import Qwen2Config
from transformers.modeling_outputs import BaseModelOutput

from mmdft.answer_loss import answer_loss
from mmdft.data.collate import IGNORE
from mmdft.errors import MmdftError
from mmdft.head import answer_targets
from mmdft.objectives import dft

HEADS = ("trainable", "frozen", "LoRA")
OURS, FULL = "mmdft", "full logits"
TRL, TRL_COMPACT = "TRL", "TRL, trained tokens only"
LIGER = "Liger"
CLOSE = 1e-4


class Size(NamedTuple):
    """What is computed."""

    hidden: int
    vocabulary: int
    tokens: int
    trained: int
    steps: int
    """timed in each process, behind one that is not"""


def main() -> None:
    """Compare, measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="timed in each process")
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--trained", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("eval/results/head_speed"))
    options = parser.parse_args()
    size = Size(options.hidden, options.vocabulary, options.tokens, options.trained, options.steps)
    device = default_device()
    found = {head: measure(head, size, device, options.rounds) for head in HEADS}
    given = " ".join(f"--{k} {v}" for k, v in vars(options).items() if k != "out")
    result = {
        "versions": versions_of("mmdft", "torch", "transformers", "trl", "liger-kernel"),
        "machine": machine(),
        "allocator": ALLOCATOR,
        "device": device,
        "size": size._asdict(),
        "rounds": options.rounds,
        "command": f"python eval/speed/head.py {given}",
        "heads": found,
    }
    save(options.out, result, as_markdown(result))


# The contenders: states (tokens, hidden), labels (tokens,) and a head -> the DFT loss sum


def by_full_logits(states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """All logits, in fp32 behind the product, and autograd."""
    logits = head(states)[:-1].float()
    nll = nn.functional.cross_entropy(logits, labels[1:], ignore_index=IGNORE, reduction="none")
    # Where nothing is trained nll is 0.
    return (nll * (-nll.detach()).exp()).sum()


def by_liger(states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """Liger's fused linear cross-entropy, whose token scaling is DFT's weight."""
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    fused = LigerFusedLinearCrossEntropyLoss(reduction="sum", use_token_scaling=True)
    loss: Tensor = fused(head.weight, states[:-1], labels[1:])
    return loss


class GivenStates(nn.Module):
    """As much of a model as TRL's `add_fused_lm_head` needs: given states, and a head."""

    def __init__(self, states: Tensor, head: nn.Module, vocabulary: int) -> None:
        super().__init__()
        self.states, self.head = states, head
        self.config = Qwen2Config(hidden_size=states.shape[-1], vocab_size=vocabulary)

    def base_model(self, **_: Any) -> BaseModelOutput:
        """The backbone."""
        return BaseModelOutput(last_hidden_state=self.states[None])

    def get_output_embeddings(self) -> nn.Module:
        """The head."""
        return self.head

    def forward(self, **_: Any) -> None:
        """Replaced by `add_fused_lm_head`."""
        raise NotImplementedError


def by_trl(states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """`add_fused_lm_head` as `SFTTrainer.__init__` calls it, then `compute_loss`'s sum."""
    from trl.trainer.utils import add_fused_lm_head

    model = GivenStates(states, head, len(head.weight))
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    logp = model(labels=labels[None], fused_lm_head=True).log_probs
    loss: Tensor = -(logp * logp.exp().detach()).sum()
    return loss


def by_trl_compact(states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """TRL's kernel on the trained tokens alone: what TRL does where Triton runs."""
    targets, places = answer_targets(labels[None])
    picked = torch.cat([targets.new_full((1,), IGNORE), targets])
    chosen = states[places]
    return by_trl(torch.cat([chosen, chosen[:1].detach()]), picked, head)


def by_mmdft(states: Tensor, labels: Tensor, head: nn.Module) -> Tensor:
    """The answer head."""
    targets, places = answer_targets(labels[None])
    return answer_loss(states[places], targets, head, dft, chunk_mb=256).loss


CONTENDERS: dict[str, Callable[[Tensor, Tensor, nn.Module], Tensor]] = {
    FULL: by_full_logits,
    LIGER: by_liger,
    TRL: by_trl,
    TRL_COMPACT: by_trl_compact,
    OURS: by_mmdft,
}


def impossible(name: str, head: str, device: str) -> str | None:
    """Why a contender has no figures; None if it has."""
    package = {LIGER: "liger_kernel", TRL: "trl", TRL_COMPACT: "trl"}.get(name)
    if package and importlib.util.find_spec(package) is None:
        return "not installed"
    if package and head == "LoRA":
        return "reads the weight alone, so the adapter would not be trained"
    if name == LIGER and device == "cpu":
        return "its Triton kernels need a GPU"
    if name == TRL_COMPACT and device == "cuda":
        return "is what TRL does on this device"
    return None


# Measuring


class Work(NamedTuple):
    """What one process is to do."""

    contender: str
    head: str
    size: Size
    device: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.contender}, {self.head} head"


def operands(work: Work) -> tuple[Tensor, Tensor, nn.Module]:
    """States (tokens, hidden), labels (tokens,) of which the last are trained, and the head."""
    size, kind = work.size, getattr(torch, work.dtype)
    draw = torch.Generator().manual_seed(0)
    linear = nn.Linear(size.hidden, size.vocabulary, bias=False, device="meta").to(kind)
    linear = linear.to_empty(device=work.device)
    with torch.no_grad():
        # By parts, so that no fp32 copy of the whole weight is part of any peak.
        for rows in linear.weight.split(4096):
            rows.copy_(torch.randn(rows.shape, generator=draw) / math.sqrt(size.hidden))
    states = torch.randn(size.tokens, size.hidden, generator=draw) * 4
    labels = torch.randint(size.vocabulary, (size.tokens,), generator=draw)
    labels[: -size.trained] = IGNORE
    head: nn.Module = linear.requires_grad_(work.head == "trainable")
    if work.head == "LoRA":
        settings = LoraConfig(r=16, lora_alpha=32)
        head = LoraLinear(linear, "default", config=settings, r=16, lora_alpha=32)
        for name in ("lora_A", "lora_B"):
            weight = getattr(head, name)["default"].weight
            with torch.no_grad():
                drawn = torch.randn(weight.shape, generator=draw) / math.sqrt(size.hidden)
                weight.copy_(drawn)
        head = head.to(work.device, kind)
    return states.to(work.device, kind).requires_grad_(), labels.to(work.device), head


def gradients_of(states: Tensor, head: nn.Module) -> dict[str, Tensor]:
    """The gradients by name, each large one as its product with a fixed random vector."""
    draw = torch.Generator().manual_seed(1)
    assert states.grad is not None
    probe = torch.randn(states.shape[-1], generator=draw)
    found = {"states": states.grad.cpu() @ probe}
    for name, weight in head.named_parameters():
        if weight.grad is not None:
            probe = torch.randn(weight.shape[-1], generator=draw)
            found[name] = weight.grad.cpu() @ probe
    return found


def compared(work: Work) -> dict[str, Any]:
    """Loss and gradients of one step."""
    states, labels, head = operands(work)
    loss = CONTENDERS[work.contender](states, labels, head)
    loss.backward()
    found = gradients_of(states, head)
    return {"loss": loss.item(), **{name: each.tolist() for name, each in found.items()}}


def timed(work: Work) -> dict[str, float]:
    """Seconds of a step, and the memory that it takes beyond operands and imports."""
    loss_of = CONTENDERS[work.contender]
    states, labels, head = operands(work)

    def step() -> float:
        wait_for(work.device)
        start = time.perf_counter()
        loss_of(states, labels, head).backward()
        wait_for(work.device)
        seconds = time.perf_counter() - start
        states.grad = None
        head.zero_grad()
        return seconds

    # With few tokens, so that what is imported late is in before the peak is looked at.
    few = states.detach()[-2:].requires_grad_()
    loss_of(few, labels[-2:], head).backward()
    head.zero_grad()
    forget_peak(work.device)
    before = held_mb(work.device)
    step()
    seconds = [step() for _ in range(work.size.steps)]
    return {
        "seconds": statistics.median(seconds),
        "peak_mb": peak_mb(work.device) - before,
        "before_mb": before,
    }


def measure(head: str, size: Size, device: str, rounds: int) -> dict[str, Any]:
    """By contender why it has no figures, or how far off, how slow and how large it is.

    Raises:
        MmdftError: a contender computes something else.
    """
    reasons = {name: impossible(name, head, device) for name in CONTENDERS}
    names = [name for name, reason in reasons.items() if reason is None]
    losses = {
        name: in_a_process(compared, Work(name, head, size, device, "float32")) for name in names
    }
    apart = {name: differences(each, losses[FULL]) for name, each in losses.items()}
    for name, each in apart.items():
        worst = max(each, key=lambda key: each[key])
        if each[worst] > CLOSE:
            raise MmdftError(f"{name}, {head} head: {worst} is {each[worst]:.1e} off full logits'")
    dtype = "bfloat16" if device == "cuda" else "float32"
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for name in alternating(names, rounds):
        runs[name].append(in_a_process(timed, Work(name, head, size, device, dtype)))
    seconds = {name: [run["seconds"] for run in each] for name, each in runs.items()}
    return {
        name: {"left_out": reasons[name]}
        if name not in runs
        else {
            "dtype": dtype,
            "loss": losses[name]["loss"],
            "apart": apart[name],
            "seconds": spread_of(seconds[name]),
            "times_ours": ratios(seconds[name], seconds[OURS]),
            "peak_mb": spread_of([run["peak_mb"] for run in runs[name]]),
            "before_mb": spread_of([run["before_mb"] for run in runs[name]]),
        }
        for name in CONTENDERS
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """Relative differences by name."""
    assert one.keys() == other.keys()
    pairs = {name: [torch.tensor(each[name]).double() for each in (one, other)] for name in one}
    return {name: ((a - b).norm() / b.norm()).item() for name, (a, b) in pairs.items()}


# The report


def as_markdown(result: dict[str, Any]) -> str:
    """The tables."""
    size = Size(**result["size"])
    parts = [
        "# The loss head alone",
        f"DFT's loss and gradients of {size.tokens:,} tokens of which {size.trained:,} are "
        f"trained, hidden size {size.hidden:,}, vocabulary {size.vocabulary:,}, on the "
        f"{'GPU' if result['device'] == 'cuda' else 'CPU'}; medians of {result['rounds']} rounds "
        "in alternating order (lowest to highest), each in a process of its own with "
        f"{size.steps} timed steps behind one that is not. {told(result)}",
    ]
    for head, found in result["heads"].items():
        rows = [
            [name, f"left out: {each['left_out']}", *[""] * 4]
            if "left_out" in each
            else [
                name,
                cell(each["times_ours"], ".2f"),
                cell(each["seconds"]),
                f"{each['peak_mb']['median']:,.0f}",
                f"{each['peak_mb']['median'] / found[OURS]['peak_mb']['median']:.2f}",
                f"{max(each['apart'].values()):.0e}",
            ]
            for name, each in found.items()
        ]
        titles = ["head", "time / mmdft's", "seconds", "MB taken", "MB / mmdft's", "apart"]
        dtype = found[OURS]["dtype"]
        parts += [f"## {head.capitalize() if head != 'LoRA' else head} head, {dtype}"]
        parts += [table(titles, rows)]
    parts.append(
        "`time / mmdft's` is the median of the rounds' ratios. `MB taken` is the peak beyond the "
        "operands, of the process's resident memory on a CPU, of what is allocated on a GPU. "
        "`apart`: the largest relative difference, in fp32, of the loss and of each gradient from "
        "those of full logits; above 1e-4 nothing is timed. TRL is `add_fused_lm_head` as "
        "`SFTTrainer` calls it: without Triton, as on a CPU, it projects every token; "
        f"`{TRL_COMPACT}` is the same on what it projects on a GPU. TRL and mmdft form entropy and "
        "accuracy beside the loss, the others do not. All processes keep freed memory "
        "(`MALLOC_MMAP_MAX_=0`), as `mmdft train` does by itself and others only if they are told."
    )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
