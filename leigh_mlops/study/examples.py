"""Contact sheet of a few validation fields with their explanations."""

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from leigh_mlops.explanations import default_explainers, explain_fields
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.contact_row import explained_row, heat_scale
from leigh_mlops.report.rendering import intensity_limits
from leigh_mlops.report.sheets import contact_sheet
from leigh_mlops.training import PreparedData

__all__ = ["display_limits", "example_request", "example_sheet"]

Floats = npt.NDArray[np.float32]


def display_limits(data: PreparedData) -> list[list[float]]:
    """Raw intensities shown as black and as full colour, (C, 2), from up to 64 training fields."""
    rows = data.rows("train")
    chosen = rows[:: max(1, len(rows) // 64)][:64]
    return [[float(low), float(high)] for low, high in intensity_limits(data.cache.raw(chosen))]


def example_sheet(package: ModelPackage, data: PreparedData, per_class: int = 2) -> Figure:
    """Validation fields of each class with the default explanations of the package's family."""
    rows = _example_rows(data, per_class)
    raw, limits = data.cache.raw(rows), package.about["display_limits"]
    explained = explain_fields(package, raw, default_explainers(package.model))
    scale = heat_scale([heat for each in explained for heat in each.maps.values()])
    sheet = [
        explained_row(
            f"{data.wells[row]}, field {data.table[Metadata.SITE].iloc[row]}, class {data.classes[data.labels[row]]}",
            raw[index],
            package.channels,
            limits,
            explained[index].numbers,
            images=explained[index].images,
            maps=explained[index].maps,
            frames=explained[index].frames,
            scale=scale,
        )
        for index, row in enumerate(rows)
    ]
    heading = f"Validation fields as the {package.model.spec.family} sees them"
    return contact_sheet(sheet, heading, "All images on one intensity scale.", scale=scale)


def example_request(data: PreparedData) -> tuple[Floats, list[float]]:
    """Example of a request to a served model: a validation field at the size of the data.

    Returns:
        Its raw counts (1, C, S, S), whole numbers, and offset and gain of each channel on its plate (2 C,), nothing
        for data that are not scaled by controls.
    """
    row = next(row for part in ("val", "train") for row in data.rows(part))
    counts = np.rint(data.cache.pixels[[row]] * np.float32(data.cache.unit))
    return counts, [] if data.cache.adjust is None else data.cache.adjust[row].ravel().tolist()


def _example_rows(data: PreparedData, per_class: int) -> npt.NDArray[np.int64]:
    rows = data.rows("val")
    labels = data.labels[rows]
    return np.concatenate([rows[labels == label][:per_class] for label in np.unique(labels)])
