"""Pixel sizes and magnifications of plates, which must be equal for one network, or made so."""

import math

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = ["chosen_width", "differing_scales", "require_one_scale", "scale_phrases", "set_field_width", "widths_differ"]

_TOLERANCE = 1.02
_UNITS = {Metadata.PIXEL_SIZE_UM: "µm per pixel", Metadata.MAGNIFICATION: "times magnified"}


def differing_scales(table: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Pixel sizes and magnifications that differ by more than 2 %, between plates or within one.

    Args:
        table: Image table.

    Returns:
        Column (``Metadata_PixelSize_um``, ``Metadata_Magnification``) to the values of each plate; a column
        whose values are alike, or that the table lacks, is left out. None differ where a field width is set, see
        :func:`set_field_width`.
    """
    if chosen_width(table) is not None:
        return {}
    differing = {}
    for column in _UNITS:
        if column not in table or table[column].isna().all():
            continue
        values = table.dropna(subset=column)
        if widths_differ(values[column].max(), values[column].min()):
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


def require_one_scale(table: pd.DataFrame, *, needs_labels: bool = True) -> None:
    """Refuse images of different scales in one training.

    Args:
        table: Image table.
        needs_labels: Whether images without a class are left out.

    Raises:
        LeighError: Pixel sizes or magnifications differ.
    """
    used = table[table[Metadata.CONDITION].notna()] if needs_labels else table
    if phrases := scale_phrases(differing_scales(used)):
        raise LeighError(
            f"{phrases[0]}, and one network would learn the scale instead of the cells; train on plates of one scale, "
            "or cut a square of one width in µm out of all fields with ingest --field-um."
        )


def widths_differ(first: float, second: float) -> bool:
    """Return whether two lengths differ by more than 2 %, which no calibration explains."""
    return max(first, second) > _TOLERANCE * min(first, second)


def set_field_width(table: pd.DataFrame, width_um: float) -> pd.DataFrame:
    """Choose the width of the centre square that is cut out of each field, so that all plates have one scale.

    Args:
        table: Image table.
        width_um: Width in µm.

    Raises:
        LeighError: The width is not above 0, the pixel size of a plate is not known, or the table has another width.
    """
    if not 0 < width_um < math.inf:
        raise LeighError(f"A field width of {width_um:g} µm can't be cut; give one above 0.")
    before = chosen_width(table)
    if before is not None and widths_differ(before, width_um):
        raise LeighError(
            f"The table cuts squares of {before:g} µm out of its fields where {width_um:g} µm are asked for; ingest "
            f"the images again with --field-um {width_um:g}."
        )
    sizes = table.get(Metadata.PIXEL_SIZE_UM, pd.Series(math.nan, table.index)).astype(float)
    unknown = table[Metadata.PLATE][~(sizes > 0)]
    if len(unknown):
        raise LeighError(
            f"The pixel size of plate {unknown.iloc[0]} is not known, so no square of {width_um:g} µm can be cut out "
            f"of its fields; add it to the image table as {Metadata.PIXEL_SIZE_UM}."
        )
    return table.assign(**{Metadata.FIELD_UM: float(width_um)})


def chosen_width(table: pd.DataFrame) -> float | None:
    """Find the width in µm of the squares that a table cuts out of its fields; ``None`` where it has them whole.

    Raises:
        LeighError: The table has several, or none for some of its fields.
    """
    if Metadata.FIELD_UM not in table or table[Metadata.FIELD_UM].isna().all():
        return None
    widths = sorted(table[Metadata.FIELD_UM].unique().tolist())
    if len(widths) > 1:
        raise LeighError(
            f"The table has several widths in {Metadata.FIELD_UM} ({', '.join(f'{width:g}' for width in widths)}); "
            "ingest the images again with one --field-um."
        )
    return float(widths[0])
