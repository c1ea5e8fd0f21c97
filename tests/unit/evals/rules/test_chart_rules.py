"""ChartQA, ChartQAPro, CharXiv: exact verdicts, the traps of the published rules among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.evals.rules import chartqa, chartqapro, charxiv
from mmdft.evals.rules.chartqapro import anls, credit
from mmdft.records import Example, Prediction


def judged(rule, response, answer, **meta):
    example = Example(id="1", turns=(), answer=answer, meta=meta)
    return rule(example, Prediction(id="1", response=response))


CHARTQA = [
    # gold, response, official, strict
    ("10", "10.5", "correct", "correct"),  # five percent, the bound included
    ("10", "10.51", "wrong", "wrong"),
    ("-10", "-9.5", "correct", "correct"),
    ("10", "-10", "wrong", "wrong"),
    ("0", "0", "correct", "correct"),
    ("0", "0.0", "wrong", "correct"),  # a gold of 0 wants the same text
    ("0", "0.001", "wrong", "wrong"),
    ("5", "5%", "wrong", "correct"),  # 5 % is 0.05
    ("5%", "5", "wrong", "correct"),
    ("5%", "0.05", "correct", "correct"),
    ("5%", "5.1%", "correct", "correct"),
    ("977633", "977,633", "wrong", "correct"),  # no number to it
    ("1.4", "1.4 billion", "wrong", "correct"),  # the axis has the word
    ("2010", "2019", "correct", "wrong"),  # years get the slack too
    ("2010", "2010", "correct", "correct"),
    ("Yes", "yes", "correct", "correct"),
    ("Yes", "yes.", "wrong", "correct"),
    ("Yes", " yes", "wrong", "correct"),  # not stripped
    ("7", " 7 ", "correct", "correct"),  # but float() strips
    ("7", "The answer is 7.", "wrong", "correct"),  # no extraction
    ("7", "<answer>7</answer>", "wrong", "correct"),
    ("12 cm", "12 kg", "wrong", "wrong"),
    ("Brazil", "Bolivia", "wrong", "wrong"),
    ("7", "nan", "wrong", "wrong"),
    ("7", "inf", "wrong", "wrong"),
    ("7", "", "no_answer", "no_answer"),
    (None, "7", "unscored", "unscored"),
]


@pytest.mark.parametrize(("gold", "response", "official", "strict"), CHARTQA)
def test_chartqa(gold, response, official, strict):
    assert judged(chartqa.official, response, gold).status == official
    assert judged(chartqa.strict, response, gold).status == strict


@given(st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-3), st.floats(-0.2, 0.2))
def test_relaxed_accuracy_is_five_percent_of_the_gold(gold, off):
    answer = gold * (1 + off)
    if abs(abs(off) - 0.05) > 1e-9:
        assert chartqa.relaxed_equal(repr(gold), repr(answer)) == (abs(off) < 0.05)


PRO = [
    # gold, years, response, credit
    ("2016", ["YES"], "2017", 0),  # a year is exact
    ("2016", ["YES"], "2016.", 1),
    ("2016", ["NO"], "2017", 1),
    ("0", ["NO"], "0.0", 1),
    ("5%", ["NO"], "5", 1),  # signs are dropped, not resolved
    ("[2016, 2018]", ["YES"], "[2016, 2018]", 1),
    ("[2016, 2018]", ["YES"], "['2016', '2018']", 1),
    ("[2016, 2018]", ["YES"], "[2016, 2019]", 0.5),
    ("[2016, 2018]", ["YES", "NO"], "[2016, 2019]", 1),
    ("[2016, 2018]", ["NO"], "[2016]", 0.5),  # one too few counts as wrong
    ("[2016]", ["NO"], "[2016, 2018]", 0.5),
    ("[France, Spain]", ["NO"], "['France', 'Spain']", 1),
    ("[France, Spain]", ["NO"], "[France, Spain]", 0),  # the response is not given quotes
    ("[New York, Rome]", ["NO"], "['NewYork', 'Rome']", 1),  # quoted word by word, and joined
    ("kitten", ["NO"], "sitting", 1 - 3 / 7),
    ("France", ["NO"], "FRANCE", 1),
    ("France", ["NO"], "Spain", 0),
    ("abcd", ["NO"], "abxy", 0),  # half is not enough
    ("France", ["NO"], "The answer is France", 0),
]


@pytest.mark.parametrize(("gold", "years", "response", "points"), PRO)
def test_chartqapro_credit(gold, years, response, points):
    example = Example(id="1", turns=(), answer=gold, meta={"years": years})
    assert credit(example, response) == pytest.approx(points)
    verdict = chartqapro.official(example, Prediction(id="1", response=response))
    assert verdict.status == ("correct" if points == 1 else "wrong")
    assert verdict.detail == (f"{points:.2f} of a point" if 0 < points < 1 else "")


@given(st.text("abc ", max_size=8), st.text("abc ", max_size=8))
def test_anls_is_a_similarity(a, b):
    assert anls(a, a) == 1
    assert anls(a, b) == anls(b, a)
    assert anls(a, b) == 0 or 0.5 < anls(a, b) <= 1


@pytest.mark.parametrize(
    ("gold", "years", "response", "status"),
    [
        ("2016", ["YES"], "The answer is 2017.", "wrong"),
        ("2016", ["NO"], "The answer is 2016.", "correct"),
        ("40", ["NO"], "<answer>41</answer>", "correct"),
        ("40", ["YES"], "<answer>41</answer>", "wrong"),
        ("[2016, 2018]", ["YES"], "\\boxed{[2016, 2018]}", "correct"),
        ("[2016, 2018]", ["YES"], "\\boxed{[2018, 2016]}", "wrong"),
        ("[New York, Rome]", ["NO"], "<answer>[New York, Rome]</answer>", "correct"),
        ("France", ["NO"], "<answer>Frence</answer>", "wrong"),  # no part of a point
        ("France", ["NO"], "I cannot say.", "no_answer"),
        (None, ["NO"], "France", "unscored"),
    ],
)
def test_chartqapro_strict(gold, years, response, status):
    assert judged(chartqapro.strict, response, gold, years=years).status == status


def test_hostile_lists_end():
    deep = "[" * 5000 + "]" * 5000
    for response in (deep, "[" + "1," * 50_000 + "]", "[9**9**9**9]", "[__import__('os')]"):
        assert judged(chartqapro.official, response, "[1]", years=["NO"]).status == "wrong"


@pytest.mark.parametrize(
    ("gold", "kind", "response", "status"),
    [
        ("0.25", "number in general", "The answer is 0.25.", "correct"),
        ("0.25", "number in general", "The answer is 0.3.", "wrong"),
        ("40,000", "number in chart", "40000", "correct"),
        ("10^-1", "number in chart", "0.1", "correct"),
        ("3", "number in general", "three", "correct"),
        ("Joint-CNN", "text in chart", "<answer>joint-cnn</answer>", "correct"),
        ("A, B", "text in chart", "<answer>B, A</answer>", "correct"),
        ("A, B", "text in chart", "<answer>A</answer>", "wrong"),
        ("(c)", "text in chart", "<answer>(c)</answer>", "correct"),
        ("(c)", "text in chart", "I cannot say.", "no_answer"),
        (None, "text in chart", "<answer>(c)</answer>", "unscored"),
    ],
)
def test_charxiv(gold, kind, response, status):
    assert judged(charxiv.strict, response, gold, answer_type=kind).status == status
