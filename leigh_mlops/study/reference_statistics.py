"""Facts of a package by which the reliability of its predictions on a new plate is judged."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import log_softmax, logsumexp

from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import ControlFields, IntensityScale, region_features
from leigh_mlops.models import Network
from leigh_mlops.models.package import CALIBRATION
from leigh_mlops.scores import aggregate_wells
from leigh_mlops.scores.calibration import expected_calibration_error, fit_temperature, scale_by_temperature
from leigh_mlops.scores.conformal import CalibrationWells
from leigh_mlops.training import PreparedData, adapted_batches

__all__ = [
    "measure_calibration",
    "calibration_arrays",
    "channel_measures",
    "energy_limit",
    "error_limit",
    "reliability_facts",
    "validation_logits",
]

ENERGY_QUANTILE = 0.99
"""Quantile of the energies of validation fields above which a field's energy is unusual."""

ERROR_QUANTILE = 0.99
"""Quantile of the reconstruction errors of training fields above which a field's error is unusual."""

MEASURES = ("intensity", "texture")
"""Measures of each channel that identify its stain, each as its natural logarithm."""

_BATCH = 16
_MAX_MEASURED_FIELDS = 256  # training fields are enough to describe a stain
_FULL_COLOUR_PERCENTILE = 99.5
_LOG_FLOOR = 1e-6

Doubles = npt.NDArray[np.float64]


def validation_logits(
    model: Network, scale: IntensityScale, data: PreparedData, controls: ControlFields | None = None
) -> tuple[npt.NDArray[np.int64], Doubles]:
    """Rows of the validation fields, shape (n,), and their logits, shape (n, K), adapted to plates by controls."""
    device = next(model.parameters()).device
    rows, logits = [np.zeros(0, np.int64)], [np.zeros((0, len(data.classes)))]
    with evaluating(model):
        for batch in adapted_batches(model, data.batches("val", scale, _BATCH, controls=controls)):
            rows.append(batch.rows)
            logits.append(model(batch.images.to(device)).to(torch.float64).cpu().numpy())
    return np.concatenate(rows), np.concatenate(logits)


def measure_calibration(data: PreparedData, rows: npt.NDArray[np.int64], logits: Doubles) -> dict[str, float | int]:
    """Temperature of the validation wells, their calibration error before and after, and their number.

    The same wells are used to choose the epoch and fit the temperature, so the error after it is slightly too low.
    """
    wells = aggregate_wells(list(data.wells[rows]), data.labels[rows], log_softmax(logits, axis=1))
    temperature = fit_temperature(wells.labels, wells.log_probs)
    return {
        "temperature": temperature,
        "ece_before": expected_calibration_error(wells.labels, wells.log_probs),
        "ece_after": expected_calibration_error(wells.labels, scale_by_temperature(wells.log_probs, temperature)),
        "wells": len(wells.wells),
    }


def calibration_arrays(data: PreparedData, rows: npt.NDArray[np.int64], logits: Doubles) -> dict[str, npt.NDArray[Any]]:
    """Arrays of the validation wells that calibrate prediction sets, by name in a package.

    The same wells are used to choose the epoch, so that the coverage of the sets is slightly too low.
    """
    wells = aggregate_wells(list(data.wells[rows]), data.labels[rows], log_softmax(logits, axis=1))
    stored = CalibrationWells.from_log_probs(wells.labels, wells.log_probs).to_arrays()
    return {f"{CALIBRATION}{name}": array for name, array in stored.items()}


def energy_limit(logits: Doubles) -> dict[str, float | int]:
    """The energy -logsumexp(logits) that 99 % of the validation fields do not exceed (Liu et al. 2020), in nats."""
    energy = -logsumexp(logits, axis=1)
    return {"limit": float(np.quantile(energy, ENERGY_QUANTILE)), "fields": len(energy)}


def error_limit(model: Network, scale: IntensityScale, data: PreparedData) -> dict[str, float | int]:
    """The error of reconstruction that 99 % of the training fields do not exceed, in network units squared.

    Returns:
        ``limit``; ``fields``, the number of training fields; ``full_colour``, the error that 99.5 % of the pixels of
        up to 256 of them do not exceed, for maps of errors.
    """
    device, errors, pixels = next(model.parameters()).device, [], []
    rows = data.rows("train")
    sampled = set(_spread(rows).tolist())
    with evaluating(model):
        for batch in data.batches_from_rows(rows, scale, _BATCH):
            squares = (model(batch.images.to(device)) - batch.images.to(device)).square().mean(dim=1).cpu().numpy()
            errors.append(squares.mean(axis=(1, 2), dtype=np.float64))
            chosen = [place for place, row in enumerate(batch.rows.tolist()) if row in sampled]
            pixels.append(squares[chosen].ravel())
    full_colour = float(np.percentile(np.concatenate(pixels), _FULL_COLOUR_PERCENTILE))
    limit = float(np.quantile(np.concatenate(errors), ERROR_QUANTILE))
    return {"limit": limit, "fields": len(rows), "full_colour": full_colour or 1.0}


def _spread(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Select at most 256 rows, evenly spaced."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MAX_MEASURED_FIELDS)).astype(int))
    chosen: npt.NDArray[np.int64] = rows[places]
    return chosen


def channel_measures(data: PreparedData) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Names of C channels, and log intensity and log texture of up to 256 training fields, shape (M, C, 2).

    Intensities are as acquired, like those of a job. Channels that combine others are not among them, and
    a field in which a channel is black is left out.
    """
    acquired = replace(data.cache, adjust=None).raw(_spread(data.rows("train")))
    # Areas need thresholds; intensity and texture do not.
    fields = [region_features(raw, data.channels, [0.0] * len(data.channels)) for raw in acquired]
    names = [name for name in data.channels if f"intensity_{name}" in fields[0]]
    values = np.array([[[one[f"{what}_{name}"] for what in MEASURES] for name in names] for one in fields])
    logs = np.log(np.maximum(values, _LOG_FLOOR))
    return names, logs[np.isfinite(logs).all(axis=(1, 2))]


def reliability_facts(
    model: Network, scale: IntensityScale, data: PreparedData, controls: ControlFields | None = None
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Facts and arrays for a package.

    They are calibration and energy of a classifier, or else the limit of errors, and measures of each channel.
    """
    names, measures = channel_measures(data)
    about: dict[str, Any] = {"measured_channels": names}
    arrays: dict[str, npt.NDArray[Any]] = {"channel_measures": measures}
    if model.task == "reconstruct":
        about["error_limit"] = error_limit(model, scale, data)
    if model.task == "classify":
        rows, logits = validation_logits(model, scale, data, controls)
        if len(rows) and np.isfinite(logits).all():
            about |= {"calibration": measure_calibration(data, rows, logits), "energy_limit": energy_limit(logits)}
            arrays |= calibration_arrays(data, rows, logits)
    return about, arrays
