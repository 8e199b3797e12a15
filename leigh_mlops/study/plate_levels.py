"""Levels of new plates for a model that is scaled by controls, from the plates' own negative controls."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.images import ControlFields, IntensityScale, adjustment
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
    "load_statistics",
    "measure_plates",
    "plate_adjustments",
    "save_statistics",
    "statistics_by_plate",
    "stored_excluded_flaws",
    "was_trained_on_compounds",
]


def plate_adjustments(
    package: ModelPackage, table: pd.DataFrame, console: Console
) -> dict[str, list[list[float]]] | None:
    """Offset and gain of each channel by plate, from the plates' own negative controls.

    They equal those of an evaluation on the same table: every image is read once, since flaws, for
    which a control is left out, are found by comparing fields.

    Returns:
        ``None`` for a package that is not scaled by controls.

    Raises:
        LeighError: A plate has no negative control well that can be read.
    """
    controls = IntensityScale.from_json(package.scale).controls
    if controls is None:
        return None
    data = _read_plates(package, table, console)
    levels = data.control_levels(training_mask(package, data))
    if absent := sorted(set(table[Metadata.PLATE].astype(str)) - set(levels)):
        raise LeighError(
            f"The model is scaled by negative controls, but plate {absent[0]} has no readable ones; add "
            "pert_type=negcon to its plate map."
        )
    return {plate: adjustment(controls, level).tolist() for plate, level in levels.items()}


def _read_plates(package: ModelPackage, table: pd.DataFrame, console: Console) -> PreparedData:
    """Read a table at the size of a package, with the flaws of its fields."""
    spec, table = package.model.spec, match_field_width(package, table)
    if not was_trained_on_compounds(package):
        table = leave_out_treated(table)
    data = add_pixels(table, package.channels, spec.classes, spec.image_size, console)
    return add_flags(data, stored_excluded_flaws(package), console)


def statistics_by_plate(
    package: ModelPackage, table: pd.DataFrame, console: Console
) -> dict[str, dict[str, Tensor]] | None:
    """Statistics by which a network is adapted to each plate, from the plates' own negative controls.

    They equal those of an evaluation on the same table.

    Returns:
        By plate as of :func:`measure_statistics`; ``None`` for a package that is not adapted.

    Raises:
        LeighError: A plate has too few fields of negative controls.
    """
    if not package.is_adapted:
        return None
    data = _read_plates(package, table, console)
    known, reference = training_mask(package, data), IntensityScale.from_json(package.scale).controls
    if reference is not None:
        data = data.scale_by_controls(known, reference)
    return measure_plates(package, data, data.plate_controls(known, every_plate=True))


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
