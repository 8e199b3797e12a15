"""Results of many finished jobs as numbers, to show what changes from night to night."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.job_columns import JobColumn
from leigh_mlops.jobs.job_file import read_job
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.spreadsheet_text import unquote_formulas

__all__ = ["Nights", "collect_nights"]

_COLUMNS = ["begun", "model", "folder", "plate", "fields", "failed", "flagged", "z_prime_log_odds", "believed"]
# The kinds that claim to be the target, the most informative first.
_CLAIMING_KINDS = ("typical", "confident", "alpha_1")


@dataclass(frozen=True)
class Nights:
    """Results of finished jobs.

    Attributes:
        table: One row for each plate of each job, in the order in which the jobs began: ``begun``, ``model``,
            ``folder``, ``plate``, number of ``fields`` that were explained, share ``failed`` (of the job), share
            ``flagged`` (of the plate), ``z_prime_log_odds`` of its controls, and share ``believed``, of the job's
            counterfactuals that most independent classifiers take for their target. Shares are 0 to 1; what is not
            known is NaN. A job of which every field failed has one row without a plate.
        left_out: Folders that hold no finished job, each with the reason.
    """

    table: pd.DataFrame
    left_out: dict[Path, str]


def collect_nights(folders: Iterable[Path]) -> Nights:
    """Read the tables of finished jobs; no image is read.

    Args:
        folders: Output folders of jobs.

    Raises:
        LeighError: None of them holds a finished job.
    """
    rows: list[dict[str, Any]] = []
    left_out: dict[Path, str] = {}
    for folder in folders:
        try:
            rows += _job_rows(folder)
        except (LeighError, OSError, ValueError, KeyError, TypeError) as error:  # damaged or foreign files
            left_out[folder] = str(error) if isinstance(error, LeighError) else f"its files can't be read ({error})"
    if not rows:
        reasons = "; ".join(f"{escape_unprintable(folder)}: {reason}" for folder, reason in list(left_out.items())[:3])
        raise LeighError(
            f"There is no finished job ({reasons or 'no folder'}); pass folders that explain has finished."
        )
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return Nights(table.sort_values(["begun", "folder", "plate"], ignore_index=True, kind="stable"), left_out)


def _job_rows(folder: Path) -> list[dict[str, Any]]:
    job = read_job(folder)
    if not job:
        raise LeighError("it holds no job")
    if not job.get("finished"):
        raise LeighError("its job is not finished")
    common = {
        "begun": pd.Timestamp(job.get("begun") or job["ended"]).isoformat(),
        "model": str(job["model"]),
        "folder": escape_unprintable(folder),
        "failed": job["failed"] / max(1, job["fields"]),
        "believed": _believed_share(folder / "counterfactuals.csv"),
    }
    fields = pd.read_parquet(folder / "fields.parquet")
    if fields.empty:
        return [common | {"plate": "", "fields": 0}]
    factors = _control_factors(folder / "plates.csv")
    plates = fields.groupby(fields[Metadata.PLATE].astype(str), sort=True)
    return [
        common
        | {"plate": plate, "fields": len(own), "flagged": _flagged_share(own), "z_prime_log_odds": factors.get(plate)}
        for plate, own in plates
    ]


def _flagged_share(fields: pd.DataFrame) -> float | None:
    if JobColumn.TRUST not in fields:
        return None
    # Jobs of earlier versions flagged each field of a plate that the model had not seen.
    reasons = fields[JobColumn.TRUST].fillna("").map(lambda text: set(text.split("; ")) - {"", "other plate"})
    return float((reasons.map(len) > 0).mean())


def _control_factors(path: Path) -> dict[str, float]:
    """Z' of log-odds by plate; in tables of version 0.1.0 it is called ``z_prime``."""
    table = _read_csv(path)
    column = next((name for name in ("z_prime_log_odds", "z_prime") if name in table), None)
    if column is None:
        return {}
    return dict(zip(table[Metadata.PLATE].astype(str), table[column].astype(float), strict=True))


def _believed_share(path: Path) -> float | None:
    table = _read_csv(path)
    if not {"images", "fields", "most_oracles"} <= set(table):
        return None
    table = table.dropna(subset="most_oracles")
    for kind in _CLAIMING_KINDS:
        own = table[table["images"] == kind]
        if own["fields"].sum():
            return float((own["most_oracles"] * own["fields"]).sum() / own["fields"].sum())
    return None


def _read_csv(path: Path) -> pd.DataFrame:
    return unquote_formulas(pd.read_csv(path)) if path.is_file() else pd.DataFrame()
