"""Settings of other evaluation tools, as fields of `evaluation` and of its benchmarks. No torch.

VLMEvalKit at e8e78f05 (2026-08-18): its entries Qwen2.5-VL-3B-Instruct and -7B-Instruct in
`vlmeval/config.py`, and `Qwen2VLChat` behind them. It samples with top_k 1, which leaves the
likeliest token alone: temperature 0 is the same. Of its system prompts there is none but the chat
template's own.

lmms-eval at 75571cf (2026-08-06): its model qwen2_5_vl for pixels and system prompt, which is the
one that the chat template brings; the file of each task for the rest. MathVista is its task
mathvista_testmini_cot; MathVerse its tasks of one version each (mathverse_testmini, all versions in
one, has 16384 tokens); MathVision its mathvision_test and mathvision_testmini; DynaMath, LogicVista
and We-Math are there as tasks of reasoning alone, which bring a system prompt of their own.

Not taken over: settings of other models, such as VLMEvalKit's sampling for Qwen3-VL and its system
prompt for WeThink; its variants of a prompt (MathVerse_MINI_Vision_Only_cot, WeMath_COT,
DynaMath_noprompt, ChartQAPro_CoT); lmms-eval's `until` (a reply of MathVerse ends at "ASSISTANT:")
and its second resizing of an image; what either does to a reply before it is scored, which is a
matter of the rule sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One tool's settings.

    Attributes:
        evaluation: Fields of `evaluation`.
        benchmarks: The benchmarks that the tool has, each with the fields that it sets apart.
    """

    evaluation: Mapping[str, Any]
    benchmarks: Mapping[str, Mapping[str, Any]]


_THINK = (
    "You are a helpful assistant. When the user asks a question, your response must include two "
    "parts: first, the reasoning process enclosed in <think>...</think> tags, then the final "
    "answer enclosed in <answer>...</answer> tags."
    "Please provide a clear, concise response within <answer> </answer> tags that directly "
    "addresses the question."
)
_REASONING = {"max_new_tokens": 49152, "system": _THINK}

PRESETS: Mapping[str, Preset] = {
    "vlmevalkit": Preset(
        evaluation={
            "min_pixels": 1280 * 28 * 28,
            "max_pixels": 16384 * 28 * 28,
            "max_new_tokens": 2048,
            "temperature": 0.0,
            "top_p": 1.0,
        },
        benchmarks={
            "mathvista": {},
            "mathverse": {},
            "mathvision": {},
            "wemath": {},
            "dynamath": {},
            "logicvista": {},
            "chartqa": {},
            "chartqapro": {},
            "charxiv": {},
        },
    ),
    "lmms_eval": Preset(
        evaluation={
            "min_pixels": 256 * 28 * 28,
            "max_pixels": 1605632,
            "temperature": 0.0,
            "top_p": 1.0,
            "system": "You are a helpful assistant.",
        },
        benchmarks={
            "mathvista": {"max_new_tokens": 16384},
            "mathverse": {"max_new_tokens": 1024},
            "mathvision": {"max_new_tokens": 16384},
            "wemath": _REASONING,
            "dynamath": _REASONING,
            "geometry3k": {"max_new_tokens": 1024},
            "logicvista": _REASONING,
            "chartqa": {"max_new_tokens": 16},
            "chartqapro": {"max_new_tokens": 128},
            "charxiv": {"max_new_tokens": 32768},
        },
    ),
}


def with_preset(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The section `evaluation` with its preset's settings where it has none of its own.

    What is set for the whole evaluation wins over what the tool sets for one benchmark.

    Args:
        evaluation: as it was written; what is wrong in it is left for others to tell.
    """
    name = evaluation.get("preset")
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        return dict(evaluation)
    filled = {**preset.evaluation, **evaluation}
    benchmarks = evaluation.get("benchmarks")
    if isinstance(benchmarks, list | tuple):
        filled["benchmarks"] = [_benchmark(each, preset, evaluation) for each in benchmarks]
    return filled


def _benchmark(benchmark: Any, preset: Preset, evaluation: Mapping[str, Any]) -> Any:
    if isinstance(benchmark, BaseModel):
        benchmark = benchmark.model_dump(exclude_unset=True)
    if not isinstance(benchmark, Mapping):
        return benchmark
    own = preset.benchmarks.get(str(benchmark.get("name")), {})
    return {
        **{key: value for key, value in own.items() if key not in evaluation},
        **benchmark,
    }
