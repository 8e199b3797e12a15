"""The image table: one row per field of one plate or many."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.files import Scan, color_channels, scan_folder
from leigh_mlops.plates.names import PRESETS, parse_well, well_name
from leigh_mlops.plates.platemap import TEXT_COLUMNS, find_platemap, join_platemap, read_platemap

__all__ = ["KEY", "Found", "find_images", "read_table", "table_channels", "write_table"]

KEY = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Z", "Metadata_Time"]
_WELL = ["Metadata_Plate", "Metadata_Well"]
_TABLE_SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True)
class Found:
    """Images that were found.

    Attributes:
        table: The image table, one row per field, sorted by its key, index 0 to n - 1.
        channels: Names of the channels, in the order of the table's columns.
        preset: Preset that knew the file names; ``table`` where a table was read.
        unmatched: Image files that no pattern knew.
        unjoined: Wells (``plate/B03``) of which the plate map says nothing.
    """

    table: pd.DataFrame
    channels: tuple[str, ...]
    preset: str
    unmatched: list[Path] = field(default_factory=list)
    unjoined: list[str] = field(default_factory=list)


def find_images(
    path: str | os.PathLike[str],
    platemap: str | os.PathLike[str] | None = None,
    *,
    preset: str = "auto",
    channels: Mapping[str, int] | None = None,
) -> Found:
    """Find the images of a study.

    Args:
        path: Folder of class folders (with or without ``train/``, ``val/``, ``test/`` above
            them), a plate's folder as a microscope writes it (files in it or in its
            ``Images/``), or an image table (``.parquet``, ``.csv``).
        platemap: Table of what stands in each well; by default ``platemap.csv`` or
            ``platemap.tsv`` in the folder or the one above.
        preset: How the files are named, a key of ``PRESETS``; ``auto`` takes the one that knows
            most files.
        channels: Name to number of the channels to keep where each has its own file. By default
            channels 1 and 2, where there are exactly these, are called DAPI and TMRM; any others
            are all kept and called ch1, ch2, ...

    Raises:
        LeighError: The path does not exist or holds no images; no name is known; two files stand
            for one channel of a field; a well stands in two classes; the plate map does not fit.
    """
    path = Path(path)
    if not path.exists():
        raise LeighError(f"{path} does not exist; name a folder of images or an image table.")
    if path.is_dir():
        scan = scan_folder(path, preset)
        found = _gather(scan, channels)
    else:
        table = read_table(path)
        found = Found(table, table_channels(table), "table")
    where = Path(platemap) if platemap is not None else find_platemap(path)
    if where is not None:
        joined, unjoined = join_platemap(found.table, read_platemap(where))
        found = replace(found, table=joined, unjoined=unjoined)
    _one_class_per_well(found.table)
    return found


def _gather(scan: Scan, channels: Mapping[str, int] | None) -> Found:
    """Turn a table of files into a table of fields."""
    files, packed = scan.files, PRESETS[scan.preset].packed
    unmatched = list(scan.unmatched)
    if packed is None and files["channel"].notna().any():
        # A file of a whole field among files of single channels is an overview or an export.
        alone = files["channel"].isna()
        unmatched += [Path(f, n) for f, n in zip(files["folder"][alone], files["name"][alone], strict=True)]
        files, names = _named_channels(files[~alone], channels)
    elif channels is not None:
        raise LeighError(f"channels {list(channels)} were named, but each file holds them all; leave them out.")
    else:
        names = packed or color_channels([Path(f, n) for f, n in files[["folder", "name"]].head(10).to_numpy()])
        files = files.assign(channel="")
    return Found(_fields(files, names), names, scan.preset, unmatched)


def _named_channels(files: pd.DataFrame, channels: Mapping[str, int] | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    present = sorted(files["channel"].unique(), key=lambda c: (not c.isdigit(), int(c) if c.isdigit() else 0, c))
    if channels is not None:
        names = {str(number): name for name, number in channels.items()}
        absent = [f"{name} ({number})" for number, name in names.items() if number not in present]
        if absent:
            raise LeighError(f"no file has channel {', '.join(absent)}; the files have {', '.join(present)}.")
    elif present == ["1", "2"]:
        names = {"1": "DAPI", "2": "TMRM"}
    else:
        names = {number: f"ch{number}" if number.isdigit() else number for number in present}
    kept = files[files["channel"].isin(list(names))]
    return kept.assign(channel=kept["channel"].map(names)), tuple(names.values())


def _fields(files: pd.DataFrame, channels: tuple[str, ...]) -> pd.DataFrame:
    key = [name for name in KEY if files[name].notna().any()]
    _one_file_per_channel(files, key)
    about = ["Metadata_Row", "Metadata_Col", "condition", "split"]
    table = files.groupby(key, dropna=False, sort=True)[about].first().reset_index()
    table = table.rename(columns={"condition": "Metadata_Condition", "split": "Metadata_Split"})
    if table["Metadata_Split"].isna().all():
        table = table.drop(columns="Metadata_Split")
    for kind, column in (("FileName", "name"), ("PathName", "folder")):
        for channel in channels:
            one = files[files["channel"].isin([channel, ""])][[*key, column]]
            table = table.merge(one.rename(columns={column: f"{kind}_{channel}"}), on=key, how="left")
    return _typed(table)


def _one_file_per_channel(files: pd.DataFrame, key: list[str]) -> None:
    twice = files[files.duplicated([*key, "channel"], keep=False)].sort_values([*key, "channel"])
    if len(twice):
        first, second = (Path(f, n) for f, n in twice[["folder", "name"]].head(2).to_numpy())
        row = twice.iloc[0]
        raise LeighError(
            f"{first} and {second} are the same channel of the same field "
            f"({row['Metadata_Plate']}/{row['Metadata_Well']}, field {row['Metadata_Site']}); remove one."
        )


def _one_class_per_well(table: pd.DataFrame) -> None:
    counts = table.groupby(_WELL)["Metadata_Condition"].nunique().reset_index()
    torn = counts.loc[counts["Metadata_Condition"] > 1, _WELL]
    if len(torn):
        plate, well = torn.iloc[0].tolist()
        rows = (table["Metadata_Plate"] == plate) & (table["Metadata_Well"] == well)
        names = " and ".join(sorted(table.loc[rows, "Metadata_Condition"].dropna().unique()))
        raise LeighError(f"well {plate}/{well} stands in two classes, {names}; put all its images in one.")


def table_channels(table: pd.DataFrame) -> tuple[str, ...]:
    """Names of a table's channels, in the order of its columns."""
    return tuple(name.removeprefix("FileName_") for name in table.columns if name.startswith("FileName_"))


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read an image table; the inverse of :func:`write_table`.

    ``Metadata_Row`` and ``Metadata_Col`` are taken from the well where they are missing.

    Raises:
        LeighError: The file is no table, lacks a column, names a well that no plate has, or has
            two rows for one field.
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
    return _placed(table, path)


def _read_csv(path: Path) -> pd.DataFrame:
    columns = pd.read_csv(path, nrows=0).columns
    text = [c for c in columns if c in TEXT_COLUMNS or c.startswith(("FileName_", "PathName_"))]
    # A class may be called NA.
    return pd.read_csv(path, dtype=dict.fromkeys(text, "str"), keep_default_na=False, na_values=[""])


def _placed(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    places = {name: parse_well(str(name)) for name in table["Metadata_Well"].unique()}
    table = table.assign(
        Metadata_Row=table["Metadata_Well"].map(lambda name: places[name][0]),
        Metadata_Col=table["Metadata_Well"].map(lambda name: places[name][1]),
        Metadata_Well=table["Metadata_Well"].map(lambda name: well_name(*places[name])),
    )
    if "Metadata_Condition" not in table:
        table["Metadata_Condition"] = None
    key = [name for name in KEY if name in table]
    if (twice := table.duplicated(key)).any():
        row = table[twice].iloc[0]
        where = f"{row['Metadata_Plate']}/{row['Metadata_Well']}, field {row['Metadata_Site']}"
        raise LeighError(f"the table {path} has two rows for one field ({where}); remove one.")
    return _typed(table).sort_values(key, ignore_index=True)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    text = [str(c) for c in table if c in TEXT_COLUMNS or str(c).startswith(("FileName_", "PathName_"))]
    whole = ["Metadata_Site", "Metadata_Z", "Metadata_Time", "Metadata_Row", "Metadata_Col"]
    try:
        numbers = {c: table[c].astype("Int64" if table[c].hasnans else "int64") for c in whole if c in table}
    except (TypeError, ValueError) as error:
        raise LeighError(f"{', '.join(whole)} must be whole numbers ({error}); mend the table.") from error
    return table.assign(**numbers, **{c: table[c].astype("str") for c in text})


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write an image table as Parquet or CSV, by the path's suffix, whole or not at all.

    Raises:
        LeighError: The path ends in neither ``.parquet`` nor ``.csv``.
    """
    path = Path(path)
    if path.suffix.lower() not in _TABLE_SUFFIXES:
        raise LeighError(f"{path} is no name for a table; end it in .parquet or .csv.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
