"""Compounds: their replicates joined, tested, and followed over doses."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.report.words import counted
from leigh_mlops.scores.dose_response import fit_dose_response
from leigh_mlops.scores.fdr import false_discovery_rate
from leigh_mlops.scores.rescue import PlateWells, Rescue, no_effect_p, percent_rescue, rescue

__all__ = ["CALLED", "DOSES", "HITS", "Treated", "compound_tables", "on_compounds", "on_wells"]

CALLED = 0.05
"""False discovery rate at which a compound is called."""

FEWEST_WELLS = 2
"""A single well is never a hit."""

HITS = [
    "compound", "dose", "wells", "plates", "rescue", "rescue_low", "rescue_high", "interval", "z", "p", "q", "hit",
    "reason",
]  # fmt: skip
DOSES = ["compound", "dose", *HITS[2:11], "fitted"]
_CURVE = ["ec50", "ec50_low", "ec50_high", "hill", "curve_note"]

Doubles = npt.NDArray[np.float64]


class Treated(NamedTuple):
    """Wells to which something was added, with what they are measured by.

    Attributes:
        wells: With ``Metadata_Plate``, ``score``, ``rescue``, ``robust_z``, ``compound`` and, where doses
            are given, ``dose``.
        controls: Scores of the ``source`` and ``target`` controls of each plate.
        seen: Plates whose controls the model has seen: no compound is tested there.
    """

    wells: pd.DataFrame
    controls: dict[str, dict[str, Doubles]]
    seen: frozenset[str] = frozenset()


def compound_tables(treated: Treated, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per compound, the surest first, and one per compound and dose, empty where no doses are given.

    A compound that was given in several doses is judged by its strongest one: the dose with the
    smallest p among those with two wells and a rescue above 0, else among all; p is multiplied by
    the number of doses (Bonferroni). The interval is of that dose alone. Dose 0 is no dose. q is
    over all compounds. A compound of which no well has a rescue has a row that says so.

    Args:
        treated: The wells and their controls.
        seed: Of the bootstraps.
    """
    with_doses = "dose" in treated.wells
    hits, doses = _judged(treated, seed)
    table = pd.DataFrame(hits, columns=[*HITS[:-2], *(_CURVE if with_doses else []), "seen"])
    table["q"] = false_discovery_rate(table["p"].to_numpy(float))
    called = [_called(row) for _, row in table.iterrows()]
    table["hit"] = pd.Series([not reason for reason in called], table.index, dtype=bool)
    table["reason"] = [
        f"{reason or _said(row)}{_curve(row)}" for reason, (_, row) in zip(called, table.iterrows(), strict=True)
    ]
    ordered = [*HITS, *(_CURVE if with_doses else [])]
    if not with_doses:
        ordered.remove("dose")
    by_dose = pd.DataFrame(doses, columns=DOSES)
    by_dose["q"] = false_discovery_rate(by_dose["p"].to_numpy(float))
    table = table.sort_values(["hit", "q", "rescue"], ascending=[False, True, False])
    return table[ordered].reset_index(drop=True), by_dose


def on_wells(treated: Treated) -> list[str]:
    """How many treated wells count for no compound, and why, in sentences."""
    wells, said = treated.wells, []
    if lost := int(wells["rescue"].isna().sum()):
        said.append(
            f"No rescue for {counted(lost, 'treated well')}, for want of controls on the same plate that differ or of "
            "fields that count; no compound is judged by such a well."
        )
    if "dose" in wells:
        dosed = wells["dose"] > 0
        elsewhere = dosed.groupby(wells["compound"]).transform("any").astype(bool)
        if undosed := int((elsewhere & ~dosed).sum()):
            has = "has" if undosed == 1 else "have"
            said.append(
                f"{counted(undosed, 'well')} of compounds with doses {has} none, or dose 0; such wells are tested with "
                "no dose of their compound."
            )
    return said


def on_compounds(hits: pd.DataFrame, dose_column: str | None) -> list[str]:
    """What the tables of compounds say, in sentences."""
    everything, hits = hits, hits[hits["q"].notna()]
    if hits.empty:
        return ["No compound could be judged; the column reason of hits.csv says why."]
    called = hits[hits["hit"]]
    named = "; ".join(f"{row.compound} ({row.reason})" for row in called.head(3).itertuples())
    more = " and others" if len(called) > 3 else ""
    said = [
        f"{len(called)} of {counted(len(hits), 'compound')} {'is a hit' if len(called) == 1 else 'are hits'} at a "
        f"false discovery rate of {CALLED:.0%}" + (f": {named}{more}." if len(called) else ".")
    ]
    if others := len(everything) - len(hits):
        said.append(f"{counted(others, 'further compound')} could not be judged; hits.csv says why.")
    few = int(hits["wells"].between(2, 3).sum())
    if few:
        said.append(
            f"Intervals of {counted(few, 'compound')} with two or three wells are Student's and a little too narrow; "
            "repeat these before you build on them."
        )
    if dose_column is not None:
        fitted = int(hits["ec50"].notna().sum())
        has = "has" if fitted == 1 else "have"
        said.append(
            f"{fitted} of {counted(len(hits), 'compound')} {has} a dose response with an EC50, in the unit of "
            f"{dose_column.removeprefix('Metadata_')}. A compound is judged by its strongest dose, and its interval "
            "is of that dose alone."
        )
    return said


def _judged(treated: Treated, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the compounds, and of their doses."""
    wells = treated.wells[treated.wells["rescue"].notna()]
    new = ~wells["Metadata_Plate"].astype(str).isin(treated.seen)
    # Plates whose controls are new say more than the others; these count where a compound has nothing else.
    wells = wells[new | ~new.groupby(wells["compound"]).transform("any").astype(bool)]
    hits, doses = [], []
    for compound, rows in wells.groupby("compound", sort=True):
        if "dose" in rows and (rows["dose"] > 0).any():
            each, found = _over_doses(str(compound), rows, treated.controls, seed)
        else:
            each, found = [], {"compound": compound, "dose": math.nan} | _measured(rows, treated.controls, seed)
        seen = not new[rows.index].any()
        for row in (found, *each):
            row["p"] = math.nan if seen else row["p"]
        hits.append(found | {"seen": seen})
        doses += each
    lacking = sorted(set(treated.wells["compound"]) - set(wells["compound"]))
    return [*hits, *({"compound": each, "wells": 0, "plates": 0, "seen": False} for each in lacking)], doses


def _over_doses(
    compound: str, rows: pd.DataFrame, controls: dict[str, dict[str, Doubles]], seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    curve = fit_dose_response(*rows.dropna(subset="dose")[["dose", "rescue"]].to_numpy(float).T)
    each = []
    for dose, of_dose in rows[rows["dose"] > 0].groupby("dose", sort=True):
        fitted = float(curve([float(dose)])[0])  # type: ignore[arg-type]
        each.append({"compound": compound, "dose": dose, "fitted": fitted} | _measured(of_dose, controls, seed))
    rescuing = [row for row in each if row["wells"] >= FEWEST_WELLS and row["rescue"] > 0]
    # A dose of one value throughout the controls has no p; it is no stronger than any other.
    best = min(rescuing or each, key=lambda row: math.inf if math.isnan(row["p"]) else row["p"])
    tested = sum(not math.isnan(row["p"]) for row in each)
    found = {name: value for name, value in best.items() if name != "fitted"} | {
        "p": float(np.minimum(1.0, best["p"] * tested))
    }
    fit = {"ec50": curve.ec50, "ec50_low": curve.low, "ec50_high": curve.high, "hill": curve.hill}
    return each, found | fit | {"curve_note": curve.reason}


def _measured(rows: pd.DataFrame, controls: dict[str, dict[str, Doubles]], seed: int) -> dict[str, Any]:
    """Rescue, z and p of wells that had the same treatment."""
    plates = [
        PlateWells(each["score"].to_numpy(float), **controls[str(plate)])
        for plate, each in rows.groupby("Metadata_Plate", sort=True)
    ]
    found: Rescue = rescue(plates, seed=seed)
    p = no_effect_p(
        [percent_rescue(plate.wells, plate.source, plate.target) for plate in plates],
        [percent_rescue(plate.source, plate.source, plate.target) for plate in plates],
    )
    z = rows["robust_z"].dropna()
    return {
        "wells": found.wells,
        "plates": found.plates,
        "rescue": found.percent,
        "rescue_low": found.low,
        "rescue_high": found.high,
        "interval": found.how,
        "z": float(z.median()) if len(z) else math.nan,
        "p": p,
    }


def _untested(row: "pd.Series[Any]") -> str:
    """Why a compound can't be judged; empty where it can."""
    if not row["wells"]:
        return "no well has a rescue, for want of controls on its plates that differ or of fields that count"
    if row["seen"]:
        return "not judged, as the model has seen the controls of its plates: without effect it could look rescued"
    if row["wells"] < FEWEST_WELLS:
        return "one well alone; repeat it"
    if math.isnan(row["q"]):
        return "no test, as the controls do not vary"
    return ""


def _called(row: "pd.Series[Any]") -> str:
    """Why a compound is no hit; empty where it is one."""
    if reason := _untested(row):
        return reason
    if row["q"] >= CALLED:
        return f"not told from the diseased controls (q {row['q']:.2g}, {row['wells']} wells)"
    if row["rescue"] <= 0:
        return f"away from health (rescue {row['rescue']:.0f} %, {row['wells']} wells)"
    if not row["rescue_low"] > 0:
        return f"the interval of its rescue holds 0 ({_interval(row)}, {row['wells']} wells)"
    return ""


def _said(row: "pd.Series[Any]") -> str:
    dose = row.get("dose", math.nan)
    of_dose = "" if math.isnan(dose) else f" at dose {dose:g}"
    return f"rescue {row['rescue']:.0f} % ({_interval(row)}){of_dose}, q {row['q']:.2g}, {row['wells']} wells"


def _curve(row: "pd.Series[Any]") -> str:
    if math.isnan(row.get("ec50", math.nan)):
        return ""
    return f"; dose response with EC50 {row['ec50']:.2g} ({row['ec50_low']:.2g} to {row['ec50_high']:.2g})"


def _interval(row: "pd.Series[Any]") -> str:
    return f"{row['rescue_low']:.0f} to {row['rescue_high']:.0f}"
