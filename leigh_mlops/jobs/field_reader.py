"""Reading of the fields of a job, of their twins on a demo plate, and of the field that a user named."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.images import FieldFiles, apply_adjustment, field_files, pixel_digest, raw_at_size, read_field
from leigh_mlops.images.measure import measure_field
from leigh_mlops.images.source import Pixels
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import find_twins
from leigh_mlops.plates.columns import Metadata

__all__ = [
    "Adjust", "Field", "FieldReader", "find_field_row", "read_interpolation_target", "select_adjustment",
]  # fmt: skip

_QUALITY_PREFIXES = ("focus_", "foreground_", "at_max_", "max_", "bits_")
Floats = npt.NDArray[np.float32]
Adjust = Mapping[str, Sequence[Sequence[float]]] | None
"""Offset and gain of each channel by plate, for a model that is scaled by controls."""


class Field(NamedTuple):
    """A field of the table, at the size of the model's input.

    Attributes:
        row: Number of its row.
        acquired: Raw intensities (C, S, S) as acquired.
        adjust: Offset and gain (C, 2) that bring them to the level of the model's controls.
        seen: Whether the model was trained or chosen with these pixels.
        stamp: Name, size in bytes and modification time of each of its files before they were read.
        quality: Measures ``quality_<measure>_<channel>`` of the files at full size.
    """

    row: int
    acquired: Floats
    adjust: Floats
    seen: bool
    stamp: Sequence[Sequence[Any]] = ()
    quality: Mapping[str, float] = {}

    @property
    def raw(self) -> Floats:
        """Raw intensities (C, S, S), brought to the level of the model's controls if it has one."""
        return apply_adjustment(self.acquired, self.adjust)


class FieldReader:
    """Reads fields by row number.

    Args:
        package: The model.
        table: An image table.
        adjust: Offset and gain of the model, by plate.
        demo: Folder of a demo plate whose twins are read.
    """

    def __init__(self, package: ModelPackage, table: pd.DataFrame, adjust: Adjust, demo: Path | None) -> None:
        self.package, self.table, self.adjust = package, table, adjust
        self.demo = None if demo is None else Path(os.path.abspath(demo))
        self.files = field_files(table, package.channels)
        self._twins = {} if demo is None else find_twins(demo)
        self._seen = set(package.seen_digests.tolist())

    def path(self, row: int) -> str:
        """Return the path of a field's first file; empty if it lacks a channel."""
        files = self.files[row]
        return str(files[0].planes[0].path) if files else ""

    def read(self, row: int) -> Field:
        """Read one field.

        Raises:
            LeighError: A channel is missing, a file can't be read, or its bit depth differs from the model's.
        """
        files = self.files[row]
        if files is None:
            raise LeighError("The field lacks a channel that the model needs; add its file.")
        stamp = self.stamp(row)
        image, full_scale = read_field(files), self.package.scale["full_scale"]
        if np.iinfo(image.dtype).max != full_scale:
            raise LeighError(
                f"{files[0].planes[0].path} reaches {np.iinfo(image.dtype).max} where the model's images reach "
                f"{full_scale}; give images of the same bit depth."
            )
        acquired = raw_at_size(image, self.package.model.spec.image_size, files)
        adjust = select_adjustment(self.adjust, self.plate(row), len(self.package.channels))
        return Field(row, acquired, adjust, int(pixel_digest(image)) in self._seen, stamp, self._measure_quality(image))

    def _measure_quality(self, image: Pixels) -> dict[str, float]:
        measured = measure_field(image, self.package.channels)
        return {f"quality_{name}": value for name, value in measured.items() if name.startswith(_QUALITY_PREFIXES)}

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


def select_adjustment(adjust: Adjust, plate: str, channels: int) -> Floats:
    """Select offset and gain (C, 2) of a plate; those of the identity if there are none."""
    if adjust is None:
        return np.tile(np.array([0, 1], np.float32), (channels, 1))
    return np.asarray(adjust[plate], np.float32)


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
        raise LeighError(f"--towards-field {name!r} names no field; write it as PLATE/WELL/SITE, such as plate1/B03/2.")
    keys = [(Metadata.PLATE, found[1]), (Metadata.WELL, found[2]), (Metadata.SITE, str(int(found[3])))]
    rows = table
    for column, value in keys:
        chosen = rows[rows[column].astype(str) == value]
        if chosen.empty:
            # The example shares as many parts of the name as possible, to show how it is written.
            near = "/".join(str(rows[key].iloc[0]) for key, _ in keys)
            raise LeighError(f"There is no field {name}; name one of the table's, such as {near}.")
        rows = chosen
    return int(table.index.get_indexer(rows.index[:1])[0])
