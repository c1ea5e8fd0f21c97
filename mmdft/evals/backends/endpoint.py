"""Answers from a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from PIL import Image

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.data.fields import OWN_PIXELS
from mmdft.errors import ConfigError, DataError
from mmdft.evals.backends import Backend
from mmdft.evals.backends.messages import Pixels, chat_messages
from mmdft.evals.server import Reply, ServerError, complete, in_parallel, open_client, public_url
from mmdft.records import ImageRef, Prediction, Request, Turn, Unanswered

if TYPE_CHECKING:
    from openai import OpenAI

Outcome = Prediction | Unanswered

# So many requests in a row that failed for the server's sake, each after its retries: it is gone.
GONE_AFTER = 8


@dataclass(slots=True)
class _Server:
    """A server, and what has been seen of it."""

    client: OpenAI
    address: str
    name: str
    settings: DecodingConfig
    pixels: Pixels
    works: bool = False
    failures: int = 0
    gone: Event = field(default_factory=Event)


def open_endpoint(model: ModelConfig, settings: DecodingConfig, pixels: Pixels) -> Backend:
    """A backend that asks the server at `settings.backend.url`; nothing is sent yet.

    The server makes the chat's tokens and may resize images once more, and what the protocol has no
    word for, such as a repetition penalty, is as the server has it.

    A request that fails after its retries is unanswered. After `GONE_AFTER` in a row that the
    server did not reply to, or only with errors of its own, the others are unanswered at once. If
    it never answered any, that is an error instead.

    Raises:
        ConfigError: the package openai is not installed, or the URL is none. While answering: the
            server refuses what every request has, such as the model's name or the key.
        ServerError: while answering: the server has not answered anything.
    """
    backend = settings.backend
    if backend.url is None:
        raise ConfigError("the backend endpoint needs url; set backend.url")
    name = backend.model or model.name
    server = _Server(
        client=open_client(backend, backend.url),
        address=public_url(backend.url),
        name=name,
        settings=settings,
        pixels=pixels,
    )
    return Backend(
        identity={"backend": "endpoint", "model": name, "pixels": list(pixels)},
        details={"url": server.address},
        answer=partial(_answer, server),
    )


def _answer(server: _Server, requests: Sequence[Request]) -> Iterator[list[Outcome]]:
    # One more failure shows whether a server that was gone is still gone.
    server.failures = min(server.failures, GONE_AFTER - 1)
    server.gone.clear()
    # Nothing is said of the requests that failed until it is known that others do not.
    held: list[Outcome] = []
    last: ServerError | None = None
    calls = (partial(_ask, server, request) for request in requests)
    for request, reply in in_parallel(calls, server.settings.backend.concurrency):
        if isinstance(reply, Reply):
            server.works, server.failures = True, 0
        elif isinstance(reply, ServerError):
            last = reply
            _judge(server, request, reply)
        held.append(_outcome(server, request, reply))
        if server.works:
            yield held
            held = []
    if held and last is not None:
        raise _never_answered(server, last)


def _ask(server: _Server, request: Request) -> tuple[Request, Reply | ServerError | None]:
    """What came of a request; None if it was not sent, because the server is gone."""
    if server.gone.is_set():
        return request, None
    smallest, largest = request.example.meta.get(OWN_PIXELS, (None, None))
    pixels = (smallest or server.pixels[0], largest or server.pixels[1])
    try:
        messages = chat_messages(request.example.prompt, pixels)
    except DataError as error:
        raise DataError(f"item {request.example.id}: {error}") from error
    try:
        return request, _complete(server, messages, request)
    except ServerError as error:
        return request, error


def _complete(server: _Server, messages: list[dict[str, object]], request: Request) -> Reply:
    return complete(
        server.client,
        server.name,
        messages,
        max_tokens=request.max_new_tokens or server.settings.max_new_tokens,
        temperature=server.settings.temperature,
        top_p=server.settings.top_p,
        seed=request.seed,
    )


def _outcome(server: _Server, request: Request, reply: Reply | ServerError | None) -> Outcome:
    identity, sample = request.example.id, request.sample
    if isinstance(reply, Reply):
        return Prediction(
            id=identity,
            sample=sample,
            response=reply.text,
            num_tokens=reply.num_tokens,
            truncated=reply.truncated,
        )
    if reply is None:
        reason = f"not asked: {GONE_AFTER} requests in a row had failed at {server.address}"
        return Unanswered(id=identity, sample=sample, reason=reason)
    return Unanswered(id=identity, sample=sample, reason=str(reply))


def _judge(server: _Server, request: Request, error: ServerError) -> None:
    """Note a failure; stop where it will be that of every request."""
    if _is_refusal(error):
        server.failures = 0
        if not server.works:
            _check_settings(server, request, error)
        return
    server.failures += 1
    if server.failures >= GONE_AFTER:
        if not server.works:
            raise _never_answered(server, error)
        server.gone.set()


def _is_refusal(error: ServerError) -> bool:
    """Whether the server is there, and would not say otherwise if it were asked again."""
    status = error.status
    return status is not None and status < 500 and status not in (408, 409, 429)


def _check_settings(server: _Server, request: Request, error: ServerError) -> None:
    """Stop if the first refused request was refused for what all requests have in common."""
    refusal = f"{server.address} refuses the model {server.name!r}: {error}; "
    if error.status in (401, 403):
        variable = server.settings.backend.key_variable
        raise ConfigError(
            f"{refusal}put a key that it takes in the environment variable {variable}, or name "
            "another variable as backend.key_variable"
        ) from error
    if error.status in (404, 405):
        raise ConfigError(
            f"{refusal}set backend.model to one of the names at {server.address}/models, and "
            "backend.url to the address that /chat/completions follows"
        ) from error
    # An item may be too long, or what the server's filter withholds. This one is not.
    try:
        _complete(server, _trial(request), request)
    except ServerError as second:
        if not _is_refusal(second):
            return
        mend = (
            "set backend.url to the address that /chat/completions follows"
            if second.status == 200
            else "mend the decoding's settings, or choose another model"
        )
        raise ConfigError(
            f"{server.address} does not take a question of two words for the model "
            f"{server.name!r}, asked as the items are: {second}; {mend}"
        ) from second
    server.works = True


def _trial(request: Request) -> list[dict[str, object]]:
    """A question that no server finds too long, with an image if the request has one."""
    parts: list[str | ImageRef] = ["Say yes."]
    if request.example.images:
        stream = io.BytesIO()
        Image.new("RGB", (56, 56), "white").save(stream, format="PNG")
        parts.insert(0, ImageRef(data=stream.getvalue()))
    return chat_messages([Turn(role="user", parts=tuple(parts))], (None, None))


def _never_answered(server: _Server, error: ServerError) -> ServerError:
    return ServerError(
        f"{server.address} has answered no request, and the last was: {error}; start the server or "
        "mend backend.url and backend.model, then run the same command again",
        status=error.status,
    )
