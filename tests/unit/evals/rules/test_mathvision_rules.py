import pytest

from mmdft.evals.rules.mathvision import official, strict
from mmdft.evals.rules.mathvision_official import official_answer, official_equal
from mmdft.records import Example, Prediction

LETTERS = tuple("ABCDE")


# Extractions as the authors recorded them (shared/official/mathvision), one per step of the rule.
@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("So it must be C.", "c"),  # a letter at the end
        ("(C)\nbecause", "c"),  # or at the start
        ("The total number is 31.", "31"),  # a number after the last "is"
        ("The answer is 4 apples. They are red.", "4apples"),  # a flag, up to the full stop
        (r"\boxed{3} and \boxed{4}", "4"),  # several boxes: the last
        (r"\boxed{x = 5}", "5"),  # after the last equals sign
        (r"\boxed{B}", "b"),
        (r"\boxed{(B)}", "b"),
        (r"\boxed{45^\circ}", "45"),
        (r"\boxed{12\text{km}}", "12"),
        ("1/2", r"\frac{1}{2}"),
        ("0.5", r"\frac{1}{2}"),
        (r"$5\sqrt3$", r"5\sqrt{3}"),
        ("25%", "25%"),
        ("", ""),
    ],
)
def test_official_answer(response, answer):
    assert official_answer(response) == answer


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("A", "a", True),
        (r"$\frac{1}{900}$", r"\frac{1}{300}", True),  # both 0.00: two decimals is the rule
        (r"$5 \sqrt{3}$", r"5\sqrt{3}", True),
        ("$1:4$", r"\frac{1}{4}", True),
        (r"$\frac{3 \pi}{2}$", r"\frac{3\pi}{2}}{cm", True),  # read up to the stray brace
        ("(3,-4)", "(3.001,-4)", True),
        ("(3,-4)", "(3.01,-4)", False),
        (r"$36^{\circ}$", "36", False),  # the sign is a symbol to the official parser
        ("20", "20%", False),
        ("60 cm", "60", False),
        ("", "5", False),
        ("5", "", False),
        ("5", "9**9**9**9", False),
        ("5", "__import__('os')", False),
    ],
)
def test_official_equal(gold, answer, equal):
    assert official_equal(gold, answer) is equal


def judged(rule, response, answer, choices=()):
    example = Example(id="1", turns=(), answer=answer, choices=choices)
    return rule(example, Prediction(id="1", response=response)).status


def test_official_takes_letter_or_value():
    options = ("$10$", "$12$", "$15$", "$20$", "$25$")
    assert judged(official, r"\boxed{B}", "B", options) == "correct"
    assert judged(official, r"\boxed{12.001}", "B", options) == "correct"
    assert judged(official, r"\boxed{10}", "B", options) == "wrong"
    assert judged(official, "", "B", options) == "no_answer"


@pytest.mark.parametrize(
    ("response", "answer", "choices", "status"),
    [
        (r"\boxed{A}", "A", LETTERS, "correct"),
        (r"\boxed{B}", "A", LETTERS, "wrong"),
        (r"\boxed{5}", "A", LETTERS, "wrong"),
        (r"\boxed{\frac{1}{300}}", r"$\frac{1}{900}$", (), "wrong"),
        (r"\boxed{\frac{4}{3}}", "4/3", (), "correct"),
        (r"\boxed{1+x}", "x+1", (), "correct"),
        (r"\boxed{b+2a}", "$a+b$", (), "wrong"),
        (r"\boxed{nonsense}", "$a+b$", (), "wrong"),
        (r"\boxed{32 \mathrm{~cm}^{2}}", "C", ("1", "2", r"$32 \mathrm{~cm}^{2}$"), "correct"),
        (r"\boxed{2(w+h)^2}", "A", (r"$2w^2+4wh+2h^2$", "$wh$"), "correct"),
        ("Let us look at the figure.", "A", LETTERS, "no_answer"),
        (r"\boxed{A}", None, LETTERS, "unscored"),
        (rf"\boxed{{{'x' * 3000}}}", "x+1", (), "unscored"),
    ],
)
def test_strict(response, answer, choices, status):
    assert judged(strict, response, answer, choices) == status
