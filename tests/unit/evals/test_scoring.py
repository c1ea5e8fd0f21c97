import json
import subprocess
import sys

import pytest

from mmdft.errors import DataError
from mmdft.evals.scoring import read_predictions, score, score_file
from mmdft.evals.tables import results_markdown
from mmdft.records import Example, Prediction

ROWS = [
    {"id": "1", "question": "?", "options": [], "answer": "60", "level": 2, "subject": "counting"},
    {"id": "2", "question": "?", "options": ["5 cm", "6 cm"], "answer": "B", "level": 1,
     "subject": "length"},
    {"id": "3", "question": "?", "options": [], "answer": None, "level": 1, "subject": "length"},
    {"id": "4", "question": "?", "options": [], "answer": "7", "level": 1, "subject": "length"},
]  # fmt: skip


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def run(tmp_path):
    data = jsonl(tmp_path / "test.jsonl", ROWS)

    def scored(predictions, **options):
        source = jsonl(tmp_path / "predictions.jsonl", predictions)
        out = tmp_path / "out" / "scored.jsonl"
        summary = score_file(source, benchmark="mathvision", data=data, out=out, **options)
        return summary, [json.loads(line) for line in out.read_text().splitlines()]

    return scored


def test_score_file(run):
    summary, rows = run(
        [
            {"id": "1", "response": r"\boxed{60}", "num_tokens": 8},
            {"id": 2, "response": "It is a nice figure to look at.", "truncated": True},
            {"id": "3", "response": "5"},
        ],
        rules=["official", "strict"],
    )
    assert rows[0] == {
        "id": "1",
        "sample": 0,
        "extraction": "60",
        "stage": "official",
        "gold": "60",
        "verdicts": {"official": True, "strict": True},
        "status": {"official": "correct", "strict": "correct"},
        "extractions": {
            "official": {"answer": "60", "stage": "official"},
            "strict": {"answer": "60", "stage": "boxed"},
        },
    }
    assert rows[1]["verdicts"] == {"official": False, "strict": False}
    assert rows[1]["status"] == {"official": "wrong", "strict": "no_answer"}
    assert rows[1]["details"] == {"strict": "the response was cut off"}
    assert rows[2]["verdicts"] == {"official": None, "strict": None}
    assert (summary["n_benchmark"], summary["missing"], summary["partial"]) == (4, 1, True)
    assert summary["withheld"] == 1
    assert list(summary["rules"]) == ["official", "strict"]
    assert summary["rules"]["strict"]["accuracy"] == 0.5  # the missing item is not counted wrong
    assert summary["rules"]["strict"]["unscored"] == 1
    # The item without a gold is not in it, and a response that was cut off is not open.
    assert summary["rules"]["strict"]["range"] == [0.5, 0.5]
    assert summary["headline"] == {
        "name": "accuracy",
        "rules": "official",
        "value": 0.5,
        "standard_error": summary["rules"]["official"]["standard_error"],
        "interval": summary["rules"]["official"]["interval"],
        "range": [0.5, 0.5],
        "n": 3,
        "open": 0,
    }
    json.dumps(summary)


def test_one_rule_set(run):
    summary, rows = run([{"id": "2", "response": "no idea at all, to be honest"}], rules=["strict"])
    assert list(summary["rules"]) == ["strict"]
    assert (rows[0]["extraction"], rows[0]["stage"]) == (None, "none")
    assert "extractions" not in rows[0]


def test_complete_is_not_partial(run):
    summary, _ = run([{"id": row["id"], "response": "5"} for row in ROWS])
    assert (summary["missing"], summary["partial"]) == (0, False)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "no predictions"),
        ([{"id": "9", "response": "5"}], "has no such id"),
        ([{"id": "1", "response": "5"}] * 2, "appears twice as sample 0"),
        ([{"id": "1"}], "'response' must be a text"),
        ([{"id": "1", "response": None}], "'response' must be a text"),
        ([{"response": "5"}], "'id'"),
        ([{"id": "1", "response": "5", "sample": -1}], "'sample'"),
        ([{"id": "1", "response": "5", "truncated": "no"}], "'truncated'"),
        ([[1]], "expected a JSON object"),
    ],
)
def test_bad_predictions_are_named(run, predictions, message):
    with pytest.raises(DataError, match=message) as error:
        run(predictions)
    assert "predictions.jsonl" in str(error.value)


def test_a_failure_leaves_the_old_file(run, tmp_path):
    run([{"id": "1", "response": "5"}])
    before = (tmp_path / "out" / "scored.jsonl").read_text()
    with pytest.raises(DataError):
        run([{"id": "9", "response": "5"}])
    assert (tmp_path / "out" / "scored.jsonl").read_text() == before


def test_wrong_names(run):
    with pytest.raises(DataError, match="official, strict"):
        run([{"id": "1", "response": "5"}], rules=["lenient"])
    with pytest.raises(DataError, match="no rule set given"):
        run([{"id": "1", "response": "5"}], rules=[])
    with pytest.raises(DataError, match="no benchmark"):
        score("x", [], [], "exact")


def test_samples_of_one_item_are_scored_each(run):
    summary, rows = run([{"id": "1", "response": str(60 + i), "sample": i} for i in range(3)])
    assert [row["verdicts"]["strict"] for row in rows] == [True, False, False]
    assert summary["rules"]["strict"]["clusters"] == 1


def test_score_keeps_the_order_of_the_predictions():
    examples = [Example(id=str(i), turns=(), answer=str(i)) for i in range(3)]
    predictions = [Prediction(id=i, response=i) for i in ("2", "0")]
    verdicts = score("figures", examples, predictions, "exact")
    assert [(v.id, v.status) for v in verdicts] == [("2", "correct"), ("0", "correct")]


def test_read_predictions(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", [{"id": 1, "response": "x", "sample": 2, "model": "m"}])
    assert read_predictions(path) == [Prediction(id="1", response="x", sample=2)]
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "none.jsonl")


def test_markdown(run):
    summary, _ = run([{"id": "1", "response": "60"}, {"id": "2", "response": "A"}])
    text = results_markdown(summary)
    assert "**Partial:** 2 of 4 items have no prediction." in text
    assert "| official | 2 | 50.0 | 35.4 | 9.5 to 90.5 | - | 0.0 | 0 | 0 | 0 |" in text
    headline = "accuracy: 50.0 % ± 35.4 (95 % interval 9.5 to 90.5; official rules; n = 2)"
    assert text.startswith(f"# mathvision\n\n**{headline}**\n")
    assert "## By subject (official)" in text
    assert "| counting | 1 | 100.0 |" in text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 5
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_nothing_here_imports_torch():
    modules = (
        "benchmarks choices extract numeric plain question rules scoring stats symbolic tables"
    )
    code = "import sys\n" + "".join(f"import mmdft.evals.{name}\n" for name in modules.split())
    code += "print([m for m in ('torch', 'transformers', 'sympy', 'datasets') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_verdicts_may_not_replace_an_input(tmp_path):
    predictions, data = tmp_path / "p.jsonl", tmp_path / "data.jsonl"
    predictions.write_text('{"id": "a", "response": "Answer: 3"}\n')
    data.write_text('{"id": "a", "question": "How many?", "answer": "3"}\n')
    for out in (predictions, data):
        with pytest.raises(DataError, match="is an input"):
            score_file(predictions, benchmark="figures", data=data, out=out)
    assert "response" in predictions.read_text() and "question" in data.read_text()


def test_the_headline_is_the_number_that_the_authors_report(tmp_path):
    """ChartQA's is the mean of its halves: 1 of 1 and 1 of 3 here, the third of which is open."""
    halves = ("human_test", "augmented_test", "augmented_test", "augmented_test")
    data = jsonl(
        tmp_path / "test.jsonl",
        [
            {"id": str(i), "question": "?", "answer": "7", "type": half, "image": "x.png"}
            for i, half in enumerate(halves)
        ],
    )
    responses = ("7", "7", "8", "The red bar is the longest one here.")
    source = jsonl(
        tmp_path / "p.jsonl", [{"id": str(i), "response": r} for i, r in enumerate(responses)]
    )
    summary = score_file(
        source, benchmark="chartqa", data=data, out=tmp_path / "v.jsonl", rules=["strict"]
    )
    headline = summary["headline"]
    assert (headline["name"], headline["rules"]) == ("mean of halves", "strict")
    assert headline["value"] == pytest.approx((1 + 1 / 3) / 2)
    assert headline["range"] == pytest.approx([(1 + 1 / 3) / 2, (1 + 2 / 3) / 2])
    assert (headline["n"], headline["open"]) == (4, 1)
    assert summary["rules"]["strict"]["accuracy"] == 0.5
    assert results_markdown(summary).startswith("# chartqa\n\n**mean of halves: 66.7 %")
