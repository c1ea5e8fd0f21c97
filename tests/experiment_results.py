"""Results of experiments as results.json has them: a complete one, and one with little in it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

SEEDS = (-0.02, -0.01, 0.0, 0.01, 0.02)
EDGES = [0.0, 1e-4, 1e-3, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
BENCHMARKS = {
    "validation": ("validation", 200, "Fresh figures for choosing"),
    "test": ("in_distribution", 400, "Fresh figures"),
    "values": ("out_of_distribution", 200, "Other ranges of values"),
    "look": ("out_of_distribution", 200, "Another look"),
    "others": ("forgetting", 300, "All other families"),
}
BASE = {"validation": 0.8, "test": 0.81, "values": 0.5, "look": 0.62, "others": 0.7}
GREEDY = {
    "sft": {"validation": 0.9, "test": 0.899, "values": 0.55, "look": 0.6, "others": 0.5},
    "dft": {"validation": 0.95, "test": 0.948, "values": 0.61, "look": 0.605, "others": 0.6},
}
SAMPLED = {
    "base": {"test": 0.62, "values": 0.4},
    "sft": {"test": 0.628, "values": 0.41},
    "dft": {"test": 0.906, "values": 0.58},
}


def spread(mean: float, seeds: tuple[float, ...] = SEEDS) -> dict[str, Any]:
    """A spread as results.json has it, of values around a mean; of a share it ends at 1."""
    values = [round(mean + each, 6) for each in seeds]
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None, "values": values}
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    # Student's 97.5 % point with four degrees of freedom.
    half = 2.776 * math.sqrt(variance / len(values))
    high = min(1.0, mean + half) if mean < 1 else mean + half
    return {"mean": mean, "low": mean - half, "high": high, "values": values}


def behaviour(stopped: float) -> dict[str, Any]:
    return {"stopped": stopped, "formatted": 0.99, "mean_tokens": 31.4, "adopts_style": None}


def histogram(low: int, high: int) -> dict[str, Any]:
    counts = [low, 30, 60, 90, 80, 70, 60, 60, 80, 90, 120, 300, high]
    return {"edges": EDGES, "counts": counts, "mean": 0.62, "below_0.01": (low + 90) / 4000}


def curve(end: float) -> dict[str, list[float]]:
    means = [0.8, (0.8 + end) / 2, end]
    return {
        "mean": means,
        "low": [value - 0.02 for value in means],
        "high": [value + 0.02 for value in means],
    }


def variant(name: str) -> dict[str, Any]:
    greedy, sampled = GREEDY[name], SAMPLED[name]
    rates = {"0.0001": -0.01, "0.0003": 0.0, "0.001": -0.3 if name == "sft" else -0.05}
    return {
        "title": name.upper(),
        "overrides": {"objective.name": name},
        "best": 0.0003,
        "learning_rates": {
            rate: {label: spread(greedy[label] + less) for label in ("validation", "test")}
            for rate, less in rates.items()
        },
        "results": {
            label: {
                "greedy": spread(greedy[label]),
                "sampled": spread(sampled[label]) if label in sampled else None,
                "temperatures": {
                    "0.3": spread(greedy[label] - (0.02 if name == "sft" else 0.01)),
                    "0.7": spread(greedy[label] - (0.12 if name == "sft" else 0.02)),
                }
                if label == "test"
                else {},
                "early_stop": spread(greedy[label] + 0.005) if label == "test" else None,
                "behaviour": {
                    key: None if value is None else spread(value)
                    for key, value in behaviour(0.97).items()
                },
            }
            for label in BENCHMARKS
        },
        "controls": {"clipping_off": {"test": spread(greedy["test"] - 0.02)}},
        "curves": {
            "steps": [0, 20, 40],
            "validation": curve(greedy["validation"]),
            "test": curve(greedy["test"]),
        },
        "training": {
            "steps": [10, 20, 30, 40],
            "grad_norm": [3.0, 2.0, 1.5, 1.2] if name == "sft" else [0.9, 0.6, None, 0.4],
            "nll": [1.0, 0.8, 0.7, 0.65] if name == "sft" else [1.0, 1.1, 1.2, 1.3],
            "mean_p": [0.5, 0.6, 0.64, 0.66],
            "entropy": [0.9, 0.7, 0.6, 0.5] if name == "sft" else [0.9, 0.5, 0.3, 0.2],
        },
        "probabilities": histogram(20 if name == "sft" else 200, 3000 if name == "sft" else 4000),
    }


def tests() -> list[dict[str, Any]]:
    """Every comparison; those with more than two points between them are clear ones."""
    found = []
    for measure, rates in (("greedy", {"base": BASE, **GREEDY}), ("sampled", SAMPLED)):
        for a, b in (("dft", "sft"), ("sft", "base"), ("dft", "base")):
            for label in rates[a]:
                if label != "validation":
                    difference = rates[a][label] - rates[b][label]
                    clear = abs(difference) > 0.0205
                    found.append(
                        {
                            "benchmark": label,
                            "measure": measure,
                            "a": a,
                            "b": b,
                            "difference": difference,
                            "low": difference - 0.02,
                            "high": difference + 0.02,
                            "p_value": 0.0004 if clear else 0.31,
                            "p_corrected": 0.006 if clear else 0.93,
                            "test": "paired t over seeds",
                        }
                    )
    return found


def picture(path: Path, bars: tuple[int, ...] = (30, 60, 45)) -> Path:
    """A little bar chart as a PNG."""
    image = Image.new("RGB", (112, 112), "white")
    draw = ImageDraw.Draw(image)
    for place, height in enumerate(bars):
        draw.rectangle([14 + 32 * place, 100 - height, 34 + 32 * place, 100], fill="#3f6fb0")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def answer(response: str, found: str | None, status: str) -> dict[str, Any]:
    return {"response": response, "answer": found, "status": status}


def complete_results(folder: Path) -> dict[str, Any]:
    """Results with every part, of two variants with five seeds; pictures are drawn in `folder`."""
    return {
        "name": "noisy",
        "title": "30 % wrong demonstrations",
        "command": "mmdft experiment configs/experiments/noisy.yaml",
        "finished": True,
        "setting": {
            "model": "mmdft/tiny",
            "parameters": 3_070_000,
            "demonstrations": 2000,
            "steps": 60,
            "batch": 16,
            "seeds": 5,
            "decoding": "greedy, and 4 samples at temperature 1",
            "chosen on": "validation",
        },
        "versions": {"mmdft": "0.1.0", "torch": "2.8.0"},
        "seconds": {"base": 12.3, "grid": 843.0},
        "benchmarks": {
            label: {"role": role, "n": n, "title": title}
            for label, (role, n, title) in BENCHMARKS.items()
        },
        "base": {
            label: {
                "greedy": greedy,
                "sampled": {"k": 4, "temperature": 1.0, "accuracy": SAMPLED["base"][label]}
                if label in SAMPLED["base"]
                else None,
                "temperatures": {"0.3": 0.79, "0.7": 0.71} if label == "test" else {},
                "behaviour": behaviour(0.98),
            }
            for label, greedy in BASE.items()
        },
        "base_probabilities": histogram(100, 1000),
        "variants": {name: variant(name) for name in GREEDY},
        "tests": tests(),
        "advice": {
            "mean_p": 0.78,
            "suggests": "dft",
            "text": "at 0.76 to 0.81 (math) weighting by p won",
            "better": "dft",
            "agrees": True,
        },
        "samples": [
            {
                "image": str(picture(folder / "figures" / "one.png")),
                "question": "How many bars are there?",
                "gold": "3",
                "label": "test",
                "answers": {
                    "base": answer("Values: 30, 60. The answer is 2.", "2", "wrong"),
                    "sft": answer("Values: 30, 60, 45. The answer is 3.", "3", "correct"),
                    "dft": answer("Values: 30, 60, 45. There are 3 bars.", "3.0", "correct"),
                },
            },
            {
                "image": str(picture(folder / "figures" / "two.png", (50, 20, 70))),
                "question": "Which bar is the lowest?",
                "gold": "the second",
                "label": "values",
                "answers": {
                    "base": answer("", None, "no_answer"),
                    "sft": answer("The first.", "the first", "wrong"),
                    "dft": answer("The second.", "the second", "correct"),
                },
            },
        ],
    }


def sparse_results() -> dict[str, Any]:
    """Results of a run that was stopped early: one variant, one seed, one benchmark, no extras."""
    return {
        "name": "short",
        "title": "A short one",
        "command": "mmdft experiment short.yaml",
        "finished": False,
        "setting": {"model": "mmdft/tiny"},
        "versions": {},
        "seconds": {},
        "benchmarks": {"test": {"role": "in_distribution", "n": 50, "title": "Fresh figures"}},
        "base": {
            "test": {"greedy": 0.5, "sampled": None, "temperatures": {}, "behaviour": {}},
        },
        "base_probabilities": None,
        "variants": {
            "sft": {
                "title": "SFT",
                "overrides": {},
                "best": 0.0003,
                "learning_rates": {"0.0003": {"test": spread(0.7, (0.0,))}},
                "results": {
                    "test": {
                        "greedy": spread(0.7, (0.0,)),
                        "sampled": None,
                        "temperatures": {},
                        "early_stop": None,
                        "behaviour": {},
                    }
                },
                "controls": {"clipping_off": {}},
                "curves": {"steps": []},
                "training": {"steps": [], "grad_norm": [], "nll": [], "mean_p": [], "entropy": []},
                "probabilities": None,
            }
        },
        "tests": [],
        "advice": None,
        "samples": [],
    }
