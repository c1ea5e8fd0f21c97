"""Dynamic Fine-Tuning of vision-language models on visual math.

    from mmdft import load_config, train, evaluate

    config = load_config("configs/train/figures_tiny_dft.yaml")
    result = train(config)

What is named here is imported when it is first used, so that `import mmdft` does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdft.config_loading import load_config
    from mmdft.evals.run import EvalResult, evaluate
    from mmdft.probing import probe
    from mmdft.rejection.run import SampleResult, sample
    from mmdft.trainer import DFTTrainer
    from mmdft.training import TrainResult, train

__all__ = [
    "DFTTrainer",
    "EvalResult",
    "SampleResult",
    "TrainResult",
    "evaluate",
    "load_config",
    "probe",
    "sample",
    "train",
]

_HOMES = {
    "load_config": "mmdft.config_loading",
    "train": "mmdft.training",
    "TrainResult": "mmdft.training",
    "evaluate": "mmdft.evals.run",
    "EvalResult": "mmdft.evals.run",
    "DFTTrainer": "mmdft.trainer",
    "probe": "mmdft.probing",
    "sample": "mmdft.rejection.run",
    "SampleResult": "mmdft.rejection.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mmdft' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
