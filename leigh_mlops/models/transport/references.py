"""Plain maps of images from one class to another, beside which every better one is shown."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport.class_fields import ClassFields
from leigh_mlops.models.transport.sliced_transport import SlicedTransport
from leigh_mlops.models.transport.transport_fitting import TransportPlan, fit_transport

__all__ = ["REFERENCES", "ClassMap", "MomentMap", "NearestField", "NoChange", "Reference"]

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[Any]
Arrays = dict[str, npt.NDArray[Any]]

_MOMENT_PIXELS = 2**22
_NEAREST_PIXELS = 2**21
_GRID = 4


class ClassMap(Protocol):
    """Map of images (N, C, H, W) in network units from one class to another."""

    def apply(self, images: Images) -> Images:
        """Images of the target class."""
        ...

    def to_arrays(self) -> Arrays:
        """Return the map as plain numeric arrays."""
        ...


class Reference(NamedTuple):
    """A kind of map: its fit on source, target and seed, and its way back from arrays."""

    fit: Callable[[ClassFields, ClassFields, int], ClassMap]
    from_arrays: Callable[[Arrays], ClassMap]


@dataclass(frozen=True)
class NoChange:
    """Images as they are: what a judge says of them is where every share begins."""

    def apply(self, images: Images) -> Images:
        """Return a copy of the images."""
        return images.copy()

    def to_arrays(self) -> Arrays:
        """Return no arrays."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "NoChange":
        """Create the map; there are no arrays.

        Raises:
            LeighError: There are some.
        """
        if arrays:
            raise LeighError(f"The stored map has arrays that it can't have ({', '.join(arrays)}); train again.")
        return cls()


@dataclass(frozen=True)
class MomentMap:
    """Gain and offset of every channel, after which mean and spread are those of the target class.

    Attributes:
        gains: Above 0, shape (C,).
        offsets: Network units, shape (C,).
    """

    gains: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        both = (self.gains, self.offsets)
        shaped = all(each.dtype.kind == "f" and each.ndim == 1 and np.isfinite(each).all() for each in both)
        if not shaped or self.gains.shape != self.offsets.shape or not (self.gains > 0).all():
            raise LeighError("The stored map of means and spreads is damaged; train the model again.")

    def apply(self, images: Images) -> Images:
        """Images of the target's mean and spread.

        Raises:
            LeighError: The images have other channels.
        """
        _check_shape(images, (len(self.gains), *images.shape[2:]))
        gains, offsets = (each.astype(images.dtype)[:, None, None] for each in (self.gains, self.offsets))
        matched: Images = images * gains + offsets
        return matched

    def to_arrays(self) -> Arrays:
        """Return the map as plain arrays."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "MomentMap":
        """Create a map from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing, or they do not fit each other.
        """
        return cls(**_expect_names(arrays, "gains", "offsets"))


@dataclass(frozen=True)
class NearestField:
    """Real training field of the target class that is most like the image, apart from what the classes differ in.

    Fields are compared by mean intensities in a 4 x 4 grid and the spread of each channel, each less its class's
    mean and divided by its class's standard deviation, so that a field that is dim for its class meets one that is
    dim for its own.

    Attributes:
        fields: Candidates, shape (n, C, H, W), float16, network units.
        features: Their standardised features, shape (n, 17 C).
        source_mean: Mean of the features in the source class, shape (17 C,).
        source_std: Their standard deviation, above 0, shape (17 C,).
    """

    fields: npt.NDArray[np.float16]
    features: Floats
    source_mean: Floats
    source_std: Floats

    def __post_init__(self) -> None:
        every = (self.fields, self.features, self.source_mean, self.source_std)
        if self.fields.ndim != 4 or not all(each.dtype.kind == "f" and np.isfinite(each).all() for each in every):
            raise LeighError("The stored fields of the target class are damaged; train the model again.")
        count, channels, *sides = self.fields.shape
        numbers = (_GRID**2 + 1) * channels
        fit = self.features.shape == (count, numbers) and self.source_mean.shape == (numbers,)
        if not (count and fit and self.source_std.shape == (numbers,) and (self.source_std > 0).all()):
            raise LeighError("The stored fields of the target class are damaged; train the model again.")
        if any(side % _GRID for side in sides):
            raise LeighError(f"The stored fields are of {sides} pixels, no multiples of {_GRID}; train again.")

    def apply(self, images: Images) -> Images:
        """Nearest field of each image.

        Raises:
            LeighError: The images are of another shape than the fields.
        """
        _check_shape(images, self.fields.shape[1:])
        numbers = (_coarse_features(images) - self.source_mean) / self.source_std
        nearest = [int(np.square(self.features - each).sum(axis=1).argmin()) for each in numbers]
        return self.fields[nearest].astype(images.dtype)

    def to_arrays(self) -> Arrays:
        """Return the map as plain arrays."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "NearestField":
        """Create a map from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing, or they do not fit each other.
        """
        return cls(**_expect_names(arrays, "fields", "features", "source_mean", "source_std"))


def fit_no_change(source: ClassFields, target: ClassFields, seed: int) -> NoChange:
    """Return the map that changes nothing."""
    return NoChange()


def fit_moments(source: ClassFields, target: ClassFields, seed: int) -> MomentMap:
    """Fit gains and offsets on at most 2^22 pixels of each class."""
    rng, moments = np.random.default_rng(seed), []
    for fields in (source, target):
        images, _ = fields.read_sample(_MOMENT_PIXELS, rng)
        std = images.std(axis=(0, 2, 3), dtype=np.float64)
        moments.append((images.mean(axis=(0, 2, 3), dtype=np.float64), np.maximum(std, 1e-6)))
    (our_mean, our_std), (their_mean, their_std) = moments
    gains = their_std / our_std
    return MomentMap(gains, their_mean - gains * our_mean)


def fit_histogram(source: ClassFields, target: ClassFields, seed: int) -> SlicedTransport:
    """Fit the map of every channel's histogram to that of the target class: one layer of single pixels."""
    plan = TransportPlan(sides=(1,), mixes=(False,))
    return fit_transport(source, target, plan=plan, seed=seed, shrink=0)


def fit_nearest(source: ClassFields, target: ClassFields, seed: int) -> NearestField:
    """Keep fields of the target class, at most 2^21 pixels: 13 MB for three channels."""
    rng = np.random.default_rng(seed)
    ours = _coarse_features(source.read_sample(_MOMENT_PIXELS, rng)[0])
    images, _ = target.read_sample(_NEAREST_PIXELS, rng)
    theirs = _coarse_features(images)
    ours_std, theirs_std = (np.maximum(each.std(axis=0), 1e-6) for each in (ours, theirs))
    features = (theirs - theirs.mean(axis=0)) / theirs_std
    return NearestField(images.astype(np.float16), features, ours.mean(axis=0), ours_std)


REFERENCES: dict[str, Reference] = {
    "nothing": Reference(fit_no_change, NoChange.from_arrays),
    "moments": Reference(fit_moments, MomentMap.from_arrays),
    "histogram": Reference(fit_histogram, SlicedTransport.from_arrays),
    "nearest": Reference(fit_nearest, NearestField.from_arrays),
}


def _coarse_features(images: Images) -> Floats:
    """Means in a 4 x 4 grid and spreads of the channels of images (N, C, H, W), shape (N, 17 C)."""
    count, channels, height, width = images.shape
    if height % _GRID or width % _GRID:
        raise LeighError(
            f"Fields are of {height} x {width} pixels, no multiples of {_GRID}; choose another image size."
        )
    cut = images.reshape(count, channels, _GRID, height // _GRID, _GRID, width // _GRID)
    means, spreads = cut.mean(axis=(3, 5)).reshape(count, -1), images.std(axis=(2, 3))
    return np.concatenate([means, spreads], axis=1).astype(np.float32)


def _check_shape(images: Images, shape: tuple[int, ...]) -> None:
    if images.ndim != 4 or images.shape[1:] != shape:
        raise LeighError(f"The map is of images of shape {shape}, those here of {images.shape[1:]}; give such images.")


def _expect_names(arrays: Arrays, *names: str) -> Arrays:
    if set(arrays) != set(names):
        raise LeighError(f"The stored map has the arrays {sorted(arrays)} in place of {sorted(names)}; train again.")
    return arrays
