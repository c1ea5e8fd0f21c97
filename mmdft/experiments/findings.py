"""What an experiment found, in a few plain sentences computed from its tests. No torch here.

Every sentence is written whichever way the tests came out. What is called clear has a corrected p
below 0.05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from mmdft.comparison.cells import p_cell
from mmdft.experiments import tables
from mmdft.experiments.schema import BASE, Advice, Results, Spread, Test
from mmdft.experiments.words import percent, signed_points

_WORDS: dict[tables.Reading, str] = {
    "higher": "better",
    "lower": "worse",
    "unclear": "not clearly different",
    "not tested": "not tested",
}
_THAN = {
    "better": "than",
    "worse": "than",
    "not clearly different": "from",
    "not tested": "against",
}
_Of = Callable[[Results, str, str], Spread | None]


def findings(results: Results) -> list[str]:
    """In distribution, against the base, sampled with its controls, and elsewhere.

    What was not measured is left out.
    """
    found = [
        _in_distribution(results),
        _against_base(results),
        _sampled(results),
        _elsewhere(results),
    ]
    return [text for text in found if text]


def unfinished(results: Results) -> list[str]:
    """That an experiment is not finished, and what failed; nothing for a finished one."""
    if results.finished:
        return []
    failed = [f"{each.run}: {each.error}" for each in results.failures]
    return ["Not finished: some of the runs failed or are still to come.", *failed]


def caveats(results: Results) -> list[str]:
    """What keeps the findings from being more than they are."""
    found = []
    if results.num_seeds == 1:
        tests = (
            "the tests are over items alone and say nothing of other seeds"
            if results.tests
            else "there are no tests, so nothing is clear"
        )
        found.append(f"One seed: there are no intervals over seeds, and {tests}.")
    elif results.num_seeds:
        several = len(tables.all_rates(results)) > 1
        which = "each variant at its own best" if several else "all variants at one and the same"
        found.append(
            f"Means over {results.num_seeds} seeds, {which} learning rate. They hold for this base "
            "and these demonstrations; for yours, run it on yours."
        )
    for variant in results.variants.values():
        rates = sorted(map(float, variant.learning_rates))
        if len(rates) > 1 and variant.best in (rates[0], rates[-1]):
            end = "lowest" if variant.best == rates[0] else "highest"
            found.append(
                f"{variant.title}'s chosen learning rate is the {end} that was tried; a better one "
                "may lie beyond it."
            )
    return found


def advice_text(advice: Advice, results: Results) -> str:
    """What the preflight said before training, and whether that turned out right."""
    titles = results.titles
    parts = []
    if advice.mean_p is not None:
        parts.append(
            "Before training, the base gives the demonstrations' tokens a mean probability of "
            f"{advice.mean_p:.3f}."
        )
    if advice.text:
        parts.append(f"The preflight says: {advice.text.rstrip('.')}.")
    if advice.expects_tie:
        parts.append("It expects a tie.")
    else:
        suggests = advice.suggests
        name = "no objective" if suggests is None else titles.get(suggests, suggests)
        parts.append(f"It suggests {name}.")
    if advice.better is None:
        parts.append("In distribution none is clearly better.")
    else:
        better = titles.get(advice.better, advice.better)
        parts.append(f"In distribution {better} is clearly better.")
    verdict = {
        None: "So the advice cannot be checked here.",
        True: "The advice was right.",
        False: "The advice was wrong.",
    }
    return " ".join([*parts, verdict[advice.agrees]])


def difference_text(test: Test) -> str:
    """A tested difference: "+4.9 points (95 % interval +2.9 to +6.9, corrected p = 0.0060)"."""
    return (
        f"{signed_points(test.difference)} points "
        f"({_interval(test)}corrected p {_p(test.p_corrected)})"
    )


def _in_distribution(results: Results) -> str:
    return _text(
        _against_first(results, label, "greedy", f"In distribution ({label})")
        for label in results.labels_of("in_distribution")
    )


def _against_base(results: Results) -> str:
    """All variants against the base, which a comparison of objectives alone would hide."""
    labels = [*results.labels_of("in_distribution"), *results.labels_of("forgetting")]
    return _text(_base_sentence(results, label) for label in labels)


def _sampled(results: Results) -> str:
    words = tables.sampled_words(results)
    return _text(
        text
        for label in results.labels_of("in_distribution")
        for text in (
            _against_first(results, label, "sampled", f"Sampled ({words}) on {label}"),
            _controls(results, label),
        )
    )


def _elsewhere(results: Results) -> str:
    return _text(
        _tally(results, results.labels_of(role), where)
        for role, where in (
            ("out_of_distribution", "Out of distribution"),
            ("forgetting", "In what was not trained on"),
        )
    )


def _text(sentences: Iterable[str]) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _others(results: Results) -> list[str]:
    return list(results.variants)[1:]


def _against_first(results: Results, label: str, measure: str, where: str) -> str:
    """The other variants against the first one on one benchmark."""
    of: _Of = tables.greedy_of if measure == "greedy" else tables.sampled_of
    first, titles = results.first, results.titles
    reference = of(results, first, label)
    others = {
        name: each for name in _others(results) if (each := of(results, name, label)) is not None
    }
    if reference is None:
        return ""
    if not others:
        base = of(results, BASE, label)
        beside = "" if base is None else f", the base {_share(base)}"
        return f"{where}, {titles[first]} answers {_share(reference)} correctly{beside}."
    tests = {name: tables.find_test(results, label, measure, name, first) for name in others}
    if len(others) == 1:
        ((name, share),) = others.items()
        return _pair(where, (titles[name], share), (titles[first], reference), tests[name])
    said = {name: f"{titles[name]} {_share(each)}" for name, each in others.items()}
    sentence = _sentence(tests, said, titles[first])
    return f"{where}, {titles[first]} answers {_share(reference)} correctly. {sentence}"


def _pair(
    where: str, other: tuple[str, Spread], first: tuple[str, Spread], test: Test | None
) -> str:
    """One variant against the first, with how sure it is."""
    shares = f"{_share(other[1])} against {_share(first[1])}"
    found = tables.reading(test)
    if test is None or found == "not tested":
        change = signed_points(other[1].mean - first[1].mean)
        return f"{where}, {other[0]} and {first[0]}: {shares}, {change} points, not tested."
    sure = difference_text(test)
    if found == "unclear":
        return (
            f"{where}, there is no clear difference between {other[0]} and {first[0]}: "
            f"{shares}, {sure}."
        )
    return f"{where}, {other[0]} is {_WORDS[found]} than {first[0]}: {shares}, {sure}."


def _base_sentence(results: Results, label: str) -> str:
    base = tables.greedy_of(results, BASE, label)
    tests = {
        name: test
        for name in results.variants
        if (test := tables.find_test(results, label, "greedy", name, BASE)) is not None
    }
    if base is None or not tests:
        return ""
    return _sentence(tests, results.titles, f"the base on {label} ({_share(base)})")


def _sentence(tests: Mapping[str, Test | None], said: Mapping[str, str], reference: str) -> str:
    """What each model is against another: "A and B are better than X; C is worse than X."."""
    found = []
    for word, names in _by_reading(tests):
        members = [said[name] for name in names]
        verb = "is" if len(members) == 1 else "are"
        found.append(f"{_joined(members)} {verb} {word} {_THAN[word]} {reference}")
    return f"{'; '.join(found)}."


def _controls(results: Results, label: str) -> str:
    """How much of a pair's difference is left at other temperatures, early stops, no clipping."""
    if len(results.variants) != 2:
        return ""
    first, other = results.variants
    measured: list[tuple[str, Spread | None, Spread | None]] = [
        (
            f"at temperature {temperature}",
            tables.temperature_of(results, other, label, temperature),
            tables.temperature_of(results, first, label, temperature),
        )
        for temperature in tables.temperatures(results)
    ]
    for words, of in (
        ("with an early stop", tables.early_stop_of),
        ("without clipping", tables.unclipped_of),
    ):
        measured.append((words, of(results, other, label), of(results, first, label)))
    said = [
        f"{signed_points(a.mean - b.mean)} {words}"
        for words, a, b in measured
        if a is not None and b is not None
    ]
    if not said:
        return ""
    titles = results.titles
    return (
        f"In the controls {titles[other]} minus {titles[first]} is, in points and not tested, "
        f"{_joined(said)}."
    )


def _tally(results: Results, labels: Sequence[str], where: str) -> str:
    """On which benchmarks the others are better or worse than the first, by greedy accuracy."""
    first, titles = results.first, results.titles
    parts = []
    for name in _others(results):
        tests = {
            label: test
            for label in labels
            if (test := tables.find_test(results, label, "greedy", name, first)) is not None
        }
        if not tests:
            continue
        said = {
            label: f"{label} ({signed_points(test.difference)})" for label, test in tests.items()
        }
        found = (
            f"{word} on {_joined([said[label] for label in found])}"
            for word, found in _by_reading(tests)
        )
        parts.append(f"{titles[name]} against {titles[first]}: {'; '.join(found)}")
    return f"{where}, {'. '.join(parts)}." if parts else ""


def _by_reading(tests: Mapping[str, Test | None]) -> Iterator[tuple[str, list[str]]]:
    """The keys of the tests that read alike, with the word for it."""
    for reading, word in _WORDS.items():
        if found := [key for key, test in tests.items() if tables.reading(test) == reading]:
            yield word, found


def _share(spread: Spread) -> str:
    return f"{percent(spread.mean)} %"


def _interval(test: Test) -> str:
    ends = tables.difference_interval(test)
    return f"95 % interval {ends}, " if ends else ""


def _p(p: float | None) -> str:
    text = p_cell(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _joined(parts: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
