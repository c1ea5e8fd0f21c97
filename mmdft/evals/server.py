"""A client of servers that speak OpenAI's chat completions: retries, and what went wrong in words.

The package openai is imported when a client is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from mmdft.config import EndpointConfig
from mmdft.errors import ConfigError, DataError, MmdftError
from mmdft.files import parse_json

if TYPE_CHECKING:
    from openai import OpenAI

Result = TypeVar("Result")

# A server that is there takes a connection at once.
_CONNECT_SECONDS = 10.0
_LONGEST_QUOTE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server replied.

    Attributes:
        text: The reply; reasoning that came in a field of its own is put before it, in
            `<think>...</think>`, without the end if the reply was cut before it.
        num_tokens: Its length as the server counts it, reasoning included; 0 if it does not say.
        truncated: Whether it was cut at `max_tokens`.
    """

    text: str
    num_tokens: int = 0
    truncated: bool = False


class ServerError(MmdftError):
    """A request got no reply that can be used, after its retries; the message says why.

    `status` is the HTTP status, None if no reply came at all; `code` is the server's own word for
    the error, such as "insufficient_quota", or "".
    """

    def __init__(self, message: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def open_client(settings: EndpointConfig, url: str) -> OpenAI:
    """A client of the server at `url`; nothing is sent yet.

    The key is read from the environment variable `settings.key_variable`; a server that needs none
    is sent a placeholder. Failed requests are sent again `settings.retries` times, after 0.5 s and
    then twice as long each time up to 8 s, or as the server's Retry-After says: connections that
    fail, and the statuses 408, 409, 429 and from 500.

    Raises:
        ConfigError: the package openai is not installed, or the URL names no host.
    """
    try:
        import openai
    except ImportError as error:
        raise ConfigError(
            "asking a server needs the package openai; run `pip install 'mmdft[endpoint]'`"
        ) from error
    # Its parts are looked at here, where a mistake in one can be told.
    public_url(url)
    return openai.OpenAI(
        api_key=_key(settings),
        base_url=url,
        timeout=openai.Timeout(settings.timeout, connect=min(settings.timeout, _CONNECT_SECONDS)),
        max_retries=settings.retries,
    )


def public_url(url: str) -> str:
    """A URL as it may be written down: without user, password, query and fragment.

    Raises:
        ConfigError: it names no host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"the server's url is no URL: {error}") from error
    if not host:
        raise ConfigError("the server's url names no host; expected one like http://localhost:8000")
    place = f"[{host}]" if ":" in host else host
    return urlunsplit(
        (parts.scheme, place if port is None else f"{place}:{port}", parts.path, "", "")
    )


def complete(
    client: OpenAI,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    max_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
) -> Reply:
    """Ask for one chat completion and wait for it.

    Args:
        client: of `open_client`; several threads may share it.
        model: the server's name for the model.
        messages: `{"role", "content"}`; content is a text, or a list of parts of the protocol.
        max_tokens: longest reply.
        temperature: 0 for the likeliest token.
        top_p: as in `DecodingConfig`.
        seed: of this reply's sampling, where the server keeps to it.

    Raises:
        ServerError: no reply came, it says there was an error, or it is no chat completion.
    """
    import openai

    # OpenAI's newer models refuse the old name; few other servers know the new one.
    length = "max_completion_tokens" if _is_openai(client) else "max_tokens"
    try:
        raw = client.chat.completions.with_raw_response.create(
            model=model,
            messages=list(messages),  # type: ignore[arg-type]
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            extra_body={length: max_tokens},
        )
    except openai.APIStatusError as error:
        said = _without_key(_said(error), client)
        raise ServerError(
            f"HTTP status {error.status_code}: {said}",
            status=error.status_code,
            code=error.code or "",
        ) from error
    except openai.APITimeoutError as error:
        raise ServerError("no reply within the time limit") from error
    except openai.APIConnectionError as error:
        raise ServerError(f"no connection, or it broke off ({_root(error)})") from error
    return _reply(raw.http_response.content, raw.http_response.status_code)


def in_parallel(calls: Iterable[Callable[[], Result]], concurrency: int) -> Iterator[Result]:
    """Run calls in `concurrency` threads and yield their results as they come, in any order.

    A call is taken from `calls` when a thread is free. What a call raises is raised here, and no
    further call is begun; nor is one once the caller stops asking for results.
    """
    waiting, taking = iter(calls), Lock()
    results: SimpleQueue[tuple[Result] | BaseException | None] = SimpleQueue()
    stopped = Event()

    def work() -> None:
        try:
            while not stopped.is_set():
                with taking:
                    call = next(waiting, None)
                if call is None:
                    break
                results.put((call(),))
        except BaseException as error:  # noqa: BLE001 - raised again where the results are taken
            results.put(error)
        results.put(None)

    # Daemons, as a reply may take minutes and an interrupted program should not wait for it.
    for _ in range(concurrency):
        Thread(target=work, daemon=True).start()
    working = concurrency
    try:
        while working:
            result = results.get()
            if result is None:
                working -= 1
            elif isinstance(result, BaseException):
                raise result
            else:
                yield result[0]
    finally:
        stopped.set()


def _key(settings: EndpointConfig) -> str:
    return os.environ.get(settings.key_variable) or "none"


def _is_openai(client: OpenAI) -> bool:
    host = client.base_url.host
    return host.endswith((".openai.com", ".openai.azure.com"))


def _reply(content: bytes, status: int) -> Reply:
    def unusable(why: str) -> ServerError:
        start = content[:100].decode(errors="replace")
        return ServerError(
            f"the reply is no chat completion: {why}; it begins {start!r}", status=status
        )

    try:
        body = parse_json(content)
    except DataError as error:
        raise unusable(str(error)) from error
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise unusable("it has no choices[0].message")
    text = message.get("content")
    # Two names are in use for the reasoning.
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    for value in (text, reasoning):
        if not isinstance(value, str | None):
            raise unusable("the message's content is no text")
    ended = choice.get("finish_reason")
    if ended == "content_filter":
        raise ServerError("the server's content filter withheld the reply", status=status)
    usage = body.get("usage")
    counted = usage.get("completion_tokens") if isinstance(usage, dict) else None
    truncated = ended == "length"
    return Reply(
        text=_with_reasoning(text or "", reasoning or "", truncated),
        num_tokens=counted if isinstance(counted, int) else 0,
        truncated=truncated,
    )


def _with_reasoning(text: str, reasoning: str, truncated: bool) -> str:
    if not reasoning:
        return text
    # As a model writes it: what was cut off while it thought has no end of thinking.
    return f"<think>{reasoning}" + ("" if truncated and not text else f"</think>\n\n{text}")


def _said(error: Any) -> str:
    """What the server said of an error, shortened: its message, or whatever it sent."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    said = " ".join(str(message or error.response.text or "no reason given").split())
    return said if len(said) <= _LONGEST_QUOTE else f"{said[:_LONGEST_QUOTE]}..."


def _without_key(text: str, client: OpenAI) -> str:
    """The text without the key, which a server may say back, and which must not be kept."""
    key = client.api_key
    return text.replace(key, "[key]") if key and key != "none" else text


def _root(error: BaseException) -> str:
    """What lies behind a failed connection."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
