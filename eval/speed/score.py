"""Verdicts a second: each benchmark's rule sets on written-out answers; no model, one process.

    python eval/speed/score.py --benchmark dynamath=FOLDER --rounds 5 --out eval/results/score_speed

Drawn figures are always scored; `--benchmark NAME=PATH`, as often as wanted, adds others. The
responses are made of the golds: right and wrong ones, in sentences, boxes and JSON, and some
without an answer. Writes OUT.md and OUT.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import (
    cell,
    in_a_process,
    machine,
    save,
    spread_of,
    table,
    told,
    versions_of,
)

from mmdft.data.figures import write_figures
from mmdft.errors import ConfigError
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.scoring import score
from mmdft.records import Example, Prediction

STEPS = "We read the figure first. Then we put the numbers into the formula and simplify. " * 8
FORMS = (
    STEPS + "So the answer is {gold}.",
    STEPS + "Therefore \\boxed{{{gold}}}",
    '{{"solution": "' + STEPS + '", "short answer": "{gold}"}}',
    "Answer: {gold}",
    STEPS + "Answer: {gold}7",
    STEPS + "This cannot be told from the figure.",
)


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--items", type=int, default=500, help="at most, of each benchmark")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("eval/results/score_speed"))
    options = parser.parse_args()
    given = [each.partition("=") for each in options.benchmark]
    for name, _, path in given:
        if not path:
            raise ConfigError(f"--benchmark {name}: name its data too, as {name}=PATH")
    with tempfile.TemporaryDirectory() as folder:
        drawn = write_figures(Path(folder), num=options.items, split="test", seed=0, size=56)
        benchmarks = {"figures": drawn, **{name: Path(path) for name, _, path in given}}
        found = {
            name: {
                rules: measure(name, path, options.items, rules, options.rounds)
                for rules in benchmark_named(name).rules
            }
            for name, path in benchmarks.items()
        }
    names = "".join(f" --benchmark {name}=FOLDER" for name, _, _ in given)
    result = {
        "versions": versions_of("mmdft", "math-verify", "sympy"),
        "machine": machine(),
        "rounds": options.rounds,
        "command": f"python eval/speed/score.py{names} --items {options.items} "
        f"--rounds {options.rounds}",
        "benchmarks": found,
    }
    save(options.out, result, as_markdown(result))


def responses(examples: Sequence[Example]) -> list[Prediction]:
    """A response to each item, the forms taking turns."""
    return [
        Prediction(
            id=example.id, response=FORMS[place % len(FORMS)].format(gold=example.answer or "0")
        )
        for place, example in enumerate(examples)
    ]


def judged(name: str, path: Path, items: int, rules: str) -> dict[str, Any]:
    """How the responses come out, and the seconds that takes, what is loaded once left out."""
    examples = benchmark_named(name).load(path, items, images=False)
    predictions = responses(examples)
    score(name, examples, predictions[: len(FORMS)], rules)
    start = time.perf_counter()
    verdicts = score(name, examples, predictions, rules)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "statuses": Counter(verdict.status for verdict in verdicts)}


def measure(name: str, path: Path, items: int, rules: str, rounds: int) -> dict[str, Any]:
    """Verdicts a second over the rounds, each in a process of its own."""
    runs = [in_a_process(judged, name, path, items, rules) for _ in range(rounds)]
    number = sum(runs[0]["statuses"].values())
    return {
        "verdicts": number,
        "statuses": dict(runs[0]["statuses"]),
        "per_second": spread_of([number / run["seconds"] for run in runs]),
    }


def as_markdown(result: dict[str, Any]) -> str:
    """The table."""
    rows = [
        [
            name,
            rules,
            f"{each['verdicts']:,}",
            cell(each["per_second"], ",.0f"),
            ", ".join(f"{status} {n}" for status, n in sorted(each["statuses"].items())),
        ]
        for name, by_rules in result["benchmarks"].items()
        for rules, each in by_rules.items()
    ]
    parts = [
        "# Verdicts a second",
        f"Medians of {result['rounds']} rounds (lowest to highest), each in a process of its own. "
        f"{told(result)}",
        table(["benchmark", "rule set", "verdicts", "verdicts/s", "of which"], rows),
        "Responses are made of the golds: right and wrong answers in sentences, boxes and JSON, "
        "and some without one. Reading the data is not counted, extraction is.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
