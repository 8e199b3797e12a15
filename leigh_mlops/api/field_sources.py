"""Images of a notebook, an image table or arrays, as the fields that a job would make of them."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.prepared_field import Adjust, Field, FieldPreparation
from leigh_mlops.images import (
    ChannelFiles,
    ControlReference,
    FieldFiles,
    IntensityScale,
    Plane,
    adjustment,
    apply_adjustment,
)
from leigh_mlops.images.control_levels import FEWEST_CONTROLS, measure_level, spread_rows
from leigh_mlops.images.sizes import counts_at_size, intensity_per_count
from leigh_mlops.images.source import Pixels
from leigh_mlops.images.squares import Width
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.jobs.validation import check_channels
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.plate_statistics import PlateStatistics, measure_statistics
from leigh_mlops.plates import table_channels
from leigh_mlops.plates.columns import Metadata, is_metadata
from leigh_mlops.report.image_sentences import width_sentences
from leigh_mlops.study.field_width import is_other_width, other_widths
from leigh_mlops.study.plate_levels import PlateLevels

__all__ = ["FieldSource", "PlateAdjustment", "check_arrays", "check_table", "open_fields", "plate_adjustment"]

_NO_PLATE = ""
_KEY = (Metadata.PLATE, Metadata.WELL, Metadata.SITE)


@dataclass(frozen=True)
class PlateAdjustment:
    """Offset and gain by which the channels of one plate get the level of a model's controls, as in ``job.json``.

    Attributes:
        channels: Shape (C, 2), raw intensity and factor, channels in the order of the model; ``None`` for a model that
            is not scaled by controls.
        statistics: Statistics of its network on the plate, for a model that is adapted to plates.
    """

    channels: Sequence[Sequence[float]] | None
    statistics: PlateStatistics | None = None


class FieldSource(Protocol):
    """Fields that can be read one by one.

    Attributes:
        index: Labels of the fields.
        metadata: Metadata columns of the fields, by the index; no column for arrays.
    """

    index: pd.Index
    metadata: pd.DataFrame

    def read(self, row: int) -> Field:
        """Read one field.

        Raises:
            LeighError: It can't be read, or does not fit the model.
        """


def open_fields(
    package: ModelPackage,
    images: Any,  # noqa: ANN401
    channels: Sequence[str] | None,
    controls: Any,  # noqa: ANN401
    pixel_size_um: float | None = None,
) -> FieldSource:
    """Open the images that a user handed in.

    Args:
        package: The model.
        images: An image table; or raw uint8 or uint16 arrays, (N, C, H, W) or a sequence of (C, H, W).
        channels: Names of the channels of arrays; None for the model's, in its order.
        controls: Negative controls of the plates, a table or arrays, for a model that is scaled by controls; for
            arrays also the plate's adjustment.
        pixel_size_um: Edge of a pixel of arrays in µm; None if it is not known.

    Raises:
        LeighError: They do not fit the model.
    """
    if isinstance(images, pd.DataFrame):
        for name, given, what in (("channels", channels, "channels"), ("pixel_size_um", pixel_size_um, "pixel size")):
            if given is not None:
                raise LeighError(f"{name}= is for arrays only, since a table names its {what}; leave it out.")
        table = _TableFields(package, images, controls)
        _warn_of_widths(package, other_widths(package, images))
        return table
    arrays = _ArrayFields(package, images, channels, controls, pixel_size_um)
    _warn_of_widths(package, arrays.other_widths)
    return arrays


def _warn_of_widths(package: ModelPackage, others: Mapping[str, float]) -> None:
    """Warn of fields on which cells have another size in the image than in training."""
    for sentence in width_sentences(package.about.get("field_um"), others):
        warnings.warn(sentence, stacklevel=4)


class _TableFields:
    def __init__(self, package: ModelPackage, table: pd.DataFrame, controls: Any) -> None:  # noqa: ANN401
        check_table(table)
        check_channels("The table", package, table_channels(table))
        self.index = table.index
        self.metadata = table[[name for name in table if is_metadata(name)]]
        # Rows of a part of a table keep their labels, while a reader counts rows.
        rows = table.reset_index(drop=True)
        adjust, statistics = _table_levels(package, rows, controls)
        self._reader = FieldReader(package, rows, adjust, None, statistics)

    def read(self, row: int) -> Field:
        return self._reader.read(row)


class _ArrayFields:
    def __init__(
        self,
        package: ModelPackage,
        images: Any,  # noqa: ANN401
        channels: Sequence[str] | None,
        controls: Any,  # noqa: ANN401
        pixel_size_um: float | None,
    ) -> None:
        self._images = _order_channels(package, check_arrays(images), channels, "images")
        self._width = array_width(package, pixel_size_um)
        widths = [] if pixel_size_um is None else [min(image.shape[1:]) * pixel_size_um for image in self._images]
        others = [width for width in widths if is_other_width(package, width)]
        self.other_widths = {"of the arrays": others[0]} if others else {}
        self.index: pd.Index = pd.RangeIndex(len(self._images))
        self.metadata = pd.DataFrame(index=self.index)
        known = plate_adjustment(package, channels, controls, pixel_size_um)
        adjust = None if known is None or known.channels is None else {_NO_PLATE: known.channels}
        statistics = None if known is None or known.statistics is None else {_NO_PLATE: known.statistics}
        self._preparation = FieldPreparation(package, adjust, statistics)

    def read(self, row: int) -> Field:
        image = self._images[row]
        files = _name_array(f"images[{row}]", len(image), self._width)
        return self._preparation.prepare(row, image, files, _NO_PLATE)


def array_width(package: ModelPackage, pixel_size_um: float | None) -> Width | None:
    """Width of the square that a model sees of each array; None for the whole.

    Args:
        package: The model.
        pixel_size_um: Edge of a pixel in µm; None if it is not known.

    Raises:
        LeighError: The pixel size is not above 0, or not known where the model needs it.
    """
    if pixel_size_um is not None and not 0 < pixel_size_um < math.inf:
        raise LeighError(f"pixel_size_um={pixel_size_um:g} is no size of a pixel; give it in µm, above 0.")
    width_um = package.field_width_um
    if width_um is None:
        return None
    if pixel_size_um is None:
        raise LeighError(
            f"The model sees a square of {width_um:g} µm of each field, but arrays do not tell how large their pixels "
            "are; pass their edge in µm as pixel_size_um=."
        )
    return Width(width_um, pixel_size_um)


def check_table(table: pd.DataFrame) -> None:
    """Refuse a table that is no image table, or has no row.

    Raises:
        LeighError: It is not, or it is empty.
    """
    missing = [name for name in _KEY if name not in table] or ([] if table_channels(table) else ["FileName_<Channel>"])
    if missing:
        raise LeighError(f"The table lacks the columns {', '.join(missing)}; pass one that read_plate returns.")
    if table.empty:
        raise LeighError("The table has no rows; pass at least one.")


def check_arrays(images: Any, name: str = "images") -> list[Pixels]:  # noqa: ANN401
    """Check raw images as a camera wrote them.

    Args:
        images: Shape (N, C, H, W), or a list of (C, H, W); uint8 or uint16.
        name: Name of the argument, for messages.

    Returns:
        N images (C, H, W) in the machine's byte order.

    Raises:
        LeighError: Their shape or type is another one, or there is none.
    """
    arrays = images if isinstance(images, list | tuple) else np.asarray(images)
    if isinstance(arrays, np.ndarray) and arrays.ndim != 4:
        raise LeighError(f"The {name} have the shape {arrays.shape}; pass (N, C, H, W), a single image as image[None].")
    if not len(arrays):
        raise LeighError(f"There are no {name}; pass at least one.")
    return [_check_array(np.asarray(image), f"{name}[{number}]") for number, image in enumerate(arrays)]


def _check_array(image: npt.NDArray[Any], name: str) -> Pixels:
    if image.ndim != 3 or not image.size:
        raise LeighError(f"{name} has the shape {image.shape}; pass (C, H, W) with at least one pixel.")
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        broken = image.dtype.kind == "f" and not np.isfinite(image).all()
        raise LeighError(
            f"{name} is {image.dtype}{', and not all values are finite' if broken else ''}; pass the raw counts of the "
            "camera as uint8 or uint16, such as image.astype(numpy.uint16) for whole numbers."
        )
    native: Pixels = image.astype(image.dtype.newbyteorder("="), copy=False)
    return native


def _order_channels(
    package: ModelPackage, images: list[Pixels], channels: Sequence[str] | None, name: str
) -> list[Pixels]:
    """Reorder the channels of images to those of the model."""
    names = list(package.channels if channels is None else channels)
    check_channels("channels=", package, names)
    if len(set(names)) != len(names):
        raise LeighError(f"channels={names!r} names a channel twice; name each once.")
    for number, image in enumerate(images):
        if len(image) != len(names):
            raise LeighError(
                f"{name}[{number}] has {len(image)} channels, but the names are {', '.join(names)}; "
                "name the channels of the images, in their order, with channels=."
            )
    order = [names.index(channel) for channel in package.channels]
    return images if order == list(range(len(names))) else [image[order] for image in images]


def _name_array(name: str, channels: int, width: Width | None) -> FieldFiles:
    """Files of an image that has none: a name for messages, the width to be cut, and no illumination image."""
    return (ChannelFiles((Plane(Path(name), None, 0, 1, width=width),), None),) * channels


def _table_levels(
    package: ModelPackage,
    table: pd.DataFrame,
    controls: Any,  # noqa: ANN401
) -> tuple[Adjust, Mapping[str, PlateStatistics] | None]:
    """Offset and gain, and statistics of the network, by plate, from the controls or those of the table itself.

    Each is None for a model that does not need it.
    """
    if _reference(package) is None and not package.is_adapted:
        return None, None
    if controls is not None and not isinstance(controls, pd.DataFrame):
        raise LeighError("The images are a table but controls= is not; pass the table of the whole plate.")
    whole = table if controls is None else controls.reset_index(drop=True)
    check_table(whole)
    named = whole[Metadata.PLATE].astype(str)
    negative = set(named[whole[Metadata.CONTROL] == "negcon"]) if Metadata.CONTROL in whole else set()
    if absent := sorted(set(table[Metadata.PLATE].astype(str)) - negative):
        raise LeighError(
            f"The model is {_use_of_controls(package)}, but the table has none of plate {absent[0]}; pass the "
            "table of the whole plate as controls=, with pert_type=negcon in its plate map."
        )
    levels = PlateLevels(package, whole, Console(quiet=True))
    return levels.adjustments, levels.statistics


def _use_of_controls(package: ModelPackage) -> str:
    uses = {"scaled": _reference(package) is not None, "adapted": package.is_adapted}
    return f"{' and '.join(use for use, is_used in uses.items() if is_used)} by negative controls"


def plate_adjustment(
    package: ModelPackage,
    channels: Sequence[str] | None,
    controls: Any,  # noqa: ANN401
    pixel_size_um: float | None = None,
) -> PlateAdjustment | None:
    """Adjustment of the plate of some arrays; None for a model that is neither scaled nor adapted by controls.

    Args:
        package: The model.
        channels: Names of the channels of arrays; None for the model's, in its order.
        controls: See `open_fields`.
        pixel_size_um: Edge of a pixel of arrays of controls, see `open_fields`.

    Raises:
        LeighError: There are no controls, or they do not fit the model.
    """
    reference = _reference(package)
    if reference is None and not package.is_adapted:
        return None
    if isinstance(controls, PlateAdjustment):
        return controls
    if controls is None:
        raise LeighError(
            f"The model is {_use_of_controls(package)} of each plate, but arrays do not tell which these are; pass "
            "raw images of the plate's negative controls, or the table of the plate, as controls=."
        )
    if not isinstance(controls, pd.DataFrame):
        return _measure_plate(package, channels, controls, pixel_size_um)
    check_table(controls)
    if len(controls[Metadata.PLATE].unique()) > 1:
        raise LeighError("controls= has several plates, but arrays do not name theirs; pass the table of one plate.")
    levels = PlateLevels(package, controls.reset_index(drop=True), Console(quiet=True))
    adjusted, measured = levels.adjustments, levels.statistics
    return PlateAdjustment(
        None if adjusted is None else next(iter(adjusted.values())),
        None if measured is None else next(iter(measured.values())),
    )


def _measure_plate(
    package: ModelPackage,
    channels: Sequence[str] | None,
    controls: Any,  # noqa: ANN401
    pixel_size_um: float | None,
) -> PlateAdjustment:
    """Offset and gain by which the controls get the model's level, and the statistics of its network for them."""
    reference = _reference(package)
    images = _order_channels(package, check_arrays(controls, "controls"), channels, "controls")
    preparation, width = FieldPreparation(package, None), array_width(package, pixel_size_um)
    counts = []
    for number, image in enumerate(images):
        files = _name_array(f"controls[{number}]", len(image), width)
        preparation.check_bit_depth(image, files)
        counts.append(np.stack(counts_at_size(image, package.model.spec.image_size, files)))
    unit, raw = intensity_per_count(images[0].dtype), np.stack(counts)
    channels_level = None
    if reference is not None:
        channels_level = adjustment(reference, measure_level(raw, np.arange(len(raw)), unit))
    found = None if channels_level is None else channels_level.tolist()
    if not package.is_adapted:
        return PlateAdjustment(found)
    if len(raw) < FEWEST_CONTROLS:
        raise LeighError(
            f"controls= has {len(raw)} images, and a network is adapted to a plate by {FEWEST_CONTROLS} or more; give "
            "more fields of the plate's negative controls."
        )
    acquired = raw[spread_rows(np.arange(len(raw)))].astype(np.float32) * np.float32(unit)
    levelled = acquired if channels_level is None else apply_adjustment(acquired, channels_level)
    scaled = torch.from_numpy(IntensityScale.from_json(package.scale).apply(levelled))
    return PlateAdjustment(found, measure_statistics(package.model, scaled))


def _reference(package: ModelPackage) -> ControlReference | None:
    return IntensityScale.from_json(package.scale).controls
