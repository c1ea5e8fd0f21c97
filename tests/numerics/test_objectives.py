"""Each objective's weight against the loss that its paper states."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmdft import objectives
from mmdft.config import OBJECTIVE_NAMES, OBJECTIVE_PARAMETERS
from mmdft.errors import ConfigError
from mmdft.objectives import (
    OBJECTIVES,
    SEQUENCE_OBJECTIVES,
    TOKEN_OBJECTIVES,
    Answers,
    BatchStatistics,
    Tokens,
)

# The losses as published, of the token's own probability; w = -df / dlog p.
PUBLISHED = {
    "sft": lambda p: -p.log(),
    "dft": lambda p: 1 - p,
    "power": lambda p, alpha=0.5: (1 - p**alpha) / alpha,
    "focal": lambda p, gamma=2.0: -((1 - p) ** gamma) * p.log(),
    "chord": lambda p: p**2 / 2 - p,  # the gradient of -sg[p (1 - p)] log p
}


def tokens(p):
    logp = torch.as_tensor(p, dtype=torch.float64).log()

    def rows():
        raise AssertionError("this objective looks at the token alone")

    return Tokens(logp, rows)


def of_row(probabilities, target):
    row = torch.tensor([probabilities], dtype=torch.float64).log()
    return Tokens(row[:, target], row.clone)


@pytest.mark.parametrize("name", PUBLISHED)
@given(p=st.floats(1e-6, 1 - 1e-6))
def test_the_weight_is_the_published_gradient(name, p):
    logp = torch.tensor([p], dtype=torch.float64).log().requires_grad_()
    PUBLISHED[name](logp.exp()).sum().backward()
    assert TOKEN_OBJECTIVES[name](tokens([p])).item() == pytest.approx(-logp.grad.item(), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_parameter(gamma):
    logp = torch.tensor([0.3, 0.9], dtype=torch.float64).log().requires_grad_()
    PUBLISHED["focal"](logp.exp(), gamma).sum().backward()
    torch.testing.assert_close(objectives.focal(tokens([0.3, 0.9]), gamma=gamma), -logp.grad)
    assert torch.isfinite(objectives.focal(tokens([1.0, 1e-30]), gamma=gamma)).all()


def test_power_goes_from_sft_to_dft():
    few = tokens([0.01, 0.5, 0.99])
    torch.testing.assert_close(objectives.power(few, alpha=1.0), objectives.dft(few))
    torch.testing.assert_close(objectives.power(few, alpha=0.0), objectives.sft(few))


def test_threshold_and_floor():
    few = tokens([0.05, 0.1, 0.2, 0.9])
    assert objectives.threshold(few, tau=0.1).tolist() == [0, 1, 1, 1]
    assert objectives.floored_dft(few, floor=0.1).tolist() == pytest.approx([0.1, 0.1, 0.2, 0.9])


def test_eaft_by_hand():
    """Twenty equal tokens: entropy ln 20; all on one: 0; a tail beyond the 20 is left out."""
    assert objectives.eaft(of_row([0.05] * 20, 3)).item() == pytest.approx(math.log(20) / 3)
    peaked = [1 - 19e-12] + [1e-12] * 19
    assert objectives.eaft(of_row(peaked, 0)).item() == pytest.approx(0, abs=1e-9)
    tail = [0.04] * 20 + [0.2 / 400] * 400
    assert objectives.eaft(of_row(tail, 0)).item() == pytest.approx(math.log(20) / 3)


def test_deft_by_hand():
    # a = 0.36 + 0.09 + 0.01 = 0.46
    assert objectives.deft(of_row([0.6, 0.3, 0.1], 1)).item() == pytest.approx(0.3**0.46)


def test_label_smoothing_is_torchs():
    """Up to the constant that the published form has more."""
    logits = torch.randn(4, 30, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([3, 0, 29, 7])
    torch.nn.functional.cross_entropy(
        logits, target, label_smoothing=0.2, reduction="sum"
    ).backward()
    rows = torch.log_softmax(logits.detach(), -1)
    pulled = objectives.label_smoothing(
        Tokens(rows.gather(-1, target[:, None]).squeeze(-1), rows.clone), epsilon=0.2
    )
    assert pulled.weight.tolist() == [0.8] * 4
    # w (p - one-hot) + strength (p - q)
    one_hot = torch.nn.functional.one_hot(target, 30)
    ours = 0.8 * (rows.exp() - one_hot) + pulled.strength * (rows.exp() - pulled.log_rows.exp())
    torch.testing.assert_close(ours, logits.grad)


def test_a_reference_objective_without_one_says_so():
    for name in ("asft", "sft_kl"):
        with pytest.raises(ConfigError, match="needs a reference model"):
            TOKEN_OBJECTIVES[name](of_row([0.5, 0.5], 0))


def answers(*examples, reference=None, batch=None):
    """Probabilities of each example's tokens."""
    logp = torch.tensor([p for example in examples for p in example], dtype=torch.float64).log()
    numbers = [number for number, example in enumerate(examples) for _ in example]
    other = torch.tensor(reference, dtype=torch.float64).log() if reference else None
    return Answers(logp, torch.tensor(numbers), other, batch)


def test_sequence_weights_by_hand():
    two = answers([0.5, 0.2], [0.9])
    assert objectives.dft_sequence(two).tolist() == pytest.approx([0.1, 0.1, 0.9])
    geometric = math.sqrt(0.1)
    assert objectives.dft_geometric(two).tolist() == pytest.approx([geometric, geometric, 0.9])


def test_a_long_sequence_weighs_nothing_and_is_finite():
    long = answers([1e-4] * 300, [0.5])
    assert objectives.dft_sequence(long).tolist() == [0.0] * 300 + [0.5]
    assert objectives.dft_geometric(long)[0].item() == pytest.approx(1e-4)


def test_cadft_by_hand():
    """An example one deviation harder than the mean is weighted by exp(-beta), easier ones by 1."""
    easy, hard = [0.5, 0.5], [0.125]  # mean NLL ln 2 and 3 ln 2
    ln2 = math.log(2)
    both = answers(easy, hard, batch=BatchStatistics(mean=2 * ln2, std=ln2))
    for beta in (1.0, 0.5):
        want = [0.5, 0.5, 0.125 * math.exp(-beta * ln2 / (ln2 + 1e-6))]
        assert objectives.cadft(both, beta=beta).tolist() == pytest.approx(want)
    alone = answers(hard, batch=BatchStatistics(mean=3 * ln2, std=0.0))
    assert objectives.cadft(alone).tolist() == pytest.approx([0.125])


def test_iw_sft_by_hand():
    two = answers([0.4, 0.1], [0.9], reference=[0.1, 0.1, 0.01])
    assert objectives.iw_sft(two).tolist() == pytest.approx([2.0, 2.0, 16.0])
    assert objectives.iw_sft(two, temperature=2.0, largest=50.0).tolist() == pytest.approx(
        [4.0, 4.0, 50.0]
    )
    with pytest.raises(ConfigError, match="needs reference log-probabilities"):
        objectives.iw_sft(answers([0.5]))


def test_names_and_parameters_are_those_of_the_configuration():
    assert OBJECTIVES == OBJECTIVE_NAMES
    for name, function in {**TOKEN_OBJECTIVES, **SEQUENCE_OBJECTIVES}.items():
        parameters = list(inspect.signature(function).parameters.values())[1:]
        known = OBJECTIVE_PARAMETERS.get(name, {})
        assert [parameter.name for parameter in parameters] == list(known)
        for parameter in parameters:
            low, high = known[parameter.name]
            assert low < parameter.default < high
