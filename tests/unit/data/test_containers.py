"""Tables, tar shards, image folders, patterns and datasets of the hub: all become the same rows."""

from __future__ import annotations

import base64
import csv
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdft.config import SourceConfig
from mmdft.config_loading import dump_config, load_config
from mmdft.data.readers import each_row, files_of, open_rows
from mmdft.data.sources import open_sources, origin_of, read_rows, to_example
from mmdft.errors import ConfigError, DataError
from mmdft.records import Example, ImageRef


def encode(colour: str, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stream, kind)
    return stream.getvalue()


RED, BLUE = encode("red"), encode("blue")
RED64, BLUE64 = (base64.b64encode(content).decode() for content in (RED, BLUE))


def examples(source: SourceConfig) -> list[Example | str]:
    """The examples in order, or why there is none; the same by place."""

    def one(file: SourceConfig, number: int, row: Any) -> Example | str:
        try:
            return to_example(row, origin_of(file, number), file.format)
        except DataError as error:
            return f"{number}: {error}"

    found = []
    for origin, row in read_rows(source):
        try:
            found.append(to_example(row, origin, source.format))
        except DataError as error:
            found.append(f"{origin.row}: {error}")
    places = [(file, *rows[i]) for file, rows in open_sources([source]) for i in range(len(rows))]
    assert [one(*place) for place in reversed(places)] == found[::-1]
    return found


def parts(example: Example | str) -> list[str | bytes | str]:
    assert isinstance(example, Example), example
    return [
        part if isinstance(part, str) else part.data or str(part.path)
        for part in example.turns[0].parts
    ]


# --- VLMEvalKit's tables ---


def write_table(path: Path, rows: Sequence[Sequence[str]], delimiter: str = "\t") -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return path


def test_a_table_of_vlmevalkit(tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "bench.tsv",
        [
            ["index", "image", "question", "A", "B", "C", "D", "answer", "category"],
            ["11", RED64, 'What "is"\tit?\nSay.', "3", "4", "5", "", "B", "area"],
            ["12", f"['{RED64}', '{BLUE64}']", "Sum é\u2028?", "", "", "", "", "7", ""],
            ["13", "11", "Same figure?", "", "", "", "", "7", ""],
            ["14", RED64, "Gap?", "1", "", "3", "", "C", ""],
        ],
    )
    first, second, pointer, gap = examples(SourceConfig(path=path))
    assert parts(first) == [RED, 'What "is"\tit?\nSay.\n(A) 3\n(B) 4\n(C) 5']
    assert isinstance(first, Example)
    assert (first.id, first.answer, first.choices) == ("11", "B", ("3", "4", "5"))
    assert first.category == "area"
    assert parts(second) == [RED, BLUE, "Sum é\u2028?"]
    assert isinstance(pointer, str)
    assert pointer == (
        "5: column 'image' is 11, the index of a row with the same image; put the image itself "
        "there"
    )
    assert gap == (
        "6: an option is empty between others, which would change their letters; fill it, or leave "
        "the row out"
    )


def test_a_table_of_paths_and_a_huge_field(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(RED)
    (tmp_path / "b.png").write_bytes(BLUE)
    large = base64.b64encode(bytes(300_000)).decode()
    rows = [
        ["image", "image_path", "question", "answer"],
        ["", "abc", "q", "1"],
        ["b.png", "", "q", "1"],
        [large, "abc", "q", "1"],
    ]
    path = write_table(tmp_path / "t.tsv", rows)
    bare, named, huge = examples(SourceConfig(path=path))
    assert parts(bare) == [str(tmp_path.resolve() / "abc"), "q"]
    assert parts(named) == [str(tmp_path.resolve() / "b.png"), "q"]
    assert parts(huge) == [bytes(300_000), "q"]


def test_bad_rows_of_a_table_leave_the_others(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfquestion\tanswer\r\nq1\t1\r\n\r\nq2\t2\textra\r\nq3\t\xff\r\n"
        b'q4\t"4"4\r\n"q\r\n5"\t5\r\nq6\t"6'
    )
    found = examples(SourceConfig(path=path))
    assert [e.answer if isinstance(e, Example) else e.partition(";")[0] for e in found] == [
        "1",
        "4: 3 fields under a header of 2",
        "5: not UTF-8 text (byte 0 of a field)",
        "6: not a row of the table ('\t' expected after '\"')",
        "5",
        "9: not a row of the table (unexpected end of data)",
    ]
    assert [number for number, _ in each_row(path)] == [2, 4, 5, 6, 7, 9]
    assert [number for number, _ in each_row(path, limit=2)] == [2, 4]


@pytest.mark.parametrize("content", ["", "a\ta\nx\ty\n", "a\t\nx\ty\n"])
def test_a_table_without_a_header(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.tsv").write_text(content)
    with pytest.raises(DataError, match=r"t\.tsv: the first line must name the columns"):
        open_rows(tmp_path / "t.tsv")


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8))
def test_any_cells_by_place(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("table") / "t.tsv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerows([("first", "second"), *cells])
    rows = open_rows(path)
    found = [rows[place][1] for place in reversed(range(len(rows)))][::-1]
    assert [(row["first"], row["second"]) for row in found] == cells


# --- tar shards ---


def write_tar(path: Path, members: Sequence[tuple[str, bytes]], **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def row_json(answer: str, **more: Any) -> bytes:
    return json.dumps({"question": "q", "answer": answer, **more}).encode()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_shard(tmp_path: Path, form: int) -> None:
    long = "d/" * 30 + "n" * 80
    path = write_tar(
        tmp_path / "s.tar",
        [
            ("./a/0.json", row_json("1")),
            ("./a/0.PNG", RED),
            ("./a/0.cls", b"3"),
            ("b.json", row_json("2", id="own", images=["x/b.right.png", "b.left.jpg"])),
            ("c.json", row_json("3")),
            ("b.left.jpg", BLUE),
            ("b.right.png", RED),
            (f"{long}.json", row_json("4", image="elsewhere/7.png")),
            (f"{long}.webp", BLUE),
        ],
        format=form,
    )
    first, second, third, fourth = examples(SourceConfig(path=path))
    assert parts(first) == [RED, "q"]
    assert parts(second) == [RED, BLUE, "q"]  # as the row orders them
    assert parts(third) == ["q"]
    assert parts(fourth) == [BLUE, "q"]
    ids = [e.id for e in (first, second, third, fourth) if isinstance(e, Example)]
    assert ids == ["a/0", "own", "c", long]
    assert list(tmp_path.iterdir()) == [path]


def test_a_shard_of_captions(tmp_path: Path) -> None:
    members = [("0.png", RED), ("0.txt", "é\n".encode()), ("1.png", BLUE), ("1.txt", b"blue")]
    path = write_tar(tmp_path / "s.tar", members)
    assert [row for _, row in each_row(path)] == [
        {"id": "0", "images": [{"bytes": RED}], "text": "é"},
        {"id": "1", "images": [{"bytes": BLUE}], "text": "blue"},
    ]
    assert len(open_rows(path, 1)) == 1


def test_bad_samples_of_a_shard_leave_the_others(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:

        def add(name: str, content: bytes = b"", **fields: Any) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))

        add("folder", type=tarfile.DIRTYPE)
        add("../../up.json", row_json("0"))
        add("broken.json", b"{")
        add("list.json", b"[1]")
        add("film.json", row_json("1"))
        add("film.mp4", b"...")
        add("link.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add("README", b"hello")
        add("two.json", row_json("2", images=["a.png", "b.png"]))
        add("two.png", RED)
        add("text.txt", b"\xff")
        add("last.json", row_json("3"))
    found = examples(SourceConfig(path=path))
    up, last = found[0], found[-1]
    assert isinstance(up, Example) and isinstance(last, Example)
    assert (up.answer, last.answer) == ("0", "3")
    for place, reason in enumerate(
        [
            "2: member broken.json: not valid JSON",
            "3: member list.json: must be an object, this one is list",
            "4: member film.mp4: only .json, .txt and .jpg, .jpeg, .png, .webp are read",
            "5: member link.not a plain file: only",
            "6: member README.: only",
            "7: the row names 2 images, and the shard has 1 for it",
            "8: member text.txt: not UTF-8 text (byte 0)",
        ],
        start=1,
    ):
        assert str(found[place]).startswith(reason)


def test_a_cut_or_packed_shard_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a.json", row_json("1")), ("b.json", row_json("2"))])
    whole = path.read_bytes()
    for content in (
        b"",
        b"x" * 2000,
        whole[:600],  # within the first member
        whole[:1024],  # between two members
        whole[:1024] + b"x" * 512 + whole[1536:],
    ):
        path.write_bytes(content)
        for read in (open_rows, lambda p: list(each_row(p))):
            with pytest.raises(DataError, match=r"s\.tar: not a whole tar file"):
                read(path)
    for name in ("s.tar.gz", "s.tgz", "t.tsv.gz"):
        with pytest.raises(DataError, match=rf"{name}: packed as a whole.*gunzip it first"):
            list(each_row(tmp_path / name))


# --- patterns and folders ---


def test_patterns_stand_for_files_in_order(tmp_path: Path) -> None:
    for number in (2, 0, 1, 10):
        (tmp_path / f"train-{number:03}.jsonl").write_bytes(row_json(str(number)) + b"\n")
    pattern = tmp_path / "train-{000..002}.jsonl"
    assert [path.stem[-3:] for path in files_of(pattern)] == ["000", "001", "002"]
    found = examples(SourceConfig(path=pattern, limit=2))
    assert [(e.id, e.answer) for e in found if isinstance(e, Example)] == [
        ("train-000:1", "0"),
        ("train-001:1", "1"),
    ]
    names = [path.stem[-3:] for path in files_of(tmp_path / "train-*.jsonl")]
    assert names == ["000", "001", "002", "010"]
    names = [path.stem[-3:] for path in files_of(tmp_path / "{train,test}-00{2,0}.jsonl")]
    assert names == ["002", "000", "002", "000"]
    # What exists under that very name is that file.
    odd = tmp_path / "a[1]{b,c}.jsonl"
    odd.write_bytes(row_json("9"))
    assert files_of(odd) == [odd]


def test_a_pattern_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x-\*\.tar: no file matches; relative paths start from"):
        files_of(tmp_path / "x-*.tar")
    with pytest.raises(DataError, match=r"x-1\.tar: no such file"):
        list(read_rows(SourceConfig(path=tmp_path / "x-{1..2}.tar")))
    for braces in ("{5..2}", "{0..99999999}"):
        with pytest.raises(DataError, match="is not a range of at most"):
            files_of(tmp_path / f"x-{braces}.tar")


def test_shards_of_parquet_and_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for number in range(2):
        rows = [{"question": "q", "answer": f"{number}{i}"} for i in range(3)]
        datasets.Dataset.from_list(rows).to_parquet(tmp_path / f"{number}.parquet")
        members = [(f"{i}.json", row_json(f"{number}{i}")) for i in range(3)]
        write_tar(tmp_path / f"{number}.tar", members)
    for kind in ("parquet", "tar"):
        found = examples(SourceConfig(path=tmp_path / f"*.{kind}", limit=5))
        answers = [e.answer for e in found if isinstance(e, Example)]
        assert answers == ["00", "01", "02", "10", "11"]


@pytest.mark.parametrize("kind", ["metadata.jsonl", "metadata.csv"])
def test_a_folder_of_images(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "figures"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.png").write_bytes(RED)
    (tmp_path / "outside.png").write_bytes(BLUE)
    rows = [("sub/a.png", "q, 1", "1"), ("../outside.png", "q", "2"), ("", "q", "3")]
    if kind == "metadata.csv":
        write_table(folder / kind, [("file_name", "question", "answer"), *rows], ",")
    else:
        keys = ("file_name", "question", "answer")
        lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
        (folder / kind).write_text("\n".join([*lines, "{broken"]))
    good, outside, nameless, *broken = examples(SourceConfig(path=folder))
    assert isinstance(good, Example)
    assert parts(good) == [str(folder.resolve() / "sub/a.png"), "q, 1"]
    assert "lies outside of" in str(outside)
    assert "column 'file_name' is missing or empty" in str(nameless)
    assert [reason[:17] for reason in map(str, broken)] == (
        [] if kind == "metadata.csv" else ["4: not valid JSON"]
    )


def test_two_kinds_of_metadata_in_a_folder(tmp_path: Path) -> None:
    for name in ("metadata.jsonl", "metadata.csv"):
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=r"has both metadata\.jsonl and metadata\.csv"):
        files_of(tmp_path)


# --- the hub ---


def test_a_dataset_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    # `datasets` takes a folder of this name for it; there is no hub in a test.
    rows = [{"question": "q", "answer": str(i), "image": {"bytes": RED}} for i in range(3)]
    features = datasets.Features(
        question=datasets.Value("string"), answer=datasets.Value("string"), image=datasets.Image()
    )
    table = datasets.Dataset.from_list(rows, features=features)
    for subset, split, size in (("easy", "train", 3), ("hard", "train", 1), ("hard", "test", 2)):
        path = Path("owner/name", subset, f"{split}-00000-of-00001.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        table.select(range(size)).to_parquet(path)
    Path("owner/name/README.md").write_text(
        "---\nconfigs:\n"
        "- {config_name: easy, data_dir: easy}\n"
        "- {config_name: hard, data_dir: hard}\n---\n"
    )
    source = SourceConfig(path="hf://owner/name", subset="hard", split="test")
    first, second = examples(source)
    assert parts(first) == [RED, "q"]
    assert isinstance(second, Example) and second.id == "name:2"
    assert len(examples(source.model_copy(update={"subset": "easy", "split": "train[1:]"}))) == 2
    for wrong, reason in ({"subset": "none"}, "none"), ({"split": "dev"}, "dev"):
        with pytest.raises(DataError, match=f"^hf://owner/name, split .*{reason}") as caught:
            examples(source.model_copy(update=wrong))
        assert "\n" not in str(caught.value)
        assert "see that the id, subset and split exist" in str(caught.value)


def test_images_that_datasets_keeps_as_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    folder = Path("owner/name/train")
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(RED)
    row = {"file_name": "a.png", "question": "q", "answer": "1"}
    (folder / "metadata.jsonl").write_text(json.dumps(row))
    [refused] = examples(SourceConfig(path="hf://owner/name"))
    assert "lies outside of hf:" in str(refused)
    [example] = examples(SourceConfig(path="hf://owner/name", image_root=tmp_path))
    assert parts(example) == [str(folder.resolve() / "a.png"), "q"]


def test_no_hub_in_reach_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    for read in (open_rows, lambda path: list(each_row(path))):
        with pytest.raises(DataError, match=r"^hf://no-one/nothing, split train: ") as e:
            read(Path("hf://no-one/nothing"))
        assert "\n" not in str(e.value)


def test_the_hubs_paths_in_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: {name: m}\ndata: {train: ['hf://owner/na.me']}")
    config = load_config(path, ["data.train.0.subset=hard"])
    assert "path: hf://owner/na.me\n" in dump_config(config)
    path.write_text(dump_config(config))
    assert load_config(path) == config
    for entry, reason in (
        ("{path: a.jsonl, split: test}", "subset and split are for datasets of the hub"),
        ("{path: a.jsonl, subset: x}", "subset and split are for datasets of the hub"),
        ("hf://owner", "hf://owner is no dataset's name; expected hf://owner/name"),
        ("hf://datasets/owner/name", "expected hf://owner/name"),
    ):
        path.write_text(f"model: {{name: m}}\ndata: {{train: [{entry}]}}")
        with pytest.raises(ConfigError, match=reason):
            load_config(path)


def test_an_image_ref_is_bytes_or_a_path(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a.json", row_json("1")), ("a.png", RED)])
    [example] = examples(SourceConfig(path=path))
    assert isinstance(example, Example)
    assert example.images == (ImageRef(data=RED),)
