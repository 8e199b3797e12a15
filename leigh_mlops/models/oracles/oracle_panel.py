"""A panel of independent classifiers, as plain arrays."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale, texture_features, texture_names
from leigh_mlops.models.baseline import Baseline
from leigh_mlops.models.oracles.oracle_networks import OracleNetwork, build_cnn, build_resnet

__all__ = ["NETWORKS", "ORACLES", "OraclePanel", "mean_pool"]

_MOST_PX = 112
_LEAST_PX = 17  # texture is measured at distances of up to 16 px
_CHUNK_FIELDS = 64
_COMPETENT = 0.5

Arrays = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

NETWORKS: dict[str, Callable[[int, int], OracleNetwork]] = {"cnn": build_cnn, "resnet": build_resnet}
ORACLES = (*NETWORKS, "forest")
"""Names of the classifiers of every panel."""


@dataclass(frozen=True, eq=False)
class OraclePanel:
    """Three independent classifiers over K classes, after the oracle score of ECINN (Hvilshøj et al. 2021).

    Two networks see the images, mean-pooled to at most 112 px; the forest sees intensity and texture
    at full size. None of them takes part in making a counterfactual.

    Attributes:
        classes: Names of the K classes.
        image_size: Height and width of the images in pixels.
        scale: Intensity scale of the networks' images.
        networks: The networks by name, in eval mode.
        forest: Classifier of :func:`leigh_mlops.images.texture_features`.
        ceiling: For each oracle, the share of real validation fields of each class that it predicts as
            that class, shape (K,).
    """

    classes: tuple[str, ...]
    image_size: tuple[int, int]
    scale: IntensityScale
    networks: dict[str, OracleNetwork]
    forest: Baseline
    ceiling: dict[str, Doubles]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the oracles."""
        return ORACLES

    @property
    def competent(self) -> tuple[str, ...]:
        """Names of the oracles that distinguish real validation fields.

        Their balanced accuracy is at least half-way from chance, 1 / K, to 1.
        """
        chance = 1 / len(self.classes)
        return tuple(name for name in ORACLES if self.ceiling[name].mean() - chance >= _COMPETENT * (1 - chance))

    def log_probs(self, raw: Floats) -> dict[str, Doubles]:
        """Natural log-probabilities (N, K) by each oracle.

        Args:
            raw: Raw intensities, shape (N, C, H, W).

        Raises:
            LeighError: The images are of another shape than those of the training, or not finite.
        """
        shape = (len(self.scale.mean), *self.image_size)
        if raw.ndim != 4 or raw.shape[1:] != shape:
            raise LeighError(
                f"The independent classifiers are of images of shape {shape}, those here are of {raw.shape[1:]}; "
                "give such images."
            )
        if not np.isfinite(raw).all():
            raise LeighError("An image has values that are not finite; exclude the field.")
        chunks = [raw[start : start + _CHUNK_FIELDS] for start in range(0, max(len(raw), 1), _CHUNK_FIELDS)]
        found = [self._chunk_log_probs(chunk.astype(np.float32)) for chunk in chunks]
        return {name: np.concatenate([each[name] for each in found]) for name in ORACLES}

    def _chunk_log_probs(self, raw: Floats) -> dict[str, Doubles]:
        images = self.scale.apply(mean_pool(raw))
        by_networks = {name: network.log_probs(images) for name, network in self.networks.items()}
        return by_networks | {"forest": self.forest.log_probs(texture_features(raw, self.scale.full_scale))}

    def to_arrays(self) -> Arrays:
        """Return the panel without the names of its classes as plain numeric arrays."""
        parts = {name: network.to_arrays() for name, network in self.networks.items()}
        parts["forest"] = self.forest.to_arrays()
        parts["panel"] = {
            "image_size": np.array(self.image_size, np.int64),
            "full_scale": np.array([self.scale.full_scale], np.int64),
            "mean": np.array(self.scale.mean),
            "std": np.array(self.scale.std),
            "ceiling": np.stack([self.ceiling[name] for name in ORACLES]),
        }
        return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays, classes: Sequence[str]) -> "OraclePanel":
        """Create a panel from the arrays of :meth:`to_arrays`.

        Args:
            arrays: The arrays by name.
            classes: Names of the K classes, in the order of the training.

        Raises:
            LeighError: An array is missing, unknown or damaged, or they do not fit each other or the classes.
        """
        parts: dict[str, Arrays] = defaultdict(dict)
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = array
            _expect(array.dtype.kind in "if" and bool(np.isfinite(array).all()))
        _expect(set(parts) == {"panel", *ORACLES})
        scale, image_size, ceiling = _panel_facts(parts["panel"], len(classes))
        forest = Baseline.from_arrays(parts["forest"])
        features = len(texture_names(["channel"] * len(scale.mean)))
        _expect(forest.classes_count == len(classes) and forest.scorer.accepts_features(features))
        networks = {name: build(len(scale.mean), len(classes)).eval() for name, build in NETWORKS.items()}
        for name, network in networks.items():
            network.load_arrays(parts[name])
        return cls(tuple(classes), image_size, scale, networks, forest, dict(zip(ORACLES, ceiling, strict=True)))


def mean_pool(raw: Floats) -> Floats:
    """Mean over blocks of pixels, the smallest with which both sides are at most 112 px; shape (N, C, h, w)."""
    count, channels, height, width = raw.shape
    side = next(
        side
        for side in range(1, max(height, width) + 1)
        if max(height, width) <= _MOST_PX * side and not (height % side or width % side)
    )
    blocks = raw.reshape(count, channels, height // side, side, width // side, side)
    return raw if side == 1 else blocks.mean(axis=(3, 5))


def _panel_facts(arrays: Arrays, classes_count: int) -> tuple[IntensityScale, tuple[int, int], Doubles]:
    """Scale, image size and ceilings of a stored panel."""
    kinds = {"image_size": "i", "full_scale": "i", "mean": "f", "std": "f", "ceiling": "f"}
    _expect({name: array.dtype.kind for name, array in arrays.items()} == kinds)
    size, full_scale, mean, std, ceiling = (arrays[name] for name in kinds)
    _expect(size.shape == (2,) and full_scale.shape == (1,) and mean.ndim == 1 and len(mean) > 0)
    _expect(bool((size >= _LEAST_PX).all() and full_scale[0] > 0 and std.shape == mean.shape and (std > 0).all()))
    _expect(ceiling.shape == (len(ORACLES), classes_count) and bool(((ceiling >= 0) & (ceiling <= 1)).all()))
    scale = IntensityScale("log", int(full_scale[0]), tuple(mean.tolist()), tuple(std.tolist()))
    return scale, (int(size[0]), int(size[1])), ceiling


def _expect(valid: bool) -> None:
    if not valid:
        raise LeighError("The stored independent classifiers are damaged or of other classes; train the model again.")
