import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.evals.rules import RULES
from mmdft.evals.rules.mathvista import answer_of
from mmdft.evals.rules.mathvista_official import correct, edit_distance, nearest, normalised
from mmdft.records import Example, Prediction, Turn

ANGLES = ("30°", "45°", "60°")


def example(answer, kind="text", choices=(), precision=None, question="Find it."):
    prompt = f"Hint: Answer.\nQuestion: {question}"
    if choices:
        lines = (f"({chr(65 + i)}) {choice}" for i, choice in enumerate(choices))
        prompt += "\nChoices:\n" + "\n".join(lines)
    return Example(
        id="1",
        turns=(Turn(role="user", parts=(prompt,)),),
        answer=answer,
        choices=choices,
        meta={"answer_type": kind, "precision": precision},
    )


def judge(rules, response, item, **options):
    return RULES["mathvista"][rules](item, Prediction(id="1", response=response, **options))


# --- the official rule on an extraction ---


@pytest.mark.parametrize(
    ("extraction", "prediction"),
    [
        ("B", "45°"),
        (" B ", "45°"),
        ("(B)", "45°"),
        ("(b) 45°", "45°"),
        ("The options (C) and (A)", "60°"),  # the first
        ("b", "30°"),  # no letter: the nearest, of three as near
        ("B.", "30°"),
        ("D", "30°"),  # out of range
        ("(D)", "30°"),  # read as D
        ("44°", "45°"),
        ("", "30°"),
        ("null", "30°"),
    ],
)
def test_official_choice(extraction, prediction):
    assert normalised(extraction, example("45°", choices=ANGLES)) == prediction


def test_official_nearest_is_case_sensitive_and_first_of_ties():
    assert nearest("YES", ("yes", "NO!")) == "yes"  # three edits each: the first
    assert nearest("YE", ("ye", "YEAR")) == "ye"
    assert nearest("NO", ("yes", "no", "NO!")) == "NO!"


@pytest.mark.parametrize(
    ("extraction", "kind", "precision", "prediction"),
    [
        ("5", "integer", None, "5"),
        ("32.9", "integer", None, "32"),  # truncated
        ("-0.5", "integer", None, "0"),
        ("1e3", "integer", None, "1000"),
        ("5 cm", "integer", None, None),
        ("1,000", "integer", None, None),
        ("inf", "integer", None, None),
        ("nan", "integer", None, None),
        ("", "integer", None, None),
        ("1.25", "float", 1.0, "1.2"),  # precision is a float in the published table
        ("1.349", "float", 2, "1.35"),
        ("2", "float", 1, "2.0"),
        ("x", "float", 1, None),
        ("[1, 2]", "list", None, "[1, 2]"),
    ],
)
def test_official_number(extraction, kind, precision, prediction):
    assert normalised(extraction, example("?", kind, precision=precision)) == prediction


def test_official_list_is_compared_as_it_stands():
    item = example("[1, 2]", "list")
    assert correct("[1, 2]", item)
    assert not correct("[1,2]", item)


texts = st.text("ab°", max_size=6)


@given(texts, texts, texts)
def test_edit_distance_is_a_distance(a, b, c):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) is (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert edit_distance(a, "") == len(a)


# --- the answer, in the form that the rule reads ---


@pytest.mark.parametrize(
    ("response", "item", "answer", "stage"),
    [
        ("45°", example("45°", choices=ANGLES), "B", "prefetch"),
        ("The answer is 45°.", example("45°", choices=ANGLES), "B", "phrase"),
        ("The answer is 50 cm.", example("45°", choices=ANGLES), "50", "phrase"),
        ("The answer is 50°.", example("45°", choices=ANGLES), "50°", "phrase"),
        ("12", example("12", "integer"), "12", "prefetch"),
        ("The answer is 1,234 cm.", example("12", "integer"), "1234", "phrase"),
        ("The answer is twelve.", example("12", "integer"), "12", "phrase"),
        (r"\boxed{\frac{1}{4}}", example("0.25", "float", precision=2), "0.25", "boxed"),
        ("It is 45%.", example("45", "integer"), "45", "number"),
        ("The answer is z.", example("12", "integer"), None, "none"),
        ("I think [1, 2], no, [2, 1].", example("[2, 1]", "list"), "[2, 1]", "list"),
        ("two", example("[2, 1]", "list"), None, "none"),
        ("<think>12</think>", example("12", "integer"), None, "none"),
        ("<think>12", example("12", "integer"), None, "none"),
        ("<think>7</think>12", example("12", "integer"), "12", "prefetch"),
    ],
)  # fmt: skip
def test_answer_of(response, item, answer, stage):
    found = answer_of(item, Prediction(id="1", response=response))
    assert (found.answer, found.stage) == (answer, stage)


# --- the rule sets ---

CASES = [
    # response, item, official, strict, vlmevalkit, lmms_eval, symbolic
    ("B", example("45°", choices=ANGLES),
     ("correct", "correct", "correct", "unscored", "correct")),
    ("45°", example("45°", choices=ANGLES),
     ("correct", "correct", "correct", "correct", "correct")),
    ("44°", example("45°", choices=ANGLES), ("correct", "wrong", "unscored", "unscored", "wrong")),
    ("", example("30°", choices=ANGLES),
     ("correct", "no_answer", "unscored", "correct", "no_answer")),
    ("", example("45°", choices=ANGLES),
     ("no_answer", "no_answer", "unscored", "no_answer", "no_answer")),
    ("32.5", example("32", "integer"), ("correct", "wrong", "unscored", "unscored", "wrong")),
    ("32", example("32", "integer"), ("correct", "correct", "correct", "correct", "correct")),
    ("It is 32 cm.", example("32", "integer"),
     ("correct", "correct", "unscored", "unscored", "correct")),
    ("0", example("0", "integer"), ("correct", "correct", "unscored", "correct", "correct")),
    ("1.23", example("1.2", "float", precision=1),
     ("correct", "correct", "unscored", "wrong", "correct")),
    ("1.2", example("1.2", "float", precision=1),
     ("correct", "correct", "correct", "wrong", "correct")),
    ("[1,2]", example("[1, 2]", "list"), ("wrong", "correct", "wrong", "unscored", "correct")),
    (r"The answer is \frac{2\sqrt{3}}{2}.", example("√{3}", choices=("1", "√{3}")),
     ("correct", "correct", "unscored", "unscored", "correct")),
    (r"The answer is (x+1)^2.", example("x^2+2x+1", choices=("1", "x^2+2x+1")),
     ("no_answer", "no_answer", "unscored", "unscored", "no_answer")),
    (r"\boxed{(x+1)^2}", example("x^2+2x+1", choices=("1", "x^2+2x+1")),
     ("wrong", "wrong", "wrong", "unscored", "correct")),
    ("B", example(None, choices=ANGLES), ("unscored",) * 5),
    ("32", example(None, "integer"), ("unscored",) * 5),
]  # fmt: skip


@pytest.mark.parametrize(("response", "item", "statuses"), CASES)
def test_rule_sets_side_by_side(response, item, statuses):
    judged = [judge(rules, response, item) for rules in RULES["mathvista"]]
    assert [verdict.rules for verdict in judged] == list(RULES["mathvista"])
    assert tuple(verdict.status for verdict in judged) == statuses


def test_official_says_when_it_takes_the_nearest_option():
    verdict = judge("official", "I cannot tell.", example("30°", choices=ANGLES))
    assert (verdict.status, verdict.extraction.answer) == ("correct", None)
    assert "no answer" in verdict.detail and "'30°'" in verdict.detail


def test_official_reads_on_where_the_model_asks_itself_and_strict_does_not():
    response = "The answer is A.\n\nQuestion: Which is larger?\nThe answer is B."
    item = example("30°", choices=ANGLES)
    assert judge("official", response, item).extraction.answer == "B"
    assert judge("strict", response, item).extraction.answer == "A"


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("The figure shows that it is B", "B"),
        ("B is what I take it to be, in the end", None),  # not among the last five words
        ("The answer is **B**, and that is my last word here.", "B"),
        ("A or B", None),
        ("45°", "B"),
        ("I believe that the angle measures 45° here", None),  # long: not read for texts
        ("Cannot determine the answer", "Z"),
        ("Z", "Z"),
    ],
)
def test_what_vlmevalkit_infers(response, letter):
    from mmdft.evals.rules.vlmevalkit import inferred

    assert inferred(response, ANGLES) == letter


def test_a_response_that_ends_in_the_middle_is_told_apart():
    steps = "The angle at the center is that of the arc, so we go on to the next one. " * 5
    item = example("30°", choices=ANGLES)
    assert judge("strict", steps + "Hence the angle of", item).detail == "the response was cut off"
    assert judge("strict", steps + "We cannot say.", item).detail == ""
    assert judge("strict", "Hmm.", item, truncated=True).detail == "the response was cut off"
