import math
import time
from fractions import Fraction

import pytest

from mmdft.evals.arithmetic import evaluate, values_equal

VALUES = [
    ("1+2*3", 7), ("-2^2", -4), ("(-2)^2", 4), ("2^-1", 0.5), ("2^3^2", 512), ("10/4", 2.5),
    ("3:2", 1.5), ("1/2\\pi", math.pi / 2), ("5!", 120), ("50%", 0.5), ("|3-5|", 2),
    (r"\frac{3\sqrt{6}}{2}", 1.5 * math.sqrt(6)), (r"\frac12", 0.5), (r"\frac{360}7", 360 / 7),
    (r"4\pi", 4 * math.pi), ("4π", 4 * math.pi), ("2pi", 2 * math.pi), (r"\sqrt3", math.sqrt(3)),
    (r"\sqrt[3]{8}", 2), ("sqrt(3)/2", math.sqrt(3) / 2), (r"2(\sqrt{2}-1)", 2 * math.sqrt(2) - 2),
    (r"6\frac{1}{4}", 6.25), (r"2\frac{1}{2}\pi", 2.5 * math.pi), ("1,234*2", 2468),
    (r"$10 \pi+5 \pi \sqrt{2}$", math.pi * (10 + 5 * math.sqrt(2))), (r"3 \cdot 2^{5}", 96),
    (r"\sin 30^\circ", 0.5), (r"\left(\frac{1}{2}\right)^2", 0.25), ("45^\\circ", 45),
    (r"\frac{3^{1008}-1}{3^{1009}}", 1 / 3),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values(text, value):
    assert evaluate(text) == pytest.approx(value, rel=1e-12)


def test_exact_while_it_can_be():
    assert evaluate(r"\frac{1}{3} + \frac{1}{6}") == Fraction(1, 2)
    assert evaluate(r"\sqrt{\frac{9}{4}}") == Fraction(3, 2)
    assert not values_equal(evaluate(r"\frac{3^{1008}-1}{3^{1009}}"), Fraction(1, 3))


def test_mixed_numbers_can_be_products():
    assert evaluate(r"6\frac{1}{4}", mixed_numbers=False) == Fraction(3, 2)


@pytest.mark.parametrize(
    "text",
    ["", "x+1", "2 3", "2+", "*2", "(1", "1)", "1/0", "0^{-1}", "(-8)^{1/3}", r"\sqrt{-1}",
     "9**9**9**9", "100000000!", "(2^20000)^20000", "2^" * 200 + "2", "(" * 5000 + "1" + ")" * 5000,
     "1" * 100_000, "__import__('os')", "banana", r"\frac{1}", "1e5",
     "(3^9999)/(2^19999)" * 100, "+".join(f"1/({i}^999)" for i in range(3, 150))],
)  # fmt: skip
def test_no_value_and_no_time(text):
    start = time.monotonic()
    assert evaluate(text) is None
    assert time.monotonic() - start < 0.5


def test_values_equal_beyond_floats():
    assert not values_equal(Fraction(10) ** 400, 1.0)
    assert values_equal(0.1 + 0.2, Fraction(3, 10))
