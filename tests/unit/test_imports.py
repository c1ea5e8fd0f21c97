"""The import order of the package, read from its sources."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mmdft"

# A module may import from its own layer and from those before it. Longest prefix wins.
LAYERS = [
    (
        "mmdft.errors",
        "mmdft.records",
        "mmdft.files",
        "mmdft.shipped",
        "mmdft.memory",
        "mmdft.boxes",
        "mmdft.pages",
        "mmdft.charts",
    ),
    (
        "mmdft.preset_fields",
        "mmdft.training_fields",
        "mmdft.config",
        "mmdft.config_errors",
        "mmdft.config_loading",
    ),
    ("mmdft.provenance",),
    ("mmdft.data",),
    # What the benchmarks ask, and the rules beside it: trainings look for leaks of the items.
    (
        "mmdft.evals.benchmarks",
        "mmdft.evals.question",
        "mmdft.evals.rules",
        "mmdft.evals.extract",
        "mmdft.evals.extraction",
        "mmdft.evals.number_words",
        "mmdft.evals.symbolic",
        "mmdft.evals.plain",
        "mmdft.evals.choices",
        "mmdft.evals.numeric",
        "mmdft.evals.arithmetic",
        "mmdft.evals.text",
    ),
    ("mmdft.objectives", "mmdft.answer_loss", "mmdft.attention"),
    ("mmdft.head", "mmdft.model", "mmdft.tiny", "mmdft.diagnostics"),
    ("mmdft.vision_features",),
    ("mmdft.probing", "mmdft.reference"),
    (
        "mmdft.metrics",
        "mmdft.stopping",
        "mmdft.sampling",
        "mmdft.profiling",
        "mmdft.trainer",
        "mmdft.training_data",
    ),
    (
        "mmdft.training",
        "mmdft.evals",
        "mmdft.scored_training",
        "mmdft.inspection",
        "mmdft.checking",
    ),
    ("mmdft.comparison", "mmdft.rejection"),
    ("mmdft.experiments",),
    ("mmdft.quickstart",),
    ("mmdft.cli", "mmdft.__main__"),
]

# Scoring and reporting load no torch, nor does whatever must answer at once.
TORCH_FREE = [
    "mmdft",
    "mmdft.cli",
    "mmdft.config_loading",
    "mmdft.provenance",
    "mmdft.comparison.compare",
    "mmdft.comparison.write",
    "mmdft.data.formats",
    "mmdft.data.mixtures",
    "mmdft.data.segments",
    "mmdft.data.sources",
    "mmdft.data.figures",
    "mmdft.evals.benchmarks",
    "mmdft.evals.extract",
    "mmdft.evals.judge",
    "mmdft.evals.rules",
    "mmdft.evals.scoring",
    "mmdft.evals.stats",
    "mmdft.evals.symbolic",
    "mmdft.evals.tables",
    "mmdft.rejection.run",
    "mmdft.experiments.run",
    "mmdft.quickstart",
]


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path):
    """All modules of the package that a file imports anywhere, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("mmdft"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module and node.module.startswith("mmdft"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                known = {name for name, _ in modules()}
                yield from (name if name in known else node.module for name in names)


def layer(module):
    found = [
        (len(prefix), depth)
        for depth, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    assert found, f"{module} belongs to no layer; name it in LAYERS"
    return max(found)[1]


def test_imports_run_one_way():
    checked = 0
    for module, path in modules():
        if module == "mmdft":
            continue  # the public names, which it imports when they are used
        for imported in imports(path):
            checked += 1
            assert layer(imported) <= layer(module), f"{module} imports {imported}"
    assert checked > 100


def test_evaluation_and_training_do_not_know_each_other():
    """But for the items of the benchmarks, which training data is compared with."""
    allowed = {"mmdft.training_data": {"mmdft.evals.benchmarks"}}
    for module, path in modules():
        other = {"mmdft.evals": "mmdft.train", "mmdft.train": "mmdft.evals"}
        for prefix, forbidden in other.items():
            if module.startswith(prefix):
                found = {name for name in imports(path) if name.startswith(forbidden)}
                assert found == allowed.get(module, set()), module


@pytest.mark.parametrize("module", TORCH_FREE)
def test_torch_is_not_loaded(module):
    code = (
        f"import {module}, sys; "
        "print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
