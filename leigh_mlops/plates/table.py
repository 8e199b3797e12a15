"""The image table: one row per field of one plate or many."""

import os
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folder_roles import SPLIT_PARTS
from leigh_mlops.plates.names import parse_well, well_name
from leigh_mlops.plates.platemap_file import TEXT_COLUMNS
from leigh_mlops.plates.spreadsheet_text import unquote_formulas, write_csv

__all__ = ["KEY", "read_table", "table_channels", "set_column_types", "write_table", "check_table_path"]

KEY = [Metadata.PLATE, Metadata.WELL, Metadata.SITE, Metadata.Z, Metadata.TIME, Metadata.ACQUISITION]

_MOST_PLANES = 2000  # of one channel of one field
_TABLE_SUFFIXES = (".parquet", ".csv")
_TEXT = ("FileName_", "PathName_", "Frame_", "Illumination_", Metadata.FLAGS, Metadata.TILE)


def table_channels(table: pd.DataFrame) -> tuple[str, ...]:
    """Names of a table's channels, in the order of its columns."""
    return tuple(name.removeprefix("FileName_") for name in table.columns if name.startswith("FileName_"))


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read an image table; the inverse of :func:`write_table`.

    ``Metadata_Row`` and ``Metadata_Col`` are taken from the well where they are missing.

    Raises:
        LeighError: The file is no table, lacks a column, names a well that no plate has, no plate or an
            unknown part of a split, has two rows for one field, or more planes of a field than a stack has.
    """
    path = Path(path)
    if path.suffix.lower() not in _TABLE_SUFFIXES:
        raise LeighError(f"{path} is neither a folder nor a table; tables end in .parquet or .csv.")
    try:
        table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise for a broken file
        raise LeighError(f"{path} cannot be read as a table ({error}); write it again.") from error
    needed = {*KEY[:3], *(f"PathName_{channel}" for channel in table_channels(table) or ("<Channel>",))}
    if not table_channels(table):
        needed.add("FileName_<Channel>")
    if missing := sorted(needed - set(table.columns)):
        raise LeighError(f"the table {path} lacks the columns {', '.join(missing)}; add them.")
    _check_values(table, path)
    return _add_positions(table, path)


def _check_values(table: pd.DataFrame, path: Path) -> None:
    """Refuse values with which all that follows would fail or take for ever."""
    if table[Metadata.PLATE].isna().any():
        raise LeighError(f"the table {path} has rows without {Metadata.PLATE}; name the plate of each field.")
    parts = table[Metadata.SPLIT].dropna() if Metadata.SPLIT in table else pd.Series(dtype=object)
    if not (known := parts.isin(SPLIT_PARTS)).all():
        odd = escape_unprintable(parts[~known].iloc[0])[:40]
        raise LeighError(
            f"the table {path} has {odd!r} in {Metadata.SPLIT}; write {', '.join(SPLIT_PARTS)}, or leave it out."
        )
    for name in table.columns:
        if str(name).startswith(("FileName_", "Frame_")):
            most = 1 + table[name].dropna().astype(str).str.count(r"\|").max() if table[name].notna().any() else 0
            if most > _MOST_PLANES:
                raise LeighError(
                    f"the table {path} has a field of {most} planes in {name}, more than {_MOST_PLANES}; correct it."
                )


def _read_csv(path: Path) -> pd.DataFrame:
    columns = pd.read_csv(path, nrows=0).columns
    text = [c for c in columns if c in TEXT_COLUMNS or c.startswith(_TEXT)]
    # A class may be called NA.
    return unquote_formulas(pd.read_csv(path, dtype=dict.fromkeys(text, "str"), keep_default_na=False, na_values=[""]))


def _add_positions(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    places = {name: parse_well(str(name)) for name in table[Metadata.WELL].unique()}
    table = table.assign(
        Metadata_Row=table[Metadata.WELL].map(lambda name: places[name][0]),
        Metadata_Col=table[Metadata.WELL].map(lambda name: places[name][1]),
        Metadata_Well=table[Metadata.WELL].map(lambda name: well_name(*places[name])),
    )
    if Metadata.CONDITION not in table:
        table[Metadata.CONDITION] = None
    key = [name for name in KEY if name in table]
    if (twice := table.duplicated(key)).any():
        row = table[twice].iloc[0]
        where = f"{row[Metadata.PLATE]}/{row[Metadata.WELL]}, field {row[Metadata.SITE]}"
        raise LeighError(f"the table {path} has two rows for one field ({where}); remove one.")
    return set_column_types(table).sort_values(key, ignore_index=True)


def set_column_types(table: pd.DataFrame) -> pd.DataFrame:
    """Give the columns of an image table their types: text, or whole numbers.

    Raises:
        LeighError: A column of whole numbers holds something else.
    """
    text = [str(c) for c in table if c in TEXT_COLUMNS or str(c).startswith(_TEXT)]
    whole = [*KEY[2:], Metadata.ROW, Metadata.COLUMN]
    try:
        numbers = {c: table[c].astype("Int64" if table[c].hasnans else "int64") for c in whole if c in table}
    except (TypeError, ValueError) as error:
        raise LeighError(f"{', '.join(whole)} must be whole numbers ({error}); correct the table.") from error
    return table.assign(**numbers, **{c: table[c].astype("str") for c in text})


def check_table_path(path: Path) -> None:
    """Raise an error where no table can be written, before any work is done.

    Raises:
        LeighError: The path ends in neither ``.parquet`` nor ``.csv``, is a folder, or lies below a file.
    """
    if path.suffix.lower() not in _TABLE_SUFFIXES:
        raise LeighError(f"{path} is not a file name for a table; end it in .parquet or .csv.")
    if path.is_dir():
        raise LeighError(f"{path} is a folder; name a file for the table.")
    if below := next((folder for folder in path.absolute().parents if folder.is_file()), None):
        raise LeighError(f"{path} cannot be written, because {below} is a file; choose another path.")


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write an image table as Parquet or CSV, by the path's suffix, whole or not at all.

    A CSV holds no text that a spreadsheet would run as a formula.

    Raises:
        LeighError: The path ends in neither ``.parquet`` nor ``.csv``.
    """
    path = Path(path)
    check_table_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            write_csv(table, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
