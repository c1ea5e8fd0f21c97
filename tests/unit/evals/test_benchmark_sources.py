"""Every benchmark out of every form that it is published in, from tiny files made here."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from mmdft.errors import DataError
from mmdft.evals.benchmarks import BENCHMARKS, benchmark_named
from mmdft.evals.benchmarks.wemath import options
from mmdft.evals.scoring import score_file
from mmdft.evals.tables import results_markdown
from mmdft.records import Example, ImageRef

Row = dict[str, Any]


def png(shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (2, 2), shade).save(stream, "PNG")
    return stream.getvalue()


def lines(path: Path, *rows: Row) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def whole(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = json.dumps(content).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(shade))
    return path


def parquet(path: Path, *rows: Row, image: str = "image") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_list(
        [{**row, image: {"bytes": png(number), "path": None}} for number, row in enumerate(rows)]
    )
    table.to_parquet(str(path))
    return path


def tsv(path: Path, *rows: Mapping[str, Any]) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def encoded(shade: int = 0) -> str:
    return base64.b64encode(png(shade)).decode()


def load(name: str, path: Path, **options: Any) -> list[Example]:
    return benchmark_named(name).load(path, **options)


def seen(example: Example) -> list[bytes]:
    """The bytes of the images, wherever they are."""
    return [image.data or image.path.read_bytes() for image in example.images]  # type: ignore[union-attr]


def gist(examples: Sequence[Example]) -> list[tuple[Any, ...]]:
    """What must be the same in every form: all but where the image is."""
    return [(e.id, e.turns[0].text, e.answer, e.choices, e.category, e.meta) for e in examples]


# --- the forms, by one benchmark that is published in all of them ---

VERSES = [
    {
        "sample_index": "1",
        "problem_index": "1",
        "problem_version": "Text Dominant",
        "question": "Find x.\nChoices:\nA:10\nB:20",
        "question_for_eval": "Find x.\nChoices:\nA:10\nB:20",
        "answer": "B",
        "question_type": "multi-choice",
        "metadata": {"split": "testmini", "source": "s", "subject": "Plane Geometry",
                     "subfield": "Angle"},
        "query_wo": "Please directly answer this. Find x.",
        "query_cot": "Step by step.",
    },
    {
        "sample_index": "2",
        "problem_index": "1",
        "problem_version": "Vision Only",
        "question": "",
        "question_for_eval": "Find x.\nChoices:\nA:10\nB:20",
        "answer": "B",
        "question_type": "multi-choice",
        "metadata": {"split": "testmini", "source": "s", "subject": "Plane Geometry",
                     "subfield": "Angle"},
        "query_wo": "Look at the figure.",
        "query_cot": "Step by step.",
    },
]  # fmt: skip


def test_mathverse_is_the_same_out_of_every_form(tmp_path: Path) -> None:
    named = [{**row, "image": f"images_version_1-4/image_{n}.png"} for n, row in enumerate(VERSES)]
    for number in range(2):
        picture(tmp_path / f"json/images/images_version_1-4/image_{number}.png", number)
    whole(tmp_path / "json/testmini.json", named)
    expected = load("mathverse", tmp_path / "json")
    assert [seen(e) for e in expected] == [[png(0)], [png(1)]]
    first, second = expected
    assert (first.id, first.answer, first.choices) == ("1", "B", ("10", "20"))
    assert first.turns[0].text == "Please directly answer this. Find x."
    assert first.meta == {
        "problem": "1",
        "version": "Text Dominant",
        "question_type": "multi-choice",
        "subject": "Plane Geometry",
        "subfield": "Angle",
        "source": "s",
    }
    assert second.choices == ("10", "20")  # of Vision Only, out of question_for_eval
    assert second.meta["question_for_eval"] == "Find x.\nChoices:\nA:10\nB:20"

    parquet(tmp_path / "hub/data/testmini-00000-of-00001.parquet", *VERSES)
    flat = [
        {**{k: v for k, v in row.items() if k != "metadata"}, **row["metadata"], "index": n,
         "image": encoded(n)}
        for n, row in enumerate(VERSES)
    ]  # fmt: skip
    lines(tmp_path / "lines/testmini.jsonl.gz", *named)
    (tmp_path / "lines/images").symlink_to(tmp_path / "json/images")
    forms = [
        load("mathverse", tmp_path / "hub"),
        load("mathverse", tmp_path / "hub/data/testmini-00000-of-00001.parquet"),
        load("mathverse", tsv(tmp_path / "MathVerse_MINI.tsv", *flat)),
    ]
    assert load("mathverse", tmp_path / "lines", images=False)[0].id == "1"
    for form in forms:
        assert gist(form) == gist(expected)
        assert [seen(e) for e in form] == [[png(0)], [png(1)]]
        assert all(image.data for e in form for image in e.images)


def test_a_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub itself is not in reach; what is asked of `datasets` is, and what it gives back."""
    rows = [{**row, "image": {"bytes": png(n), "path": None}} for n, row in enumerate(VERSES)]
    asked = []

    def load_dataset(name: str, subset: str | None, split: str) -> datasets.Dataset:
        asked.append((name, subset, split))
        return datasets.Dataset.from_list(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = load("mathverse", Path("hf://AI4Math/MathVerse"))
    assert [seen(e) for e in found] == [[png(0)], [png(1)]]
    load("mathverse", Path("hf://someone/mathverse"), limit=1)
    assert asked == [("AI4Math/MathVerse", "testmini", "testmini"),
                     ("someone/mathverse", None, "testmini")]  # fmt: skip
    asked.clear()
    with pytest.raises(DataError, match="no split 'validation'; there are: testmini, test"):
        load("mathverse", Path("hf://AI4Math/MathVerse"), split="validation")
    assert asked == []


def test_a_split_that_the_hub_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise ValueError('Unknown split "test". Should be one of ["testmini"].')

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match="hf://AI4Math/MathVerse, split test, subset testmini"):
        load("mathverse", Path("hf://AI4Math/MathVerse"), split="test")


def test_an_image_that_is_another_rows(tmp_path: Path) -> None:
    """VLMEvalKit writes an image once, and its row's index where it comes again."""
    flat = [
        {**row, **row["metadata"], "index": 10 + n, "image": encoded(7) if n == 0 else "10"}
        for n, row in enumerate(VERSES)
    ]
    path = tsv(tmp_path / "verses.tsv", *flat)
    assert [seen(e) for e in load("mathverse", path)] == [[png(7)], [png(7)]]
    assert [seen(e) for e in load("mathverse", path, limit=1)] == [[png(7)]]
    flat[0]["image"] = "99"
    with pytest.raises(DataError, match=r"verses\.tsv:2: its image is that of row 99, and no row"):
        load("mathverse", tsv(tmp_path / "verses.tsv", *flat))
    assert len(load("mathverse", path, images=False)) == 2


def test_splits_of_a_folder(tmp_path: Path) -> None:
    whole(tmp_path / "testmini.json", VERSES)
    hidden = [{**row, "answer": ""} for row in VERSES]
    whole(tmp_path / "test.json", hidden)
    with pytest.raises(DataError, match=r"found testmini\.json and test\.json; give .* its split"):
        load("mathverse", tmp_path, images=False)
    assert load("mathverse", tmp_path, images=False, split="testmini")[0].answer == "B"
    assert load("mathverse", tmp_path, images=False, split="test")[0].answer is None
    with pytest.raises(DataError, match="no split 'train'; there are: testmini, test"):
        load("mathverse", tmp_path, split="train")
    with pytest.raises(DataError, match="is a file, which is a split of its own"):
        load("mathverse", tmp_path / "test.json", split="test")
    (tmp_path / "testmini.json").unlink()
    with pytest.raises(DataError, match=r"expected one of testmini\.json, testmini\.jsonl, found"):
        load("mathverse", tmp_path, split="testmini")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problem_version": "Text Only"}, "'problem_version' is 'Text Only'"),
        ({"question_type": "essay"}, "'question_type' is 'essay'"),
        ({"query_wo": None, "question": ""}, "'query_wo' or 'question' must be a text but is None"),
        ({"image": None}, "no image: 'image' is missing or empty"),
        ({"image": "/etc/passwd"}, "lies outside of"),
        ({"image": "../../x.png"}, "lies outside of"),
        ({"image": "http://x.org/a.png"}, "no such file"),
        ({"image": "data:image;base64,!"}, "not valid base64"),
    ],
)
def test_bad_rows_name_file_and_row(tmp_path: Path, change: Row, message: str) -> None:
    picture(tmp_path / "a.png")
    rows = [{**VERSES[0], "image": "a.png"}, {**VERSES[1], "image": "a.png", **change}]
    lines(tmp_path / "testmini.jsonl", *rows)
    with pytest.raises(DataError, match=message) as error:
        load("mathverse", tmp_path)
    assert "testmini.jsonl:2: row '2'" in str(error.value)


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "testmini.jsonl").write_text('{"a": 1}\n{"b"\n')
    with pytest.raises(DataError, match=r"testmini\.jsonl:1"):
        load("mathverse", tmp_path)
    for content in ("3", "[]", "{}", "["):
        (tmp_path / "x.json").write_text(content)
        with pytest.raises(DataError, match=r"x\.json"):
            load("mathverse", tmp_path / "x.json")
    (tmp_path / "x.pk").write_bytes(b"\x80")
    with pytest.raises(DataError, match=r"x\.pk: unknown kind of file"):
        load("mathverse", tmp_path / "x.pk")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: not a whole parquet file"):
        load("mathverse", tmp_path / "x.parquet")


def test_an_id_must_not_appear_twice(tmp_path: Path) -> None:
    lines(tmp_path / "testmini.jsonl", VERSES[0], VERSES[0])
    with pytest.raises(DataError, match=r"testmini\.jsonl:2: row '1': id '1' appears twice"):
        load("mathverse", tmp_path, images=False)


# --- each benchmark out of the forms of its own ---


def test_mathvista_out_of_a_table_and_out_of_the_hub(tmp_path: Path) -> None:
    about = {"source": "PlotQA", "task": "t", "category": "general-vqa", "context": "c",
             "grade": "g", "language": "english"}  # fmt: skip
    table = {
        "index": 1,
        "image": encoded(3),
        "question": "Hint: Please answer. \nQuestion: Which?",
        "choices": "['a', \"b's\"]",
        "unit": "",
        "precision": "",
        "answer": "b's",
        "answer_option": "B",
        "question_type": "multi_choice",
        "answer_type": "text",
        **about,
        "skills": "['algebraic reasoning']",
    }
    number = {**table, "index": 2, "image": "1", "choices": "", "answer": "1.2",
              "answer_type": "float", "precision": "1.0", "unit": "g"}  # fmt: skip
    first, second = load("mathvista", tsv(tmp_path / "MathVista_MINI.tsv", table, number))
    assert first.turns[0].text == "Hint: Please answer. \nQuestion: Which?"
    assert (first.choices, first.answer) == (("a", "b's"), "b's")
    assert first.meta["skills"] == ["algebraic reasoning"]
    assert (second.meta["precision"], second.meta["unit"]) == (1, "g")
    assert seen(first) == seen(second) == [png(3)]

    row = {
        "pid": "1",
        "question": "Which?",
        "image": "images/1.jpg",
        "choices": ["a", "b's"],
        "unit": None,
        "precision": 2.0,
        "answer": "b's",
        "question_type": "multi_choice",
        "answer_type": "text",
        "metadata": {**about, "skills": ["algebraic reasoning"]},
        "query": "Hint: Please answer. \nQuestion: Which?",
    }
    parquet(tmp_path / "hub/data/testmini-00000-of-00001-x.parquet", row, image="decoded_image")
    (hub,) = load("mathvista", tmp_path / "hub")
    assert gist([hub]) == gist([first])
    assert seen(hub) == [png(0)]


def test_mathvision_out_of_a_table_and_out_of_the_hub(tmp_path: Path) -> None:
    row = {"id": "7", "question": "How many?\n<image1>", "options": ["1", "2"], "answer": "B",
           "level": 2, "subject": "counting", "solution": None,
           "image": "images/7.jpg"}  # fmt: skip
    picture(tmp_path / "json/images/7.jpg", 0)
    lines(tmp_path / "json/testmini.jsonl", row)
    expected = load("mathvision", tmp_path / "json")
    parquet(tmp_path / "hub/data/test-00000-of-00001.parquet", row, image="decoded_image")
    table = {"index": 7, "question": "How many?\n<image1>", "choices": "['1', '2']", "answer": "B",
             "level": "2", "category": "counting", "image": encoded(0)}  # fmt: skip
    for found in (
        load("mathvision", tmp_path / "hub"),
        load("mathvision", tsv(tmp_path / "MathVision.tsv", table)),
    ):
        assert gist(found) == gist(expected)
        assert seen(found[0]) == [png(0)]


WEMATH = {
    "ID": "2steps_1",
    "split": "testmini",
    "knowledge concept": "Units",
    "question": "How long is it?",
    "option": "A. 300, 400;B. 400, 300; C. No correct answer",
    "answer": "C",
    "image_path": "2steps/image/1-1.png",
    "key": "2steps_multi",
    "question number": 1,
    "knowledge concept description": "…",
}


def test_wemath(tmp_path: Path) -> None:
    whole(tmp_path / "repo/data/testmini.json", [WEMATH, {**WEMATH, "key": "2steps_1"}])
    picture(tmp_path / "repo/data/2steps/image/1-1.png", 5)
    first, second = load("wemath", tmp_path / "repo")
    assert (first.id, second.id) == ("2steps_1/multi", "2steps_1/1")
    assert first.choices == ("300, 400", "400, 300", "No correct answer")
    assert first.meta == {"problem": "2steps_1", "key": "2steps_multi", "steps": 2,
                          "part": "multi", "knowledge": "Units"}  # fmt: skip
    assert first.turns[0].text == (
        "How long is it?\nA. 300, 400\nB. 400, 300\nC. No correct answer"
        + BENCHMARKS["wemath"].prompt
    )
    assert seen(first) == [png(5)]
    table = {key: WEMATH[key] for key in ("ID", "question", "answer", "key", "knowledge concept")}
    table |= {"index": 0, "A": "300, 400", "B": "400, 300", "C": "No correct answer", "D": "",
              "image": encoded(5)}  # fmt: skip
    assert gist(load("wemath", tsv(tmp_path / "WeMath.tsv", table))) == gist([first])
    hub = parquet(tmp_path / "data/testmini-0.parquet", {**WEMATH, "image_path": None})
    assert gist(load("wemath", hub)) == gist([first])
    with pytest.raises(DataError, match="'key' is '4steps_1'; expected one like 2steps_1"):
        load("wemath", whole(tmp_path / "x.json", [{**WEMATH, "key": "4steps_1"}]))


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("A. 1;B. 2; C. 3", ("1", "2", "3")),
        ("A. 45° B. 60° ;C. 120°", ("45°", "60°", "120°")),
        ("A. ①; ③;B. ②; ④", ("①; ③", "②; ④")),
        ("A. to the point ;B.; B. back to ;B. ;C. no", ("to the point ;B.", "back to ;B.", "no")),
        ("A. yes;B. no; E. neither", ("yes", "no", "", "", "neither")),
        ("A. line AB. is it;B. no", ("line AB. is it", "no")),
        ("none", ()),
    ],
)
def test_options_of_wemath(listed: str, expected: tuple[str, ...]) -> None:
    assert options(listed) == expected


def test_chartqa(tmp_path: Path) -> None:
    picture(tmp_path / "repo/test/png/1.png", 4)
    row = {"imgname": "1.png", "query": "How much?", "label": "5"}
    whole(tmp_path / "repo/test/test_human.json", [row])
    whole(tmp_path / "repo/test/test_augmented.json", [row, {**row, "label": "6"}])
    found = load("chartqa", tmp_path / "repo")
    assert [e.id for e in found] == ["augmented-1", "augmented-2", "human-1"]
    assert [e.meta["half"] for e in found] == ["augmented", "augmented", "human"]
    assert seen(found[0]) == [png(4)]
    assert found[0].turns[0].text == "How much?" + BENCHMARKS["chartqa"].prompt

    lmms = {"question": "How much?", "answer": "5", "type": "augmented_test"}
    m4 = {"query": "How much?", "label": ["5"], "human_or_machine": 1}
    table = {"index": "augmented-1", "question": "How much?", "answer": "5",
             "split": "test_augmented", "image": encoded(0)}  # fmt: skip
    for form in (
        load("chartqa", parquet(tmp_path / "a/test-0.parquet", lmms)),
        load("chartqa", parquet(tmp_path / "b/test-0.parquet", m4)),
        load("chartqa", tsv(tmp_path / "ChartQA_TEST.tsv", table)),
    ):
        assert gist(form) == gist(found[:1])
    with pytest.raises(DataError, match="'label' has 2 answers"):
        load("chartqa", parquet(tmp_path / "c/test-0.parquet", {**m4, "label": ["5", "6"]}))
    with pytest.raises(DataError, match="is of neither half"):
        load("chartqa", parquet(tmp_path / "d/test-0.parquet", {**lmms, "type": "x"}))


def test_chartqapro(tmp_path: Path) -> None:
    row = {
        "Question": ["When?", "And then?"],
        "Answer": ["2016", "[2017, 2018]"],
        "Question Type": "Conversational",
        "Year": ["NO", "YES"],
        "Paragraph": "A text.",
    }
    single = {**row, "Question": ["When?"], "Answer": ["2016"], "Question Type": "Factoid",
              "Year": ["YES"], "Paragraph": ""}  # fmt: skip
    last, one = load("chartqapro", parquet(tmp_path / "test-0.parquet", row, single))
    assert last.turns[0].text == (
        "A text.\nQuestion: When?\nAnswer: 2016\nAnd then?" + BENCHMARKS["chartqapro"].prompt
    )
    assert (last.answer, last.meta["years"]) == ("[2017, 2018]", ["YES"])
    assert (one.id, one.answer, one.turns[0].text[:6]) == ("2", "2016", "When?\n")
    table = {"index": 2, "question": "When?", "answer": "2016", "Question Type": "Factoid",
             "Year": "['YES']", "image": encoded(1)}  # fmt: skip
    assert gist(load("chartqapro", tsv(tmp_path / "x.tsv", table))) == gist([one])


def test_charxiv(tmp_path: Path) -> None:
    row = {"figure_id": 5, "query": "How many?", "answer": "0.25", "inst_category": 4,
           "qa_source": 3}  # fmt: skip
    whole(tmp_path / "repo/data/reasoning_val.json", {"5": row})
    whole(tmp_path / "repo/data/image_metadata_val.json", {"5": {"category": "cs", "year": "20"}})
    picture(tmp_path / "repo/images/5.jpg", 9)
    (example,) = load("charxiv", tmp_path / "repo")
    assert example.id == "5"
    assert example.turns[0].text == "How many?\nAnswer with a number with 2 decimal places."
    assert example.meta == {"answer_type": "number in general", "question_source": "3",
                            "subject": "cs", "year": "20"}  # fmt: skip
    assert seen(example) == [png(9)]

    hub = {"reasoning_q": "How many?", "reasoning_a": "0.25", "reasoning_q_source": "3",
           "reasoning_a_type": "Number-in-General", "category": "cs", "year": "20",
           "figure_path": "5.jpg", "num_subplots": 2}  # fmt: skip
    (found,) = load("charxiv", parquet(tmp_path / "hub/val.parquet", hub).parent)
    assert found.meta == {**example.meta, "subplots": "2"}
    assert gist([found])[0][:4] == gist([example])[0][:4]
    for kind, ending in (
        (1, "commas."), (2, "phrase."), (3, "the chart."), (4, "Answer with a number."),
    ):  # fmt: skip
        path = whole(tmp_path / "x.json", {"1": {**row, "inst_category": kind, "answer": None}})
        (example,) = load("charxiv", path, images=False)
        assert example.turns[0].text.endswith(ending)
        assert example.answer is None
    (example,) = load(
        "charxiv", whole(tmp_path / "x.json", {"1": {**row, "answer": "3"}}), images=False
    )
    assert example.turns[0].text == "How many?\nAnswer with a number, which is whole."
    whole(tmp_path / "x.json", {"1": {**row, "inst_category": 5}})
    with pytest.raises(DataError, match="the answer's kind is '5'"):
        load("charxiv", tmp_path / "x.json", images=False)


def test_geometry3k(tmp_path: Path) -> None:
    row = {"problem_text": "Find AB.", "choices": ["\\sqrt{2}", "2", "3", "\\frac{9}{2}"],
           "answer": "D", "precise_value": [1.414, 2.0, 3.0, 4.5], "id": 2401,
           "problem_type_graph": ["Circle"], "problem_type_goal": ["Length"]}  # fmt: skip
    for number in (2401, 10000):
        whole(tmp_path / f"geometry3k/test/{number}/data.json", {**row, "id": number})
        picture(tmp_path / f"geometry3k/test/{number}/img_diagram.png", number % 251)
    first, second = load("geometry3k", tmp_path / "geometry3k")
    assert (first.id, second.id) == ("2401", "10000")
    assert seen(first) == [png(2401 % 251)]
    assert first.meta == {"precise_values": [1.414, 2.0, 3.0, 4.5], "goal": "Length",
                          "graph": "Circle"}  # fmt: skip
    assert first.turns[0].text.startswith("Find AB.\n(A) \\sqrt{2}\n(B) 2\n(C) 3\n")

    mixed = {"images": [{"bytes": png(2), "path": None}], "problem": "<image>Find AB.",
             "choices": row["choices"], "ground_truth": "D"}  # fmt: skip
    (example,) = load("geometry3k", parquet(tmp_path / "a/test-0.parquet", mixed, image="unused"))
    assert example.turns[0].text == first.turns[0].text
    assert example.answer == "D"
    assert example.meta["precise_values"] == [pytest.approx(2**0.5), 2, 3, 4.5]
    assert seen(example) == [png(2)]

    free = {"images": [{"bytes": png(2), "path": None}], "problem": "<image>Find AB.",
            "answer": "4.5"}  # fmt: skip
    (example,) = load("geometry3k", parquet(tmp_path / "b/test-0.parquet", free, image="unused"))
    assert (example.choices, example.answer, example.meta) == ((), "4.5", {"precise_values": []})
    table = {"index": 1, "question": "Find AB.", "A": "1", "B": "2", "answer": "B",
             "image": encoded(2)}  # fmt: skip
    (example,) = load("geometry3k", tsv(tmp_path / "x.tsv", table))
    assert (example.choices, example.meta) == (("1", "2"), {"precise_values": [1, 2]})


def test_geoqa(tmp_path: Path) -> None:
    picture(tmp_path / "Geo170K/images/test/0.png", 8)
    row = {"question": "Find the angle.", "ground_truth": "145°",
           "image_path": "./Geo170K/images/test/0.png"}  # fmt: skip
    lines(tmp_path / "geoqa_test_prompts.jsonl", row)
    (example,) = load("geoqa", tmp_path)
    assert (example.id, example.answer, example.choices) == ("1", "145°", ())
    assert seen(example) == [png(8)]

    chosen = {"id": 3, "subject": "求角", "choices": ["30°", "45°", "60°", "90°"], "label": 1,
              "type": "angle", "image": "Geo170K/images/test/0.png"}  # fmt: skip
    (example,) = load("geoqa", whole(tmp_path / "x.json", [chosen]))
    assert (example.id, example.answer, example.category) == ("3", "B", "Angle")
    assert example.turns[0].text.startswith("求角\n(A) 30°\n(B) 45°")
    (example,) = load("geoqa", parquet(tmp_path / "p/test-0.parquet", {**chosen, "label": 3}))
    assert example.answer == "D"
    table = {"index": 3, "question": "q", "A": "30", "B": "45", "answer": "A", "type": "area",
             "image": encoded(1)}  # fmt: skip
    (example,) = load("geoqa", tsv(tmp_path / "x.tsv", table))
    assert (example.answer, example.category) == ("A", "Other")
    with pytest.raises(DataError, match="'label' is '4'; it must be a choice's place from 0"):
        load("geoqa", whole(tmp_path / "x.json", [{**chosen, "label": 4}]))


def test_pickles_of_geoqa_are_never_loaded(tmp_path: Path) -> None:
    done = tmp_path / "loaded"
    (tmp_path / "data").mkdir()
    for file in (tmp_path / "data/test.pk", tmp_path / "x.pickle"):
        # An object whose loading makes a file.
        file.write_bytes(f"cos\nmkdir\n(V{done}\ntR.".encode())
    message = r"/test\.pk: a pickle is not read, .* save test\.jsonl beside it, .* subject .* label"
    with pytest.raises(DataError, match=message) as error:
        load("geoqa", tmp_path / "data")
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"x\.pickle: a pickle is not read"):
        load("geoqa", tmp_path / "x.pickle")
    assert not done.exists()
    pickle.loads((tmp_path / "x.pickle").read_bytes())
    assert done.is_dir()  # it would have been


def test_dynamath_variants(tmp_path: Path) -> None:
    seed = {"question": "What is it?", "answer": "2.0944", "image": "image/image1.png",
            "answer_type": "float", "subject": "statistics", "level": "high school"}  # fmt: skip
    for number in (1, 2, 10):
        whole(tmp_path / f"10trials/trial{number}/dataset.json", {"1": seed})
        picture(tmp_path / f"10trials/trial{number}/image/image1.png", number)
    found = load("dynamath", tmp_path / "10trials")
    assert [e.id for e in found] == ["1-1", "1-2", "1-10"]
    assert [e.meta["seed"] for e in found] == ["1", "1", "1"]
    assert [e.meta["variant"] for e in found] == ["1", "2", "10"]
    assert [seen(e) for e in found] == [[png(1)], [png(2)], [png(10)]]
    assert [e.id for e in load("dynamath", tmp_path / "10trials", split="sample_variant2")] == [
        "1-2"
    ]
    hub = {"id": "1", "question": "What is it?", "image": "x.png", "ground_truth": "2.0944",
           "answer_type": "float", "subject": "statistics",
           "knowledge_level": "high school"}  # fmt: skip
    for number in (1, 2):
        parquet(tmp_path / f"hub/data/sample{number}-00000-of-00001.parquet", hub,
                image="decoded_image")  # fmt: skip
    assert gist(load("dynamath", tmp_path / "hub")) == gist(found[:2])
    tables = [{**hub, "index": n, "qid": 1, "varid": n, "image": encoded(n)} for n in (1, 2)]
    assert gist(load("dynamath", tsv(tmp_path / "DynaMath.tsv", *tables))) == gist(found[:2])


def test_dynamath_of_the_hub_takes_all_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"id": "1", "question": "What?", "ground_truth": "2", "answer_type": "float",
           "subject": "s", "knowledge_level": "l"}  # fmt: skip
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_, **__: datasets.Dataset.from_list([row])
    )
    found = load("dynamath", Path("hf://DynaMath/DynaMath_Sample"), images=False)
    assert [e.id for e in found] == [f"1-{number}" for number in range(1, 11)]


def test_logicvista(tmp_path: Path) -> None:
    row = {"imagename": "v1_0.png", "question": "Which? (A) one (B) two", "answer": "A, B",
           "skill": ["inductive"], "broad_capability": ["diagram", "ocr"]}  # fmt: skip
    rows = {"v1_0": row, "v1_1": {**row, "question": "", "answer": ""}}
    whole(tmp_path / "data/dataset.json", rows)
    picture(tmp_path / "data/images/v1_0.png", 6)
    first, second = load("logicvista", tmp_path)
    assert (first.id, first.answer, first.choices) == ("v1_0", "A, B", ("one", "two"))
    assert first.meta == {"skill": "inductive", "capability": "diagram, ocr"}
    assert (second.answer, second.choices) == ("", ())
    assert seen(first) == [png(6)]
    table = {"index": "v1_0", "question": row["question"], "answer": "A, B", "skill": "inductive",
             "image": encoded(6)}  # fmt: skip
    hub = {"question_id": "v1_0", **{k: v for k, v in table.items() if k not in ("index", "image")}}
    for form in (
        load("logicvista", tsv(tmp_path / "LogicVista.tsv", table)),
        load("logicvista", parquet(tmp_path / "hub/test-0.parquet", hub)),
    ):
        assert gist(form)[0][:5] == gist([first])[0][:5]
    del rows["v1_0"]["answer"]
    with pytest.raises(DataError, match="row 'v1_0': 'answer' must be a text but is missing"):
        load("logicvista", whole(tmp_path / "x.json", rows))


def test_questions_of_your_own(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    rows = [
        {"question": "Which?", "choices": ["x", "y"], "answer": "B", "images": ["a.png", "a.png"]},
        {"id": "mine", "question": "1 + 1?", "answer": 2, "category": "sum"},
        {"question": "Open?"},
    ]
    lines(tmp_path / "q.jsonl", *rows)
    two, none, open_one = load("jsonl", tmp_path)
    assert (two.id, two.turns[0].text) == ("1", "Which?\n(A) x\n(B) y")
    assert two.images == (ImageRef(path=tmp_path.resolve() / "a.png"),) * 2
    assert (none.id, none.answer, none.category, none.images) == ("mine", "2", "sum", ())
    assert open_one.answer is None
    lines(tmp_path / "r.jsonl.gz", *rows)
    assert gist(load("jsonl", tmp_path / "r.jsonl.gz")) == gist([two, none, open_one])
    with pytest.raises(DataError, match=r"found q\.jsonl and s\.jsonl"):
        lines(tmp_path / "s.jsonl", *rows)
        load("jsonl", tmp_path)


@pytest.mark.parametrize("name", ["charxiv", "mathverse", "mathvision"])
def test_withheld_golds_are_unscored_and_labelled(name: str, tmp_path: Path) -> None:
    rows = {
        "charxiv": {"figure_id": 1, "query": "q", "answer": None, "inst_category": 1},
        "mathverse": {**VERSES[0], "answer": ""},
        "mathvision": {"id": "1", "question": "q", "options": [], "level": 1, "subject": "s"},
    }
    data = lines(tmp_path / "data.jsonl", rows[name])
    predictions = lines(tmp_path / "p.jsonl", {"id": "1", "response": "The answer is 3."})
    found = score_file(predictions, benchmark=name, data=data, out=tmp_path / "o.jsonl")
    assert found["withheld"] == 1
    for summary in found["rules"].values():
        assert (summary["unscored"], summary["wrong"], summary["accuracy"]) == (1, 0, None)
    assert "**Withheld:** 1 of 1 predictions" in results_markdown(found)


def test_a_missing_gold_is_an_error_where_none_is_withheld(tmp_path: Path) -> None:
    path = whole(tmp_path / "testmini.json", [{**WEMATH, "answer": None}])
    with pytest.raises(DataError, match="'answer' must be a text but is None"):
        load("wemath", path, images=False)
    seed = {"question": "q", "answer_type": "float", "subject": "s", "level": "l", "answer": ""}
    path = whole(tmp_path / "dataset.json", {"1": seed})
    with pytest.raises(DataError, match="row '1': the gold answer is missing"):
        load("dynamath", path, images=False)
