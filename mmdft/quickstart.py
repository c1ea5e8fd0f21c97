"""`mmdft quickstart`: the whole way once, on drawn figures and a tiny model, on a CPU.

A tiny vision-language model learns from scratch to read simple figures. From that base it is
fine-tuned with SFT and with DFT on demonstrations of which some are wrong, the same ones in the
same order for the same steps. All three are evaluated in and out of distribution and compared.
Everything goes through the functions behind `mmdft train` and `mmdft eval`, so each stage's folder
is an ordinary run folder.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.config import RunConfig
from mmdft.data.dataset import RenderedDataset, load_examples
from mmdft.data.figures import write_figures
from mmdft.data.quarantine import usable
from mmdft.data.vision import pixel_budget
from mmdft.diagnostics import histogram, token_probabilities
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.report import report_markdown, write_report
from mmdft.evals.run import EvalResult, evaluate
from mmdft.evals.scoring import read_predictions, score
from mmdft.evals.stats import paired_difference
from mmdft.files import read_json, write_json, write_text
from mmdft.model import load_model, load_processor
from mmdft.provenance import versions
from mmdft.records import Example, Verdict
from mmdft.tiny import build_tiny
from mmdft.training import TrainResult, train

# The kinds of figure that a model of this size learns to read within a minute or two.
FAMILIES = ("polygon_sides", "bar_count", "grid_area")
IMAGE_SIZE = 112
NUM_BASE, NUM_TUNE, NUM_TEST, NUM_PROBE = 9_000, 2_000, 600, 150
BASE_STEPS, TUNE_STEPS = 600, 120
BATCH = 16
BASE_RATE, TUNE_RATE = 1.5e-3, 3e-4
NOISE = 0.3
OBJECTIVES = ("sft", "dft")
SPLITS = {"in distribution": "test", "out of distribution": "ood"}
RULES = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A model of the comparison and its evaluation on each split."""

    title: str
    model_dir: Path
    trained: TrainResult | None
    evaluated: EvalResult


def quickstart(out: Path, seed: int = 0) -> Path:
    """Run the comparison in `out` and write `report.html`, `report.md` and `report.json` there.

    Interrupted, it goes on where it stopped when called again.

    Returns:
        The path of `report.html`.
    """
    clock = _Clock(out / "seconds.json")
    with clock("draw figures"):
        _draw(out / "figures", seed)
    with clock("train the base"):
        if not (out / "untrained").is_dir():
            build_tiny(out / "untrained", family="qwen2_5_vl", seed=seed)
        base = train(_base_config(out, seed))
    stages = {}
    for key in ("base", *OBJECTIVES):
        trained = None
        if key != "base":
            with clock(f"fine-tune with {key.upper()}"):
                trained = train(_tune_config(out, base.model_dir, key, seed))
        model_dir = base.model_dir if trained is None else trained.model_dir
        with clock(f"evaluate {key}"):
            evaluated = evaluate(_eval_config(out, model_dir, key))
        stages[key] = Stage(
            title={"base": "Base", "sft": "SFT", "dft": "DFT"}[key],
            model_dir=model_dir,
            trained=trained,
            evaluated=evaluated,
        )
    with clock("measure probabilities"):
        bins = _probabilities(out, stages)
    result = _result(out, seed, stages, bins, clock.seconds, base)
    write_json(out / "report.json", result)
    write_text(out / "report.md", report_markdown(result))
    return write_report(result, out / "report.html")


def _draw(folder: Path, seed: int) -> None:
    """Figures for the base and for the comparison; each file is written whole or not at all."""
    wanted = [("base", "train", NUM_BASE, 0.0), ("tune", "train", NUM_TUNE, NOISE)]
    wanted += [("tune", "validation", NUM_PROBE, 0.0)]
    wanted += [("tune", split, NUM_TEST, 0.0) for split in SPLITS.values()]
    for name, split, num, noise in wanted:
        if not (folder / name / f"{split}.jsonl").is_file():
            write_figures(
                folder / name,
                num=num,
                split=split,
                # Another seed than the base's figures: what is fine-tuned on is new to it.
                seed=2 * seed + (name == "tune"),
                families=FAMILIES,
                size=IMAGE_SIZE,
                noise=noise,
            )


def _base_config(out: Path, seed: int) -> RunConfig:
    return _train_config(
        model=out / "untrained",
        data=out / "figures/base/train.jsonl",
        objective="sft",
        seed=seed,
        output_dir=out / "base",
        learning_rate=BASE_RATE,
        max_steps=BASE_STEPS,
        logging_steps=50,
    )


def _tune_config(out: Path, base: Path, objective: str, seed: int) -> RunConfig:
    return _train_config(
        model=base,
        data=out / "figures/tune/train.jsonl",
        objective=objective,
        seed=seed + 1,
        output_dir=out / objective,
        learning_rate=TUNE_RATE,
        max_steps=TUNE_STEPS,
        logging_steps=2,
    )


def _train_config(
    *, model: Path, data: Path, objective: str, seed: int, **training: Any
) -> RunConfig:
    return RunConfig.model_validate(
        {
            "model": {"name": str(model), "dtype": "float32"},
            # No probe of its own: `_probabilities` measures all models on fresh demonstrations.
            "data": {"train": [{"path": data}], "max_length": 256, "probe_examples": 0},
            "objective": {"name": objective},
            "training": {
                "per_device_train_batch_size": BATCH,
                "gradient_accumulation_steps": 1,
                "warmup_steps": 0.1,
                "save_steps": 100,
                "save_total_limit": 1,
                "seed": seed,
                "use_cpu": True,
                **training,
            },
        }
    )


def _eval_config(out: Path, model: Path, key: str) -> RunConfig:
    return RunConfig.model_validate(
        {
            "model": {"name": str(model), "dtype": "float32"},
            "evaluation": {
                "output_dir": out / f"eval-{key}",
                "max_new_tokens": 48,
                "batch_size": 60,
                "benchmarks": [
                    {
                        "name": "figures",
                        "path": out / f"figures/tune/{split}.jsonl",
                        "label": split,
                    }
                    for split in SPLITS.values()
                ],
            },
        }
    )


def _probabilities(out: Path, stages: Mapping[str, Stage]) -> dict[str, dict[str, Any]]:
    """Each model's probabilities of the tokens of demonstrations that none was trained on."""
    bins = {}
    for key, stage in stages.items():
        config = _tune_config(out, stage.model_dir, "sft", 0)
        source = config.data.train[0].model_copy(
            update={"path": out / "figures/tune/validation.jsonl"}
        )
        processor = load_processor(config.model)
        budget = pixel_budget(processor, None, None)
        loaded = load_examples([source], config.data, processor, budget)
        rendered = [usable(row) for row in RenderedDataset(loaded.rows, processor, budget)]
        ids, p = token_probabilities(
            load_model(config.model), rendered, processor.tokenizer.pad_token_id
        )
        bins[key] = histogram(ids, p, processor.tokenizer, low=0.1)
    return bins


def _result(
    out: Path,
    seed: int,
    stages: Mapping[str, Stage],
    bins: Mapping[str, dict[str, Any]],
    seconds: Mapping[str, float],
    base: TrainResult,
) -> dict[str, Any]:
    """The report's content, as `mmdft.evals.report_schema` describes it."""
    asked = {
        name: benchmark_named("figures").load(out / f"figures/tune/{split}.jsonl")
        for name, split in SPLITS.items()
    }
    verdicts = {
        name: {key: _verdicts(stage, split, asked[name]) for key, stage in stages.items()}
        for name, split in SPLITS.items()
    }
    models = {
        key: {
            "title": stage.title,
            "history": _history(stage.trained),
            "probabilities": bins[key],
            "results": {
                name: _split_score(stage.evaluated.benchmarks[split]["rules"][RULES])
                for name, split in SPLITS.items()
            },
        }
        for key, stage in stages.items()
    }
    differences = [
        _difference(name, a, b, verdicts[name])
        for name in SPLITS
        for a, b in (("dft", "sft"), ("sft", "base"), ("dft", "base"))
    ]
    return {
        "title": "mmdft quickstart: SFT and DFT from one base",
        "findings": _findings(models, differences, bins),
        "setting": {
            "architecture": "Qwen2.5-VL",
            "parameters": base.summary["parameters"],
            "figures": ", ".join(FAMILIES),
            "wrong demonstrations in fine-tuning": f"{NOISE:.0%}",
            "base steps": BASE_STEPS,
            "fine-tuning steps": TUNE_STEPS,
            "batch": BATCH,
            "learning rate, base": BASE_RATE,
            "learning rate, both objectives": TUNE_RATE,
            "fine-tuning figures": NUM_TUNE,
            "test figures per split": NUM_TEST,
            "decoding": "greedy",
            "seed": seed,
        },
        "seconds": dict(seconds),
        # Linux counts ru_maxrss in KiB.
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "versions": versions(),
        "command": f"mmdft quickstart --out {out} --seed {seed}",
        "models": models,
        "differences": differences,
        "samples": _samples(out, stages, asked, verdicts),
    }


def _verdicts(stage: Stage, split: str, examples: Sequence[Example]) -> list[Verdict]:
    predictions = read_predictions(stage.evaluated.run_dir / split / "predictions.jsonl")
    return score("figures", examples, predictions, RULES)


def _history(trained: TrainResult | None) -> list[dict[str, float]]:
    wanted = ("step", "loss", "nll", "mean_p", "token_accuracy", "grad_norm")
    rows = trained.history if trained else []
    return [{name: row[name] for name in wanted} for row in rows if "loss" in row]


def _split_score(summary: Mapping[str, Any]) -> dict[str, Any]:
    low, high = summary["interval"]
    return {
        "n": summary["n"],
        "accuracy": summary["accuracy"],
        "stderr": summary["standard_error"],
        "low": low,
        "high": high,
        "no_answer": summary["no_answer"],
        "truncated": round(summary["truncated_rate"] * summary["n"]),
        "samples": summary.get("samples", {}),
        "open": summary["open"],
        "range": summary["range"],
        "categories": {
            name: {
                "n": group["n"],
                "accuracy": group["accuracy"],
                "stderr": group["standard_error"],
            }
            for name, group in summary["breakdowns"]["category"].items()
        },
    }


def _difference(
    split: str, a: str, b: str, verdicts: Mapping[str, list[Verdict]]
) -> dict[str, Any]:
    # paired_difference is second minus first; the report speaks of a minus b.
    paired = paired_difference(verdicts[b], verdicts[a])
    return {
        "split": split,
        "a": a,
        "b": b,
        "difference": paired.difference,
        "stderr": paired.standard_error,
        "p_value": paired.p_value,
        "a_only": paired.only_b_correct,
        "b_only": paired.only_a_correct,
    }


def _findings(
    models: Mapping[str, Any],
    differences: Sequence[Mapping[str, Any]],
    bins: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """What was found, whichever way it came out."""
    found = []
    for name in SPLITS:
        rates = {key: models[key]["results"][name] for key in models}
        paired = next(d for d in differences if d["split"] == name and d["a"] == "dft")
        points, error = 100 * paired["difference"], 100 * paired["stderr"]
        if paired["p_value"] >= 0.05:
            verdict = "no clear difference"
        else:
            verdict = "DFT is better" if points > 0 else "SFT is better"
        found.append(
            f"{name.capitalize()}, of {rates['base']['n']} fresh figures the base answers "
            f"{rates['base']['accuracy']:.1%} correctly, after SFT {rates['sft']['accuracy']:.1%}, "
            f"after DFT {rates['dft']['accuracy']:.1%}. DFT minus SFT: {points:+.1f} points, "
            f"standard error {error:.1f}, p = {paired['p_value']:.2g}: {verdict}."
        )
    found.append(
        "Mean probability of the demonstrations' tokens: "
        f"base {bins['base']['mean']:.2f}, SFT {bins['sft']['mean']:.2f}, "
        f"DFT {bins['dft']['mean']:.2f}; "
        f"tokens below 0.01: base {bins['base']['below_0.01']:.1%}, "
        f"SFT {bins['sft']['below_0.01']:.1%}, DFT {bins['dft']['below_0.01']:.1%}."
    )
    found.append(
        f"Both objectives saw the same {BATCH * TUNE_STEPS} demonstrations, {NOISE:.0%} of them "
        "wrong on purpose, in the same order, from the same base."
    )
    found.append(
        "One seed, one learning rate, one tiny model: this shows that the tool works and how to "
        "read it, not which objective is better for your model and data."
    )
    return found


def _samples(
    out: Path,
    stages: Mapping[str, Stage],
    asked: Mapping[str, Sequence[Example]],
    verdicts: Mapping[str, Mapping[str, list[Verdict]]],
    per_split: int = 12,
) -> list[dict[str, Any]]:
    """The first figures of each split with each model's answer."""
    rows = []
    for name, split in SPLITS.items():
        said = {
            key: {
                p.id: p.response
                for p in read_predictions(stage.evaluated.run_dir / split / "predictions.jsonl")
            }
            for key, stage in stages.items()
        }
        judged = {key: {v.id: v for v in verdicts[name][key]} for key in stages}
        for example in asked[name][:per_split]:
            rows.append(
                {
                    "id": example.id,
                    "image": str(example.images[0].path),
                    "split": name,
                    "family": example.category,
                    "question": example.turns[-1].text,
                    "gold": example.answer,
                    "answers": {
                        key: {
                            "response": said[key][example.id],
                            "answer": judged[key][example.id].extraction.answer,
                            "status": judged[key][example.id].status,
                        }
                        for key in stages
                    },
                }
            )
    return rows


class _Clock:
    """Seconds spent on each stage, over all calls; kept in a file for a continued run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) if path.is_file() else {}
        self.stage = ""
        self.start = 0.0

    def __call__(self, stage: str) -> _Clock:
        self.stage = stage
        return self

    def __enter__(self) -> None:
        self.start = time.monotonic()
        print(f"[{self.stage}]", file=sys.stderr)

    def __exit__(self, *_: object) -> None:
        spent = time.monotonic() - self.start
        self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + spent
        write_json(self.path, self.seconds)
