"""How exact the DFT loss is in mmdft, in plain transformers and in TRL; on the CPU.

    pip install '.[bench]'
    python eval/loss_exactness.py --out eval/results/loss_exactness

writes OUT.md and OUT.json. Without TRL its rows are left out. About 5 GB of memory.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import math
import os
import platform
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Qwen2Config,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput

from mmdft.answer_loss import answer_loss
from mmdft.data.collate import IGNORE, collate_training
from mmdft.data.figures import draw
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.files import write_json, write_text
from mmdft.objectives import Tokens, dft
from mmdft.records import Example, ImageRef, Rendered, Turn
from mmdft.tiny import build_tiny
from mmdft.trainer import DFTTrainer

HAS_TRL = importlib.util.find_spec("trl") is not None
if HAS_TRL:
    from trl import SFTConfig, SFTTrainer
    from trl.trainer.utils import add_fused_lm_head

HIDDEN, VOCABULARY = 2048, 151_936  # Qwen2.5-VL-3B
TOKENS, DRAWS = 64, 4
SLICES = 16  # of the vocabulary, so that no float64 copy of the whole head is made
FAMILIES = {"qwen2_vl": "Qwen2-VL", "qwen2_5_vl": "Qwen2.5-VL", "qwen3_vl": "Qwen3-VL"}
ROUNDED = "float64, rounded to bf16"
SHAPES = {
    "8x1": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1},
    "1x8": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
}


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("eval/results/loss_exactness"))
    out = parser.parse_args().out
    if not HAS_TRL:
        print("TRL is not installed, so its rows are left out: pip install '.[bench]'")
    result: dict[str, Any] = {
        "versions": {
            name: version(name)
            for name in ("mmdft", "torch", "transformers", "accelerate", *["trl"] * HAS_TRL)
        },
        "machine": {
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
        },
        "head": measure_head(),
        **measure_steps(),
    }
    result["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    text = as_markdown(result)
    print(text)
    write_json(out.with_name(out.name + ".json"), result)
    write_text(out.with_name(out.name + ".md"), text)


# The head alone


class Head(NamedTuple):
    """What a loss gives for the answer tokens of one draw."""

    p: Tensor
    """weight of each token, (tokens,)"""
    loss: Tensor
    """sum over the tokens"""
    grad_states: Tensor
    """(tokens, hidden)"""
    grad_weight: tuple[Tensor, ...]
    """(vocabulary, hidden) in SLICES parts"""


class Exact(NamedTuple):
    """The same in float64."""

    p: Tensor
    loss: Tensor
    grad_states: Tensor
    grad_weight: Iterator[Tensor]
    """the parts one by one, each made when it is asked for"""
    about: dict[str, float]
    """what the logits and the probabilities are like"""


def draw_head() -> nn.Linear:
    """A bf16 head without bias whose rows have norm 1."""
    head = nn.Linear(HIDDEN, VOCABULARY, bias=False, dtype=torch.bfloat16)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for rows in head.weight.split(VOCABULARY // SLICES):
            rows.copy_(torch.randn(rows.shape, generator=draw) / math.sqrt(HIDDEN))
    return head


def draw_tokens(head: nn.Linear, seed: int) -> tuple[Tensor, Tensor]:
    """States in bf16, and targets whose probabilities are spread evenly in log-odds, 0.002 to 0.99.

    The largest logit is 24 on average over the tokens, all logits deviate by 4.9.
    """
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(TOKENS, HIDDEN, generator=draw) * 4.9
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=draw)
    wanted = torch.linspace(-6, 5, TOKENS)
    # Each state is moved along its target's row until the target has the wanted log-odds; that
    # moves the other logits a little as well, so a few rounds are needed.
    for _ in range(4):
        logits = states @ head.weight.detach().float().t()
        found = logits.gather(-1, targets[:, None])
        odds = found - logits.scatter_(-1, targets[:, None], -torch.inf).logsumexp(-1, True)
        rows = head.weight.detach()[targets].float()
        states += (wanted[:, None] - odds) * rows / rows.square().sum(-1, keepdim=True)
    return states.bfloat16(), targets


def in_float64(states: Tensor, targets: Tensor, head: nn.Linear) -> Exact:
    """The closed form in float64 from the same bf16 operands."""
    left = states.double()
    slices = head.weight.detach().split(VOCABULARY // SLICES)
    logits = torch.cat([left @ rows.double().t() for rows in slices], -1)
    logp = logits.log_softmax(-1)
    chosen = logp.gather(-1, targets[:, None]).squeeze(-1)
    p = chosen.exp()
    # d loss / d logits = p * (softmax - one-hot)
    grad = logp.exp()
    grad[torch.arange(TOKENS), targets] -= 1
    grad *= p[:, None]
    grads = grad.split(VOCABULARY // SLICES, -1)
    grad_states = torch.zeros_like(left)
    for part, rows in zip(grads, slices, strict=True):
        grad_states += part @ rows.double()
    about = {
        "largest_logit": logits.amax(-1).mean().item(),
        "deviation": logits.std().item(),
        "smallest_p": p.min().item(),
        "largest_p": p.max().item(),
    }
    return Exact(p, -(p * chosen).sum(), grad_states, (part.t() @ left for part in grads), about)


def by_mmdft(states: Tensor, targets: Tensor, head: nn.Linear) -> Head:
    """`mmdft.answer_loss.answer_loss` with the DFT objective, whose weights are looked at."""
    seen = []

    def watched(tokens: Tokens) -> Tensor:
        seen.append(dft(tokens))
        return seen[-1]

    loss = answer_loss(states, targets, head, watched, chunk_mb=256).loss
    loss.backward()
    return taken(torch.cat(seen), loss, states, head)


def by_transformers(states: Tensor, targets: Tensor, head: nn.Linear) -> Head:
    """The model's logits, then `plain_loss`: what a compute_loss_func does."""
    # Position t predicts token t + 1: the last position predicts nothing.
    padded = torch.cat([states, states[:1].detach()])[None]
    labels = torch.cat([targets.new_tensor([IGNORE]), targets])[None]
    logits = head(padded)
    loss = plain_loss(CausalLMOutput(logits=logits), labels, objective="dft")
    loss.backward()
    with torch.no_grad():
        p = logits[0, :-1].float().softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
    return taken(p, loss, states, head)


def plain_loss(
    outputs: Any, labels: Tensor, num_items_in_batch: Any = 1, *, objective: str
) -> Tensor:
    """SFT's or DFT's loss by autograd on the model's logits in fp32, a `compute_loss_func`."""
    keep = labels[:, 1:] != IGNORE
    rows = outputs.logits[:, :-1][keep].float().log_softmax(-1)
    logp = rows.gather(-1, labels[:, 1:][keep][:, None]).squeeze(-1)
    weight = logp.detach().exp() if objective == "dft" else torch.ones_like(logp)
    return -(weight * logp).sum() / num_items_in_batch


class GivenStates(nn.Module):
    """As much of a model as TRL's `add_fused_lm_head` needs: given states, and a head."""

    def __init__(self, states: Tensor, head: nn.Linear) -> None:
        super().__init__()
        self.states, self.head = states, head
        self.config = Qwen2Config(hidden_size=HIDDEN, vocab_size=VOCABULARY)

    def base_model(self, **_: Any) -> BaseModelOutput:
        """The backbone."""
        return BaseModelOutput(last_hidden_state=self.states)

    def get_output_embeddings(self) -> nn.Linear:
        """The head."""
        return self.head

    def forward(self, **_: Any) -> None:
        """Replaced by `add_fused_lm_head`."""
        raise NotImplementedError


def by_trl(
    states: Tensor, targets: Tensor, head: nn.Linear, cast_lm_head_to_fp32: bool = False
) -> Head:
    """`add_fused_lm_head` as `SFTTrainer.__init__` calls it, then its `compute_loss`'s loss."""
    padded = torch.cat([states, states[:1].detach()])[None]
    labels = torch.cat([targets.new_tensor([IGNORE]), targets])[None]
    model = GivenStates(padded, head)
    add_fused_lm_head(
        model,
        cast_lm_head_to_fp32=cast_lm_head_to_fp32,
        outputs=("log_probs", "entropy", "is_top1"),
    )
    logp = model(labels=labels, fused_lm_head=True).log_probs[0]
    p = logp.exp().detach()
    loss = -(logp * p).sum()
    loss.backward()
    return taken(p, loss, states, head)


def taken(p: Tensor, loss: Tensor, states: Tensor, head: nn.Linear) -> Head:
    """A loss with the gradients it has left, which are removed."""
    assert states.grad is not None and head.weight.grad is not None
    grad_weight = head.weight.grad.split(VOCABULARY // SLICES)
    found = Head(p.detach(), loss.detach(), states.grad, grad_weight)
    states.grad = head.weight.grad = None
    return found


def measure_head() -> dict[str, Any]:
    """Errors against float64 of each way to compute the loss, over DRAWS draws of tokens."""
    ways: dict[str, Callable[..., Head]] = {
        "mmdft": by_mmdft,
        "transformers, `compute_loss_func` on the model's logits": by_transformers,
    }
    if HAS_TRL:
        ways["TRL, as `SFTTrainer` calls it"] = by_trl
        ways["TRL, `cast_lm_head_to_fp32=True`, which `SFTTrainer` does not set"] = partial(
            by_trl, cast_lm_head_to_fp32=True
        )
    head = draw_head()
    errors: dict[str, dict[str, list[float]]] = {name: {} for name in (*ways, ROUNDED)}
    about: list[dict[str, float]] = []
    for seed in range(1, DRAWS + 1):
        known, found = one_draw(head, ways, seed)
        about.append(known)
        for name, each in found.items():
            for key, values in each.items():
                errors[name].setdefault(key, []).extend(values)
    return {
        "about": {name: sum(each[name] for each in about) / DRAWS for name in about[0]},
        "errors": {
            name: {
                key: {"mean": sum(values) / len(values), "max": max(values)}
                for key, values in each.items()
            }
            for name, each in errors.items()
        },
    }


def one_draw(
    head: nn.Linear, ways: dict[str, Callable[..., Head]], seed: int
) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    """What is known of one draw of tokens, and each way's errors on it."""
    states, targets = draw_tokens(head, seed)
    found = {
        name: way(states.clone().requires_grad_(), targets, head) for name, way in ways.items()
    }
    exact = in_float64(states, targets, head)
    return exact.about, draw_errors(found, exact)


def draw_errors(found: dict[str, Head], exact: Exact) -> dict[str, dict[str, list[float]]]:
    """Relative errors by name: of each token's p, and of the loss and the gradients."""
    bands = {
        "p": exact.p >= 0,
        "p < 0.1": exact.p < 0.1,
        "0.1 < p < 0.9": (exact.p >= 0.1) & (exact.p <= 0.9),
        "p > 0.9": exact.p > 0.9,
    }
    errors: dict[str, dict[str, list[float]]] = {ROUNDED: {}}
    for name, one in found.items():
        of_p = (one.p.double() - exact.p).abs() / exact.p
        errors[name] = {band: of_p[chosen].tolist() for band, chosen in bands.items()}
        errors[name]["loss"] = [abs(one.loss.item() / exact.loss.item() - 1)]
        errors[name]["grad_states"] = [relative(one.grad_states, exact.grad_states)]
    rounded = exact.grad_states.bfloat16()
    errors[ROUNDED]["grad_states"] = [relative(rounded, exact.grad_states)]
    squares = dict.fromkeys(errors, 0.0)
    whole = 0.0
    for index, part in enumerate(exact.grad_weight):
        whole += part.square().sum().item()
        squares[ROUNDED] += (part.bfloat16() - part).square().sum().item()
        for name, one in found.items():
            squares[name] += (one.grad_weight[index] - part).square().sum().item()
    for name, square in squares.items():
        errors[name]["grad_weight"] = [math.sqrt(square / whole)]
    return errors


def relative(one: Tensor, other: Tensor) -> float:
    """Norm of the difference over the norm of `other`."""
    return ((one.double() - other).norm() / other.norm()).item()


# Whole optimizer steps


class Step(NamedTuple):
    """What one optimizer step logged, and its gradient before the optimizer."""

    loss: float
    gradient: dict[str, Tensor]


class KeepGradient(TrainerCallback):
    """Keeps the gradients of the first optimizer step."""

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        """Copy them."""
        self.found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def figure_rows(processor: Any, folder: Path, answers: str) -> list[Rendered]:
    """Eight drawn figures of two sizes, with answers of similar or unequal length."""
    rows = []
    budget = pixel_budget(processor, 3136, 112 * 112)
    for index in range(8):
        figure = draw("bar_sum", seed=1, index=index, size=112 if index % 2 else 168)
        path = folder / f"{index}.png"
        figure.image.save(path)
        reply = figure.reasoning
        if answers == "unequal":
            reply = reply * (12 if index == 3 else 1) if index % 2 else "9"
        turns = (
            Turn(role="user", parts=(ImageRef(path=path), figure.question)),
            Turn(role="assistant", parts=(reply,)),
        )
        rows.append(render(Example(id=str(index), turns=turns), processor, budget))
    return rows


def collate(picked: Sequence[dict[str, int]], rows: list[Rendered], pad_id: int) -> dict[str, Any]:
    """The batch of these rows, of the same tensors for every trainer; only mmdft has segments."""
    batch = collate_training([rows[each["row"]] for each in picked], pad_id)
    del batch["segments"]
    return batch


def one_step(
    kind: type[Trainer],
    model: nn.Module,
    collator: Callable[..., dict[str, Any]],
    folder: Path,
    shape: str,
    arguments: type[TrainingArguments] = TrainingArguments,
    settings: dict[str, Any] | None = None,
    **extra: Any,
) -> Step:
    """One optimizer step in fp32 over all eight rows."""
    gradient = KeepGradient()
    trainer = kind(
        model=copy.deepcopy(model),
        args=arguments(
            output_dir=str(folder),
            use_cpu=True,
            bf16=False,
            optim="sgd",
            max_steps=1,
            max_grad_norm=0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            disable_tqdm=True,
            **SHAPES[shape],
            **(settings or {}),
        ),
        train_dataset=Dataset.from_dict({"row": list(range(8))}),
        data_collator=collator,
        callbacks=[gradient],
        **extra,
    )
    trainer.train()
    return Step(trainer.state.log_history[0]["loss"], gradient.found)


def trainers(processor: Any, objective: str) -> dict[str, Callable[..., Step]]:
    """By name, the ways to make a step with this objective; each takes what `one_step` does."""
    ways: dict[str, Callable[..., Step]] = {
        "mmdft `DFTTrainer`": partial(one_step, DFTTrainer, objective=objective),
        "transformers `Trainer`, `compute_loss_func` on the model's logits": partial(
            one_step, Trainer, compute_loss_func=partial(plain_loss, objective=objective)
        ),
    }
    if objective == "sft":
        ways["transformers `Trainer`, the model's own loss"] = partial(one_step, Trainer)
    if HAS_TRL:
        loss_type = "dft" if objective == "dft" else "nll"
        ways[f'TRL `SFTTrainer`, `loss_type="{loss_type}"`'] = partial(
            one_step,
            SFTTrainer,
            arguments=SFTConfig,
            settings={
                "loss_type": loss_type,
                "dataset_kwargs": {"skip_prepare_dataset": True},
                "gradient_checkpointing": False,
            },
            processing_class=processor,
        )
    return ways


def mean_of_means(model: nn.Module, batches: list[dict[str, Any]], objective: str) -> Step:
    """The loss that is wrong: each example's mean over its own tokens, and the mean of those."""
    model = copy.deepcopy(model)
    total = 0.0
    for batch in batches:
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        count = (batch["labels"] != IGNORE).sum() * len(batches)
        loss = plain_loss(model(**inputs), batch["labels"], count, objective=objective)
        loss.backward()
        total += loss.item()
    return Step(total, {n: p.grad for n, p in model.named_parameters() if p.grad is not None})


def measure_steps() -> dict[str, Any]:
    """By answers, objective, trainer and family, what its steps give.

    `accumulation` is the difference of the gradient of 1x8 from that of 8x1, `mean_of_means` the
    difference of the 1x8 gradient from that of the mean of means; `loss` and `gradient` are the
    differences of 8x1 from mmdft's.
    """
    found: dict[str, Any] = {}
    lengths: dict[str, list[int]] = {}
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            tiny = build_tiny(folder / "model", family=family)
            processor = AutoProcessor.from_pretrained(tiny)
            model = AutoModelForImageTextToText.from_pretrained(tiny)
            pad = processor.tokenizer.pad_token_id
            for answers in ("unequal", "similar"):
                rows = figure_rows(processor, folder, answers)
                lengths[answers] = [sum(row.mask) for row in rows]
                collator = partial(collate, rows=rows, pad_id=pad)
                for objective in ("dft", "sft"):
                    singles = [collator([{"row": index}]) for index in range(len(rows))]
                    wrong = mean_of_means(model, singles, objective)
                    ours = None
                    for name, way in trainers(processor, objective).items():
                        steps = {s: way(model, collator, folder / "run", s) for s in SHAPES}
                        whole = steps["8x1"]
                        ours = ours or whole
                        row = found.setdefault(answers, {}).setdefault(objective, {})
                        row.setdefault(name, {})[family] = {
                            "accumulation": difference(steps["1x8"], whole),
                            "mean_of_means": difference(steps["1x8"], wrong),
                            "loss": abs(whole.loss / ours.loss - 1),
                            "gradient": difference(whole, ours),
                        }
    return {"answer_tokens": lengths, "steps": found}


def difference(one: Step, other: Step) -> float:
    """Norm of the difference of the whole gradients over the norm of the second."""
    assert one.gradient.keys() == other.gradient.keys()
    names = list(one.gradient)
    flat = [torch.cat([s.gradient[n].double().flatten() for n in names]) for s in (one, other)]
    return ((flat[0] - flat[1]).norm() / flat[1].norm()).item()


def processor_name() -> str:
    """The processor's name, from /proc/cpuinfo where there is one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def as_markdown(result: dict[str, Any]) -> str:
    """The tables with what they compare."""
    versions = ", ".join(f"{name} {each}" for name, each in result["versions"].items())
    machine, about = result["machine"], result["head"]["about"]
    unequal, similar = (sorted(result["answer_tokens"][name]) for name in ("unequal", "similar"))
    explained = [
        each["mean_of_means"]
        for by_objective in result["steps"].values()
        for by_trainer in by_objective.values()
        for by_family in by_trainer.values()
        for each in by_family.values()
        if each["accumulation"] > 1e-3
    ]
    return f"""# How exact the loss is

Made by

```
pip install '.[bench]'
OMP_NUM_THREADS={machine["threads"]} python eval/loss_exactness.py --out eval/results/loss_exactness
```

with {versions}; on the CPU alone ({machine["processor"]}, {machine["threads"]} threads,
{machine["instructions"]}), {result["peak_memory_gb"]:.1f} GB at most. The numbers:
[loss_exactness.json](loss_exactness.json). All operands are random or drawn and all models
untrained; nothing here says what a trained model gains.
{"" if HAS_TRL else NO_TRL}
## The head alone, in bf16
Relative error against float64 from the same bf16 operands: mean (max).

{head_table(result["head"]["errors"])}

**Data.** Hidden size {HIDDEN}, vocabulary {VOCABULARY}, {DRAWS} draws of {TOKENS} answer tokens;
states and weight in bf16. The largest logit of a token is {about["largest_logit"]:.1f} on average,
the logits' standard deviation {about["deviation"]:.1f}; the targets' probabilities run from
{about["smallest_p"]:.4f} to {about["largest_p"]:.3f}, evenly in log-odds. Float64 is the closed
form, with p (softmax - one-hot) as the gradient of the logits.

**p** is the DFT weight of a token: over all {DRAWS * TOKENS} tokens, then by the size of p. A bf16
logit between 16 and 32 is a multiple of 1/8, so it is up to 1/16 off, and p by up to 6 % from the
target's logit alone, more with the others'. Where p is near 1 its error is small: it goes with
1 - p.

**Loss sum** is that of -p log p over a draw's {TOKENS} tokens. The tokens' errors have both signs
and cancel in part, so a right loss curve says little about the weights.

**Gradients**: norm of the difference over the norm, for the states and for the weight matrix, both
returned in bf16. The last row is float64 rounded to bf16 once: no bf16 gradient is closer. mmdft
also rounds the logits' gradient to bf16, as an operand of the two products; TRL with an fp32 head
does not, and comes closest.

**mmdft**: `mmdft.answer_loss.answer_loss` with the objective `dft`. **transformers**:
`head(states)` in bf16, `.float()`, `log_softmax`, autograd with the weight detached, as a
`compute_loss_func` does with a bf16 model's logits. **TRL**: `trl.trainer.utils.add_fused_lm_head`
with the arguments of `SFTTrainer.__init__`, on a model that returns the given states; then the DFT
loss as in `SFTTrainer.compute_loss`. It runs `ChunkedLogProbFunction`
(`trl/kernels/chunked_logprob.py`), on a CPU with that file's torch functions `_forward_tile` and
`_backward_tile` in place of its Triton kernels, which were not run. The product that loses the
digits, `torch.mm(..., out=tile)` into a tile of the operands' type, stands before either; bf16 is
`SFTConfig`'s default. TRL has the remedy, `cast_lm_head_to_fp32=True`, in a row of its own;
`SFTTrainer` does not set it, and `SFTConfig` has no field for it.

## Gradient of one optimizer step: 1x8 against 8x1, in fp32
Norm of the difference over the norm, whole gradient. 8x1 is `per_device_train_batch_size` 8 with
`gradient_accumulation_steps` 1, 1x8 the reverse, on the same eight rows.

{steps_table(result["steps"], "accumulation")}

**Data.** Tiny untrained models of the real architectures in fp32 (`mmdft.tiny.build_tiny`); eight
drawn figures as images with questions. Unequal answers have {", ".join(map(str, unequal))} tokens,
similar ones {similar[0]} to {similar[-1]}. Every trainer gets the batches of
`mmdft.data.collate.collate_training`, less the key `segments`. The gradient is the one before the
first optimizer step (`on_pre_optimizer_step`), without clipping.

**Qwen2-VL, Qwen2.5-VL, Qwen3-VL.** The latter two classes have `accepts_loss_kwargs = False` in
transformers; its `Trainer` then passes no token count, and a loss divided by its own micro-batch's
count becomes a mean of means.
{MEANS.format(max(explained)) if explained else "No difference above 1e-3 was found."}
How large the difference is depends on the answers' lengths and on the model: a mean of means gives
each token of a 2-token answer the weight of hundreds in a long one. With a `compute_loss_func`
transformers counts the tokens for every model.

**Trainers.** mmdft: `DFTTrainer`. transformers: `Trainer` with the model's own loss, and with a
`compute_loss_func` on full logits. TRL: `SFTTrainer` with
`dataset_kwargs={{"skip_prepare_dataset": True}}` and `gradient_checkpointing=False`. All run with
`bf16=False`, SGD and `max_grad_norm=0`; the loss and its normalisation are left at their defaults.

## One batch in fp32: do they compute the same?
Relative difference from mmdft of the logged loss and of the whole gradient, 8x1, unequal answers:
where neither bf16 nor accumulation matters.

{agreement_table(result["steps"]["unequal"])}
"""


MEANS = """The large differences are just that: each such 1x8 gradient equals the mean of the eight
examples' own means, computed by plain autograd, to {:.0e}."""
NO_TRL = "\nTRL was not installed: its rows are left out.\n"


def head_table(errors: dict[str, dict[str, dict[str, float]]]) -> str:
    """Rows: ways to compute the loss; columns: what is off."""
    columns = ("p", "p < 0.1", "0.1 < p < 0.9", "p > 0.9", "loss", "grad_states", "grad_weight")
    titles = ("p, all", *columns[1:4], "loss sum", "gradient, states", "gradient, weight")
    rows = [
        [name, *(f"{e[c]['mean']:.1e} ({e[c]['max']:.1e})" if c in e else "" for c in columns)]
        for name, e in errors.items()
    ]
    return table(["", *titles], rows)


def steps_table(steps: dict[str, Any], key: str) -> str:
    """Rows: objective and trainer; columns: answers and family."""
    titles = [f"{family}, {answers}" for answers in steps for family in FAMILIES.values()]
    rows = [
        [
            objective,
            name,
            *(f"{steps[a][objective][name][f][key]:.1e}" for a in steps for f in FAMILIES),
        ]
        for objective in ("dft", "sft")
        for name in steps["unequal"][objective]
    ]
    return table(["objective", "", *titles], rows)


def agreement_table(steps: dict[str, Any]) -> str:
    """Rows: objective and trainer; columns: family, loss and gradient."""
    titles = [f"{family}, {key}" for family in FAMILIES.values() for key in ("loss", "gradient")]
    rows = [
        [
            objective,
            name,
            *(f"{each[f][key]:.1e}" for f in FAMILIES for key in ("loss", "gradient")),
        ]
        for objective in ("dft", "sft")
        for name, each in steps[objective].items()
        if "mmdft" not in name
    ]
    return table(["objective", "", *titles], rows)


def table(titles: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
