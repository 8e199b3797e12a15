"""Effect of the position on the scores of wells, fitted on the controls of each plate."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.plates import plate_shape, position_features
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores.position_trend import PositionTrend, TrendRefusal, fit_position_trend
from leigh_mlops.screening.plate_quality import control_places

__all__ = ["WellTrends", "fit_well_trends"]


class WellTrends(NamedTuple):
    """Effects of the position on the wells of a job.

    Attributes:
        effects: Effect on the score of each well, in nats, shape (W,); 0 on a plate without a trend.
        plates: Trend of each plate.
    """

    effects: npt.NDArray[np.float64]
    plates: Mapping[str, PositionTrend]


def fit_well_trends(wells: pd.DataFrame, roles: "pd.Series[str]") -> WellTrends:
    """Fit the effect of the position on each plate, by a smooth function of row, column and distance to the edge.

    Args:
        wells: Wells of the job, with ``score``; the index counts them from 0.
        roles: Roles of the wells, from `control_roles`.
    """
    effects, trends = np.zeros(len(wells)), {}
    scored = wells[wells[JobColumn.SCORE].notna()]
    chosen = control_places(scored, roles).places
    for name, own in scored.groupby(Metadata.PLATE, sort=True):
        trends[str(name)] = _fit_plate(own, chosen[str(name)])
        effects[own.index] = trends[str(name)].effects
    return WellTrends(effects, trends)


def _fit_plate(wells: pd.DataFrame, controls: Mapping[str, npt.NDArray[np.int64]]) -> PositionTrend:
    if not {Metadata.ROW, Metadata.COLUMN} <= set(wells):
        return PositionTrend(np.zeros(len(wells)), refusal=TrendRefusal.FEW_LINES)
    rows, columns = (np.asarray(wells[name], np.int64) for name in (Metadata.ROW, Metadata.COLUMN))
    groups = pd.Series(-1, wells.index)
    for number, places in enumerate(controls.values()):
        groups[places] = number
    n_rows, n_columns = plate_shape(rows, columns)
    rim = np.min([rows - 1, n_rows - rows, columns - 1, n_columns - columns], axis=0) == 0
    # Evaporation acts on the outermost wells far more than on their neighbours.
    features = np.column_stack([position_features(rows, columns, n_rows, n_columns), rim])
    return fit_position_trend(
        wells[JobColumn.SCORE].to_numpy(float), features, np.asarray(groups, np.int64), rows, columns
    )
