"""A failed write costs nothing that was there; a broken file is named."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.errors import DataError
from mmdft.files import (
    parse_json,
    read_json,
    read_jsonl,
    resolve_inside,
    write_bytes,
    write_json,
    write_jsonl,
)

# --- writing ---


def test_a_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.bin"
    write_bytes(path, b"old and longer")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["x.bin"]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    write_bytes(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a full disk, part of the content is written before the error.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        for target in (path, tmp_path / "new.bin"):
            with pytest.raises(OSError) as caught:
                write_bytes(target, b"x" * 1_000_000)
            assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


def test_a_rename_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    before = path.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"a": 2})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_rows_that_fail_on_the_way_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_jsonl(path, [{"a": 1}])
    with pytest.raises(TypeError):
        write_jsonl(path, [{"a": 2}, {"a": object()}])
    assert path.read_text() == '{"a": 1}\n'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(rows=st.lists(JSON, max_size=4))
def test_rows_come_back(tmp_path: Path, rows: list[Any]) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, rows)
    assert list(read_jsonl(path)) == list(enumerate(rows, start=1))


# --- reading ---


def test_a_line_separator_in_a_string_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    text = "a\u2028b\u2029c\x85d\x0ce"
    path.write_bytes(json.dumps({"t": text}, ensure_ascii=False).encode() + b"\r\n\n  \n[\r2]")
    assert list(read_jsonl(path)) == [(1, {"t": text}), (4, [2])]


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"1\n\n2\n"))
    assert list(read_jsonl(path)) == [(1, 1), (3, 2)]
    whole = tmp_path / "x.json.gz"
    whole.write_bytes(gzip.compress(b"[1, 2]"))
    assert read_json(whole) == [1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": "\xff"}', r"not UTF-8 text \(byte 7\)"),
        (b'{"a": "\xed\xa0\x80"}', r"not UTF-8 text \(byte 7\)"),
        (b'{"a": "\\ud83d"}', "half a character"),
        (b'{"a": "\\uDE00"}', "half a character"),
        ("[1]".encode("utf-16"), "not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", "not valid JSON"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        parse_json(line)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"[]\n\n" + line)
    rows = read_jsonl(path)
    assert next(rows) == (1, [])
    with pytest.raises(DataError, match=rf"x\.jsonl:3: .*{reason}"):
        next(rows)
    whole = tmp_path / "x.json"
    whole.write_bytes(line)
    with pytest.raises(DataError, match=rf"x\.json: .*{reason}"):
        read_json(whole)


def test_escapes_that_are_whole_characters_are_read() -> None:
    assert parse_json(b'"\\ud83d\\ude00"') == "😀"
    assert parse_json(b'"\\\\ud83d"') == "\\ud83d"


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
def test_broken_gzip_is_named(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(os.urandom(2000))
    content = {
        "cut": whole[:1000],
        "flipped": whole[:10] + b"\xff" * 40 + whole[50:],
        "not gzip": b"[1, 2]\n",
    }[damage]
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.jsonl\.gz: named \.gz but not a whole gzip file"):
        list(read_jsonl(path))


def test_a_missing_or_unreadable_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for read in (read_json, lambda path: list(read_jsonl(path))):
        with pytest.raises(DataError, match=r"none\.json: no such file"):
            read(tmp_path / "none.json")
    path = tmp_path / "locked.json"
    path.touch()

    def locked(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", locked)
    with pytest.raises(DataError, match=r"locked\.json: cannot be read \(Permission denied\)"):
        read_json(path)


# --- paths in data ---


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "in.png").touch()
    (root / "a..b.png").touch()
    (tmp_path / "out.png").touch()
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "out.png").touch()
    (root / "away.png").symlink_to(tmp_path / "out.png")
    (root / "up").symlink_to(tmp_path)
    (root / "near.png").symlink_to(root / "sub" / "in.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    return root


@pytest.mark.parametrize("name", ["sub/in.png", "./sub/../sub/in.png", "near.png"])
def test_names_inside(root: Path, name: str) -> None:
    assert resolve_inside(root, name) == (root / "sub" / "in.png").resolve()


def test_absolute_inside_dots_in_a_name_and_a_linked_root(root: Path) -> None:
    inside = root / "sub" / "in.png"
    assert resolve_inside(root, str(inside)) == inside.resolve()
    assert resolve_inside(root, "a..b.png").name == "a..b.png"
    link = root.parent / "link"
    link.symlink_to(root)
    assert resolve_inside(link, "sub/in.png") == inside.resolve()


@pytest.mark.parametrize(
    "name",
    [
        "../out.png",
        "sub/../../out.png",
        "../root2/out.png",
        "away.png",
        "up/out.png",
        "/etc/passwd",
    ],
)
def test_names_outside(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"lies outside of .*; put the file below that folder"):
        resolve_inside(root, name)


@pytest.mark.parametrize("name", ["none.png", "sub", "", "sub/in.png/x"])
def test_names_of_no_file(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}: no such file below"):
        resolve_inside(root, name)


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000, "loop.png", "\ud800.png"])
def test_names_that_no_file_can_have(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"not a file name|no such file") as caught:
        resolve_inside(root, name)
    assert len(str(caught.value)) < 500
