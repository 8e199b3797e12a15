"""Reading one field as (C, H, W) in the units of the file."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError, printable
from leigh_mlops.images.fields import FieldFiles, Plane
from leigh_mlops.images.omezarr import is_array, read_zarr
from leigh_mlops.images.pictures import as_picture, read_bmp, read_jpeg, read_png
from leigh_mlops.images.scratch import Allocate
from leigh_mlops.images.source import Pixels, opened, refusals, unsigned
from leigh_mlops.images.tiff import read_tiff

__all__ = ["read_field", "read_image", "read_planes"]

_Pages = dict[tuple[Path, int | None, bool], Pixels]


def read_field(files: FieldFiles) -> Pixels:
    """Read one field.

    Args:
        files: Its files, one entry for each channel.

    Returns:
        Shape (C, H, W), unsigned 8- or 16-bit, as acquired and in the machine's
        byte order; planes of one channel are projected by their maximum.

    Raises:
        LeighError: A file can't be read, holds another number of channels or
            another type, or the channels differ in size.
    """
    return np.stack(read_planes(files))


def read_planes(files: FieldFiles, allocate: Allocate = np.empty) -> list[Pixels]:
    """The channels of :func:`read_field`, each (H, W) and contiguous, not copied into one array.

    Args:
        files: As there.
        allocate: Gives memory for the pixels of each channel.
    """
    pages: _Pages = {}
    images = [_projected(channel.planes, pages, allocate) for channel in files]
    if len({(image.shape, image.dtype) for image in images}) > 1:
        sizes = ", ".join(_words(image) for image in images)
        first = printable(files[0].planes[0].path)
        raise LeighError(f"{first}: the channels of this field differ ({sizes}); export them alike.")
    return images


def _plane(plane: Plane, pages: _Pages, allocate: Allocate) -> Pixels:
    """One plane; a page that holds several is read once for a field."""
    key = (plane.path, plane.frame, plane.picture)
    page = pages.get(key)
    if page is None:
        page = read_image(plane.path, plane.frame, allocate)
        page = as_picture(page) if plane.picture else page
    if plane.samples > 1:
        pages[key] = page
    if len(page) != plane.samples:
        raise LeighError(
            f"{printable(plane.path)} holds {len(page)} channels where {plane.samples} are expected; "
            "convert or remove it."
        )
    image: Pixels = page[plane.sample]
    return image


def _projected(planes: tuple[Plane, ...], pages: _Pages, allocate: Allocate) -> Pixels:
    projected = _plane(planes[0], pages, allocate)
    for plane in planes[1:]:
        image = _plane(plane, pages, np.empty)
        if image.shape != projected.shape or image.dtype != projected.dtype:
            raise LeighError(
                f"{printable(plane.path)}: a plane of {_words(image)} can't be projected with one of "
                f"{_words(projected)}; export them alike."
            )
        projected = np.maximum(projected, image)
    return projected


def _words(image: Pixels) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels {image.dtype}"


def read_image(path: Path, frame: int | None = None, allocate: Allocate = np.empty) -> Pixels:
    """Read one page of a PNG, BMP, JPEG or TIFF file, or one plane of an OME-Zarr array.

    Args:
        path: The file, or the folder of the array.
        frame: Page or plane from 0; ``None`` for the only one.
        allocate: Gives memory for the pixels of a TIFF.

    Returns:
        Shape (samples, H, W), unsigned 8- or 16-bit in the machine's byte order.

    Raises:
        LeighError: The file is missing, damaged or no image, claims to be
            absurdly large, or its values don't fit 16 unsigned bits.
    """
    with refusals(path):
        return unsigned(_decoded(path, frame, allocate))


def _decoded(path: Path, frame: int | None, allocate: Allocate) -> npt.NDArray[Any]:
    if frame is not None and frame < 0:
        raise ValueError("the table names no page of it that can be; pages are numbers from 0")
    if stat.S_ISDIR(path.stat().st_mode) and is_array(path):
        return read_zarr(path, frame)
    reader = _READERS.get(path.suffix.lower())
    with opened(path) as source:
        if reader is None:
            return read_tiff(source, frame, allocate)
        if frame:
            raise ValueError(f"it has one page and no page {frame}, counted from 0")
        return reader(source)


_READERS = {".png": read_png, ".bmp": read_bmp, ".jpg": read_jpeg, ".jpeg": read_jpeg}
