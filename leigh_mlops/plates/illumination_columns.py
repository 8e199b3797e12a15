"""Illumination images: the flat field by which a plate's channel is divided."""

import os
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = ["add_illumination"]


def add_illumination(table: pd.DataFrame, channels: tuple[str, ...], where: Path) -> pd.DataFrame:
    """Add to each field the path of the image by which its pixels are divided.

    Names of channels are compared without case, spaces and punctuation: ``IllumMitoOrig.npy``
    belongs to ``Mito Orig``. The images are searched for in the folder, and in its subfolder of the
    plate's name.

    Args:
        table: Image table.
        channels: Names of its channels.
        where: Folder with ``<plate>_Illum<Channel>.npy``, else ``Illum<Channel>.npy``, else
            ``<plate>_<Channel>.npy``; for a single channel also one ``.npy``, or a folder of one.

    Returns:
        The table with a column ``Illumination_<Channel>`` of absolute paths for each channel.

    Raises:
        LeighError: There is no such folder, or it has none or several images for a channel.
    """
    where = where.absolute()
    if not where.exists():
        raise LeighError(f"the illumination images {where} do not exist; name a folder of .npy files.")
    plates = table[Metadata.PLATE].unique()
    found = {
        channel: {plate: _image(str(plate), channel, where, alone=len(channels) == 1) for plate in plates}
        for channel in channels
    }
    return table.assign(
        **{f"Illumination_{channel}": table[Metadata.PLATE].map(found[channel]).astype("str") for channel in channels}
    )


def _image(plate: str, channel: str, where: Path, *, alone: bool) -> str:
    files = _arrays(where) if where.is_dir() else [where]
    if where.is_dir() and plate in os.listdir(where):
        files = _arrays(where / plate) + files
    for prefix in (f"{plate}_Illum", "Illum", f"{plate}_"):
        fitting = [file for file in files if _fits(file.stem, prefix, channel)]
        if len({file.parent for file in fitting}) < len(fitting):
            raise LeighError(f"{fitting[0]} and {fitting[1]} both belong to channel {channel}; remove one.")
        if fitting:
            return str(fitting[0])
    if alone and len(files) == 1 and files[0].suffix.lower() == ".npy":
        return str(files[0])
    raise LeighError(
        f"{where} has no illumination image of channel {channel} for plate {plate}; add {plate}_Illum{channel}.npy, "
        f"Illum{channel}.npy or {plate}_{channel}.npy."
    )


def _arrays(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == ".npy" and not file.name.startswith("."))


def _fits(stem: str, prefix: str, channel: str) -> bool:
    return stem.casefold().startswith(prefix.casefold()) and _letters(stem[len(prefix) :]) == _letters(channel)


def _letters(name: str) -> str:
    """A name as it is compared; one of signs alone is compared as it is."""
    return "".join(sign for sign in name.casefold() if sign.isalnum()) or name
