"""Plate maps: the contents of each well."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata, add_metadata_prefix, is_metadata, strip_metadata_prefix
from leigh_mlops.plates.control_labels import standard_controls
from leigh_mlops.plates.names import parse_well, well_name
from leigh_mlops.plates.text_table import read_text_table

__all__ = ["TEXT_COLUMNS", "JoinedPlatemap", "find_platemap", "join_platemap", "read_platemap"]

# Plates, batches and donors are often called 1 and 2, which are still names.
TEXT_COLUMNS = tuple(
    add_metadata_prefix(name)
    for name in ("Plate", "Well", "Condition", "Split", "Batch", "Donor", "Control", "Compound", "Plate_Map_Name")
)
_KNOWN = {
    "well_position": Metadata.WELL,
    add_metadata_prefix("well_position"): Metadata.WELL,
    "plate": Metadata.PLATE,
    "Assay_Plate_Barcode": Metadata.PLATE,
}
_NAMES = ("platemap.csv", "platemap.tsv", "barcode_platemap.csv")
_MAP_SUFFIXES = (".csv", ".tsv", ".txt")
_POSITION_COLUMNS = (Metadata.ROW, Metadata.COLUMN, "Metadata_Column")  # given by the well already
_IMAGE_COLUMNS = (
    Metadata.SITE,
    Metadata.Z,
    Metadata.TIME,
    Metadata.PIXEL_SIZE_UM,
    Metadata.FLAGS,
    Metadata.EXCLUDED,
)


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


def find_platemap(path: Path) -> Path | None:
    """Find the plate map in a data folder or in the one above it; none for a table."""
    if not path.is_dir():
        return None
    folders = (path, path.absolute().parent)
    candidates = [folder / name for folder in folders for name in _NAMES]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_platemap(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a plate map, or a list of plates with the map of each.

    Args:
        path: Table (``.csv``, ``.tsv``, ``.txt``; commas, semicolons or tabs) with
            ``well_position``, where needed ``plate`` or ``Assay_Plate_Barcode``, and what was
            added: ``condition``, ``donor``, ``batch``, ``mmoles_per_liter``, ... Or a table with
            ``Assay_Plate_Barcode`` and ``Plate_Map_Name``, whose maps lie beside it or in
            ``platemap/``.

    Returns:
        One row per well. Columns begin with ``Metadata_``; plain lower-case words get a capital
        (``Metadata_Donor``), any other name stays as it is (``Metadata_mmoles_per_liter``).

    Raises:
        LeighError: There is no such file, it is no table, it names no wells, it names one twice,
            or a map that it names does not exist beside it.
    """
    path = Path(path)
    raw = read_text_table(path)
    named = {_column(str(name)) for name in raw.columns}
    of_plates = Metadata.PLATE_MAP_NAME in named and Metadata.WELL not in named
    return (_read_plate_maps if of_plates else _parse_map)(raw, path).apply(_convert_numeric)


def _rename_columns(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    columns = [_column(str(name)) for name in raw.columns]
    if twice := [name for name in columns if columns.count(name) > 1]:
        same = [str(name) for name, column in zip(raw.columns, columns, strict=True) if column == twice[0]]
        raise LeighError(f"the plate map {path} has several columns for {twice[0]}, {', '.join(same)}; keep one.")
    return raw.set_axis(columns, axis=1)


def _column(name: str) -> str:
    if name in _KNOWN or is_metadata(name):
        return _KNOWN.get(name, name)
    return add_metadata_prefix(name.capitalize() if name.isalpha() and name.islower() else name)


def _parse_map(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    wells = _rename_columns(raw, path)
    if Metadata.WELL not in wells:
        raise LeighError(f"the plate map {path} has no column well_position, only {', '.join(raw.columns)}; add it.")
    if taken := sorted(set(_IMAGE_COLUMNS) & set(wells.columns)):
        name = strip_metadata_prefix(taken[0])
        raise LeighError(f"the plate map {path} has a column {name}, which is reserved for the images; rename it.")
    wells = wells[wells[Metadata.WELL].notna()].drop(columns=list(_POSITION_COLUMNS), errors="ignore")
    wells = wells.assign(Metadata_Well=_standard_wells(wells[Metadata.WELL], path))
    if Metadata.PLATE in wells and (nameless := wells[Metadata.PLATE].isna()).any():
        if not nameless.all():
            well = wells.loc[nameless, Metadata.WELL].iloc[0]
            raise LeighError(f"the plate map {path} gives a plate for other wells but none for {well}; add it.")
        wells = wells.drop(columns=Metadata.PLATE)
    key = _key(wells)
    if (twice := wells.duplicated(key)).any():
        well = "/".join(str(wells.loc[twice, name].iloc[0]) for name in key)
        raise LeighError(f"the plate map {path} lists well {well} twice; keep one row per well.")
    return wells


def _standard_wells(names: "pd.Series[str]", path: Path) -> list[str]:
    try:
        return [well_name(*parse_well(name)) for name in names]
    except LeighError as error:
        raise LeighError(f"the plate map {path}: {error}") from None


def _read_plate_maps(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    plates = _rename_columns(raw, path)
    if Metadata.PLATE not in plates or plates[[Metadata.PLATE, Metadata.PLATE_MAP_NAME]].isna().any(axis=None):
        raise LeighError(f"{path} must name a plate and its map in each row; fill in Assay_Plate_Barcode.")
    if (twice := plates[Metadata.PLATE].duplicated()).any():
        raise LeighError(f"{path} lists plate {plates.loc[twice, Metadata.PLATE].iloc[0]} twice; keep one row.")
    files = {name: _map_file(name, path) for name in plates[Metadata.PLATE_MAP_NAME].unique()}
    maps = {name: _parse_map(read_text_table(file), file) for name, file in files.items()}
    named = zip(plates[Metadata.PLATE], plates[Metadata.PLATE_MAP_NAME], strict=True)
    every = [maps[name].assign(Metadata_Plate=plate, Metadata_Plate_Map_Name=name) for plate, name in named]
    if not every:
        raise LeighError(f"{path} lists no plates; add one row per plate.")
    return pd.concat(every, ignore_index=True)


def _map_file(name: str, path: Path) -> Path:
    """File of a map by its name, which came from a file: nothing outside the folder is opened."""
    if any(sign in name for sign in "/\\:\0") or name in (".", ".."):
        raise LeighError(f"{path} names the map {name!r}, which is not a plain file name; correct it.")
    folders = (path.parent / "platemap", path.parent)
    suffixes = ("", *_MAP_SUFFIXES) if name.lower().endswith(_MAP_SUFFIXES) else _MAP_SUFFIXES
    files = [folder / f"{name}{suffix}" for folder in folders for suffix in suffixes]
    found = next((file for file in files if file.is_file() and file != path), None)
    if found is None:
        raise LeighError(f"{path} names the map {name!r}, but there is no {files[0]}; add it.")
    return found


def _key(table: pd.DataFrame) -> list[str]:
    return [name for name in (Metadata.PLATE, Metadata.WELL) if name in table]


def _convert_numeric(column: "pd.Series[str]") -> "pd.Series[str] | pd.Series[float]":
    # A leading zero (donor 007) is part of a name, not of a number.
    if column.name in TEXT_COLUMNS or column.str.match(r"\s*0\d", na=False).any():
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().equals(column.notna()) else column


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
    key = _key(platemap)
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
