"""We-Math, Geometry3K, GeoQA, LogicVista and the shared strict rule: exact verdicts."""

from __future__ import annotations

import pytest

from mmdft.evals.rules import geometry3k, geoqa, logicvista, staged, wemath
from mmdft.records import Example, Prediction


def judged(rule, response, answer, choices=(), **meta):
    example = Example(id="1", turns=(), answer=answer, choices=tuple(choices), meta=meta)
    return rule(example, Prediction(id="1", response=response))


@pytest.mark.parametrize(
    ("response", "letter", "official", "strict"),
    [
        ("<Thought process>: <<so>> <Answer>: <<B>>", "B", "correct", "correct"),
        ("<Answer>: <<400>>", None, "no_answer", "correct"),
        ("<Answer>: <<A>> no, <Answer>: <<B>>", "B", "correct", "correct"),  # the last one
        ("Answer: B. 400", "B", "correct", "correct"),
        ("Answer: Both are equal", "B", "correct", "no_answer"),  # the first letter of any word
        ("B", "B", "correct", "correct"),  # without "Answer" the whole response
        ("<Answer>: <<(B)>>", None, "no_answer", "correct"),
        ("<Answer>: <<**B**>>", None, "no_answer", "correct"),
        ("<think>so</think><answer>B</answer>", None, "no_answer", "correct"),  # lower case
        ("Answer: I", None, "no_answer", "wrong"),  # beyond H, and of no option
        ("<Answer>: <<C>>", "C", "wrong", "wrong"),
        ("", None, "no_answer", "no_answer"),
    ],
)
def test_wemath(response, letter, official, strict):
    options = ("300", "400", "500", "600")
    assert wemath.official_letter(response) == letter
    assert judged(wemath.official, response, "B", options).status == official
    assert judged(wemath.strict, response, "B", options).status == strict


CHOICES = ("\\sqrt{2}", "2", "3", "\\frac{9}{2}")
VALUES = [2**0.5, 2.0, 3.0, 4.5]


@pytest.mark.parametrize(
    ("response", "answer", "values", "official", "strict"),
    [
        ("\\boxed{2}", "B", VALUES, "correct", "correct"),
        ("\\boxed{2.4}", "B", VALUES, "correct", "wrong"),  # the nearest of the four
        ("\\boxed{2.5}", "B", VALUES, "correct", "wrong"),  # as near as the next: still nearest
        ("\\boxed{2.6}", "B", VALUES, "wrong", "wrong"),
        ("\\boxed{1000}", "D", VALUES, "correct", "wrong"),  # however far
        ("\\boxed{1.41}", "A", VALUES, "correct", "wrong"),
        ("The answer is (D).", "D", VALUES, "correct", "correct"),
        ("The answer is (A).", "D", VALUES, "wrong", "wrong"),
        ("\\boxed{4.5}", "D", [1.4, 2.0, None, 4.5], "correct", "correct"),  # it is choice D
        ("\\boxed{4.4}", "D", [1.4, 2.0, None, 4.5], "wrong", "wrong"),  # all four must have one
        ("\\boxed{x}", "D", VALUES, "wrong", "wrong"),
        ("I cannot say.", "D", VALUES, "no_answer", "no_answer"),
        ("2", None, VALUES, "unscored", "unscored"),
    ],
)
def test_geometry3k(response, answer, values, official, strict):
    found = judged(geometry3k.official, response, answer, CHOICES, precise_values=values)
    assert found.status == official
    assert judged(staged.strict, response, answer, CHOICES).status == strict


def test_geometry3k_without_choices_has_no_official_verdict():
    verdict = judged(geometry3k.official, "\\boxed{2}", "2", precise_values=[])
    assert (verdict.status, verdict.detail) == ("unscored", geometry3k.NEEDS_CHOICES)
    assert judged(staged.strict, "\\boxed{2\\sqrt{3}}", "\\sqrt{12}").status == "correct"


@pytest.mark.parametrize(
    ("response", "answer", "choices", "official", "strict"),
    [
        ("\\boxed{45}", "B", ("30°", "45°", "60°", "90°"), "correct", "correct"),
        ("\\boxed{1.4142}", "A", ("\\sqrt{2}", "2"), "correct", "wrong"),
        ("\\boxed{1.41}", "A", ("\\sqrt{2}", "2"), "wrong", "wrong"),
        ("\\boxed{2.0009}", "B", ("\\sqrt{2}", "2"), "correct", "wrong"),
        ("\\boxed{2.0011}", "B", ("\\sqrt{2}", "2"), "wrong", "wrong"),
        ("(B)", "B", ("30°", "45°"), "correct", "correct"),
        ("\\boxed{5}", "B", ("30°", "45°"), "wrong", "wrong"),
        ("145", "145°", (), "correct", "correct"),
        ("145.0005", "145°", (), "correct", "wrong"),
        ("I cannot say.", "145°", (), "no_answer", "no_answer"),
    ],
)
def test_geoqa(response, answer, choices, official, strict):
    assert judged(geoqa.official, response, answer, choices).status == official
    assert judged(staged.strict, response, answer, choices).status == strict


def test_geoqa_takes_the_last_of_choices_that_are_alike():
    choices = ("2", "2.0001", "3")
    assert judged(geoqa.official, "\\boxed{2.00005}", "B", choices).status == "correct"
    assert judged(geoqa.official, "\\boxed{2.00005}", "A", choices).status == "wrong"
    assert "none of the choices" in judged(geoqa.official, "\\boxed{9}", "A", choices).detail


@pytest.mark.parametrize(
    ("response", "answer", "choices", "extraction", "status"),
    [
        ("B", "B", (), "B", "correct"),
        (" b ", "B", (), "B", "correct"),
        ("Answer: B.", "B", (), "B", "correct"),
        ("B, D.", "B, D", (), "B, D", "correct"),
        ("D, B", "B, D", (), "B, D", "correct"),  # in any order
        ("The answer is A and C.", "A, C", (), "A, C", "correct"),
        ("So the answers are (A), (B), and (D).", "A, B, D", (), "A, B, D", "correct"),
        ("Of A, B, C, D the correct choices are A & C because", "A, C", (), "A, C", "correct"),
        ("The options are A, B, C and D. The answer is B.", "B", (), "B", "correct"),
        ("<think>The answer is A and B.</think>The answer is C.", "C", (), "C", "correct"),
        ("A", "A, C", (), "A", "wrong"),  # all of them or none
        ("A, B, C", "A, C", (), "A, B, C", "wrong"),
        ("Set A", "A", ("Set A", "Set B"), "A", "correct"),
        ("3", "3", (), "3", "correct"),  # one question asks for a number
        ("I cannot see it.", "B", (), None, "no_answer"),
    ],
)
def test_logicvista(response, answer, choices, extraction, status):
    for rule in (logicvista.official, logicvista.strict):
        verdict = judged(rule, response, answer, choices)
        assert verdict.extraction.answer == extraction
        assert verdict.status == status


def test_logicvistas_question_without_a_gold():
    empty = judged(logicvista.official, "", "")
    assert (empty.status, empty.extraction.answer) == ("correct", None)
    assert "empty gold" in empty.detail
    assert judged(logicvista.official, "B", "").status == "wrong"
    for response in ("", "B"):
        verdict = judged(logicvista.strict, response, "")
        assert (verdict.status, verdict.detail) == ("unscored", "the gold is empty")


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("A, C", "['a', 'c']", True),
        ("C, A", "['a', 'c']", True),
        ("C", "['c']", True),
        ("C", "['zzzzz']", False),
        ("C", "['cube']", False),
        ("", "['']", True),
        ("3", "['3']", True),
        ("A", "['a', 'a']", False),
    ],
)
def test_logicvistas_comparison(gold, answer, same):
    assert logicvista.same_letters(gold, answer) is same


@pytest.mark.parametrize(
    ("response", "gold", "choices", "status"),
    [
        ("S 23.5 ^\\circ W", "S 23.5 ^\\circ W", (), "correct"),
        ("\\boxed{2191.7}", "2191.7 metres", (), "correct"),
        ("\\boxed{x+1}", "1+x", (), "correct"),
        ("The answer is 40°.", "A", ("40°", "50°"), "correct"),
        ("The answer is B.", "A", ("40°", "50°"), "wrong"),
        ("The answer is blue.", "Blue", (), "correct"),
        ("I cannot tell.", "A", ("40°", "50°"), "no_answer"),
        ("A", None, ("40°", "50°"), "unscored"),
    ],
)
def test_strict(response, gold, choices, status):
    assert judged(staged.strict, response, gold, choices).status == status


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("<Answer>: <<B>> And now", "correct"),  # cut off after the answer
        ("<Answer>: <<B", "no_answer"),  # perhaps within it
        ("<Thought process>: <<so", "no_answer"),
    ],
)
def test_a_response_to_wemath_that_was_cut_off(response, status):
    example = Example(id="1", turns=(), answer="B", choices=("300", "400"))
    prediction = Prediction(id="1", response=response, truncated=True)
    assert wemath.strict(example, prediction).status == status
