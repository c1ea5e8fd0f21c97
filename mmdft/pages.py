"""Pages that need nothing else: one HTML file with its style and its script inside."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


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
