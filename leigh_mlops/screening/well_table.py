"""Tables of a job's wells: their class, score, rescue between their plate's controls, and misclassified wells."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.job_columns import (
    AFTER,
    CALIBRATED,
    CHANGE,
    COUNTERFACTUAL,
    PROBABILITY,
    JobColumn,
    counterfactual_family,
)
from leigh_mlops.plates.columns import Metadata, is_metadata
from leigh_mlops.scores import aggregate_wells
from leigh_mlops.scores.calibration import scale_by_temperature
from leigh_mlops.scores.rescue import percent_rescue, robust_z
from leigh_mlops.screening.plate_quality import find_controls_problem
from leigh_mlops.screening.reference_classes import ReferenceClasses

__all__ = [
    "VALID_STATUSES",
    "WELL_COLUMNS",
    "counterfactual_kinds",
    "field_log_odds",
    "misclassified_wells",
    "well_names",
    "well_rescue",
    "well_scores",
    "well_table",
]

WELL_COLUMNS = [Metadata.PLATE, Metadata.WELL]
"""Columns that identify a well."""

VALID_STATUSES = ("green", "amber")
"""Statuses of a valid counterfactual."""

_PICTURE_SUFFIX = "_full_colour"
_MIN_FIELDS = 6  # the median of fewer reaches their least and largest within the 95 % of its draws
_RESAMPLES = 1000

Doubles = npt.NDArray[np.float64]


def well_names(fields: "pd.DataFrame | Mapping[str, Sequence[Any]]") -> list[str]:
    """Names ``plate/well`` of the rows of a table."""
    return [f"{plate}/{well}" for plate, well in zip(*(fields[name] for name in WELL_COLUMNS), strict=True)]


def counterfactual_kinds(columns: Container[object]) -> list[str]:
    """Kinds of counterfactuals among the columns of a table of fields, the most informative first."""
    return [kind for kind in reversed(COUNTERFACTUAL_KINDS) if counterfactual_family(kind)("status") in columns]


def well_table(fields: pd.DataFrame, classes: Sequence[str], out: "pd.Series[bool] | None" = None) -> pd.DataFrame:
    """Build a table of one row per well: medians of numbers, shares of true values, and the number of fields.

    If the counterfactuals of one well lead to different classes, only those that lead to the most common
    one count; changes are taken only from those that are not red. Columns of single pictures are left out.

    Args:
        fields: The table of fields.
        classes: Names of the model's classes; none if it does not classify.
        out: Whether each field is left out of the well's class; by default none is. A well of such
            fields alone has no class and no probabilities.
    """
    grouped = fields.groupby(WELL_COLUMNS, sort=True)
    own = [str(name) for name in fields if not is_metadata(name)]
    kept = [str(name) for name in fields if is_metadata(name) and name not in WELL_COLUMNS]
    constant = [name for name in kept if grouped[name].nunique(dropna=False).max() <= 1]
    wells = grouped[constant].first().join(grouped.size().rename(JobColumn.FIELDS))
    if not len(fields):
        return wells.reset_index()
    counted = _mask_incomparable(fields)
    numbers = [name for name in counted[own].select_dtypes("number") if not str(name).endswith(_PICTURE_SUFFIX)]
    facts = [name for name in own if name != JobColumn.SEEN and is_bool_dtype(fields[name].dropna().infer_objects())]
    wells = wells.join(counted.groupby(WELL_COLUMNS)[numbers].median())
    wells = wells.join(
        counted[facts].astype("Float64").groupby([fields[name] for name in WELL_COLUMNS]).mean().astype(float)
    )
    if JobColumn.TARGET in fields:
        wells = wells.join(counted.groupby(WELL_COLUMNS)[JobColumn.TARGET].first())
    chosen = fields[[*WELL_COLUMNS, *map(PROBABILITY, classes)]]
    used = chosen if out is None else chosen[~out]
    joined = wells.join(grouped[JobColumn.SEEN].any()).copy()  # one block, as pandas warns of many
    return _classify_wells(joined, used, classes, len(constant)).reset_index()


def misclassified_wells(wells: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Wells that are classified as another class than their label, the most probable first."""
    columns = [Metadata.PLATE, Metadata.WELL, Metadata.CONDITION, JobColumn.PREDICTED, "probability", JobColumn.FIELDS]
    if not classes or Metadata.CONDITION not in wells:
        return pd.DataFrame(columns=columns)
    probability = wells[[PROBABILITY(name) for name in classes]].max(axis=1)
    known = wells[Metadata.CONDITION].notna() & wells[JobColumn.PREDICTED].notna()
    hits = wells.assign(probability=probability)[known & (wells[Metadata.CONDITION] != wells[JobColumn.PREDICTED])]
    return hits.reindex(columns=columns).sort_values("probability", ascending=False)


def field_log_odds(fields: pd.DataFrame, direction: ReferenceClasses) -> "pd.Series[float]":
    """Log-odds of the healthy class over the diseased one for each field, in nats."""
    pair = [PROBABILITY(name) for name in (direction.target, direction.source)]
    logs = np.log(fields[pair].to_numpy(float).clip(min=1e-300))
    return pd.Series(logs[:, 0] - logs[:, 1], fields.index)


def well_scores(
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    out: "pd.Series[bool]",
    classes: Sequence[str],
    direction: ReferenceClasses | None,
    temperature: float | None,
) -> dict[str, npt.NDArray[Any]]:
    """Compute the number of fields that count, their median score, and calibrated probabilities.

    Args:
        wells: Wells from `well_table`.
        fields: The table of fields.
        out: Whether each field is left out.
        classes: The model's classes; none if it does not classify.
        direction: Classes whose log-odds are the score; None for no score.
        temperature: Temperature of the model's calibration; None for no calibrated probabilities.

    Returns:
        Values of the wells, shape (W,), by column: ``fields``, ``fields_left_out`` and, if they can be
        computed, ``score`` and ``calibrated_<class>``; NaN where no field counts.
    """
    keys = pd.MultiIndex.from_frame(wells[WELL_COLUMNS])
    chosen = fields[[*WELL_COLUMNS, *map(PROBABILITY, classes)]]
    used = chosen[~out]
    scored: dict[str, npt.NDArray[Any]] = {
        name: rows.groupby(WELL_COLUMNS).size().reindex(keys, fill_value=0).to_numpy(int)
        for name, rows in ((JobColumn.FIELDS, used), (JobColumn.FIELDS_LEFT_OUT, chosen[out]))
    }
    if direction is not None:
        odds = field_log_odds(used, direction).groupby([used[name] for name in WELL_COLUMNS]).median()
        scored[JobColumn.SCORE] = odds.reindex(keys).to_numpy(float)
    if temperature is not None and classes and len(used):
        log_probs = np.log(used[[PROBABILITY(name) for name in classes]].to_numpy(float).clip(min=1e-300))
        merged = aggregate_wells(well_names(used), np.zeros(len(used), int), log_probs)
        probabilities = pd.DataFrame(
            np.exp(scale_by_temperature(merged.log_probs, temperature)), index=list(merged.wells)
        )
        of_wells = probabilities.reindex(well_names(wells)).to_numpy()
        scored |= {CALIBRATED(name): of_wells[:, number] for number, name in enumerate(classes)}
    return scored


def well_rescue(
    wells: pd.DataFrame,
    used: pd.DataFrame,
    field_scores: "pd.Series[float]",
    controls: dict[str, dict[str, Doubles]],
    *,
    seed: int = 0,
) -> dict[str, Doubles]:
    """Compute ``rescue`` with its interval and ``robust_z``, each on the controls of the well's own plate.

    The interval is a bootstrap of the well's fields and the plate's control wells: it is the uncertainty
    of this well, not the variation between wells of its kind. It needs six fields. There is no rescue on
    plates for which `find_controls_problem` returns a reason.

    Args:
        wells: Table with a column ``score``.
        used: Fields that count; of their columns, plate and well are used.
        field_scores: Their scores, whose medians are those of the wells.
        controls: Scores by plate and role, from `plate_controls`.
        seed: The same seed gives the same intervals.

    Returns:
        Values of the wells, shape (W,), by column: ``rescue``, ``rescue_low``, ``rescue_high`` and ``robust_z``.
    """
    names = [JobColumn.RESCUE, JobColumn.RESCUE_LOW, JobColumn.RESCUE_HIGH, JobColumn.ROBUST_Z]
    found = {name: np.full(len(wells), np.nan) for name in names}
    odds = {key: rows.to_numpy(np.float64) for key, rows in field_scores.groupby([used[name] for name in WELL_COLUMNS])}
    rng, nothing = np.random.default_rng(seed), np.asarray([], np.float64)
    keys, all_scores = (
        list(wells[WELL_COLUMNS].itertuples(index=False, name=None)),
        wells[JobColumn.SCORE].to_numpy(float),
    )
    for plate, places in sorted(wells.groupby(Metadata.PLATE).indices.items()):
        own, scores = controls[str(plate)], all_scores[places]
        if len(own["source"]):
            found[JobColumn.ROBUST_Z][places] = robust_z(scores, own["source"])
        if find_controls_problem(own) is not None:
            continue
        found[JobColumn.RESCUE][places] = percent_rescue(scores, **own)
        ends = [_resample(own[role], rng, np.mean) for role in ("source", "target")]
        of_wells = [odds.get(keys[place], nothing) for place in places]
        intervals = np.array([_rescue_interval(values, ends[0], ends[1], rng) for values in of_wells])
        found[JobColumn.RESCUE_LOW][places], found[JobColumn.RESCUE_HIGH][places] = intervals.T
    return found


def _mask_incomparable(fields: pd.DataFrame) -> pd.DataFrame:
    """Mask the counterfactuals of each well that cannot be averaged with the others."""
    if JobColumn.TARGET not in fields:
        return fields
    counted = fields.copy()
    columns = [str(name) for name in fields if name in COUNTERFACTUAL]
    usual = fields.groupby(WELL_COLUMNS)[JobColumn.TARGET].transform(lambda each: next(iter(each.mode()), None))
    counted[columns] = counted[columns].where(counted[JobColumn.TARGET] == usual)
    for kind in counterfactual_kinds(fields.columns):
        family = counterfactual_family(kind)
        measures = [column for name, column in family.select(columns).items() if name in CHANGE or name in AFTER]
        counted[measures] = counted[measures].where(counted[family("status")].isin(VALID_STATUSES))
    return counted


def _classify_wells(wells: pd.DataFrame, fields: pd.DataFrame, classes: Sequence[str], place: int) -> pd.DataFrame:
    """Add the probabilities and the class of each well, from the mean log-probability of its fields."""
    if not classes:
        return wells
    columns = [PROBABILITY(name) for name in classes]
    wells[columns] = np.nan
    wells.insert(place, JobColumn.PREDICTED, pd.Series(None, wells.index, dtype=object))
    if fields.empty:
        return wells
    log_probs = np.log(fields[columns].to_numpy(float).clip(min=1e-300))
    merged = aggregate_wells(well_names(fields), np.zeros(len(fields), int), log_probs)
    found = pd.DataFrame(np.exp(merged.log_probs), index=list(merged.wells))
    found[JobColumn.PREDICTED] = np.asarray(classes, object)[merged.log_probs.argmax(axis=1)]
    wells[[*columns, JobColumn.PREDICTED]] = found.reindex(well_names(wells.reset_index())).to_numpy()
    wells[columns] = wells[columns].astype(float)
    return wells


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
