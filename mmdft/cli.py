"""The command line: `mmdft <verb>`.

Each verb imports what it runs inside its own function, after the configuration has been read, so
that `--help` and a mistake in a configuration never wait for torch.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from mmdft.errors import ConfigError, MmdftError

if TYPE_CHECKING:
    from mmdft.config import RunConfig

# Written out here because the modules they come from are too slow to import for `--help`; a test
# holds them equal.
BENCHMARKS = (
    "figures",
    "jsonl",
    "mathvista",
    "mathverse",
    "mathvision",
    "wemath",
    "dynamath",
    "geometry3k",
    "geoqa",
    "logicvista",
    "chartqa",
    "chartqapro",
    "charxiv",
)
FAMILIES = (
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen3_vl_thinking",
    "smolvlm",
    "idefics3",
    "llava_onevision",
    "internvl",
    "gemma3",
)
SPLITS = ("train", "validation", "test", "ood")
STYLES = ("plain", "wordy")
NOISE_KINDS = ("mismatch", "wrong_step", "wrong_answer")
# The kinds of drawn sets, and which options each has beside --num, --seed and --size.
KINDS: Mapping[str, tuple[str, ...]] = {
    "figures": ("split", "families", "noise", "noise_kind", "choices", "style", "shift"),
    "facts": ("num_facts", "num_test"),
    "glyphs": ("turns",),
}

_MENDS: Mapping[int, str] = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
    errno.EACCES: "change the permissions, or choose another place",
    errno.EPERM: "change the permissions, or choose another place",
    errno.EROFS: "choose another place",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file; choose another place",
    errno.EISDIR: "the path is a folder; give a file",
    errno.EEXIST: "choose another place",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Verbs(click.Group):
    """Tells the errors a user can mend in one line each; a bug keeps its traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # as defined below, not by the alphabet

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (MmdftError, OSError, KeyboardInterrupt) as error:
            if isinstance(error, BrokenPipeError):  # our reader left; click ends quietly
                raise
            if ctx.meta.get(_DEBUG):
                traceback.print_exc()
            for line in _describe(error):
                click.echo(line, err=True)
            ctx.exit(2 if isinstance(error, ConfigError) else 1)


def _describe(error: BaseException) -> list[str]:
    if isinstance(error, KeyboardInterrupt):
        return ["interrupted; run the same command again to continue"]
    if isinstance(error, OSError) and error.errno is not None and error.strerror is not None:
        where = f"{error.filename}: " if error.filename is not None else ""
        mend = _MENDS.get(error.errno)
        return [f"error: {where}{error.strerror}" + (f"; {mend}" if mend else "")]
    if isinstance(error, OSError):
        return [f"error: {' '.join(str(error).split())}"]
    lines = str(error).splitlines()
    if lines[0].startswith("Caught "):
        # From a data loader's worker: torch puts the worker's traceback before the message.
        return [f"error: {lines[-1].partition('Error: ')[2] or lines[-1]}"]
    return [f"error: {line}" for line in lines]


_DEBUG = f"{__name__}.debug"


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    # The group and the verb both take the flag, and share `meta`.
    if value:
        ctx.meta[_DEBUG] = True


_debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an error.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_existing = click.Path(exists=True, path_type=Path)
_any_path = click.Path(path_type=Path)


def _config_arguments(function: _Function) -> _Function:
    overrides = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
    return click.argument("config", type=_any_path)(overrides(function))


def _split(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    return [word.strip() for word in value.split(",") if word.strip()]


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mmdft", message="mmdft %(version)s")
@_debug_option
def cli() -> None:
    """Dynamic Fine-Tuning of vision-language models on visual math.

    Exit status: 0 done, 1 failed, 2 wrong use or configuration.
    """


@cli.command()
@click.option("--out", type=_any_path, default=Path("runs/quickstart"), show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@_json_option
@_debug_option
def quickstart(out: Path, seed: int, as_json: bool) -> None:
    """Compare SFT with DFT from the shipped base, on a CPU, in minutes.

    Once on demonstrations of which some are wrong, and once, as the counter-example, on facts to
    know by heart. Prints what was found, when not to use DFT, and the report's path.
    """
    from mmdft.quickstart import quickstart as run

    result = run(out, seed)
    if as_json:
        from mmdft.experiments.run import main_numbers

        numbers = {name: main_numbers(each) for name, each in result.results.items()}
        summary = {"findings": result.sentences, **numbers}
        _print_result({"report": str(result.page)}, summary, as_json)
        return
    for sentence in result.sentences:
        click.echo(f"{sentence}\n")
    _print_path(result.page, "report", as_json)


@cli.command()
@_config_arguments
@click.option("--profile", is_flag=True, help="Time the parts of some steps, and trace them.")
@_json_option
@_debug_option
def train(config: Path, overrides: tuple[str, ...], profile: bool, as_json: bool) -> None:
    """Train as the file CONFIG says; KEY=VALUE overrides one of its settings.

    The same command again goes on where an interrupted run stopped. With --profile, the table of
    where a step's time goes, and a trace, are also in the run's folder, in profile; the training
    is the same.

    Example: mmdft train configs/train/NAME.yaml training.learning_rate=1e-5
    """
    settings = _load(config, overrides)
    if not settings.data.train:
        _refuse(config, "data.train", "training needs a data file, such as data.train=[rows.jsonl]")
    from mmdft.training import train as run

    if profile:
        from mmdft.profiling import StepProfile

        run = partial(run, profile=StepProfile(settings.training.output_dir / "profile"))
    _hide_bars()
    result = run(settings)
    # Under a distributed launcher every process comes here; one of them speaks.
    if os.environ.get("RANK", "0") == "0":
        _print_result({"run_dir": str(result.run_dir)}, result.summary, as_json)


@cli.command()
@_config_arguments
@click.option("--num", type=click.IntRange(min=1), help="Examples. [default: 50, with --text 3]")
@click.option("--out", type=_any_path, default=Path("inspect.html"), show_default=True)
@click.option("--text", is_flag=True, help="Print to the terminal instead of writing a page.")
@click.option("--model", is_flag=True, help="Load the model, for each token's probability.")
@_json_option
@_debug_option
def inspect(
    config: Path,
    overrides: tuple[str, ...],
    num: int | None,
    out: Path,
    text: bool,
    model: bool,
    as_json: bool,
) -> None:
    """Show what is trained on, token by token, as a page.

    Examples evenly spaced over data.train, each image as the model gets it, and every row that
    cannot be used with the reason. No weights are loaded without --model.

    Example: mmdft inspect configs/train/NAME.yaml --num 50 --out page.html
    """
    if text and as_json:
        raise click.UsageError("--text and --json: choose one")
    settings = _load(config, overrides)
    if not settings.data.train:
        _refuse(config, "data.train", "there is nothing to look at; set data.train=[rows.jsonl]")
    from mmdft.inspection.inspect import inspect as look

    _hide_bars()
    found = look(settings, num or (3 if text else 50), with_model=model)
    if text:
        from rich.console import Console

        from mmdft.inspection.text import text_form

        Console().print(text_form(found))
        return
    from mmdft.inspection.page import write_page

    write_page(found, out)
    if found.stop:
        click.echo(f"warning: {found.stop}", err=True)
    _print_result({"path": str(out)}, found.summary, as_json)


@cli.command()
@_config_arguments
@click.option("--ranks", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs.")
@click.option("--model", is_flag=True, help="Load the model, for the preflight.")
@click.option(
    "--num", type=click.IntRange(min=1), default=64, show_default=True, help="Its examples."
)
@click.option("--out", type=_any_path, help="Folder for check.json and the rows set aside.")
@_json_option
@_debug_option
def check(
    config: Path,
    overrides: tuple[str, ...],
    ranks: int,
    model: bool,
    num: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Read all the data that CONFIG trains on, and say what a run would do with it.

    Every image is decoded, every row measured; no weights are loaded without --model, which adds
    how probable the model finds its training tokens, and what that speaks for. Exit status 1 if a
    training would refuse the data, or stop.

    Example: mmdft check configs/train/NAME.yaml --ranks 8 --out runs/check
    """
    settings = _load(config, overrides)
    if not settings.data.train:
        _refuse(config, "data.train", "there is nothing to check; set data.train=[rows.jsonl]")
    from mmdft.checking.check import check as run
    from mmdft.checking.check import write

    _hide_bars()
    found = run(settings, ranks=ranks, with_model=model, num=num)
    if out is not None:
        write(found, out)
    if as_json:
        click.echo(json.dumps(found.summary, ensure_ascii=False))
    else:
        from mmdft.checking.text import text_form

        click.echo(text_form(found))
    if found.stops:
        click.get_current_context().exit(1)


@cli.command(name="eval")
@_config_arguments
@_json_option
@_debug_option
def evaluate(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Evaluate the model that CONFIG names on its benchmarks.

    The same command again goes on where an interrupted run stopped, also with more benchmarks,
    items or samples. Several GPUs share the items: accelerate launch -m mmdft eval CONFIG. Exit
    status 1 if some items got no answer.

    Example: mmdft eval configs/eval/NAME.yaml model.name=runs/train/model evaluation.batch_size=4
    """
    settings = _load(config, overrides)
    if not settings.evaluation.benchmarks:
        _refuse(
            config,
            "evaluation.benchmarks",
            "an evaluation needs a benchmark, "
            "such as evaluation.benchmarks=[{name: figures, path: FOLDER}]",
        )
    from mmdft.evals.run import evaluate as run

    _hide_bars()
    result = run(settings)
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        _print_result({"run_dir": str(result.run_dir)}, result.summary, as_json)
    else:
        click.echo(result.run_dir)
        _print_scores(result.benchmarks)
    failed = {label: each.get("unanswered") for label, each in result.benchmarks.items()}
    for label, found in failed.items():
        if found is None:
            continue
        first = found["first"]
        click.echo(
            f"{label}: no answer came to {found['n']}; the first: item {first['id']}: "
            f"{first['reason']}; all are in {result.run_dir / label}/unanswered.jsonl, and the "
            "same command asks them again",
            err=True,
        )
    if any(failed.values()):
        click.get_current_context().exit(1)


@cli.command()
@_config_arguments
@click.option("--out", type=_any_path, required=True, help="Folder for probabilities.json.")
@_json_option
@_debug_option
def probe(config: Path, overrides: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Measure how probable the model that CONFIG names finds some of its training tokens.

    On the data.probe_examples examples of data.train that a training measures before and after.
    model.name may be a checkpoint, a trained model, an adapter, or a model of the hub; model.lora
    and model.freeze play no part.

    Example: mmdft probe configs/train/NAME.yaml model.name=runs/a/checkpoint-500 --out runs/a-500
    """
    settings = _load(config, overrides)
    if not settings.data.train:
        _refuse(config, "data.train", "a probe needs a data file, such as data.train=[rows.jsonl]")
    from mmdft.probing import probe as run

    _hide_bars()
    result = run(settings, out)
    if as_json:
        _print_result({"out": str(out)}, result, as_json)
        return
    click.echo(out / "probabilities.json")
    _print_histogram(result["model"])


@cli.command()
@click.argument("predictions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--benchmark", type=click.Choice(BENCHMARKS), required=True)
@click.option(
    "--data",
    type=_any_path,
    required=True,
    help="The benchmark's data: a folder, a file, or hf://owner/name.",
)
@click.option("--split", help="Which split of a folder or of the hub. [default: the usual one]")
@click.option("--rules", callback=_split, help="Rule sets, by commas. [default: the benchmark's]")
@click.option("--out", type=_any_path, help="Verdicts. [default: beside PREDICTIONS]")
@click.option(
    "--export",
    type=_any_path,
    help="Also write the predictions as VLMEvalKit (.xlsx, .tsv) or lmms-eval (.jsonl) keeps them.",
)
@click.option(
    "--judge",
    metavar="URL",
    help="Ask a language model what the rules leave open: an OpenAI-compatible server.",
)
@click.option("--judge-model", metavar="NAME", help="The judge's name on that server.")
@_json_option
@_debug_option
def score(
    predictions: Path,
    benchmark: str,
    data: Path,
    split: str | None,
    rules: Sequence[str] | None,
    out: Path | None,
    export: Path | None,
    judge: str | None,
    judge_model: str | None,
    as_json: bool,
) -> None:
    """Give verdicts on the answers in the file PREDICTIONS, without a model.

    Its lines are {"id": ..., "response": ...}; the tables of VLMEvalKit (.xlsx, .tsv) and the
    samples of lmms-eval (.jsonl) are taken as well. A judge adds the rule set judged; its replies
    are kept in judge.jsonl beside the verdicts, and its key is read from OPENAI_API_KEY.

    Example: mmdft score answers.jsonl --benchmark mathvision --data FOLDER --rules official,strict
    """
    if (judge is None) != (judge_model is None):
        raise click.UsageError("--judge and --judge-model go together")
    if judge is not None and not judge.startswith(("http://", "https://")):
        raise click.UsageError(f"--judge {judge}: expected a URL such as http://localhost:8000/v1")
    if out is None:
        stem = predictions.name.removesuffix(".gz").removesuffix(".jsonl")
        stem = stem.removesuffix(".xlsx").removesuffix(".tsv")
        out = predictions.with_name(f"{stem}.verdicts.jsonl")
    from mmdft.config import JudgeConfig
    from mmdft.evals.scoring import score_file

    summary = score_file(
        predictions,
        benchmark=benchmark,
        data=data,
        split=split,
        rules=rules,
        out=out,
        export=export,
        judge=JudgeConfig(url=judge, model=judge_model) if judge and judge_model else None,
    )
    if as_json:
        _print_result({"out": str(out)}, summary, as_json)
        return
    click.echo(out)
    _print_scores({benchmark: summary})


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=_any_path, metavar="RUN RUN...")
@click.option("--baseline", help="The run that the others are compared with. [default: the first]")
@click.option("--force", is_flag=True, help="Compare runs that are not alike, on common items.")
@click.option("--out", type=_any_path, help="Folder for compare.html, compare.md, compare.json.")
@_json_option
@_debug_option
def compare(
    runs: tuple[Path, ...], baseline: str | None, force: bool, out: Path | None, as_json: bool
) -> None:
    """Compare evaluations on the same items: folders that `mmdft eval` wrote.

    Scores with their intervals, paired differences to the baseline, categories, and the items that
    flipped. Runs that differ in prompt, pixels, decoding or data are refused without --force.

    Example: mmdft compare runs/eval-base runs/eval-sft runs/eval-dft --out runs/compare
    """
    if len(runs) < 2:
        raise click.UsageError("a comparison needs two folders of mmdft eval, or more")
    from mmdft.comparison.compare import compare as run
    from mmdft.comparison.write import write_comparison

    found = run(runs, baseline=baseline, force=force)
    page = None if out is None else write_comparison(found, out)
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    from rich.console import Console

    from mmdft.comparison.text import text_form

    if page is not None:
        click.echo(page)
    Console().print(text_form(found))


@cli.command()
@_config_arguments
@_json_option
@_debug_option
def sample(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Make training data of the right answers of the model that CONFIG names.

    Each question of data.train is answered sample.num_samples times. The answers are scored, and
    what is kept is written as a training file: by default all that are right and not cut off, each
    wording once. The same command again goes on where an interrupted run stopped. Exit status 1 if
    some questions got no answer, or none is kept.

    Example: mmdft sample configs/sample/NAME.yaml sample.temperature=0.7 sample.max_kept=2
    """
    settings = _load(config, overrides)
    if not settings.data.train:
        _refuse(config, "data.train", "there is nothing to ask; set data.train=[rows.jsonl]")
    from mmdft.rejection.run import sample as run

    _hide_bars()
    result = run(settings)
    # Under a distributed launcher every process comes here; one of them speaks.
    if os.environ.get("RANK", "0") != "0":
        return
    head = {"run_dir": str(result.run_dir)}
    if result.path is not None:
        head["path"] = str(result.path)
    _print_result(head, result.summary, as_json)
    if result.path is None:
        click.echo(f"no answer is kept; {result.run_dir}/scored.jsonl says why", err=True)
    if result.unanswered:
        first = result.unanswered[0]
        click.echo(
            f"no answer came to {len(result.unanswered)}; the first: {first.id}: {first.reason}; "
            f"all are in {result.run_dir}/unanswered.jsonl, and the same command asks them again",
            err=True,
        )
    if result.path is None or result.unanswered:
        click.get_current_context().exit(1)


@cli.command()
@_config_arguments
@click.option("--dry-run", is_flag=True, help="Only count what there is to do.")
@_json_option
@_debug_option
def experiment(config: Path, overrides: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Compare objectives, or any variants of one run, from one base, with error bars.

    Trains every variant of CONFIG at every learning rate with every seed, chooses each variant's
    rate on the validation sets, evaluates, tests the differences, and writes results.json,
    results.md and report.html. The same command again goes on where an interrupted one stopped.
    Exit status 1 if something failed; the rest is done all the same.

    Example: mmdft experiment configs/experiments/NAME.yaml seeds=[0,1,2] workers=2
    """
    from mmdft.experiments.settings import load_experiment

    settings = load_experiment(config, overrides)
    from mmdft.experiments import run

    if dry_run:
        _print_result({"output_dir": str(settings.output_dir)}, run.outlook(settings), as_json)
        return
    command = shlex.join(["mmdft", "experiment", str(config), *overrides])
    results = run.run_experiment(settings, command=command)
    paths = {
        name: str(settings.output_dir / file)
        for name, file in (("results", run.RESULTS), ("report", run.PAGE))
    }
    _print_result(paths, run.main_numbers(results), as_json)
    for failure in results["failures"]:
        click.echo(f"failed: {failure['run']}: {failure['error']}", err=True)
    if results["failures"]:
        click.echo("the same command tries these again", err=True)
        click.get_current_context().exit(1)


@cli.command()
@click.argument("out", type=_any_path)
@click.option("--kind", type=click.Choice(tuple(KINDS)), default="figures", show_default=True)
@click.option("--num", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--families", callback=_split, help="Kinds of figure, by commas. [default: all]")
@click.option("--size", type=click.IntRange(28, 1024), help="Pixels. [default: 112; 28 for glyphs]")
@click.option("--noise", type=float, default=0.0, show_default=True, help="Share of wrong rows.")
@click.option(
    "--noise-kind",
    type=click.Choice(NOISE_KINDS),
    default="mismatch",
    show_default=True,
    help="How they are wrong.",
)
@click.option(
    "--choices", type=float, default=0.0, show_default=True, help="Share with four options."
)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    default="plain",
    show_default=True,
    help="The words of the worked solutions.",
)
@click.option(
    "--shift",
    callback=_split,
    help="What is other than usual: values,wording,look. [default: all in split ood, else none]",
)
@click.option(
    "--num-facts",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Of --kind facts: how many.",
)
@click.option(
    "--num-test",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Of --kind facts: rows of each split but train.",
)
@click.option(
    "--turns",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Of --kind glyphs: pictures a row.",
)
@click.option("--sheet", type=_any_path, help="Also a picture (.png) of one figure of each kind.")
@_json_option
@_debug_option
def figures(
    out: Path,
    kind: str,
    num: int,
    seed: int,
    size: int | None,
    sheet: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw geometry and charts with exact answers into the folder OUT.

    --families takes kinds of figure, or the groups basic, geometry, coordinates, solids, charts and
    exercises. Wrong rows have the reasoning and answer of another figure (mismatch), one wrong step
    and what follows from it (wrong_step), or a wrong answer alone (wrong_answer).

    --kind facts draws symbols whose values can only be known by heart, all splits at once; --kind
    glyphs single numbers and letters, for a vision tower that starts from nothing.
    """
    _check_options(kind)
    shared = {"num": num, "seed": seed, **{name: options[name] for name in KINDS[kind]}}
    if kind == "facts":
        from mmdft.data.figures import write_facts

        path = write_facts(out, size=size or 112, **shared)
    elif kind == "glyphs":
        from mmdft.data.figures import write_glyphs

        path = write_glyphs(out, side=size or 28, **shared)
    else:
        from mmdft.data.figures import write_figures

        path = write_figures(out, size=size or 112, **shared)
    if sheet is not None:
        from mmdft.data.figures import contact_sheet, encode_png
        from mmdft.files import write_bytes

        write_bytes(sheet, encode_png(contact_sheet(seed=seed)))
    _print_path(path, "path", as_json)


@cli.command()
@click.argument("out", type=_any_path)
@click.option("--family", type=click.Choice(FAMILIES), help="Of this architecture.")
@click.option("--base", is_flag=True, help="What mmdft/tiny was before its training, instead.")
@click.option("--seed", type=int, default=0, show_default=True)
@_json_option
@_debug_option
def tiny(out: Path, family: str | None, base: bool, seed: int, as_json: bool) -> None:
    """Write a tiny model with random weights into the folder OUT, as the hub lays it out."""
    if base == (family is not None):
        raise click.UsageError("give either --family or --base")
    if family is None:
        from mmdft.tiny.base import build_base

        build_base(out, seed=seed)
    else:
        from mmdft.tiny import build_tiny

        build_tiny(out, family=family, seed=seed)
    _print_path(out, "path", as_json)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit status."""
    cli.main(args=arguments, prog_name="mmdft")


def _check_options(kind: str) -> None:
    """Refuse options of `mmdft figures` that were given and are another kind's."""
    context = click.get_current_context()
    for other, names in KINDS.items():
        for name in names:
            is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            if is_given and name not in KINDS[kind]:
                option = name.replace("_", "-")
                raise click.UsageError(f"--{option} is for --kind {other}, not for {kind}")


def _hide_bars() -> None:
    """The libraries' own bars for reading and writing weights would cut through our lines."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _load(path: Path, overrides: Sequence[str]) -> RunConfig:
    from mmdft.config_loading import load_config

    return load_config(path, overrides)


def _refuse(path: Path, key: str, mend: str) -> NoReturn:
    raise ConfigError(f"{path}: {key}: missing; {mend}")


def _print_path(path: Path, name: str, as_json: bool) -> None:
    click.echo(json.dumps({name: str(path)}) if as_json else str(path))


def _print_result(head: Mapping[str, str], summary: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**head, "summary": summary}, default=str, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    for name, value in _flatten(summary):
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        table.add_row(Text(name), Text(shown))  # plain text: a value may look like rich's markup
    for path in head.values():
        click.echo(path)
    if table.rows:
        Console().print(table)


def _print_scores(benchmarks: Mapping[str, Mapping[str, Any]]) -> None:
    """Each benchmark's headline, its rule sets, and what else is to be known of it.

    Args:
        benchmarks: What `scoring.score_file` returns, by label.
    """
    from mmdft.evals.tables import headline_text, judge_lines

    for label, scored in benchmarks.items():
        click.echo(f"\n{label}: {headline_text(scored['headline'])}")
        _print_rules(scored)
        _print_samples(scored)
        if scored["partial"]:
            click.echo(
                f"{label} is partial: {scored['missing']} of {scored['n_benchmark']} items have "
                "no prediction; they are not in the figures"
            )
        if scored["withheld"]:
            click.echo(
                f"{label}: {scored['withheld']} of {scored['n_predictions']} predictions are for "
                "items whose gold is withheld; they are unscored"
            )
        for line in judge_lines(scored["judge"]) if "judge" in scored else ():
            click.echo(f"{label}: judge: {line}")


def _print_rules(scored: Mapping[str, Any]) -> None:
    """A row per rule set."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("rules", box=SIMPLE, padding=(0, 1), pad_edge=False, show_edge=False)
    for name in ("n", "correct %", "s.e.", "range", "no answer", "open", "unscored"):
        table.add_column(name, justify="right", no_wrap=True)
    for rules, found in scored["rules"].items():
        rates = [found["accuracy"], found["standard_error"]]
        table.add_row(
            Text(rules),
            str(found["n"]),
            *("-" if rate is None else f"{100 * rate:.1f}" for rate in rates),
            # all open items wrong, all right
            "-".join(f"{100 * end:.0f}" for end in found["range"]) if found["open"] else "",
            *(str(found[name]) for name in ("no_answer", "open", "unscored")),
        )
    Console().print(table)


def _print_samples(scored: Mapping[str, Any]) -> None:
    """avg@n, pass@k and majority@n by the headline rule set, where there are several answers."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mmdft.evals.tables import SAMPLES, sample_rows

    table = Table(box=SIMPLE, padding=(0, 1), pad_edge=False, show_edge=False)
    for place, name in enumerate(SAMPLES):
        table.add_column(name, justify="right" if place > 1 else "left", no_wrap=True)
    first = next(iter(scored["rules"]))
    for row in sample_rows({first: scored["rules"][first]}):
        table.add_row(*map(Text, row))
    if table.rows:
        Console().print(table)


def _print_histogram(found: Mapping[str, Any]) -> None:
    """The bins of a `diagnostics.histogram`, the mean and the share of unlikely tokens."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    tokens = sum(found["counts"])
    table = Table("probability", box=SIMPLE, padding=(0, 1), pad_edge=False)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("share %", justify="right", no_wrap=True)
    bounds = zip(found["edges"][:-1], found["edges"][1:], strict=True)
    for (low, high), count in zip(bounds, found["counts"], strict=True):
        table.add_row(f"{low:g} to {high:g}", str(count), f"{100 * count / tokens:.1f}")
    console = Console()
    console.print(table)
    console.print(f"mean p {found['mean']:.4f}, below 0.01 {found['below_0.01']:.1%}")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
