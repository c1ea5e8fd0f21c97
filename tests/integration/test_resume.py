"""A run killed at any moment and started again with the same command ends in the same bits.

Every run here is a real process with real signals. They are forked from one that has imported
everything, which saves the seconds that a fresh interpreter would take to do so each time.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import time
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import wait

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from mmdft import load_config, train
from mmdft.data.figures import write_figures
from mmdft.errors import MmdftError
from mmdft.files import read_json, read_jsonl
from mmdft.stopping import last_checkpoint

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "mmdft.cli",
        "mmdft.training",
        "matplotlib.figure",
        "peft",
        "torchvision",
        "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
        "transformers.models.qwen2_5_vl.processing_qwen2_5_vl",
        "transformers.models.qwen2_vl.image_processing_qwen2_vl",
        "transformers.models.auto.processing_auto",
        "transformers.models.auto.modeling_auto",
    ]
)


def command(arguments, environment, log):
    """In a process of its own: `mmdft` with these arguments, its output in a file."""
    os.setsid()
    set_start_method("fork", force=True)  # a data loader's workers as in any other process
    os.environ.update(environment)
    with open(log, "a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    from mmdft.cli import main

    main(list(map(str, arguments)))


def start(*arguments, log, **environment):
    process = FORKS.Process(target=command, args=(arguments, environment, log))
    process.start()
    return process


def finish(process, log, status=0):
    process.join(300)
    assert process.exitcode == status, log.read_text()


def wait_until(condition, *processes):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline and all(p.is_alive() for p in processes)
        time.sleep(0.005)


def write_run(tiny_dir, tmp_path, out, model=None, data=None, **training):
    """A configuration file of a short run; an epoch has three optimizer steps."""
    figures = tmp_path / "figures"
    if not figures.exists():
        write_figures(figures, num=10, split="train", size=56)
        write_figures(figures, num=4, split="validation", size=56)
    settings = {
        "model": {"name": str(tiny_dir("qwen2_5_vl")), **(model or {})},
        "data": {
            "train": [str(figures / "train.jsonl")],
            "validation": [str(figures / "validation.jsonl")],
            "max_pixels": 3136,
            "probe_examples": 0,
            **(data or {}),
        },
        "training": {
            "output_dir": str(tmp_path / out),
            "max_steps": 12,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-3,
            "logging_steps": 4,
            "save_steps": 3,
            "use_cpu": True,
            **training,
        },
    }
    path = tmp_path / f"{out}.yaml"
    path.write_text(json.dumps(settings))
    return path


CLOCK = {
    "tokens_per_second",
    "peak_memory_mb",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
}


def metrics(run_dir):
    """Every logged line as exact text, less what depends on the clock or the machine."""
    return [
        repr({name: row[name] for name in sorted(row) if name not in CLOCK})
        for _, row in read_jsonl(run_dir / "metrics.jsonl")
    ]


def identical(one, other):
    """Whether two nests of dictionaries, lists and tensors are the same to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(identical(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(identical, one, other))
    return repr(one) == repr(other)


def assert_same_weights(one, other):
    (file,) = (one / "model").glob("*.safetensors")
    found = load_file(file)
    assert found and identical(found, load_file(other / "model" / file.name))


def assert_same_run(one, other):
    """Final model, all states of the last checkpoint, and the metrics."""
    assert_same_weights(one, other)
    folders = [last_checkpoint(folder) for folder in (one, other)]
    states = sorted(p.name for p in (one / os.path.basename(folders[0])).glob("*.pt*"))
    assert {"optimizer.pt", "scheduler.pt"} < set(states)
    assert any(name.startswith("rng_state") for name in states)
    for name in states:
        first, second = (
            torch.load(f"{folder}/{name}", weights_only=name in ("optimizer.pt", "scheduler.pt"))
            for folder in folders
        )
        assert identical(first, second), name
    assert metrics(one) == metrics(other)
    assert read_json(one / "summary.json") == read_json(other / "summary.json")


def restore(kept, run_dir, step):
    """Put a run folder back to where it was after the checkpoint of a step."""
    shutil.rmtree(run_dir)
    shutil.copytree(kept, run_dir)
    for path in run_dir.glob("checkpoint-*"):
        if int(path.name.split("-")[1]) > step:
            shutil.rmtree(path)
    shutil.rmtree(run_dir / "model")
    (run_dir / "summary.json").unlink()


def half_written(run_dir):
    folders = run_dir.glob("checkpoint-*")
    return not all((folder / "trainer_state.json").exists() for folder in folders)


def test_twenty_kills(tiny_dir, tmp_path):
    """SIGKILL at random moments of a process's life, every other one in the midst of saving."""
    options = {"save_steps": 1, "eval_strategy": "epoch", "save_total_limit": 1}
    log, whole = tmp_path / "log", write_run(tiny_dir, tmp_path, "whole", **options)
    finish(start("train", whole, log=log), log)
    draw, runs, kills, cut, life = random.Random(0), 0, 0, 0, 3.0
    while kills < 20:
        # A run may end before it could be killed.
        path = write_run(tiny_dir, tmp_path, f"killed-{runs}", **options)
        runs += 1
        folder = path.with_suffix("")
        while not (folder / "summary.json").exists():
            process = start("train", path, log=log)
            ended = wait([process.sentinel], timeout=draw.uniform(0, life))
            while kills % 2 and not ended and not half_written(folder):
                ended = wait([process.sentinel], timeout=0.001)
            if not ended:
                process.kill()
                process.join()
                # It may have ended by itself just before.
                ended = process.exitcode == 0
            finish(process, log, 0 if ended else -signal.SIGKILL)
            kills += not ended
            cut += half_written(folder)
            # As long as a process lives, on a machine of any speed.
            life *= 0.7 if ended else 1.05
        assert_same_run(tmp_path / "whole", folder)
    assert cut > 5


def test_a_streamed_run_is_killed(tiny_dir, tmp_path):
    """Three SIGKILLs after checkpoints; the rows go on where they were."""
    data = {"streaming": True}
    log, folder = tmp_path / "log", tmp_path / "run"
    whole, path = (write_run(tiny_dir, tmp_path, out, data=data) for out in ("whole", "run"))
    finish(start("train", whole, log=log), log)
    for _ in range(3):
        before, process = last_checkpoint(folder), start("train", path, log=log)
        wait_until(lambda: last_checkpoint(folder) != before, process)  # noqa: B023
        process.kill()
        finish(process, log, -signal.SIGKILL)
    finish(start("train", path, log=log), log)
    assert_same_run(tmp_path / "whole", folder)


STRATEGIES = {
    "steps": {"save_steps": 1, "eval_strategy": "epoch", "eval_on_start": True},
    "both": {
        "eval_strategy": "steps",
        "eval_steps": 3,
        "load_best_model_at_end": True,
        "lr_scheduler_type": "reduce_lr_on_plateau",
    },
    "epoch": {"save_strategy": "epoch", "eval_strategy": "epoch", "logging_strategy": "epoch"},
    "best": {
        "save_strategy": "best",
        "eval_strategy": "steps",
        "eval_steps": 2,
        "metric_for_best_model": "eval_nll",
    },
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_run_goes_on_from_each_of_its_checkpoints(name, tiny_dir, tmp_path):
    """The last one included, which is in the middle of an epoch."""
    more = {"max_steps": 4, "save_total_limit": None, **STRATEGIES[name]}
    config = load_config(write_run(tiny_dir, tmp_path, "run", **more))
    folder, kept = tmp_path / "run", tmp_path / "kept"
    train(config)
    shutil.copytree(folder, kept)
    steps = sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))
    assert len(steps) > 1
    for step in steps:
        restore(kept, folder, step)
        train(config)
        assert_same_run(kept, folder)


class Sends(TrainerCallback):
    """Sends signals to its own process at the beginning of a step."""

    def __init__(self, step, *signals):
        self.step, self.signals = step, signals

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step + 1 == self.step:
            for number in self.signals:
                signal.raise_signal(number)


@pytest.fixture
def handlers():
    """The two signals' default handlers, which a run leaves as they were."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    assert {number: signal.getsignal(number) for number in usual} == usual
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("step", [4, 6, 7])
def test_a_stopped_run_says_so_and_goes_on(step, tiny_dir, tmp_path, handlers):
    """In the middle of an epoch, at its end, at that of the run; none is saved otherwise."""
    more = {"max_steps": 7, "logging_steps": 1, "save_strategy": "no", "eval_strategy": "epoch"}
    train(load_config(write_run(tiny_dir, tmp_path, "whole", **more)))
    config, folder = load_config(write_run(tiny_dir, tmp_path, "run", **more)), tmp_path / "run"
    told = f"stopped by SIGTERM after step {step} of 7; checkpoint saved; run the same command"
    with pytest.raises(MmdftError, match=told):
        train(config, [Sends(step, signal.SIGTERM)])
    assert [path.name for path in folder.glob("checkpoint-*")] == [f"checkpoint-{step}"]
    assert not (folder / "model").exists() and not (folder / "summary.json").exists()
    train(config)
    assert_same_weights(tmp_path / "whole", folder)
    assert metrics(tmp_path / "whole") == metrics(folder)


def test_a_second_signal_ends_at_once(tiny_dir, tmp_path, handlers):
    config = load_config(write_run(tiny_dir, tmp_path, "run"))
    with pytest.raises(KeyboardInterrupt):
        train(config, [Sends(2, signal.SIGTERM, signal.SIGINT)])
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_signal_that_comes_too_late_is_not_lost(tiny_dir, tmp_path, handlers):
    class AtTheEnd(TrainerCallback):
        def on_train_end(self, args, state, control, **kwargs):
            signal.raise_signal(signal.SIGINT)

    config = load_config(write_run(tiny_dir, tmp_path, "run"))
    with pytest.raises(KeyboardInterrupt):
        train(config, [AtTheEnd()])
    assert not (tmp_path / "run/model").exists()


def test_a_stop_adds_none_to_the_checkpoints_that_validation_chooses_from(
    tiny_dir, tmp_path, handlers
):
    more = {"save_steps": 4, "eval_strategy": "steps", "eval_steps": 2}
    more["load_best_model_at_end"] = True
    config = load_config(write_run(tiny_dir, tmp_path, "run", **more))
    with pytest.raises(MmdftError, match="after step 7 of 12"):
        train(config, [Sends(6, signal.SIGINT)])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group(name, tiny_dir, tmp_path):
    """As torchrun, a batch system or a terminal sends it: the data loader's workers get it too."""
    more = {"max_steps": 20, "logging_steps": 1, "save_steps": 100, "dataloader_num_workers": 1}
    more |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
    log = tmp_path / "log"
    whole, path = (write_run(tiny_dir, tmp_path, out, **more) for out in ("whole", "run"))
    finish(start("train", whole, log=log), log)
    log.write_text("")
    process, rows = start("train", path, log=log), tmp_path / "run/metrics.jsonl"
    wait_until(lambda: rows.exists() and rows.read_text().count("\n") > 2, process)
    os.killpg(process.pid, signal.Signals[name])
    finish(process, log, 1)
    said = log.read_text()
    expected = rf"error: stopped by {name} after step (\d+) of 20; checkpoint saved; run the same "
    found = re.fullmatch(expected + "command again to continue", said.splitlines()[-1])
    assert found and "Traceback" not in said, said
    assert last_checkpoint(tmp_path / "run").endswith(f"checkpoint-{found[1]}")
    assert not (tmp_path / "run/model").exists() and not (tmp_path / "run/summary.json").exists()
    finish(start("train", path, log=log), log)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def ranks(path, log):
    """Two ranks of a run, as a launcher starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [
        start(
            "train",
            path,
            log=log,
            RANK=rank,
            LOCAL_RANK=rank,
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in "01"
    ]


PACKED = {
    "model": {"lora": {"r": 4, "dropout": 0.1}},
    "data": {"packing": True, "max_length": 200, "probe_examples": 4},
    "per_device_train_batch_size": 1,
    "max_steps": 30,
    "save_steps": 2,
    "logging_steps": 1,
    "eval_strategy": "epoch",
}


@pytest.mark.parametrize("streaming", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_ranks_are_killed_and_stopped(streaming, tiny_dir, tmp_path):
    """Packed, LoRA with dropout: three kills, the first at the start, a signal to one rank."""
    log, folder = tmp_path / "log", tmp_path / "run"
    options = {**PACKED, "data": {**PACKED["data"], "streaming": streaming}}
    whole, path = (write_run(tiny_dir, tmp_path, out, **options) for out in ("whole", "run"))
    for process in ranks(whole, log):
        finish(process, log)
    draw = random.Random(1)
    for kill in range(3):
        processes = ranks(path, log)
        wait_until(folder.exists, *processes)
        if kill:
            wait_until(lambda: last_checkpoint(folder), *processes)
        wait([processes[0].sentinel], timeout=draw.uniform(0, 1))
        for process in processes:
            process.kill()
        for process in processes:
            finish(process, log, -signal.SIGKILL)
    before, processes = last_checkpoint(folder), ranks(path, log)
    wait_until(lambda: last_checkpoint(folder) != before, *processes)
    os.kill(processes[1].pid, signal.SIGTERM)
    for process in processes:
        finish(process, log, 1)
    told = re.findall(r"error: stopped by SIGTERM after step (\d+) of 30; ", log.read_text())
    assert len(told) == 2 and told[0] == told[1]
    assert not (folder / "summary.json").exists()
    for process in ranks(path, log):
        finish(process, log)
    assert_same_run(tmp_path / "whole", folder)
