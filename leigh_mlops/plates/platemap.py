"""Plate maps: what stands in each well."""

import os
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import parse_well, well_name

__all__ = ["TEXT_COLUMNS", "find_platemap", "join_platemap", "read_platemap"]

# Plates, batches and donors are often called 1 and 2: names all the same.
TEXT_COLUMNS = tuple(
    f"Metadata_{name}" for name in ("Plate", "Well", "Condition", "Split", "Batch", "Donor", "Control", "Compound")
)
_KNOWN = {
    "well_position": "Metadata_Well",
    "plate": "Metadata_Plate",
    "Assay_Plate_Barcode": "Metadata_Plate",
}


def find_platemap(path: Path) -> Path | None:
    """The plate map that lies in a data folder or in the one above it; none for a table."""
    if not path.is_dir():
        return None
    folders = (path, path.absolute().parent)
    candidates = [folder / name for folder in folders for name in ("platemap.csv", "platemap.tsv")]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_platemap(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a plate map (``.csv``, or ``.tsv`` and ``.txt`` with tabs).

    Args:
        path: Table with ``well_position``, where needed ``plate`` or ``Assay_Plate_Barcode``,
            and what was added: ``condition``, ``donor``, ``batch``, ``mmoles_per_liter``, ...

    Returns:
        One row per well. Columns begin with ``Metadata_``; plain lower-case words get a capital
        (``Metadata_Donor``), any other name stays as it is (``Metadata_mmoles_per_liter``).

    Raises:
        LeighError: There is no such file, it is no table, it names no wells, or it names one twice.
    """
    path = Path(path)
    if not path.is_file():
        raise LeighError(f"the plate map {path} does not exist; name a CSV with a column well_position.")
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    try:
        raw = pd.read_csv(path, sep=separator, dtype="str", keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise LeighError(f"the plate map {path} cannot be read ({error}); save it as CSV in UTF-8.") from error
    wells = raw.rename(columns=_column)
    if "Metadata_Well" not in wells:
        raise LeighError(f"the plate map {path} has no column well_position but {', '.join(raw.columns)}; add it.")
    wells = wells[wells["Metadata_Well"].notna()]
    wells = wells.assign(Metadata_Well=[well_name(*parse_well(name)) for name in wells["Metadata_Well"]])
    key = [name for name in ("Metadata_Plate", "Metadata_Well") if name in wells]
    if (twice := wells.duplicated(key)).any():
        well = "/".join(str(wells.loc[twice, name].iloc[0]) for name in key)
        raise LeighError(f"the plate map {path} names well {well} twice; keep one row per well.")
    return wells.apply(_numbers_where_all_are)


def _column(name: str) -> str:
    if name in _KNOWN or name.startswith("Metadata_"):
        return _KNOWN.get(name, name)
    return f"Metadata_{name.capitalize() if name.isalpha() and name.islower() else name}"


def _numbers_where_all_are(column: "pd.Series[str]") -> "pd.Series[str] | pd.Series[float]":
    if column.name in TEXT_COLUMNS:
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers if numbers.notna().equals(column.notna()) else column


def join_platemap(table: pd.DataFrame, platemap: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Add to each field what the plate map says of its well.

    Args:
        table: Image table.
        platemap: One row per well, as :func:`read_platemap` gives it.

    Returns:
        The table with the map's columns, its rows and their order unchanged, and the wells
        (``plate/B03``) of which the map says nothing.

    Raises:
        LeighError: No well joins, or the map and the folders name two classes for a well.
    """
    key = [name for name in ("Metadata_Plate", "Metadata_Well") if name in platemap]
    added = [name for name in platemap if name not in key]
    said = table[key].merge(platemap, on=key, how="left", indicator=True)
    said.index = table.index
    wells = table["Metadata_Plate"] + "/" + table["Metadata_Well"]
    absent = said["_merge"] == "left_only"
    if absent.all():
        raise LeighError(
            f"no well of the images is in the plate map: it has {'/'.join(platemap[key].iloc[0].astype(str))}, "
            f"the images have {wells.iloc[0]}; correct its columns {', '.join(key)}."
            if len(platemap)
            else "the plate map is empty; add one row per well."
        )
    if "Metadata_Condition" in added:
        said["Metadata_Condition"] = _agreed(table["Metadata_Condition"], said["Metadata_Condition"], wells)
    return table.assign(**{str(name): said[name] for name in added}), sorted(wells[absent].unique())


def _agreed(known: "pd.Series[str]", said: "pd.Series[str]", wells: "pd.Series[str]") -> "pd.Series[str]":
    differ = known.notna() & said.notna() & (known != said)
    if differ.any():
        well, ours, theirs = wells[differ].iloc[0], known[differ].iloc[0], said[differ].iloc[0]
        raise LeighError(f"well {well} is {ours!r} by its images but {theirs!r} in the plate map; correct one of them.")
    return said.fillna(known)
