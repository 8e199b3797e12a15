"""Levels of new plates for a model that is scaled by controls, from the plates' own negative controls."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale, adjustment
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import EXCLUDED_BY_DEFAULT, leave_out_treated
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.study.prepare import add_flags, add_pixels
from leigh_mlops.training import PreparedData

__all__ = ["plate_adjustments", "stored_excluded_flaws", "training_mask", "was_trained_on_compounds"]


def training_mask(package: ModelPackage, data: PreparedData) -> npt.NDArray[np.bool_]:
    """Mask of the fields on which a package was trained, shape (N,)."""
    return np.isin(data.cache.digests, package.arrays["training_digests"].astype(np.uint64))


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
    spec = package.model.spec
    if not was_trained_on_compounds(package):
        table = leave_out_treated(table)
    data = add_pixels(table, package.channels, spec.classes, spec.image_size, console)
    data = add_flags(data, stored_excluded_flaws(package), console)
    levels = data.control_levels(training_mask(package, data))
    if absent := sorted(set(table[Metadata.PLATE].astype(str)) - set(levels)):
        raise LeighError(
            f"The model is scaled by negative controls, but plate {absent[0]} has no readable ones; add "
            "pert_type=negcon to its plate map."
        )
    return {plate: adjustment(controls, level).tolist() for plate, level in levels.items()}


def stored_excluded_flaws(package: ModelPackage) -> tuple[str, ...]:
    """Flaws for which fields were left out when a package was made; the default rule if they are not stored."""
    return tuple(package.about.get("exclude", EXCLUDED_BY_DEFAULT))


def was_trained_on_compounds(package: ModelPackage) -> bool:
    """Return whether treated wells count as labelled for a package; not where it does not say so."""
    return bool(package.about.get("train_on_compounds", False))
