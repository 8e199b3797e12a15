"""Changes made by a job's counterfactuals: table, figure and sentences."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.job_columns import AFTER, IMAGE, ColumnFamily, JobColumn, counterfactual_family
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.change_charts import ChangeDirection, change_figure, change_sentences
from leigh_mlops.report.style import save_figure
from leigh_mlops.scores.paired_changes import paired_changes, well_means
from leigh_mlops.screening.well_table import counterfactual_kinds, is_valid_counterfactual, well_names

__all__ = ["change_directions", "write_changes"]

_MAX_DRAWN = 3


def write_changes(out: Path, fields: pd.DataFrame, package: ModelPackage) -> list[str]:
    """Write ``changes.csv`` of all kinds and ``changes.png`` of the most informative kind.

    Args:
        out: The job's folder.
        fields: The table of fields.
        package: The model.

    Returns:
        Sentences on what changes; none if the counterfactuals were not measured.
    """
    found = {kind: change_directions(fields, kind, package.model.spec.classes) for kind in counterfactual_kinds(fields)}
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


def change_directions(fields: pd.DataFrame, kind: str, classes: Sequence[str]) -> list[ChangeDirection]:
    """Measure what counterfactuals of one kind that are not red change, from each predicted class to each target.

    Only wells that the model has not seen are used; if fewer than two of them are left, all wells are used.
    The real difference is taken over all wells that are labelled as one of the two classes.

    Args:
        fields: The table of fields, with ``image_<measure>`` and ``counterfactual_<kind>_after_<measure>``.
        kind: Kind of counterfactual, one of `explanations.KINDS`.
        classes: Names of the model's classes, in their order.

    Returns:
        One direction for each pair of classes with such a counterfactual; none if nothing was measured.
    """
    after = ColumnFamily(counterfactual_family(kind)(AFTER.prefix))
    measures = list(after.select(fields))
    if not measures:
        return []
    pairs = [(source, target) for source in classes for target in classes if source != target]
    found = []
    for source, target in pairs:
        tried = fields[(fields[JobColumn.PREDICTED] == source) & (fields[JobColumn.TARGET] == target)]
        tried = tried.dropna(subset=[counterfactual_family(kind)("status")])
        holds = is_valid_counterfactual(tried, kind)
        if holds.any():
            found.append(_change_direction(fields, tried, holds, (source, target), measures, after))
    return found


def _change_direction(
    fields: pd.DataFrame,
    tried: pd.DataFrame,
    holds: "pd.Series[bool]",
    classes: tuple[str, str],
    measures: list[str],
    after: ColumnFamily,
) -> ChangeDirection:
    new = ~tried[JobColumn.SEEN].astype(bool)
    unseen = len(set(well_names(tried[holds & new]))) >= 2
    of_wells = new | (not unseen)
    used = tried[holds & of_wells]
    befores = [IMAGE(measure) for measure in measures]
    changes = paired_changes(
        used[befores],
        used[[after(measure) for measure in measures]],
        well_names(used),
        source=_labelled_well_means(fields, classes[0], befores),
        target=_labelled_well_means(fields, classes[1], befores),
    )
    wells, left_out = len(set(well_names(used))), int((~holds & of_wells).sum())
    return ChangeDirection(*classes, dict(zip(measures, changes, strict=True)), wells, unseen, left_out)


def _labelled_well_means(fields: pd.DataFrame, label: str, columns: list[str]) -> Any:  # noqa: ANN401
    """Measures of the wells of one class, shape (W, F)."""
    if Metadata.CONDITION not in fields:
        return np.empty((0, len(columns)))
    of_class = fields[fields[Metadata.CONDITION] == label]
    return well_means(of_class[columns], well_names(of_class))


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
