"""Changes made by a job's counterfactuals: table, figure and sentences."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leigh_mlops.job_columns import AFTER, IMAGE, ColumnFamily, JobColumn, counterfactual_family
from leigh_mlops.plates import write_table
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.change_charts import ChangeDirection, change_figure, change_sentences
from leigh_mlops.report.style import save_figure
from leigh_mlops.report.table_columns import Columns, float_values, is_missing, row_count
from leigh_mlops.scores.paired_changes import paired_changes, well_means
from leigh_mlops.screening.well_table import VALID_STATUSES, counterfactual_kinds, well_names

__all__ = ["change_directions", "write_changes"]

_MAX_DRAWN = 3

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class _MeasuredFields:
    """Measures of N fields and of their counterfactuals.

    Attributes:
        measures: Names of the M measures.
        before: Measures of the images, shape (N, M).
        after: Measures of the counterfactuals, shape (N, M), NaN where there is none.
        wells: Well of each field, shape (N,).
        labels: Class that each field is labelled as, None for none, shape (N,).
        seen: Whether the model has seen each field, shape (N,).
    """

    measures: Sequence[str]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    wells: NDArray[np.object_]
    labels: NDArray[np.object_]
    seen: Booleans


def write_changes(out: Path, fields: Columns, classes: Sequence[str]) -> list[str]:
    """Write ``changes.csv`` of all kinds and ``changes.png`` of the most informative kind.

    Args:
        out: The job's folder.
        fields: Columns of the table of fields.
        classes: Names of the model's classes, in their order.

    Returns:
        Sentences on what changes; none if the counterfactuals were not measured.
    """
    found = {kind: change_directions(fields, kind, classes) for kind in counterfactual_kinds(fields)}
    found = {kind: directions for kind, directions in found.items() if directions}
    if not found:
        return []
    rows = [row for kind, directions in found.items() for each in directions for row in _change_rows(kind, each)]
    write_table(pd.DataFrame(rows), out / "changes.csv")
    kind, directions = next(iter(found.items()))
    most = sorted(range(len(directions)), key=lambda place: -directions[place].wells)[:_MAX_DRAWN]
    shown = [directions[place] for place in sorted(most)]
    heading, notes = f"What counterfactuals change ({kind})", []
    if len(directions) > len(shown):
        heading += f", the {len(shown)} of {len(directions)} directions with the most wells"
        notes = [
            f"The figure and these sentences hold the {len(shown)} directions with the most wells; "
            f"changes.csv holds all {len(directions)}."
        ]
    save_figure(change_figure(shown, heading), out / "changes.png")
    return [sentence for each in shown for sentence in change_sentences(each)] + notes


def change_directions(fields: Columns, kind: str, classes: Sequence[str]) -> list[ChangeDirection]:
    """Measure what counterfactuals of one kind that are not red change, from each predicted class to each target.

    Only wells that the model has not seen are used; if fewer than two of them are left, all wells are used.
    The real difference is taken over all wells that are labelled as one of the two classes.

    Args:
        fields: Columns of the table of fields, with ``image_<measure>`` and ``counterfactual_<kind>_after_<measure>``.
        kind: Kind of counterfactual, one of `explanations.KINDS`.
        classes: Names of the model's classes, in their order.

    Returns:
        One direction for each pair of classes with such a counterfactual; none if nothing was measured.
    """
    after = ColumnFamily(counterfactual_family(kind)(AFTER.prefix))
    measures = list(after.select(fields))
    if not measures:
        return []
    measured = _measured_fields(fields, measures, after)
    predicted, targets = (np.asarray(fields[name], object) for name in (JobColumn.PREDICTED, JobColumn.TARGET))
    statuses = fields[counterfactual_family(kind)("status")]
    made = np.asarray([not is_missing(status) for status in statuses], bool)
    is_valid = np.asarray([status in VALID_STATUSES for status in statuses], bool)
    found = []
    for source, target in permutations(classes, 2):
        tried = made & (predicted == source) & (targets == target)
        if (tried & is_valid).any():
            found.append(_change_direction(measured, tried, is_valid, (source, target)))
    return found


def _measured_fields(fields: Columns, measures: Sequence[str], after: ColumnFamily) -> _MeasuredFields:
    nothing = [None] * row_count(fields)
    return _MeasuredFields(
        measures,
        before=np.stack([float_values(fields[IMAGE(measure)]) for measure in measures], axis=1),
        after=np.stack([float_values(fields[after(measure)]) for measure in measures], axis=1),
        wells=np.asarray(well_names(fields), object),
        labels=np.asarray(fields.get(Metadata.CONDITION, nothing), object),
        seen=np.asarray(fields[JobColumn.SEEN], bool),
    )


def _change_direction(
    measured: _MeasuredFields, tried: Booleans, is_valid: Booleans, classes: tuple[str, str]
) -> ChangeDirection:
    """Measure one direction, from the fields (N,) with such counterfactuals, and those whose one is valid."""
    wells = measured.wells
    unseen = len(set(wells[tried & is_valid & ~measured.seen])) >= 2
    of_wells = tried & ~measured.seen if unseen else tried
    used = of_wells & is_valid
    labelled = [measured.labels == name for name in classes]
    source, target = (well_means(measured.before[own], list(wells[own])) for own in labelled)
    changes = paired_changes(
        measured.before[used], measured.after[used], list(wells[used]), source=source, target=target
    )
    named = dict(zip(measured.measures, changes, strict=True))
    return ChangeDirection(*classes, named, len(set(wells[used])), unseen, int((of_wells & ~is_valid).sum()))


def _change_rows(kind: str, direction: ChangeDirection) -> list[dict[str, Any]]:
    about = {
        "kind": kind, "source": direction.source, "target": direction.target,
        "unseen_wells_only": direction.unseen, "fields_left_out": direction.left_out,
    }  # fmt: skip
    return [
        {
            **about,
            "measure": measure,
            **asdict(change),
            "classes_differ": change.has_class_difference,
            "signs_agree": change.has_matching_sign,
            "ratio": change.ratio,
        }
        for measure, change in direction.changes.items()
    ]
