"""Reading one field's files as (C, H, W) in the units of the file."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pandas as pd
import tifffile

from leigh_mlops.errors import LeighError

__all__ = ["FieldFiles", "field_files", "read_field", "read_image"]

Pixels = npt.NDArray[np.unsignedinteger[Any]]
FieldFiles = tuple[tuple[Path, int], ...]
"""The files of one field in channel order, each with the number of planes it holds."""

_DECODERS = {".png": imagecodecs.png_decode, ".bmp": imagecodecs.bmp_decode}


def field_files(table: pd.DataFrame, channels: Sequence[str]) -> list[FieldFiles | None]:
    """The files of every row of an image table; ``None`` where a channel is missing."""
    columns = [
        [
            None if pd.isna(name) else Path(folder) / name
            for folder, name in zip(table[f"PathName_{channel}"], table[f"FileName_{channel}"], strict=True)
        ]
        for channel in channels
    ]
    return [_grouped(files) for files in zip(*columns, strict=True)]


def _grouped(files: Sequence[Path | None]) -> FieldFiles | None:
    if any(file is None for file in files):
        return None
    return tuple((file, len(list(same))) for file, same in groupby(files) if file is not None)


def read_field(files: FieldFiles) -> Pixels:
    """Read one field.

    Args:
        files: Its files in channel order, each with its number of planes.

    Returns:
        Shape (C, H, W), unsigned 8- or 16-bit, as stored.

    Raises:
        LeighError: A file can't be read, holds another number of channels or
            another type, or the files differ in size.
    """
    images = []
    for path, planes in files:
        image = read_image(path)
        if len(image) != planes:
            raise LeighError(f"{path} holds {len(image)} channels where {planes} are expected; convert or remove it.")
        images.append(image)
    if len({(image.shape[1:], image.dtype) for image in images}) > 1:
        sizes = ", ".join(f"{i.shape[2]} x {i.shape[1]} pixels {i.dtype}" for i in images)
        raise LeighError(f"{files[0][0]}: the channels of this field differ ({sizes}); export them alike.")
    return np.concatenate(images)


def read_image(path: Path) -> Pixels:
    """Read one PNG, BMP or TIFF file as (C, H, W).

    Raises:
        LeighError: The file is missing, truncated, no image, or neither
            unsigned 8-bit nor unsigned 16-bit.
    """
    try:
        image = _decode(path)
    except OSError as error:
        raise LeighError(f"{path} can't be read ({error.strerror or error}); check the file.") from None
    except Exception as error:  # decoders raise types of their own, all of them about the file
        reason = str(error).split("\n")[0] or type(error).__name__
        raise LeighError(f"{path} is no readable image ({reason}); replace or remove it.") from None
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or 0 in image.shape:
        raise LeighError(
            f"{path} holds {image.dtype} of shape {image.shape}; "
            "8- or 16-bit unsigned pictures of one or several channels can be read."
        )
    return image[None] if image.ndim == 2 else np.ascontiguousarray(np.moveaxis(image, -1, 0))


def _decode(path: Path) -> Pixels:
    decoder = _DECODERS.get(path.suffix.lower())
    if decoder is not None:
        return np.asarray(decoder(path.read_bytes()))
    with tifffile.TiffFile(path) as file:
        # Pages of this file alone: one file of a multi-file OME set must not pull in the others.
        if len(file.pages) > 1:
            raise ValueError(f"it is a stack of {len(file.pages)} pages; export one file for each channel and plane")
        return np.asarray(file.pages[0].asarray())
