"""From an experiment's folders to its results.json, as `schema` describes it. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdft.evals.items import Item
from mmdft.experiments.answers import (
    Answered,
    answered,
    items,
    logged,
    rights,
    said,
    scores_by_step,
    wordy_share,
)
from mmdft.experiments.choose import best_rate, best_step, mean_score
from mmdft.experiments.plan import (
    BASE,
    GREEDY,
    SAMPLED,
    Cell,
    at_temperature,
    best_cells,
    evaluation_dir,
    run_dir,
    unclipped,
)
from mmdft.experiments.schema import Test
from mmdft.experiments.settings import ExperimentConfig, variant_run
from mmdft.experiments.statistics import corrected, paired_test, spread
from mmdft.files import read_json
from mmdft.provenance import versions

# Of each benchmark that is no validation set, so many items are shown.
NUM_SAMPLES = 6
LEVEL = 0.05
# What the published points of the preflight's advice speak for.
_SUGGESTED: Mapping[str, str] = {"mean p, -p won": "dft", "mean p, NLL won": "sft"}
_TIE = "mean p, tie"
_STATISTICS = ("grad_norm", "nll", "mean_p", "entropy")

# (name of a model's folder, decoding) -> its benchmarks
Folders = dict[tuple[str, str], dict[str, Answered]]


def chosen_rates(config: ExperimentConfig) -> dict[str, float]:
    """Each variant's best learning rate, as far as its grid is finished."""
    found = {}
    for variant in config.variants:
        scores = {
            rate: [
                mean_score(
                    {
                        label: it.accuracy
                        for label, it in answered(
                            evaluation_dir(
                                config, Cell(variant=variant, rate=rate, seed=seed).name, GREEDY
                            )
                        ).items()
                    },
                    config.roles.validation,
                )
                for seed in config.seeds
            ]
            for rate in config.learning_rates
        }
        best = best_rate(scores)
        if best is not None:
            found[variant] = best
    return found


def collect(
    config: ExperimentConfig,
    *,
    best: Mapping[str, float],
    failures: Mapping[str, str],
    seconds: Mapping[str, float],
    command: str,
) -> dict[str, Any]:
    """All that results.json holds.

    Args:
        config: the experiment.
        best: each variant's learning rate.
        failures: the folder of what failed, and why.
        seconds: what took how long.
        command: how it was started.
    """
    folders = _folders(config, best)
    looked = config.output_dir / "advice.json"
    first_look = read_json(looked) if looked.is_file() else {}
    wordy = first_look.get("wordy", 0.0) > 0.5
    tests = _tests(config, best, folders)
    return {
        "name": config.name,
        "title": config.title or config.name,
        "command": command,
        "finished": not failures,
        "failures": [{"run": run, "error": error} for run, error in failures.items()],
        "setting": _setting(config, best),
        "versions": versions(),
        "seconds": dict(seconds),
        "benchmarks": {
            label: {
                "role": config.role_of[label],
                "n": it.num_items,
                "title": label,
            }
            for label, it in folders.get((BASE, GREEDY), {}).items()
        },
        "base": _base(config, folders, wordy),
        "base_probabilities": _probabilities(config, best, "before"),
        "variants": {
            name: _variant(config, name, best, folders, wordy) for name in config.variants
        },
        "tests": [test.model_dump() for test in tests],
        "advice": _advice(config, first_look, tests),
        "samples": _samples(config, best, folders),
    }


def _folders(config: ExperimentConfig, best: Mapping[str, float]) -> Folders:
    """All evaluations but those without clipping."""
    names = [
        BASE,
        *(
            Cell(variant=variant, rate=rate, seed=seed).name
            for variant in config.variants
            for rate in config.learning_rates
            for seed in config.seeds
        ),
    ]
    hows = [GREEDY, SAMPLED, *map(at_temperature, config.controls.temperatures)]
    return {
        (name, how): found
        for name in names
        for how in hows
        if (found := answered(evaluation_dir(config, name, how)))
    }


def _setting(config: ExperimentConfig, best: Mapping[str, float]) -> dict[str, Any]:
    run, samples = config.run, config.samples
    training = run.training
    summaries = [
        read_json(path)
        for cell in best_cells(config, best)
        if (path := run_dir(config, cell) / "summary.json").is_file()
    ]
    first = summaries[0] if summaries else {}
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    return {
        "model": run.model.name,
        "parameters": first.get("parameters"),
        "demonstrations": first.get("examples"),
        "steps": first.get("steps"),
        "batch": batch,
        "learning rates": ", ".join(f"{rate:g}" for rate in config.learning_rates),
        "chosen on": f"{', '.join(config.roles.validation)}: the mean over seeds, greedy"
        if len(config.learning_rates) > 1
        else None,
        "seeds": len(config.seeds),
        "decoding": f"greedy, at most {run.evaluation.max_new_tokens} tokens",
        "sampled answers": None
        if samples is None
        else f"{samples.num_samples} to each item at temperature {samples.temperature:g}",
        "probabilities of": f"{run.data.probe_examples} training demonstrations, evenly spaced",
        "base": "one; what varies is the seed of the training",
    }


def _base(config: ExperimentConfig, folders: Folders, wordy: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for label, it in folders.get((BASE, GREEDY), {}).items():
        sampled = folders.get((BASE, SAMPLED), {}).get(label)
        temperatures = {
            f"{temperature:g}": at.accuracy
            for temperature in config.controls.temperatures
            if (at := folders.get((BASE, at_temperature(temperature)), {}).get(label)) is not None
        }
        found[label] = {
            "greedy": it.accuracy,
            "sampled": None
            if sampled is None or config.samples is None
            else {
                "k": config.samples.num_samples,
                "temperature": config.samples.temperature,
                "accuracy": sampled.accuracy,
            },
            "temperatures": temperatures,
            "behaviour": {
                "adopts_style": wordy_share(it) if wordy else None,
                "stopped": it.stopped,
                "formatted": it.formatted,
                "mean_tokens": it.mean_tokens,
            },
        }
    return found


def _variant(
    config: ExperimentConfig,
    name: str,
    best: Mapping[str, float],
    folders: Folders,
    wordy: bool,
) -> dict[str, Any]:
    own = [cell for cell in best_cells(config, best) if cell.variant == name]
    rows = [lines for cell in own if (lines := logged(run_dir(config, cell)))]
    return {
        "title": _title(config, name),
        "overrides": config.variants[name] or {},
        "best": best.get(name),
        "learning_rates": {
            str(rate): _spreads(
                folders,
                [Cell(variant=name, rate=rate, seed=seed).name for seed in config.seeds],
                GREEDY,
                config.grid,
            )
            for rate in config.learning_rates
        },
        "results": _results(config, own, folders, wordy),
        "controls": {"clipping_off": _clipping_off(config, name, best)},
        "curves": _curves(config, rows),
        "training": _statistics(rows),
        "probabilities": _probabilities(
            config, {name: best[name]} if name in best else {}, "after"
        ),
    }


def _title(config: ExperimentConfig, name: str) -> str:
    """SFT and DFT are written so; any other name is as it is."""
    return name.upper() if name in ("sft", "dft") else name


def _spreads(
    folders: Folders, names: Sequence[str], how: str, labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Accuracy over seeds, of the labels that have some."""
    found = {
        label: _spread(
            [
                it.accuracy
                for name in names
                if (it := folders.get((name, how), {}).get(label)) is not None
            ]
        )
        for label in labels
    }
    return {label: each for label, each in found.items() if each is not None}


def _spread(values: Sequence[float | None], share: bool = True) -> dict[str, Any] | None:
    found = spread([value for value in values if value is not None], share=share)
    return None if found is None else found.model_dump()


def _results(
    config: ExperimentConfig, own: Sequence[Cell], folders: Folders, wordy: bool
) -> dict[str, Any]:
    names = [cell.name for cell in own]
    found: dict[str, Any] = {}
    for label in config.labels:
        answers = [
            it for name in names if (it := folders.get((name, GREEDY), {}).get(label)) is not None
        ]
        if not answers:
            continue
        found[label] = {
            "greedy": _spread([it.accuracy for it in answers]),
            "sampled": _spreads(folders, names, SAMPLED, [label]).get(label),
            "temperatures": {
                f"{temperature:g}": by_label[label]
                for temperature in config.controls.temperatures
                if label
                in (by_label := _spreads(folders, names, at_temperature(temperature), [label]))
            },
            "early_stop": _early_stop(config, own, label),
            "behaviour": {
                "adopts_style": _spread([wordy_share(it) for it in answers]) if wordy else None,
                "stopped": _spread([it.stopped for it in answers]),
                "formatted": _spread([it.formatted for it in answers]),
                "mean_tokens": _spread([it.mean_tokens for it in answers], share=False),
            },
        }
    return found


def _early_stop(config: ExperimentConfig, own: Sequence[Cell], label: str) -> dict[str, Any] | None:
    """The accuracy of each run at its own best step by validation; None where that is not known."""
    asked = config.controls.early_stop and label in config.controls.benchmarks
    if not asked or label not in config.grid:
        return None
    found = []
    for cell in own:
        rows = logged(run_dir(config, cell))
        step = best_step(_validation_by_step(config, rows))
        found.append(None if step is None else scores_by_step(rows, label).get(step))
    return _spread(found)


def _validation_by_step(config: ExperimentConfig, rows: list[dict[str, Any]]) -> dict[int, float]:
    by_label = {label: scores_by_step(rows, label) for label in config.roles.validation}
    steps = {step for scores in by_label.values() for step in scores}
    means = {
        step: mean_score(
            {label: scores.get(step) for label, scores in by_label.items()},
            config.roles.validation,
        )
        for step in sorted(steps)
    }
    return {step: mean for step, mean in means.items() if mean is not None}


def _clipping_off(
    config: ExperimentConfig, name: str, best: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    names = [cell.name for cell in unclipped(config, best) if cell.variant == name]
    folders = {(each, GREEDY): answered(evaluation_dir(config, each, GREEDY)) for each in names}
    return _spreads(folders, names, GREEDY, config.controls.benchmarks)


def _curves(config: ExperimentConfig, runs: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """Accuracy at the steps that all runs have, of the labels that were asked in training."""
    by_label = {label: [scores_by_step(rows, label) for rows in runs] for label in config.grid}
    steps = sorted(
        set.intersection(*(set(scores) for each in by_label.values() for scores in each))
        if runs
        else set()
    )
    if not steps:
        return {"steps": []}
    found: dict[str, Any] = {"steps": steps}
    for label, scores in by_label.items():
        at = [spread([each[step] for each in scores]) for step in steps]
        found[label] = {
            end: [None if it is None else getattr(it, end) for it in at]
            for end in ("mean", "low", "high")
        }
    return found


def _statistics(runs: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """What was logged of the training, at the steps that all runs have: the mean over seeds."""
    by_run = [{int(row["step"]): row for row in rows if "loss" in row} for rows in runs]
    steps = sorted(set.intersection(*map(set, by_run))) if by_run else []
    return {
        "steps": steps,
        **{
            name: [_mean([rows[step].get(name) for rows in by_run]) for step in steps]
            for name in _STATISTICS
        },
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _probabilities(
    config: ExperimentConfig, best: Mapping[str, float], when: str
) -> dict[str, Any] | None:
    """The histogram of the probe's tokens: of the base from one run, of trained models from all."""
    found = [
        read_json(path)[when]
        for cell in best_cells(config, best)
        if (path := run_dir(config, cell) / "probabilities.json").is_file()
    ]
    # Before the training all runs have the same model and the same examples.
    found = found[:1] if when == "before" else found
    if not found:
        return None
    return {
        "edges": found[0]["edges"],
        "counts": [sum(each) for each in zip(*(it["counts"] for it in found), strict=True)],
        **{name: _mean([it[name] for it in found]) for name in ("mean", "below_0.01")},
    }


def _tests(config: ExperimentConfig, best: Mapping[str, float], folders: Folders) -> list[Test]:
    """Every variant against the first, and each against the base; none on a validation label."""
    found = []
    for label, role in config.role_of.items():
        if role == "validation":
            continue
        for measure, how in (("greedy", GREEDY), ("sampled", SAMPLED)):
            right = {
                (name, seed): rights(it)
                for name, seed, folder in _compared(config, best)
                if (it := folders.get((folder, how), {}).get(label)) is not None
            }
            for a, b in _pairs(config):
                test = _test(config, label, measure, a, b, right)
                if test is not None:
                    found.append(test)
    return corrected(found)


def _compared(
    config: ExperimentConfig, best: Mapping[str, float]
) -> Iterator[tuple[str, int | None, str]]:
    """The models that are compared: name, seed, folder."""
    yield BASE, None, BASE
    for cell in best_cells(config, best):
        yield cell.variant, cell.seed, cell.name


def _pairs(config: ExperimentConfig) -> Iterator[tuple[str, str]]:
    for name in config.variants:
        if name != config.first:
            yield name, config.first
    for name in config.variants:
        yield name, BASE


def _test(
    config: ExperimentConfig,
    label: str,
    measure: str,
    a: str,
    b: str,
    right: Mapping[tuple[str, int | None], Mapping[str, float]],
) -> Test | None:
    """On the seeds that both have."""
    of_base = right.get((BASE, None))
    pairs = [
        (one, other)
        for seed in config.seeds
        if (one := right.get((a, seed))) is not None
        and (other := of_base if b == BASE else right.get((b, seed))) is not None
    ]
    if not pairs:
        return None
    of_a, of_b = zip(*pairs, strict=True)
    return paired_test(label, measure, (a, of_a), (b, of_b))


def _advice(
    config: ExperimentConfig, looked: Mapping[str, Any], tests: Sequence[Test]
) -> dict[str, Any]:
    """What the preflight said beforehand, and what was better in distribution."""
    by_objective: dict[str, str] = {}
    for name in config.variants:
        by_objective.setdefault(variant_run(config, name).objective.name, name)
    suggests = by_objective.get(_SUGGESTED.get(looked.get("rule", ""), ""))
    pair = {by_objective.get("sft"), by_objective.get("dft")}
    winners = set()
    for test in tests:
        if (
            {test.a, test.b} == pair
            and test.measure == "greedy"
            and test.benchmark in config.roles.in_distribution
            and test.p_corrected is not None
            and test.p_corrected < LEVEL
        ):
            winners.add(test.a if test.difference > 0 else test.b)
    better = winners.pop() if len(winners) == 1 else None
    expects_tie = looked.get("rule") == _TIE
    agrees: bool | None = None
    if expects_tie:
        agrees = better is None
    elif suggests is not None and better is not None:
        agrees = suggests == better
    return {
        "mean_p": looked.get("mean_p"),
        "suggests": suggests,
        "expects_tie": expects_tie,
        "text": looked.get("text", ""),
        "better": better,
        "agrees": agrees,
    }


def _samples(
    config: ExperimentConfig, best: Mapping[str, float], folders: Folders
) -> list[dict[str, Any]]:
    """The first items of each benchmark with the base's and each variant's answer, first seed."""
    models = {BASE: BASE} | {
        cell.variant: cell.name for cell in best_cells(config, best) if cell.seed == config.seeds[0]
    }
    found = []
    for label, role in config.role_of.items():
        it = folders.get((BASE, GREEDY), {}).get(label)
        if role == "validation" or it is None:
            continue
        answers = {
            name: said(its)
            for name, folder in models.items()
            if (its := folders.get((folder, GREEDY), {}).get(label)) is not None
        }
        for item in items(it)[:NUM_SAMPLES]:
            found.append(_sample(item, label, answers))
    return found


def _sample(
    item: Item, label: str, answers: Mapping[str, Mapping[str, dict[str, Any]]]
) -> dict[str, Any]:
    name = item.example.id
    return {
        "image": str(_shown(item.images[0])) if item.images else None,
        "question": item.prompt,
        "gold": item.example.answer,
        "label": label,
        "answers": {model: said[name] for model, said in answers.items() if name in said},
    }


def _shown(path: Path) -> Path:
    """A path below the current folder is told from there, as configurations have it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def main_numbers(results: Mapping[str, Any]) -> dict[str, Any]:
    """What one wants to know first: mean greedy accuracy by label, of the base and each variant."""
    return {
        "finished": results["finished"],
        "base": {label: it["greedy"] for label, it in results["base"].items()},
        "variants": {
            name: {
                "learning_rate": it["best"],
                **{
                    label: None if each["greedy"] is None else each["greedy"]["mean"]
                    for label, each in it["results"].items()
                },
            }
            for name, it in results["variants"].items()
        },
    }
