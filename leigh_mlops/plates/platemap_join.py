"""Plate maps joined with image tables: the contents of a well for each of its fields."""

from dataclasses import dataclass, field

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.control_labels import standard_controls
from leigh_mlops.plates.platemap_file import platemap_key

__all__ = ["JoinedPlatemap", "join_platemap"]


@dataclass(frozen=True)
class JoinedPlatemap:
    """Image table joined with a plate map.

    Attributes:
        table: The table with the map's columns, its rows and their order unchanged.
        unjoined: Wells (``plate/B03``) of the images that are not in the map.
        unused: Wells of the map (``plate/B03``, or ``B03`` where it names no plate) of which
            there is no image.
        unknown_controls: Words for controls that were not understood; these wells count as none.
    """

    table: pd.DataFrame
    unjoined: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    unknown_controls: list[str] = field(default_factory=list)


def join_platemap(table: pd.DataFrame, platemap: pd.DataFrame) -> JoinedPlatemap:
    """Add the plate map's columns to each field, by its well.

    Args:
        table: Image table.
        platemap: One row per well, as :func:`read_platemap` gives it.

    Returns:
        The table with the map's columns; where these name controls in any dialect,
        ``Metadata_Control`` is ``negcon``, ``poscon``, ``empty`` or nothing.

    Raises:
        LeighError: No well joins, or the map and the folders name two classes for a well.
    """
    key = platemap_key(platemap)
    added = [str(name) for name in platemap if name not in key]
    mapped = table[key].merge(platemap, on=key, how="left", indicator=True)
    mapped.index = table.index
    wells = table[Metadata.PLATE] + "/" + table[Metadata.WELL]
    absent = mapped["_merge"] == "left_only"
    if absent.all():
        raise LeighError(
            f"no well of the images is in the plate map: it has {'/'.join(platemap[key].iloc[0].astype(str))}, "
            f"the images have {wells.iloc[0]}; correct its wells{' and plates' if len(key) > 1 else ''}."
            if len(platemap)
            else "the plate map is empty; add one row per well."
        )
    if Metadata.CONDITION in added:
        mapped[Metadata.CONDITION] = _merge_classes(table[Metadata.CONDITION], mapped[Metadata.CONDITION], wells)
    for name in set(added) & set(table) - {Metadata.CONDITION}:
        mapped[name] = mapped[name].fillna(table[name])
    joined = table.assign(**{name: mapped[name] for name in added})
    controls, unknown = standard_controls(mapped[added])
    if controls is not None:
        joined[Metadata.CONTROL] = controls
    return JoinedPlatemap(joined, sorted(wells[absent].unique()), _unused_wells(table, platemap, key), unknown)


def _unused_wells(table: pd.DataFrame, platemap: pd.DataFrame, key: list[str]) -> list[str]:
    there = set(table[key].itertuples(index=False, name=None))
    mapped = platemap[key].itertuples(index=False, name=None)
    return sorted("/".join(map(str, well)) for well in mapped if well not in there)


def _merge_classes(known: "pd.Series[str]", mapped: "pd.Series[str]", wells: "pd.Series[str]") -> "pd.Series[str]":
    differ = known.notna() & mapped.notna() & (known != mapped)
    if differ.any():
        well, ours, theirs = wells[differ].iloc[0], known[differ].iloc[0], mapped[differ].iloc[0]
        raise LeighError(f"well {well} is {ours!r} by its images but {theirs!r} in the plate map; correct one of them.")
    return mapped.fillna(known)
