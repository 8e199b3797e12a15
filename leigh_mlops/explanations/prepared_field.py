"""Conversion of images as read to the fields that a model sees, the same for files and arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images import FieldFiles, Plane, apply_adjustment, measure_field, pixel_digest, raw_at_size
from leigh_mlops.images.source import Pixels
from leigh_mlops.images.squares import cut_square
from leigh_mlops.job_columns import QUALITY
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.plate_statistics import PlateStatistics

__all__ = ["Adjust", "Field", "FieldPreparation", "group_by_statistics", "select_adjustment"]

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
        statistics: Statistics of the BatchNorms on its plate, for a network that is adapted to plates.
    """

    row: int
    acquired: Floats
    adjust: Floats
    seen: bool
    stamp: Sequence[Sequence[Any]] = ()
    quality: Mapping[str, float] = {}
    statistics: PlateStatistics | None = None

    @property
    def raw(self) -> Floats:
        """Raw intensities (C, S, S), brought to the level of the model's controls if it has one."""
        return apply_adjustment(self.acquired, self.adjust)


class FieldPreparation:
    """Prepares images as read for a model: bit depth, size, level of the controls, identity and quality.

    Args:
        package: The model.
        adjust: Offset and gain of the model, by plate.
        statistics: Statistics of its network by plate, if it is adapted to plates.
    """

    def __init__(
        self, package: ModelPackage, adjust: Adjust, statistics: Mapping[str, PlateStatistics] | None = None
    ) -> None:
        self.package, self.adjust, self.statistics = package, adjust, statistics
        self._seen = set(package.seen_digests.tolist())

    def prepare(
        self, row: int, image: Pixels, files: FieldFiles, plate: str, stamp: Sequence[Sequence[Any]] = ()
    ) -> Field:
        """Prepare one image.

        Args:
            row: Number of the field.
            image: Shape (C, H, W), as read, in the order of the model's channels.
            files: Its files, for their names in messages and their illumination images.
            plate: Its plate.
            stamp: See `Field`.

        Raises:
            LeighError: The image's bit depth differs from the model's, or an illumination image does not fit.
        """
        self.check_bit_depth(image, files)
        acquired = raw_at_size(image, self.package.model.spec.image_size, files)
        adjust = select_adjustment(self.adjust, plate, len(self.package.channels))
        seen = int(pixel_digest(image)) in self._seen
        statistics = None if self.statistics is None else self.statistics[plate]
        quality = self._measure_quality(image, files[0].planes[0])
        return Field(row, acquired, adjust, seen, stamp, quality, statistics)

    def check_bit_depth(self, image: Pixels, files: FieldFiles) -> None:
        """Refuse an image of another bit depth than the model's.

        Raises:
            LeighError: It is.
        """
        full_scale = self.package.scale["full_scale"]
        if np.iinfo(image.dtype).max != full_scale:
            raise LeighError(
                f"{escape_unprintable(files[0].planes[0].path)} reaches {np.iinfo(image.dtype).max} where the model's "
                f"images reach {full_scale}; give images of the same bit depth."
            )

    def _measure_quality(self, image: Pixels, first: Plane) -> dict[str, float]:
        squares = [cut_square(plane, first.tile, first.width) for plane in image]
        measured = measure_field(squares, self.package.channels)
        return {QUALITY(name): value for name, value in measured.items() if name.startswith(_QUALITY_PREFIXES)}


def group_by_statistics(package: ModelPackage, fields: Sequence[Field]) -> list[list[int]]:
    """Numbers of the fields, those of one plate together for a network that is adapted to plates.

    Raises:
        LeighError: It is adapted, and a field has no statistics of its plate.
    """
    if not package.is_adapted:
        return [list(range(len(fields)))]
    groups: dict[int, list[int]] = {}
    for number, field in enumerate(fields):
        if field.statistics is None:
            raise LeighError(
                "The network is adapted to each plate by its negative controls, and those of a field's plate are not "
                "known; give them with the field."
            )
        groups.setdefault(id(field.statistics), []).append(number)
    return list(groups.values())


def select_adjustment(adjust: Adjust, plate: str, channels: int) -> Floats:
    """Select offset and gain (C, 2) of a plate; those of the identity if there are none."""
    if adjust is None:
        return np.tile(np.array([0, 1], np.float32), (channels, 1))
    return np.asarray(adjust[plate], np.float32)
