"""The models that come with the package, by name. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmdft.errors import ModelError

OWN = "mmdft/"
"""How a name opens that is no folder and no model of the hub, but one of the package's own."""

SHIPPED: Mapping[str, Path] = {"mmdft/tiny": Path(__file__).with_name("base")}
"""Name -> folder, in the hub's layout."""


def model_source(name: str) -> str:
    """Where a model is loaded from: a shipped one's folder, or the name as it is.

    What is written down, such as the base of an adapter, is the name: the folder is this machine's.

    Raises:
        ModelError: no model is shipped under that name, or it is not where it should be.
    """
    if not name.startswith(OWN):
        return name
    if name not in SHIPPED:
        raise ModelError(
            f"model.name {name!r}: no such model comes with mmdft; known: {', '.join(SHIPPED)} "
            f"(a folder of your own is ./{name})"
        )
    if not SHIPPED[name].is_dir():
        raise ModelError(
            f"model.name {name!r}: {SHIPPED[name]} is not there; install mmdft anew, or train it "
            "as data/tiny_base/README.md says"
        )
    return str(SHIPPED[name])
