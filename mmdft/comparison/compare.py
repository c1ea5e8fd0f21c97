"""Runs side by side: scores, paired differences, categories, and the items that flipped.

Every run is compared with the baseline, on the items that all have. p values are corrected by
Holm's method over all benchmarks and runs, for each kind of figure by itself: the benchmarks'
headline numbers together, then every other rule set, and every other score. Differences
within a category have an interval and no p: there are many of them, to look at and not to
conclude from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmdft.comparison import settings
from mmdft.comparison.records import Compared, Comparison, Difference
from mmdft.comparison.runs import Asked, Run, baseline_of, read_runs
from mmdft.errors import ConfigError, DataError
from mmdft.evals.items import Item
from mmdft.evals.rules import RULES
from mmdft.evals.stats import (
    Estimate,
    PairedDifference,
    Summary,
    detectable_difference,
    floor_accuracy,
    form_asked,
    holm,
    paired_difference,
    paired_samples,
    paired_score,
    summarise,
    traits_of,
)
from mmdft.evals.stats.scores import cluster_of, key_value
from mmdft.evals.tables import percent
from mmdft.records import Prediction, Verdict


def compare(
    folders: Sequence[Path], *, baseline: str | None = None, force: bool = False
) -> Comparison:
    """Compare evaluations.

    Args:
        folders: Of `mmdft eval`, two or more.
        baseline: Name or folder of the run that the others are compared with; the first if None.
        force: Whether to compare runs that differ in prompt, pixels, decoding or data, on the
            items that they have in common.

    Raises:
        ConfigError: the runs differ in these, and the message says in which; no such baseline.
        DataError: a folder holds no finished evaluation, or they have no item in common.
    """
    runs = read_runs(folders)
    first = baseline_of(runs, baseline)
    differing = settings.differences(runs, first)
    if differing and not force:
        raise ConfigError(
            "\n".join([*differing, "such runs are not compared; --force does it all the same"])
        )
    labels = [label for label in first.benchmarks if all(label in run.benchmarks for run in runs)]
    if not labels:
        raise DataError("the runs have no benchmark in common")
    compared = tuple(_benchmark(label, runs, first) for label in labels)
    return Comparison(
        runs=tuple(runs),
        baseline=first,
        differing=tuple(differing),
        notes=(*settings.notes(runs, first), *_open_notes(compared)),
        benchmarks=compared,
        differences=tuple(_corrected(_differences(compared, runs, first))),
    )


def _open_notes(compared: Sequence[Compared]) -> list[str]:
    """What the headline rule set left open, where a difference may hang on it."""
    return [
        f"{each.label}: {summary.open} of {summary.n} answers of {name} are open under "
        f"{each.headline}; its accuracy is {percent(low)} % if all of them are wrong, "
        f"{percent(high)} % if all are right"
        for each in compared
        for name, summary in each.summaries[each.headline].items()
        if summary.open and summary.range is not None
        for low, high in [summary.range]
    ]


def _benchmark(label: str, runs: Sequence[Run], baseline: Run) -> Compared:
    asked = {run.name: run.benchmarks[label] for run in runs}
    ours = asked[baseline.name]
    chosen = ours.benchmark
    for run in runs:
        if asked[run.name].benchmark.name != chosen.name:
            raise DataError(
                f"{label} is {chosen.name} in {baseline.name} and {asked[run.name].benchmark.name} "
                f"in {run.name}; give them different labels, or compare others"
            )
    items = [
        item
        for name, item in ours.items.items()
        if all(name in each.items for each in asked.values())
    ]
    rules = tuple(
        name for name in ours.verdicts if all(name in each.verdicts for each in asked.values())
    )
    if not items or not rules:
        what = "rule set" if items else "item"
        raise DataError(f"{label}: the runs have no {what} in common")
    ids = [item.example.id for item in items]
    place = {name: number for number, name in enumerate(ids)}
    predictions, verdicts = {}, {}
    for name, each in asked.items():
        answers = each.predictions
        order = [number for number, answer in enumerate(answers) if answer.id in place]
        order.sort(key=lambda number: (place[answers[number].id], answers[number].sample))
        predictions[name] = tuple(answers[number] for number in order)
        verdicts[name] = {
            rule: tuple(each.verdicts[rule][number] for number in order) for rule in rules
        }
    headline = {name: judged[rules[0]] for name, judged in verdicts.items()}
    others = [run.name for run in runs if run is not baseline]
    return Compared(
        label=label,
        benchmark=chosen.name,
        citation=chosen.citation,
        rules=rules,
        breakdowns=chosen.breakdowns,
        items=tuple(items),
        left_out={name: len(each.items) - len(items) for name, each in asked.items()},
        predictions=predictions,
        verdicts=verdicts,
        summaries=_summaries(ours, items, predictions, verdicts, rules),
        categories={
            key: _categories(key, ours, items, headline, baseline.name, others)
            for key in chosen.breakdowns
        },
        flips={
            name: _flips(
                [item.example.id for item in items], headline[baseline.name], headline[name]
            )
            for name in others
        },
    )


def _summaries(
    asked: Asked,
    items: Sequence[Item],
    predictions: Mapping[str, tuple[Prediction, ...]],
    verdicts: Mapping[str, Mapping[str, tuple[Verdict, ...]]],
    rules: Sequence[str],
) -> dict[str, dict[str, Summary]]:
    chosen = asked.benchmark
    examples = [item.example for item in items]
    traits = {
        name: traits_of(answers, form_asked(chosen.name)) for name, answers in predictions.items()
    }
    known = RULES[chosen.name]
    floors = {rule: floor_accuracy(known[rule], examples) for rule in rules if rule in known}
    return {
        rule: {
            name: summarise(
                examples,
                answers,
                verdicts[name][rule],
                breakdowns=chosen.breakdowns if rule == rules[0] else (),
                cluster=chosen.cluster,
                scores=chosen.scores,
                traits=traits[name],
                floor=floors.get(rule),
            )
            for name, answers in predictions.items()
        }
        for rule in rules
    }


def _categories(
    key: str,
    asked: Asked,
    items: Sequence[Item],
    headline: Mapping[str, tuple[Verdict, ...]],
    baseline: str,
    others: Sequence[str],
) -> dict[str, dict[str, PairedDifference]]:
    clusters = _clusters(asked, items)
    value_of = {item.example.id: key_value(item.example, key) for item in items}
    by_value: dict[str, dict[str, list[Verdict]]] = defaultdict(lambda: defaultdict(list))
    for name, judged in headline.items():
        for verdict in judged:
            by_value[value_of[verdict.id]][name].append(verdict)
    found: dict[str, dict[str, PairedDifference]] = {}
    for value in sorted(by_value):
        of_run = by_value[value]
        found[value] = {
            name: paired_difference(of_run[baseline], of_run[name], clusters=clusters)
            for name in others
            if _share_a_pair(of_run[baseline], of_run[name])
        }
    return found


def _flips(
    ids: Sequence[str], ours: Sequence[Verdict], theirs: Sequence[Verdict]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Items that the second has right more often than the first, and less often.

    Of repeated answers the shares count; an item that one side could not score is neither.
    """
    a, b = _shares(ours), _shares(theirs)
    both = [name for name in ids if name in a and name in b]
    return (
        tuple(name for name in both if b[name] > a[name]),
        tuple(name for name in both if b[name] < a[name]),
    )


def _shares(verdicts: Sequence[Verdict]) -> dict[str, float]:
    right: dict[str, list[bool]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.status != "unscored":
            right[verdict.id].append(verdict.status == "correct")
    return {name: sum(each) / len(each) for name, each in right.items()}


def _differences(
    compared: Sequence[Compared], runs: Sequence[Run], baseline: Run
) -> list[Difference]:
    found = []
    for each in compared:
        asked = baseline.benchmarks[each.label]
        clusters = _clusters(asked, each.items)
        ours = each.verdicts[baseline.name]
        # Where the authors report another score first, no accuracy is the headline.
        plain = each.headline if asked.benchmark.headline == "accuracy" else None
        for run in runs:
            if run is baseline:
                continue
            theirs = each.verdicts[run.name]
            for rule in each.rules:
                if not _share_a_pair(ours[rule], theirs[rule]):
                    continue
                pair = paired_difference(ours[rule], theirs[rule], clusters=clusters)
                found.append(_of_pair(each, run.name, rule, pair, headline=rule == plain))
            examples = [item.example for item in each.items]
            sides = ours[each.headline], theirs[each.headline]
            cluster = asked.benchmark.cluster
            for score in asked.benchmark.scores:
                estimate, p = paired_score(score, examples, *sides, cluster)
                headline = score.name == asked.benchmark.headline
                found.append(
                    _of_score(each, run.name, score.name, estimate, p, len(examples), headline)
                )
            for name in _sample_measures(each, baseline.name, run.name):
                estimate, p, n = paired_samples(name, examples, *sides, cluster)
                if n:
                    found.append(_of_score(each, run.name, name, estimate, p, n, headline=False))
    return found


def _sample_measures(each: Compared, baseline: str, run: str) -> list[str]:
    """The scores of repeated answers that both runs have, but the accuracy under its other names.

    avg@n is the accuracy, whose difference is the rule set's own, and pass@1 is its estimate.
    """
    ours, theirs = (each.summaries[each.headline][name].samples for name in (baseline, run))
    return [
        name for name in ours if name in theirs and not name.startswith("avg@") and name != "pass@1"
    ]


def _of_score(
    each: Compared,
    run: str,
    measure: str,
    estimate: Estimate,
    p: float | None,
    n: int,
    headline: bool,
) -> Difference:
    return Difference(
        benchmark=each.label,
        run=run,
        measure=measure,
        is_score=True,
        is_headline=headline,
        n=n,
        clusters=estimate.clusters,
        difference=estimate.value,
        standard_error=estimate.standard_error,
        interval=estimate.interval,
        p_value=p,
        p_holm=None,
        test="swap",
        detectable=detectable_difference(estimate.standard_error),
    )


def _of_pair(
    each: Compared, run: str, rule: str, pair: PairedDifference, *, headline: bool
) -> Difference:
    return Difference(
        benchmark=each.label,
        run=run,
        measure=rule,
        is_score=False,
        is_headline=headline,
        n=pair.n,
        clusters=pair.clusters,
        difference=pair.difference,
        standard_error=pair.standard_error,
        interval=pair.interval,
        p_value=pair.p_value,
        p_holm=None,
        test=pair.test,
        detectable=pair.detectable,
        only_baseline=pair.only_a_correct,
        only_run=pair.only_b_correct,
    )


def _corrected(found: Sequence[Difference]) -> list[Difference]:
    families: dict[tuple[bool, str], list[int]] = defaultdict(list)
    for place, each in enumerate(found):
        key = (False, "") if each.is_headline else (each.is_score, each.measure)
        families[key].append(place)
    corrected = list(found)
    for places in families.values():
        for place, p in zip(places, holm([found[i].p_value for i in places]), strict=True):
            corrected[place] = replace(found[place], p_holm=p)
    return corrected


def _clusters(asked: Asked, items: Sequence[Item]) -> dict[str, str]:
    cluster = asked.benchmark.cluster
    return {item.example.id: cluster_of(item.example, cluster) for item in items}


def _share_a_pair(a: Sequence[Verdict], b: Sequence[Verdict]) -> bool:
    x, y = ({(v.id, v.sample) for v in side if v.status != "unscored"} for side in (a, b))
    return bool(x & y)
