"""Batches of fields, augmented and scaled, in an order that depends on seed and epoch alone."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from leigh_mlops.images.cache import PixelCache
from leigh_mlops.images.scale import IntensityScale

__all__ = ["Augmentation", "Batch", "FieldBatches", "derived_seed"]


@dataclass(frozen=True)
class Augmentation:
    """What is varied from epoch to epoch; the published work used flips and 10 degrees.

    Attributes:
        flip: Probability of each of the two flips.
        rotation_degrees: Largest rotation either way.
        quarter_turns: Rotate by a random multiple of 90 degrees.
        shift: Largest shift, as a share of the side.
        jitter: Largest relative change of all channels' intensity together.
    """

    flip: float = 0.5
    rotation_degrees: float = 10.0
    quarter_turns: bool = False
    shift: float = 0.0
    jitter: float = 0.0

    def compose(self, seed: int) -> Any:  # noqa: ANN401
        """The albumentations pipeline for (H, W, C) float32 in [0, 1].

        Borders are reflected: black corners would tell the network the angle.
        """
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its version
        import albumentations as A

        steps: list[Any] = [A.HorizontalFlip(p=self.flip), A.VerticalFlip(p=self.flip)]
        if self.quarter_turns:
            steps.append(A.RandomRotate90(p=1.0))
        if self.rotation_degrees or self.shift:
            steps.append(
                A.Affine(
                    rotate=(-self.rotation_degrees, self.rotation_degrees),
                    translate_percent=(-self.shift, self.shift),
                    border_mode=cv2.BORDER_REFLECT_101,
                    p=1.0,
                )
            )
        if self.jitter:
            steps.append(A.MultiplicativeNoise(multiplier=(1 - self.jitter, 1 + self.jitter), p=1.0))
        return A.Compose(steps, seed=seed)


@dataclass(frozen=True)
class Batch:
    """Some fields: images (n, C, S, S) float32 in network units, labels (n,), row numbers (n,)."""

    images: torch.Tensor
    labels: torch.Tensor
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True)
class FieldBatches:
    """Batches over some rows of a cache.

    Attributes:
        cache: The pixel cache.
        rows: Row numbers, shape (n,).
        labels: Class indices of the same fields, shape (n,); -1 where unknown.
        scale: From raw intensities to network units.
        batch_size: Fields in a batch; the last may be smaller.
        augmentation: ``None`` for none.
        seed: Of order and augmentation.
    """

    cache: PixelCache
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    scale: IntensityScale
    batch_size: int
    augmentation: Augmentation | None = None
    seed: int = 0

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The shuffled and augmented batches of one epoch, the same for the same seed and number.

        A last batch of one field is left out: batch statistics of one are none.
        """
        seed = derived_seed(self.seed, number)
        order = np.random.default_rng(seed).permutation(len(self.rows))
        augment = self.augmentation.compose(seed % 2**32) if self.augmentation else None
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            if len(chosen) > 1 or len(order) == 1:
                yield self._batch(chosen, augment)

    def __iter__(self) -> Iterator[Batch]:
        """The batches in order, not augmented."""
        for start in range(0, len(self.rows), self.batch_size):
            yield self._batch(np.arange(start, min(start + self.batch_size, len(self.rows))), None)

    def _batch(self, chosen: npt.NDArray[np.int64], augment: Any) -> Batch:  # noqa: ANN401
        raw = self.cache.raw(self.rows[chosen])
        if augment is not None:
            full = np.float32(self.cache.full_scale)
            planes = np.moveaxis(raw / full, 1, -1)
            varied = np.stack([augment(image=np.ascontiguousarray(image))["image"] for image in planes])
            raw = np.moveaxis(varied, -1, 1) * full
        images = torch.from_numpy(np.ascontiguousarray(self.scale.apply(raw), dtype=np.float32))
        return Batch(images, torch.from_numpy(self.labels[chosen]), self.rows[chosen])


def derived_seed(*numbers: int) -> int:
    """One seed from several numbers, the same everywhere; streams of different numbers are independent."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
