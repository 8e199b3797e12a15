"""A few validation fields with their explanations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations import default_explainers, explain_fields
from leigh_mlops.models import ModelPackage, Network, has_capability
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.contact_row import explained_row, heat_scale
from leigh_mlops.report.rendering import intensity_limits
from leigh_mlops.report.sheets import HeatScale, SheetRow
from leigh_mlops.training import PreparedData

__all__ = ["Examples", "display_limits", "example_request", "explain_examples"]

Floats = npt.NDArray[np.float32]


def display_limits(data: PreparedData) -> list[list[float]]:
    """Raw intensities shown as black and as full colour, (C, 2), from up to 64 training fields."""
    rows = data.rows("train")
    chosen = rows[:: max(1, len(rows) // 64)][:64]
    return [[float(low), float(high)] for low, high in intensity_limits(data.cache.raw(chosen))]


@dataclass(frozen=True)
class Examples:
    """Explained validation fields: the same ones, in the same order, for each network of a study.

    Attributes:
        rows: One row of pictures for each field.
        scale: Colour scale of their maps.
    """

    rows: Sequence[SheetRow]
    scale: HeatScale | None


def explain_examples(package: ModelPackage, data: PreparedData, per_class: int = 2) -> Examples:
    """Explain validation fields of each class as the package's family can.

    A network that decodes shows its reconstructions, a classifier its counterfactuals, or else heatmaps.

    Raises:
        LeighError: The network can't be explained yet.
    """
    rows = _example_rows(data, per_class)
    raw, limits = data.cache.raw(rows), package.about["display_limits"]
    explained = explain_fields(package, raw, _methods(package.model))
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
    return Examples(sheet, scale)


def _methods(model: Network) -> tuple[str, ...]:
    defaults = default_explainers(model)
    reconstruction = ("reconstruction",) if has_capability(model, "decode") else ()
    return tuple(dict.fromkeys((*reconstruction, *defaults)))


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
