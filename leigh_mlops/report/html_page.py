"""Self-contained HTML pages from templates: each runs only its own scripts and loads nothing from the network."""

import base64
import hashlib
import json
from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps

__all__ = ["create_environment", "script_hash"]


def create_environment(**filters: Callable[..., object]) -> Environment:
    """Create the environment of the report's templates, which escape all text.

    Args:
        filters: Filters beside ``json``, which refuses values that JSON does not have, such as NaN.
    """
    environment = Environment(
        loader=PackageLoader("leigh_mlops.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"json": _escaped_json, **filters}
    return environment


def script_hash(code: str) -> str:
    """Hash of a script in the format of a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode("utf-8")).digest()).decode("ascii")


def _escaped_json(value: object) -> str:
    return htmlsafe_json_dumps(value, dumps=_strict_json)


def _strict_json(value: object, **_: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
