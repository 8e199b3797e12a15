"""Fit of a transport between two classes: multi-scale sliced optimal transport.

After iterative distribution transfer (Pitié, Kokaram and Dahyot 2007) and sliced iterative flows on patches (Dai and
Seljak 2021). Ours takes DCT coefficients of shifted blocks, or the principal directions of these blocks, as directions
in place of random or trained ones, rotates the channels at random, and shrinks each map by what random halves of the
wells of one class differ.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport.block_transform import BlockTransform, dct_matrix
from leigh_mlops.models.transport.class_fields import ClassFields
from leigh_mlops.models.transport.quantile_maps import MapTables, QuantileMaps, fit_quantile_maps, quantiles
from leigh_mlops.models.transport.sliced_transport import SlicedTransport, apply_layer

__all__ = ["TransportPlan", "fit_transport"]

_CHUNK_NUMBERS = 2**20
_TAIL = 0.01

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TransportPlan:
    """Layers of a transport, and how much data each is fitted on.

    Attributes:
        sides: Block side of every layer in pixels.
        mixes: Whether a layer rotates the channels at random; others keep them apart. The first one keeps them apart,
            so that each channel has the target's levels before textures are fitted: otherwise the little noise of a
            dark background is raised with the signal.
        principal: Whether a layer maps the principal directions of both classes' blocks, all channels together, and not
            their coefficients; no layer where it is empty.
        knots: Knots K of each map, about a tenth of them within each outer per cent.
        max_pixels: Pixels of each class that are read and held: memory is at most 8 C bytes for each, and
            about 500 MB beside.
        sample_numbers: Coefficients of each class that a layer is fitted on, but at least ``min_blocks`` blocks.
        min_blocks: Fewest blocks that a layer is fitted on, where there are so many.
    """

    sides: tuple[int, ...] = (*(1, 8, 4, 2, 16, 4, 8, 2) * 2, 8, 4, 2, 1)
    mixes: tuple[bool, ...] = (*(False, *(True,) * 7) * 2, *(True,) * 3, False)
    principal: tuple[bool, ...] = ()
    knots: int = 160
    max_pixels: int = 2**23
    sample_numbers: int = 2**22
    min_blocks: int = 20_000

    def __post_init__(self) -> None:
        if len(self.sides) != len(self.mixes) or not all(1 <= side <= 32 for side in self.sides):
            raise ValueError(f"layers have sides {self.sides} and mixes {self.mixes}; give both, sides from 1 to 32")
        if self.principal and len(self.principal) != len(self.sides):
            raise ValueError(f"{len(self.sides)} layers have {len(self.principal)} entries of principal; give one each")
        if self.knots < 8 or min(self.max_pixels, self.sample_numbers, self.min_blocks) < 1:
            raise ValueError(f"{self} can't be fitted; give at least 8 knots, and numbers above 0")

    @property
    def probabilities(self) -> Doubles:
        """Probabilities of the K quantiles, from 0 to 1, dense at both ends."""
        outer = max(self.knots // 10 + 1, 3)
        tail = np.linspace(0, _TAIL, outer)[:-1]
        inner = np.linspace(_TAIL, 1 - _TAIL, self.knots - 2 * len(tail))
        return np.concatenate([tail, inner, 1 - tail[::-1]])


class _Turn(NamedTuple):
    """Orthogonal transform of one layer, see `SlicedTransport`."""

    side: int
    shift: tuple[int, ...]
    rotation: Doubles
    directions: Doubles | None


class _Sample:
    """Images of one class as transported so far, and which half of the wells each is of."""

    def __init__(self, fields: ClassFields, plan: TransportPlan, rng: np.random.Generator) -> None:
        self.images, wells = fields.read_sample(plan.max_pixels, rng)
        names, self._well = np.unique(wells, return_inverse=True)
        if len(names) == 1:  # its fields stand in for wells
            self._well = np.arange(len(wells))
        self._wells_count = int(self._well.max()) + 1
        self._plan = plan

    def coefficients(self, transform: BlockTransform, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Coefficients (C p^2, n) of random blocks, and whether each is of one random half of the wells."""
        count, channels, height, width = self.images.shape
        blocks = (height // transform.side) * (width // transform.side)
        sample_size = max(self._plan.sample_numbers // (channels * transform.side**2), self._plan.min_blocks)
        chosen = np.sort(rng.choice(count * blocks, min(sample_size, count * blocks), replace=False))
        step, parts = self._step, []
        for start in range(0, count, step):
            low, high = np.searchsorted(chosen, [start * blocks, (start + step) * blocks])
            columns = torch.from_numpy(chosen[low:high] - start * blocks)
            chunk = torch.from_numpy(self.images[start : start + step])
            parts.append(transform.to_coefficients(chunk, columns).numpy())
        is_first = rng.permutation(self._wells_count) < self._wells_count / 2
        return np.concatenate(parts, axis=1), is_first[self._well[chosen // blocks]]

    def advance(self, transform: BlockTransform, maps: QuantileMaps) -> None:
        """Replace the images by those after one more layer."""
        tables = MapTables(maps, torch.float32)
        for start in range(0, len(self.images), self._step):
            chunk = torch.from_numpy(self.images[start : start + self._step])
            self.images[start : start + self._step] = apply_layer(transform, tables, chunk).numpy()

    @property
    def _step(self) -> int:
        return max(_CHUNK_NUMBERS // int(np.prod(self.images.shape[1:])), 1)


def fit_transport(
    source: ClassFields, target: ClassFields, *, plan: TransportPlan | None = None, seed: int = 0, shrink: float = 1.0
) -> SlicedTransport:
    """Fit the transport from one class to another on their training fields.

    A layer's maps take the quantiles of the source's coefficients, as transported so far, to those of the
    target's. Each goes the share 1 - shrink * null / effect of the way, at least 0 and at most 0.99, where effect is
    the root mean square difference of the two classes' quantiles, and null that of random halves of the wells of one
    class, root mean square over both classes. So a map that only follows chance goes no way at all.

    Args:
        source: Training fields of the class to lead from.
        target: Training fields of the class to lead to; of the same shape.
        plan: Layers and sizes of samples; the default ones where ``None``.
        seed: Of shifts, rotations, samples and halves. Shifts and rotations are the same for any fields.
        shrink: 0 goes the whole way always.

    Raises:
        LeighError: Images of the two classes differ in shape, or their sides are no multiples of the blocks'.
        ValueError: ``shrink`` is below 0.
    """
    if not shrink >= 0:
        raise ValueError(f"shrink is {shrink}; give 0 or more")
    plan = plan or TransportPlan()
    rng, turns = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    ours, theirs = _Sample(source, plan, rng), _Sample(target, plan, rng)
    _check_shapes(ours.images.shape, theirs.images.shape, plan, source.name, target.name)
    channels = ours.images.shape[1]
    transforms, layers = [], []
    for number, (side, is_mixed) in enumerate(zip(plan.sides, plan.mixes, strict=True)):
        rotation = _random_rotation(channels, turns) if is_mixed else np.eye(channels)
        shift = tuple(turns.integers(0, side, 2).tolist())
        basis = torch.from_numpy(dct_matrix(side)).float()
        transform = BlockTransform(side, shift, torch.from_numpy(rotation).float(), basis)
        directions = None
        if plan.principal and plan.principal[number]:
            directions = _principal_directions(ours, theirs, transform, rng)
            transform = replace(transform, directions=torch.from_numpy(directions).float())
        maps = _fit_layer(ours, theirs, transform, plan.probabilities, shrink, rng)
        ours.advance(transform, maps)
        transforms.append(_Turn(side, shift, rotation, directions))
        layers.append(maps)
    return _assemble(transforms, layers, channels)


def _fit_layer(
    ours: _Sample,
    theirs: _Sample,
    transform: BlockTransform,
    probabilities: Doubles,
    shrink: float,
    rng: np.random.Generator,
) -> QuantileMaps:
    weights = np.gradient(probabilities)
    found, nulls = [], []
    for sample in (ours, theirs):
        numbers, is_first = sample.coefficients(transform, rng)
        found.append(quantiles(numbers, probabilities))
        if shrink and 0 < is_first.sum() < len(is_first):
            halves = [quantiles(numbers[:, some], probabilities) for some in (is_first, ~is_first)]
            nulls.append(_mean_square(halves[1] - halves[0], weights))
    effect = _mean_square(found[1] - found[0], weights)
    null = np.mean(nulls, axis=0) if nulls else np.zeros_like(effect)
    ratio = np.sqrt(null / np.maximum(effect, np.finfo(np.float64).tiny))
    return fit_quantile_maps(found[0], found[1], np.clip(1 - shrink * ratio, 0, 1))


def _mean_square(differences: Doubles, weights: Doubles) -> Doubles:
    mean: Doubles = np.square(differences) @ (weights / weights.sum())
    return mean


def _check_shapes(
    ours: tuple[int, ...], theirs: tuple[int, ...], plan: TransportPlan, source: str, target: str
) -> None:
    if ours[1:] != theirs[1:]:
        raise LeighError(
            f"Fields of {source} are of shape {ours[1:]} and those of {target} of {theirs[1:]}; "
            "give fields of one shape."
        )
    multiple = int(np.lcm.reduce(plan.sides)) if plan.sides else 1
    if any(side % multiple for side in ours[2:]):
        raise LeighError(
            f"Fields are of {ours[2]} x {ours[3]} pixels, and the transport's blocks need multiples of {multiple}; "
            "choose another image size."
        )


def _random_rotation(channels: int, rng: np.random.Generator) -> Doubles:
    """Draw an orthogonal matrix uniformly."""
    q, r = np.linalg.qr(rng.normal(size=(channels, channels)))
    rotation: Doubles = q * np.sign(np.diag(r))
    return rotation


def _principal_directions(
    ours: _Sample, theirs: _Sample, transform: BlockTransform, rng: np.random.Generator
) -> Doubles:
    """Eigenvectors, as rows, of the mean of both classes' covariances of the coefficients of a block."""
    covariances = [np.cov(sample.coefficients(transform, rng)[0], dtype=np.float64) for sample in (ours, theirs)]
    vectors: Doubles = np.linalg.eigh(np.atleast_2d(np.mean(covariances, axis=0)))[1]
    return vectors.T


def _assemble(transforms: list[_Turn], layers: list[QuantileMaps], channels: int) -> SlicedTransport:
    turns = {number: each.directions for number, each in enumerate(transforms) if each.directions is not None}
    return SlicedTransport(
        sides=np.array([each.side for each in transforms], np.int64),
        shifts=np.array([each.shift for each in transforms], np.int64).reshape(-1, 2),
        rotations=np.array([each.rotation for each in transforms]).reshape(-1, channels, channels),
        lows=np.concatenate([maps.lows for maps in layers]),
        widths=np.concatenate([maps.widths for maps in layers]),
        cells=np.concatenate([maps.cells for maps in layers]),
        values=np.concatenate([maps.values for maps in layers]),
        turned=np.array(list(turns), np.int64),
        directions=np.concatenate([np.zeros(0), *(each.ravel() for each in turns.values())]),
    )
