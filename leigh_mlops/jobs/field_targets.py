"""Targets that a user names for single fields: a CSV file with the columns ``field`` and ``target``."""

from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.worker import field_ids
from leigh_mlops.models import Network
from leigh_mlops.models.deep_cluster import find_cluster
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.spreadsheet_text import unquote_formulas

__all__ = ["read_field_targets"]

_COLUMNS = ("field", "target")
_FILE_NAMES = "FileName_"


def read_field_targets(path: Path, table: pd.DataFrame, network: Network) -> dict[str, str]:
    """Read the class, or the cluster, that the explanations of some fields are made for.

    Args:
        path: CSV file. A field is named as in the column ``field`` of a job's tables, as ``PLATE/WELL/SITE``, or by one
            of its image files; a cluster as ``cluster 07``, or by its number.
        table: Image table.
        network: Network that knows the classes, or the clusters.

    Returns:
        Name of the class by name of the field, see `field_id`.

    Raises:
        LeighError: The file can't be read, lacks a column, or a line names no field, several fields, no class, or
            another class than before.
    """
    given, found = _read_texts(path), dict[str, str]()
    known, files = _names(table), _file_names(table)
    for line, field, text in zip(given.index + 2, given["field"].str.strip(), given["target"].str.strip(), strict=True):
        fields = known.get(field) or files.get(field) or []
        if len(fields) != 1:
            what = f"is the name of {len(fields)} fields" if fields else "is no field of the images"
            remedy = fields[0] if fields else f"PLATE/WELL/SITE, such as {next(iter(known))}"
            raise LeighError(f"{path}, line {line}: {field!r} {what}; write it as {remedy}.")
        target = _find_class(text, network)
        if target is None:
            raise LeighError(f"{path}, line {line}: {text!r} is unknown to the model; {_name_classes(network)}.")
        if found.setdefault(fields[0], target) != target:
            raise LeighError(
                f"{path}, line {line}: {field} has the target {target}, and {found[fields[0]]} before; give each field "
                "one target."
            )
    return found


def _find_class(text: str, network: Network) -> str | None:
    classes = network.spec.classes
    return find_cluster(text, classes) if network.task == "cluster" else text if text in classes else None


def _name_classes(network: Network) -> str:
    classes = network.spec.classes
    if network.task == "cluster":
        return f"it has the clusters 1 to {len(classes)}"
    return f"choose one of {', '.join(classes)}" if classes else "it knows no class, so leave out --targets"


def _read_texts(path: Path) -> pd.DataFrame:
    remedy = f"give a CSV file with the columns {' and '.join(_COLUMNS)}"
    try:
        read = pd.read_csv(path, dtype=str, skip_blank_lines=False, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise LeighError(f"{path} can't be read ({error}); {remedy}.") from None
    table = unquote_formulas(read.dropna(how="all").fillna(""))
    if lacking := [column for column in _COLUMNS if column not in table]:
        raise LeighError(f"{path} has no column {lacking[0]}; {remedy}.")
    if table.empty:
        raise LeighError(f"{path} names no field; {remedy}.")
    return table


def _names(table: pd.DataFrame) -> dict[str, list[str]]:
    """Fields by the names of their plate, well and site, and by their own."""
    names: dict[str, list[str]] = {}
    places = table[[Metadata.PLATE, Metadata.WELL, Metadata.SITE]].itertuples(index=False)
    for field, place in zip(field_ids(table), places, strict=True):
        for name in dict.fromkeys(("/".join(map(str, place)), field)):
            names.setdefault(name, []).append(field)
    return names


def _file_names(table: pd.DataFrame) -> dict[str, list[str]]:
    """Fields by the names of their image files."""
    names: dict[str, list[str]] = {}
    columns = [column for column in map(str, table) if column.startswith(_FILE_NAMES)]
    for field, texts in zip(field_ids(table), table[columns].itertuples(index=False), strict=True):
        files = {file for text in texts if pd.notna(text) for file in str(text).split("|")}
        for name in {Path(file).name for file in files}:
            names.setdefault(name, []).append(field)
    return names
