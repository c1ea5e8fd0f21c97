import pytest

from mmdft.evals.plain import plain_equal


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("12 cm", "12", True),
        ("Thursday", "thursday.", True),
        ("5", "x = 5", True),
        ("5", "x = 6", False),
        (r"$5 \sqrt{3}$", r"5\sqrt{3} cm", True),
        (r"5\sqrt{3}\text{ m}", r"5\sqrt{3} cm", False),
        (r"\boxed{\frac{16}{7}}", "16/7", True),
        ("0.5", r"\frac{1}{2}", True),
        ("5", "five", True),
        ("twenty-five", "25", True),
        ("5", "fives", None),
        ("x+1", "1+x", None),
        ("x = 0", "0", None),
    ],
)
def test_plain_equal(gold, answer, equal):
    assert plain_equal(gold, answer) is equal
