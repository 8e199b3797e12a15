"""Pages of a job from templates; each runs only its own script."""

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from leigh_mlops.report.html_page import create_environment, script_hash
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.report.job.html_tables import cell_text
from leigh_mlops.report.job.inline_svg import inline_svg
from leigh_mlops.report.job.plate_map import ramp_styles, signed_gradient

__all__ = ["remove_other_pages", "render_macro", "write_page"]


def write_page(path: Path, template: str, script: str | None, **content: Any) -> Path:  # noqa: ANN401
    """Write one page from a template.

    Args:
        path: The file to write.
        template: Name of the template.
        script: Name of the template of its only script; None for a page that runs none.
        content: Variables of the template, its ``title`` among them; all text is escaped.
    """
    environment = _environment()
    code, digest = ("", "") if script is None else _script(script)
    page = environment.get_template(template).render(
        **content, script=Markup(code), digest=digest, colours=Markup(_colours()), gradient=Markup(signed_gradient())
    )
    with atomic_write(path) as temporary:
        # A file name need not be valid UTF-8, but the page must be.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def remove_other_pages(folder: Path, names: Collection[str]) -> None:
    """Remove the pages of wells or plates that no longer exist.

    Args:
        folder: Folder of the pages; it may be missing.
        names: File names of the pages to keep.
    """
    for page in folder.glob("*.html"):
        if page.name not in names:
            page.unlink()


def render_macro(template: str, macro: str, *arguments: object) -> str:
    """Render one macro of a template, for a part of a page that is written anew.

    Args:
        template: Name of the template.
        macro: Name of the macro.
        arguments: Arguments of the macro; all text is escaped.
    """
    module = _environment().get_template(template).module
    return str(getattr(module, macro)(*arguments)).strip()


@cache
def _environment() -> Environment:
    return create_environment(cell=cell_text, svg=inline_svg)


@cache
def _script(name: str) -> tuple[str, str]:
    """Return a script and its hash in the format of a content security policy."""
    code = _environment().get_template(name).render()
    return code, script_hash(code)


@cache
def _colours() -> str:
    return ramp_styles()
