"""The answer head: the model's forward pass with the answer tokens' loss in place of its logits.

Only answer tokens reach the vocabulary projection. The loss is computed inside the model's own
forward pass, where the projection stands: there a sharded weight is whole (FSDP2, ZeRO-3), and what
wraps the model (DDP, FSDP2) sees the loss go out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor, nn

from mmdft.answer_loss import (
    AnswerLoss,
    Given,
    Projection,
    project,
    projected_logits,
    projected_loss,
    token_logp,
)
from mmdft.attention import attend_by_parts
from mmdft.data.collate import IGNORE, model_inputs
from mmdft.data.prefixes import branch_mask
from mmdft.errors import ModelError
from mmdft.objectives import Answers, BatchStatistics, Objective, SequenceObjective, sft


def forward_answers(
    model: nn.Module,
    head: nn.Module,
    inputs: Mapping[str, Any],
    objective: Objective,
    chunk_mb: int,
    *,
    sequence: SequenceObjective | None = None,
    segments: Tensor | None = None,
    reference: Projection | None = None,
    statistics: BatchStatistics | None = None,
) -> AnswerLoss:
    """Run the model with the answer head's loss in place of its vocabulary projection.

    Args:
        model: the model, wrapped for distributed training or not.
        head: its vocabulary projection (`get_output_embeddings()` of the unwrapped model).
        inputs: a batch of `collate_training` or `collate_packed`.
        objective: gives each token's weight.
        chunk_mb: memory for one chunk's logits, in MiB.
        sequence: gives the weights instead, from all answer tokens of the batch.
        segments: by segment (row, in the order of `mmdft.data.segments.SEGMENTS`) a weight in
            place of the objective's, NaN for none, and a multiplier; (segments, 2).
        reference: of `mmdft.reference.reference_projection`, for objectives that look at it.
        statistics: of the whole optimizer step, for objectives that look at them.
    """
    targets, places = answer_targets(inputs["labels"])
    shape = _logit_shape(model)
    given = Given(reference=reference)
    if segments is not None:
        fixed, times = segments[_at(_shifted(inputs["segments"], 0), places)].unbind(-1)
        given = given._replace(fixed=fixed, times=times)
    found: list[AnswerLoss] = []

    def compute(states: Tensor) -> Tensor:
        projection = project(states, head, *shape)
        known = given
        if sequence is not None:
            stored = inputs.get("reference_logp")
            answers = Answers(
                logp=token_logp(projection, targets, chunk_mb),
                example=_at(_example_of(inputs), places),
                reference_logp=None if stored is None else _at(_shifted(stored, 0.0), places),
                batch=statistics,
            )
            weights = sequence(answers)
            if given.fixed is not None:
                weights = torch.where(given.fixed.isnan(), weights, given.fixed)
            known = given._replace(fixed=weights)
        # A sequence objective's weights are all given; the one of the token then has no say.
        weigh = objective if sequence is None else sft
        found.append(projected_loss(projection, targets, weigh, chunk_mb, known))
        return found[0].loss

    output = run_to_head(model, head, inputs, places, compute)
    # The output is the loss times 0: it ties the loss to what the model's wrapper saw go out.
    return found[0]._replace(loss=found[0].loss + output.logits.sum())


@torch.no_grad()
def answer_logp(
    model: nn.Module, head: nn.Module, inputs: Mapping[str, Any], chunk_mb: int
) -> Answers:
    """The log-probability of each answer token of a batch, in order, and its example's number."""
    targets, places = answer_targets(inputs["labels"])
    shape = _logit_shape(model)
    found: list[Tensor] = []

    def compute(states: Tensor) -> Tensor:
        found.append(token_logp(project(states, head, *shape), targets, chunk_mb))
        return found[0].sum()

    run_to_head(model, head, inputs, places, compute)
    return Answers(found[0], _at(_example_of(inputs), places), reference_logp=None, batch=None)


@torch.no_grad()
def answer_projection(model: nn.Module, head: nn.Module, inputs: Mapping[str, Any]) -> Projection:
    """The states that predict the answer tokens of a batch, with their projection; no loss yet."""
    _, places = answer_targets(inputs["labels"])
    shape = _logit_shape(model)
    found: list[Projection] = []

    def compute(states: Tensor) -> Tensor:
        found.append(project(states, head, *shape))
        return states.new_zeros(())

    run_to_head(model, head, inputs, places, compute)
    return found[0]


@torch.no_grad()
def check_projection(model: nn.Module, head: nn.Module, inputs: Mapping[str, Any]) -> None:
    """See on a few answer tokens that the head computes the logits that the model itself does.

    Families differ in what they do behind the projection (soft caps, scales); one that is not
    known here would be trained on another loss than its own.

    Raises:
        ModelError: the logits differ by more than rounding.
    """
    labels = inputs["labels"]
    nth = (labels != IGNORE).flatten().cumsum(0).view_as(labels)
    few = {**inputs, "labels": labels.masked_fill(nth > 16, IGNORE)}
    ours = projected_logits(answer_projection(model, head, few))
    predicts = _shifted(few["labels"], IGNORE) != IGNORE
    theirs = model(
        **_model_inputs(model, few), logits_to_keep=predicts, use_cache=False
    ).logits.float()
    apart = (ours - theirs.view_as(ours)).norm() / theirs.norm().clamp(min=1e-12)
    if apart > 0.03:
        raise ModelError(
            f"{type(extract_model_from_parallel(model)).__name__} does not form its logits as the "
            f"answer head does (they differ by {apart:.1%}); this family cannot be trained here"
        )


def answer_targets(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The answer tokens' ids (tokens,), and where in the flattened batch they are predicted.

    The token at position t is predicted at t - 1. Finding the places makes a GPU be waited for,
    so they are found once, before the model runs.
    """
    following = _shifted(labels, IGNORE)
    places = (following != IGNORE).flatten().nonzero().squeeze(-1)
    return _at(following, places), places


def run_to_head(
    model: nn.Module,
    head: nn.Module,
    inputs: Mapping[str, Any],
    places: Tensor,
    compute: Callable[[Tensor], Tensor],
) -> Any:
    """Run the model; where `head` stands, `compute` is called with the hidden states instead.

    Args:
        model: the model, wrapped or not.
        head: its vocabulary projection.
        inputs: a batch.
        places: the positions whose states are wanted, in the flattened batch, (tokens,) int64.
        compute: takes the states (tokens, hidden) and returns a scalar.

    Returns:
        The model's output; its `logits` are that scalar times 0, with its graph.
    """
    found: list[Tensor] = []

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def catch(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        states = _at(args[0], places)
        device = states.device.type
        if torch.is_autocast_enabled(device):
            # The precision of the operands is the run's choice; that of the logits is ours. But not
            # fp16: gradients are formed before the loss is scaled up, and small ones would vanish.
            kind = torch.get_autocast_dtype(device)
            states = states.to(torch.float32 if kind == torch.float16 else kind)
        with torch.autocast(device, enabled=False):
            found.append(compute(states))
        return (states[:0].to(args[0].dtype),)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def put(_module: nn.Module, _args: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        return found.pop() * 0.0

    # Before the hooks of others, so that FSDP2 finds what really goes out.
    hooks = [
        head.register_forward_pre_hook(catch),
        head.register_forward_hook(put, prepend=True),
    ]
    try:
        return model(**_model_inputs(model, inputs), logits_to_keep=0, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()


def _logit_shape(model: nn.Module) -> tuple[float, float | None]:
    """How a family scales and caps its logits behind the projection (scale, cap)."""
    config: Any = extract_model_from_parallel(model).config
    text = config.get_text_config()
    # Cohere and Falcon multiply, Granite divides, Gemma caps.
    scale = getattr(text, "logit_scale", None) or getattr(text, "lm_head_multiplier", None) or 1.0
    scale /= getattr(text, "logits_scaling", None) or 1.0
    return float(scale), getattr(text, "final_logit_softcapping", None)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """What stands at those places of the flattened (batch, length) dimensions, (tokens, ...)."""
    return values.flatten(0, 1).index_select(0, places)


def _shifted(values: Tensor, fill: float) -> Tensor:
    """What stands at t + 1, at t; `fill` at the end of a row. Of shape (batch, length)."""
    return nn.functional.pad(values[:, 1:], (0, 1), value=fill)


def _example_of(inputs: Mapping[str, Any]) -> Tensor:
    """Number of the example at each position, (batch, length)."""
    if "position_ids" in inputs:
        # Packed: with each example text positions start again, at 0 or behind a shared prefix.
        text: Tensor = inputs["position_ids"][0]
        return nn.functional.pad(text.diff() != 1, (1, 0), value=False).cumsum(-1)
    ids = inputs["input_ids"]
    return torch.arange(len(ids), device=ids.device)[:, None].expand_as(ids)


def _model_inputs(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    config: Any = extract_model_from_parallel(model).config
    found = model_inputs(inputs, config.model_type)
    if "position_ids" in inputs:
        # Here, where every packed row passes, whoever made the model.
        attend_by_parts()
    if "seen_until" in inputs:
        found["attention_mask"] = branch_mask(inputs["seen_until"], config._attn_implementation)
    return found
