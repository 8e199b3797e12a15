"""The page that a batch job leaves behind: one file that opens from disk."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from pandas.api.types import is_numeric_dtype

from leigh_mlops.report.files import replacing

__all__ = ["ReportPicture", "heading", "write_report"]

EMPTY: Mapping[str, Any] = {"sentences": [], "facts": {}, "model": {}, "methods": [], "failures": []}


@dataclass(frozen=True)
class ReportPicture:
    """A picture that the page shows.

    Attributes:
        path: Where it lies, relative to the page's folder, such as
            ``../images/P1_B03_1.png``.
        caption: What it shows, in words; blind readers are told the same.
        field: Label of its row in ``fields``; None where it shows the whole job.
    """

    path: str
    caption: str
    field: Hashable = None


def write_report(
    folder: Path,
    summary: Mapping[str, Any],
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    pictures: Sequence[ReportPicture],
) -> Path:
    """Write ``index.html``: summary, wells, fields with their pictures, methods, failures.

    The page asks no server for anything, runs no script, and shows whatever text it
    is given as text, never as HTML.

    Args:
        folder: Where ``index.html`` goes; made where it is missing.
        summary: ``title``; and, each where it is known, ``sentences`` (what was
            found, the most important first), ``facts`` (name to value), ``model``
            (name to value), ``methods`` (paragraphs), ``failures`` (mappings with
            ``path`` and ``reason``).
        wells: One row per well; its columns are the table's, ``Metadata_`` cut off.
        fields: One row per field; the gallery shows those that have a picture.
        pictures: Pictures, in their order.

    Returns:
        The path of the page.

    Raises:
        ValueError: ``summary`` has no title or an unknown key, or a picture's
            path is absolute or its field is not in ``fields``.
    """
    if "title" not in summary or set(summary) - {"title", *EMPTY}:
        raise ValueError(f"summary has the keys {sorted(summary)}: pass title and any of {list(EMPTY)}.")
    template = _environment().get_template("explain.html")
    page = template.render(
        {**EMPTY, **summary},
        columns=[(heading(name), is_numeric_dtype(dtype)) for name, dtype in wells.dtypes.items()],
        wells=[list(map(_text, row)) for row in wells.itertuples(index=False)],
        overview=[_shown(picture) for picture in pictures if picture.field is None],
        gallery=_gallery(fields, pictures),
        field_count=len(fields),
    )
    path = folder / "index.html"
    with replacing(path) as temporary:
        # A file name need not be valid UTF-8; the page is, all the same.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def heading(column: object) -> str:
    """A column's name as a reader wants it.

    Example:
        >>> heading("Metadata_Well"), heading("log_odds_TT")
        ('Well', 'log odds TT')
    """
    return str(column).removeprefix("Metadata_").replace("_", " ")


def _environment() -> Environment:
    loader = PackageLoader("leigh_mlops.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = _text
    return environment


def _gallery(fields: pd.DataFrame, pictures: Sequence[ReportPicture]) -> list[dict[str, Any]]:
    by_field: dict[Hashable, list[dict[str, str]]] = {}
    for picture in pictures:
        if picture.field is not None:
            by_field.setdefault(picture.field, []).append(_shown(picture))
    if unknown := [label for label in by_field if label not in fields.index]:
        raise ValueError(f"the field {unknown[0]!r} of a picture is not in the index of fields: pass its label.")
    names = [heading(column) for column in fields.columns]
    places = fields.index.get_indexer(pd.Index(list(by_field)))
    rows = fields.iloc[places].itertuples(index=False)
    return [
        {"facts": dict(zip(names, map(_text, row), strict=True)), "pictures": shown}
        for row, shown in zip(rows, by_field.values(), strict=True)
    ]


def _shown(picture: ReportPicture) -> dict[str, str]:
    if picture.path.startswith(("/", "\\")):
        raise ValueError(f"the picture {picture.path!r} is absolute: pass a path relative to the page.")
    # Quoting takes the meaning from ?, # and from a scheme such as javascript:.
    return {"path": quote(picture.path, errors="surrogateescape"), "caption": picture.caption}


def _text(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return "-"
    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}"
    return str(value)
