"""What the measurements of speed share: processes of their own, peaks, medians, tables."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch

from mmdft.errors import MmdftError
from mmdft.files import write_json, write_text

# glibc gives large blocks back to the kernel when they are freed, and every page is then faulted in
# anew. `mmdft train` turns that off for itself (`mmdft.memory`); here it is off for all contenders.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


def in_a_process(work: Callable[..., Any], *args: Any) -> Any:
    """What `work(*args)` gives in a process of its own, so that each has a peak of its own.

    Without a GPU it is forked off a process that has done nothing but import the modules that all
    need: to start Python anew each time would take longer than what is measured.

    Raises:
        MmdftError: the process ended without a result.
    """
    # Read by glibc when a process starts, here the one that the others are forked off.
    os.environ.update(ALLOCATOR)
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
    multiprocessing.set_forkserver_preload(["measure", "mmdft.training", "mmdft.tiny"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work, args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError as error:
        process.join()
        raise MmdftError(
            f"{work.__name__} of {args[0]} ended with status {process.exitcode}; see above"
        ) from error
    finally:
        process.join()


def _send(sender: Any, work: Callable[..., Any], args: Sequence[Any]) -> None:
    sender.send(work(*args))


def alternating(names: Sequence[str], rounds: int) -> list[str]:
    """Every name once a round, each round starting with the next: none always comes first."""
    return [
        name
        for number in range(rounds)
        for name in (
            *names[number % len(names) :],
            *names[: number % len(names)],
        )
    ]


def forget_peak(device: str) -> None:
    """Have `peak_mb` tell the peak from here on."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def held_mb(device: str) -> float:
    """Memory held now, in MB: allocated on the GPU, or resident of this process."""
    return torch.cuda.memory_allocated() / 1e6 if device == "cuda" else _status_mb("VmRSS")


def peak_mb(device: str) -> float:
    """The most that was held since `forget_peak`, in MB."""
    return torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else _status_mb("VmHWM")


def _status_mb(name: str) -> float:
    # Not getrusage's, which a new process inherits from the one that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


def wait_for(device: str) -> None:
    """Return when the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def default_device() -> str:
    """The GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def spread_of(values: Sequence[float]) -> dict[str, Any]:
    """Median, lowest, highest, and all of them."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "all": list(values),
    }


def ratios(others: Sequence[float], own: Sequence[float]) -> dict[str, Any]:
    """How many times longer the others took, round by round: what drifts hits both of a round."""
    return spread_of([other / one for other, one in zip(others, own, strict=True)])


def cell(found: Mapping[str, Any], form: str = ".3g") -> str:
    """A median with its spread."""
    return f"{found['median']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def versions_of(*names: str) -> dict[str, str]:
    """The versions of these packages, those left out that are not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What it runs on."""
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def processor_name() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def told(result: Mapping[str, Any]) -> str:
    """Machine, versions and command in a sentence or two."""
    on = result["machine"]
    where = f"{on['gpu']}, " if on["gpu"] else ""
    names = ", ".join(f"{name} {each}" for name, each in result["versions"].items())
    return (
        f"{where}{on['cores']} cores of {on['processor']}, {on['threads']} "
        f"thread{'s' * (on['threads'] != 1)}; {names}. "
        f"Made by `{result['command']}`."
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def save(out: Path, result: Mapping[str, Any], text: str) -> None:
    """Print the tables, and write them to OUT.md and the numbers to OUT.json."""
    print(text)
    write_json(out.with_name(out.name + ".json"), result)
    write_text(out.with_name(out.name + ".md"), text)


def figure_rows(folder: Path) -> list[dict[str, Any]]:
    """Native rows of a folder: DynaMath's items, or one for each image."""
    if (folder / "dataset.json").is_file():
        items = json.loads((folder / "dataset.json").read_text()).values()
        return [
            {
                "question": item["question"],
                "answer": item["answer"],
                "images": [str(folder.resolve() / item["image"])],
            }
            for item in items
        ]
    files = sorted(path for path in folder.resolve().iterdir() if path.is_file())
    question = "What does the figure show, and how large is its largest part?"
    return [{"question": question, "answer": "12", "images": [str(path)]} for path in files]
