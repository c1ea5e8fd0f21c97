from __future__ import annotations

import errno
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mmdft import cli
from mmdft.config import BENCHMARK_NAMES, JudgeConfig, RunConfig
from mmdft.errors import DataError

HEAVY = ("torch", "transformers", "datasets", "peft", "matplotlib")
VERBS = (
    "quickstart",
    "train",
    "inspect",
    "check",
    "eval",
    "probe",
    "score",
    "compare",
    "sample",
    "figures",
    "tiny",
)


@pytest.fixture
def run_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(
        "model: {name: m}\n"
        "data: {train: [rows.jsonl]}\n"
        "evaluation: {benchmarks: [{name: figures, path: x}]}\n"
    )
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.cli, [str(argument) for argument in arguments])


def fake(monkeypatch: pytest.MonkeyPatch, module: str, name: str, function: Any) -> None:
    """Put a module with one function in the place of a real one."""
    stand_in = ModuleType(module)
    setattr(stand_in, name, function)
    monkeypatch.setitem(sys.modules, module, stand_in)


def raising(error: BaseException) -> Any:
    def _raise(*_: Any, **__: Any) -> None:
        raise error

    return _raise


def process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mmdft", *map(str, arguments)], capture_output=True, text=True
    )


# Nothing heavy before it is needed


def modules_after(*arguments: str | Path) -> set[str]:
    code = (
        "import sys\n"
        "from mmdft.cli import main\n"
        "try:\n"
        f"    main({[str(argument) for argument in arguments]!r})\n"
        "except SystemExit:\n"
        "    print('\\n', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [("--help",), *((verb, "--help") for verb in VERBS)])
def test_help_loads_nothing_slow(arguments: tuple[str, ...]) -> None:
    loaded = modules_after(*arguments)
    assert "mmdft.cli" in loaded
    # pydantic and rich are light, but not so light that help should wait for them.
    assert loaded.isdisjoint({*HEAVY, "pydantic", "rich", "numpy"})


@pytest.mark.parametrize("override", ["training.learning_rat=1", "data.train=[]"])
def test_a_wrong_configuration_is_told_before_torch(run_yaml: Path, override: str) -> None:
    loaded = modules_after("train", run_yaml, override)
    assert "mmdft.config" in loaded
    assert loaded.isdisjoint(HEAVY)


# Exit statuses, in real processes


def test_a_missing_file_ends_with_2(tmp_path: Path) -> None:
    done = process("train", tmp_path / "none.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path}/none.yaml: no such file\n"


def test_mistakes_end_with_2_one_line_each(run_yaml: Path) -> None:
    run_yaml.write_text("model: {name: m}\ntraining: {learning_rat: 1, seed: x}\n")
    done = process("train", run_yaml)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: {run_yaml}:2: training.learning_rat: unknown key; "
        "did you mean training.learning_rate?\n"
        f"error: {run_yaml}:2: training.seed: got 'x', expected a whole number\n"
    )


def test_a_bad_override_ends_with_2(run_yaml: Path) -> None:
    done = process("eval", run_yaml, "evaluation.batch_size=many")
    assert done.returncode == 2
    assert done.stderr == (
        "error: command line: evaluation.batch_size: got 'many', expected a whole number or auto\n"
    )


def test_an_unknown_verb_ends_with_2() -> None:
    done = process("trian")
    assert done.returncode == 2
    assert "No such command 'trian'" in done.stderr


# Errors


def test_a_verb_needs_its_part_of_the_configuration(run_yaml: Path) -> None:
    result = run("train", run_yaml, "data.train=[]")
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {run_yaml}: data.train: missing; "
        "training needs a data file, such as data.train=[rows.jsonl]\n"
    )
    result = run("eval", run_yaml, "evaluation.benchmarks=[]")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {run_yaml}: evaluation.benchmarks: missing; ")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("rows.jsonl:3: not JSON"), "error: rows.jsonl:3: not JSON"),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a/model.bin"),
            "error: runs/a/model.bin: No space left on device; "
            "free some space, then run the same command again",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/out"),
            "error: /out: Permission denied; change the permissions, or choose another place",
        ),
        (OSError("no model\n called m"), "error: no model called m"),
        (KeyboardInterrupt(), "interrupted; run the same command again to continue"),
    ],
)
def test_failures_end_with_1_and_a_line(
    run_yaml: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, line: str
) -> None:
    fake(monkeypatch, "mmdft.training", "train", raising(error))
    result = run("train", run_yaml)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{line}\n")


def test_a_bug_keeps_its_traceback(run_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "mmdft.training", "train", raising(ZeroDivisionError("bug")))
    result = run("train", run_yaml)
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)
    assert result.stderr == ""


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_the_traceback_and_keeps_the_status(tmp_path: Path, before: bool) -> None:
    verb = ["train", str(tmp_path / "none.yaml")]
    result = run("--debug", *verb) if before else run(*verb, "--debug")
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith(f"error: {tmp_path}/none.yaml: no such file\n")


# What the verbs call, and print

SCORED = {
    "n_benchmark": 42,
    "n_predictions": 40,
    "missing": 2,
    "partial": True,
    "withheld": 3,
    "headline": {
        "name": "accuracy",
        "rules": "exact",
        "value": 0.625,
        "standard_error": 0.077,
        "interval": [0.47, 0.758],
        "range": [0.6, 0.7],
        "n": 40,
        "open": 4,
    },
    "rules": {
        "exact": {
            "n": 40,
            "accuracy": 0.625,
            "standard_error": 0.077,
            "no_answer": 1,
            "open": 4,
            "unscored": 7,
            "range": [0.6, 0.7],
        }
    },
}
HEADLINE = (
    "mine: accuracy: 62.5 % ± 7.7 (95 % interval 47.0 to 75.8; exact rules; n = 40; 4 open, range "
    "60.0 to 70.0)"
)


@pytest.mark.parametrize(
    ("verb", "module", "function"),
    [("train", "mmdft.training", "train"), ("eval", "mmdft.evals.run", "evaluate")],
)
def test_train_and_eval(
    run_yaml: Path, monkeypatch: pytest.MonkeyPatch, verb: str, module: str, function: str
) -> None:
    seen: list[RunConfig] = []

    def stand_in(config: RunConfig) -> SimpleNamespace:
        seen.append(config)
        summary = {"loss": 0.123456789, "figures": {"accuracy": 0.5, "n": [10]}}
        return SimpleNamespace(run_dir=Path("runs/a"), summary=summary, benchmarks={"mine": SCORED})

    fake(monkeypatch, module, function, stand_in)
    result = run(verb, run_yaml, "objective.name=sft")
    assert (result.exit_code, result.stderr) == (0, "")
    assert seen[0].objective.name == "sft"
    assert result.stdout.startswith("runs/a\n")
    shown = {
        "train": ("loss", "0.123457", "figures.accuracy", "0.5", "figures.n", "[10]"),
        "eval": (HEADLINE, "exact", "40", "62.5", "7.7", "60-70", "open", "2 of 42", "3 of 40"),
    }
    for text in shown[verb]:
        assert text in result.stdout
    result = run(verb, run_yaml, "--json", "objective.name=dft")
    assert json.loads(result.stdout) == {
        "run_dir": "runs/a",
        "summary": {"loss": 0.123456789, "figures": {"accuracy": 0.5, "n": [10]}},
    }


def test_train_profiles_into_the_runs_folder(
    run_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def stand_in(config: RunConfig, profile: Path) -> SimpleNamespace:
        seen.append(profile)
        return SimpleNamespace(run_dir=Path("runs/a"), summary={})

    fake(monkeypatch, "mmdft.training", "train", stand_in)
    fake(monkeypatch, "mmdft.profiling", "StepProfile", lambda folder: folder)
    result = run("train", run_yaml, "--profile", "training.output_dir=runs/a")
    assert (result.exit_code, result.stderr) == (0, "")
    assert seen == [Path("runs/a/profile")]


def test_probe(run_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    found = {"edges": [0.0, 1e-4, 1.0], "counts": [1, 39], "mean": 0.98765, "below_0.01": 0.025}

    def stand_in(config: RunConfig, out: Path) -> dict[str, Any]:
        seen.append((config.model.name, out))
        return {"probe": {"examples": 2}, "model": found}

    fake(monkeypatch, "mmdft.probing", "probe", stand_in)
    result = run("probe", run_yaml, "model.name=other", "--out", "p")
    assert (result.exit_code, result.stderr) == (0, "")
    assert seen == [("other", Path("p"))]
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["p/probabilities.json"]
    assert ["0", "to", "0.0001", "1", "2.5"] in lines
    assert ["0.0001", "to", "1", "39", "97.5"] in lines
    assert lines[-1] == ["mean", "p", "0.9877,", "below", "0.01", "2.5%"]
    result = run("probe", run_yaml, "--json", "--out", "p")
    assert json.loads(result.stdout) == {
        "out": "p",
        "summary": {"probe": {"examples": 2}, "model": found},
    }
    assert run("probe", run_yaml).exit_code == 2  # without a folder
    result = run("probe", run_yaml, "data.train=[]", "--out", "p")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {run_yaml}: data.train: missing; a probe needs ")


def test_inspect(run_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def look(config: RunConfig, num: int, **options: Any) -> SimpleNamespace:
        seen.append((config.model.name, num, options))
        return SimpleNamespace(summary={"examples": 9, "trained": {"answer": 4}}, stop="too bad")

    fake(monkeypatch, "mmdft.inspection.inspect", "inspect", look)
    fake(monkeypatch, "mmdft.inspection.page", "write_page", lambda _, out: seen.append(out))
    fake(monkeypatch, "mmdft.inspection.text", "text_form", lambda _: "the text")
    result = run("inspect", run_yaml, "model.name=other", "--num", "4", "--out", "p.html", "--json")
    assert json.loads(result.stdout) == {
        "path": "p.html",
        "summary": {"examples": 9, "trained": {"answer": 4}},
    }
    assert (result.exit_code, result.stderr) == (0, "warning: too bad\n")
    assert seen == [("other", 4, {"with_model": False}), Path("p.html")]
    result = run("inspect", run_yaml, "--model")
    assert result.stdout.startswith("inspect.html\n") and "trained.answer" in result.stdout
    assert seen[2:] == [("m", 50, {"with_model": True}), Path("inspect.html")]
    assert run("inspect", run_yaml, "--text").stdout == "the text\n"
    assert seen[4:] == [("m", 3, {"with_model": False})]
    assert run("inspect", run_yaml, "--text", "--json").exit_code == 2
    assert run("inspect", run_yaml, "--num", "0").exit_code == 2
    result = run("inspect", run_yaml, "data.train=[]")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {run_yaml}: data.train: missing; there is nothing ")


def test_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def stand_in(path: Path, **options: Any) -> dict[str, Any]:
        seen.append((path, options))
        return SCORED

    fake(monkeypatch, "mmdft.evals.scoring", "score_file", stand_in)
    predictions = tmp_path / "predictions.jsonl"
    predictions.touch()
    common = ("score", predictions, "--benchmark", "figures", "--data", tmp_path)
    result = run(*common, "--json", "--rules", "official, strict")
    out = tmp_path / "predictions.verdicts.jsonl"
    assert json.loads(result.stdout) == {"out": str(out), "summary": SCORED}
    options = {"benchmark": "figures", "data": tmp_path, "split": None, "out": out, "export": None}
    options |= {"judge": None}
    assert seen == [(predictions, {**options, "rules": ["official", "strict"]})]
    run(*common, "--out", tmp_path / "v.jsonl")
    assert seen[1] == (predictions, {**options, "rules": None, "out": tmp_path / "v.jsonl"})
    run(*common, "--export", tmp_path / "v.tsv")
    assert seen[2] == (predictions, {**options, "rules": None, "export": tmp_path / "v.tsv"})
    run(*common, "--judge", "http://localhost:1/v1", "--judge-model", "j")
    judge = JudgeConfig(url="http://localhost:1/v1", model="j")
    assert seen[3] == (predictions, {**options, "rules": None, "judge": judge})


def test_score_refuses_wrong_use(tmp_path: Path) -> None:
    assert run("score", tmp_path / "none.jsonl").exit_code == 2
    (tmp_path / "p.jsonl").touch()
    result = run("score", tmp_path / "p.jsonl", "--benchmark", "figurs", "--data", tmp_path)
    assert result.exit_code == 2
    assert "'figurs' is not one of" in result.stderr
    common = ("score", tmp_path / "p.jsonl", "--benchmark", "figures", "--data", tmp_path)
    for more in (["--judge", "http://localhost:1"], ["--judge-model", "j"]):
        result = run(*common, *more)
        assert (result.exit_code, "--judge and --judge-model" in result.stderr) == (2, True)
    result = run(*common, "--judge", "localhost:1", "--judge-model", "j")
    assert (result.exit_code, "expected a URL" in result.stderr) == (2, True)


def test_sample(run_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"path": tmp_path / "train.jsonl", "unanswered": []}
    summary = {"keep_rate": 0.25, "answers": {"kept": 1}}

    def stand_in(config: RunConfig) -> SimpleNamespace:
        assert config.sample.num_samples == 2
        return SimpleNamespace(run_dir=tmp_path, summary=summary, **given)

    fake(monkeypatch, "mmdft.rejection.run", "sample", stand_in)
    asked = ("sample", run_yaml, "sample.num_samples=2")
    result = run(*asked, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    path = str(tmp_path / "train.jsonl")
    found = {"run_dir": str(tmp_path), "path": path, "summary": summary}
    assert json.loads(result.stdout) == found
    result = run(*asked)
    assert result.stdout.startswith(f"{tmp_path}\n{path}\n")
    assert "keep_rate" in result.stdout and "0.25" in result.stdout
    given["unanswered"] = [SimpleNamespace(id="q1", reason="gone")]
    result = run(*asked)
    assert result.exit_code == 1
    assert result.stderr == (
        f"no answer came to 1; the first: q1: gone; all are in {tmp_path}/unanswered.jsonl, and "
        "the same command asks them again\n"
    )
    given |= {"path": None, "unanswered": []}
    result = run(*asked, "--json")
    assert (result.exit_code, "path" in json.loads(result.stdout)) == (1, False)
    assert result.stderr == f"no answer is kept; {tmp_path}/scored.jsonl says why\n"
    result = run("sample", run_yaml, "data.train=[]")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {run_yaml}: data.train: missing; ")


def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def stand_in(out: Path, **options: Any) -> Path:
        seen.append((out, options))
        return out / "train.jsonl"

    fake(monkeypatch, "mmdft.data.figures", "write_figures", stand_in)
    result = run("figures", tmp_path, "--num", "5", "--families", "angles,charts")
    assert result.stdout == f"{tmp_path}/train.jsonl\n"
    options = {"num": 5, "split": "train", "seed": 0, "size": 112, "noise": 0.0}
    options |= {"noise_kind": "mismatch", "choices": 0.0, "families": ["angles", "charts"]}
    options |= {"style": "plain", "shift": None}
    assert seen == [(tmp_path, options)]
    run("figures", tmp_path, "--split", "ood", "--style", "wordy", "--shift", "values,look")
    assert seen[-1][1]["style"] == "wordy" and seen[-1][1]["shift"] == ["values", "look"]
    assert run("figures", tmp_path, "--style", "worded").exit_code == 2
    assert run("figures", tmp_path, "--noise-kind", "wrong").exit_code == 2
    assert run("figures", tmp_path, "--num", "0").exit_code == 2


def test_other_kinds_of_drawn_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def stand_in(out: Path, **options: Any) -> Path:
        seen.append((out, options))
        return out / "train.jsonl"

    fake(monkeypatch, "mmdft.data.figures", "write_facts", stand_in)
    result = run("figures", tmp_path, "--kind", "facts", "--num-facts", "3", "--seed", "4")
    assert result.stdout == f"{tmp_path}/train.jsonl\n"
    facts = {"num": 1000, "seed": 4, "size": 112, "num_facts": 3, "num_test": 200}
    fake(monkeypatch, "mmdft.data.figures", "write_glyphs", stand_in)
    run("figures", tmp_path, "--kind", "glyphs", "--num", "2")
    glyphs = {"num": 2, "seed": 0, "side": 28, "turns": 8}
    assert seen == [(tmp_path, facts), (tmp_path, glyphs)]
    refused = run("figures", tmp_path, "--kind", "facts", "--noise-kind", "mismatch")
    assert refused.exit_code == 2
    assert "--noise-kind is for --kind figures, not for facts" in refused.stderr
    assert run("figures", tmp_path, "--num-facts", "3").exit_code == 2
    assert len(seen) == 2


def test_tiny_and_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    fake(monkeypatch, "mmdft.tiny", "build_tiny", lambda *a, **k: seen.append((a, k)))
    result = run("tiny", tmp_path / "t", "--family", "qwen3_vl", "--json")
    assert json.loads(result.stdout) == {"path": f"{tmp_path}/t"}
    assert seen == [((tmp_path / "t",), {"family": "qwen3_vl", "seed": 0})]
    assert run("tiny", tmp_path / "t", "--family", "llava").exit_code == 2
    fake(monkeypatch, "mmdft.tiny.base", "build_base", lambda *a, **k: seen.append((a, k)))
    assert run("tiny", tmp_path / "b", "--base", "--seed", "3").stdout == f"{tmp_path / 'b'}\n"
    assert seen.pop() == ((tmp_path / "b",), {"seed": 3})
    for neither_or_both in ((), ("--base", "--family", "qwen3_vl")):
        refused = run("tiny", tmp_path / "t", *neither_or_both)
        assert refused.exit_code == 2
        assert "give either --family or --base" in refused.stderr


def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdft.quickstart import QuickstartResult

    def quickstart(out: Path, seed: int) -> QuickstartResult:
        assert seed == 4
        facts = {
            "finished": True,
            "base": {"test": {"greedy": 0.02}},
            "variants": {"sft": {"best": 1e-3, "results": {"test": {"greedy": {"mean": 0.84}}}}},
        }
        page = out / "report.html"
        return QuickstartResult(
            page=page, sentences=("It was found.", "Do not."), results={"facts": facts}
        )

    fake(monkeypatch, "mmdft.quickstart", "quickstart", quickstart)
    shown = run("quickstart", "--out", tmp_path, "--seed", "4").stdout
    assert shown == f"It was found.\n\nDo not.\n\n{tmp_path}/report.html\n"
    result = run("quickstart", "--out", tmp_path, "--seed", "4", "--json")
    assert json.loads(result.stdout) == {
        "report": f"{tmp_path}/report.html",
        "summary": {
            "findings": ["It was found.", "Do not."],
            "facts": {
                "finished": True,
                "base": {"test": 0.02},
                "variants": {"sft": {"learning_rate": 1e-3, "test": 0.84}},
            },
        },
    }


def test_version() -> None:
    assert run("--version").stdout == f"mmdft {version('mmdft')}\n"


def test_names_are_those_of_the_parts_they_come_from() -> None:
    from mmdft.data.figures import SPLITS, TELLINGS
    from mmdft.data.figures.demonstrations import NOISE_KINDS
    from mmdft.tiny import FAMILY_BUILDERS

    assert cli.BENCHMARKS == BENCHMARK_NAMES
    assert tuple(SPLITS) == cli.SPLITS
    assert tuple(TELLINGS) == cli.STYLES
    assert NOISE_KINDS == cli.NOISE_KINDS
    assert tuple(FAMILY_BUILDERS) == cli.FAMILIES
