"""Conversion of a job's tables to plain columns, once, for its sentences, figures and pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.jobs.reporting.set_sentences import describe_set
from leigh_mlops.plates import well_compounds
from leigh_mlops.report.table_columns import Columns, FrameColumns, drop_empty, is_missing, row_count
from leigh_mlops.screening.reference_classes import ReferenceClasses
from leigh_mlops.screening.screen import Screen

__all__ = ["JobTables", "job_tables"]

_HIT_COLUMNS = [
    "compound", "dose", "hit", "rescue", "rescue_interval", "q", "cell_share", "off_axis", "activity", "activity_q",
    "wells", "ec50", "reason",
]  # fmt: skip
_DOSE_COLUMNS = [
    "compound", "dose", "wells", "rescue", "rescue_interval", "rescue_low", "rescue_high", "q", "cell_share",
    "off_axis", "activity", "fitted",
]  # fmt: skip


@dataclass(frozen=True)
class JobTables:
    """Results of a job as plain columns and numbers, for sentences, figures and pages.

    Attributes:
        fields: Columns of the table of fields.
        wells: Columns of the table of wells, with ``compound``, ``quality`` (the share of fields that count)
            and ``rescue_interval``, as far as they are known; ``prediction_set`` is a text, see `describe_set`.
        hits: Columns of the table of compounds, or of misclassified wells.
        plates: Columns of the table of plates.
        doses: Columns of the table of doses.
        failures: ``path`` and ``reason`` of the files that could not be explained.
        methods: Rows of ``methods.csv``; none if nothing was checked.
        confounds: Scores of the model, intensities and position, see `Screen`.
        verdicts: Columns of the table of counterfactuals, see `counterfactual_table`.
        clusters: Columns of the table of clusters of heatmaps, see `cluster_table`.
        calibration: Calibration of the model; None if it is not known.
        reference: The diseased and the healthy class; None if there is no rescue.
    """

    fields: Columns
    wells: Columns
    hits: Columns = field(default_factory=dict)
    plates: Columns = field(default_factory=dict)
    doses: Columns = field(default_factory=dict)
    failures: Columns = field(default_factory=dict)
    methods: Sequence[Mapping[str, Any]] = ()
    confounds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    verdicts: Columns = field(default_factory=dict)
    clusters: Columns = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    reference: ReferenceClasses | None = None


def job_tables(
    screened: Screen,
    failures: pd.DataFrame,
    methods: Sequence[Mapping[str, Any]] = (),
    verdicts: pd.DataFrame | None = None,
    clusters: pd.DataFrame | None = None,
) -> JobTables:
    """Convert the tables of a job to plain columns.

    Args:
        screened: Screen of the job.
        failures: Table with ``path`` and ``reason``.
        methods: Rows of ``methods.csv``.
        verdicts: Table of counterfactuals.
        clusters: Table of clusters of heatmaps.
    """
    wells = _list_columns(screened.wells)
    if JobColumn.FIELDS_LEFT_OUT in wells:
        used, left = (np.asarray(wells[name], float) for name in (JobColumn.FIELDS, JobColumn.FIELDS_LEFT_OUT))
        wells["quality"] = (used / (used + left)).tolist()
    if JobColumn.SET in wells:
        wells[JobColumn.SET] = list(map(describe_set, wells[JobColumn.SET]))
    wells["compound"] = well_compounds(screened.wells).tolist()
    return JobTables(
        fields=FrameColumns(screened.fields),
        wells=_add_interval(wells),
        hits=_select_columns(_list_columns(screened.hits), _HIT_COLUMNS),
        plates=_list_columns(screened.plates),
        doses=_select_columns(_list_columns(screened.doses), _DOSE_COLUMNS),
        failures=_list_columns(failures[["path", "reason"]]),
        methods=methods,
        confounds=screened.confounds,
        verdicts={} if verdicts is None else _list_columns(verdicts),
        clusters={} if clusters is None else drop_empty(_list_columns(clusters)) if len(clusters) else {},
        calibration=screened.calibration,
        reference=screened.reference,
    )


def _list_columns(table: pd.DataFrame) -> dict[str, Sequence[Any]]:
    return {str(name): table[name].tolist() for name in table}


def _add_interval(table: Columns) -> Columns:
    """Add a column with both ends of the interval of rescue as text."""
    if not {JobColumn.RESCUE_LOW, JobColumn.RESCUE_HIGH} <= set(table):
        return table
    ends = zip(table[JobColumn.RESCUE_LOW], table[JobColumn.RESCUE_HIGH], strict=True)
    texts = [None if is_missing(low + high) else f"{low:.0f} to {high:.0f}" for low, high in ends]
    return {**table, JobColumn.RESCUE_INTERVAL: texts}


def _select_columns(table: Columns, columns: Sequence[str]) -> Columns:
    """Select the given columns of a table of compounds, or all of another table, without empty ones."""
    table = _add_interval(table)
    known = [name for name in columns if name in table] if "compound" in table else list(table)
    return drop_empty({name: table[name] for name in known}) if row_count(table) else table
