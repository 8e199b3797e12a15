"""Example fields of each class, before any training."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.rendering import composite, intensity_limits
from leigh_mlops.report.sheets import MAX_ROWS, Panel, SheetRow, contact_sheet, limits_sentence

__all__ = ["class_montage"]

_PER_CLASS = 4


def class_montage(
    table: pd.DataFrame, raw: Callable[[NDArray[np.int64]], NDArray[np.float32]], channels: Sequence[str]
) -> Figure | None:
    """Draw fields of each class, one row per class, all on one intensity scale, as figure 3.1 of the thesis.

    Fields that are excluded are not drawn; the others are drawn at even distances in the order of the table, so that
    they come from different wells.

    Args:
        table: Image table, with the flaws of the fields where they are known.
        raw: Returns raw intensities (n, C, H, W) of rows of the table, by number.
        channels: Channel names, length C.

    Returns:
        The figure; None if no field of a class can be drawn.
    """
    excluded = table.get(Metadata.EXCLUDED, pd.Series(False, table.index)).to_numpy(bool)
    labels = table[Metadata.CONDITION]
    rows: dict[str, NDArray[np.int64]] = {}
    for name in sorted(map(str, labels.dropna().unique()))[:MAX_ROWS]:
        usable = np.flatnonzero((labels == name).to_numpy(bool) & ~excluded)
        if usable.size:
            rows[name] = usable[np.linspace(0, usable.size - 1, min(_PER_CLASS, usable.size)).round().astype(int)]
    if not rows:
        return None
    images = {name: raw(chosen) for name, chosen in rows.items()}
    limits = intensity_limits(np.concatenate(list(images.values())))
    sheet = [
        SheetRow(
            f"{name}: {len(rows[name])} of {int((labels == name).sum())} fields",
            [
                Panel(composite(image, channels, limits), _caption(table.iloc[row]))
                for row, image in zip(rows[name], images[name], strict=True)
            ],
        )
        for name in rows
    ]
    note = f"{limits_sentence(channels, limits)} One scale for all fields."
    return contact_sheet(sheet, "Fields of each class", note)


def _caption(row: "pd.Series[Any]") -> str:
    return f"{row[Metadata.PLATE]}/{row[Metadata.WELL]}, field {row[Metadata.SITE]}"
