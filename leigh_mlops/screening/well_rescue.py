"""Scores of wells, and their rescue between the controls of their plate."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import aggregate_wells
from leigh_mlops.scores.calibration import scale_by_temperature
from leigh_mlops.scores.rescue import percent_rescue, robust_z
from leigh_mlops.screening.field_table import WELL_COLUMNS, well_names
from leigh_mlops.screening.plate_controls import controls_problem
from leigh_mlops.screening.reference_classes import ReferenceClasses

__all__ = ["field_log_odds", "score_wells", "add_rescue"]

_MIN_FIELDS = 6  # the median of fewer reaches their least and largest within the 95 % of its draws
_RESAMPLES = 1000

Doubles = npt.NDArray[np.float64]


def field_log_odds(fields: pd.DataFrame, direction: ReferenceClasses) -> "pd.Series[float]":
    """Log-odds of the healthy class over the diseased one for each field, in nats."""
    pair = [f"probability_{name}" for name in (direction.target, direction.source)]
    logs = np.log(fields[pair].to_numpy(float).clip(min=1e-300))
    return pd.Series(logs[:, 0] - logs[:, 1], fields.index)


def score_wells(
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    out: "pd.Series[bool]",
    classes: Sequence[str],
    direction: ReferenceClasses | None,
    temperature: float | None,
) -> pd.DataFrame:
    """Add the number of fields that count, their median score, and calibrated probabilities.

    Args:
        wells: Wells from `well_table`.
        fields: The table of fields.
        out: Whether each field is left out.
        classes: The model's classes; none if it does not classify.
        direction: Classes whose log-odds are the score; None for no score.
        temperature: Temperature of the model's calibration; None for no calibrated probabilities.

    Returns:
        The wells with ``fields``, ``fields_left_out`` and, if they can be computed, ``score`` and
        ``calibrated_<class>``; NaN where no field counts.
    """
    keys = pd.MultiIndex.from_frame(wells[WELL_COLUMNS])
    used = fields[~out]

    scored = wells.assign(
        fields=used.groupby(WELL_COLUMNS).size().reindex(keys, fill_value=0).to_numpy(int),
        fields_left_out=fields[out].groupby(WELL_COLUMNS).size().reindex(keys, fill_value=0).to_numpy(int),
    )
    if direction is not None:
        odds = field_log_odds(used, direction).groupby([used[name] for name in WELL_COLUMNS]).median()
        scored["score"] = odds.reindex(keys).to_numpy(float)
    if temperature is not None and classes and len(used):
        log_probs = np.log(used[[f"probability_{name}" for name in classes]].to_numpy(float).clip(min=1e-300))
        merged = aggregate_wells(well_names(used), np.zeros(len(used), int), log_probs)
        probabilities = pd.DataFrame(
            np.exp(scale_by_temperature(merged.log_probs, temperature)), index=list(merged.wells)
        )
        scored[[f"calibrated_{name}" for name in classes]] = probabilities.reindex(well_names(wells)).to_numpy()
    return scored


def add_rescue(
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    out: "pd.Series[bool]",
    direction: ReferenceClasses,
    controls: dict[str, dict[str, Doubles]],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Add ``rescue`` with its interval and ``robust_z``, each on the controls of the well's own plate.

    The interval is a bootstrap of the well's fields and the plate's control wells: it is the uncertainty
    of this well, not the variation between wells of its kind. It needs six fields. There is no rescue on
    plates for which `controls_problem` returns a reason.

    Args:
        wells: Table with a column ``score``.
        fields: The table of fields.
        out: Whether each field is left out.
        direction: The diseased and the healthy class.
        controls: Scores by plate and role, from `plate_controls`.
        seed: The same seed gives the same intervals.
    """
    names = ["rescue", "rescue_low", "rescue_high", "robust_z"]
    found = pd.DataFrame(np.nan, index=wells.index, columns=pd.Index(names))
    used = fields[~out]
    odds = {
        key: rows.to_numpy(np.float64)
        for key, rows in field_log_odds(used, direction).groupby([used[name] for name in WELL_COLUMNS])
    }
    rng, nothing = np.random.default_rng(seed), np.asarray([], np.float64)
    for plate, rows in wells.groupby(Metadata.PLATE, sort=True):
        own, scores = controls[str(plate)], rows["score"].to_numpy(float)
        if len(own["source"]):
            found.loc[rows.index, "robust_z"] = robust_z(scores, own["source"])
        if controls_problem(own, direction):
            continue
        found.loc[rows.index, "rescue"] = percent_rescue(scores, **own)
        ends = [_resample(own[role], rng, np.mean) for role in ("source", "target")]
        of_wells = [odds.get(key, nothing) for key in rows[WELL_COLUMNS].itertuples(index=False, name=None)]
        intervals = np.array([_rescue_interval(values, ends[0], ends[1], rng) for values in of_wells])
        found.loc[rows.index, "rescue_low"], found.loc[rows.index, "rescue_high"] = intervals.T
    return wells.assign(**{name: found[name] for name in names})


def _rescue_interval(
    values: npt.NDArray[np.floating[Any]], source: Doubles, target: Doubles, rng: np.random.Generator
) -> Doubles:
    if len(values) < _MIN_FIELDS:
        return np.full(2, np.nan)
    width = target - source
    drawn = 100 * (_resample(values, rng, np.median) - source) / np.where(width == 0, np.finfo(float).tiny, width)
    low_high: Doubles = np.quantile(drawn, [0.025, 0.975])
    return low_high


def _resample(
    values: npt.NDArray[np.floating[Any]], rng: np.random.Generator, centre: Callable[..., Doubles]
) -> Doubles:
    drawn = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))]
    return centre(drawn, axis=1)
