"""Golden cases: each row is a response, what is read from it, by which stage, and why."""

import time

import pytest

from mmdft.evals.extract import STAGES, extract
from mmdft.evals.plain import plain_equal

LENGTHS = ("10 cm", "12 cm", "15 cm", "20 cm")
ANIMALS = ("Kangaroo and rabbit", "Rabbit", "Kangaroo", "Beaver")
YES_NO = ("Yes", "No")
OPEN = ("30", "Cannot be determined", "45")

# response, choices, answer, stage, reason
GOLDEN = [
    # tags
    ("<think>5</think><answer>7</answer>", (), "7", "tag", "thinking is not mined"),
    ("<answer>3</answer> no: <answer>4</answer>", (), "4", "tag", "the last tag counts"),
    ("<answer>It is 12 cm^2.</answer>", (), "12 cm^2", "tag", "a tag may hold a sentence"),
    (r"<answer>\boxed{\frac{1}{2}}</answer>", (), r"\frac{1}{2}", "tag", "or a box"),
    ("<answer>(B) 12 cm", LENGTHS, "B", "tag", "a stop string may have eaten the closing tag"),
    ("<answer></answer> The answer is 4.", (), "4", "phrase", "an empty tag says nothing"),
    ("so it is 5</think>\n<answer>6</answer>", (), "6", "tag", "the prompt opened the thinking"),
    # thinking
    ("<think>the answer is 5", (), None, "none", "thinking that never ended concludes nothing"),
    ("<think>\\boxed{5}</think>", (), None, "none", "an answer only thought is not given"),
    ("The answer is 5</think>The answer is 7.", (), "7", "phrase", "a lone closing tag"),
    # boxes
    (r"\boxed{5}, then \boxed{\frac{1}{2}}", (), r"\frac{1}{2}", "boxed", "the last box, nested"),
    (r"\boxed{5} and \boxed{6", (), "5", "boxed", "the last balanced box"),
    (r"$\boxed{\{1, 2\}}$", (), r"\{1, 2\}", "boxed", "set braces do not close the box"),
    (r"Final answer: \boxed{(B)}", LENGTHS, "B", "boxed", "a letter in a box"),
    (r"\boxed{\text{12 cm}}", LENGTHS, "B", "boxed", "an option's text in a box"),
    (r"\boxed{(A) and (B)}", LENGTHS, "(A) and (B)", "boxed", "two options are not the first"),
    (r"The answer is 3. \boxed{4}", (), "4", "boxed", "a box goes before a phrase"),
    # phrases
    ("The answer is 5. No, the answer is 6.", (), "6", "phrase", "the last phrase"),
    ("**Answer:** 12 cm", (), "12 cm", "phrase", "Markdown around the colon"),
    ("**Answer: 12 cm**", (), "12 cm", "phrase", "Markdown around all"),
    ("The final answer is:\n\n$$\n\\frac{3}{4}\n$$", (), r"\frac{3}{4}", "phrase", "display math"),
    ("the correct option is (C).", LENGTHS, "C", "phrase", "another way to say it"),
    ("The answer is **B. 12 cm**.", LENGTHS, "B", "phrase", "letter and wording agree"),
    ("The answer is B because 12 > 10.", LENGTHS, "B", "phrase", "the reason is cut off"),
    ("Therefore, the answer is yes.", YES_NO, "A", "phrase", "an option's text in another case"),
    ("The answer is about 5.2 m", (), "5.2 m", "phrase", "a filler is not the answer"),
    ("The answer is 12 square centimeters in total", (), "12", "phrase", "words trail the value"),
    ("The answer is 1,234.5 dollars.", (), "1,234.5 dollars", "phrase", "a comma inside a number"),
    ("The answer is .5", (), ".5", "phrase", "a number's own point is kept"),
    (r"the answer is $3\sqrt{2}$ cm.", (), r"3\sqrt{2}", "phrase", "inline math, then a unit"),
    ("Answer: [1, 6, 2, 0, 5]", (), "[1, 6, 2, 0, 5]", "phrase", "a list is one answer"),
    ("so the answer is y = 2x + 3.", (), "y = 2x + 3", "phrase", "a formula"),
    ("答案是 12。", (), "12", "phrase", "Chinese"),
    ("Answer: the gap is about 20 years.</s>", (), "20 years", "phrase", "a sentence as answer"),
    ("The answer is 13 cm.", LENGTHS, "13 cm", "phrase", "a value that is no option is given"),
    ("The answer is not B.", LENGTHS, None, "none", "a negation commits to nothing"),
    ("The answer is A or B", LENGTHS, None, "none", "nor does a choice of two"),
    ("The answer is (A), (B), and (C).", LENGTHS, None, "none", "nor a list of letters"),
    # letters
    ("B", LENGTHS, "B", "letter", "the whole response"),
    ("(b)", LENGTHS, "B", "letter", "in lower case"),
    ("**C**", LENGTHS, "C", "letter", "bold"),
    (r"$\text{B}$", LENGTHS, "B", "letter", "in math"),
    ("B. 12 cm\n\nBecause 3 * 4 = 12.", LENGTHS, "B", "letter", "the first line commits"),
    ("Option D is correct.", LENGTHS, "D", "letter", "named"),
    ("We add. So B is the correct choice.", LENGTHS, "B", "letter", "named in a sentence"),
    ("(A) is not so. (B) is wrong. (C) fits.", LENGTHS, "C", "letter", "others are ruled out"),
    ("A. 10 cm\nB. 12 cm\nC. 15 cm", LENGTHS, None, "none", "the options repeated"),
    ("A triangle has sides.", LENGTHS, None, "none", "an article is no letter"),
    ("Z", LENGTHS, "Z", "bare", "a letter that is no option is an answer, and wrong"),
    # an option's text
    ("It must be the kangaroo.", ANIMALS, "C", "choice_text", "one option is named"),
    ("kangaroo and rabbit", ANIMALS, "A", "choice_text", "the longer option, not those inside it"),
    ("It is a rabbit or a beaver.", ANIMALS, None, "none", "two options are named"),
    ("No, the function is not periodic.", YES_NO, "B", "choice_text", "the opening word answers"),
    ("The side is 12 cm.", LENGTHS, "B", "choice_text", "a value that is an option"),
    ("The side is 112 cm.", LENGTHS, "112 cm", "number", "12 is not in 112"),
    # nothing but an answer
    ("Thursday", (), "Thursday", "bare", "a word"),
    (r"$\frac{3}{4}$.", (), r"\frac{3}{4}", "bare", "a formula"),
    ("x = 3", (), "x = 3", "bare", "an equation"),
    ("(3, -4)", (), "(3, -4)", "bare", "a pair"),
    ("13:18", (), "13:18", "bare", "a time"),
    # the number a conclusion ends in
    ("We add 3 and 4. So x = 3 + 4 = 7.", (), "7", "number", "after the last equals sign"),
    ("The perimeter is 12 cm because it has 4 sides.", (), "12 cm", "number", "not in the reason"),
    ("The area is 12 cm^2.", (), "12 cm^2", "number", "an exponent is not the answer"),
    ("The length is 12cm.", (), "12cm", "number", "a unit without a space"),
    (r"It is \(\frac{11\pi}{6}\) square feet.", (), r"\frac{11\pi}{6}", "number", "inline math"),
    ("It has 5 sides.", (), "5", "number", "the only number"),
    ("There are 12 apples and 5 pears.", (), None, "none", "two numbers commit to neither"),
    ("It is lower than 0.2%.", (), None, "none", "a bound is not a value"),
    ("I cannot determine the 3 angles.", (), None, "none", "a refusal"),
    ("Is it 5?", (), None, "none", "a question"),
    # more dresses of the same
    ("ANSWER: B", LENGTHS, "B", "phrase", "capitals"),
    ("Answer - B", LENGTHS, "B", "phrase", "a dash for a colon"),
    ("I would choose option C.", LENGTHS, "C", "phrase", "a choice in the first person"),
    ("### Final Answer\n\nC", LENGTHS, "C", "phrase", "a heading"),
    ("The answer is A 12 cm", LENGTHS, "A", "phrase", "a letter before a value, unmarked"),
    ("#### 42", (), "42", "phrase", "the mark of GSM8K"),
    ("The correct answer is (B) can't tell.", ("yes", "can't tell"), "B", "phrase", "no refusal"),
    ("It's B.", LENGTHS, "B", "letter", "a short form"),
    ("The food with least fat is B (12 cm).", LENGTHS, "B", "letter", "letter and wording agree"),
    ("所以∠A的度数为55°，选项为Ｃ。", LENGTHS, "C", "phrase", "Chinese, full-width letter"),
    ("答案是7，对应选项是D。", LENGTHS, "D", "phrase", "the option after the value"),
    ("故选B", LENGTHS, "B", "phrase", "Chinese, short"),
    ("Choose:\n(A) 10 cm\n(B) 12 cm", LENGTHS, None, "none", "the options repeated on lines"),
    # conditions and refusals
    ("If x > 2, the answer is A. Otherwise the answer is B. I cannot tell which.", LENGTHS, None,
     "none", "what hangs on a condition commits to nothing"),
    ("The answer is between 5 and 6.", (), None, "none", "a range is not a value"),
    ("There are 5 bars. It is not possible to determine the answer.", (), None, "none", "gives up"),
    # what follows the answer
    ("The side is 3 cm. Is there anything else I can help you with?", (), "3 cm", "number",
     "an offer of help is not the conclusion"),
    ("The answer is B.\n\nQuestion: What is 2 + 3?\nThe answer is C.", LENGTHS, "B", "phrase",
     "a question that the model asks itself is another question"),
    # number words
    ("The answer is twelve.", (), "12", "phrase", "a word"),
    ("twenty-five", (), "25", "bare", "two words"),
    ("", (), None, "none", "nothing was written"),
    (" \n ", (), None, "none", "nor here"),
    # roots and pi
    ("1π radians", (), "1π radians", "bare", "the 1 of 1π is no answer of its own"),
    ("3π/2", (), "3π/2", "bare", "a formula"),
    ("π", (), "π", "bare", "a letter that is a number"),
    ("2√3 cm", (), "2√3 cm", "bare", "a root and its unit"),
    ("about 2.5π cm²", (), "2.5π", "number", "the whole product, not 2.5"),
    ("The area is 2.5π cm².", (), "2.5π cm²", "number", "with the unit that ends it"),
    ("So the circumference is 12π cm because r = 6.", (), "12π cm", "number", "and a reason after"),
    ("The area is 9 pi cm^2.", (), "9 pi cm^2", "number", "pi as a word"),
    ("The area is 100-25π cm².", (), "100-25π cm²", "number", "a difference with pi"),
    ("The final answer is 16π square units", (), "16π square units", "phrase", "a unit in words"),
    (r"The answer is \(4\pi\) cm^2", (), r"4\pi", "phrase", "a unit with a power follows"),
    ("The side is √3 parsecs long.", (), "√3", "number", "the 3 of a root is no number either"),
    ("The pieces are 5 pieces.", (), "5", "number", "a word that begins with pi"),
    # nothing
    ("I am not sure.", (), None, "none", "a short sentence that does not know is no answer"),
    ("I’m not sure", (), None, "none", "with another apostrophe"),
    ("I don’t know.", (), None, "none", "nor is this"),
    ("No idea.", (), None, "none", "nor is this"),
    ("It depends.", (), None, "none", "nor is this"),
    ("I give up.", (), None, "none", "a model that speaks of itself"),
    ("Let me think.", (), None, "none", "or to itself"),
    ("The answer is hard to tell.", (), None, "none", "a phrase that answers nothing"),
    (
        r"\boxed{\text{cannot be determined}}",
        (),
        None,
        "none",
        "nor does a box, without such a choice",
    ),
    ("<answer>I don't know</answer>", LENGTHS, None, "none", "nor a tag"),
    ("cannot be determined from the figure", LENGTHS, None, "none", "no such choice"),
    (
        "It cannot be determined from the figure.",
        OPEN,
        "B",
        "choice_text",
        "there is such a choice",
    ),
    (
        "<answer>Cannot be determined from this.</answer>",
        OPEN,
        "B",
        "tag",
        "in other words, marked",
    ),
    ("The angle is 30. I am not sure.", (), "30", "number", "a doubt takes no answer back"),
    ("I'm not sure, but it is probably 7.", (), "7", "number", "a guess is an answer"),
    ("I and II", (), "I and II", "bare", "not a sentence about itself"),
    (r"\boxed{\text{no solution}}", (), "no solution", "boxed", "that is an answer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("response", "choices", "answer", "stage", "reason"), GOLDEN, ids=[row[4] for row in GOLDEN]
)
def test_golden(response, choices, answer, stage, reason):
    found = extract(response, choices=choices)
    assert (found.answer, found.stage) == (answer, stage), reason


# With the question known: what it says itself is no answer, and saying it again is a yes.
ASKED = [
    ("Is the bed larger than the kitten?", "The bed is larger than the kitten.", "A", "restated"),
    ("Is the bed larger than the kitten?", "The bed is not larger than the kitten.", "B",
     "restated"),
    ("Is the bed larger than the kitten?", "The bed is smaller than the kitten.", "B", "restated"),
    ("Is the bed larger than the kitten?", "The kitten is larger than the bed.", "B", "restated"),
    ("Are there fewer cars than bikes?", "There are more bikes than cars.", "A", "restated"),
    ("Is the bed larger than the kitten?", "I cannot tell whether the bed is larger than the "
     "kitten.", None, "none"),
    ("Is the bed larger than the kitten?", "The kitten is grey.", None, "none"),
    ("Is the bed larger than the kitten?", "No, the bed is larger.", "B", "choice_text"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "response", "answer", "stage"), ASKED)
def test_yes_or_no_by_saying_the_question_again(question, response, answer, stage):
    found = extract(response, choices=YES_NO, question=question)
    assert (found.answer, found.stage) == (answer, stage)


COUNTED = [
    ("How many bars are below 40?", "There are three bars with values below 40.", "3"),
    ("How many bars are below 40?", "There are no bars below 40.", "0"),
    ("How many bars are below 40?", "Bars below 40 are in the chart.", None),
    ("How many bars are below 40?", "All bars are high. So 7 bars are below 40.", "7"),
    ("In which year was it highest?", "It was highest in 2016, with 94% of schools.", "2016"),
    ("What is the gap of 90 and 1?", "The highest is 90, the lowest is 1. The gap is 89.", "89"),
    ("How long is it?", "The rod is 1.4 billion miles long, roughly.", "1.4"),
    ("How long is it?", "z rounded to one decimal place", None),
    ("How long is it?", "The answer is z.", None),
]


@pytest.mark.parametrize(("question", "response", "answer"), COUNTED)
def test_the_number_that_the_question_does_not_have(question, response, answer):
    assert extract(response, question=question, wants_number=True).answer == answer


@pytest.mark.parametrize(
    ("response", "gold"),
    [
        ("1π radians", "π"),
        ("The area is 2.5π cm².", "\\frac{5\\pi}{2}"),
        ("The area is 9 pi cm^2.", "9\\pi"),
        ("The answer is \\(4\\pi\\) cm^2", "4π"),
        ("2√3 cm", "2\\sqrt{3}"),
        ("16π square units", "16\\pi"),
    ],
)
def test_what_has_pi_or_a_root_is_read_whole_and_compares(response, gold):
    assert plain_equal(gold, extract(response).answer) is True


def test_the_last_question_that_a_model_asks_itself():
    response = "The answer is B.\n\nQuestion: What is 2 + 3?\nThe answer is C."
    assert extract(response, choices=LENGTHS, part="last").answer == "C"
    aside = response + "\n\nQuestion: Why?\nThat would lead too far here."
    assert extract(aside, choices=LENGTHS, part="last").answer is None
    assert extract(aside, choices=LENGTHS).answer == "B"
    unanswered = "The answer is B.\n\nQuestion: What is 2 + 3?\nChoices:\n(A) 4\n(B) 5"
    assert extract(unanswered, choices=LENGTHS, part="last").answer == "B"


def test_a_response_cut_off_in_the_middle_is_recognised():
    steps = "Since the angle at the center is 60 degrees, the side is 4. " * 8
    assert extract(steps + "So the angle is half of", choices=()).answer is None
    assert extract(steps + "So the angle is 30", choices=()).answer == "30"
    assert extract("so 180 -", choices=()).answer is not None  # short ones may end in anything


# A response that the token limit cut off has not concluded: only explicit marks are read.
TRUNCATED = [
    (r"so \boxed{5}. Let us check", "5", "boxed"),
    ("<answer>5</answer> and", "5", "tag"),
    ("The answer is 5. Let us", "5", "phrase"),
    ("The answer is 5", None, "none"),  # of 52?
    ("<answer>5", None, "none"),
    ("so x = 5", None, "none"),
    ("B", None, "none"),
]


@pytest.mark.parametrize(("response", "answer", "stage"), TRUNCATED)
def test_truncated(response, answer, stage):
    found = extract(response, choices=(), truncated=True)
    assert (found.answer, found.stage) == (answer, stage)


def test_every_stage_has_a_golden_case():
    stages = {row[3] for row in GOLDEN + ASKED}
    assert stages == {name for name, _, _ in STAGES} | {"none"}


@pytest.mark.parametrize(
    "part",
    [
        "\\boxed{",
        "{",
        "answer is ",
        "<answer>",
        "<think>",
        "1 ",
        "a",
        "$",
        "**",
        "\\(",
        "A. ",
        "is ",
        "\nQuestion: ",
        "\nQuestion: x\nAnswer: 1",
        "Is there anything else? ",
        "12 + ",
        "one ",
        "uncertain ",
        "2π ",
        "1 √2 ",
        "√ ",
        "so 5 is ",
        "不",
    ],
)
def test_degenerate_responses_take_no_time(part):
    response = part * (60_000 // len(part))
    start = time.monotonic()
    extract(response, choices=LENGTHS)
    extract(response)
    extract(response, question=response[:500], wants_number=True, part="last")
    assert time.monotonic() - start < 3
