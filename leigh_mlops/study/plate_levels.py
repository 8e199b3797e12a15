"""Levels of new plates for a model that is scaled by controls, from the plates' own negative controls."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.images import ControlFields, ControlReference, IntensityScale, adjustment
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.device import default_device
from leigh_mlops.models.plate_statistics import PlateStatistics, measure_statistics
from leigh_mlops.models.tensor_files import read_arrays, write_arrays
from leigh_mlops.plates import EXCLUDED_BY_DEFAULT, leave_out_treated
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.study.evaluation import training_mask
from leigh_mlops.study.field_width import match_field_width
from leigh_mlops.study.prepare import add_flags, add_pixels
from leigh_mlops.training import PreparedData

__all__ = [
    "PlateLevels",
    "load_statistics",
    "measure_plates",
    "save_statistics",
    "stored_excluded_flaws",
    "was_trained_on_compounds",
]


@dataclass(frozen=True)
class PlateLevels:
    """Levels of the plates of a table for a package, from the plates' own negative controls.

    They equal those of an evaluation on the same table: every image is read once, since flaws, for which a control is
    left out, are found by comparing fields. Nothing is read for a package that needs no controls.

    Attributes:
        package: The package.
        table: Image table.
        console: Console for messages.
    """

    package: ModelPackage
    table: pd.DataFrame
    console: Console

    @cached_property
    def adjustments(self) -> dict[str, list[list[float]]] | None:
        """Offset and gain of each channel by plate; ``None`` for a package that is not scaled by controls.

        Raises:
            LeighError: A plate has no negative control well that can be read.
        """
        if (reference := self._reference) is None:
            return None
        levels = self._data.control_levels(training_mask(self.package, self._data))
        if absent := sorted(set(self.table[Metadata.PLATE].astype(str)) - set(levels)):
            raise LeighError(
                f"The model is scaled by negative controls, but plate {absent[0]} has no readable ones; add "
                "pert_type=negcon to its plate map."
            )
        return {plate: adjustment(reference, level).tolist() for plate, level in levels.items()}

    @cached_property
    def statistics(self) -> dict[str, dict[str, Tensor]] | None:
        """Statistics by which the network is adapted to each plate, as of `measure_statistics`; ``None`` if it is not.

        Raises:
            LeighError: A plate has too few fields of negative controls.
        """
        if not self.package.is_adapted:
            return None
        data, known = self._data, training_mask(self.package, self._data)
        if self._reference is not None:
            data = data.scale_by_controls(known, self._reference)
        return measure_plates(self.package, data, data.plate_controls(known, every_plate=True))

    @property
    def _reference(self) -> ControlReference | None:
        return IntensityScale.from_json(self.package.scale).controls

    @cached_property
    def _data(self) -> PreparedData:
        """The table at the size of the package, with the flaws of its fields."""
        spec = self.package.model.spec
        table = match_field_width(self.package, self.table)
        labelled = table if was_trained_on_compounds(self.package) else leave_out_treated(table)
        data = add_pixels(labelled, self.package.channels, spec.classes, spec.image_size, self.console)
        return add_flags(data, stored_excluded_flaws(self.package), self.console)


def measure_plates(package: ModelPackage, data: PreparedData, controls: ControlFields) -> dict[str, dict[str, Tensor]]:
    """Statistics of a package's network for the controls of each plate, by the name of the plate."""
    names = data.table[Metadata.PLATE].astype(str).to_numpy(str)
    scale, found = IntensityScale.from_json(package.scale), {}
    home = next(package.model.parameters()).device
    package.model.to(default_device())
    try:
        for number, rows in controls.rows.items():
            (batch,) = data.batches_from_rows(rows, scale, len(rows))
            measured = measure_statistics(package.model, batch.images)
            plate = str(names[controls.plates == number][0])
            found[plate] = {name: tensor.cpu() for name, tensor in measured.items()}
    finally:
        package.model.to(home)
    return found


def save_statistics(path: Path, statistics: Mapping[str, PlateStatistics]) -> None:
    """Write statistics of plates."""
    write_arrays(path, {
        json.dumps([plate, name]): tensor.numpy()
        for plate, tensors in statistics.items() for name, tensor in tensors.items()
    })  # fmt: skip


def load_statistics(path: Path) -> dict[str, dict[str, Tensor]] | None:
    """Read statistics of plates; ``None`` if there is no file.

    Raises:
        LeighError: The file is damaged.
    """
    if not path.exists():
        return None
    found: dict[str, dict[str, Tensor]] = {}
    for key, array in read_arrays(path).items():
        plate, name = json.loads(key)
        found.setdefault(plate, {})[name] = torch.from_numpy(array)
    return found


def stored_excluded_flaws(package: ModelPackage) -> tuple[str, ...]:
    """Flaws for which fields were left out when a package was made; the default rule if they are not stored."""
    return tuple(package.about.get("exclude", EXCLUDED_BY_DEFAULT))


def was_trained_on_compounds(package: ModelPackage) -> bool:
    """Return whether treated wells count as labelled for a package; not where it does not say so."""
    return bool(package.about.get("train_on_compounds", False))
