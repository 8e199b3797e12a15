"""Files, pages and planes that make up a field."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.images.squares import CENTRE, Tile, Width
from leigh_mlops.plates import chosen_width, set_field_width
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.whole_number import parse_whole

__all__ = ["ChannelFiles", "FieldFiles", "Plane", "field_files"]

Texts = npt.NDArray[np.object_]
_PLANE_SEPARATOR = "|"
_INVALID_FRAME = -1


class Plane(NamedTuple):
    """One plane of pixels in a file.

    Attributes:
        path: The file, or the folder of an OME-Zarr array.
        frame: Page of a TIFF or plane of an OME-Zarr array, from 0; ``None``
            for the whole file; -1 where the table names an invalid one.
        sample: Index of the plane among those packed in that page, from 0.
        samples: Number of planes that page is expected to hold.
        picture: Whether it is an ordinary picture: read as RGB and cropped to its centre square.
        tile: Square that is cut out of a rectangular field.
        width: Width of the centre of that square that is left; ``None`` for all of it.
    """

    path: Path
    frame: int | None
    sample: int
    samples: int
    picture: bool = False
    tile: Tile = CENTRE
    width: Width | None = None


class ChannelFiles(NamedTuple):
    """Files of one channel of a field.

    Attributes:
        planes: Planes that are projected by their maximum; one where nothing is projected.
        illumination: ``.npy`` file by which the pixels are divided, if any.
    """

    planes: tuple[Plane, ...]
    illumination: Path | None


FieldFiles = tuple[ChannelFiles, ...]
"""The files of one field, one entry for each channel, in channel order."""


def field_files(table: pd.DataFrame, channels: Sequence[str]) -> list[FieldFiles | None]:
    """The files of every row of an image table; ``None`` where a channel is missing.

    Channels whose columns name the same page are its packed planes in the order of the table's columns.
    Rows where ``Metadata_Picture`` is true are ordinary pictures; ``Metadata_Tile`` names squares of fields,
    ``Metadata_Field_um`` the width of the centre that is left of each.

    Args:
        table: An image table.
        channels: Channel names in the desired order.

    Raises:
        LeighError: A tile is none, or the fields have several widths or one but no pixel size.
    """
    named = [str(column).removeprefix("FileName_") for column in table if str(column).startswith("FileName_")]
    texts = {channel: _ChannelColumns.from_table(table, channel) for channel in named}
    columns = [_channel_files(channel, texts) for channel in channels]
    fields = [None if None in field else field for field in zip(*columns, strict=True)]
    if Metadata.PICTURE in table:
        pictures = (table[Metadata.PICTURE] == True).tolist()  # noqa: E712
        fields = [_replace_planes(field, picture=picture) for field, picture in zip(fields, pictures, strict=True)]
    if Metadata.TILE in table:
        tiles = [_parse_tile(text) for text in _column_texts(table, Metadata.TILE)]
        fields = [_replace_planes(field, tile=tile) for field, tile in zip(fields, tiles, strict=True)]
    if (width_um := chosen_width(table)) is not None:
        sizes = set_field_width(table, width_um)[Metadata.PIXEL_SIZE_UM].astype(float)
        widths = [Width(width_um, size) for size in sizes]
        fields = [_replace_planes(field, width=width) for field, width in zip(fields, widths, strict=True)]
    return fields


def _parse_tile(text: str | None) -> Tile:
    if text is None:
        return CENTRE
    number, count = _parse_sample(text)
    if count < 1:
        raise LeighError(f"The table has {text!r} in {Metadata.TILE}; write 2/3 for the second of three squares.")
    return number, count


def _replace_planes(field: FieldFiles | None, **changes: Any) -> FieldFiles | None:  # noqa: ANN401
    if field is None:
        return None
    planes = [tuple(plane._replace(**changes) for plane in channel.planes) for channel in field]
    return tuple(channel._replace(planes=those) for channel, those in zip(field, planes, strict=True))


class _ChannelColumns(NamedTuple):
    """Columns of a table that describe one channel, row by row; ``None`` where a cell is empty."""

    names: Texts
    folders: Texts
    frames: Texts
    samples: Texts
    illuminations: Texts

    @classmethod
    def from_table(cls, table: pd.DataFrame, channel: str) -> "_ChannelColumns":
        prefixes = ("FileName", "PathName", "Frame", "Sample", "Illumination")
        return cls(*(_column_texts(table, f"{prefix}_{channel}") for prefix in prefixes))

    def same_page(self, other: "_ChannelColumns") -> npt.NDArray[np.bool_]:
        pairs = zip(self[:3], other[:3], strict=True)
        same: npt.NDArray[np.bool_] = np.logical_and.reduce([mine == theirs for mine, theirs in pairs])
        return same


def _column_texts(table: pd.DataFrame, column: str) -> Texts:
    """Convert a column to texts and ``None``; floats with integer values, as CSV files may hold, become integers."""
    if column not in table:
        return np.full(len(table), None, object)
    values = table[column]
    texts = values.astype(object).where(values.notna(), None).to_numpy(object)
    if not pd.api.types.is_string_dtype(values):
        texts = np.array([_cell_text(value) for value in texts] + [None], object)[:-1]
    return texts


def _cell_text(value: object) -> str | None:
    if value is None:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _channel_files(channel: str, texts: "dict[str, _ChannelColumns]") -> list[ChannelFiles | None]:
    columns, order = texts[channel], list(texts)
    same = np.stack([texts[other].same_page(columns) for other in order])
    samples = same.sum(axis=0).tolist()
    before = same[: order.index(channel)].sum(axis=0).tolist()
    rows = zip(*columns, before, samples, strict=True)
    return [None if name is None else _row_files(name, *others) for name, *others in rows]


def _row_files(
    name: str,
    folder: str | None,
    frame: str | None,
    packed: str | None,
    illumination: str | None,
    sample: int,
    samples: int,
) -> ChannelFiles:
    if packed is not None:
        sample, samples = _parse_sample(packed)
    light = Path(illumination) if illumination else None
    if _PLANE_SEPARATOR not in name and (frame is None or _PLANE_SEPARATOR not in frame):
        return ChannelFiles((Plane(_path(folder, name), _parse_frame(frame), sample, samples),), light)
    names, frames = name.split(_PLANE_SEPARATOR), (frame or "").split(_PLANE_SEPARATOR)
    planes = max(len(names), len(frames))
    pairs = zip(_broadcast_texts(names, planes), _broadcast_texts(frames, planes), strict=True)
    return ChannelFiles(
        tuple(Plane(_path(folder, one), _parse_frame(page), sample, samples) for one, page in pairs), light
    )


def _parse_sample(packed: str) -> tuple[int, int]:
    """Index from 0 and number of planes of a text such as ``2/3``; ``(0, -1)``, which fits no page, if invalid."""
    place, _, count = packed.partition("/")
    number, planes = parse_whole(place) or 0, parse_whole(count) or 0
    return (number - 1, planes) if 1 <= number <= planes else (0, -1)


def _path(folder: str | None, name: str) -> Path:
    return _folder(folder or "") / name


@lru_cache(maxsize=1024)
def _folder(folder: str) -> Path:
    """Parse a folder once, as thousands of files share it."""
    return Path(folder)


def _broadcast_texts(texts: list[str], count: int) -> list[str]:
    """Repeat a single text ``count`` times; pad a shorter list with ``?``, which fails on reading."""
    return texts * count if len(texts) == 1 else texts + ["?"] * (count - len(texts))


def _parse_frame(text: str | None) -> int | None:
    if not text:
        return None
    frame = parse_whole(text)
    return _INVALID_FRAME if frame is None else frame
