"""Pixel sizes and magnifications of plates, which must be equal for one network."""

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = ["differing_scales", "require_one_scale", "scale_phrases"]

_TOLERANCE = 1.02
_UNITS = {Metadata.PIXEL_SIZE_UM: "µm per pixel", Metadata.MAGNIFICATION: "times magnified"}


def differing_scales(table: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Pixel sizes and magnifications that differ by more than 2 %, between plates or within one.

    Args:
        table: Image table.

    Returns:
        Column (``Metadata_PixelSize_um``, ``Metadata_Magnification``) to the values of each plate; a column
        whose values are alike, or that the table lacks, is left out.
    """
    differing = {}
    for column in _UNITS:
        if column not in table or table[column].isna().all():
            continue
        values = table.dropna(subset=column)
        if values[column].max() > _TOLERANCE * values[column].min():
            of_plates = values.groupby(values[Metadata.PLATE].astype(str))[column]
            differing[column] = {str(plate): sorted({float(f"{size:.4g}") for size in one}) for plate, one in of_plates}
    return differing


def scale_phrases(differing: dict[str, dict[str, list[float]]]) -> list[str]:
    """Describe each difference that :func:`differing_scales` found, without its end."""
    phrases = []
    for column, plates in differing.items():
        groups: dict[str, list[str]] = {}
        for plate, sizes in plates.items():
            groups.setdefault(" and ".join(f"{size:g}" for size in sizes), []).append(plate)
        listed = "; ".join(f"{size} {_UNITS[column]}: {_plates(names)}" for size, names in groups.items())
        phrases.append(f"plates differ in scale ({listed})")
    return phrases


def _plates(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def require_one_scale(table: pd.DataFrame) -> None:
    """Refuse labelled images of different scales in one training.

    Raises:
        LeighError: Pixel sizes or magnifications differ.
    """
    if phrases := scale_phrases(differing_scales(table[table[Metadata.CONDITION].notna()])):
        raise LeighError(
            f"{phrases[0]}, and one network would learn the scale instead of the cells; train on plates of one scale, "
            f"or export the images again at one pixel size and correct {next(iter(_UNITS))} of the image table."
        )
