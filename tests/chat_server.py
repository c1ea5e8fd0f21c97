"""A real HTTP server on loopback that speaks just enough of OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import monotonic
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back. A `body` that is no text is sent as JSON; None closes the connection.

    With a Content-Length of its own, the connection is closed after the body.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as it came; names of headers are in small letters, `time` is in seconds."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    path: str
    time: float


@dataclass(frozen=True, kw_only=True)
class Running:
    """The server: its address, what it was asked so far, and how to end it."""

    url: str
    asked: list[Asked]
    stop: Callable[[], None]


def completion(text: str | None, ended: str = "stop", tokens: int = 3, **message: Any) -> Answer:
    """A reply as the protocol has it."""
    choice = {
        "index": 0,
        "finish_reason": ended,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return Answer(body={**body, "choices": [choice], "usage": usage})


def refusal(status: int, message: str, **more: Any) -> Answer:
    """An error as the protocol has it."""
    headers = more.pop("headers", {})
    return Answer(body={"error": {"message": message, **more}}, status=status, headers=headers)


@contextmanager
def chat_server(answer: Callable[[int, dict[str, Any]], Answer]) -> Iterator[Running]:
    """Serve `answer(number of the request from 0, its body)` until the block ends.

    After `stop()` connections are refused.
    """
    asked: list[Asked] = []
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(asked)
                asked.append(
                    Asked(
                        body=body,
                        headers={name.lower(): value for name, value in self.headers.items()},
                        path=self.path,
                        time=monotonic(),
                    )
                )
            reply = answer(number, body)
            if reply.body is None:
                self.close_connection = True
                return
            text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            content = text.encode()
            usual = {"Content-Type": "application/json", "Content-Length": str(len(content))}
            self.send_response(reply.status)
            for name, value in {**usual, **reply.headers}.items():
                self.send_header(name, value)
            self.close_connection = bool(stopped) or "Content-Length" in reply.headers
            # The client may have left by now.
            with suppress(BrokenPipeError, ConnectionResetError):
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    stopped: list[bool] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def stop() -> None:
        if not stopped:
            stopped.append(True)
            server.shutdown()
            server.socket.close()

    try:
        yield Running(url=f"http://127.0.0.1:{server.server_port}/v1", asked=asked, stop=stop)
    finally:
        stop()
        thread.join()
