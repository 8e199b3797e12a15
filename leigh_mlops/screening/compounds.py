"""Compounds: pooled replicates, tests for rescue, and dose responses."""

import math
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype

from leigh_mlops.errors import LeighError
from leigh_mlops.job_columns import JobColumn
from leigh_mlops.plates.columns import Metadata, add_metadata_prefix, is_metadata
from leigh_mlops.plates.dose_units import is_dose_name
from leigh_mlops.scores.dose_response import fit_dose_response
from leigh_mlops.scores.fdr import false_discovery_rate
from leigh_mlops.scores.rescue import PlateWells, Rescue, no_effect_p, percent_rescue, rescue
from leigh_mlops.screening.treatment_activity import ACTIVITY_COLUMNS, TreatmentActivity, is_elsewhere, is_toxic

__all__ = [
    "DOSE_COLUMNS",
    "HIT_COLUMNS",
    "HIT_FDR",
    "CompoundOutcome",
    "DoseColumn",
    "TreatedWells",
    "UnscoredWells",
    "compound_tables",
    "count_unscored_wells",
    "dose_column",
]

HIT_FDR = 0.05
"""False discovery rate below which a compound can be a hit."""

MIN_HIT_WELLS = 2
"""Fewest wells of a hit."""

_TREATMENT_COLUMNS = [
    "wells", "plates", "rescue", "rescue_low", "rescue_high", "interval", "plate_sd", "z", "p", "q", *ACTIVITY_COLUMNS,
]  # fmt: skip
HIT_COLUMNS = ["compound", "dose", *_TREATMENT_COLUMNS, "activity_q", "hit", "outcome"]
DOSE_COLUMNS = ["compound", "dose", *_TREATMENT_COLUMNS, "fitted"]
_CURVE_COLUMNS = ["ec50", "ec50_low", "ec50_high", "hill", "curve_refusal"]

Doubles = npt.NDArray[np.float64]


class CompoundOutcome(StrEnum):
    """Outcomes of a compound's test; their numbers are those of its row."""

    HIT = "hit"
    FEW_CELLS = "few cells"
    ELSEWHERE = "elsewhere"
    NO_RESCUE = "no well has a rescue"
    SEEN_CONTROLS = "seen controls"
    ONE_WELL = "one well"
    UNTESTED = "untested"
    NO_DIFFERENCE = "no difference"
    WORSENED = "away from health"
    UNSURE = "interval holds 0"


class TreatedWells(NamedTuple):
    """Treated wells and the controls of their plates.

    Attributes:
        wells: Table with ``Metadata_Plate``, ``score``, ``rescue``, ``robust_z``, ``compound`` and, if doses
            are given, ``dose``.
        controls: Scores of the ``source`` and ``target`` controls of each plate.
        seen: Plates whose controls the model has seen; no compound is tested on them.
        activity: Movement and cells of all wells of the job, whose places are the index of ``wells``; None if they
            are not known.
    """

    wells: pd.DataFrame
    controls: dict[str, dict[str, Doubles]]
    seen: frozenset[str] = frozenset()
    activity: TreatmentActivity | None = None


class UnscoredWells(NamedTuple):
    """Treated wells that are left out of the compounds.

    Attributes:
        lost: Number of wells without a rescue.
        undosed: Number of wells without a dose, or with dose 0, of compounds that have doses.
    """

    lost: int = 0
    undosed: int = 0


class DoseColumn(NamedTuple):
    """Column of doses.

    Attributes:
        name: The column; None if there is none.
        candidates: Columns among which one must be named, if several are possible.
    """

    name: str | None
    candidates: tuple[str, ...] = ()


def compound_tables(treated: TreatedWells, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a table of compounds, the surest hits first, and one of their doses, empty if no doses are given.

    A compound that was given in several doses is tested at its strongest one: the dose with the
    smallest p among those with two wells and a rescue above 0, else among all; p is multiplied by
    the number of doses (Bonferroni). The interval is of that dose alone. A dose of 0 does not count
    as a dose. q is adjusted over all compounds. Each row has its `CompoundOutcome`, also that of a
    compound of which no well has a rescue.

    On three plates or more, the plate is a random effect (`scores.plate_replicates`). A compound that leaves few
    cells, or whose wells move farther elsewhere than along the axis of rescue, is no hit, and doses that do so
    are not preferred as the strongest.

    Args:
        treated: The wells and their controls.
        seed: Seed of the bootstraps.
    """
    with_doses = "dose" in treated.wells
    hits, doses = _test_compounds(treated, seed)
    table = pd.DataFrame(hits, columns=[*HIT_COLUMNS[:-2], *(_CURVE_COLUMNS if with_doses else []), "seen"])
    for name in ("", "activity_"):
        table[f"{name}q"] = false_discovery_rate(table[f"{name}p"].to_numpy(float))
    table["outcome"] = pd.Series([_find_outcome(row) for _, row in table.iterrows()], table.index, dtype=object)
    table["hit"] = table["outcome"] == CompoundOutcome.HIT
    ordered = [*HIT_COLUMNS, *(_CURVE_COLUMNS if with_doses else [])]
    if not with_doses:
        ordered.remove("dose")
    by_dose = pd.DataFrame(doses, columns=DOSE_COLUMNS)
    by_dose["q"] = false_discovery_rate(by_dose["p"].to_numpy(float))
    table = table.sort_values(["hit", "q", "rescue"], ascending=[False, True, False])
    return table[ordered].reset_index(drop=True), by_dose


def count_unscored_wells(treated: TreatedWells) -> UnscoredWells:
    """Count the treated wells that are left out of the compounds."""
    wells = treated.wells
    lost = int(wells[JobColumn.RESCUE].isna().sum())
    if "dose" not in wells:
        return UnscoredWells(lost)
    dosed = wells["dose"] > 0
    elsewhere = dosed.groupby(wells["compound"]).transform("any").astype(bool)
    return UnscoredWells(lost, int((elsewhere & ~dosed).sum()))


def dose_column(table: pd.DataFrame, requested: str | None = None) -> DoseColumn:
    """Find the column of doses.

    If no name is given, it is the one numeric ``Metadata_`` column whose name contains ``dose``,
    ``concentration``, ``moles_per_liter`` or ``g_per_ml``, or ends in ``_M``, ``_mM``, ``_uM`` or
    ``_nM``, and which has at least two different values above 0.

    Args:
        table: One row per field or well.
        requested: Name of the column, with or without ``Metadata_``.

    Returns:
        The column; none if several are possible.

    Raises:
        LeighError: The given column does not exist or is not numeric.

    Example:
        >>> dose_column(pd.DataFrame({"Metadata_mmoles_per_liter": [0.1, 1.0]}))
        DoseColumn(name='Metadata_mmoles_per_liter', candidates=())
    """
    if requested is not None:
        return DoseColumn(_requested_column(table, requested))
    found = [str(name) for name in table if is_metadata(name) and is_dose_name(str(name)) and _has_doses(table[name])]
    return DoseColumn(found[0]) if len(found) == 1 else DoseColumn(None, tuple(found))


def _test_compounds(treated: TreatedWells, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the compounds and rows of their doses."""
    new = ~treated.wells[Metadata.PLATE].astype(str).isin(treated.seen)
    scored = treated.wells[JobColumn.RESCUE].notna()
    # Plates with unseen controls are more reliable; the others count only for compounds that have no such plate.
    reliable = new & scored
    counted = new | ~reliable.groupby(treated.wells["compound"]).transform("any").astype(bool)
    wells = treated.wells[counted & treated.wells["compound"].isin(treated.wells.loc[scored, "compound"])]
    hits, doses = [], []
    for compound, rows in wells.groupby("compound", sort=True):
        if "dose" in rows and (rows.loc[scored[rows.index], "dose"] > 0).any():
            each, found = _test_doses(str(compound), rows, treated, seed)
        else:
            each, found = [], {"compound": compound, "dose": math.nan} | _test_treatment(rows, treated, seed)
        seen = not reliable[rows.index].any()
        for row in (found, *each):
            row["p"] = math.nan if seen else row["p"]
        hits.append(found | {"seen": seen})
        doses += each
    lacking = treated.wells[~treated.wells["compound"].isin(wells["compound"])]
    unscored = [
        {"compound": compound, "wells": 0, "plates": 0, "seen": False} | _measure_activity(rows, treated)
        for compound, rows in lacking.groupby("compound", sort=True)
    ]
    return [*hits, *unscored], doses


def _test_doses(
    compound: str, rows: pd.DataFrame, treated: TreatedWells, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    curve = fit_dose_response(*rows.dropna(subset=["dose", JobColumn.RESCUE])[["dose", "rescue"]].to_numpy(float).T)
    each = []
    for dose, of_dose in rows[rows["dose"] > 0].groupby("dose", sort=True):
        if of_dose[JobColumn.RESCUE].isna().all():
            continue
        fitted = float(curve([float(dose)])[0])  # type: ignore[arg-type]
        each.append({"compound": compound, "dose": dose, "fitted": fitted} | _test_treatment(of_dose, treated, seed))
    rescuing = [row for row in each if row["wells"] >= MIN_HIT_WELLS and row["rescue"] > 0]
    harmless = [row for row in rescuing if not is_toxic(row) and not is_elsewhere(row)]
    # A dose has no p where its plates' controls do not vary; it is never preferred as the strongest.
    best = min(harmless or rescuing or each, key=lambda row: math.inf if math.isnan(row["p"]) else row["p"])
    tested = sum(not math.isnan(row["p"]) for row in each)
    found = {name: value for name, value in best.items() if name != "fitted"} | {
        "p": float(np.minimum(1.0, best["p"] * tested))
    }
    fit = {"ec50": curve.ec50, "ec50_low": curve.low, "ec50_high": curve.high, "hill": curve.hill}
    return each, found | fit | {"curve_refusal": curve.refusal}


def _test_treatment(rows: pd.DataFrame, treated: TreatedWells, seed: int) -> dict[str, Any]:
    """Rescue, z and p of the wells of a treatment that have a rescue, and activity of all, also of emptied ones."""
    scored = rows[rows[JobColumn.RESCUE].notna()]
    plates = [
        PlateWells(each[JobColumn.SCORE].to_numpy(float), **treated.controls[str(plate)])
        for plate, each in scored.groupby(Metadata.PLATE, sort=True)
    ]
    found: Rescue = rescue(plates, seed=seed)
    p = found.p
    if math.isnan(p):
        p = no_effect_p(
            [percent_rescue(plate.wells, plate.source, plate.target) for plate in plates],
            [percent_rescue(plate.source, plate.source, plate.target) for plate in plates],
        )
    z = scored[JobColumn.ROBUST_Z].dropna()
    return {
        "wells": found.wells,
        "plates": found.plates,
        "rescue": found.percent,
        "rescue_low": found.low,
        "rescue_high": found.high,
        "interval": found.interval_method,
        "plate_sd": found.between_plates,
        "z": float(z.median()) if len(z) else math.nan,
        "p": p,
        **_measure_activity(rows, treated),
    }


def _measure_activity(rows: pd.DataFrame, treated: TreatedWells) -> dict[str, float]:
    if treated.activity is None:
        return dict.fromkeys(ACTIVITY_COLUMNS, math.nan)
    return treated.activity.measure(rows.index.to_numpy(np.int64))


def _find_outcome(row: "pd.Series[Any]") -> CompoundOutcome:
    """Return the outcome of a compound, from its row."""
    values = {str(name): value for name, value in row.items()}
    checks = {
        CompoundOutcome.FEW_CELLS: is_toxic(values),
        CompoundOutcome.NO_RESCUE: not row["wells"],
        CompoundOutcome.SEEN_CONTROLS: row["seen"],
        CompoundOutcome.ONE_WELL: row["wells"] < MIN_HIT_WELLS,
        CompoundOutcome.UNTESTED: math.isnan(row["q"]),
        CompoundOutcome.NO_DIFFERENCE: row["q"] >= HIT_FDR,
        CompoundOutcome.WORSENED: row["rescue"] <= 0,
        CompoundOutcome.UNSURE: not row["rescue_low"] > 0,
        CompoundOutcome.ELSEWHERE: is_elsewhere(values),
    }
    return next((outcome for outcome, holds in checks.items() if holds), CompoundOutcome.HIT)


def _requested_column(table: pd.DataFrame, requested: str) -> str:
    name = requested if requested in table else add_metadata_prefix(requested)
    if name not in table:
        raise LeighError(f"--doses {requested!r} is not a column of the data; name one of its plate map.")
    if not is_numeric_dtype(table[name]):
        raise LeighError(f"--doses {requested!r} has values that are not numbers; correct the plate map.")
    return name


def _has_doses(column: "pd.Series[float]") -> bool:
    return is_numeric_dtype(column) and len(np.unique(column[column > 0])) > 1
