"""The families beside Qwen: trained, adapted and asked with tiny models of their architectures."""

import copy
from dataclasses import replace

import pytest
from torch.utils.data import Dataset
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    TrainerCallback,
    TrainingArguments,
)

from mmdft.config import EvaluationConfig, LoraSettings, ModelConfig
from mmdft.data.collate import collate_training
from mmdft.data.figures import draw
from mmdft.data.packing import packed_positions
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.errors import ModelError
from mmdft.evals.asking import requests_for
from mmdft.evals.generate import generate
from mmdft.head import check_projection, forward_answers
from mmdft.model import add_lora, freeze, load_model, parameter_summary, part_of
from mmdft.objectives import dft
from mmdft.records import Example, ImageRef, Turn
from mmdft.trainer import DFTTrainer
from mmdft.training_data import training_batch

FAMILIES = ["qwen3_vl_thinking", "smolvlm", "idefics3", "llava_onevision", "internvl", "gemma3"]


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Gradients(TrainerCallback):
    """Keeps the gradients of the first optimizer step."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def case(tiny_dir, tmp_path_factory):
    """By family: processor, model, and eight examples with no image, one, or three."""
    folder = tmp_path_factory.mktemp("images")
    pictures = []
    for index, size in enumerate([(112, 112), (180, 60), (60, 150)]):
        figure = draw("bar_sum", seed=1, index=index, size=112)
        figure.image.resize(size).save(folder / f"{index}.png")
        pictures.append(ImageRef(path=folder / f"{index}.png"))
    cache = {}

    def make(family):
        if family not in cache:
            processor = AutoProcessor.from_pretrained(tiny_dir(family))
            examples = []
            for index in range(8):
                figure = draw("bar_sum", seed=1, index=index, size=56)
                shown = pictures if index == 6 else pictures[index % 3 : index % 3 + index % 4 % 2]
                reply = figure.reasoning * (6 if index == 3 else 1) if index % 2 else "9"
                if family == "qwen3_vl_thinking":
                    reply = f"<think>\n{figure.reasoning}\n</think>\n\n{reply}"
                turns = (
                    Turn(role="user", parts=(*shown, figure.question)),
                    Turn(role="assistant", parts=(reply,)),
                )
                examples.append(Example(id=str(index), turns=turns))
            model = AutoModelForImageTextToText.from_pretrained(tiny_dir(family))
            cache[family] = processor, model, examples
        processor, model, examples = cache[family]
        return processor, copy.deepcopy(model), examples

    return make


def rendered(processor, examples):
    budget = pixel_budget(processor, None, None)
    return [render(example, processor, budget) for example in examples]


def one_step(case, family, tmp_path, **settings):
    processor, model, examples = case(family)
    gradients = Gradients()
    trainer = DFTTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(tmp_path),
            use_cpu=True,
            report_to="none",
            max_steps=1,
            logging_steps=1,
            save_strategy="no",
            remove_unused_columns=False,
            disable_tqdm=True,
            max_grad_norm=0,
            **settings,
        ),
        train_dataset=Rows(rendered(processor, examples)),
        data_collator=lambda rows: training_batch(rows, processor.tokenizer.pad_token_id),
        callbacks=[gradients],
        objective="dft",
    )
    trainer.train()
    return gradients.found, trainer.state.log_history[0]


def difference(one, other):
    assert one.keys() == other.keys()
    top = sum(((one[n] - other[n]).double() ** 2).sum() for n in one).sqrt()
    return (top / sum((other[n].double() ** 2).sum() for n in other).sqrt()).item()


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_does_not_depend_on_the_accumulation(case, family, tmp_path):
    whole, log = one_step(case, family, tmp_path, per_device_train_batch_size=8)
    for settings in (
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
        {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "gradient_checkpointing": True,
        },
    ):
        parts, other = one_step(case, family, tmp_path, **settings)
        assert difference(parts, whole) < 1e-5
        for key in ("loss", "nll", "mean_p", "answer_tokens"):
            assert other[key] == pytest.approx(log[key], rel=1e-5)
    # Images are learnt from, and by all parts.
    assert {part_of(name) for name, grad in whole.items() if grad.any()} == {
        "vision",
        "projector",
        "language",
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_forms_the_models_own_logits(case, family):
    processor, model, examples = case(family)
    batch = collate_training(rendered(processor, examples[:3]), processor.tokenizer.pad_token_id)
    check_projection(model, model.get_output_embeddings(), batch)


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_can_be_frozen_or_adapted(case, family):
    processor, model, examples = case(family)
    batch = collate_training(rendered(processor, examples[:2]), processor.tokenizer.pad_token_id)
    counts = parameter_summary(model)
    assert all(counts[part]["total"] > 1000 for part in ("vision", "projector", "language"))
    freeze(model, ["vision", "projector"])
    counts = parameter_summary(model)
    assert counts["vision"]["trainable"] == counts["projector"]["trainable"] == 0
    assert counts["language"]["trainable"] == counts["language"]["total"]

    _, model, _ = case(family)
    adapted = add_lora(model, LoraSettings(r=2, target_modules="all-linear"), ["vision"])
    forward_answers(adapted, adapted.get_output_embeddings(), batch, dft, 8).loss.backward()
    trained = {n for n, p in adapted.named_parameters() if p.grad is not None and p.grad.any()}
    assert {part_of(name) for name in trained} <= {"projector", "language"}
    assert any(part_of(name) == "language" for name in trained)
    assert all("lora_" in name for name in trained)


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_is_trained_gets_a_gradient(case, tiny_dir, family):
    """DDP waits for the gradient of each parameter that is trained."""
    processor, _, examples = case(family)
    model = load_model(ModelConfig(name=str(tiny_dir(family)), dtype="float32"))
    batch = collate_training(rendered(processor, examples[:2]), processor.tokenizer.pad_token_id)
    forward_answers(model, model.get_output_embeddings(), batch, dft, 8).loss.backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_do_not_depend_on_the_batch(case, family):
    processor, model, examples = case(family)
    model.eval()
    budget = pixel_budget(processor, None, None)
    questions = [replace(example, turns=example.turns[:-1]) for example in examples]
    found = []
    for batch_size in (1, 8):
        settings = EvaluationConfig(max_new_tokens=8, batch_size=batch_size)
        requests = requests_for(questions, settings)
        batches = generate(model, processor, requests, budget, settings)
        found.append({answer.id: answer.response for batch in batches for answer in batch})
    assert found[0] == found[1]
    assert len(set(found[0].values())) > 1
    opened = family == "qwen3_vl_thinking"
    assert all(text.startswith("<think>\n") == opened for text in found[0].values())


@pytest.mark.parametrize("family", FAMILIES[1:])
def test_packing_is_refused(case, family):
    _, model, _ = case(family)
    with pytest.raises(ModelError, match=rf"not available for {model.config.model_type}"):
        packed_positions(model.config)
