import pytest

from mmdft.evals.text import bare_text, last_boxed, sentences


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("**$\\text{12 cm}$**.", "12 cm"),
        (" 5. ", "5"),
        (".5", ".5"),
        ("B**", "B"),
        ("**a** and **b**", "**a** and **b**"),
        (r"\boxed{1} or \boxed{2}", r"\boxed{1} or \boxed{2}"),
        (r"\(\frac{1}{2}\)", r"\frac{1}{2}"),
        ('"yes"', "yes"),
        ("= 5", "5"),
        ("{x}", "x"),
        ("...", ""),
    ],
)
def test_bare_text(text, bare):
    assert bare_text(text) == bare


def test_last_boxed():
    assert last_boxed(r"\boxed{1} \boxed{\frac{1}{2}}") == r"\frac{1}{2}"
    assert last_boxed(r"\boxed{1} \boxed{2") == "1"
    assert last_boxed(r"\boxed{\left\{ 1 \right.}") == r"\left\{ 1 \right."
    assert last_boxed("no box") is None


def test_sentences():
    text = "It is 3.5 cm. So, no.\nPoint A. Done?\n\n"
    assert sentences(text) == ["It is 3.5 cm.", "So, no.", "Point A. Done?"]
