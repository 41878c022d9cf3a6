"""Pages: self-contained HTML files, readable offline."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """A page from one of the templates; a value that the template lacks is an error."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("ntkdip.studies"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return templates.get_template(template).render(**values)


def embedded(folder: Path, name: str) -> str:
    """``name.png`` of a folder in base64, to stand in a page."""
    return base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
