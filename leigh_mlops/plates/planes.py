"""Focal planes of a field: projection of all, or selection of one."""

import os
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = ["project"]

_FIELD = [Metadata.PLATE, Metadata.WELL, Metadata.SITE, Metadata.TIME, Metadata.ACQUISITION]
_Texts = npt.NDArray[np.object_]


def project(files: pd.DataFrame, z: int | Literal["max"]) -> tuple[pd.DataFrame, str, pd.DataFrame]:
    """Keep one row per field and channel.

    Planes that are to be projected share one row: names joined by ``|``, frames likewise, one
    name where all are pages of one file. Nothing changes where each field has one plane.

    Args:
        files: One row per file or page.
        z: ``max`` to project, or the number of the plane to keep.

    Returns:
        The files, without ``Metadata_Z`` where planes were projected; what was done, as a part of a
        sentence; and rows left out: files without a plane among planes of the same channel.

    Raises:
        LeighError: There is no such plane.
    """
    if z != "max":
        return _one_plane(files, z)
    field = [name for name in _FIELD if name in files and files[name].notna().any()]
    planes = files.groupby(field, dropna=False)[Metadata.Z].nunique()
    if planes.max() <= 1:
        return files, "", files[:0]
    counted = files.groupby([*field, "channel"], dropna=False)[Metadata.Z].transform("count")
    alone = files[Metadata.Z].isna() & (counted > 0)
    kept = files[~alone].sort_values([*field, "channel", Metadata.Z], kind="stable")
    joined = _join_planes(kept, kept.groupby([*field, "channel"], dropna=False, sort=False).ngroup().to_numpy())
    few, many = planes[planes > 0].min(), planes.max()
    number = str(many) if few == many else f"{few} to {many}"
    note = f"{number} planes of each field are projected to their maximum"
    return joined.drop(columns=Metadata.Z), note, files[alone]


def _one_plane(files: pd.DataFrame, z: int) -> tuple[pd.DataFrame, str, pd.DataFrame]:
    there = sorted(int(number) for number in files[Metadata.Z].dropna().unique())
    if z not in there:
        choices = f"choose from {', '.join(map(str, there))}, or max to project all planes"
        remedy = choices if there else "the files have no plane numbers, so choose no plane"
        raise LeighError(f"no file has plane {z!r}; {remedy}.")
    kept = files[(files[Metadata.Z] == z) | files[Metadata.Z].isna()]
    others = ", ".join(str(number) for number in there if number != z)
    return kept, f"plane {z} is kept, {others} left out" if others else "", files[:0]


def _join_planes(files: pd.DataFrame, group: npt.NDArray[np.integer[Any]]) -> pd.DataFrame:
    """One row per group of consecutive rows, their files joined."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    columns = [np.split(files[name].to_numpy(dtype=object), starts[1:]) for name in ("folder", "name", "frame")]
    rows = [_join_paths(*parts) for parts in zip(*columns, strict=True)]
    joined = pd.DataFrame(rows, columns=["folder", "name", "frame"], index=files.index[starts], dtype=object)
    return files.iloc[starts].assign(**{str(name): joined[name] for name in joined})


def _join_paths(folders: _Texts, names: _Texts, frames: _Texts) -> tuple[str, str, str | None]:
    folder, parts = folders[0], list(names)
    if len(set(folders)) > 1:  # ZStep_1/, ZStep_2/
        folder = os.path.commonpath(list(folders))
        parts = [os.path.relpath(os.path.join(*place), folder) for place in zip(folders, names, strict=True)]
    if pd.isna(frames[0]):
        return folder, "|".join(parts), None
    name = parts[0] if len(set(parts)) == 1 else "|".join(parts)
    return folder, name, "|".join(str(int(frame)) for frame in frames)
