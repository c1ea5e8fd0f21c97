"""How often a training step waits for the device: to read a number, or to find out a size."""

import sys
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

from mmdft.config import RunConfig
from mmdft.training import train

# What reads a number, has a size that is not known before, or is made of numbers (`torch.tensor`),
# which go to a GPU by a copy that is waited for.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh")


class Reads(TorchDispatchMode):
    """Counts what is read of tensors, by the file that asks for it: ours, or Trainer's loop.

    On a GPU each makes the processor wait for all that was asked of it. What the models do
    themselves is not counted.
    """

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        sized_by_mask = name == "index" and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in WAITS or sized_by_mask:
            self.count(name)
        return func(*args, **(kwargs or {}))

    def count(self, name):
        frame = sys._getframe(2)
        while frame is not None:
            file = frame.f_code.co_filename
            place = "/".join(file.split("/")[-2:])
            # Rows and their order never leave the processor.
            if "/mmdft/data/" in file or place == "mmdft/sampling.py":
                return
            if place.startswith("mmdft/") or place == "transformers/trainer.py":
                self.found[place, name] += 1
                return
            if "/transformers/" in file or "/torch/utils/data/" in file:
                return
            frame = frame.f_back


class Window(TrainerCallback):
    """Counts from the end of the second step to that of the fourth."""

    def __init__(self, reads):
        self.reads = reads

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            self.reads.__enter__()
        if state.global_step == 4:
            self.reads.__exit__(None, None, None)


@pytest.mark.parametrize("every", [1, 100])
def test_a_step_reads_its_losses_once_and_each_batchs_answers(
    tiny_dir, figures_file, tmp_path, monkeypatch, every
):
    reads = Reads()
    tolist = torch.Tensor.tolist

    def counted(tensor):
        if torch.utils._python_dispatch._get_current_dispatch_mode() is reads:
            reads.count("tolist")
        return tolist(tensor)

    # On the CPU no operation stands behind it.
    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    config = RunConfig.model_validate(
        {
            "model": {"name": str(tiny_dir("qwen2_5_vl"))},
            "data": {"train": [{"path": str(figures_file(num=8))}], "probe_examples": 0},
            "training": {
                "output_dir": str(tmp_path / "run"),
                "max_steps": 5,
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 2,
                "logging_steps": every,
                "save_strategy": "no",
                "report_to": "none",
            },
        }
    )
    train(config, [Window(reads)])
    # Two steps of two micro-batches.
    wanted = {("mmdft/head.py", "nonzero"): 4, ("mmdft/trainer.py", "tolist"): 2}
    if every == 1:
        # Trainer reads the loss and the gradient's norm, the logs' means are read at once.
        wanted["mmdft/trainer.py", "tolist"] += 2
        wanted["transformers/trainer.py", "_local_scalar_dense"] = 4
    assert reads.found == wanted
