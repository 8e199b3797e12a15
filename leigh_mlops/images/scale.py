"""Conversion of raw intensities to network units by constants of the training wells."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.images.cache import PixelCache

__all__ = ["ControlReference", "IntensityScale", "group_by_adjustment", "fit_scale", "histogram", "moments"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
AnyFloats = TypeVar("AnyFloats", Floats, Doubles)


@dataclass(frozen=True)
class ControlReference:
    """Raw intensities of the negative controls with which a model was trained.

    Attributes:
        mean: Mean per channel, mean over the plates.
        std: Standard deviation of the pixels per channel, mean over the plates, at least 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not np.isfinite([*self.mean, *self.std]).all() or min(self.std) < 0:
            raise LeighError(f"The control reference {self} is not valid; the model package is damaged.")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ControlReference":
        """Create a reference from the JSON of a scale."""
        return cls(_float_tuple(values["mean"]), _float_tuple(values["std"]))


@dataclass(frozen=True)
class IntensityScale:
    """A fixed, invertible map from raw intensities to network units.

    TMRM intensity is the phenotype, so no image is stretched by its own range.

    Attributes:
        transform: ``linear`` divides by the full scale; ``log`` takes
            log(1 + 255 raw / full scale), continued linearly below 0, where
            counterfactuals and adjusted plates may lie, so that it is invertible.
        full_scale: Largest raw intensity of the file type: 255 or 65535.
        mean: Mean per channel of the transformed training wells.
        std: Standard deviation per channel of the same, above 0.
        controls: Level to which every plate's raw intensities are adjusted
            first, by its own negative controls; ``None`` where they stay as
            acquired. It is stored here and applied by ``controls.adjust_cache``.
    """

    transform: Literal["linear", "log"]
    full_scale: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    controls: ControlReference | None = None

    def __post_init__(self) -> None:
        channels = {len(self.mean), len(self.std), len(self.controls.mean if self.controls else self.mean)}
        with np.errstate(over="ignore", under="ignore"):
            numbers = np.array([*self.mean, *self.std, self.full_scale], np.float32)
        valid = bool(np.isfinite(numbers).all() and (numbers[len(self.mean) :] > 0).all())
        if self.transform not in ("linear", "log") or len(channels) > 1 or not self.mean or not valid:
            raise LeighError(f"The intensity scale {self} is not valid; the model package is damaged.")

    def apply(self, raw: Floats) -> Floats:
        """Convert raw intensities (..., C, H, W) to network units."""
        mean, std = self._channel_constants()
        scaled: Floats = (transform_intensities(raw, self.transform, self.full_scale) - mean) / std
        return scaled

    def invert(self, scaled: Floats) -> Floats:
        """Convert network units (..., C, H, W) to raw intensities, unclipped; infinite beyond the range of float32."""
        mean, std = self._channel_constants()
        values: Floats = scaled * std + mean
        with np.errstate(over="ignore"):
            if self.transform == "log":
                values = (np.expm1(np.maximum(values, 0)) + np.minimum(values, 0)) * np.float32(1 / 255)
            return values * np.float32(self.full_scale)

    def _channel_constants(self) -> tuple[Floats, Floats]:
        return (
            np.asarray(self.mean, np.float32)[:, None, None],
            np.asarray(self.std, np.float32)[:, None, None],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the scale as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "IntensityScale":
        """Create a scale from the values of :meth:`to_json`.

        Raises:
            LeighError: A value is missing or out of bounds.
        """
        try:
            controls = values.get("controls")
            return cls(
                transform=values["transform"],
                full_scale=int(values["full_scale"]),
                mean=_float_tuple(values["mean"]),
                std=_float_tuple(values["std"]),
                controls=None if controls is None else ControlReference.from_json(controls),
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise LeighError(f"The model package has no valid intensity scale ({error}); export it again.") from None


def _float_tuple(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def transform_intensities(raw: AnyFloats, transform: str, full_scale: int) -> AnyFloats:
    """Transform raw intensities, before centring."""
    if transform == "log":
        counts = raw * np.float32(255 / full_scale)
        logs: AnyFloats = np.log1p(np.maximum(counts, 0))
        return logs + np.minimum(counts, 0) if (counts < 0).any() else logs
    return raw / np.float32(full_scale)


def histogram(pixels: npt.NDArray[np.uint16], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count how often each value occurs in some rows of (N, C, S, S), shape (C, 65536); memory is one field."""
    found = np.zeros((pixels.shape[1], 65536), np.int64)
    for row in rows:
        for channel, plane in enumerate(pixels[row]):
            found[channel] += np.bincount(plane.ravel(), minlength=65536)
    return found


def moments(frequencies: npt.NDArray[np.int64], values: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation per channel, each of shape (C,), of values with given frequencies.

    Args:
        frequencies: Shape (C, V).
        values: The same shape.
    """
    share = frequencies / frequencies.sum(axis=1, keepdims=True)
    mean = (share * values).sum(axis=1)
    return mean, np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))


def fit_scale(cache: PixelCache, rows: npt.NDArray[np.int64], transform: Literal["linear", "log"]) -> IntensityScale:
    """Fit a scale on some rows of a cache, the training wells.

    Rows of one adjustment share a histogram of their counts, from which mean and
    standard deviation follow exactly, whatever the transform: no image is copied.

    Args:
        cache: The pixel cache.
        rows: Row numbers of the training fields, shape (n,), n at least 1.
        transform: ``linear`` or ``log``.
    """
    shares, means, stds = [], [], []
    for some, raw in group_by_adjustment(cache, rows):
        mean, std = moments(histogram(cache.pixels, some), transform_intensities(raw, transform, cache.full_scale))
        shares.append(len(some) / len(rows))
        means.append(mean)
        stds.append(std)
    mean = np.average(means, axis=0, weights=shares)
    std = np.sqrt(np.average(np.square(stds) + np.square(means - mean), axis=0, weights=shares))
    std[std < 1e-8] = 1.0  # an empty channel stays as it is
    return IntensityScale(transform, cache.full_scale, _float_tuple(mean), _float_tuple(std))


def group_by_adjustment(
    cache: PixelCache, rows: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], Doubles]]:
    """Groups of rows with the same adjustment, each with the raw intensity (C, 65536) of every count."""
    counts = np.tile(np.arange(65536.0) * cache.unit, (cache.pixels.shape[1], 1))
    if cache.adjust is None:
        yield rows, counts
        return
    adjustments, which = np.unique(cache.adjust[rows], axis=0, return_inverse=True)
    for number, adjustment in enumerate(adjustments.astype(np.float64)):
        yield rows[which == number], adjustment[:, :1] + adjustment[:, 1:] * counts
