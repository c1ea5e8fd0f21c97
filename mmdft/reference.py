"""The reference: the model before training, shown the same pixels and positions.

For an adapter it is the same model with the adapter off; otherwise a frozen copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel, gather_object
from peft import PeftModel
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdft.answer_loss import Projection
from mmdft.data.collate import collate_training
from mmdft.data.dataset import RenderedRows
from mmdft.data.quarantine import BadRow
from mmdft.errors import ConfigError, DataError
from mmdft.files import write_bytes
from mmdft.head import answer_logp, answer_projection
from mmdft.records import Rendered


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy that is not trained."""
    return copy.deepcopy(model).eval().requires_grad_(False)


@torch.no_grad()
def reference_projection(model: nn.Module, inputs: Mapping[str, Any]) -> Projection:
    """The reference's hidden states that predict an answer token, with its projection.

    Args:
        model: the frozen copy, or the model in training if it has an adapter.
        inputs: a batch, as the model in training gets it.
    """
    with as_reference(model) as reference:
        return answer_projection(reference, reference.get_output_embeddings(), inputs)


@contextmanager
def as_reference(model: nn.Module) -> Iterator[Any]:
    """The model as it was before training, while open: in evaluation mode, its adapter off."""
    # Not as compiled, which would hide that it is an adapter.
    inner: Any = extract_model_from_parallel(model, keep_torch_compile=False)
    was_training = inner.training
    inner.eval()
    try:
        with inner.disable_adapter() if isinstance(inner, PeftModel) else nullcontext():
            yield inner
    finally:
        inner.train(was_training)


class WithReference(Dataset[Rendered | BadRow]):
    """Rendered examples with the reference's log-probability of each trained token.

    A row that cannot be used stays a BadRow.

    Args:
        dataset: the examples.
        logp: for each of them (trained tokens,), of `reference_logp`.
    """

    def __init__(self, dataset: RenderedRows, logp: Sequence[Tensor]) -> None:
        if len(logp) != len(dataset):
            raise ValueError(f"{len(logp)} log-probabilities for {len(dataset)} examples")
        self.dataset = dataset
        self.logp = logp

    def __len__(self) -> int:
        return len(self.logp)

    def __getitem__(self, index: int) -> Rendered | BadRow:
        row = self.dataset[index]
        if isinstance(row, BadRow):
            return row
        if not len(self.logp[index]):
            raise DataError(
                f"example {row.id}: has no reference log-probabilities, because it could not be "
                "used when they were computed; start the run again in another output_dir"
            )
        return replace(row, reference_logp=tuple(self.logp[index].tolist()))


def stored_reference(
    path: Path, model: nn.Module, dataset: RenderedRows, accelerator: Any, chunk_mb: int
) -> WithReference:
    """The examples with the log-probabilities that the model gives them before training.

    They are computed once, shared among the ranks, and kept in `path` for a run that goes on.

    Args:
        path: where they are kept.
        model: the model, not trained yet.
        dataset: rendered examples.
        accelerator: the trainer's.
        chunk_mb: memory for one chunk of logits, in MiB.

    Raises:
        ConfigError: the model is not whole on every rank, or `path` is of other data.
    """
    if path.is_file():
        return WithReference(dataset, _load_logp(path, len(dataset)))
    _check_whole(accelerator)
    mine = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    with accelerator.autocast():
        found = reference_logp(model, dataset, mine, accelerator.device, chunk_mb)
    everyones = dict(gather_object(list(zip(mine, found, strict=True))))
    logp = [everyones[index] for index in range(len(dataset))]
    if accelerator.is_main_process:
        _save_logp(path, logp)
    return WithReference(dataset, logp)


def reference_logp(
    model: nn.Module,
    dataset: RenderedRows,
    indices: Sequence[int],
    device: torch.device,
    chunk_mb: int,
) -> list[Tensor]:
    """Log-probability, before training, of each trained token of the examples at `indices`.

    Args:
        model: the model, not trained yet; it is moved to the device.
        dataset: rendered examples.
        indices: which examples.
        device: where to compute.
        chunk_mb: memory for one chunk of logits, in MiB.

    Returns:
        For each index (trained tokens,) fp32, on the CPU; none for a row that cannot be used.
    """
    found = []
    with as_reference(model.to(device)) as reference:
        head = reference.get_output_embeddings()
        for index in indices:
            row = dataset[index]
            if isinstance(row, BadRow):
                # Training meets it again, and sets it aside.
                found.append(torch.zeros(0))
                continue
            # One at a time: nothing is padded, whatever the id.
            batch = collate_training([row], pad_id=0)
            inputs = {name: tensor.to(device) for name, tensor in batch.items()}
            found.append(answer_logp(reference, head, inputs, chunk_mb).logp.cpu())
    return found


def _check_whole(accelerator: Any) -> None:
    fsdp = getattr(accelerator.state, "fsdp_plugin", None)
    if fsdp is not None and fsdp.cpu_ram_efficient_loading:
        raise ConfigError(
            "the objective's reference is computed before the model is sharded, so every rank "
            "needs all of it: set fsdp_cpu_ram_efficient_loading: false in accelerate's "
            "configuration"
        )
    deepspeed = getattr(accelerator.state, "deepspeed_plugin", None)
    if deepspeed is not None and deepspeed.zero_stage == 3:
        raise ConfigError(
            "the objective's reference is computed before the model is sharded, which DeepSpeed "
            "ZeRO-3 does on loading: use FSDP2 (configs/accelerate/fsdp2.yaml)"
        )


def _save_logp(path: Path, logp: Sequence[Tensor]) -> None:
    """Keep the log-probabilities of the reference: all in one row, and how many each has."""
    counts = torch.tensor([len(each) for each in logp])
    write_bytes(path, save({"logp": torch.cat(list(logp)), "counts": counts}))


def _load_logp(path: Path, examples: int) -> list[Tensor]:
    """What `_save_logp` kept.

    Raises:
        ConfigError: it is of another number of examples.
    """
    kept = load_file(path)
    if len(kept["counts"]) != examples:
        raise ConfigError(
            f"{path} has {len(kept['counts'])} examples, the data {examples}; "
            "choose another output_dir, or delete that folder"
        )
    return list(torch.split(kept["logp"], kept["counts"].tolist()))
