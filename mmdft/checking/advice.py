"""What the literature found where a model is as sure of its training tokens as this one.

Each rule is a function of what was measured. The points are published ones; how near to a point
counts as there is this tool's own choice and stands here. Advice is a hypothesis to be tested with
an SFT and a DFT run on the same data, never a reason to stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Mean probability of the answer tokens before training, and which loss won there
# (arXiv 2510.00526).
WON_FROM, WON_TO = 0.76, 0.81
TIE = 0.5
LOST = 0.01
# This tool's own: how far from a published point still counts as there.
NEAR_TIE = 0.05
NEAR_LOST = 0.01
# This tool's own too: below it a token's DFT weight is less than half of SFT's.
LOW_END_OF_TURN = 0.5

# Objectives whose weight is the token's probability, or grows with it.
WEIGHED_BY_P = ("dft", "power", "threshold", "floored_dft", "cadft", "asft", "deft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the rules look at; None where there are no such tokens."""

    objective: str
    model: str
    mean: float
    numbers: float | None
    numbers_error: float | None
    """standard error of numbers' mean minus the mean of all"""
    end_of_turn: float | None
    end_of_turn_weighted: bool
    """whether the configuration gives the end of turn a weight of its own"""
    validates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What was measured, what was published where that is so, and what one may try."""

    rule: str
    measured: str
    found: str
    source: str
    may: str


def advice(measured: Measured) -> list[Advice]:
    """All rules that apply, in a fixed order."""
    return [said for rule in _RULES if (said := rule(measured)) is not None]


def _continuum(it: Measured) -> Advice:
    source = "arXiv 2510.00526"
    at = f"mean probability of the answer tokens {it.mean:.3f}"
    pair = "test it: objective.name=sft and objective.name=dft on the same data and seed"
    if WON_FROM <= it.mean <= WON_TO:
        found = (
            f"at {WON_FROM:g} to {WON_TO:g} (math) weighting by p won: Qwen2.5-Math-1.5B "
            "17.00 with NLL, 32.75 with -p"
        )
        return Advice(rule="mean p, -p won", measured=at, found=found, source=source, may=pair)
    if abs(it.mean - TIE) <= NEAR_TIE:
        found = f"at about {TIE:g} (medical) the two tied (near: within {NEAR_TIE:g}, our margin)"
        return Advice(rule="mean p, tie", measured=at, found=found, source=source, may=pair)
    if it.mean <= LOST + NEAR_LOST:
        found = (
            f"at about {LOST:g} (figfont) NLL won: exact match 35.20 with NLL, 0.00 with -p "
            f"(near: up to {LOST + NEAR_LOST:g}, our margin)"
        )
        may = f"begin with objective.name=sft; {pair}"
        return Advice(rule="mean p, NLL won", measured=at, found=found, source=source, may=may)
    found = (
        f"nothing is known there: the published points are about {LOST:g} (NLL won), {TIE:g} "
        f"(tie) and {WON_FROM:g} to {WON_TO:g} (-p won)"
    )
    return Advice(rule="mean p, unknown", measured=at, found=found, source=source, may=pair)


def _instruct(it: Measured) -> Advice | None:
    if it.objective not in WEIGHED_BY_P or "instruct" not in it.model.casefold():
        return None
    return Advice(
        rule="instruct model",
        measured=f"model.name {it.model} says it is an instruct model",
        found=(
            "on instruct models and another teacher's traces DFT lost: math average of base, SFT "
            "and DFT 68.3/69.4/63.5 (Qwen3-4B-Instruct), 43.8/66.5/55.3 (Qwen2.5-32B-Instruct)"
        ),
        source="arXiv 2601.02151",
        may="if the replies are not the model's own, run objective.name=sft beside it, or eaft",
    )


def _end_of_turn(it: Measured) -> Advice | None:
    p = it.end_of_turn
    if it.objective not in WEIGHED_BY_P or it.end_of_turn_weighted or p is None:
        return None
    if p >= LOW_END_OF_TURN:
        return None
    return Advice(
        rule="end of turn",
        measured=(
            f"mean probability of the end of turn {p:.3f} (below {LOW_END_OF_TURN:g}, our bar)"
        ),
        found="users saw models that were trained with DFT fail to stop",
        source="github.com/yongliang-wu/DFT issue 1",
        may="objective.segments='{end_of_turn: {weight: 1}}' trains that token as SFT does",
    )


def _numbers(it: Measured) -> Advice | None:
    if it.objective not in WEIGHED_BY_P or it.numbers is None or not it.numbers_error:
        return None
    if it.numbers >= it.mean - 2 * it.numbers_error:
        return None
    return Advice(
        rule="numbers",
        measured=(
            f"mean probability of number tokens {it.numbers:.3f}, of all {it.mean:.3f}: lower by "
            f"more than two standard errors ({it.numbers_error:.3f})"
        ),
        found=(
            "facts a model does not know are learnt worse with DFT: Natural Questions base 31.24, "
            "SFT 36.62, DFT 30.14; of numbers in worked solutions nothing was published"
        ),
        source="the DFT authors' answer (github.com/yongliang-wu/DFT)",
        may=(
            "watch the numbers in mmdft inspect --model; objective.name=floored_dft keeps a floor "
            "under every weight"
        ),
    )


def _nll(it: Measured) -> Advice | None:
    if it.objective not in WEIGHED_BY_P or not it.validates:
        return None
    return Advice(
        rule="validation",
        measured=f"a validation loss is configured, with objective {it.objective}",
        found="plain NLL rises while DFT's loss falls; the authors call that normal",
        source="github.com/yongliang-wu/DFT issues 28 and 29",
        may="choose checkpoints by accuracy (mmdft eval), not by eval_nll",
    )


_RULES: tuple[Callable[[Measured], Advice | None], ...] = (
    _continuum,
    _instruct,
    _end_of_turn,
    _numbers,
    _nll,
)
