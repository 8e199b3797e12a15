"""A few validation fields with their explanations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations import FieldExplanation, default_explainers, explain_fields
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import IntensityScale
from leigh_mlops.images.control_levels import FEWEST_CONTROLS
from leigh_mlops.models import ModelPackage, Network, has_capability
from leigh_mlops.models.autoencoder import Autoencoder
from leigh_mlops.models.plate_statistics import plate_statistics
from leigh_mlops.plates.columns import NO_CLASS, Metadata
from leigh_mlops.report.contact_row import explained_row, heat_scale
from leigh_mlops.report.rendering import composite, intensity_limits
from leigh_mlops.report.sheets import HeatScale, Panel, SheetRow
from leigh_mlops.study.plate_levels import measure_plates
from leigh_mlops.training import PreparedData

__all__ = ["Examples", "display_limits", "example_request", "explain_examples", "prior_samples"]

_SAMPLES_PER_ROW = 4

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
    """Explain validation fields of each class, or twice as many of a single one or none, as the package's family can.

    A network that decodes shows its reconstructions, a classifier its counterfactuals, or else heatmaps.

    Raises:
        LeighError: The network can't be explained yet.
    """
    rows = _example_rows(data, per_class)
    raw, limits = data.cache.raw(rows), package.about["display_limits"]
    explained = _explain_by_plate(package, data, rows)
    scale = heat_scale([heat for each in explained for heat in each.maps.values()])
    sheet = [
        explained_row(
            f"{data.wells[row]}, field {data.table[Metadata.SITE].iloc[row]}, {_class_phrase(data, row)}",
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


def prior_samples(package: ModelPackage, count: int = 8) -> list[SheetRow]:
    """Fields that a variational network draws from its prior, always the same, in rows of four; else none.

    Args:
        package: The network.
        count: Number of fields.
    """
    model = package.model
    if not (isinstance(model, Autoencoder) and model.variational):
        return []
    with evaluating(model):
        drawn = IntensityScale.from_json(package.scale).invert(model.sample(count).cpu().numpy())
    limits = package.about["display_limits"]
    panels = [Panel(composite(raw, package.channels, limits), f"sample {n}") for n, raw in enumerate(drawn, start=1)]
    return [SheetRow("", panels[start : start + _SAMPLES_PER_ROW]) for start in range(0, count, _SAMPLES_PER_ROW)]


def _class_phrase(data: PreparedData, row: int) -> str:
    label = int(data.labels[row])
    return f"class {data.classes[label]}" if label >= 0 else NO_CLASS


def _explain_by_plate(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> list[FieldExplanation]:
    """Explain fields of some rows, the network adapted to the plate of each if it adapts."""
    methods = _methods(package.model)
    if not package.is_adapted:
        return explain_fields(package, data.cache.raw(rows), methods)
    found: dict[int, FieldExplanation] = {}
    by_plate = measure_plates(package, data, data.plate_controls())
    plates = data.table[Metadata.PLATE].astype(str).to_numpy(str)[rows]
    for plate in np.unique(plates):
        own = rows[plates == plate]
        with plate_statistics(package.model, by_plate[str(plate)]):
            found |= dict(zip(own.tolist(), explain_fields(package, data.cache.raw(own), methods), strict=True))
    return [found[int(row)] for row in rows]


def _methods(model: Network) -> tuple[str, ...]:
    defaults = default_explainers(model)
    reconstruction = ("reconstruction",) if has_capability(model, "decode") else ()
    return tuple(dict.fromkeys((*reconstruction, *defaults)))


def example_request(package: ModelPackage, data: PreparedData) -> tuple[Floats, dict[str, Any]]:
    """Example of a request to a served model: a validation field at the size of the data.

    Returns:
        Raw counts (N, C, S, S), whole numbers, of the field, after controls of its plate if the network adapts to
        plates; and the parameters of the request: numbers of the ``controls``, or the ``adjustment`` of the plate,
        offset and gain of each channel (2 C,), for data that are scaled by controls; and the size of a pixel for a
        model that cuts fields to a width.
    """
    width_um = package.field_width_um
    scale = {} if width_um is None else {"pixel_size_um": width_um / data.image_size}
    row = next(row for part in ("val", "train") for row in data.rows(part))
    if package.is_adapted:
        known = data.plate_controls()
        controls = known.rows[int(known.plates[row])][:FEWEST_CONTROLS]
        return _counts(data, [*controls.tolist(), int(row)]), scale | {"controls": list(range(len(controls)))}
    if data.cache.adjust is None:
        return _counts(data, [int(row)]), scale
    return _counts(data, [int(row)]), scale | {"adjustment": data.cache.adjust[row].ravel().tolist()}


def _counts(data: PreparedData, rows: Sequence[int]) -> Floats:
    counts: Floats = np.rint(data.cache.pixels[rows] * np.float32(data.cache.unit))
    return counts


def _example_rows(data: PreparedData, per_class: int) -> npt.NDArray[np.int64]:
    rows = data.rows("val")
    labels = data.labels[rows]
    found = np.unique(labels)
    count = per_class if len(found) > 1 else 2 * per_class
    return np.concatenate([rows[labels == label][:count] for label in found])
