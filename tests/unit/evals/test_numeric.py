from fractions import Fraction

import pytest

from mmdft.evals.numeric import parse_number, parse_quantity, quantities_equal, split_unit

NUMBERS = [
    ("5", 5), ("-7", -7), ("- 7", -7), ("−7", -7), ("+3", 3), (".5", "1/2"), ("5.", 5),
    ("1,234", 1234), ("1,234,567.5", "2469135/2"), ("1{,}234", 1234), ("1 234 567", 1234567),
    ("3/4", "3/4"), ("-3/4", "-3/4"), (r"\frac{3}{4}", "3/4"), (r"-\dfrac{3}{4}", "-3/4"),
    (r"\frac12", "1/2"), ("2 1/2", "5/2"), (r"6\frac{1}{4}", "25/4"), (r"-2\frac{1}{2}", "-5/2"),
    ("1.5e3", 1500), ("1E-2", "1/100"), (r"3 \times 10^{4}", 30000), ("3 × 10^4", 30000),
    ("50%", "1/2"), (r"50\%", "1/2"), ("12.5 percent", "1/8"),
    ("45°", 45), (r"45^\circ", 45), (r"45^{\circ}", 45), ("45 degrees", 45),
    ("12 cm", 12), ("12cm^2", 12), (r"12\text{ cm}^2", 12), (r"2 \mathrm{~cm}^{2}", 2),
    ("12 square units", 12), ("5 units", 5), ("$20", 20), ("-$5", -5), ("20 dollars", 20),
    ("60{degrees}", 60),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_reads_numbers_exactly(text, value):
    assert parse_number(text) == Fraction(value)


@pytest.mark.parametrize(
    "text",
    ["", "m", "five", "5 or 6", "x = 5", "5 apples", "1,23", "3,5", "2 3", "1/0", r"\frac{1}{0}",
     "1e999999999", "9" * 300, "5 m 30", "3x", "inf", "nan", "1_000", "0x10"],
)  # fmt: skip
def test_other_text_is_no_number(text):
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("12 cm", "12", True),  # an unwritten unit is forgiven
        ("12 cm", "12 centimeters", True),
        ("12 cm^2", "12 square cm", True),
        ("12 cm", "12 m", False),  # a different one is not
        ("12 cm", "12 cm^2", False),
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("50", "50%", True),
        ("50%", "0.05", False),
        ("50%", "50 cm", False),
        ("1/3", "0.333", False),  # exact
        ("0.5", "1/2", True),
        ("5", "5 units", True),
    ],
)
def test_quantities_equal(gold, answer, equal):
    a, b = parse_quantity(gold), parse_quantity(answer)
    assert a is not None and b is not None
    assert quantities_equal(a, b) is equal


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (r"3\sqrt{2}\text{ cm}", (r"3\sqrt{2}", "cm")),
        (r"8\sqrt{3}{squareinches}", (r"8\sqrt{3}", "inch^2")),
        (r"\frac{3}{4}\pi{inches}", (r"\frac{3}{4}\pi", "inch")),
        (r"4\pi", (r"4\pi", "")),
        ("2(a+b) bananas", ("2(a+b) bananas", "")),
    ],
)
def test_split_unit(text, parts):
    assert split_unit(text) == parts
