"""Where an answer is marked in a response."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.comparison.highlight import answer_span
from mmdft.comparison.page import _units
from mmdft.evals.extract import extract
from mmdft.records import Extraction


@pytest.mark.parametrize(
    ("response", "answer", "stage", "choices", "marked", "before"),
    [
        (r"\boxed{4} no, \boxed{5}", "5", "boxed", (), "5", r"\boxed{4} no, \boxed{"),
        (
            r"so \boxed{\frac{1}{2}} it is",
            r"\frac{1}{2}",
            "boxed",
            (),
            r"\frac{1}{2}",
            r"so \boxed{",
        ),
        ("5 <answer> It is 5. </answer> 5", "5", "tag", (), "5", "5 <answer> It is "),
        ('{"short answer": "7 cm"}', "7", "json", (), "7", '{"short answer": "'),
        ("A. then B. The answer is B", "B", "phrase", ("x", "y"), "B", "A. then B. The answer is "),
        (
            "It must be the cube.",
            "B",
            "choice_text",
            ("a ball", "the cube"),
            "the cube",
            "It must be ",
        ),
        ("15 of 5.5 or 5, not 50", "5", "number", (), "5", "15 of 5.5 or "),
        ("a 5 is a \N{GRINNING FACE} 5", "5", "number", (), "5", "a 5 is a \N{GRINNING FACE} "),
        ("nothing of it", "5", "number", (), None, None),
        ("nothing", None, "none", (), None, None),
        (r"<think>\boxed{3}</think>", "E", "official", (), "3", r"<think>\boxed{"),
        ("", "5", "tag", (), None, None),
    ],
)
def test_the_place(response, answer, stage, choices, marked, before):
    span = answer_span(response, Extraction(answer=answer, stage=stage), choices)
    if marked is None:
        assert span is None
    else:
        assert (response[span[0] : span[1]], response[: span[0]]) == (marked, before)


@given(st.text(max_size=40), st.integers(-999, 999))
def test_a_boxed_number_is_always_found(text, number):
    response = f"{text} \\boxed{{{number}}}"
    found = extract(response)
    if found.stage == "boxed":
        start, end = answer_span(response, found)
        assert response[start:end] == str(number)


@given(st.text(max_size=20), st.text(max_size=20))
def test_scripts_count_as_utf_16(before, after):
    whole = before + after
    encoded = whole.encode("utf-16-le", "surrogatepass")
    assert encoded[: 2 * _units(whole, len(before))] == before.encode("utf-16-le", "surrogatepass")
