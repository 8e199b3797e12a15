"""Activity of treated wells beyond rescue: movement elsewhere, its reproducibility, and the cells that are left."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.job_columns import IMAGE, LATENT, JobColumn
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores.activity import mean_average_precision
from leigh_mlops.scores.control_cloud import ControlCloud, PlateFeatures, control_clouds, movement, off_axis_lengths
from leigh_mlops.scores.rescue import no_effect_p
from leigh_mlops.screening.plate_quality import control_places
from leigh_mlops.screening.well_table import WELL_COLUMNS

__all__ = ["ACTIVITY_COLUMNS", "MIN_CELL_SHARE", "TreatmentActivity", "is_elsewhere", "is_toxic", "measure_activity"]

MIN_CELL_SHARE = 0.5
"""Share of the controls' cells below which a compound counts as toxic."""

SIGNIFICANCE = 0.05
"""p below which cells are fewer, or the movement elsewhere is longer, than in controls."""

ACTIVITY_COLUMNS = ["cell_share", "cell_p", "along_axis", "off_axis", "off_axis_p", "activity", "activity_p"]

_NO_FEATURES = (IMAGE("nuclei_count"),)

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TreatmentActivity:
    """Movement and cells of all wells of a job, from which treatments are measured.

    Attributes:
        plates: Plate of each well, shape (W,).
        cell_shares: Cells of each well relative to the source controls of its plate, shape (W,); NaN if unknown.
        clouds: Movement of the wells by plate, as far as it is known; its rows are those of ``rows``.
        rows: Row of each well within its plate, shape (W,).
        source: Whether each well is a source control to which others are compared, shape (W,).
        counted: Whether each well is a source control to whose cells others are compared, shape (W,).
        features: Kind of the features: ``latent``, ``image``, or empty for none.
    """

    plates: npt.NDArray[np.object_]
    cell_shares: Doubles
    clouds: Mapping[str, ControlCloud] = field(default_factory=dict)
    rows: Places = field(default_factory=lambda: np.zeros(0, np.int64))
    source: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    counted: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    features: str = ""

    def columns(self) -> dict[str, Doubles]:
        """Columns of the table of wells: ``cell_share``, ``along_axis`` and ``off_axis``, as far as they are known."""
        moved = np.full((len(self.plates), 2), np.nan)
        for place in range(len(self.plates)):
            if (cloud := self._cloud(place)) is not None:
                found = movement(cloud, self.rows[[place]])
                moved[place] = found.along, found.elsewhere
        named = zip((JobColumn.CELL_SHARE, JobColumn.ALONG_AXIS, JobColumn.OFF_AXIS),
                    (self.cell_shares, moved[:, 0], moved[:, 1]), strict=True)  # fmt: skip
        return {name: values for name, values in named if np.isfinite(values).any()}

    def measure(self, places: Places) -> dict[str, float]:
        """Measure the wells of one treatment, see `ACTIVITY_COLUMNS`; NaN for what is not known.

        Args:
            places: Places of its wells, shape (n,).
        """
        share, cell_p = self._compare(self.cell_shares, places, self.counted)
        moved = np.array([place for place in places if self._cloud(place) is not None], np.int64)
        found = dict.fromkeys(ACTIVITY_COLUMNS, math.nan) | {"cell_share": share, "cell_p": cell_p}
        if not len(moved):
            return found
        by_plate = [moved[self.plates[moved] == plate] for plate in sorted(set(self.plates[moved]))]
        moves = [movement(self.clouds[str(self.plates[own[0]])], self.rows[own]) for own in by_plate]
        counts = np.array([len(own) for own in by_plate], float)
        controls = np.sort(np.concatenate([self._select(str(self.plates[own[0]]), self.source) for own in by_plate]))
        activity, activity_p = mean_average_precision(self._profiles(moved), self._profiles(controls))
        longer, p = self._compare(self._lengths, moved, self.source)
        usual = float(np.mean(self._lengths[controls]))
        return found | {
            "along_axis": float(counts @ [each.along for each in moves] / counts.sum()),
            "off_axis": float(counts @ [each.elsewhere for each in moves] / counts.sum()),
            "off_axis_p": p if longer > usual else 1.0,
            "activity": activity,
            "activity_p": activity_p,
        }

    @cached_property
    def _lengths(self) -> Doubles:
        """Way of each well off the axis, shape (W,), computed once for all treatments; NaN if unknown."""
        lengths = np.full(len(self.plates), np.nan)
        for plate, cloud in self.clouds.items():
            lengths[self.plates == plate] = off_axis_lengths(cloud)
        return lengths

    @cached_property
    def _places(self) -> dict[str, Places]:
        """Places of the wells of each plate."""
        return {str(plate): np.flatnonzero(self.plates == plate) for plate in set(self.plates)}

    def _cloud(self, place: int) -> ControlCloud | None:
        """Cloud of a well's plate; None if the well has no place in it."""
        cloud = self.clouds.get(str(self.plates[place]))
        return cloud if cloud is not None and np.isfinite(cloud.profiles[self.rows[place]]).all() else None

    def _profiles(self, places: Places) -> Doubles:
        return np.array([self.clouds[str(self.plates[each])].profiles[self.rows[each]] for each in places])

    def _compare(self, values: Doubles, places: Places, controls: npt.NDArray[np.bool_]) -> tuple[float, float]:
        """Mean of some wells, and its p against controls of the same plates; NaN if no well has a value."""
        known = places[np.isfinite(values[places])]
        if not len(known):
            return math.nan, math.nan
        plates = sorted(set(self.plates[known]))
        compared = [values[self._select(str(plate), controls)] for plate in plates]
        p = no_effect_p(
            [values[known[self.plates[known] == plate]] for plate in plates],
            [each[np.isfinite(each)] for each in compared],
        )
        return float(values[known].mean()), p

    def _select(self, plate: str, chosen: npt.NDArray[np.bool_]) -> Places:
        """Places of the chosen wells of a plate; a search through all wells for each treatment takes long."""
        places = self._places[plate]
        return places[chosen[places]]


def is_toxic(row: Mapping[str, Any]) -> bool:
    """Return whether the wells of a treatment hold too few cells, from its row."""
    return bool(row["cell_share"] < MIN_CELL_SHARE and row["cell_p"] < SIGNIFICANCE)


def is_elsewhere(row: Mapping[str, Any]) -> bool:
    """Return whether a treatment moves its wells farther off the axis than along it, from its row."""
    return bool(row["off_axis"] > row["along_axis"] and row["off_axis_p"] < SIGNIFICANCE)


def measure_activity(
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    out: "pd.Series[bool]",
    uncountable: "pd.Series[bool]",
    roles: "pd.Series[str]",
) -> TreatmentActivity:
    """Measure movement and cells of the wells of a job.

    The features are the latents of the model, or, in their absence, intensities, textures and areas of the images;
    a well has the median of its usable fields. Cells are counted in empty fields, too.

    Args:
        wells: Wells from `well_table`, with scores.
        fields: The table of fields.
        out: Whether each field is left out of the scores.
        uncountable: Whether the nuclei of each field cannot be counted.
        roles: Roles of the wells, from `control_roles`.
    """
    plates = wells[Metadata.PLATE].astype(str).to_numpy(object)
    kind, values = _features(wells, fields, ~out)
    rows, clouds = np.zeros(len(wells), np.int64), {}
    source = np.zeros(len(wells), bool)
    names = sorted(set(plates))
    for name in names:
        rows[plates == name] = np.arange(int((plates == name).sum()))
    if kind:
        known = wells.loc[pd.Series(np.isfinite(values).any(axis=1), wells.index)]
        chosen = control_places(known, roles).places
        found = control_clouds([
            PlateFeatures(values[plates == name], *(rows[chosen[name][role]] if name in chosen else rows[:0]
                                                    for role in ("source", "target")))
            for name in names
        ])  # fmt: skip
        clouds = {name: cloud for name, cloud in zip(names, found, strict=True) if cloud is not None}
        for name in clouds:
            source[chosen[name]["source"]] = True
    counted = (roles == "source").to_numpy(bool)
    shares = _cell_shares(wells, fields, ~uncountable, counted, plates)
    return TreatmentActivity(plates, shares, clouds, rows, source, counted, kind if clouds else "")


def _features(wells: pd.DataFrame, fields: pd.DataFrame, used: "pd.Series[bool]") -> tuple[str, Doubles]:
    """Kind and features of the wells, shape (W, P), from the fields that are used."""
    latents = [name for number, name in LATENT.select(fields).items() if number.isdigit()]
    images = [name for name in IMAGE.select(fields).values() if name not in _NO_FEATURES]
    for kind, names in (("latent", latents), ("image", images)):
        if len(names) > 1 and used.any():
            by_well = fields.loc[used, names].astype(float).groupby([fields.loc[used, key] for key in WELL_COLUMNS])
            return kind, _arrange_wells(wells, by_well.median())
    return "", np.full((len(wells), 0), np.nan)


def _cell_shares(
    wells: pd.DataFrame,
    fields: pd.DataFrame,
    sharp: "pd.Series[bool]",
    controls: npt.NDArray[np.bool_],
    plates: npt.NDArray[np.object_],
) -> Doubles:
    """Nuclei of each well, relative to the mean of the plate's source controls, shape (W,), from the sharp fields."""
    column = IMAGE("nuclei_count")
    if column not in fields or not sharp.any():
        return np.full(len(wells), np.nan)
    by_well = fields.loc[sharp, [column]].astype(float).groupby([fields.loc[sharp, key] for key in WELL_COLUMNS])
    counts = _arrange_wells(wells, by_well.mean())[:, 0]
    shares = np.full(len(wells), np.nan)
    for plate in set(plates):
        own = counts[controls & (plates == plate) & np.isfinite(counts)]
        if len(own) and own.mean() > 0:
            shares[plates == plate] = counts[plates == plate] / own.mean()
    return shares


def _arrange_wells(wells: pd.DataFrame, grouped: pd.DataFrame) -> Doubles:
    found: Doubles = grouped.reindex(pd.MultiIndex.from_frame(wells[WELL_COLUMNS])).to_numpy(np.float64)
    return found
