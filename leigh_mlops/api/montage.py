"""Montage of images on one intensity scale."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from leigh_mlops.api.field_sources import check_table
from leigh_mlops.errors import LeighError
from leigh_mlops.images import FieldFiles, field_files, raw_at_size, read_field
from leigh_mlops.plates import table_channels
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.rendering import composite, intensity_limits
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.sheets import MAX_ROWS, Panel, SheetRow, contact_sheet, limits_sentence

__all__ = ["show"]

Floats = npt.NDArray[np.float32]

_MAX_COLUMNS = 6
_MAX_SIDE = 448
"""Longest side in pixels; a panel is half as large, and screens may have two pixels for one."""


class _MontageImage(NamedTuple):
    title: str
    image: Floats


def show(
    images: Any,  # noqa: ANN401
    *,
    channels: Sequence[str] | None = None,
    limits: npt.ArrayLike | None = None,
    columns: int | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draw images as a montage, all on one intensity scale, which stands above it.

    Args:
        images: Image table; or arrays of any number type, (N, C, H, W) or a list of (C, H, W).
        channels: Channels of a table that are drawn, by default all; names of the channels of arrays.
        limits: Per channel the raw intensities (low, high) shown as black and as full colour, shape (C, 2); by default
            the 0.2nd and 99.8th percentile of all that is drawn.
        columns: Images side by side, at most 6; by default about as many as there are rows.
        titles: One per image; by default well, field, class and flags of a table.

    Returns:
        The figure, which a notebook shows by itself. More than 12 rows are not drawn, and it says so.

    Raises:
        LeighError: The table is no image table, no image can be read, or shapes and names do not fit.
    """
    count = _count_images(images)
    wide = min(columns or math.ceil(math.sqrt(count)), _MAX_COLUMNS)
    drawn = min(count, wide * MAX_ROWS)
    if isinstance(images, pd.DataFrame):
        names = _check_names(images, channels)
        shown = list(_read_images(images.iloc[:drawn], names))
        heading = f"{format_count(count, 'field')} of {_plates(images)}"
    else:
        shown, heading = list(_take_images(images[:drawn])), format_count(count, "image")
        names = _name_channels(shown[0].image, channels)
    if titles is not None:
        if len(titles) != count:
            raise LeighError(f"There are {len(titles)} titles for {count} images; give one for each.")
        shown = [each._replace(title=title) for each, title in zip(shown, titles, strict=False)]
    return _draw(shown, names, limits, wide, heading, count - drawn)


def _draw(
    shown: Sequence[_MontageImage],
    names: Sequence[str],
    limits: npt.ArrayLike | None,
    wide: int,
    heading: str,
    more: int,
) -> Figure:
    for each in shown:
        if len(each.image) != len(names):
            raise LeighError(
                f"{each.title} has {len(each.image)} channels, but the names are {', '.join(names)}; "
                "give one name for each with channels=."
            )
    scale = _estimate_limits(shown) if limits is None else np.asarray(limits, float)
    if scale.shape != (len(names), 2) or not (scale[:, 0] < scale[:, 1]).all():
        raise LeighError(f"limits= has the shape {scale.shape}; give (low, high) for each of {', '.join(names)}.")
    panels = [Panel(composite(image, names, scale), title) for title, image in shown]
    rows = [SheetRow("", panels[start : start + wide]) for start in range(0, len(panels), wide)]
    note = f"{limits_sentence(names, scale)} One scale."
    if more:
        note += f" {format_count(more, 'more image')} not shown."
    return contact_sheet(rows, heading, note)


def _estimate_limits(shown: Sequence[_MontageImage]) -> npt.NDArray[np.float64]:
    """Limits over images of any sizes; each counts by its pixels."""
    pixels = [image.reshape(len(image), -1) for _, image in shown]
    return intensity_limits(np.concatenate(pixels, axis=1)[None, :, None])


def _count_images(images: Any) -> int:  # noqa: ANN401
    if isinstance(images, pd.DataFrame):
        check_table(images)
        return len(images)
    if not isinstance(images, list | tuple) and np.ndim(images) != 4:
        raise LeighError(f"The images have the shape {np.shape(images)}; pass (N, C, H, W), one image as image[None].")
    if not len(images):
        raise LeighError("There are no images; pass at least one.")
    return len(images)


def _check_names(table: pd.DataFrame, channels: Sequence[str] | None) -> list[str]:
    known = table_channels(table)
    names = list(known if channels is None else channels)
    if unknown := [name for name in names if name not in known]:
        raise LeighError(f"The table has no channel {unknown[0]!r}; choose from {', '.join(known)}.")
    return names


def _name_channels(image: Floats, channels: Sequence[str] | None) -> list[str]:
    return [f"ch{number}" for number in range(1, len(image) + 1)] if channels is None else list(channels)


def _take_images(images: Any) -> Iterator[_MontageImage]:  # noqa: ANN401
    for number, each in enumerate(images):
        image = np.asarray(each)
        if image.ndim != 3 or not image.size or image.dtype.kind not in "uif":
            raise LeighError(
                f"Image {number} is {image.dtype} of shape {image.shape}; pass numbers of shape (C, H, W)."
            )
        yield _MontageImage(f"image {number}", _shrink(image))


def _shrink(image: npt.NDArray[Any]) -> Floats:
    """Shrink an image (C, H, W) by area averaging to what a screen shows."""
    height, width = image.shape[1:]
    factor = _MAX_SIDE / max(height, width)
    planes = image.astype(np.float32)
    if factor >= 1:
        return planes
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes])


def _read_images(table: pd.DataFrame, names: Sequence[str]) -> Iterator[_MontageImage]:
    """Read the fields of a table; one that can't be read is a black image with that in its title."""
    errors: list[LeighError] = []
    shown: list[_MontageImage] = []
    several = len(table[Metadata.PLATE].unique()) > 1
    for files, (_, row) in zip(field_files(table, names), table.iterrows(), strict=True):
        title = _title(row, several)
        try:
            shown.append(_MontageImage(title, _read_image(files)))
        except LeighError as error:
            errors.append(error)
            shown.append(_MontageImage(f"{title}, unreadable", np.full((len(names), 1, 1), np.nan, np.float32)))
    if len(errors) == len(shown):
        raise errors[0]
    yield from shown


def _read_image(files: FieldFiles | None) -> Floats:
    if files is None:
        raise LeighError("The field lacks a channel; add its file, or choose others with channels=.")
    image = read_field(files)
    return raw_at_size(image, min(_MAX_SIDE, *image.shape[1:]), files)


def _title(row: "pd.Series[Any]", several: bool) -> str:
    well = f"{row[Metadata.PLATE]}/{row[Metadata.WELL]}" if several else str(row[Metadata.WELL])
    parts = [well, f"field {row[Metadata.SITE]}", row.get(Metadata.CONDITION), row.get(Metadata.FLAGS)]
    return ", ".join(part for part in parts if isinstance(part, str) and part)


def _plates(table: pd.DataFrame) -> str:
    plates = table[Metadata.PLATE].astype(str).unique()
    return f"plate {plates[0]}" if len(plates) == 1 else f"{len(plates)} plates"
