"""Versions of one field as training would draw them, and what they do to its intensities."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leigh_mlops.images.augmentation import Augmentation
from leigh_mlops.images.batches import derived_seed, transform_field
from leigh_mlops.images.cache import PixelCache

__all__ = ["AugmentationPreview", "draw_versions"]


@dataclass(frozen=True)
class AugmentationPreview:
    """A field and its versions.

    Attributes:
        field: Name of the field, ``plate/B03/1``.
        channels: Channel names.
        field_raw: Raw intensities of the field, shape (C, S, S).
        versions: Raw intensities of its versions, shape (16, C, S, S).
        full_scale: Largest intensity that a file can hold.
    """

    field: str
    channels: tuple[str, ...]
    field_raw: npt.NDArray[np.float32]
    versions: npt.NDArray[np.float32]
    full_scale: int

    @property
    def changes(self) -> list[dict[str, float]]:
        """Intensities of each channel: ``…_mean``, ``…_p1`` and ``…_p99`` (percentiles) of ``field`` and ``versions``.

        ``clipped`` is the share of the versions' pixels at 0 or at full scale, minus that of the field.
        """
        rows = []
        for raw, versions in zip(self.field_raw, np.moveaxis(self.versions, 1, 0), strict=True):
            row: dict[str, float] = {}
            for name, values in (("field", raw), ("versions", versions)):
                low, high = np.percentile(values, (1, 99))
                row |= {f"{name}_mean": float(values.mean()), f"{name}_p1": float(low), f"{name}_p99": float(high)}
            ends = [float(np.mean((each <= 0) | (each >= self.full_scale))) for each in (raw, versions)]
            rows.append(row | {"clipped": ends[1] - ends[0]})
        return rows


def draw_versions(
    cache: PixelCache, row: int, augmentation: Augmentation, *, count: int = 16, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Draw versions of one field, raw intensities of shape (count, C, S, S), as training draws one in each epoch.

    Args:
        cache: The pixel cache.
        row: Row of the field.
        augmentation: Augmentation.
        count: Number of versions.
        seed: Seed of the draws.
    """
    drawn = augmentation.draw(np.random.default_rng(seed), count, cache.pixels.shape[-1])
    return np.stack(
        [
            transform_field(cache, row, placement, augmentation.transforms, derived_seed(seed, number, row, 1))
            * np.float32(factor)
            for number, (placement, factor) in enumerate(zip(drawn.placements, drawn.factors, strict=True))
        ]
    )
