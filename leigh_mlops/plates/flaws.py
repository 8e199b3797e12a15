"""Flaws of a field, detected in its measures and by comparing it with its plate."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from leigh_mlops.plates.bit_depth import bit_depths
from leigh_mlops.plates.columns import Metadata

__all__ = ["FLAWS"]

MIN_FIELDS = 12  # median and MAD of fewer are so loose that sound fields would often be called outliers
OUTLIER_Z = 3.5  # robust z, the usual bar (Iglewicz and Hoaglin 1993)
# Fields that are nearly equal have a MAD near 0, where every small difference would be an outlier: the
# spread counts as at least 5 % of the median, and what is found must be far off in itself, too.
MIN_SPREAD = 0.05
EMPTY_FOREGROUND = 0.003  # specks and noise cover less; one small clump of cells in a field covers more
SHAPELESS_FOREGROUND = 0.01  # uneven background may cover as much, but nothing in it can be focused on
BLURRED = 0.55  # of the median focus in one channel
HARDLY_SHARP = 0.75  # in every other; haze of debris and clipped tops leave more in one of them
SATURATED = 0.01  # above, the channel's mean is cut off; single hot pixels and a few dead cells stay below
DEBRIS = 0.005  # below, it is what a few dead cells cover
MIN_DEBRIS_PER_CHANNEL = 0.0005  # debris shines in every channel, bright nuclei in one
DIM, BRIGHT = 0.5, 2.0  # of the median intensity; staining and lamp vary less within a plate
MIN_MEAN = 0.1  # grey values; a channel below is black, and ratios of black are meaningless


def find_missing_channel(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields of which the table names no file for a channel."""
    return _describe_channels(_measure(table, "FileName").isna())


def find_unreadable(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields with all files, of which a channel has no measure."""
    complete = ~_measure(table, "FileName").isna().any(axis=1)
    return _flagged_fields(_measure(quality, "mean").isna().any(axis=1) & complete)


def find_out_of_focus(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields far less sharp than the plate's others of their class, and sharp in no channel with signal."""
    focus = _measure(quality, "focus").where(~_without_signal(quality))
    sharpness = _log(focus, np.finfo(float).tiny)
    # A class whose nuclei are all less crisp is a phenotype.
    ratio, z = _compare_to_group(sharpness, _plate_classes(table))
    sharp = ratio.ge(float(np.log(HARDLY_SHARP))) | (ratio.isna() & focus.notna())
    return _flagged_fields(_is_low_outlier(ratio, z, BLURRED).any(axis=1) & ~sharp.any(axis=1))


def find_empty(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields without signal in any channel."""
    nothing = _without_signal(quality)
    return _flagged_fields(nothing.all(axis=1) & (len(nothing.columns) > 0))


def find_saturated(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields with too many pixels at the top of the bit depth that the channel has on the plate."""
    share, largest = _measure(quality, "at_max"), _measure(quality, "max")
    plates = table[Metadata.PLATE].astype("str")
    tops = {}
    for channel in largest:
        depths = bit_depths(table, quality[[f"max_{channel}", f"bits_{channel}"]])
        tops[channel] = plates.map({plate: depth.max_value for plate, depth in depths.items()})
    return _describe_channels((share > SATURATED) & largest.eq(pd.DataFrame(tops)), 100 * share, "{:.1f} % of pixels")


def find_debris(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields of which bright blobs, seen in every channel, cover much more than of the plate's others."""
    share = _measure(quality, "debris")
    share = share.where(share.min(axis=1) > MIN_DEBRIS_PER_CHANNEL, 0.0)
    # Most fields have none: their MAD is 0, and DEBRIS alone decides.
    _, z = _compare_to_group(share, table[Metadata.PLATE], DEBRIS / OUTLIER_Z)
    return _describe_channels((z > OUTLIER_Z) & (share > DEBRIS), 100 * share, "{:.1f} % of pixels")


def find_dim(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields with far less intensity than the plate's others of their class."""
    ratio, z = _intensities(table, quality)
    return _describe_channels(_is_low_outlier(ratio, z, DIM), 100 * ratio.apply(np.exp), "{:.0f} % of the median")


def find_bright(table: pd.DataFrame, quality: pd.DataFrame) -> "pd.Series[str]":
    """Find fields with far more intensity than the plate's others of their class."""
    ratio, z = _intensities(table, quality)
    return _describe_channels(
        _is_low_outlier(-ratio, -z, 1 / BRIGHT), 100 * ratio.apply(np.exp), "{:.0f} % of the median"
    )


FLAWS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], "pd.Series[str]"]] = {
    "missing_channel": find_missing_channel,
    "unreadable": find_unreadable,
    "out_of_focus": find_out_of_focus,
    "empty": find_empty,
    "saturated": find_saturated,
    "debris": find_debris,
    "dim": find_dim,
    "bright": find_bright,
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
    intensity, groups = _log(_measure(quality, "mean"), MIN_MEAN), _plate_classes(table)
    # Where fields fall into two camps, as doses, donors or unnamed classes do, the smaller is no outlier:
    # the distance from the lowest to the highest tenth is the spread, 2.563 deviations of a normal one.
    grouped = intensity.groupby(groups)
    tenths = grouped.transform("quantile", 0.9) - grouped.transform("quantile", 0.1)
    return _compare_to_group(intensity, groups, (tenths / 2.563).clip(lower=MIN_SPREAD))


def _plate_classes(table: pd.DataFrame) -> "pd.Series[str]":
    classes = table[Metadata.CONDITION].astype(object).fillna("")
    return table[Metadata.PLATE].astype(object) + "/" + classes


def _is_low_outlier(ratio: pd.DataFrame, z: pd.DataFrame, share: float) -> pd.DataFrame:
    return z.lt(-OUTLIER_Z) & ratio.lt(float(np.log(share)))


def _compare_to_group(
    values: pd.DataFrame, groups: "pd.Series[str]", least_spread: float | pd.DataFrame = MIN_SPREAD
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distance from the median of each group, and the same as robust z, both (N, C).

    Both are missing where fewer than 12 fields of the group have a number.
    """
    grouped = values.groupby(groups)
    away = (values - grouped.transform("median")).where(grouped.transform("count") >= MIN_FIELDS)
    spread = 1.4826 * away.abs().groupby(groups).transform("median")
    return away, away / spread.clip(lower=least_spread)


def _flagged_fields(found: "pd.Series[bool]") -> "pd.Series[str]":
    return pd.Series("", index=found.index[found], dtype=object)


def _describe_channels(found: pd.DataFrame, amounts: pd.DataFrame | None = None, words: str = "") -> "pd.Series[str]":
    """Describe fields with the flaw in any channel: the channels, each with its amount."""
    marks = found.to_numpy(bool)
    if amounts is None:
        texts = np.broadcast_to(found.columns.to_numpy(object), found.shape)
    else:
        texts = np.full(found.shape, "", dtype=object)
        for row, channel in np.argwhere(marks):
            texts[row, channel] = f"{found.columns[channel]} {words.format(amounts.iloc[row, channel])}"
    rows = np.flatnonzero(marks.any(axis=1))
    details = [", ".join(texts[row][marks[row]]) for row in rows]
    return pd.Series(details, index=found.index[rows], dtype=object)
