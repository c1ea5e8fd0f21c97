"""DFTTrainer on tiny models of the real architectures, with images and unequal answers."""

import copy
from functools import partial

import pytest
import torch
from torch.utils.data import Dataset
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from mmdft.data.collate import collate_training
from mmdft.data.figures import draw
from mmdft.data.images import pixel_budget
from mmdft.data.render import render
from mmdft.errors import ConfigError, DataError
from mmdft.head import SUMS, forward_answers
from mmdft.objectives import OBJECTIVES, dft, sft
from mmdft.records import Example, ImageRef, Turn
from mmdft.trainer import DFTTrainer
from mmdft.training import training_batch

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]


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
    """By family: processor, model, and eight rendered examples with answers of 3 to 300 tokens."""
    cache = {}
    folder = tmp_path_factory.mktemp("images")

    def make(family):
        if family not in cache:
            processor = AutoProcessor.from_pretrained(tiny_dir(family))
            model = AutoModelForImageTextToText.from_pretrained(tiny_dir(family))
            budget = pixel_budget(processor, 3136, 112 * 112)
            rows = []
            for index in range(8):
                figure = draw("bar_sum", seed=1, index=index, size=112 if index % 2 else 168)
                path = folder / f"{index}.png"
                figure.image.save(path)
                reply = figure.reasoning * (12 if index == 3 else 1) if index % 2 else "9"
                turns = (
                    Turn(role="user", parts=(ImageRef(path=path), figure.question)),
                    Turn(role="assistant", parts=(reply,)),
                )
                rows.append(render(Example(id=str(index), turns=turns), processor, budget))
            cache[family] = processor, model, rows
        processor, model, rows = cache[family]
        return processor, copy.deepcopy(model), rows

    return make


def trainer_for(case, family, tmp_path, objective="dft", kind=DFTTrainer, **settings):
    processor, model, rows = case(family)
    arguments = TrainingArguments(
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
    )
    gradients = Gradients()
    # An untrained model's tokens all lie below the default threshold.
    parameters = {"threshold": {"tau": 1.5e-3}}.get(objective)
    extra = {"objective": objective, "parameters": parameters} if kind is DFTTrainer else {}
    collate = training_batch if kind is DFTTrainer else collate_training
    trainer = kind(
        model=model,
        args=arguments,
        train_dataset=Rows(rows),
        eval_dataset=Rows(rows),
        data_collator=partial(collate, pad_id=processor.tokenizer.pad_token_id),
        callbacks=[gradients],
        **extra,
    )
    return trainer, gradients


def difference(one, other):
    assert one.keys() == other.keys()
    top = sum(((one[n] - other[n]).double() ** 2).sum() for n in one).sqrt()
    return (top / sum((other[n].double() ** 2).sum() for n in other).sqrt()).item()


@pytest.mark.parametrize(
    ("family", "objective"),
    [
        *((family, objective) for family in FAMILIES for objective in ("sft", "dft")),
        *(("qwen2_5_vl", name) for name in OBJECTIVES if name not in ("sft", "dft")),
    ],
)
def test_gradient_does_not_depend_on_the_accumulation(case, family, objective, tmp_path):
    found = {}
    for name, settings in {
        "8x1": {"per_device_train_batch_size": 8},
        "1x8": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
        "checkpointed": {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "gradient_checkpointing": True,
        },
    }.items():
        trainer, gradients = trainer_for(case, family, tmp_path, objective, **settings)
        trainer.train()
        found[name] = gradients.found, trainer.state.log_history[0]
    grads, log = found["8x1"]
    for name in ("1x8", "checkpointed"):
        other, other_log = found[name]
        assert difference(other, grads) < 1e-5
        for key in ("loss", "nll", "mean_p", "entropy", "effective_tokens", "answer_tokens"):
            assert other_log[key] == pytest.approx(log[key], rel=1e-5)


def test_the_sft_loss_is_the_models_own_cross_entropy(case, tmp_path):
    """Parity with transformers' Trainer on one batch, where its normalisation is right."""
    ours, ours_gradients = trainer_for(
        case, "qwen2_vl", tmp_path, "sft", per_device_train_batch_size=8
    )
    theirs, theirs_gradients = trainer_for(
        case, "qwen2_vl", tmp_path, kind=Trainer, per_device_train_batch_size=8
    )
    ours.train()
    theirs.train()
    assert ours.state.log_history[0]["loss"] == pytest.approx(
        theirs.state.log_history[0]["loss"], rel=1e-5
    )
    assert difference(ours_gradients.found, theirs_gradients.found) < 1e-5


def test_dft_by_plain_autograd_on_full_logits(case, tmp_path):
    trainer, gradients = trainer_for(case, "qwen2_5_vl", tmp_path, per_device_train_batch_size=8)
    trainer.train()
    processor, model, rows = case("qwen2_5_vl")
    batch = collate_training(rows, processor.tokenizer.pad_token_id)
    labels = batch.pop("labels")[:, 1:]
    logp = torch.log_softmax(model(**batch).logits[:, :-1].float(), -1)
    logp = logp.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)[labels >= 0]
    loss = -(logp.exp().detach() * logp).sum() / len(logp)
    loss.backward()
    want = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert difference(gradients.found, want) < 1e-5


def test_evaluation_loss_does_not_depend_on_the_batch_size(case, tmp_path):
    losses = []
    for size in (1, 3, 8):
        trainer, _ = trainer_for(case, "qwen2_5_vl", tmp_path, per_device_eval_batch_size=size)
        losses.append(trainer.evaluate())
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-5)
    assert losses[0]["eval_loss"] < losses[0]["eval_nll"]


def test_a_micro_batch_without_answers_changes_nothing(case, tmp_path):
    processor, model, rows = case("qwen2_5_vl")
    batch = collate_training(rows[:2], processor.tokenizer.pad_token_id)
    batch["labels"][:] = -100
    answers = forward_answers(model, model.lm_head, batch, dft, chunk_mb=1)
    answers.loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert answers.loss.item() == 0 and grads and all((g == 0).all() for g in grads)


def test_a_non_finite_loss_stops_before_the_optimizer_and_names_the_rows(case, tmp_path):
    trainer, _ = trainer_for(case, "qwen2_5_vl", tmp_path, per_device_train_batch_size=2)
    with torch.no_grad():
        trainer.model.model.language_model.norm.weight[0] = float("nan")
    before = copy.deepcopy(trainer.model.state_dict())
    with pytest.raises(DataError, match=r"the loss is nan at step 1, examples \d, \d"):
        trainer.train()
    after = trainer.model.state_dict()
    assert all(torch.equal(before[n].nan_to_num(), after[n].nan_to_num()) for n in before)


def test_only_answer_tokens_reach_the_head(case):
    processor, model, rows = case("qwen3_vl")
    batch = collate_training(rows, processor.tokenizer.pad_token_id)
    shapes = []
    model.lm_head.register_forward_hook(lambda m, args, out: shapes.append(out.shape[0]))
    answers = forward_answers(model, model.lm_head, batch, sft, chunk_mb=1)
    assert shapes == [0]
    assert answers.sums[SUMS.index("tokens")].item() == sum(sum(row.mask) for row in rows)


def test_an_unknown_objective_is_refused(case, tmp_path):
    with pytest.raises(ConfigError, match="unknown objective 'dtf'"):
        trainer_for(case, "qwen2_vl", tmp_path, objective="dtf")
