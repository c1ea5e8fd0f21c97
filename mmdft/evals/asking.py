"""Asking a backend, and keeping the answers as they come: `predictions.jsonl`.

Each answer has a key: a hash of all that it depends on. What was asked before and has its key still
is not asked again, so that an interrupted evaluation goes on where it stopped. An answer whose key
is another one, because its item has changed, or which is not asked for any more, is set aside in
`superseded.jsonl`. The finished file is in the order of the requests, however they were answered.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmdft.config import DecodingConfig
from mmdft.data.progress import told
from mmdft.errors import ConfigError, DataError
from mmdft.evals.backends import Backend
from mmdft.files import drop_cut_line, read_jsonl, write_jsonl
from mmdft.records import Example, ImageRef, Prediction, Request, Unanswered

PREDICTIONS, UNANSWERED, SUPERSEDED = "predictions.jsonl", "unanswered.jsonl", "superseded.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes that answer together: which one this is, of how many, and how to wait."""

    index: int = 0
    number: int = 1
    wait: Callable[[], None] = lambda: None


def launched_ranks(backend: str, verb: str) -> Ranks:
    """The processes that a launcher such as `accelerate launch` started.

    Args:
        backend: the name of the backend that they ask.
        verb: what was started, for the message.

    Raises:
        ConfigError: there are several, and the backend is one that a single process asks.
    """
    number = int(os.environ.get("WORLD_SIZE", "1"))
    if number == 1:
        return Ranks()
    if backend != "transformers":
        raise ConfigError(
            f"the backend {backend} is asked from one process, and this launcher started "
            f"{number}; start {verb} without it"
        )
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.accelerator.is_available())
    return Ranks(
        index=state.process_index, number=state.num_processes, wait=state.wait_for_everyone
    )


def requests_for(
    examples: Sequence[Example], settings: DecodingConfig, benchmark: str = ""
) -> list[Request]:
    """What to ask: first samples of all items, then second ones.

    A request's seed follows from `settings.seed`, the item's id and the sample's number, so that
    an answer does not change with what else is asked.
    """
    return [
        Request(
            example=example,
            sample=sample,
            seed=_seed(settings.seed, example.id, sample),
            benchmark=benchmark,
            max_new_tokens=settings.max_new_tokens,
        )
        for sample in range(settings.num_samples)
        for example in examples
    ]


def answer_into(
    folder: Path,
    requests: Sequence[Request],
    backend: Backend,
    settings: DecodingConfig,
    ranks: Ranks = Ranks(),
) -> list[Unanswered]:
    """Have the requests answered that `folder` has no answer to, each rank its part.

    Returns:
        Those that no answer came to this time; also in `unanswered.jsonl`, which is there only if
        there are any.

    Raises:
        DataError: an item cannot be asked; the message names it.
    """
    keys = _keys(requests, backend, settings)
    if ranks.index == 0:
        folder.mkdir(parents=True, exist_ok=True)
        _set_aside(folder, keys)
        (folder / UNANSWERED).unlink(missing_ok=True)
    ranks.wait()
    have = {_name(row) for row in _rows(folder / PREDICTIONS)}
    lacking = [request for request in requests if (request.example.id, request.sample) not in have]
    mine = lacking[ranks.index :: ranks.number]
    if mine:
        _append(folder, ranks.index, backend.answer(mine), keys, len(mine))
    ranks.wait()
    if ranks.index == 0:
        _join(folder, keys)
    ranks.wait()
    failed = _rows(folder / UNANSWERED) if (folder / UNANSWERED).is_file() else []
    return [Unanswered(**row) for row in failed]


def _append(
    folder: Path,
    rank: int,
    answers: Iterator[list[Prediction | Unanswered]],
    keys: Mapping[tuple[str, int], str],
    total: int,
) -> None:
    """Write the answers down as they come: of rank 0 into the files, of others beside them."""
    with ExitStack() as stack:
        streams = {
            kind: stack.enter_context(_part(folder / name, rank).open("a", encoding="utf-8"))
            for kind, name in ((Prediction, PREDICTIONS), (Unanswered, UNANSWERED))
        }
        for answer in told(answers, "answering", total=total, unit="answers"):
            row = asdict(answer)
            if isinstance(answer, Prediction):
                row["key"] = keys[answer.id, answer.sample]
            stream = streams[type(answer)]
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            stream.flush()


def _set_aside(folder: Path, keys: Mapping[tuple[str, int], str]) -> None:
    """Take in what other ranks left when they were killed; keep only what is still asked."""
    _join(folder, keys)
    kept: list[dict[str, Any]] = []
    superseded: list[dict[str, Any]] = []
    for row in _rows(folder / PREDICTIONS):
        is_asked = _name(row) in keys and row.get("key") == keys[_name(row)]
        (kept if is_asked else superseded).append(row)
    if superseded:
        before = _rows(folder / SUPERSEDED) if (folder / SUPERSEDED).is_file() else []
        write_jsonl(folder / SUPERSEDED, [*before, *superseded])
        write_jsonl(folder / PREDICTIONS, kept)
        print(
            f"{folder}: {len(superseded)} earlier answers, to items that have changed or are not "
            f"asked any more, are in {SUPERSEDED} now",
            file=sys.stderr,
        )


def _join(folder: Path, keys: Mapping[tuple[str, int], str]) -> None:
    """One file of the ranks' files, in the order of the requests, each answer once."""
    order = {name: place for place, name in enumerate(keys)}
    for name in (PREDICTIONS, UNANSWERED):
        path = folder / name
        parts = [path, *sorted(folder.glob(f"{path.stem}.rank*.jsonl"))]
        rows: dict[tuple[str, int], dict[str, Any]] = {}
        for part in parts:
            drop_cut_line(part)
            for row in _rows(part) if part.is_file() else []:
                rows.setdefault(_name(row), row)
        if rows or name == PREDICTIONS:
            write_jsonl(
                path, sorted(rows.values(), key=lambda row: order.get(_name(row), len(order)))
            )
        else:
            path.unlink(missing_ok=True)
        # Only now: what was there before is in the file, whenever this is cut off.
        for part in parts[1:]:
            part.unlink(missing_ok=True)


def _part(path: Path, rank: int) -> Path:
    return path if rank == 0 else path.with_name(f"{path.stem}.rank{rank}.jsonl")


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, row in read_jsonl(path):
        if not isinstance(row, dict) or not {"id", "sample"} <= row.keys():
            raise DataError(
                f"{path}:{number}: no answer of mmdft eval; delete that line, or choose another "
                "output_dir"
            )
        rows.append(row)
    return rows


def _name(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["id"], row["sample"]


def _keys(
    requests: Sequence[Request], backend: Backend, settings: DecodingConfig
) -> dict[tuple[str, int], str]:
    """For each (item, sample) the hash of what its answer depends on."""
    decoding: dict[str, Any] = {"max_new_tokens": settings.max_new_tokens}
    if settings.temperature > 0:
        decoding |= {"temperature": settings.temperature, "top_p": settings.top_p}
    common = json.dumps([dict(backend.identity), decoding], sort_keys=True)
    prompts: dict[str, str] = {}
    images: dict[Path, str] = {}
    keys = {}
    for request in requests:
        example = request.example
        if example.id not in prompts:
            parts = [
                [turn.role, *(p if isinstance(p, str) else _image(p, images) for p in turn.parts)]
                for turn in example.prompt
            ]
            prompts[example.id] = json.dumps(parts, ensure_ascii=False)
        # A greedy answer has no seed.
        seed = request.seed if settings.temperature > 0 else 0
        text = f"{common}\n{seed}\n{prompts[example.id]}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
        keys[example.id, request.sample] = digest.hexdigest()
    return keys


def _image(ref: ImageRef, known: dict[Path, str]) -> str:
    if ref.path is None:
        return _digest(ref.data or b"")
    if ref.path not in known:
        try:
            known[ref.path] = _digest(ref.path.read_bytes())
        except OSError as error:
            raise DataError(f"{ref.label}: cannot be read ({error.strerror or error})") from error
    return known[ref.path]


def _digest(content: bytes) -> str:
    return f"image {hashlib.blake2b(content, digest_size=16).hexdigest()}"


def _seed(seed: int, identity: str, sample: int) -> int:
    text = repr((seed, identity, sample)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1
