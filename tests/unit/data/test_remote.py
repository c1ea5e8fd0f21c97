"""Images at web addresses: refused unless allowed; then fetched once, whole, from the web alone."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from mmdft.config import SourceConfig
from mmdft.data import remote
from mmdft.data.images import open_image
from mmdft.data.remote import fetched
from mmdft.data.sources import origin_of, to_example
from mmdft.errors import DataError


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(stream, "PNG")
    return stream.getvalue()


class Server(ThreadingHTTPServer):
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/gone.png":
            return self.send_error(404)
        if self.path == "/busy.png" and self.server.asked.count(self.path) < 3:
            return self.send_error(503)
        if self.path == "/elsewhere.png":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1:1/a.png")
            return self.end_headers()
        content = b"x" * 2000 if self.path == "/large.png" else png()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:-5] if self.path == "/cut.png" else content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is not the server's."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(remote, "_PAUSES", (0, 0))
    running = Server(("127.0.0.1", 0), Handler)
    running.asked = []
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def address(server: Server, name: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{name}"


def test_fetched_once_and_kept(server: Server, tmp_path: Path) -> None:
    row = {"images": [address(server, "a.png")] * 2, "question": "?", "answer": "1"}
    origin = origin_of(SourceConfig(path=tmp_path / "rows.jsonl", allow_remote=True), 1)
    first, second = to_example(row, origin, None).images
    assert first == second and server.asked == ["/a.png"]
    assert first.path is not None and first.path.read_bytes() == png()
    assert open_image(first).size == (30, 20)
    assert fetched(address(server, "a.png")) == first.path and server.asked == ["/a.png"]
    assert [path.name for path in (tmp_path / "cache/mmdft/images").iterdir()] == [first.path.name]


def test_refused_unless_allowed(server: Server, tmp_path: Path) -> None:
    row = {"images": [address(server, "a.png")], "question": "?", "answer": "1"}
    with pytest.raises(DataError, match=r"a\.png' is a web address; .*allow_remote: true"):
        to_example(row, origin_of(SourceConfig(path=tmp_path / "rows.jsonl"), 1), None)
    assert server.asked == []


def test_a_busy_server_is_asked_again(server: Server) -> None:
    assert fetched(address(server, "busy.png")).read_bytes() == png()
    assert server.asked == ["/busy.png"] * 3


@pytest.mark.parametrize(
    ("name", "reason", "asked"),
    [
        ("gone.png", "HTTP 404 Not Found", 1),
        ("cut.png", "5 bytes are missing at its end", 3),
        ("large.png", "is over 1,000 bytes; scale it down", 1),
        ("elsewhere.png", "could not be fetched|is not at an http", 1),
    ],
)
def test_refused_by_name(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    reason: str,
    asked: int,
) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match=reason) as caught:
        fetched(address(server, name))
    assert name in str(caught.value)
    assert server.asked.count(f"/{name}") >= asked
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_no_answer_and_another_scheme(server: Server) -> None:
    server.shutdown()
    with pytest.raises(DataError, match="not at an http or https address"):
        fetched("ftp://127.0.0.1/a.png")
    with pytest.raises(DataError, match="not at an http or https address"):
        fetched("gs://bucket/a.png")
    server.socket.close()
    with pytest.raises(DataError, match="could not be fetched"):
        fetched(address(server, "a.png"))
