import pytest

from mmdft.evals.rules.dynamath import official, short_answer, strict
from mmdft.records import Example, Prediction


def json_response(answer):
    return f'```json\n{{"solution": "We see.", "short answer": {answer}}}\n```'


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ('{"solution": "s", "short answer": "5"}', "5"),
        ('{"solution": "s", "short answer": 5.25}', "5.25"),
        ('Here:\n```json\n{"solution": "a \\"b\\"", "short answer": "B"}\n```\nDone.', "B"),
        (r'{"short answer": "\frac{1}{2}"}', r"\frac{1}{2}"),  # to JSON, \f is a form feed
        (r'{"short answer": "\\frac{1}{2}"}', r"\frac{1}{2}"),
        (r'{"short answer": "\pi"}', r"\pi"),  # to JSON, an error
        (r'{"short answer": "2\u03c0"}', "2π"),
        ('{"short answer": "1"} {"short answer": "2"}', "2"),
        ('{"short answer": ""}', None),
        ("The answer is 5.", None),
        ('<think>{"short answer": "5"}', None),
        ('{"solution": "cut off', None),
    ],
)
def test_short_answer(response, answer):
    assert short_answer(response) == answer


CASES = [
    # kind, gold, short answer (JSON), official, strict
    ("float", "2.0944", '"2.0944"', "correct", "correct"),
    ("float", "2.0944", "2.0951", "correct", "correct"),  # within 0.001
    ("float", "2.0944", "2.0956", "wrong", "wrong"),
    ("float", "2.0944", '"2.0944 radians"', "correct", "correct"),  # the first token
    ("float", "6.2832", '"2π"', "correct", "correct"),
    ("float", "13", '"13 or 14"', "correct", "wrong"),  # strict: the whole answer is one number
    ("float", "0.5", '"1/2"', "wrong", "correct"),  # float() reads no fraction
    ("float", "13", '"thirteen"', "wrong", "correct"),
    ("int", "5.000000000000001", "5", "wrong", "correct"),  # only floats are compared as numbers
    ("int", "5", '"15"', "correct", "wrong"),  # the gold is in the answer
    ("float", "6.2832", '"π"', "wrong", "wrong"),  # nothing before the pi
    ("float", "3.1416", '"1π"', "correct", "correct"),
    ("single answer", "49", '"49"', "correct", "correct"),
    ("multiple choice", "B", '"B"', "correct", "correct"),
    ("multiple choice", "B", '"(B) no"', "correct", "correct"),
    ("multiple choice", "B", '"no"', "wrong", "correct"),  # strict reads an option's text
    ("multiple choice", "B", '"A"', "wrong", "wrong"),
    ("multiple choice", "B", '"b"', "wrong", "correct"),  # the case counts
    ("multiple choice", "B", '"Option B"', "wrong", "correct"),  # only its first three characters
    ("multiple choice", "B", '"AB and C"', "correct", "wrong"),
    ("text", "May", '"may"', "wrong", "correct"),
    ("text", "May", '"It is May, I think"', "correct", "wrong"),  # contained is not equal
    ("text", "(4, 3)", '"(4,3)"', "wrong", "correct"),
    ("text", "D", '"BAD"', "correct", "wrong"),
]


@pytest.mark.parametrize(("kind", "gold", "answer", "by_official", "by_strict"), CASES)
def test_rules(kind, gold, answer, by_official, by_strict):
    example = Example(
        id="1",
        turns=(),
        answer=gold,
        choices=("yes", "no") if kind == "multiple choice" else (),
        meta={"answer_type": kind},
    )
    prediction = Prediction(id="1", response=json_response(answer))
    assert official(example, prediction).status == by_official
    assert strict(example, prediction).status == by_strict


def test_without_json_official_has_no_answer_and_strict_reads_on():
    example = Example(id="1", turns=(), answer="5", meta={"answer_type": "float"})
    prediction = Prediction(id="1", response="The answer is 5.")
    assert official(example, prediction).status == "no_answer"
    assert strict(example, prediction).status == "correct"


def test_no_gold_is_unscored():
    example = Example(id="1", turns=(), answer=None, meta={"answer_type": "float"})
    verdict = official(example, Prediction(id="1", response=json_response("5")))
    assert verdict.status == "unscored"
    assert verdict.detail
