"""From raw intensities to what a network sees, by constants of the training wells."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.images.cache import PixelCache

__all__ = ["IntensityScale", "fit_scale"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class IntensityScale:
    """A fixed, invertible map from raw intensities to network units.

    TMRM intensity is the phenotype, so no image is stretched by its own range.

    Attributes:
        transform: ``linear`` divides by the full scale; ``log`` takes
            log(1 + 255 raw / full scale).
        full_scale: Largest raw intensity of the file type: 255 or 65535.
        mean: Mean per channel of the transformed training wells.
        std: Standard deviation per channel of the same, above 0.
    """

    transform: Literal["linear", "log"]
    full_scale: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.transform not in ("linear", "log") or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise LeighError(f"The intensity scale {self} is not valid; the model package is damaged.")

    def apply(self, raw: Floats) -> Floats:
        """Raw intensities (..., C, H, W) to network units."""
        mean, std = self._columns()
        scaled: Floats = (transformed(raw, self.transform, self.full_scale) - mean) / std
        return scaled

    def invert(self, scaled: Floats) -> Floats:
        """Network units (..., C, H, W) to raw intensities, unclipped."""
        mean, std = self._columns()
        values: Floats = scaled * std + mean
        if self.transform == "log":
            values = np.expm1(values) * np.float32(1 / 255)
        return values * np.float32(self.full_scale)

    def _columns(self) -> tuple[Floats, Floats]:
        return (
            np.asarray(self.mean, np.float32)[:, None, None],
            np.asarray(self.std, np.float32)[:, None, None],
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "IntensityScale":
        """The inverse of :meth:`to_json`.

        Raises:
            LeighError: A value is missing or out of bounds.
        """
        try:
            return cls(
                transform=values["transform"],
                full_scale=int(values["full_scale"]),
                mean=tuple(float(value) for value in values["mean"]),
                std=tuple(float(value) for value in values["std"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LeighError(f"The model package has no valid intensity scale ({error}); export it again.") from None


def transformed(raw: Floats, transform: str, full_scale: int) -> Floats:
    """Raw intensities to transformed ones, before centring."""
    if transform == "log":
        return np.log1p(np.maximum(raw, 0) * np.float32(255 / full_scale))
    return raw / np.float32(full_scale)


def fit_scale(
    cache: PixelCache, rows: npt.NDArray[np.int64], transform: Literal["linear", "log"], chunk: int = 64
) -> IntensityScale:
    """Fit a scale on some rows of a cache, the training wells; memory is one chunk of fields.

    Args:
        cache: The pixel cache.
        rows: Row numbers of the training fields, shape (n,), n at least 1.
        transform: ``linear`` or ``log``.
        chunk: Fields read at once.
    """
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(rows), chunk):
        values = transformed(cache.raw(rows[start : start + chunk]), transform, cache.full_scale).astype(np.float64)
        count += values.shape[0] * values.shape[2] * values.shape[3]
        total = total + values.sum(axis=(0, 2, 3))
        squares = squares + (values**2).sum(axis=(0, 2, 3))
    mean = np.asarray(total) / count
    std = np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, 0))
    std[std < 1e-8] = 1.0  # an empty channel stays as it is
    return IntensityScale(transform, cache.full_scale, tuple(map(float, mean)), tuple(map(float, std)))
