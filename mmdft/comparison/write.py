"""The files of a comparison."""

from __future__ import annotations

from pathlib import Path

from mmdft.comparison.markdown import markdown_form
from mmdft.comparison.page import page_html
from mmdft.comparison.records import Comparison
from mmdft.files import write_json, write_text


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write compare.json, compare.md and compare.html into a folder; returns the page's path."""
    page = folder / "compare.html"
    write_json(folder / "compare.json", comparison.as_dict())
    write_text(folder / "compare.md", markdown_form(comparison))
    write_text(page, page_html(comparison, folder))
    return page
