"""Reading one field as (C, H, W) in the units of the file."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images.field_files import FieldFiles, Plane
from leigh_mlops.images.omezarr import is_zarr_array, read_zarr
from leigh_mlops.images.picture_files import read_bmp, read_jpeg, read_png, to_rgb_square
from leigh_mlops.images.scratch import Allocator
from leigh_mlops.images.source import Pixels, open_source, to_unsigned, translate_read_errors
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


def read_planes(files: FieldFiles, allocate: Allocator = np.empty) -> list[Pixels]:
    """The channels of :func:`read_field`, each (H, W) and contiguous, not copied into one array.

    Args:
        files: Files of the field, one entry for each channel.
        allocate: Allocates the pixels of each channel.
    """
    pages: _Pages = {}
    images = [_project_planes(channel.planes, pages, allocate) for channel in files]
    if len({(image.shape, image.dtype) for image in images}) > 1:
        sizes = ", ".join(_describe_image(image) for image in images)
        first = escape_unprintable(files[0].planes[0].path)
        raise LeighError(f"{first}: the channels of this field differ ({sizes}); export them with equal size and type.")
    return images


def _read_plane(plane: Plane, pages: _Pages, allocate: Allocator) -> Pixels:
    """Read one plane; a page that holds several is read once for a field."""
    key = (plane.path, plane.frame, plane.picture)
    page = pages.get(key)
    if page is None:
        page = read_image(plane.path, plane.frame, allocate)
        page = to_rgb_square(page) if plane.picture else page
    if plane.samples > 1:
        pages[key] = page
    if len(page) != plane.samples:
        raise LeighError(
            f"{escape_unprintable(plane.path)} has {len(page)} channels instead of {plane.samples}; "
            "convert or remove it."
        )
    image: Pixels = page[plane.sample]
    return image


def _project_planes(planes: tuple[Plane, ...], pages: _Pages, allocate: Allocator) -> Pixels:
    projected = _read_plane(planes[0], pages, allocate)
    for plane in planes[1:]:
        image = _read_plane(plane, pages, np.empty)
        if image.shape != projected.shape or image.dtype != projected.dtype:
            raise LeighError(
                f"{escape_unprintable(plane.path)}: a plane of {_describe_image(image)} can't be projected with one of "
                f"{_describe_image(projected)}; export them with equal size and type."
            )
        projected = np.maximum(projected, image)
    return projected


def _describe_image(image: Pixels) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels {image.dtype}"


def read_image(path: Path, frame: int | None = None, allocate: Allocator = np.empty) -> Pixels:
    """Read one page of a PNG, BMP, JPEG or TIFF file, or one plane of an OME-Zarr array.

    Args:
        path: The file, or the folder of the array.
        frame: Page or plane from 0; ``None`` for the only one.
        allocate: Allocates the pixels of a TIFF.

    Returns:
        Shape (samples, H, W), unsigned 8- or 16-bit in the machine's byte order.

    Raises:
        LeighError: The file is missing, damaged or no image, claims to be
            absurdly large, or its values don't fit 16 unsigned bits.
    """
    with translate_read_errors(path):
        return to_unsigned(_decode_image(path, frame, allocate))


def _decode_image(path: Path, frame: int | None, allocate: Allocator) -> npt.NDArray[Any]:
    if frame is not None and frame < 0:
        raise ValueError("the table has a negative page number for it; pages count from 0")
    if stat.S_ISDIR(path.stat().st_mode) and is_zarr_array(path):
        return read_zarr(path, frame)
    reader = _READERS.get(path.suffix.lower())
    with open_source(path) as source:
        if reader is None:
            return read_tiff(source, frame, allocate)
        if frame:
            raise ValueError(f"it has one page and no page {frame}, counted from 0")
        return reader(source)


_READERS = {".png": read_png, ".bmp": read_bmp, ".jpg": read_jpeg, ".jpeg": read_jpeg}
