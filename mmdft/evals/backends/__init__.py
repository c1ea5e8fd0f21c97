"""What answers the questions: the model here, vLLM, a server, or a file of recorded answers.

Each is a module with one function that opens it; the others are not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmdft.config import DecodingConfig, ModelConfig
from mmdft.records import Prediction, Request, Unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Answers requests.

    Attributes:
        identity: What its answers depend on beside the request and the decoding: `backend`, its
            name, `model`, what tells the model from another, `pixels`, the images' budget. JSON.
        details: What else should be known of it, such as its device or its server's address.
        answer: Takes requests and yields their answers as they come, some at a time, in any order:
            for each request a prediction, or why there is none. DataError if an item cannot be
            asked at all, such as for its image.
    """

    identity: Mapping[str, Any]
    details: Mapping[str, Any]
    answer: Callable[[Sequence[Request]], Iterator[list[Prediction | Unanswered]]]


def open_backend(
    model: ModelConfig, settings: DecodingConfig, pixels: tuple[int | None, int | None]
) -> Backend:
    """Open the backend that `settings.backend` names.

    Args:
        model: The model to load, or of which the server's name is known.
        settings: Backend and decoding: `max_new_tokens`, `temperature` (0: greedy), `top_p`,
            `batch_size`. The model's own generation defaults, such as a repetition penalty, are
            not used: what is set here is all there is.
        pixels: Smallest and largest area of an image; None is the processor's own.

    Raises:
        ConfigError: the backend's package is not installed, or it does not do what is asked.
        ModelError: the model cannot be loaded.
        DataError: the recorded answers cannot be read.
    """
    match settings.backend.name:
        case "transformers":
            from mmdft.evals.backends.local import open_local

            return open_local(model, settings, pixels)
        case "vllm":
            from mmdft.evals.backends.vllm_engine import open_vllm

            return open_vllm(model, settings, pixels)
        case "endpoint":
            from mmdft.evals.backends.endpoint import open_endpoint

            return open_endpoint(model, settings, pixels)
        case "recorded":
            from mmdft.evals.backends.recorded import open_recorded

            return open_recorded(settings)
