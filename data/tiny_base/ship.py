"""The recipe's last step: a trained base in bfloat16, with its processor, as the package holds it.

python data/tiny_base/ship.py runs/tiny_base/trained/model mmdft/base
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor


def ship(trained: Path, out: Path) -> None:
    """Write the model in `trained` into `out`, in place of what is there."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model = AutoModelForImageTextToText.from_pretrained(trained, dtype=torch.bfloat16)
    model.save_pretrained(temporary)
    AutoProcessor.from_pretrained(trained).save_pretrained(temporary)
    for path in temporary.iterdir():
        # Weights are written for their owner alone.
        path.chmod(0o644)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


if __name__ == "__main__":
    ship(Path(sys.argv[1]), Path(sys.argv[2]))
