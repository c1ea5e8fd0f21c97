"""LoRA on the output head: base product plus low-rank term, against peft's own forward pass."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from mmdft.answer_loss import answer_loss
from mmdft.errors import ModelError
from mmdft.objectives import dft


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(16, 16)  # not on the way; peft wants a module to adapt
        self.lm_head = nn.Linear(16, 50, bias=True)

    def forward(self, states):
        return self.lm_head(states)


def adapted(**settings):
    torch.manual_seed(0)
    model = get_peft_model(Model(), LoraConfig(r=4, lora_alpha=12, **settings))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)  # peft starts it at zero
    return model, model.base_model.model.lm_head


def by_autograd(model, states, targets):
    logp = torch.log_softmax(model(states), -1).gather(-1, targets[:, None])
    return (-logp.exp().detach() * logp).sum()


@pytest.mark.parametrize(
    "settings",
    [{"target_modules": ["lm_head"]}, {"target_modules": ["body"], "modules_to_save": ["lm_head"]}],
)
def test_loss_and_gradients_are_those_of_pefts_forward(settings):
    model, head = adapted(**settings)
    targets = torch.randint(50, (9,))
    results = []
    for way in ("ours", "peft"):
        model.zero_grad()
        states = torch.randn(9, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        if way == "ours":
            loss = answer_loss(states, targets, head, dft, chunk_mb=1).loss
        else:
            loss = by_autograd(model, states, targets)
        loss.backward()
        trained = {
            name: parameter.grad
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and "lm_head" in name
        }
        results.append({"loss": loss.detach(), "states": states.grad, **trained})
    ours, theirs = results
    assert len(ours) > 3 and all(grad is not None for grad in ours.values())
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 1e-5 * value.norm(), name


def test_a_switched_off_adapter_is_left_out():
    model, head = adapted(target_modules=["lm_head"])
    states, targets = torch.randn(5, 16), torch.randint(50, (5,))
    with model.disable_adapter():
        ours = answer_loss(states, targets, head, dft, chunk_mb=1).loss
        theirs = by_autograd(model, states, targets)
    torch.testing.assert_close(ours, theirs.detach())
    assert not torch.allclose(ours, by_autograd(model, states, targets).detach())


def test_dora_is_refused():
    _, head = adapted(target_modules=["lm_head"], use_dora=True)
    with pytest.raises(ModelError, match="DoRA"):
        answer_loss(torch.randn(1, 16), torch.tensor([0]), head, dft, chunk_mb=1)
