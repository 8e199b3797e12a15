"""Compounds: pooled replicates, tests for rescue, and dose responses."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import format_count
from leigh_mlops.scores.dose_response import fit_dose_response
from leigh_mlops.scores.fdr import false_discovery_rate
from leigh_mlops.scores.rescue import PlateWells, Rescue, no_effect_p, percent_rescue, rescue

__all__ = [
    "HIT_FDR",
    "DOSE_COLUMNS",
    "HIT_COLUMNS",
    "TreatedWells",
    "compound_tables",
    "describe_compounds",
    "describe_unscored_wells",
]

HIT_FDR = 0.05
"""False discovery rate below which a compound can be a hit."""

MIN_HIT_WELLS = 2
"""Fewest wells of a hit."""

HIT_COLUMNS = [
    "compound", "dose", "wells", "plates", "rescue", "rescue_low", "rescue_high", "interval", "z", "p", "q", "hit",
    "reason",
]  # fmt: skip
DOSE_COLUMNS = ["compound", "dose", *HIT_COLUMNS[2:11], "fitted"]
_CURVE_COLUMNS = ["ec50", "ec50_low", "ec50_high", "hill", "curve_note"]

Doubles = npt.NDArray[np.float64]


class TreatedWells(NamedTuple):
    """Treated wells and the controls of their plates.

    Attributes:
        wells: Table with ``Metadata_Plate``, ``score``, ``rescue``, ``robust_z``, ``compound`` and, if doses
            are given, ``dose``.
        controls: Scores of the ``source`` and ``target`` controls of each plate.
        seen: Plates whose controls the model has seen; no compound is tested on them.
    """

    wells: pd.DataFrame
    controls: dict[str, dict[str, Doubles]]
    seen: frozenset[str] = frozenset()


def compound_tables(treated: TreatedWells, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a table of compounds, the surest hits first, and one of their doses, empty if no doses are given.

    A compound that was given in several doses is tested at its strongest one: the dose with the
    smallest p among those with two wells and a rescue above 0, else among all; p is multiplied by
    the number of doses (Bonferroni). The interval is of that dose alone. A dose of 0 does not count
    as a dose. q is adjusted over all compounds. A compound of which no well has a rescue has a row
    that gives the reason.

    Args:
        treated: The wells and their controls.
        seed: Seed of the bootstraps.
    """
    with_doses = "dose" in treated.wells
    hits, doses = _test_compounds(treated, seed)
    table = pd.DataFrame(hits, columns=[*HIT_COLUMNS[:-2], *(_CURVE_COLUMNS if with_doses else []), "seen"])
    table["q"] = false_discovery_rate(table["p"].to_numpy(float))
    called = [_no_hit_reason(row) for _, row in table.iterrows()]
    table["hit"] = pd.Series([not reason for reason in called], table.index, dtype=bool)
    table["reason"] = [
        f"{reason or _describe_hit(row)}{_describe_curve(row)}"
        for reason, (_, row) in zip(called, table.iterrows(), strict=True)
    ]
    ordered = [*HIT_COLUMNS, *(_CURVE_COLUMNS if with_doses else [])]
    if not with_doses:
        ordered.remove("dose")
    by_dose = pd.DataFrame(doses, columns=DOSE_COLUMNS)
    by_dose["q"] = false_discovery_rate(by_dose["p"].to_numpy(float))
    table = table.sort_values(["hit", "q", "rescue"], ascending=[False, True, False])
    return table[ordered].reset_index(drop=True), by_dose


def describe_unscored_wells(treated: TreatedWells) -> list[str]:
    """Describe in sentences how many treated wells are left out of the compounds, and why."""
    wells, said = treated.wells, []
    if lost := int(wells["rescue"].isna().sum()):
        said.append(
            f"No rescue for {format_count(lost, 'treated well')}, for want of controls on the same plate that "
            "differ or of fields that count; no compound is judged by such a well."
        )
    if "dose" in wells:
        dosed = wells["dose"] > 0
        elsewhere = dosed.groupby(wells["compound"]).transform("any").astype(bool)
        if undosed := int((elsewhere & ~dosed).sum()):
            has = "has" if undosed == 1 else "have"
            said.append(
                f"{format_count(undosed, 'well')} of compounds with doses {has} none, or dose 0; "
                "such wells are tested with no dose of their compound."
            )
    return said


def describe_compounds(hits: pd.DataFrame, dose_column: str | None) -> list[str]:
    """Summarise the table of compounds in sentences."""
    everything, hits = hits, hits[hits["q"].notna()]
    if hits.empty:
        return ["No compound could be judged; the column reason of hits.csv says why."]
    called = hits[hits["hit"]]
    named = "; ".join(f"{row.compound} ({row.reason})" for row in called.head(3).itertuples())
    more = " and others" if len(called) > 3 else ""
    said = [
        f"{len(called)} of {format_count(len(hits), 'compound')} {'is a hit' if len(called) == 1 else 'are hits'} at a "
        f"false discovery rate of {HIT_FDR:.0%}" + (f": {named}{more}." if len(called) else ".")
    ]
    if others := len(everything) - len(hits):
        said.append(f"{format_count(others, 'further compound')} could not be judged; hits.csv says why.")
    few = int(hits["wells"].between(2, 3).sum())
    if few:
        said.append(
            f"Intervals of {format_count(few, 'compound')} with two or three wells are Student's and a little "
            "too narrow; repeat these before you build on them."
        )
    if dose_column is not None:
        fitted = int(hits["ec50"].notna().sum())
        has = "has" if fitted == 1 else "have"
        said.append(
            f"{fitted} of {format_count(len(hits), 'compound')} {has} a dose response with an EC50, in the unit of "
            f"{dose_column.removeprefix('Metadata_')}. A compound is judged by its strongest dose, and its interval "
            "is of that dose alone."
        )
    return said


def _test_compounds(treated: TreatedWells, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the compounds and rows of their doses."""
    wells = treated.wells[treated.wells["rescue"].notna()]
    new = ~wells[Metadata.PLATE].astype(str).isin(treated.seen)
    # Plates with unseen controls are more reliable; the others count only for compounds that have no such plate.
    wells = wells[new | ~new.groupby(wells["compound"]).transform("any").astype(bool)]
    hits, doses = [], []
    for compound, rows in wells.groupby("compound", sort=True):
        if "dose" in rows and (rows["dose"] > 0).any():
            each, found = _test_doses(str(compound), rows, treated.controls, seed)
        else:
            each, found = [], {"compound": compound, "dose": math.nan} | _test_treatment(rows, treated.controls, seed)
        seen = not new[rows.index].any()
        for row in (found, *each):
            row["p"] = math.nan if seen else row["p"]
        hits.append(found | {"seen": seen})
        doses += each
    lacking = sorted(set(treated.wells["compound"]) - set(wells["compound"]))
    return [*hits, *({"compound": each, "wells": 0, "plates": 0, "seen": False} for each in lacking)], doses


def _test_doses(
    compound: str, rows: pd.DataFrame, controls: dict[str, dict[str, Doubles]], seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    curve = fit_dose_response(*rows.dropna(subset="dose")[["dose", "rescue"]].to_numpy(float).T)
    each = []
    for dose, of_dose in rows[rows["dose"] > 0].groupby("dose", sort=True):
        fitted = float(curve([float(dose)])[0])  # type: ignore[arg-type]
        each.append({"compound": compound, "dose": dose, "fitted": fitted} | _test_treatment(of_dose, controls, seed))
    rescuing = [row for row in each if row["wells"] >= MIN_HIT_WELLS and row["rescue"] > 0]
    # A dose has no p where its plates' controls do not vary; it is never preferred as the strongest.
    best = min(rescuing or each, key=lambda row: math.inf if math.isnan(row["p"]) else row["p"])
    tested = sum(not math.isnan(row["p"]) for row in each)
    found = {name: value for name, value in best.items() if name != "fitted"} | {
        "p": float(np.minimum(1.0, best["p"] * tested))
    }
    fit = {"ec50": curve.ec50, "ec50_low": curve.low, "ec50_high": curve.high, "hill": curve.hill}
    return each, found | fit | {"curve_note": curve.reason}


def _test_treatment(rows: pd.DataFrame, controls: dict[str, dict[str, Doubles]], seed: int) -> dict[str, Any]:
    """Rescue, z and p of wells with the same treatment."""
    plates = [
        PlateWells(each["score"].to_numpy(float), **controls[str(plate)])
        for plate, each in rows.groupby(Metadata.PLATE, sort=True)
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
        "interval": found.interval_method,
        "z": float(z.median()) if len(z) else math.nan,
        "p": p,
    }


def _untested_reason(row: "pd.Series[Any]") -> str:
    """Return the reason why a compound was not tested; empty if it was."""
    if not row["wells"]:
        return "no well has a rescue, for want of controls on its plates that differ or of fields that count"
    if row["seen"]:
        return "not judged, as the model has seen the controls of its plates: without effect it could look rescued"
    if row["wells"] < MIN_HIT_WELLS:
        return "one well alone; repeat it"
    if math.isnan(row["q"]):
        return "no test, as the controls do not vary"
    return ""


def _no_hit_reason(row: "pd.Series[Any]") -> str:
    """Return the reason why a compound is not a hit; empty if it is one."""
    if reason := _untested_reason(row):
        return reason
    if row["q"] >= HIT_FDR:
        return f"not told from the diseased controls (q {row['q']:.2g}, {row['wells']} wells)"
    if row["rescue"] <= 0:
        return f"away from health (rescue {row['rescue']:.0f} %, {row['wells']} wells)"
    if not row["rescue_low"] > 0:
        return f"the interval of its rescue holds 0 ({_format_interval(row)}, {row['wells']} wells)"
    return ""


def _describe_hit(row: "pd.Series[Any]") -> str:
    dose = row.get("dose", math.nan)
    of_dose = "" if math.isnan(dose) else f" at dose {dose:g}"
    return f"rescue {row['rescue']:.0f} % ({_format_interval(row)}){of_dose}, q {row['q']:.2g}, {row['wells']} wells"


def _describe_curve(row: "pd.Series[Any]") -> str:
    if math.isnan(row.get("ec50", math.nan)):
        return ""
    return f"; dose response with EC50 {row['ec50']:.2g} ({row['ec50_low']:.2g} to {row['ec50_high']:.2g})"


def _format_interval(row: "pd.Series[Any]") -> str:
    return f"{row['rescue_low']:.0f} to {row['rescue_high']:.0f}"
