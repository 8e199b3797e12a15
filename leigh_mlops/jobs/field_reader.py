"""Reading of the fields of a job, of their twins on a demo plate, and of the field that a user named."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.prepared_field import Adjust, Field, FieldPreparation
from leigh_mlops.images import FieldFiles, field_files, raw_at_size, read_field
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.plate_statistics import PlateStatistics
from leigh_mlops.plates import find_twins
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.study.field_width import match_field_width

__all__ = ["FieldReader", "find_field_row", "read_interpolation_target"]

Floats = npt.NDArray[np.float32]


class FieldReader:
    """Reads fields by row number.

    Args:
        package: The model.
        table: An image table.
        adjust: Offset and gain of the model, by plate.
        demo: Folder of a demo plate whose twins are read.
        statistics: Statistics of the model's network by plate, if it is adapted to plates.

    Raises:
        LeighError: The model cuts fields to a width, and the pixel size of a plate is not known.
    """

    def __init__(
        self,
        package: ModelPackage,
        table: pd.DataFrame,
        adjust: Adjust,
        demo: Path | None,
        statistics: Mapping[str, PlateStatistics] | None = None,
    ) -> None:
        self.package, self.table = package, table
        self.preparation = FieldPreparation(package, adjust, statistics)
        self.demo = None if demo is None else Path(os.path.abspath(demo))
        self.files = field_files(match_field_width(package, table), package.channels)
        self._twins = {} if demo is None else find_twins(demo)

    def path(self, row: int) -> str:
        """Return the path of a field's first file; empty if it lacks a channel."""
        files = self.files[row]
        return str(files[0].planes[0].path) if files else ""

    def folders(self) -> set[Path]:
        """Return the folders of all files that the fields are made from."""
        channels = [channel for files in self.files for channel in files or ()]
        shades = {channel.illumination.parent for channel in channels if channel.illumination}
        return {plane.path.parent for channel in channels for plane in channel.planes} | shades

    def read(self, row: int) -> Field:
        """Read one field.

        Raises:
            LeighError: A channel is missing, a file can't be read, or its bit depth differs from the model's.
        """
        files = self.files[row]
        if files is None:
            raise LeighError("The field lacks a channel that the model needs; add its file.")
        stamp = self.stamp(row)
        return self.preparation.prepare(row, read_field(files), files, self.plate(row), stamp)

    def stamp(self, row: int) -> list[list[Any]]:
        """Name, size in bytes and modification time (ns) of each of a field's files, to detect replaced images."""
        paths = dict.fromkeys(plane.path for channel in self.files[row] or () for plane in channel.planes)
        known = [(path.name, path.stat()) for path in paths if path.exists()]
        return [[name, state.st_size, state.st_mtime_ns] for name, state in known]

    def plate(self, row: int) -> str:
        """Return the plate of a field."""
        return str(self.table[Metadata.PLATE].iloc[row])

    def twin(self, row: int, target: str) -> Floats | None:
        """Read the same culture in another class, as acquired, shape (C, S, S); None if there is none."""
        files, folder = self.files[row], self._twins.get(target)
        own = self.demo
        if files is None or folder is None or own is None:
            return None
        # Paths in tables and from users may contain detours such as "..".
        plain = {plane.path: Path(os.path.abspath(plane.path)) for channel in files for plane in channel.planes}
        if not all(path.is_relative_to(own) for path in plain.values()):
            return None
        moved: FieldFiles = tuple(
            channel._replace(
                planes=tuple(
                    plane._replace(path=folder / plain[plane.path].relative_to(own)) for plane in channel.planes
                )
            )
            for channel in files
        )  # fmt: skip
        if not all(plane.path.exists() for channel in moved for plane in channel.planes):
            return None
        return raw_at_size(read_field(moved), self.package.model.spec.image_size, moved)


def read_interpolation_target(reader: FieldReader, name: str) -> Field:
    """Read the field that a user named.

    Args:
        reader: Reader of the fields of the table.
        name: Name of the field, see `find_field_row`.

    Raises:
        LeighError: There is no such field, or it cannot be read.
    """
    row = find_field_row(reader.table, name)
    try:
        return reader.read(row)
    except LeighError as error:
        raise LeighError(f"--towards-field {name} can't be read: {error}") from None


def find_field_row(table: pd.DataFrame, name: str) -> int:
    """Find the row of a field that a user named.

    Of several planes or times the first is taken. The plate's name may hold slashes.

    Args:
        table: Image table.
        name: ``PLATE/WELL/SITE``, such as ``plate1/B03/2``.

    Raises:
        LeighError: The name is malformed, or the table has no such field.
    """
    found = re.fullmatch(r"(.+)/([^/]+)/(\d+)", name)
    if not found:
        raise LeighError(f"--towards-field {name!r} is not a field; write it as PLATE/WELL/SITE, such as plate1/B03/2.")
    keys = [(Metadata.PLATE, found[1]), (Metadata.WELL, found[2]), (Metadata.SITE, str(int(found[3])))]
    rows = table
    for column, value in keys:
        chosen = rows[rows[column].astype(str) == value]
        if chosen.empty:
            # The example shares as many parts of the name as possible, to show how it is written.
            near = "/".join(str(rows[key].iloc[0]) for key, _ in keys)
            raise LeighError(f"There is no field {name}; choose one from the table, such as {near}.")
        rows = chosen
    return int(table.index.get_indexer(rows.index[:1])[0])
