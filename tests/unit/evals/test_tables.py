from mmdft.evals.benchmarks import Score
from mmdft.evals.stats import summarise
from mmdft.evals.tables import results_markdown
from mmdft.records import Example, Extraction, Prediction, Verdict

HEAD = {"benchmark": "figures", "citation": "ours", "partial": False, "missing": 0}


def test_nothing_scored_is_shown_as_dashes():
    empty = summarise([], [], []).as_dict()
    text = results_markdown(HEAD | {"rules": {"exact": empty}})
    assert "| exact | 0 | - | - | - | - | - | 0 | 0 | 0 |" in text
    assert "| all | 0 | - | - | - | - | - | - |" in text
    assert "Partial" not in text and "power" not in text
    assert text.endswith("Data: ours\n")


def test_text_does_not_become_markup():
    part = summarise([], [], []).as_dict()
    groups = {"|x|": part, "": part, "<script>": part, "a\nb": part, "*b*": part}
    text = results_markdown(
        HEAD | {"rules": {"exact": part | {"breakdowns": {"category": groups}}}}
    )
    assert "| \\|x\\| | 0 |" in text
    assert "| (none) | 0 |" in text
    assert "| \\<script> | 0 |" in text
    assert "| a b | 0 |" in text
    assert "| \\*b\\* | 0 |" in text


def test_the_figures_of_a_small_run():
    examples = [Example(id=str(i), turns=(), answer="1") for i in range(4)]
    predictions = [
        Prediction(id="0", response="a" * 10, num_tokens=5),
        Prediction(id="1", response="so " * 100, num_tokens=7, truncated=True),
        Prediction(id="2", response=""),
        Prediction(id="3", response="1", num_tokens=6),
    ]
    verdicts = [
        Verdict(id=p.id, rules="exact", status=s, extraction=Extraction(answer=None, stage="none"),
                gold="1")
        for p, s in zip(predictions, ("correct", "wrong", "no_answer", "wrong"), strict=True)
    ]  # fmt: skip
    ones = Score(name="ones", counts=lambda rows: (1.0,), value=lambda sums: sums[0] / 4)
    found = summarise(examples, predictions, verdicts, floor=0.16, scores=[ones]).as_dict()
    text = results_markdown(HEAD | {"rules": {"exact": found}})
    assert "| exact | 4 | 25.0 | 21.7 | 4.6 to 69.9 | - | 16.0 | 1 | 0 | 0 |" in text
    # sqrt(2) * 2.8016 * 0.2165
    assert "a difference of 85.8 points (exact)" in text
    assert "| ones | exact | 100.0 | - | - | - |" in text
    # (10 + 300 + 0 + 1) / 4 characters; the tokens of the three that have some
    assert "| all | 4 | 25.0 | 25.0 | - | 25.0 | 6 | 78 |" in text


def test_the_scores_of_repeated_answers():
    examples = [Example(id=i, turns=(), answer="1") for i in "ab"]
    statuses = {"a": ("correct", "wrong"), "b": ("wrong",)}
    verdicts = [
        Verdict(id=i, rules="exact", status=status, gold="1", sample=sample,
                extraction=Extraction(answer="1" if status == "correct" else "2", stage="bare"))
        for i, judged in statuses.items()
        for sample, status in enumerate(judged)
    ]  # fmt: skip
    predictions = [Prediction(id=v.id, response="", sample=v.sample) for v in verdicts]
    found = summarise(examples, predictions, verdicts).as_dict()
    text = results_markdown(HEAD | {"rules": {"exact": found}})
    assert "| avg@2 | exact | 33.3 | 15.7 | 6.1 to 79.2 | 2 | 0 |" in text
    assert "| pass@2 | exact | 100.0 | 0.0 | 20.7 to 100.0 | 1 | 1 |" in text
    assert "| majority@2 | exact | 25.0 | 17.7 | " in text
    assert "equally frequent ones share the item" in text
    single = summarise(examples, predictions[1:], verdicts[1:]).as_dict()
    assert "samples" not in single
    assert "majority" not in results_markdown(HEAD | {"rules": {"exact": single}})


def test_what_is_open_has_a_range():
    examples = [Example(id=str(i), turns=(), answer="1", category="c") for i in range(4)]
    predictions = [Prediction(id=str(i), response="Hard to say.") for i in range(4)]
    verdicts = [
        Verdict(id=p.id, rules="strict", status=s, extraction=Extraction(answer=None, stage="none"),
                gold="1")
        for p, s in zip(predictions, ("correct", "unscored", "no_answer", "wrong"), strict=True)
    ]  # fmt: skip
    half = Score(
        name="half",
        counts=lambda rows: (sum(v.status == "correct" for _, v in rows),),
        value=lambda sums: sums[0] / 8,
    )
    found = summarise(examples, predictions, verdicts, breakdowns=["category"], scores=[half])
    headline = {"name": "half", "rules": "strict", "n": 4, "open": 2}
    headline |= found.as_dict()["scores"]["half"]
    text = results_markdown(HEAD | {"headline": headline, "rules": {"strict": found.as_dict()}})
    low, high = found.scores["half"].interval
    expected = f"95 % interval {100 * low:.1f} to {100 * high:.1f}; strict rules; n = 4"
    assert f"**half: 12.5 % ± 10.8 ({expected}; 2 open, range 12.5 to 37.5)**" in text
    # 1 of 3 scored; of 4, 1 or 3
    assert "| strict | 4 | 33.3 | 27.2 | 6.1 to 79.2 | 25.0 to 75.0 | - | 1 | 2 | 1 |" in text
    assert "| c | 4 | 33.3 | 27.2 | 6.1 to 79.2 | 25.0 to 75.0 | 1 | 1 |" in text
    assert " | 12.5 to 37.5 |" in text
