"""DFTTrainer on tiny models of the real architectures, with images and unequal answers."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from mmdft.answer_loss import SUMS, project
from mmdft.data.collate import collate_training
from mmdft.data.figures import draw
from mmdft.data.render import render
from mmdft.data.vision import pixel_budget
from mmdft.errors import ConfigError, DataError, ModelError
from mmdft.head import answer_projection, answer_targets, check_projection, forward_answers
from mmdft.objectives import (
    OBJECTIVES,
    REFERENCE_OBJECTIVES,
    SEQUENCE_OBJECTIVES,
    TOKEN_OBJECTIVES,
    dft,
    sft,
)
from mmdft.records import Example, ImageRef, Turn
from mmdft.reference import (
    WithReference,
    frozen_copy,
    reference_logp,
    reference_projection,
    stored_reference,
)
from mmdft.trainer import DFTTrainer
from mmdft.training_data import training_batch

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
                answer = None if index % 2 else "9"
                example = Example(id=str(index), turns=turns, answer=answer)
                rows.append(render(example, processor, budget))
            cache[family] = processor, model, rows
        processor, model, rows = cache[family]
        return processor, copy.deepcopy(model), rows

    return make


def model_inputs(rows, pad_id):
    """A batch for the model itself, which does not know segments."""
    batch = collate_training(rows, pad_id)
    del batch["segments"]
    return batch


def moved(model, seed=7):
    """A model a little way from where it started, as after some training."""
    other = copy.deepcopy(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
    return other


def trainer_for(
    case, family, tmp_path, objective="dft", kind=DFTTrainer, collate=None, loss=None, **settings
):
    """One optimizer step over all rows; `loss` are settings of DFTTrainer."""
    processor, model, rows = case(family)
    rows = Rows(rows)
    if objective == "iw_sft":
        everything = range(len(rows))
        logp = reference_logp(moved(model), rows, everything, torch.device("cpu"), 1)
        rows = WithReference(rows, logp)
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
    if objective in REFERENCE_OBJECTIVES:
        extra["reference"] = frozen_copy(moved(model))
    pad = processor.tokenizer.pad_token_id
    trainer = kind(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=collate or partial(training_batch, pad_id=pad),
        callbacks=[gradients],
        **extra,
        **(loss or {}),
    )
    return trainer, gradients


def difference(one, other):
    assert one.keys() == other.keys()
    top = sum(((one[n] - other[n]).double() ** 2).sum() for n in one).sqrt()
    return (top / sum((other[n].double() ** 2).sum() for n in other).sqrt()).item()


SEGMENTS = {"end_of_turn": {"weight": 1.0}, "answer": {"multiplier": 3.0}}


@pytest.mark.parametrize(
    ("family", "objective", "loss"),
    [
        *((family, objective, {}) for family in FAMILIES for objective in ("sft", "dft")),
        *(("qwen2_5_vl", name, {}) for name in OBJECTIVES if name not in ("sft", "dft")),
        ("qwen2_5_vl", "dft", {"segments": SEGMENTS}),
        ("qwen2_vl", "dft", {"normalize": "weights"}),
        ("qwen3_vl", "cadft", {"normalize": "weights", "segments": SEGMENTS}),
    ],
)
def test_gradient_does_not_depend_on_the_accumulation(case, family, objective, loss, tmp_path):
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
        trainer, gradients = trainer_for(case, family, tmp_path, objective, loss=loss, **settings)
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
        case,
        "qwen2_vl",
        tmp_path,
        kind=Trainer,
        collate=partial(model_inputs, pad_id=case("qwen2_vl")[0].tokenizer.pad_token_id),
        per_device_train_batch_size=8,
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
    batch = model_inputs(rows, processor.tokenizer.pad_token_id)
    labels = batch.pop("labels")[:, 1:]
    logp = torch.log_softmax(model(**batch).logits[:, :-1].float(), -1)
    logp = logp.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1)[labels >= 0]
    loss = -(logp.exp().detach() * logp).sum() / len(logp)
    loss.backward()
    want = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert difference(gradients.found, want) < 1e-5


def exactly(case, family):
    """Full-logit float64 log-probabilities of all answer tokens, by example, and their rows."""
    processor, model, rows = case(family)
    found = []
    for row in rows:
        batch = collate_training([row], processor.tokenizer.pad_token_id)
        labels, codes = batch.pop("labels")[:, 1:], batch.pop("segments")[:, 1:]
        logits = model(**batch).logits[:, :-1].double()
        keep = labels >= 0
        log_rows = torch.log_softmax(logits[keep], -1)
        found.append(
            (log_rows.gather(-1, labels[keep][:, None]).squeeze(-1), log_rows, codes[keep])
        )
    return model, found


def test_normalised_by_weights_with_segments_by_plain_autograd(case, tmp_path):
    """DFT with the end of turn at weight 1 and a threefold answer, over the summed weights."""
    loss = {"segments": SEGMENTS, "normalize": "weights"}
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    trainer, gradients = trainer_for(case, "qwen2_5_vl", tmp_path, loss=loss, **settings)
    trainer.train()
    model, found = exactly(case, "qwen2_5_vl")
    logp = torch.cat([each[0] for each in found])
    codes = torch.cat([each[2] for each in found])
    weight = torch.where(codes == 3, 1.0, logp.detach().exp()) * torch.where(codes == 2, 3.0, 1.0)
    assert {2, 3} <= set(codes.tolist())
    want = -(weight * logp).sum() / weight.sum()
    want.backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert trainer.state.log_history[0]["loss"] == pytest.approx(want.item(), rel=1e-5)
    assert difference(gradients.found, grads) < 1e-5


def test_cadft_by_plain_autograd(case, tmp_path):
    """The statistics are over the whole step, whatever the micro-batches."""
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    trainer, gradients = trainer_for(case, "qwen2_5_vl", tmp_path, "cadft", **settings)
    trainer.train()
    model, found = exactly(case, "qwen2_5_vl")
    mean = torch.stack([-each[0].mean() for each in found]).detach()
    z = (mean - mean.mean()) / (mean.std(correction=0) + 1e-6)
    assert (z > 0.5).any()
    total = sum(
        (torch.exp(-zs.clamp(min=0)) * each[0].detach().exp() * -each[0]).sum()
        for zs, each in zip(z, found, strict=True)
    )
    total = total / sum(len(each[0]) for each in found)
    total.backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert trainer.state.log_history[0]["loss"] == pytest.approx(total.item(), rel=1e-5)
    assert difference(gradients.found, grads) < 1e-5


def test_asft_by_plain_autograd_the_reference_sees_the_image(case, tmp_path):
    trainer, gradients = trainer_for(
        case, "qwen2_5_vl", tmp_path, "asft", per_device_train_batch_size=8
    )
    trainer.train()
    model, found = exactly(case, "qwen2_5_vl")
    processor, _, rows = case("qwen2_5_vl")
    reference = moved(model)
    total, divergence = 0.0, 0.0
    for row, (logp, log_rows, _) in zip(rows, found, strict=True):
        batch = collate_training([row], processor.tokenizer.pad_token_id)
        keep = batch.pop("labels")[:, 1:] >= 0
        batch.pop("segments")
        with torch.no_grad():
            theirs = torch.log_softmax(reference(**batch).logits[:, :-1].double()[keep], -1)
        kl = (theirs.exp() * (theirs - log_rows)).sum()
        total = total - (logp.detach().exp() * logp).sum() + 0.05 * kl
        divergence += kl.item()
    tokens = sum(len(each[0]) for each in found)
    (total / tokens).backward()
    grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    log = trainer.state.log_history[0]
    assert log["loss"] == pytest.approx(total.item() / tokens, rel=1e-5)
    assert log["divergence"] == pytest.approx(divergence / tokens, rel=1e-5)
    assert log["divergence"] > 1e-3
    assert difference(gradients.found, grads) < 1e-5


def test_an_adapters_reference_is_its_base(case, tmp_path):
    """With the adapter off, which leaves the training mode and the adapter as they were."""
    processor, base, rows = case("qwen2_5_vl")
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "lm_head"], modules_to_save=["merger"])
    model = get_peft_model(copy.deepcopy(base), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    batch = collate_training(rows, processor.tokenizer.pad_token_id)
    model.train()
    of_adapter = reference_projection(model, batch)
    of_base = reference_projection(base, batch)
    assert model.training and len(of_adapter.factors) == 1
    assert torch.equal(of_adapter.factors[0][0], of_base.factors[0][0])
    with_adapter = answer_projection(model, model.get_output_embeddings(), batch)
    assert len(with_adapter.factors) == 2
    assert not torch.allclose(with_adapter.factors[0][0], of_base.factors[0][0], atol=1e-3)


def test_a_reference_that_is_missing_is_asked_for(case, tmp_path):
    _, model, _ = case("qwen2_5_vl")
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(ConfigError, match="objective asft needs a reference model"):
        DFTTrainer(model=model, args=arguments, objective="asft")


def test_stored_reference_is_kept_and_of_the_same_data(case, tmp_path):
    _, model, rows = case("qwen2_5_vl")
    accelerator = Accelerator(cpu=True)
    path = tmp_path / "reference.safetensors"
    first = stored_reference(path, model, Rows(rows), accelerator, chunk_mb=1)
    again = stored_reference(path, moved(model), Rows(rows), accelerator, chunk_mb=1)
    _, found = exactly(case, "qwen2_5_vl")
    for index, (exact, _, _) in enumerate(found):
        assert first[index].reference_logp == again[index].reference_logp
        assert first[index].reference_logp == pytest.approx(exact.tolist(), rel=1e-5)
    with pytest.raises(ConfigError, match="has 8 examples, the data 7"):
        stored_reference(path, model, Rows(rows[:7]), accelerator, chunk_mb=1)


def test_a_step_without_answers_names_its_examples(case, tmp_path):
    _, _, rows = case("qwen2_5_vl")
    empty = [replace(row, mask=(False,) * len(row.mask)) for row in rows]
    trainer, _ = trainer_for(case, "qwen2_5_vl", tmp_path, per_device_train_batch_size=2)
    trainer.train_dataset = Rows(empty)
    with pytest.raises(DataError, match=r"step 1 has no answer token .* examples \d, \d"):
        trainer.train()


def test_a_family_that_caps_its_logits_is_trained_on_them(case):
    """Behind the projection a model may scale and cap; the head does the same, or refuses."""

    class Capped(type(case("qwen2_5_vl")[1])):
        def forward(self, **inputs):
            output = super().forward(**inputs)
            output.logits = 2.0 * torch.tanh(output.logits * 3.0 / 2.0)
            return output

    processor, model, rows = case("qwen2_5_vl")
    model = moved(model)
    model.__class__ = Capped
    batch = collate_training(rows, processor.tokenizer.pad_token_id)
    with pytest.raises(ModelError, match="does not form its logits as the answer head does"):
        check_projection(model, model.lm_head, batch)
    model.config.text_config.logit_scale = 3.0
    model.config.text_config.final_logit_softcapping = 2.0
    check_projection(model, model.lm_head, batch)
    answers = forward_answers(model, model.lm_head, batch, sft, chunk_mb=1)
    answers.loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    labels = batch.pop("labels")[:, 1:]
    batch.pop("segments")
    model.zero_grad()
    logits = model(**batch).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="sum"
    )
    loss.backward()
    assert answers.loss.item() == pytest.approx(loss.item(), rel=1e-5)
    want = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert difference(grads, want) < 1e-5


def test_evaluation_loss_does_not_depend_on_the_batch_size(case, tmp_path):
    losses = []
    for size in (1, 3, 8):
        trainer, _ = trainer_for(case, "qwen2_5_vl", tmp_path, per_device_eval_batch_size=size)
        losses.append(trainer.evaluate())
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-5)
    assert losses[0]["eval_loss"] < losses[0]["eval_nll"]


def test_compiled_it_is_the_same(case, tmp_path):
    """Through dynamo, with its graph breaks; what a backend makes of graphs is its own affair."""
    found = []
    for settings in ({}, {"torch_compile": True, "torch_compile_backend": "eager"}):
        trainer, gradients = trainer_for(
            case, "qwen2_5_vl", tmp_path, per_device_train_batch_size=8, **settings
        )
        trainer.train()
        found.append((gradients.found, trainer.state.log_history[0]["loss"]))
    (grads, loss), (compiled_grads, compiled_loss) = found
    assert compiled_loss == pytest.approx(loss, rel=1e-5)
    assert difference(compiled_grads, grads) < 1e-5


@pytest.mark.parametrize("objective", ["dft", "dft_geometric"])
def test_under_autocast_the_operands_are_bf16_and_the_logits_are_not(case, objective):
    processor, model, rows = case("qwen2_5_vl")
    model = moved(model)
    batch = collate_training(rows, processor.tokenizer.pad_token_id)
    with torch.autocast("cpu", torch.bfloat16):
        projection = answer_projection(model, model.lm_head, batch)
        answers = forward_answers(
            model,
            model.lm_head,
            batch,
            TOKEN_OBJECTIVES.get(objective, sft),
            chunk_mb=1,
            sequence=SEQUENCE_OBJECTIVES.get(objective),
        )
    [(states, weight)] = projection.factors
    assert states.dtype == torch.bfloat16 and weight.dtype == torch.float32
    targets, _ = answer_targets(batch["labels"])
    log_rows = torch.log_softmax(states.double() @ weight.bfloat16().double().t(), -1)
    logp = log_rows.gather(-1, targets[:, None]).squeeze(-1)
    if objective == "dft":
        want = -(logp.exp() * logp).sum()
    else:
        examples = logp.split([sum(row.mask) for row in rows])
        want = -sum(each.mean().exp() * each.sum() for each in examples)
    assert answers.loss.dtype == torch.float32
    assert answers.loss.item() == pytest.approx(want.item(), rel=1e-5)
    answers.loss.backward()
    assert torch.isfinite(model.lm_head.weight.grad).all()


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


def test_under_deepspeed_a_non_finite_loss_stops_before_the_backward_pass(case, tmp_path):
    """DeepSpeed steps at the end of the last backward pass, before a norm is asked for."""
    trainer, _ = trainer_for(case, "qwen2_5_vl", tmp_path, per_device_train_batch_size=2)
    with torch.no_grad():
        trainer.model.model.language_model.norm.weight[0] = float("nan")
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.is_deepspeed_enabled = True
    with pytest.raises(DataError, match=r"the loss is nan at step 1, examples \d, \d"):
        trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(1))


def test_only_answer_tokens_reach_the_head(case, monkeypatch):
    processor, model, rows = case("qwen3_vl")
    batch = collate_training(rows, processor.tokenizer.pad_token_id)
    given, projected = [], []

    def counted(states, head, *shape):
        given.append(len(states))
        return project(states, head, *shape)

    monkeypatch.setattr("mmdft.head.project", counted)
    model.lm_head.register_forward_hook(lambda m, args, out: projected.append(len(args[0])))
    answers = forward_answers(model, model.lm_head, batch, sft, chunk_mb=1)
    tokens = sum(sum(row.mask) for row in rows)
    assert given == [tokens] and projected == [0]
    assert answers.sums[SUMS.index("tokens")].item() == tokens


def test_an_unknown_objective_is_refused(case, tmp_path):
    with pytest.raises(ConfigError, match="unknown objective 'dtf'"):
        trainer_for(case, "qwen2_vl", tmp_path, objective="dtf")
