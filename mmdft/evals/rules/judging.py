"""What every rule shares: turning an extraction and a comparison into a verdict."""

from __future__ import annotations

from collections.abc import Callable

from mmdft.evals.choices import index_of, index_of_wording, letter
from mmdft.evals.extraction.parts import looks_cut
from mmdft.evals.symbolic import NOT_PARSED, Comparison
from mmdft.records import Example, Extraction, Prediction, Status, Verdict

Rule = Callable[[Example, Prediction], Verdict]
Compare = Callable[[str, str], Comparison]

_NO_GOLD = "the benchmark gives no gold answer"


def judge(
    example: Example,
    prediction: Prediction,
    *,
    rules: str,
    extraction: Extraction,
    compare: Compare,
) -> Verdict:
    """Compare gold and extracted answer, and name what came of it.

    A comparison that hit a limit leaves the prediction unscored. An answer that is no expression
    the parser reads is wrong: it was given, it is not the gold, and taking it out of the
    denominator would reward writing gibberish.
    """
    status: Status
    if example.answer is None:
        status, detail = "unscored", _NO_GOLD
    elif extraction.answer is None:
        cut = prediction.truncated or looks_cut(prediction.response)
        status, detail = "no_answer", "the response was cut off" if cut else ""
    else:
        outcome = compare(example.answer, extraction.answer)
        detail = outcome.reason
        if outcome.equal is None:
            status = "wrong" if outcome.reason == NOT_PARSED else "unscored"
        else:
            status = "correct" if outcome.equal else "wrong"
    return verdict(example, prediction, rules, extraction, status, detail)


def verdict(
    example: Example,
    prediction: Prediction,
    rules: str,
    extraction: Extraction,
    status: Status,
    detail: str = "",
) -> Verdict:
    """The record of a judgement; unscored, whatever the rule says, where there is no gold."""
    if example.answer is None:
        status, detail = "unscored", _NO_GOLD
    return Verdict(
        id=example.id,
        rules=rules,
        status=status,
        extraction=extraction,
        gold=example.answer,
        sample=prediction.sample,
        detail=detail,
    )


def gold_index(example: Example) -> int | None:
    """The option that the gold means. Its wording goes before its letter: golds are data."""
    if example.answer is None or not example.choices:
        return None
    worded = index_of_wording(example.answer, example.choices)
    return index_of(example.answer, example.choices) if worded is None else worded


def by_choice(example: Example, compare: Compare) -> Compare:
    """`compare`, but on a question with options: by option first, then by the option's value."""
    gold = gold_index(example)
    if gold is None:
        return compare

    def compared(_: str, answer: str) -> Comparison:
        index = index_of(answer, example.choices)
        if index is not None:
            return Comparison(index == gold)
        if example.choices[gold].strip().upper() == letter(gold):
            return Comparison(False)  # the options are drawn in the figure and have no value
        return compare(example.choices[gold], answer)

    return compared
