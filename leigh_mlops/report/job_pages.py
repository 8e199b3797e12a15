"""From templates to pages that run no script but their own and ask nobody for anything."""

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from leigh_mlops.report.files import replacing
from leigh_mlops.report.job_tables import cell_text
from leigh_mlops.report.plate_map import ramp_styles, signed_gradient

__all__ = ["write_page"]


def write_page(path: Path, template: str, script: str, **content: Any) -> Path:  # noqa: ANN401
    """Write one page from a template.

    Args:
        path: The file.
        template: Its name.
        script: Name of the template of its only script.
        content: What the template is given; all text is shown as text.
    """
    environment = _environment()
    code, digest = _script(script)
    page = environment.get_template(template).render(
        **content, script=Markup(code), digest=digest, colours=Markup(_colours()), gradient=Markup(signed_gradient())
    )
    with replacing(path) as temporary:
        # A file name need not be valid UTF-8; the page is, all the same.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


@cache
def _environment() -> Environment:
    loader = PackageLoader("leigh_mlops.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell_text
    environment.filters["json"] = lambda value: htmlsafe_json_dumps(value, dumps=_strict_json)
    return environment


@cache
def _script(name: str) -> tuple[str, str]:
    """A script and its hash as a content security policy names it."""
    code = _environment().get_template(name).render()
    return code, "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")


@cache
def _colours() -> str:
    return ramp_styles()


def _strict_json(value: object, **_: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
