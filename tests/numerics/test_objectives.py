"""Each objective's weight against the loss that its paper states."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmdft.config import OBJECTIVE_NAMES, OBJECTIVE_PARAMETERS
from mmdft.objectives import OBJECTIVES, Tokens

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
    assert OBJECTIVES[name](tokens([p])).item() == pytest.approx(-logp.grad.item(), rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_parameter(gamma):
    logp = torch.tensor([0.3, 0.9], dtype=torch.float64).log().requires_grad_()
    PUBLISHED["focal"](logp.exp(), gamma).sum().backward()
    torch.testing.assert_close(OBJECTIVES["focal"](tokens([0.3, 0.9]), gamma=gamma), -logp.grad)
    assert torch.isfinite(OBJECTIVES["focal"](tokens([1.0, 1e-30]), gamma=gamma)).all()


def test_power_goes_from_sft_to_dft():
    few = tokens([0.01, 0.5, 0.99])
    torch.testing.assert_close(OBJECTIVES["power"](few, alpha=1.0), OBJECTIVES["dft"](few))
    torch.testing.assert_close(OBJECTIVES["power"](few, alpha=0.0), OBJECTIVES["sft"](few))


def test_threshold_and_floor():
    few = tokens([0.05, 0.1, 0.2, 0.9])
    assert OBJECTIVES["threshold"](few, tau=0.1).tolist() == [0, 1, 1, 1]
    assert OBJECTIVES["floored_dft"](few, floor=0.1).tolist() == pytest.approx([0.1, 0.1, 0.2, 0.9])


def test_eaft_by_hand():
    """Twenty equal tokens: entropy ln 20; all on one: 0; a tail beyond the 20 is left out."""
    assert OBJECTIVES["eaft"](of_row([0.05] * 20, 3)).item() == pytest.approx(math.log(20) / 3)
    peaked = [1 - 19e-12] + [1e-12] * 19
    assert OBJECTIVES["eaft"](of_row(peaked, 0)).item() == pytest.approx(0, abs=1e-9)
    tail = [0.04] * 20 + [0.2 / 400] * 400
    assert OBJECTIVES["eaft"](of_row(tail, 0)).item() == pytest.approx(math.log(20) / 3)


def test_deft_by_hand():
    # a = 0.36 + 0.09 + 0.01 = 0.46
    assert OBJECTIVES["deft"](of_row([0.6, 0.3, 0.1], 1)).item() == pytest.approx(0.3**0.46)


def test_names_and_parameters_are_those_of_the_configuration():
    assert tuple(OBJECTIVES) == OBJECTIVE_NAMES
    for name, function in OBJECTIVES.items():
        parameters = list(inspect.signature(function).parameters.values())[1:]
        known = OBJECTIVE_PARAMETERS.get(name, {})
        assert [parameter.name for parameter in parameters] == list(known)
        for parameter in parameters:
            low, high = known[parameter.name]
            assert low < parameter.default < high
