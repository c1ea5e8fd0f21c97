from mmdft.evals.benchmarks import Score
from mmdft.evals.stats import summarise
from mmdft.evals.tables import results_markdown
from mmdft.records import Example, Extraction, Prediction, Verdict

HEAD = {"benchmark": "figures", "citation": "ours", "partial": False, "missing": 0}


def test_nothing_scored_is_shown_as_dashes():
    empty = summarise([], [], []).as_dict()
    text = results_markdown(HEAD | {"rules": {"exact": empty}})
    assert "| exact | 0 | - | - | - | - | 0 | 0 |" in text
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
    assert "| exact | 4 | 25.0 | 21.7 | 4.6 to 69.9 | 16.0 | 1 | 0 |" in text
    # sqrt(2) * 2.8016 * 0.2165
    assert "a difference of 85.8 points (exact)" in text
    assert "| ones | exact | 100.0 | - | - |" in text
    # (10 + 300 + 0 + 1) / 4 characters; the tokens of the three that have some
    assert "| all | 4 | 25.0 | 25.0 | - | 25.0 | 6 | 78 |" in text
