import io
import time
from base64 import b64decode

import pytest
from chat_server import Answer, chat_server, completion, refusal
from PIL import Image

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.data.fields import OWN_PIXELS
from mmdft.errors import ConfigError, DataError
from mmdft.evals.backends import open_backend
from mmdft.evals.backends.endpoint import GONE_AFTER
from mmdft.evals.server import ServerError
from mmdft.records import Example, ImageRef, Prediction, Request, Turn, Unanswered


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def png(side=40):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(stream, format="PNG")
    return stream.getvalue()


def request(identity, *, image=None, sample=0, meta=None):
    parts = (f"Question {identity}",) if image is None else (ImageRef(data=image), identity)
    turns = (Turn(role="user", parts=parts), Turn(role="assistant", parts=("gold",)))
    example = Example(id=identity, turns=turns, answer="gold", meta=meta or {})
    return Request(example=example, sample=sample, seed=100 + sample)


def opened(url, pixels=(None, None), concurrency=1, **decoding):
    settings = DecodingConfig(
        backend={"name": "endpoint", "url": url, "retries": 0, "concurrency": concurrency},
        **decoding,
    )
    return open_backend(ModelConfig(name="some/model"), settings, pixels)


def answers(backend, requests):
    return [answer for some in backend.answer(requests) for answer in some]


def question(body):
    return body["messages"][-1]["content"]


def numbered(n):
    return [request(str(number)) for number in range(n)]


def split(outcomes):
    """Ids of the predictions, and of the unanswered with their reasons."""
    predicted = [o.id for o in outcomes if isinstance(o, Prediction)]
    return predicted, {o.id: o.reason for o in outcomes if isinstance(o, Unanswered)}


def test_each_request_is_asked_with_its_seed_and_without_its_gold():
    def answer(_, body):
        return completion(f"to {question(body)} with {body['seed']}", tokens=6, ended="length")

    requests = [request("a"), request("b"), request("a", sample=1)]
    with chat_server(answer) as server:
        backend = opened(
            server.url, concurrency=4, temperature=0.5, top_p=0.75, max_new_tokens=9, num_samples=2
        )
        found = answers(backend, requests)
    assert sorted(found, key=lambda p: (p.sample, p.id)) == [
        Prediction(
            id=identity,
            sample=sample,
            response=f"to Question {identity} with {100 + sample}",
            num_tokens=6,
            truncated=True,
        )
        for identity, sample in (("a", 0), ("b", 0), ("a", 1))
    ]
    for asked in server.asked:
        assert asked.body["model"] == "some/model"
        assert (asked.body["temperature"], asked.body["top_p"]) == (0.5, 0.75)
        assert asked.body["max_tokens"] == 9
        assert len(asked.body["messages"]) == 1


def test_what_is_known_of_it():
    backend = opened("http://me:word@host:1/v1", pixels=(100, 400))
    assert backend.identity == {
        "backend": "endpoint",
        "model": "some/model",
        "pixels": [100, 400],
    }
    assert backend.details == {"url": "http://host:1/v1"}
    settings = DecodingConfig(
        backend={"name": "endpoint", "url": "http://host/v1", "model": "theirs"}
    )
    assert open_backend(ModelConfig(name="m"), settings, (None, None)).identity["model"] == "theirs"


def test_images_keep_to_the_budget_of_the_run_or_to_that_of_their_source():
    requests = [
        request("a", image=png()),
        request("b", image=png(), meta={OWN_PIXELS: (None, 100)}),
        request("c", image=png(), meta={OWN_PIXELS: (6400, 6400)}),
    ]
    with chat_server(lambda *_: completion("5")) as server:
        answers(opened(server.url, pixels=(None, 400)), requests)
    sizes = []
    for asked in server.asked:
        image, text = question(asked.body)
        content = b64decode(image["image_url"]["url"].partition(",")[2])
        sizes.append((text["text"], Image.open(io.BytesIO(content)).size))
    assert sizes == [("a", (20, 20)), ("b", (10, 10)), ("c", (80, 80))]


def test_an_image_that_cannot_be_opened_names_its_item():
    with (
        chat_server(lambda *_: completion("5")) as server,
        pytest.raises(DataError, match="item a: <embedded image>: not an image"),
    ):
        answers(opened(server.url), [request("a", image=b"<html>")])


def test_answers_come_while_others_are_still_asked():
    def answer(_, body):
        if question(body).endswith("slow"):
            time.sleep(0.4)
        return completion("5")

    with chat_server(answer) as server:
        stream = opened(server.url, concurrency=2).answer([request("slow"), request("fast")])
        assert [some[0].id for some in stream] == ["fast", "slow"]


def test_a_request_that_fails_is_unanswered_and_the_others_are_not():
    def answer(_, body):
        if question(body).endswith("2"):
            return refusal(500, "a bad day")
        if question(body).endswith("3"):
            return refusal(400, "too long")
        if question(body).endswith("4"):
            return Answer(body='{"choi')
        return completion("5")

    with chat_server(answer) as server:
        predicted, unanswered = split(answers(opened(server.url), numbered(6)))
    assert predicted == ["0", "1", "5"]
    assert unanswered["2"] == "HTTP status 500: a bad day"
    assert unanswered["3"] == "HTTP status 400: too long"
    assert "no chat completion" in unanswered["4"]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_server_that_dies_half_way_leaves_what_came_and_the_rest_unanswered(concurrency):
    def answer(number, _):
        if number == 5:
            server.stop()
        return completion("5") if number < 5 else Answer(body=None)

    with chat_server(answer) as server:
        found = answers(opened(server.url, concurrency=concurrency), numbered(300))
        asked = len(server.asked)
    predicted, unanswered = split(found)
    assert len(predicted) == 5
    assert len(found) == len(predicted) + len(unanswered) == 300
    tried = [reason for reason in unanswered.values() if not reason.startswith("not asked")]
    # Without retries several more fail before it is known that it is gone; not half of them do.
    assert GONE_AFTER <= len(tried) < 150
    assert 6 <= asked <= 5 + concurrency
    assert f"in a row had failed at {server.url}" in unanswered["299"]


def test_failures_with_answers_between_them_are_no_end():
    def answer(number, _):
        return refusal(503, "busy") if number % 3 else completion("5")

    with chat_server(answer) as server:
        predicted, unanswered = split(answers(opened(server.url), numbered(60)))
    assert (len(predicted), len(unanswered)) == (20, 40)
    assert set(unanswered.values()) == {"HTTP status 503: busy"}


def test_a_server_that_was_gone_is_tried_once_for_each_benchmark_and_may_be_back():
    down = [False]

    def answer(*_):
        return refusal(503, "down") if down[0] else completion("5")

    with chat_server(answer) as server:
        backend = opened(server.url)
        assert len(split(answers(backend, numbered(3)))[0]) == 3
        down[0] = True
        answers(backend, numbered(20))
        before = len(server.asked)
        predicted, unanswered = split(answers(backend, numbered(20)))
        # One request found it still down; one more may have begun before that was known.
        assert len(server.asked) - before <= 2
        assert (len(predicted), len(unanswered)) == (0, 20)
        down[0] = False
        assert len(split(answers(backend, numbered(20)))[0]) == 20


@pytest.mark.parametrize("n", [3, 50])
def test_a_server_that_never_answered_is_an_error(n):
    with chat_server(lambda *_: completion("5")) as server:
        server.stop()
        stream = opened(server.url, concurrency=2).answer(numbered(n))
        with pytest.raises(ServerError, match=r"answered no request.*refused.*start the server"):
            next(stream)


@pytest.mark.parametrize(
    ("answer", "mend"),
    [
        (refusal(401, "who are you?"), "OPENAI_API_KEY"),
        (refusal(403, "not for you"), "backend.key_variable"),
        (refusal(404, "no model some/model"), "set backend.model"),
        (Answer(body={"detail": "Not Found"}, status=404), "backend.url"),
        (Answer(body="<html>", headers={"Content-Type": "text/html"}), "set backend.url"),
        (refusal(400, "temperature must be 1"), "mend the decoding's settings"),
        (refusal(422, "seed: extra fields"), "mend the decoding's settings"),
    ],
)
def test_what_every_request_would_be_refused_for_stops_at_once(answer, mend):
    with chat_server(lambda *_: answer) as server:
        stream = opened(server.url).answer(numbered(100))
        with pytest.raises(ConfigError, match=mend) as caught:
            next(stream)
        assert len(server.asked) <= 4
    assert server.url in str(caught.value)


@pytest.mark.parametrize(
    "refused",
    [
        refusal(400, "too long"),
        completion("", ended="content_filter"),
        Answer(body="<html>", headers={"Content-Type": "text/html"}),
    ],
)
def test_items_that_are_refused_are_no_refusal_of_all(refused):
    # On a second run only the items are left that failed in the first.
    def answer(_, body):
        text = body["messages"][-1]["content"][-1]["text"]
        return completion("yes") if text == "Say yes." else refused

    requests = [request(str(number), image=png()) for number in range(20)]
    with chat_server(answer) as server:
        predicted, unanswered = split(answers(opened(server.url), requests))
    assert (predicted, len(unanswered)) == ([], 20)
    # The trial was made once.
    assert len(server.asked) == 21


def test_a_model_that_takes_no_images_is_told_at_once():
    def answer(_, body):
        return completion("5") if isinstance(question(body), str) else refusal(400, "no images")

    with chat_server(answer) as server, pytest.raises(ConfigError, match="no images"):
        answers(opened(server.url), [request("a", image=png()), request("b", image=png())])
