import gzip
import json

import pytest

from mmdft.errors import DataError
from mmdft.evals.benchmarks import BENCHMARKS
from mmdft.evals.scoring import score_file

META = {"source": "PlotQA", "task": "figure question answering", "category": "general-vqa",
        "context": "bar chart", "grade": "daily life", "language": "english",
        "skills": ["statistical reasoning"], "split": "testmini", "img_width": 9}  # fmt: skip
CHOICE = {"pid": "1", "question": "Which?", "image": "images/1.jpg", "choices": ["a", "b"],
          "unit": None, "precision": None, "answer": "b", "question_type": "multi_choice",
          "answer_type": "text", "metadata": META}  # fmt: skip
FLOAT = {**CHOICE, "pid": "2", "choices": None, "answer": "1.2", "answer_type": "float",
         "precision": 1.0, "unit": "g", "question_type": "free_form"}  # fmt: skip
INTEGER = {**FLOAT, "pid": "3", "answer": "5", "answer_type": "integer", "precision": None,
           "query": "As asked."}  # fmt: skip
LIST = {**INTEGER, "pid": "4", "answer": "[1, 2]", "answer_type": "list", "unit": None}
LIST = {key: value for key, value in LIST.items() if key != "query"}
ROWS = (CHOICE, FLOAT, INTEGER, LIST)


def write(path, rows):
    keyed = {row["pid"]: {k: v for k, v in row.items() if k != "pid"} for row in rows}
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    content = (lines if ".jsonl" in path.name else json.dumps(keyed)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def load(path, **options):
    return BENCHMARKS["mathvista"].load(path, images=False, **options)


def test_every_published_form_gives_the_same(tmp_path):
    names = ("testmini.json", "testmini.jsonl", "x.json.gz", "x.jsonl.gz")
    loaded = [load(write(tmp_path / name, ROWS)) for name in names]
    assert all(examples == loaded[0] for examples in loaded)
    assert load(tmp_path / "testmini.json", limit=2) == loaded[0][:2]


def test_example(tmp_path):
    first, second, third, fourth = load(write(tmp_path / "testmini.jsonl", ROWS))
    assert (first.id, first.answer, first.choices) == ("1", "b", ("a", "b"))
    assert first.category == "general-vqa"
    kept = ("source", "task", "category", "context", "grade", "language", "skills")
    assert first.meta == {
        "question_type": "multi_choice",
        "answer_type": "text",
        "precision": None,
        "unit": None,
        **{key: META[key] for key in kept},
    }
    assert first.turns[0].text == (
        "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, "
        "D, at the end.\nQuestion: Which?\nChoices:\n(A) a\n(B) b"
    )
    assert second.turns[0].text == (
        "Hint: Please answer the question requiring a floating-point number with one decimal "
        "place and provide the final value, e.g., 1.2, 1.3, 1.4, at the end.\n"
        "Question: Which? (Unit: g)"
    )
    assert (second.meta["precision"], second.meta["unit"]) == (1, "g")
    assert third.turns[0].text == "As asked."
    assert "Python list" in fourth.turns[0].text


def test_images_lie_beside_the_file(tmp_path):
    source = write(tmp_path / "testmini.json", [CHOICE])
    with pytest.raises(DataError, match=r"images/1\.jpg: no such file"):
        BENCHMARKS["mathvista"].load(source)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").touch()
    (example,) = BENCHMARKS["mathvista"].load(tmp_path)
    assert example.images[0].path == tmp_path / "images" / "1.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_type": "number"}, "'answer_type' is 'number'"),
        ({"answer": "c"}, "answer 'c' is none of the choices"),
        ({"choices": "a"}, "'choices' must be a list"),
        ({"choices": None, "answer_type": "float"}, "'precision' of a float must be 1 or 2"),
        ({"choices": None, "answer": "5"}, "without choices cannot have the answer type 'text'"),
        ({"question": None}, "'question' must be a text"),
        ({"pid": None}, "'pid' or 'index' must be a text"),
        ({"metadata": []}, None),
        ({"metadata": "x"}, "'metadata' must be an object"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    path = write(tmp_path / "testmini.jsonl", [{**CHOICE, **change}])
    if message is None:
        assert load(path)
        return
    with pytest.raises(DataError, match=message) as error:
        load(path)
    assert "testmini.jsonl:1" in str(error.value)


def test_withheld_golds_give_a_labelled_result(tmp_path):
    data = write(tmp_path / "test.json", [{**CHOICE, "answer": ""}, FLOAT])
    source = tmp_path / "p.jsonl"
    source.write_text('{"id": "1", "response": "B"}\n{"id": "2", "response": "It is 1.23 g."}\n')
    out = tmp_path / "out.jsonl"
    summary = score_file(source, benchmark="mathvista", data=data, out=out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert set(rows[0]["verdicts"].values()) == {None}
    assert rows[0]["details"]["official"] == "the benchmark gives no gold answer"
    assert (rows[1]["extraction"], rows[1]["stage"]) == ("1.23", "number")
    assert rows[1]["verdicts"] == {
        "official": True, "strict": True, "vlmevalkit": None, "lmms_eval": False, "symbolic": True,
    }  # fmt: skip
    assert summary["withheld"] == 1
    assert summary["rules"]["official"]["unscored"] == 1


def test_scoring_loads_no_torch(tmp_path):
    import subprocess
    import sys

    data = write(tmp_path / "testmini.json", ROWS)
    (tmp_path / "p.jsonl").write_text('{"id": "1", "response": "B"}\n')
    code = (
        "import sys\nfrom pathlib import Path\nfrom mmdft.evals.scoring import score_file\n"
        f"root = Path({str(tmp_path)!r})\n"
        f"score_file(root / 'p.jsonl', benchmark='mathvista', data=root / {data.name!r}, "
        "out=root / 'o.jsonl')\n"
        "print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
