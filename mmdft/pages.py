"""Pages that need nothing else: one HTML file with its style and its script inside."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmdft.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"


def render_page(package: str, name: str, **values: Any) -> str:
    """The page `templates/NAME.html.jinja` of a package, with its NAME.css and NAME.js.

    Text among the values never becomes markup. The template has `style`, `script` and
    `script_hash` beside them; by the last the page allows this script alone, whatever it holds.
    """
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

    def beside(ending: str) -> str:
        path = files(package) / "templates" / f"{name}.{ending}"
        return path.read_text(encoding="utf-8").strip()

    script = beside("js")
    return environment.get_template(f"{name}.html.jinja").render(
        style=Markup(beside("css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )


def png_uri(path: Path, what: str) -> tuple[str, int, int]:
    """A PNG file as a data URI, with its width and height in pixels.

    Raises:
        DataError: it cannot be read or is no PNG; the message calls it `what`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read {what}: {error.strerror}") from error
    # The header chunk comes first in every PNG: length, "IHDR", width, height.
    if content[:8] != _PNG or content[12:16] != b"IHDR":
        raise DataError(f"{path}: {what} is not a PNG file")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height


def unbroken(text: str) -> str:
    """Text in which no line ends beside a sign: "p = 0.01" and "5 %" stay whole."""
    text = re.sub(r" ([=±<>≤≥×]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
    return text.replace(" %", "\N{NO-BREAK SPACE}%")
