"""What runs must share for their scores to be comparable, and in what they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdft.comparison.runs import Asked, Run

# Settings that change no answer, or no more than chance does; the pixels are told by what they came
# to, the benchmarks by their items, and the judge by its prompt.
_FREE = frozenset(
    ("output_dir", "batch_size", "seed", "benchmarks", "min_pixels", "max_pixels", "every_steps",
     "judge")
)  # fmt: skip
_WORDS = {"system": "system prompt", "images": "images shown"}
# What folders say nothing of that were written before it could be set.
_ALWAYS = {"images": "kept"}
# What a benchmark may have of its own.
_OWN = {"max_new_tokens": "decoding: max_new_tokens", "system": "system prompt"}


def differences(runs: Sequence[Run], baseline: Run) -> list[str]:
    """A line for each thing in which a run differs from the baseline and that a score depends on.

    Decoding and system prompt are told from the configurations, the pixels from the budget that
    the model had, prompts, golds and images from the items and the data's fingerprint.
    """
    found = []
    for run in runs:
        if run is not baseline:
            found += _settings(baseline, run)
            found += _pixels(baseline, run)
            found += _data(baseline, run)
    return found


def notes(runs: Sequence[Run], baseline: Run) -> list[str]:
    """What else differs, and explains small differences rather than forbidding the comparison."""
    found = []
    for run in runs:
        ours, theirs = baseline.provenance, run.provenance
        versions = _different(ours.get("versions") or {}, theirs.get("versions") or {})
        changed = [f"{name} {a} and {b}" for name, a, b in versions]
        if ours.get("device") != theirs.get("device"):
            changed.append(f"device {ours.get('device')} and {theirs.get('device')}")
        if changed:
            found.append(f"{baseline.name} and {run.name} were made with {', '.join(changed)}")
        if run is not baseline and ours.get("model") and ours.get("model") == theirs.get("model"):
            found.append(f"{baseline.name} and {run.name} are the same model, weight for weight")
    return found


def _settings(a: Run, b: Run) -> list[str]:
    configs = ({**_ALWAYS, **run.config} for run in (a, b))
    changed = [(key, x, y) for key, x, y in _different(*configs) if key not in _FREE]
    return [_line(_WORDS.get(key, f"decoding: {key}"), a, x, b, y) for key, x, y in changed]


def _pixels(a: Run, b: Run) -> list[str]:
    ours, theirs = a.provenance.get("pixels"), b.provenance.get("pixels")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [_line(f"pixels: {key}", a, x, b, y) for key, x, y in _different(ours, theirs)]
    return [] if ours == theirs else [_line("pixels", a, ours, b, theirs)]


def _data(a: Run, b: Run) -> list[str]:
    found = []
    for label in [*a.benchmarks, *(name for name in b.benchmarks if name not in a.benchmarks)]:
        if label not in a.benchmarks or label not in b.benchmarks:
            there, not_there = (a, b) if label in a.benchmarks else (b, a)
            found.append(f"benchmarks: {there.name} has {label}, {not_there.name} does not")
            continue
        found += [f"{label}: {line}" for line in _items(a, b, label)]
    return found


def _items(a: Run, b: Run, label: str) -> list[str]:
    ours, theirs = a.benchmarks[label], b.benchmarks[label]
    if ours.benchmark.name != theirs.benchmark.name:
        return [_line("benchmark", a, ours.benchmark.name, b, theirs.benchmark.name)]
    found = _own_settings(a, b, label)
    if list(ours.verdicts) != list(theirs.verdicts):
        found.append(_line("rule sets", a, list(ours.verdicts), b, list(theirs.verdicts)))
    if ours.judge and theirs.judge and ours.judge != theirs.judge:
        found.append(_line("judge", a, ours.judge, b, theirs.judge))
    only_a, only_b = (
        [item for item in x if item not in y]
        for x, y in ((ours.items, theirs.items), (theirs.items, ours.items))
    )
    if only_a or only_b:
        example = (only_a or only_b)[0]
        found.append(
            f"items: {len(only_a)} only in {a.name}, {len(only_b)} only in {b.name}, "
            f"such as {example!r}"
        )
    changed = _changed_items(ours, theirs)
    found += [
        f"{what} of {len(ids)} item{'' if len(ids) == 1 else 's'}, such as {ids[0]!r}"
        for what, ids in changed.items()
        if ids
    ]
    unanswered = _answered(ours) ^ _answered(theirs)
    common = [key for key in unanswered if key[0] in ours.items and key[0] in theirs.items]
    if common and a.config.get("num_samples") == b.config.get("num_samples"):
        found.append(f"answers: {len(common)} are only in one of {a.name} and {b.name}")
    # The system prompt is in the fingerprint too, and has its own line.
    prints = [(run.provenance.get("data") or {}).get(label) for run in (a, b)]
    same_system = a.config.get("system") == b.config.get("system")
    if not found and same_system and prints[0] != prints[1]:
        found.append(f"images: not the same files in {a.name} and {b.name}")
    return found


def _own_settings(a: Run, b: Run, label: str) -> list[str]:
    """What the benchmark was asked with in each run, where one of them sets it for it alone."""
    ours, theirs = _own(a, label), _own(b, label)
    found = []
    for key, word in _OWN.items():
        own = (ours.get(key), theirs.get(key))
        x, y = (
            run.config.get(key) if value is None else value
            for run, value in zip((a, b), own, strict=True)
        )
        if own != (None, None) and x != y:
            found.append(_line(word, a, x, b, y))
    return found


def _own(run: Run, label: str) -> Mapping[str, Any]:
    for benchmark in run.config.get("benchmarks") or []:
        if label == (benchmark.get("label") or benchmark.get("name")):
            return benchmark  # type: ignore[no-any-return]
    return {}


def _changed_items(a: Asked, b: Asked) -> dict[str, list[str]]:
    """By what is different: the ids of the common items."""
    changed: dict[str, list[str]] = {"prompts": [], "golds": [], "choices": []}
    for name, item in a.items.items():
        other = b.items.get(name)
        if other is None:
            continue
        x, y = item.example, other.example
        for what, differs in (
            ("prompts", item.prompt != other.prompt),
            ("golds", x.answer != y.answer),
            ("choices", x.choices != y.choices),
        ):
            if differs:
                changed[what].append(name)
    return changed


def _answered(asked: Asked) -> set[tuple[str, int]]:
    return {(prediction.id, prediction.sample) for prediction in asked.predictions}


def _different(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = [*a, *(key for key in b if key not in a)]
    return [(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]


def _line(what: str, a: Run, x: Any, b: Run, y: Any) -> str:
    return f"{what}: {_shown(x)} in {a.name}, {_shown(y)} in {b.name}"


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else repr(value)
    text = "none" if value is None else text
    return text if len(text) <= 80 else f"{text[:77]}..."
