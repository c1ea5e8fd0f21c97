"""What responses look like, whatever they answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.evals.stats import form_asked, repeats, summarise, traits_of
from mmdft.records import Example, Extraction, Prediction, Verdict

SENTENCE = "So the angle at the vertex must be sixty degrees because all sides are equal. "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("The answer is 60.", False),
        (SENTENCE * 3, False),  # three rounds
        (SENTENCE * 4, True),
        ("First, look at the sides. " + SENTENCE * 5 + "So the angle at", True),  # cut in a round
        (SENTENCE * 8 + "The answer is \\boxed{60}.", False),  # it went in circles, and got out
        ("0.3" + "3" * 118, False),
        ("0.3" + "3" * 119, True),
        ("no " * 39, False),  # 117 characters
        ("no " * 40, True),
        ("a\n\n b " * 40, True),  # white space of any length is one space
        (" ".join(str(i) for i in range(400)), False),
        ("x" * 50 + ("y" * 199 + "z") * 4, True),
        ("x" * 50 + ("y" * 200 + "z") * 4, False),  # a period of 201
    ],
)
def test_repetition(text, expected):
    assert repeats(text) is expected


@given(st.text(max_size=30), st.text(alphabet="abc ", min_size=1, max_size=200))
def test_four_rounds_are_repetition(before, passage):
    passage = " ".join(passage.split())
    rounds = max(4, -(-121 // (len(passage) + 1)) + 1)
    if passage:
        assert repeats(before + " " + " ".join([passage] * (rounds + 1)))


def test_forms():
    boxed, answer_json = form_asked("mathvision"), form_asked("dynamath")
    assert boxed(r"so \boxed{5}") and boxed(r"<think>hm</think> <answer>\boxed{5}</answer>")
    assert not boxed("so 5") and not boxed(r"so \boxed{5") and not boxed("")
    assert not boxed(r"<think>perhaps \boxed{5}</think> it is 5")
    assert answer_json('{"solution": "a", "short answer": "5"}')
    assert not answer_json("5") and not answer_json('{"short answer": ""}')
    marked = form_asked("wemath")
    assert marked("<Thought process>: <<a>> <Answer>: <<B>>")
    assert not marked("<Answer>: <<") and not marked("Answer: B")
    assert form_asked("figures") is None


def test_rates():
    predictions = [
        Prediction(id="0", response=r"\boxed{1}", num_tokens=10),
        Prediction(id="1", response="no " * 100, num_tokens=100, truncated=True),
        Prediction(id="2", response="none"),
        Prediction(id="3", response=""),
    ]
    verdicts = [
        Verdict(id=p.id, rules="r", status=status, gold="1",
                extraction=Extraction(answer=None, stage="none"))
        for p, status in zip(predictions, ("correct", "no_answer", "no_answer", "wrong"),
                             strict=True)
    ]  # fmt: skip
    examples = [Example(id=p.id, turns=(), category="ab"[int(p.id) % 2]) for p in predictions]
    traits = traits_of(predictions, form_asked("mathvision"))
    found = summarise(examples, predictions, verdicts, traits=traits, breakdowns=["category"])
    assert (found.no_answer_rate, found.truncated_rate) == (0.5, 0.25)
    assert (found.format_rate, found.repetition_rate) == (0.25, 0.25)
    assert found.mean_tokens == 55  # of the two that are known
    assert found.mean_characters == (9 + 300 + 4 + 0) / 4
    a, b = found.breakdowns["category"]["a"], found.breakdowns["category"]["b"]
    assert (a.format_rate, b.format_rate) == (0.5, 0.0)
    assert (a.repetition_rate, b.repetition_rate) == (0.0, 0.5)
    bare = summarise(examples, predictions, verdicts)
    assert bare.format_rate is None  # no form was asked for
    assert bare.repetition_rate == 0.25
    assert np.array_equal(traits.characters, [9, 300, 4, 0])
