"""Rows by their place are the rows in order, whatever the file."""

import gzip
import json

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.data.readers import each_row, open_rows
from mmdft.errors import DataError

ROWS = [{"question": f"q{i} é\u2028", "answer": str(i)} for i in range(7)]


def write(kind, folder):
    path = folder / kind
    if kind == "rows.jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
        path.write_text("\n" + "\n\n".join(lines), encoding="utf-8")  # no end of line at the end
    elif kind == "rows.jsonl.gz":
        path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode()))
    elif kind == "rows.json":
        path.write_text(json.dumps(ROWS))
    elif kind == "rows.parquet":
        datasets.Dataset.from_list(ROWS).to_parquet(path)
    else:
        datasets.Dataset.from_list(ROWS).save_to_disk(path)
    return path


KINDS = ["rows.jsonl", "rows.jsonl.gz", "rows.json", "rows.parquet", "saved"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [None, 3, 100])
def test_by_place_as_in_order(kind, limit, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = write(kind, tmp_path)
    inorder = list(each_row(path, limit))
    rows = open_rows(path, limit)
    assert len(rows) == len(inorder) == min(limit or 7, 7)
    strip = lambda row: row.strip() if isinstance(row, bytes) else row  # noqa: E731
    places = [5, 0, 6, 2] if len(rows) == 7 else [2, 0, 1]
    for place in places:
        number, row = rows[place]
        assert (number, strip(row)) == (inorder[place][0], strip(inorder[place][1]))
        parsed = json.loads(row) if isinstance(row, bytes) else row
        assert parsed == ROWS[place]


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b" ")), max_size=20))
def test_any_lines_by_place(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lines") / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    rows = open_rows(path)
    found = [rows[place] for place in range(len(rows))]
    assert [(n, row.rstrip(b"\n")) for n, row in found] == list(each_row(path))


@pytest.mark.parametrize("name", ["gone.jsonl", "gone.parquet", "gone.json", "gone.txt"])
def test_a_missing_or_unknown_file_is_named(name, tmp_path):
    for read in (open_rows, lambda path: list(each_row(path))):
        with pytest.raises(DataError, match=name):
            read(tmp_path / name)


def test_a_cut_parquet_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = write("rows.parquet", tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"rows\.parquet: not a whole parquet file"):
        open_rows(path)
