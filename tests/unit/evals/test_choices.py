import pytest

from mmdft.evals.choices import index_of, index_of_letter, index_of_wording, letter

LENGTHS = ("10 cm", "12 cm", "15 cm")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("B", 1), ("b", 1), ("(B)", 1), ("B.", 1), ("[C]", 2), ("**A**", 0), ("option C", 2),
        ("(B) 12 cm", 1), ("B. 12", 1), ("12", 1), ("$12 \\text{ cm}$", 1), ("12 CM", 1),
        ("(B) the middle one", 1),
        ("(B) 15 cm", None),  # letter and wording disagree
        ("(A) and (B)", None), ("(A), (B)", None), ("D", None), ("13 cm", None), ("", None),
    ],
)  # fmt: skip
def test_index_of(text, index):
    assert index_of(text, LENGTHS) == index


def test_letters_beyond_the_options_may_be_their_wording():
    assert index_of("x", ("y", "x")) == 1
    assert index_of_letter("x", ("y", "x")) is None


def test_wording_that_two_options_share_means_neither():
    assert index_of_wording("yes", ("Yes", "yes", "no")) is None
    assert index_of_wording("0.5", ("1/2", "2/4", "3")) is None


def test_letter():
    assert [letter(i) for i in range(3)] == ["A", "B", "C"]
