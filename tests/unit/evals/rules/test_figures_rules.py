import pytest

from mmdft.evals.rules.figures import exact
from mmdft.records import Example, Prediction


def judge(response, answer, choices=(), truncated=False):
    example = Example(id="1", turns=(), answer=answer, choices=choices)
    return exact(example, Prediction(id="1", response=response, truncated=truncated))


@pytest.mark.parametrize(
    ("response", "answer", "choices", "status"),
    [
        ("<answer>12 cm</answer>", "12", (), "correct"),
        ("The answer is 0.75.", "3/4", (), "correct"),
        ("The answer is 0.7500001.", "3/4", (), "wrong"),
        (r"\boxed{3\sqrt{2}}", r"3\sqrt{2}", (), "correct"),
        ("The answer is blue.", "Blue", (), "correct"),
        ("The answer is five.", "5", (), "correct"),
        ("B", "12", ("10", "12"), "correct"),
        ("(A)", "12", ("10", "12"), "wrong"),
        ("The answer is 12.", "B", ("10", "12"), "correct"),
        ("The answer is 13.", "B", ("10", "12"), "wrong"),
        ("I cannot say.", "12", (), "no_answer"),
        ("12", None, (), "unscored"),
    ],
)
def test_exact(response, answer, choices, status):
    verdict = judge(response, answer, choices)
    assert verdict.status == status
    assert verdict.rules == "exact"
    assert verdict.gold == answer


def test_a_cut_off_response_says_so():
    verdict = judge("We first add 3 and 4, so 7", "7", truncated=True)
    assert (verdict.status, verdict.detail) == ("no_answer", "the response was cut off")


def test_wording_of_an_option_goes_before_its_letter_in_the_gold():
    assert judge("A", "B", ("B", "C")).status == "correct"
