"""Width of the fields that a model was trained on, and plates whose fields have another one."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import field_files
from leigh_mlops.images.read import read_image
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import chosen_width, set_field_width, widths_differ
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.image_sentences import width_sentences
from leigh_mlops.training import PreparedData

__all__ = ["is_other_width", "match_field_width", "other_widths", "report_other_widths", "width_facts"]

_TRIED_FIELDS = 3


def width_facts(data: PreparedData) -> dict[str, Any]:
    """Facts of a package on the scale of its training: ``field_um``, and whether it was chosen (``rescaled``).

    Returns:
        Nothing where the pixel size of the training fields is not known.
    """
    if (chosen := chosen_width(data.table)) is not None:
        return {"field_um": chosen, "rescaled": True}
    if data.cache.field_size is None or Metadata.PIXEL_SIZE_UM not in data.table:
        return {}
    sizes = data.table[Metadata.PIXEL_SIZE_UM].iloc[data.rows("train")]
    if sizes.isna().any():
        return {}
    return {"field_um": float(sizes.median()) * min(data.cache.field_size), "rescaled": False}


def match_field_width(package: ModelPackage, table: pd.DataFrame) -> pd.DataFrame:
    """Image table whose fields are cut to the width that a package has chosen; unchanged if it has chosen none.

    Raises:
        LeighError: The pixel size of a plate is not known, or the table has another width.
    """
    return table if package.field_width_um is None else set_field_width(table, package.field_width_um)


def other_widths(package: ModelPackage, table: pd.DataFrame) -> dict[str, float]:
    """Find plates whose fields have another width than those of a package's training, so that cells look otherwise.

    One field of each plate is read, since its number of pixels counts as well as their size.

    Returns:
        Width in µm by plate. A plate is left out whose pixel size is not known, and all are for a package that cuts
        its width out of each field, or does not know its own.
    """
    if "field_um" not in package.about or package.field_width_um is not None:
        return {}
    chosen, found = chosen_width(table), {}
    for plate, rows in table.groupby(table[Metadata.PLATE].astype(str), sort=False):
        width = _measure_width(rows, package.channels) if chosen is None else chosen
        if width is not None and is_other_width(package, width):
            found[str(plate)] = width
    return found


def report_other_widths(package: ModelPackage, table: pd.DataFrame, console: Console) -> dict[str, float]:
    """Find plates as :func:`other_widths` does, and say so."""
    found = other_widths(package, table)
    for sentence in width_sentences(package.about.get("field_um"), found):
        console.print(sentence, style="bold yellow", markup=False)
    return found


def is_other_width(package: ModelPackage, width_um: float) -> bool:
    """Return whether fields of a width are taken whole by a package that was trained on fields of another one."""
    known = package.about.get("field_um")
    return known is not None and package.field_width_um is None and widths_differ(width_um, known)


def _measure_width(rows: pd.DataFrame, channels: Sequence[str]) -> float | None:
    """Width in µm of the first readable one of a few fields of a plate."""
    if Metadata.PIXEL_SIZE_UM not in rows:
        return None
    known = rows[rows[Metadata.PIXEL_SIZE_UM].notna()].iloc[:_TRIED_FIELDS]
    for files, size in zip(field_files(known, channels), known[Metadata.PIXEL_SIZE_UM], strict=True):
        try:
            if files is not None:
                return float(size * min(read_image(*files[0].planes[0][:2]).shape[-2:]))
        except LeighError:
            continue
    return None
