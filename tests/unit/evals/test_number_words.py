import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.evals.number_words import number_words


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("twelve", 12), ("Twelve", 12), ("zero", 0), ("twenty-five", 25), ("twenty five", 25),
        ("one hundred", 100), ("hundred", 100), ("one hundred and five", 105),
        ("three hundred forty-two", 342), ("two thousand", 2000),
        ("two thousand and sixteen", 2016), ("one million two hundred thousand", 1_200_000),
        ("five apples", None), ("two three", None), ("twelve four", None), ("twenty twelve", None),
        ("fives", None), ("", None), ("and", None), ("5", None),
    ],
)  # fmt: skip
def test_number_words(text, number):
    assert number_words(text) == number


@given(st.integers(0, 999_999))
def test_reads_what_is_spelled(number):
    num2words = pytest.importorskip("num2words").num2words
    assert number_words(num2words(number).replace(",", "")) == number
