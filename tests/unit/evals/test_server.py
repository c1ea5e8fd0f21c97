import sys
import time
from threading import Lock, get_ident

import pytest
from chat_server import Answer, chat_server, completion, refusal

from mmdft.config import EndpointConfig
from mmdft.errors import ConfigError
from mmdft.evals.server import (
    Reply,
    ServerError,
    complete,
    in_parallel,
    open_client,
    public_url,
)

MESSAGES = [{"role": "user", "content": "How many?"}]
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OUR_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def ask(url, *, retries=0, timeout=20.0, max_tokens=16, messages=MESSAGES):
    settings = EndpointConfig(retries=retries, timeout=timeout, key_variable="OUR_KEY")
    client = open_client(settings, url)
    return complete(
        client, "m", messages, max_tokens=max_tokens, temperature=0.5, top_p=0.75, seed=7
    )


def reply_to(*answers, retries=0, **settings):
    """The reply and what was asked, of a server whose answers come in this order."""
    with chat_server(lambda number, _: answers[number]) as server:
        return ask(server.url, retries=retries, **settings), server.asked


def error_of(*answers, retries=0, **settings):
    with (
        chat_server(lambda number, _: answers[number]) as server,
        pytest.raises(ServerError) as caught,
    ):
        ask(server.url, retries=retries, **settings)
    return caught.value, server.asked


def test_what_is_sent_and_what_comes():
    reply, (asked,) = reply_to(completion("5", tokens=2))
    assert reply == Reply(text="5", num_tokens=2, truncated=False)
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "m",
        "messages": MESSAGES,
        "max_tokens": 16,
        "temperature": 0.5,
        "top_p": 0.75,
        "seed": 7,
    }


def test_a_server_without_key_gets_a_placeholder(monkeypatch):
    monkeypatch.delenv("OUR_KEY")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    _, (asked,) = reply_to(completion("5"))
    assert asked.headers["authorization"] == "Bearer none"


def test_a_reply_cut_by_length():
    reply, _ = reply_to(completion("The answer", ended="length", tokens=16))
    assert reply == Reply(text="The answer", num_tokens=16, truncated=True)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_of_its_own_field_comes_first(name):
    reply, _ = reply_to(completion("5", **{name: "2 and 3."}))
    assert reply.text == "<think>2 and 3.</think>\n\n5"
    cut, _ = reply_to(completion(None, ended="length", **{name: "2 and"}))
    assert (cut.text, cut.truncated) == ("<think>2 and", True)


def test_no_content_and_no_usage():
    answer = completion(None)
    del answer.body["usage"]
    assert reply_to(answer)[0] == Reply(text="", num_tokens=0)


def test_a_busy_server_is_asked_again_when_it_says():
    busy = refusal(429, "slow down", headers={"Retry-After": "1"})
    reply, asked = reply_to(busy, completion("5"), retries=1)
    assert reply.text == "5"
    # By itself it would have waited half a second at the most.
    assert 1.0 <= asked[1].time - asked[0].time < 5.0


def test_an_error_of_the_server_is_tried_again_and_told_after_the_retries():
    broken = refusal(500, "out of memory")
    reply, asked = reply_to(broken, completion("5"), retries=1)
    assert (reply.text, len(asked)) == ("5", 2)
    error, asked = error_of(broken, broken, retries=1)
    assert (str(error), error.status, len(asked)) == ("HTTP status 500: out of memory", 500, 2)


def test_a_connection_that_breaks_off_is_tried_again():
    gone = Answer(body=None)
    assert reply_to(gone, completion("5"), retries=1)[0].text == "5"
    error, _ = error_of(gone)
    assert error.status is None
    assert "it broke off" in str(error)


def test_a_body_that_breaks_off_is_no_reply():
    half = Answer(body='{"choices": [', headers={"Content-Length": "500"})
    assert error_of(half)[0].status is None
    assert reply_to(half, completion("5"), retries=1)[0].text == "5"


def test_refusals_are_not_tried_again():
    error, asked = error_of(refusal(404, "no model m", code="model_not_found"), retries=3)
    assert str(error) == "HTTP status 404: no model m"
    assert (error.status, error.code, len(asked)) == (404, "model_not_found", 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(body={"detail": "Not Found"}, status=404), '{"detail": "Not Found"}'),
        (Answer(body={"error": "no such model"}, status=404), "no such model"),
        (Answer(body="", status=404), "no reason given"),
        (Answer(body="<h1>no\n\nway</h1>", status=404), "<h1>no way</h1>"),
        (refusal(404, "x" * 1000), "x" * 300 + "..."),
    ],
)
def test_errors_in_other_forms(answer, said):
    assert str(error_of(answer)[0]) == f"HTTP status 404: {said}"


def test_the_key_is_never_repeated():
    error, _ = error_of(refusal(401, f"wrong key {KEY}."))
    assert str(error) == "HTTP status 401: wrong key [key]."


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(body='{"choices": [{"mess'), "not valid JSON"),
        (Answer(body="<html>", headers={"Content-Type": "text/html"}), "begins '<html>'"),
        (Answer(body=[]), "no choices"),
        (Answer(body={"choices": []}), "no choices"),
        (Answer(body={"choices": [{"message": {"content": ["5"]}}]}), "is no text"),
        (completion("", ended="content_filter"), "withheld"),
    ],
)
def test_what_is_no_completion_is_told(answer, why):
    error, asked = error_of(answer)
    assert why in str(error)
    assert (error.status, len(asked)) == (200, 1)


def test_no_server_at_all():
    with chat_server(lambda *_: completion("5")) as server:
        server.stop()
        with pytest.raises(ServerError, match="no connection") as caught:
            ask(server.url)
    assert caught.value.status is None
    assert "refused" in str(caught.value)


def test_a_server_that_does_not_reply():
    def slow(*_):
        time.sleep(1.0)
        return completion("5")

    with chat_server(slow) as server, pytest.raises(ServerError, match="time limit"):
        ask(server.url, timeout=0.1)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/v1", "max_completion_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
    ],
)
def test_the_name_of_the_length(url, name):
    import httpx2
    import openai

    sent = []

    def see(request):
        sent.append(request.content)
        return httpx2.Response(200, json=completion("5").body)

    client = openai.OpenAI(
        api_key="k",
        base_url=url,
        http_client=openai.DefaultHttpxClient(transport=httpx2.MockTransport(see)),
    )
    complete(client, "m", MESSAGES, max_tokens=16, temperature=0, top_p=1, seed=0)
    assert f'"{name}":16'.encode() in sent[0].replace(b" ", b"")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match=r"mmdft\[endpoint\]"):
        open_client(EndpointConfig(), "http://localhost/v1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:word@host:8000/v1?key=1#x", "http://host:8000/v1"),
        ("https://host/v1/", "https://host/v1/"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_addresses_without_their_secrets(url, shown):
    assert public_url(url) == shown


@pytest.mark.parametrize("url", ["http://", "http:///v1", "http://host:port/v1", "http://[::1/v1"])
def test_addresses_that_are_none(url):
    with pytest.raises(ConfigError, match="url"):
        open_client(EndpointConfig(), url)


def test_calls_run_at_once_and_their_results_come_as_they_are_done():
    # Each waits for all others to have begun: one after another they would never end.
    begun, lock = set(), Lock()

    def call(number):
        with lock:
            begun.add(number)
        while len(begun) < 4:
            time.sleep(0.001)
        time.sleep(0.05 * (4 - number))
        return number

    calls = (lambda number=number: call(number) for number in range(4))
    assert list(in_parallel(calls, 4)) == [3, 2, 1, 0]


def test_no_more_calls_at_once_than_told():
    running, most, lock = set(), [0], Lock()

    def call(number):
        with lock:
            running.add(get_ident())
            most[0] = max(most[0], len(running))
        time.sleep(0.005)
        with lock:
            running.remove(get_ident())
        return number

    results = in_parallel((lambda number=number: call(number) for number in range(20)), 3)
    assert sorted(results) == list(range(20))
    assert most == [3]
    assert list(in_parallel([], 3)) == []


def test_a_failed_call_is_raised_and_ends_the_others():
    taken = []

    def calls():
        for number in range(1000):
            taken.append(number)
            yield lambda number=number: 1 // (number - 5)

    with pytest.raises(ZeroDivisionError):
        list(in_parallel(calls(), 2))
    time.sleep(0.05)
    ended = len(taken)
    time.sleep(0.05)
    assert len(taken) == ended


def test_a_failure_between_calls_is_raised():
    def calls():
        yield lambda: 1
        raise KeyError("no more")

    with pytest.raises(KeyError):
        list(in_parallel(calls(), 2))


def test_no_call_begins_after_the_caller_left():
    begun = []

    def call(number):
        begun.append(number)
        time.sleep(0.01)
        return number

    results = in_parallel((lambda number=number: call(number) for number in range(1000)), 2)
    next(results)
    results.close()
    time.sleep(0.05)
    ended = len(begun)
    assert ended < 20
    time.sleep(0.05)
    assert len(begun) == ended
