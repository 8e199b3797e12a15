"""Self-contained HTML pages from templates: each runs only its own script and loads nothing from the network."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.report.job.html_tables import cell_text
from leigh_mlops.report.job.inline_svg import inline_svg
from leigh_mlops.report.job.plate_map import ramp_styles, signed_gradient

__all__ = ["write_page"]


def write_page(path: Path, template: str, script: str, **content: Any) -> Path:  # noqa: ANN401
    """Write one page from a template.

    Args:
        path: The file to write.
        template: Name of the template.
        script: Name of the template of its only script.
        content: Variables of the template; all text is escaped.
    """
    environment = _environment()
    code, digest = _script(script)
    page = environment.get_template(template).render(
        **content, script=Markup(code), digest=digest, colours=Markup(_colours()), gradient=Markup(signed_gradient())
    )
    with atomic_write(path) as temporary:
        # A file name need not be valid UTF-8, but the page must be.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


@cache
def _environment() -> Environment:
    loader = PackageLoader("leigh_mlops.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell_text
    environment.filters["svg"] = inline_svg
    environment.filters["json"] = lambda value: htmlsafe_json_dumps(value, dumps=_strict_json)
    return environment


@cache
def _script(name: str) -> tuple[str, str]:
    """Return a script and its hash in the format of a content security policy."""
    code = _environment().get_template(name).render()
    return code, "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")


@cache
def _colours() -> str:
    return ramp_styles()


def _strict_json(value: object, **_: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
