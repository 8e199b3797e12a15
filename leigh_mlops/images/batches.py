"""Batches of fields, augmented and scaled, in an order that depends on seed and epoch alone."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from leigh_mlops.images.augmentation import Augmentation, Variation, warp
from leigh_mlops.images.cache import PixelCache
from leigh_mlops.images.division import Division, Portion
from leigh_mlops.images.pixel_transforms import PixelTransforms
from leigh_mlops.images.scale import IntensityScale

if TYPE_CHECKING:
    import torch

__all__ = ["Augmentation", "Batch", "FieldBatches", "ControlFields", "derived_seed", "transform_field"]

_ALONE = Division()


@dataclass(frozen=True)
class Batch:
    """Some fields: images (n, C, S, S) float32 in network units, labels (n,), row numbers (n,).

    A batch of an episode has fields of one plate, and ``controls`` (m, C, S, S), negative controls of this plate.
    Where several processes divide a batch, ``portion`` says which of its fields these are.
    """

    images: "torch.Tensor"
    labels: "torch.Tensor"
    rows: npt.NDArray[np.int64]
    controls: "torch.Tensor | None" = None
    portion: Portion | None = None


@dataclass(frozen=True)
class ControlFields:
    """Fields by which a network is adapted to each plate.

    Attributes:
        plates: Number of the plate of every row of the cache, shape (N,).
        rows: Rows of the negative controls of each plate by its number, each of shape (m,).
    """

    plates: npt.NDArray[np.int64]
    rows: Mapping[int, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class FieldBatches:
    """Batches over some rows of a cache.

    Attributes:
        cache: The pixel cache.
        rows: Row numbers, shape (n,).
        labels: Class indices of the same fields, shape (n,); -1 where unknown.
        scale: Map from raw intensities to network units.
        batch_size: Fields in a batch; the last may be smaller.
        augmentation: ``None`` for none.
        seed: Seed of order and augmentation.
        workers: Threads that prepare batches while earlier ones are used, at
            most ``workers + 1`` batches ahead; 0 for none. The batches are the same.
        pinned: Whether batches lie in memory from which a GPU copies while the program goes on.
        controls: Controls of each plate; an epoch then has episodes, batches of one plate each with as many of the
            plate's controls as fields at most, drawn anew for each. ``None`` for batches over all plates.
        is_uniform: Whether an epoch shows each label equally often, in as many fields as there are; fields of small
            groups come several times, those of large ones not all.
    """

    cache: PixelCache
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    scale: IntensityScale
    batch_size: int
    augmentation: Augmentation | None = None
    seed: int = 0
    workers: int = 1
    pinned: bool = False
    controls: ControlFields | None = None
    is_uniform: bool = False

    def __len__(self) -> int:
        if self.controls is None:
            return math.ceil(len(self.rows) / self.batch_size)
        _, counts = np.unique(self.controls.plates[self.rows], return_counts=True)
        return int(np.ceil(counts / self.batch_size).sum())

    def epoch(self, number: int, division: Division = _ALONE) -> Iterator[Batch]:
        """The shuffled and augmented batches of one epoch, the same for the same seed and number.

        A last batch of one field is left out, since it has no batch statistics. Of processes that divide the batches
        each prepares its portion, and a batch that has not enough fields for all of them as a whole.
        """
        rng = np.random.default_rng(derived_seed(self.seed, number))
        order = self._uniform_order(rng) if self.is_uniform else rng.permutation(len(self.rows))
        if self.controls is not None:
            return self._episodes(rng, order, self.controls, number, division)
        drawn = self.augmentation.draw(rng, len(order), self.cache.pixels.shape[-1]) if self.augmentation else None
        parts = [part for part in self._parts() if part.stop - part.start > 1 or len(order) == 1]
        jobs = [partial(self._own_batch, order[part], part.start, drawn, number, division) for part in parts]
        return run_in_order(jobs, self.workers)

    def _own_batch(
        self, chosen: npt.NDArray[np.int64], start: int, drawn: Variation | None, number: int, division: Division
    ) -> Batch:
        if not division.divides(len(chosen)):
            return self._batch(chosen, slice(start, start + len(chosen)), drawn, number)
        own = division.share(len(chosen))
        batch = self._batch(chosen[own], slice(start + own.start, start + own.stop), drawn, number)
        return replace(batch, portion=division.portion(len(chosen)))

    def _uniform_order(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Positions, as many as there are rows, those of each label equally often but for one, in random order."""
        groups = [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]
        quotas = np.full(len(groups), len(self.rows) // len(groups))
        quotas[rng.permutation(len(groups))[: len(self.rows) % len(groups)]] += 1
        drawn = [
            np.concatenate([rng.permutation(own) for _ in range(math.ceil(quota / len(own)))] or [own[:0]])[:quota]
            for own, quota in zip(groups, quotas, strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))

    def _episodes(
        self,
        rng: np.random.Generator,
        order: npt.NDArray[np.int64],
        controls: ControlFields,
        number: int,
        division: Division,
    ) -> Iterator[Batch]:
        """Batches of one plate each, in random order, with controls of the plate, all of them augmented."""
        plates, episodes = controls.plates[self.rows[order]], []
        for plate in np.unique(plates):
            own = order[plates == plate]
            for start in range(0, len(own), self.batch_size):
                chosen, known = own[start : start + self.batch_size], controls.rows[int(plate)]
                episodes.append((chosen, rng.choice(known, min(self.batch_size, len(known)), replace=False)))
        places = np.cumsum([0, *(len(chosen) + len(known) for chosen, known in episodes)])
        size = self.cache.pixels.shape[-1]
        drawn = self.augmentation.draw(rng, int(places[-1]), size) if self.augmentation else None
        jobs = [
            partial(self._episode, episodes[episode], int(places[episode]), drawn, number, division)
            for episode in rng.permutation(len(episodes))
        ]
        return run_in_order(jobs, self.workers)

    def _episode(
        self,
        episode: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
        start: int,
        drawn: Variation | None,
        number: int,
        division: Division,
    ) -> Batch:
        chosen, controls = episode
        if not division.divides(len(chosen), len(controls)):
            division = _ALONE
        batch = self._own_batch(chosen, start, drawn, number, division)
        known = replace(self, rows=controls, labels=np.full(len(controls), -1, np.int64))
        shown = known._own_batch(np.arange(len(controls)), start + len(chosen), drawn, number, division)
        portion = batch.portion and division.portion(len(chosen), len(controls))
        return replace(batch, controls=shown.images, portion=portion)

    def by_plate(self) -> "Iterator[tuple[torch.Tensor, FieldBatches]]":
        """Images of the controls of each plate that has rows, and the batches over these rows, none of them augmented.

        Raises:
            ValueError: There are no controls.
        """
        if self.controls is None:
            raise ValueError("these batches know no controls; make them with the controls of their plates")
        plates = self.controls.plates[self.rows]
        for plate in np.unique(plates):
            rows = self.controls.rows[int(plate)]
            known = replace(
                self, rows=rows, labels=np.full(len(rows), -1, np.int64), batch_size=len(rows), controls=None
            )
            own = plates == plate
            yield (
                next(iter(known)).images,
                replace(self, rows=self.rows[own], labels=self.labels[own], controls=None),
            )

    def __iter__(self) -> Iterator[Batch]:
        """The batches in order, not augmented."""
        every = np.arange(len(self.rows))
        return run_in_order([partial(self._batch, every[part], part, None) for part in self._parts()], self.workers)

    def _parts(self) -> list[slice]:
        starts = range(0, len(self.rows), self.batch_size)
        return [slice(start, min(start + self.batch_size, len(self.rows))) for start in starts]

    def _batch(
        self, chosen: npt.NDArray[np.int64], part: slice, drawn: Variation | None, number: int | None = None
    ) -> Batch:
        import torch  # whoever reads images for their quality needs none

        rows = self.rows[chosen]
        made = torch.empty((len(rows), *self.cache.pixels.shape[1:]), pin_memory=self.pinned)
        labels = torch.empty(len(rows), dtype=torch.int64, pin_memory=self.pinned)
        images, labels.numpy()[:] = made.numpy(), self.labels[chosen]
        prepare = self._scale_counts if self.cache.adjust is None else self._scale_raw
        transforms = self.augmentation.transforms if self.augmentation else None
        for place, (row, image) in enumerate(zip(rows, images, strict=True)):
            if drawn is None:
                prepare(int(row), image, None, 1.0)
            else:
                position = part.start + place
                placement, factor = drawn.placements[position], float(drawn.factors[position])
                if transforms is None or number is None:
                    prepare(int(row), image, placement, factor)
                else:
                    # The row and not its position, so that the draws of a field do not depend on the other rows.
                    seed = derived_seed(self.seed, number, int(row), 1)
                    raw = transform_field(self.cache, int(row), placement, transforms, seed)
                    image[:] = self.scale.apply(self.cache.adjust_raw(raw[None], [row])[0] * np.float32(factor))
        return Batch(made, labels, rows)

    def _scale_counts(
        self, row: int, out: npt.NDArray[np.float32], placement: npt.NDArray[np.float64] | None, factor: float
    ) -> None:
        """Write one image in network units to ``out``, looked up by its counts."""
        counts = np.asarray(self.cache.pixels[row])
        planes = counts if placement is None else warp(counts, placement)
        for plane, table, channel in zip(planes, self._lookup_tables, out, strict=True):
            # A count beyond the type's range saturates, as a detector does.
            varied = plane if factor == 1 else cv2.addWeighted(plane, factor, plane, 0, 0)
            cv2.LUT(varied, table, channel)

    def _scale_raw(
        self, row: int, out: npt.NDArray[np.float32], placement: npt.NDArray[np.float64] | None, factor: float
    ) -> None:
        """Write one image in network units to ``out`` without a table, as raw intensities are adjusted row by row."""
        raw = self.cache.raw([row])[0]
        varied = raw if placement is None else np.stack(warp(raw, placement)) * np.float32(factor)
        out[:] = self.scale.apply(varied)

    @cached_property
    def _lookup_tables(self) -> npt.NDArray[np.float32]:
        """Network units of every count, shape (C, 65536)."""
        raw = np.arange(65536, dtype=np.float32) * np.float32(self.cache.unit)
        return self.scale.apply(np.tile(raw, (self.cache.pixels.shape[1], 1, 1)))[:, 0]


def transform_field(
    cache: PixelCache, row: int, placement: npt.NDArray[np.float64], transforms: PixelTransforms | None, seed: int
) -> npt.NDArray[np.float32]:
    """Return one field moved and transformed, raw intensities as acquired, (C, S, S), within the range of its files.

    Args:
        cache: The pixel cache.
        row: Row of the field.
        placement: Shape (2, 3), see :func:`affine_maps`.
        transforms: Transforms of the raw intensities.
        seed: Seed of their draws.
    """
    raw = np.stack(warp(cache.pixels[row].astype(np.float32) * np.float32(cache.unit), placement))
    return np.minimum(raw if transforms is None else transforms.apply(raw, seed), np.float32(cache.full_scale))


def run_in_order(jobs: Sequence[Callable[[], Batch]], workers: int) -> Iterator[Batch]:
    """Run jobs in threads and yield their batches in order; at most ``workers + 1`` are running or waiting."""
    if not workers:
        yield from (job() for job in jobs)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Batch]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also where the iterator is not exhausted
        pool.shutdown(cancel_futures=True)


def derived_seed(*numbers: int) -> int:
    """One seed from several numbers, the same everywhere; streams of different numbers are independent."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
