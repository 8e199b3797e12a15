"""Scores of wells, and where they lie between the controls of their plate."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.jobs.controls import unfit
from leigh_mlops.jobs.direction import Direction
from leigh_mlops.jobs.fields_table import WELL, well_names
from leigh_mlops.scores import by_well
from leigh_mlops.scores.calibration import calibrated
from leigh_mlops.scores.rescue import percent_rescue, robust_z

__all__ = ["log_odds_of", "scored_wells", "with_rescue"]

_FEWEST_FIELDS = 6  # the median of fewer reaches their least and largest within the 95 % of its draws
_RESAMPLES = 1000

Doubles = npt.NDArray[np.float64]


def log_odds_of(fields: pd.DataFrame, direction: Direction) -> "pd.Series[float]":
    """Log-odds of the healthy class over the diseased one for each field, in nats."""
    pair = [f"probability_{name}" for name in (direction.target, direction.source)]
    logs = np.log(fields[pair].to_numpy(float).clip(min=1e-300))
    return pd.Series(logs[:, 0] - logs[:, 1], fields.index)


def scored_wells(
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    out: "pd.Series[bool]",
    classes: Sequence[str],
    direction: Direction | None,
    temperature: float | None,
) -> pd.DataFrame:
    """Add how many fields count, their median score, and calibrated probabilities.

    Args:
        wells: As `well_table` gives them.
        fields: The table of fields.
        out: Fields that do not count.
        classes: The model's; none where it does not classify.
        direction: Which log-odds are the score; None for no score.
        temperature: Of the model's calibration; None for no calibrated probabilities.

    Returns:
        The wells with ``fields``, ``fields_left_out`` and, where they can be known, ``score`` and
        ``calibrated_<class>``; not a number where no field counts.
    """
    keys = pd.MultiIndex.from_frame(wells[WELL])
    used = fields[~out]

    scored = wells.assign(
        fields=used.groupby(WELL).size().reindex(keys, fill_value=0).to_numpy(int),
        fields_left_out=fields[out].groupby(WELL).size().reindex(keys, fill_value=0).to_numpy(int),
    )
    if direction is not None:
        odds = log_odds_of(used, direction).groupby([used[name] for name in WELL]).median()
        scored["score"] = odds.reindex(keys).to_numpy(float)
    if temperature is not None and classes and len(used):
        log_probs = np.log(used[[f"probability_{name}" for name in classes]].to_numpy(float).clip(min=1e-300))
        merged = by_well(well_names(used), np.zeros(len(used), int), log_probs)
        probabilities = pd.DataFrame(np.exp(calibrated(merged.log_probs, temperature)), index=list(merged.wells))
        scored[[f"calibrated_{name}" for name in classes]] = probabilities.reindex(well_names(wells)).to_numpy()
    return scored


def with_rescue(
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    out: "pd.Series[bool]",
    direction: Direction,
    controls: dict[str, dict[str, Doubles]],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Add ``rescue`` with its interval and ``robust_z``, each on the controls of the well's own plate.

    The interval is a bootstrap of the well's fields and the plate's control wells: how well this
    well is known, not how much others of its kind differ. It needs six fields. There is no rescue
    where `unfit` says why.

    Args:
        wells: With a column ``score``.
        fields: The table of fields.
        out: Fields that do not count.
        direction: The way from disease to health.
        controls: Scores by plate and role, as `plate_controls` gives them.
        seed: The same seed gives the same intervals.
    """
    names = ["rescue", "rescue_low", "rescue_high", "robust_z"]
    found = pd.DataFrame(np.nan, index=wells.index, columns=pd.Index(names))
    used = fields[~out]
    odds = {
        key: rows.to_numpy(np.float64)
        for key, rows in log_odds_of(used, direction).groupby([used[name] for name in WELL])
    }
    rng, nothing = np.random.default_rng(seed), np.asarray([], np.float64)
    for plate, rows in wells.groupby("Metadata_Plate", sort=True):
        own, scores = controls[str(plate)], rows["score"].to_numpy(float)
        if len(own["source"]):
            found.loc[rows.index, "robust_z"] = robust_z(scores, own["source"])
        if unfit(own, direction):
            continue
        found.loc[rows.index, "rescue"] = percent_rescue(scores, **own)
        ends = [_resampled(own[role], rng, np.mean) for role in ("source", "target")]
        of_wells = [odds.get(key, nothing) for key in rows[WELL].itertuples(index=False, name=None)]
        intervals = np.array([_interval(values, ends[0], ends[1], rng) for values in of_wells])
        found.loc[rows.index, "rescue_low"], found.loc[rows.index, "rescue_high"] = intervals.T
    return wells.assign(**{name: found[name] for name in names})


def _interval(
    values: npt.NDArray[np.floating[Any]], source: Doubles, target: Doubles, rng: np.random.Generator
) -> Doubles:
    if len(values) < _FEWEST_FIELDS:
        return np.full(2, np.nan)
    width = target - source
    drawn = 100 * (_resampled(values, rng, np.median) - source) / np.where(width == 0, np.finfo(float).tiny, width)
    low_high: Doubles = np.quantile(drawn, [0.025, 0.975])
    return low_high


def _resampled(
    values: npt.NDArray[np.floating[Any]], rng: np.random.Generator, centre: Callable[..., Doubles]
) -> Doubles:
    drawn = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))]
    return centre(drawn, axis=1)
