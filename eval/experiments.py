"""The results of experiments that were run, put together for eval/results/experiments.

    python eval/experiments.py runs/experiments/noisy_30 runs/experiments/facts ...

copies each folder's results.json and results.md as NAME.json and NAME.md, and writes overview.md:
every model of every experiment, whether the preflight's advice was right, and the commands.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from mmdft.experiments.evidence import write_evidence
from mmdft.files import read_json

RESULTS = Path(__file__).parent / "results" / "experiments"


def main() -> None:
    """Copy the results, and write the overview."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="experiments' output folders")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    # First: it refuses what is not an experiment's.
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(write_evidence(arguments.folders, arguments.out / "overview.md"))
    for folder in arguments.folders:
        name = read_json(folder / "results.json")["name"]
        for suffix in (".json", ".md"):
            print(shutil.copyfile(folder / f"results{suffix}", arguments.out / f"{name}{suffix}"))


if __name__ == "__main__":
    main()
