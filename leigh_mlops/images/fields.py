"""Which files, pages and planes make up a field."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["ChannelFiles", "FieldFiles", "Plane", "field_files"]

Texts = npt.NDArray[np.object_]
_BETWEEN_PLANES = "|"
_NO_FRAME = -1


class Plane(NamedTuple):
    """One plane of pixels in a file.

    Attributes:
        path: The file, or the folder of an OME-Zarr array.
        frame: Page of a TIFF or plane of an OME-Zarr array, from 0; ``None``
            for the whole file; -1 where the table names none that can be.
        sample: Which of the planes packed in that page, from 0.
        samples: How many planes that page is expected to hold.
        picture: Whether it is an ordinary picture: taken as RGB, its centre square alone.
    """

    path: Path
    frame: int | None
    sample: int
    samples: int
    picture: bool = False


class ChannelFiles(NamedTuple):
    """What makes up one channel of a field.

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
    Rows where ``Metadata_Picture`` is true are ordinary pictures.

    Args:
        table: An image table.
        channels: Channel names in the order wanted.
    """
    named = [str(column).removeprefix("FileName_") for column in table if str(column).startswith("FileName_")]
    texts = {channel: _Texts.of(table, channel) for channel in named}
    columns = [_channel(channel, texts) for channel in channels]
    fields = [None if None in field else field for field in zip(*columns, strict=True)]
    if "Metadata_Picture" not in table:
        return fields
    return [
        _as_picture(field) if field and picture else field
        for field, picture in zip(fields, table["Metadata_Picture"] == True, strict=True)  # noqa: E712
    ]


def _as_picture(field: FieldFiles) -> FieldFiles:
    planes = [tuple(plane._replace(picture=True) for plane in channel.planes) for channel in field]
    return tuple(channel._replace(planes=those) for channel, those in zip(field, planes, strict=True))


class _Texts(NamedTuple):
    """What a table says of one channel, row by row; ``None`` where nothing."""

    names: Texts
    folders: Texts
    frames: Texts
    samples: Texts
    illuminations: Texts

    @classmethod
    def of(cls, table: pd.DataFrame, channel: str) -> "_Texts":
        prefixes = ("FileName", "PathName", "Frame", "Sample", "Illumination")
        return cls(*(_texts(table, f"{prefix}_{channel}") for prefix in prefixes))

    def same_page(self, other: "_Texts") -> npt.NDArray[np.bool_]:
        pairs = zip(self[:3], other[:3], strict=True)
        same: npt.NDArray[np.bool_] = np.logical_and.reduce([mine == theirs for mine, theirs in pairs])
        return same


def _texts(table: pd.DataFrame, column: str) -> Texts:
    """A column as texts and ``None``; numbers as a table of comma-separated values may hold are whole."""
    if column not in table:
        return np.full(len(table), None, object)
    values = table[column]
    texts = values.astype(object).where(values.notna(), None).to_numpy(object)
    if not pd.api.types.is_string_dtype(values):
        texts = np.array([_text(value) for value in texts] + [None], object)[:-1]
    return texts


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _channel(channel: str, texts: "dict[str, _Texts]") -> list[ChannelFiles | None]:
    wanted, order = texts[channel], list(texts)
    same = np.stack([texts[other].same_page(wanted) for other in order])
    samples = same.sum(axis=0).tolist()
    before = same[: order.index(channel)].sum(axis=0).tolist()
    rows = zip(*wanted, before, samples, strict=True)
    return [None if name is None else _files(name, *others) for name, *others in rows]


def _files(
    name: str,
    folder: str | None,
    frame: str | None,
    packed: str | None,
    illumination: str | None,
    sample: int,
    samples: int,
) -> ChannelFiles:
    if packed is not None:
        sample, samples = _sample(packed)
    light = Path(illumination) if illumination else None
    if _BETWEEN_PLANES not in name and (frame is None or _BETWEEN_PLANES not in frame):
        return ChannelFiles((Plane(_path(folder, name), _frame(frame), sample, samples),), light)
    names, frames = name.split(_BETWEEN_PLANES), (frame or "").split(_BETWEEN_PLANES)
    planes = max(len(names), len(frames))
    pairs = zip(_as_many(names, planes), _as_many(frames, planes), strict=True)
    return ChannelFiles(tuple(Plane(_path(folder, one), _frame(page), sample, samples) for one, page in pairs), light)


def _sample(packed: str) -> tuple[int, int]:
    """Place from 0 and number of planes of ``2/3``; a place that no plane has where it says something else."""
    place, _, count = packed.partition("/")
    there = place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count)
    return (int(place) - 1, int(count)) if there else (0, -1)


def _path(folder: str | None, name: str) -> Path:
    return _folder(folder or "") / name


@lru_cache(maxsize=1024)
def _folder(folder: str) -> Path:
    """Thousands of files share a folder, whose parts need to be told apart once."""
    return Path(folder)


def _as_many(texts: list[str], count: int) -> list[str]:
    """One text stands for all; where some are missing, reading says so."""
    return texts * count if len(texts) == 1 else texts + ["?"] * (count - len(texts))


def _frame(text: str | None) -> int | None:
    if not text:
        return None
    return int(text) if text.isdecimal() else _NO_FRAME
