"""Prepared data: a table with its split and classes, and its pixel cache."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import (
    ControlLevel,
    ControlReference,
    Failure,
    IntensityScale,
    PixelCache,
    adjust_cache,
    control_levels,
    fit_control_reference,
    fit_scale,
)
from leigh_mlops.images.batches import Augmentation, ControlFields, FieldBatches
from leigh_mlops.images.control_levels import FEWEST_CONTROLS, spread_rows
from leigh_mlops.plates import chosen_width, split_fingerprint
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.training.machine_paths import make_paths_absolute, open_local_cache, relative_path

__all__ = ["PARTS", "PreparedData"]

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class PreparedData:
    """Images of a trial, with their split, classes and intensity controls.

    Attributes:
        table: Image table with a column ``Metadata_Split``; rows as in the cache.
        channels: Channel names in the order of the axis C.
        classes: Class names; a label is an index into them.
        cache: Pixels at one image size.
        demo: Whether the plate was generated.
        starts: Local files of weights that trials may begin with, by address.
        controls: Level to which the negative controls of every plate are brought; ``None`` where
            intensities stay as acquired.
        group: ``well``, ``plate``, ``batch`` or ``donor``: the unit that the split does not divide.
        needs_labels: Whether rows without a class are left out; not so where no network of the study needs labels.
    """

    table: pd.DataFrame
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    cache: PixelCache
    demo: bool = False
    starts: dict[str, str] = field(default_factory=dict)
    controls: ControlReference | None = None
    group: str = "well"
    needs_labels: bool = True

    @property
    def labelled_data(self) -> "PreparedData":
        """The same data without the rows that have no class, as classifiers use them."""
        return self if self.needs_labels else replace(self, needs_labels=True)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Fields that could not be read, and are in no part."""
        return self.cache.failures

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return int(self.cache.pixels.shape[-1])

    @property
    def wells(self) -> npt.NDArray[np.str_]:
        """``plate/B03`` of every row, shape (N,)."""
        return (self.table[Metadata.PLATE].astype(str) + "/" + self.table[Metadata.WELL].astype(str)).to_numpy(str)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class index of every row, shape (N,); -1 where it has none of the classes."""
        index = {name: number for number, name in enumerate(self.classes)}
        return np.asarray(self.table[Metadata.CONDITION].map(index).fillna(-1), dtype=np.int64)

    def rows(self, part: str | None = None) -> npt.NDArray[np.int64]:
        """Readable rows of one part, or of all, labelled where needed, without those that are excluded for a flaw."""
        chosen = (self.labels >= 0) | (not self.needs_labels)
        if Metadata.EXCLUDED in self.table:
            chosen &= ~self.table[Metadata.EXCLUDED].to_numpy(bool)
        chosen[[failure.row for failure in self.failures]] = False
        if part is not None:
            chosen &= (self.table[Metadata.SPLIT] == part).to_numpy(bool, na_value=False)
        return np.flatnonzero(chosen)

    def lacking_class(self, part: str) -> str | None:
        """Name of a class of which a part has no usable row, or ``None``; where no label is needed, ``""`` if empty."""
        rows = self.rows(part)
        if not self.needs_labels:
            return None if len(rows) else ""
        present = set(self.labels[rows].tolist())
        return next((name for number, name in enumerate(self.classes) if number not in present), None)

    def scale(self, transform: str) -> IntensityScale:
        """Intensity scale of the training wells."""
        fitted = fit_scale(self.cache, self.rows("train"), "log" if transform == "log" else "linear")
        return replace(fitted, controls=self.controls)

    def scale_by_controls(
        self, known: npt.NDArray[np.bool_], reference: ControlReference | None = None
    ) -> "PreparedData":
        """Return the same data with every plate brought to one level by its own negative controls.

        Args:
            known: Fields on which the model is trained, shape (N,).
            reference: The model's level; ``None`` takes the mean over the plates with known fields.

        Raises:
            LeighError: A plate has no negative control well that may be measured.
        """
        plates = self.table[Metadata.PLATE].astype(str)
        levels = self.control_levels(known)
        if reference is None:
            reference = fit_control_reference({plate: levels[plate] for plate in levels if plate in set(plates[known])})
        cache = adjust_cache(self.cache, list(plates), levels, reference)
        return replace(self, cache=cache, controls=reference)

    def control_levels(self, known: npt.NDArray[np.bool_]) -> dict[str, ControlLevel]:
        """Level of the negative controls of each plate that has some.

        On a plate of which the model knows some fields, the controls among them alone are measured:
        those of a validation or test well are evaluated, and may not serve as reference.

        Args:
            known: Fields on which the model is trained, shape (N,).

        Raises:
            LeighError: The model knows fields of a plate, but none of its negative controls.
        """
        rows, idle = self._control_rows(known)
        if idle:
            raise LeighError(
                f"plate {idle[0]} has negative controls, but none among the training wells; train with another --seed "
                "or --group, or scale by training wells."
            )
        return control_levels(self.cache, rows)

    def plate_controls(self, known: npt.NDArray[np.bool_] | None = None, *, every_plate: bool = False) -> ControlFields:
        """Controls by which a network is adapted to each plate: at most 32 fields, spread over the plate's controls.

        As in :meth:`control_levels`, on a plate of which the model knows some fields, the controls among them alone.

        Args:
            known: Fields on which the model is trained, shape (N,); by default those of the training part.
            every_plate: Whether plates without labelled fields need controls, too.

        Raises:
            LeighError: A plate that needs them has fewer than 4 such fields of controls.
        """
        if known is None:
            known = (self.table[Metadata.SPLIT] == "train").to_numpy(bool, na_value=False)
        rows, _ = self._control_rows(known)
        names, numbers = np.unique(self.table[Metadata.PLATE].astype(str).to_numpy(str), return_inverse=True)
        needed = set(numbers.tolist() if every_plate else numbers[self.rows()].tolist())
        for number, name in enumerate(names):
            if number in needed and len(rows[str(name)]) < FEWEST_CONTROLS:
                raise LeighError(
                    f"plate {name} has {len(rows[str(name)])} fields of negative controls that may serve to adapt the "
                    f"network to it, and {FEWEST_CONTROLS} are needed; add pert_type=negcon to its plate map, or train "
                    "with adaptation none."
                )
        chosen = {number: spread_rows(rows[str(name)]) for number, name in enumerate(names) if len(rows[str(name)])}
        return ControlFields(numbers.astype(np.int64), chosen)

    def count_training_plates(self) -> int:
        """Number of plates with training fields."""
        return int(self.table[Metadata.PLATE].iloc[self.rows("train")].nunique())

    def _control_rows(self, known: npt.NDArray[np.bool_]) -> tuple[dict[str, npt.NDArray[np.int64]], list[str]]:
        """Rows of the controls of each plate that may serve, and the plates of which the model knows none of them."""
        usable = (self.table.get(Metadata.CONTROL, pd.Series("", index=self.table.index)) == "negcon").to_numpy(
            bool, copy=True
        )
        usable[[failure.row for failure in self.failures]] = False
        if Metadata.EXCLUDED in self.table:
            usable &= ~self.table[Metadata.EXCLUDED].to_numpy(bool)
        plates = self.table[Metadata.PLATE].astype(str).to_numpy(str)
        trained = np.isin(plates, np.unique(plates[known]))
        rows = {
            str(plate): np.flatnonzero((plates == plate) & usable & (known | ~trained)) for plate in np.unique(plates)
        }
        return rows, [str(plate) for plate in np.unique(plates[trained & usable]) if not len(rows[str(plate)])]

    def batches(
        self,
        part: str,
        scale: IntensityScale,
        batch_size: int,
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        controls: ControlFields | None = None,
    ) -> FieldBatches:
        """Batches over one part, in episodes of one plate where controls are given."""
        rows = self.rows(part)
        return self.batches_from_rows(rows, scale, batch_size, augmentation=augmentation, seed=seed, controls=controls)

    def batches_from_rows(
        self,
        rows: npt.NDArray[np.int64],
        scale: IntensityScale,
        batch_size: int,
        *,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        controls: ControlFields | None = None,
    ) -> FieldBatches:
        """Batches over some rows, in episodes of one plate where controls are given."""
        pinned = torch.cuda.is_available()
        labels = self.labels[rows]
        return FieldBatches(
            self.cache, rows, labels, scale, batch_size, augmentation, seed, pinned=pinned, controls=controls
        )

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify pixels, width and classes of fields, whatever the files are called."""
        pairs = sorted(zip(self.cache.digests.tolist(), self.labels.tolist(), strict=True))
        content: list[object] = [pairs, self.classes, self.channels]
        if (width_um := chosen_width(self.table)) is not None:
            content.append(width_um)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def split_fingerprint(self) -> str:
        """16 hexadecimal digits that identify the part of each well."""
        return split_fingerprint(self.table, self.table[Metadata.SPLIT])

    def rows_of_unseen_wells(self, *digests: npt.NDArray[np.uint64], part: str | None = "val") -> npt.NDArray[np.int64]:
        """Rows of those wells of a part, or of all, of which no field is among the given ones."""
        seen = np.isin(self.cache.digests, np.concatenate(digests))
        rows = self.rows(part)
        return rows[~np.isin(self.wells[rows], np.unique(self.wells[seen]))]

    def drop_seen_wells(self, trained: npt.NDArray[np.uint64], chosen: npt.NDArray[np.uint64]) -> "PreparedData":
        """Return the same data without validation and test wells that earlier weights have seen.

        Args:
            trained: Digests of fields on which those weights were trained; their
                wells leave validation and test.
            chosen: Digests of fields on which those weights were selected; their wells leave the test part.
        """
        split = self.table[Metadata.SPLIT].copy()
        for digests, parts in ((trained, ("val", "test")), (chosen, ("test",))):
            touched = np.unique(self.wells[np.isin(self.cache.digests, digests)])
            split[np.isin(self.wells, touched) & split.isin(parts)] = None
        return replace(self, table=self.table.assign(Metadata_Split=split))

    def save(self, folder: Path) -> None:
        """Write all that a worker, perhaps on another machine, needs to find the same data; pixels stay in the cache.

        Image files get absolute paths, which the other machine must have, too. Starting weights that
        lie in the parent folder of this one, or below it, get paths relative to this one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        make_paths_absolute(self.table).to_parquet(folder / "table.parquet")
        about = {
            "cache": str(self.cache.folder.absolute()),
            "image_size": self.image_size,
            "channels": self.channels,
            "classes": self.classes,
            "demo": self.demo,
            "starts": {address: relative_path(folder, Path(path)) for address, path in self.starts.items()},
            "controls": asdict(self.controls) if self.controls else None,
            "group": self.group,
            "needs_labels": self.needs_labels,
        }
        np.save(folder / "digests.npy", self.cache.digests)
        if self.cache.adjust is not None:
            np.save(folder / "adjust.npy", self.cache.adjust)
        (folder / "data.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path) -> "PreparedData":
        """Read what :meth:`save` wrote; where the pixel cache does not lie on this machine, it is built first.

        Raises:
            LeighError: This machine's image files are others, or its cache can't be written.
        """
        about = json.loads((folder / "data.json").read_text())
        table, channels = pd.read_parquet(folder / "table.parquet"), tuple(about["channels"])
        digests, adjust, level = np.load(folder / "digests.npy"), folder / "adjust.npy", about["controls"]
        cache = open_local_cache(Path(about["cache"]), table, channels, about["image_size"], digests)
        return cls(
            table=table,
            channels=channels,
            classes=tuple(about["classes"]),
            cache=replace(cache, adjust=np.load(adjust)) if adjust.exists() else cache,
            demo=about["demo"],
            starts={address: str(folder / path) for address, path in about["starts"].items()},
            controls=ControlReference(tuple(level["mean"]), tuple(level["std"])) if level else None,
            group=about["group"],
            needs_labels=about.get("needs_labels", True),
        )
