"""Plate maps: files that name the contents of each well."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
from pandas.api.types import is_string_dtype

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata, add_metadata_prefix, strip_metadata_prefix
from leigh_mlops.plates.names import parse_well, well_name
from leigh_mlops.plates.number_cells import CellProblem, error_value, is_error_value, parse_doses
from leigh_mlops.plates.platemap_headers import HeaderReading, read_headers
from leigh_mlops.plates.text_table import read_text_table
from leigh_mlops.plates.whole_number import parse_whole

__all__ = [
    "TEXT_COLUMNS",
    "PlatemapReading",
    "find_platemap",
    "parse_platemap",
    "platemap_key",
    "read_platemap",
]

# Plates, batches and donors are often called 1 and 2, which are still names.
TEXT_COLUMNS = tuple(
    add_metadata_prefix(name)
    for name in ("Plate", "Well", "Condition", "Split", "Batch", "Donor", "Control", "Compound", "Plate_Map_Name")
)
_ZERO_FIRST = r"\s*0\d"
_WELL_MARKS = re.compile(r"^\s*([A-Za-z]{1,2})[\s:_-]*0*([1-9]\d*)\s*$")
"""A well as people write it: ``A 1``, ``a-01``, ``B003``."""
_NAMES = ("platemap.csv", "platemap.tsv", "barcode_platemap.csv")
_MAP_SUFFIXES = (".csv", ".tsv", ".txt")
_POSITION_COLUMNS = (Metadata.ROW, Metadata.COLUMN, "Metadata_Column")  # given by the well already
_IMAGE_COLUMNS = (
    Metadata.SITE,
    Metadata.Z,
    Metadata.TIME,
    Metadata.ACQUISITION,
    Metadata.PIXEL_SIZE_UM,
    Metadata.FIELD_UM,
    Metadata.MAGNIFICATION,
    Metadata.FLAGS,
    Metadata.EXCLUDED,
)


@dataclass(frozen=True)
class PlatemapReading:
    """Reading of a plate map.

    Attributes:
        table: One row per well, as :func:`read_platemap` returns it.
        headers: Reading of each header, in the order of the file; for a list of plates, those of the list
            and then of its maps.
        problems: Cells that are not what their columns expect, in the order of the columns.
        nameless_rows: Number of rows that name no well, which are left out.
    """

    table: pd.DataFrame
    headers: list[HeaderReading] = field(default_factory=list)
    problems: list[CellProblem] = field(default_factory=list)
    nameless_rows: int = 0


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
            ``well_position`` (or ``row`` and ``column``), where needed ``plate`` or
            ``Assay_Plate_Barcode``, and what was added: ``condition``, ``compound``, ``donor``,
            ``batch``, ``mmoles_per_liter``, ... in any usual spelling. Or a table with
            ``Assay_Plate_Barcode`` and ``Plate_Map_Name``, whose maps lie beside it or in
            ``platemap/``.

    Returns:
        One row per well. Columns begin with ``Metadata_``; those that are understood have the name of
        the image table, plain lower-case words get a capital (``Metadata_Age``), any other name stays
        as it is (``Metadata_mmoles_per_liter``). A dose that is no number is missing.

    Raises:
        LeighError: There is no such file, it is no table, it names no wells, it names one twice,
            or a map that it names does not exist beside it.
    """
    return parse_platemap(path).table


def parse_platemap(path: str | os.PathLike[str]) -> PlatemapReading:
    """Read a plate map, and say how its headers were read and which cells were not.

    Arguments and errors are those of :func:`read_platemap`.
    """
    path = Path(path)
    raw = read_text_table(path)
    headers = read_headers([str(name) for name in raw.columns])
    named = {header.column for header in headers}
    of_plates = Metadata.PLATE_MAP_NAME in named and not named & {Metadata.WELL, Metadata.ROW}
    reading = (_read_plate_maps if of_plates else _parse_map)(raw, headers, path)
    return replace(reading, table=reading.table.apply(_convert_numeric))


def _rename_columns(raw: pd.DataFrame, headers: Sequence[HeaderReading], path: Path) -> pd.DataFrame:
    columns = [header.column for header in headers]
    if twice := [name for name in columns if columns.count(name) > 1]:
        same = [header.header for header in headers if header.column == twice[0]]
        raise LeighError(f"the plate map {path} has several columns for {twice[0]}, {', '.join(same)}; keep one.")
    return raw.set_axis(columns, axis=1)


def _parse_map(raw: pd.DataFrame, headers: list[HeaderReading], path: Path) -> PlatemapReading:
    wells = _add_wells(_rename_columns(raw, headers, path))
    if Metadata.WELL not in wells:
        raise LeighError(
            f"the plate map {path} has no column well_position, only {', '.join(map(str, raw.columns))}; add it."
        )
    if taken := sorted(set(_IMAGE_COLUMNS) & set(wells.columns)):
        name = strip_metadata_prefix(taken[0])
        raise LeighError(f"the plate map {path} has a column {name}, which is reserved for the images; rename it.")
    named = wells[Metadata.WELL].notna()
    wells = wells[named].drop(columns=list(_POSITION_COLUMNS), errors="ignore")
    wells = wells.assign(Metadata_Well=_standard_wells(wells[Metadata.WELL], path))
    wells, headers, problems = _read_cells(wells, headers)
    if Metadata.PLATE in wells and (nameless := wells[Metadata.PLATE].isna()).any():
        if not nameless.all():
            well = wells.loc[nameless, Metadata.WELL].iloc[0]
            raise LeighError(f"the plate map {path} gives a plate for other wells but none for {well}; add it.")
        wells = wells.drop(columns=Metadata.PLATE)
    key = platemap_key(wells)
    if (twice := wells.duplicated(key)).any():
        well = "/".join(str(wells.loc[twice, name].iloc[0]) for name in key)
        remedy = _twice_remedy(wells, headers)
        raise LeighError(f"the plate map {path} lists well {well} twice; {remedy}.")
    return PlatemapReading(wells, headers, problems, int((~named).sum()))


def _add_wells(table: pd.DataFrame) -> pd.DataFrame:
    """Add the wells of a map that gives their rows and columns alone."""
    if Metadata.WELL in table or not {Metadata.ROW, Metadata.COLUMN} <= set(table.columns):
        return table
    both = table[[Metadata.ROW, Metadata.COLUMN]].dropna()
    names = [_place_name(row, column) for row, column in both.itertuples(index=False)]
    return table.assign(Metadata_Well=pd.Series(names, both.index, dtype="str"))


def _place_name(row: str, column: str) -> str:
    """Name of a well from the texts of row (a letter or a number) and column."""
    place, number = row.removesuffix(".0"), column.removesuffix(".0")
    row_number, column_number = parse_whole(place), parse_whole(number)
    if row_number is None or column_number is None:
        return f"{place}{number}"
    return well_name(row_number, column_number)


def _standard_wells(names: "pd.Series[str]", path: Path) -> list[str]:
    try:
        return [well_name(*parse_well(_WELL_MARKS.sub(r"\1\2", name))) for name in names]
    except LeighError as error:
        raise LeighError(f"the plate map {path}: {error}") from None


def _read_cells(
    wells: pd.DataFrame, headers: Sequence[HeaderReading]
) -> tuple[pd.DataFrame, list[HeaderReading], list[CellProblem]]:
    """Read the doses, and empty the cells that hold a spreadsheet's error; each costs itself alone.

    A compound stays as it is, since a well without one would count as untreated. Where cells name
    the unit of a dose, its column does, too.
    """
    read = list(headers)
    labels = wells[platemap_key(wells)].fillna("?").agg("/".join, axis=1)
    problems: list[CellProblem] = []
    for number, header in enumerate(headers):
        if header.column not in wells or header.column == Metadata.WELL:
            continue
        cells = wells[header.column]
        if header.meaning == "dose" and not cells.str.fullmatch(_ZERO_FIRST + r"\d*", na=False).any():
            doses = parse_doses(cells, header.unit)
            column = f"{header.column}_{doses.unit.symbol}" if doses.unit else header.column
            wells = wells.assign(**{header.column: doses.numbers}).rename(columns={header.column: column})
            read[number] = header._replace(column=column, unit=header.unit or doses.unit)
            problems += [
                CellProblem(labels[row], header.header, cells[row], expected, dose)
                for row, expected, dose in doses.problems
            ]
            continue
        broken = cells.map(is_error_value)
        expected = error_value(f"a {header.meaning}" if header.meaning else "a value")
        problems += [CellProblem(labels[row], header.header, cells[row], expected) for row in cells.index[broken]]
        if header.meaning != "compound":
            wells = wells.assign(**{header.column: cells.mask(broken)})
    return wells, read, problems


def _twice_remedy(wells: pd.DataFrame, headers: Sequence[HeaderReading]) -> str:
    """Remedy for two rows of one well: the plate column that was missed, where there may be one."""
    if Metadata.PLATE in wells:
        return "keep one row per well and plate"
    apart = [
        header.header
        for header in headers
        if not header.meaning
        and header.column in wells
        and wells[header.column].notna().all()
        and not wells.duplicated([Metadata.WELL, header.column]).any()
    ]
    if not apart:
        return "keep one row per well, or add a column plate"
    return f"if {apart[0]} names the plates, call that column plate, otherwise keep one row per well"


def _read_plate_maps(raw: pd.DataFrame, headers: list[HeaderReading], path: Path) -> PlatemapReading:
    plates = _rename_columns(raw, headers, path)
    if Metadata.PLATE not in plates or plates[[Metadata.PLATE, Metadata.PLATE_MAP_NAME]].isna().any(axis=None):
        raise LeighError(f"{path} must name a plate and its map in each row; fill in Assay_Plate_Barcode.")
    if (twice := plates[Metadata.PLATE].duplicated()).any():
        raise LeighError(f"{path} lists plate {plates.loc[twice, Metadata.PLATE].iloc[0]} twice; keep one row.")
    files = {name: _map_file(name, path) for name in plates[Metadata.PLATE_MAP_NAME].unique()}
    maps = {name: _parse_file(file) for name, file in files.items()}
    named = zip(plates[Metadata.PLATE], plates[Metadata.PLATE_MAP_NAME], strict=True)
    every = [maps[name].table.assign(Metadata_Plate=plate, Metadata_Plate_Map_Name=name) for plate, name in named]
    if not every:
        raise LeighError(f"{path} lists no plates; add one row per plate.")
    return PlatemapReading(
        pd.concat(every, ignore_index=True),
        list(dict.fromkeys([*headers, *(header for one in maps.values() for header in one.headers)])),
        [
            problem._replace(well=f"{name}/{problem.well}")
            for name, reading in maps.items()
            for problem in reading.problems
        ],
        sum(reading.nameless_rows for reading in maps.values()),
    )


def _parse_file(path: Path) -> PlatemapReading:
    raw = read_text_table(path)
    return _parse_map(raw, read_headers([str(name) for name in raw.columns]), path)


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


def platemap_key(table: pd.DataFrame) -> list[str]:
    """Columns that name a well: its plate, where the table has it, and its place."""
    return [name for name in (Metadata.PLATE, Metadata.WELL) if name in table]


def _convert_numeric(column: "pd.Series[str]") -> "pd.Series[str] | pd.Series[float]":
    # A leading zero (donor 007) is part of a name, not of a number.
    if column.name in TEXT_COLUMNS or not is_string_dtype(column) or column.str.match(_ZERO_FIRST, na=False).any():
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().equals(column.notna()) else column
