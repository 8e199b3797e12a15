"""Flaws: what can be wrong with a field, found in its measures and by comparing it with its plate."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from leigh_mlops.plates.bit_depth import bit_depths

__all__ = ["FLAWS"]

LEAST_FIELDS = 12  # median and MAD of fewer are so loose that sound fields would often be called outliers
OUTLIER = 3.5  # robust z, the usual bar (Iglewicz and Hoaglin 1993)
# Fields that are nearly equal have a MAD near 0, where every small difference would be an outlier: the
# spread counts as at least 5 % of the median, and what is found must be far off in itself, too.
LEAST_SPREAD = 0.05
EMPTY_FOREGROUND = 0.003  # specks and noise cover less; one small clump of cells in a field covers more
SHAPELESS_FOREGROUND = 0.01  # uneven background may cover as much, but nothing in it can be focused on
BLURRED = 0.55  # of the median focus in one channel
HARDLY_SHARP = 0.75  # in every other; haze of debris and clipped tops leave more in one of them
SATURATED = 0.01  # above, the channel's mean is cut off; single hot pixels and a few dead cells stay below
DEBRIS = 0.005  # below, it is what a few dead cells cover
EVERYWHERE = 0.0005  # debris shines in every channel, bright nuclei in one
DIM, BRIGHT = 0.5, 2.0  # of the median intensity; staining and lamp vary less within a plate
LEAST_MEAN = 0.1  # grey values; a channel below is black, and ratios of black say nothing


def missing_channel(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields of which the table names no file for a channel."""
    return _said(_measure(table, "FileName").isna())


def unreadable(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields with all files, of which a channel has no measure."""
    complete = ~_measure(table, "FileName").isna().any(axis=1)
    return _unsaid(_measure(quality, "mean").isna().any(axis=1) & complete)


def out_of_focus(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields far less sharp than the plate's others of their class, and sharp in no channel with signal."""
    focus = _measure(quality, "focus").where(~_without_signal(quality))
    sharpness = _log(focus, np.finfo(float).tiny)
    # A class whose nuclei are all less crisp is a phenotype.
    ratio, z = _compared(sharpness, _plate_classes(table))
    sharp = ratio.ge(float(np.log(HARDLY_SHARP))) | (ratio.isna() & focus.notna())
    return _unsaid(_far_below(ratio, z, BLURRED).any(axis=1) & ~sharp.any(axis=1))


def empty(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields without signal in any channel."""
    nothing = _without_signal(quality)
    return _unsaid(nothing.all(axis=1) & (len(nothing.columns) > 0))


def saturated(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields with too many pixels at the top of the bit depth that the channel has on the plate."""
    share, largest = _measure(quality, "at_max"), _measure(quality, "max")
    plates = table["Metadata_Plate"].astype("str")
    tops = {}
    for channel in largest:
        depths = bit_depths(table, quality[[f"max_{channel}", f"bits_{channel}"]])
        tops[channel] = plates.map({plate: depth.top for plate, depth in depths.items()})
    return _said((share > SATURATED) & largest.eq(pd.DataFrame(tops)), 100 * share, "{:.1f} % of pixels")


def debris(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields of which bright blobs, seen in every channel, cover much more than of the plate's others."""
    share = _measure(quality, "debris")
    share = share.where(share.min(axis=1) > EVERYWHERE, 0.0)
    # Most fields have none: their MAD is 0, and DEBRIS alone decides.
    _, z = _compared(share, table["Metadata_Plate"], DEBRIS / OUTLIER)
    return _said((z > OUTLIER) & (share > DEBRIS), 100 * share, "{:.1f} % of pixels")


def dim(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields with far less intensity than the plate's others of their class."""
    ratio, z = _intensities(table, quality)
    return _said(_far_below(ratio, z, DIM), 100 * ratio.apply(np.exp), "{:.0f} % of the median")


def bright(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Fields with far more intensity than the plate's others of their class."""
    ratio, z = _intensities(table, quality)
    return _said(_far_below(-ratio, -z, 1 / BRIGHT), 100 * ratio.apply(np.exp), "{:.0f} % of the median")


FLAWS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], "pd.Series[str]"]] = {
    "missing_channel": missing_channel,
    "unreadable": unreadable,
    "out_of_focus": out_of_focus,
    "empty": empty,
    "saturated": saturated,
    "debris": debris,
    "dim": dim,
    "bright": bright,
}


def _measure(columns: pd.DataFrame, name: str) -> pd.DataFrame:
    """The columns ``<name>_<channel>``, shape (N, C), named by channel."""
    prefix = f"{name}_"
    chosen = [column for column in columns if str(column).startswith(prefix)]
    return columns[chosen].rename(columns=lambda column: str(column).removeprefix(prefix))


def _without_signal(quality: pd.DataFrame) -> pd.DataFrame:
    foreground, focus = _measure(quality, "foreground"), _measure(quality, "focus")
    return foreground.le(EMPTY_FOREGROUND) | (foreground.le(SHAPELESS_FOREGROUND) & focus.isna())


def _log(values: pd.DataFrame, least: float) -> pd.DataFrame:
    return values.astype(float).clip(lower=least).apply(np.log)


def _intensities(table: pd.DataFrame, quality: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Log ratio to the median of the plate's fields of the same class, and its robust z, both (N, C)."""
    intensity, groups = _log(_measure(quality, "mean"), LEAST_MEAN), _plate_classes(table)
    # Where fields fall into two camps, as doses, donors or unnamed classes do, the smaller is no outlier:
    # the distance from the lowest to the highest tenth is the spread, 2.563 deviations of a normal one.
    grouped = intensity.groupby(groups)
    tenths = grouped.transform("quantile", 0.9) - grouped.transform("quantile", 0.1)
    return _compared(intensity, groups, (tenths / 2.563).clip(lower=LEAST_SPREAD))


def _plate_classes(table: pd.DataFrame) -> "pd.Series[str]":
    classes = table["Metadata_Condition"].astype(object).fillna("")
    return table["Metadata_Plate"].astype(object) + "/" + classes


def _far_below(ratio: pd.DataFrame, z: pd.DataFrame, share: float) -> pd.DataFrame:
    return z.lt(-OUTLIER) & ratio.lt(float(np.log(share)))


def _compared(
    values: pd.DataFrame, groups: "pd.Series[str]", least_spread: float | pd.DataFrame = LEAST_SPREAD
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distance from the median of each group, and the same as robust z, both (N, C).

    Both are missing where fewer than 12 fields of the group have a number.
    """
    grouped = values.groupby(groups)
    away = (values - grouped.transform("median")).where(grouped.transform("count") >= LEAST_FIELDS)
    spread = 1.4826 * away.abs().groupby(groups).transform("median")
    return away, away / spread.clip(lower=least_spread)


def _unsaid(found: "pd.Series[bool]") -> "pd.Series[str]":
    return pd.Series("", index=found.index[found], dtype=object)


def _said(found: pd.DataFrame, amounts: pd.DataFrame | None = None, words: str = "") -> "pd.Series[str]":
    """Fields with the flaw in any channel, each with the channels and how much."""
    marks = found.to_numpy(bool)
    if amounts is None:
        told = np.broadcast_to(found.columns.to_numpy(object), found.shape)
    else:
        told = np.full(found.shape, "", dtype=object)
        for row, channel in np.argwhere(marks):
            told[row, channel] = f"{found.columns[channel]} {words.format(amounts.iloc[row, channel])}"
    rows = np.flatnonzero(marks.any(axis=1))
    details = [", ".join(told[row][marks[row]]) for row in rows]
    return pd.Series(details, index=found.index[rows], dtype=object)
