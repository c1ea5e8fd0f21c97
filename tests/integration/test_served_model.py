"""The backend `endpoint` against `transformers serve`, with a tiny model, in a process of its own.

What that server does otherwise than mmdft, which is allowed for here and nothing else is: it cuts
blanks off both ends of a reply, and leaves special tokens in it that the model wrote in the middle.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path

import pytest
from PIL import Image

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.data.figures import write_figures
from mmdft.errors import MmdftError
from mmdft.evals.asking import answer_into, requests_for
from mmdft.evals.backends import open_backend
from mmdft.evals.benchmarks import benchmark_named
from mmdft.files import read_jsonl
from mmdft.records import Example, ImageRef, Prediction, Turn

for package in ("fastapi", "uvicorn", "openai"):
    pytest.importorskip(package, reason=f"transformers serve needs {package}")

# Seconds in which a server comes up even on a busy machine.
PATIENCE = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_up(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="module")
def model(tiny_dir, tmp_path_factory):
    """A tiny model that samples if it is asked to."""
    folder = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(tiny_dir("qwen2_5_vl"), folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "do_sample": True}))
    return folder


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    """The server's process and its address."""
    port, log = free_port(), tmp_path_factory.mktemp("log") / "serve.log"
    program = Path(sys.executable).with_name("transformers")
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                program,
                "serve",
                model,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--device",
                "cpu",
            ],
            stdout=stream,
            stderr=stream,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            end = time.monotonic() + PATIENCE
            while not is_up(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield process, f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Figures, and a chat with a system prompt and two images."""
    folder = tmp_path_factory.mktemp("figures")
    data = write_figures(folder, num=6, split="train", seed=0, size=112)
    figures = benchmark_named("figures").load(data)
    first, second = (folder / f"{colour}.png" for colour in ("red", "blue"))
    Image.new("RGB", (56, 84), "red").save(first)
    Image.linear_gradient("L").resize((84, 56)).save(second)
    parts = ("Between ", ImageRef(path=first), " and ", ImageRef(path=second), ": which is red?")
    chat = (
        Turn(role="system", parts=("Be brief.",)),
        Turn(role="user", parts=("Hello?",)),
        Turn(role="assistant", parts=("Yes.",)),
        Turn(role="user", parts=parts),
    )
    return [*figures, Example(id="chat", turns=chat, answer="the first")]


def answers(model, examples, url=None, pixels=(None, None), **decoding):
    """The predictions by item and sample, of the server or without one of the model here."""
    backend = {"name": "endpoint", "url": url, "concurrency": 1} if url else "transformers"
    settings = DecodingConfig(backend=backend, max_new_tokens=12, **decoding)
    opened = open_backend(ModelConfig(name=str(model)), settings, pixels)
    requests = requests_for(examples, settings)
    found = [answer for some in opened.answer(requests) for answer in some]
    assert all(isinstance(answer, Prediction) for answer in found), found
    return {(answer.id, answer.sample): answer for answer in found}


def plain(text, tokenizer):
    for token in tokenizer.added_tokens_encoder:
        text = text.replace(token, "")
    return text.strip()


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param((None, None), id="as they are"),
        # Both then resize, once, and to the same sizes.
        pytest.param((3136, 3136), id="made smaller"),
    ],
)
def test_a_served_model_answers_as_it_does_here(server, model, examples, processor, pixels):
    # Of the chat's images the sizes would differ: mmdft rounds them, and the server does again.
    asked = examples if pixels == (None, None) else examples[:-1]
    here = answers(model, asked, pixels=pixels)
    there = answers(model, asked, server[1], pixels=pixels)
    assert here.keys() == there.keys()
    tokenizer = processor("qwen2_5_vl").tokenizer
    for key, prediction in here.items():
        served = there[key]
        assert plain(served.response, tokenizer) == plain(prediction.response, tokenizer)
        assert served.num_tokens == prediction.num_tokens
        assert served.truncated == prediction.truncated
    # All alike would show nothing.
    assert max(Counter(p.response for p in here.values()).values()) < len(here)


def test_the_image_is_seen(server, model, examples):
    example = examples[0]
    other = ImageRef(path=examples[1].images[0].path)
    turn = example.turns[-1]
    parts = tuple(other if isinstance(part, ImageRef) else part for part in turn.parts)
    changed = Example(id="changed", turns=(*example.turns[:-1], Turn(role="user", parts=parts)))
    found = answers(model, [example, changed], server[1])
    assert found[example.id, 0].response != found["changed", 0].response


def test_each_sample_has_its_seed(server, model, examples):
    sampled = {"temperature": 1.0, "num_samples": 2}
    first = answers(model, examples[:2], server[1], **sampled)
    assert answers(model, examples[:2], server[1], **sampled) == first
    for example in examples[:2]:
        assert first[example.id, 0].response != first[example.id, 1].response
    assert answers(model, examples[:2], server[1], seed=1, **sampled) != first


def test_a_name_that_the_server_does_not_know_is_told(server, model, examples):
    settings = DecodingConfig(
        backend={"name": "endpoint", "url": server[1], "model": "other", "retries": 0}
    )
    backend = open_backend(ModelConfig(name=str(model)), settings, (None, None))
    with pytest.raises(MmdftError, match="other"):
        list(backend.answer(requests_for(examples, settings)))


# The last one: it ends the server.
def test_a_server_that_is_killed_leaves_what_came(server, model, examples, tmp_path):
    process, url = server
    settings = DecodingConfig(
        backend={"name": "endpoint", "url": url, "concurrency": 2, "retries": 0},
        max_new_tokens=12,
        temperature=1.0,
        num_samples=5,
    )
    backend = open_backend(ModelConfig(name=str(model)), settings, (None, None))
    requests = requests_for(examples, settings)

    def killed_half_way(asked):
        for number, some in enumerate(backend.answer(asked)):
            if number == 3:
                process.send_signal(signal.SIGKILL)
                process.wait()
            yield some

    halved = type(backend)(
        identity=backend.identity, details=backend.details, answer=killed_half_way
    )
    unanswered = answer_into(tmp_path, requests, halved, settings)
    kept = [row for _, row in read_jsonl(tmp_path / "predictions.jsonl")]
    assert 4 <= len(kept) <= 6
    assert len(kept) + len(unanswered) == len(requests) == 35
    names = {(row["id"], row["sample"]) for row in kept} | {(u.id, u.sample) for u in unanswered}
    assert len(names) == 35
    assert {u.reason.partition(" ")[0] for u in unanswered} == {"no", "not"}
