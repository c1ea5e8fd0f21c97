import gzip
import json
from pathlib import Path

import pytest

from mmdft.errors import DataError
from mmdft.evals.benchmarks import BENCHMARKS, benchmark_named
from mmdft.evals.benchmarks.mathvision import PROMPT as MATHVISION_PROMPT
from mmdft.evals.rules import RULES
from mmdft.records import ImageRef

FIGURES_ROW = {
    "id": "a",
    "images": ["img/a.png"],
    "question": "How long is AB?",
    "answer": "12",
    "choices": ["10", "12"],
    "category": "length",
    "meta": {"level": 1},
}
MATHVISION_ROW = {
    "id": "7",
    "question": "How many?\n<image1>",
    "options": [],
    "answer": "6",
    "level": 2,
    "subject": "counting",
    "image": "images/7.jpg",
}
DYNAMATH_ROW = {
    "question": "Is it? choice: (A) Yes (B) No",
    "answer": "B",
    "image": "image/image1.png",
    "answer_type": "multiple choice",
    "subject": "analytic     geometry",
    "level": "high school",
}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for name in ("img/a.png", "images/7.jpg", "image/image1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not opened here")
    return root


def write(root: Path, name: str, *rows: dict) -> Path:
    root.mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    raw = text.encode()
    (root / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return root


def load(name, path, **options):
    return BENCHMARKS[name].load(path, **options)


def test_figures(folder):
    (example,) = load("figures", write(folder, "x.jsonl", FIGURES_ROW))
    (turn,) = example.turns
    assert turn.role == "user"
    assert turn.parts == (
        ImageRef(path=(folder / "img/a.png").resolve()),
        "How long is AB?\n(A) 10\n(B) 12",
    )
    assert (example.answer, example.choices, example.category) == ("12", ("10", "12"), "length")
    assert example.meta == {"level": 1}


def test_figures_without_choices_asks_the_question_alone(folder):
    row = {k: v for k, v in FIGURES_ROW.items() if k not in ("choices", "meta", "category")}
    (example,) = load("figures", write(folder, "x.jsonl", row))
    assert example.turns[0].text == "How long is AB?"


def test_mathvision(folder):
    options = MATHVISION_ROW | {"id": "8", "options": ["1", "2"], "answer": "A"}
    drawn = MATHVISION_ROW | {"id": "9", "options": list("ABCDE"), "answer": "A"}
    free, listed, lettered = load(
        "mathvision", write(folder, "testmini.jsonl", MATHVISION_ROW, options, drawn)
    )
    assert free.turns[0].parts[1] == MATHVISION_PROMPT + "How many?\n<image1>"
    assert isinstance(free.turns[0].parts[0], ImageRef)
    assert listed.turns[0].text.endswith("<image1>\n(A) 1\n(B) 2")
    assert lettered.turns[0].text == free.turns[0].text
    assert lettered.choices == tuple("ABCDE")
    assert free.meta == {"subject": "counting", "level": 2, "answer_type": "free form"}


def test_the_official_prompt_is_word_for_word():
    assert MATHVISION_PROMPT == (
        'Please solve the problem step by step and put your answer in one "\\boxed{}". If it is a '
        'multiple choice question, only one letter is allowed in the "\\boxed{}".\n'
    )


def test_dynamath(folder):
    (folder / "dataset.json").write_text(json.dumps({"1": DYNAMATH_ROW}))
    (example,) = load("dynamath", folder)
    assert example.id == "1"
    assert example.choices == ("Yes", "No")
    assert example.meta["seed"] == "1"
    assert example.meta["subject"] == "analytic geometry"  # runs of spaces in the data
    assert '"short answer"' in example.turns[0].text
    assert example.turns[0].text.startswith(DYNAMATH_ROW["question"])


def test_limit_and_gzip_and_file(folder):
    rows = [MATHVISION_ROW | {"id": str(i)} for i in range(5)]
    write(folder, "test.jsonl.gz", *rows)
    assert [e.id for e in load("mathvision", folder, limit=2)] == ["0", "1"]
    assert len(load("mathvision", folder / "test.jsonl.gz")) == 5


def test_scoring_needs_no_images(tmp_path):
    row = {k: v for k, v in MATHVISION_ROW.items() if k != "image"}
    (example,) = load("mathvision", write(tmp_path, "test.jsonl", row), images=False)
    assert example.images == ()
    (example,) = load("figures", write(tmp_path / "f", "x.jsonl", FIGURES_ROW), images=False)
    assert example.images == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"images": ["img/b.png"]}, "no such file"),
        ({"images": ["../data/img/a.png"]}, None),  # leads back inside: allowed
        ({"images": ["../x.png"]}, "outside"),
        ({"images": ["/etc/passwd"]}, "outside"),
        ({"images": [3]}, "an image must be a path"),
        ({"image": "img/a.png", "images": []}, None),
        ({"question": None}, "'question'"),
        ({"answer": "13"}, "neither the text nor the letter"),
        ({"id": None}, None),
        ({"id": True}, "'id' must be a text"),
        ({"meta": [1]}, "'meta'"),
        ({"choices": [None]}, "'choices'"),
    ],
)
def test_bad_rows_name_file_and_row(folder, row, message):
    write(folder, "x.jsonl", FIGURES_ROW | row)
    if message is None:
        assert load("figures", folder)
        return
    with pytest.raises(DataError, match=message) as error:
        load("figures", folder)
    assert "x.jsonl:1: row" in str(error.value)


def test_a_symlink_out_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "img/link.png").symlink_to(tmp_path / "secret.png")
    write(folder, "x.jsonl", FIGURES_ROW | {"images": ["img/link.png"]})
    with pytest.raises(DataError, match="outside"):
        load("figures", folder)


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_a_wrong_folder_is_named(name, tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=str(path)):
            load(name, path)


def test_two_splits_in_a_folder_must_be_chosen_from(folder):
    write(folder, "test.jsonl", MATHVISION_ROW)
    write(folder, "testmini.jsonl", MATHVISION_ROW)
    with pytest.raises(DataError, match=r"test\.jsonl and testmini\.jsonl"):
        load("mathvision", folder)
    assert load("mathvision", folder / "testmini.jsonl")


def test_empty_and_double(folder):
    write(folder, "x.jsonl")
    with pytest.raises(DataError, match="no rows"):
        load("figures", folder)
    write(folder, "x.jsonl", FIGURES_ROW, FIGURES_ROW)
    with pytest.raises(DataError, match="'a' appears twice"):
        load("figures", folder)


def test_the_table():
    assert BENCHMARKS.keys() == RULES.keys()
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        assert benchmark.rules == tuple(RULES[name])
    with pytest.raises(DataError, match="figures, jsonl, mathvista, mathverse, mathvision"):
        benchmark_named("mathworld")


SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "benchmarks"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}: real benchmarks are not shipped")
@pytest.mark.parametrize(
    ("name", "folder", "count"),
    [("mathvision", "mathvision_testmini", 304), ("dynamath", "dynamath", 501)],
)
def test_real_data_loads_whole(name, folder, count):
    examples = load(name, SHARED / folder)
    assert len(examples) == count
    assert all(len(example.images) == 1 for example in examples)
    if name == "dynamath":
        kinds = [e for e in examples if e.meta["answer_type"] == "multiple choice"]
        assert all(ord(e.answer) - ord("A") < len(e.choices) for e in kinds)


def test_a_single_image_is_shown_as_it_is_in_training(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    row = {"id": "a", "image": "a.png", "question": "How many?", "answer": "3"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (example,) = benchmark_named("figures").load(tmp_path)
    assert example.images == (ImageRef(path=tmp_path.resolve() / "a.png"),)
