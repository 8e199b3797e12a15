"""What a job's counterfactuals change: table, figure and sentences."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.jobs.fields_table import holding, kinds_in, well_names
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.report.changes import Direction, change_figure, change_sentences
from leigh_mlops.report.style import save_figure
from leigh_mlops.scores.changes import paired_changes, well_means

__all__ = ["directions_of", "write_changes"]

_DRAWN = 3


def write_changes(out: Path, fields: pd.DataFrame, package: ModelPackage) -> list[str]:
    """Write ``changes.csv`` of all kinds and ``changes.png`` of the kind that says most.

    Args:
        out: The job's folder.
        fields: The table of fields.
        package: The model.

    Returns:
        What changes, in sentences; none where no measures of counterfactuals were taken.
    """
    found = {kind: directions_of(fields, kind, package.model.spec.classes) for kind in kinds_in(fields)}
    found = {kind: directions for kind, directions in found.items() if directions}
    if not found:
        return []
    rows = [row for kind, directions in found.items() for each in directions for row in _rows(kind, each)]
    write_table(pd.DataFrame(rows), out / "changes.csv")
    kind, directions = next(iter(found.items()))
    most = sorted(range(len(directions)), key=lambda place: -directions[place].wells)[:_DRAWN]
    shown = [directions[place] for place in sorted(most)]
    heading, said = f"What counterfactuals change ({kind})", []
    if len(directions) > len(shown):
        heading += f", the {len(shown)} of {len(directions)} directions with the most wells"
        said = [
            f"The figure and these sentences hold the {len(shown)} directions with the most wells; "
            f"changes.csv holds all {len(directions)}."
        ]
    save_figure(change_figure(shown, heading), out / "changes.png")
    return [sentence for each in shown for sentence in change_sentences(each)] + said


def directions_of(fields: pd.DataFrame, kind: str, classes: Sequence[str]) -> list[Direction]:
    """What the counterfactuals of one kind change that are not red, from each predicted class to each target.

    The model is judged on wells that it has not seen; where it has seen all but one, on all.
    The real difference is that of all wells that are labelled as one of the two classes.

    Args:
        fields: The table of fields, with ``image_<measure>`` and ``counterfactual_<kind>_after_<measure>``.
        kind: Of `explanations.KINDS`.
        classes: Names of the model's classes, in their order.

    Returns:
        One direction for each pair of classes with such a counterfactual; none where nothing was measured.
    """
    after = f"counterfactual_{kind}_after_"
    measures = [str(name).removeprefix(after) for name in fields if str(name).startswith(after)]
    if not measures:
        return []
    pairs = [(source, target) for source in classes for target in classes if source != target]
    found = []
    for source, target in pairs:
        tried = fields[(fields["predicted"] == source) & (fields["counterfactual_target"] == target)]
        tried = tried.dropna(subset=[f"counterfactual_{kind}_light"])
        holds = holding(tried, kind)
        if holds.any():
            found.append(_direction(fields, tried, holds, (source, target), measures, after))
    return found


def _direction(
    fields: pd.DataFrame,
    tried: pd.DataFrame,
    holds: "pd.Series[bool]",
    classes: tuple[str, str],
    measures: list[str],
    after: str,
) -> Direction:
    new = ~tried["seen"].astype(bool)
    unseen = len(set(well_names(tried[holds & new]))) >= 2
    of_wells = new | (not unseen)
    used = tried[holds & of_wells]
    befores = [f"image_{measure}" for measure in measures]
    changes = paired_changes(
        used[befores],
        used[[f"{after}{measure}" for measure in measures]],
        well_names(used),
        source=_labelled(fields, classes[0], befores),
        target=_labelled(fields, classes[1], befores),
    )
    wells, left_out = len(set(well_names(used))), int((~holds & of_wells).sum())
    return Direction(*classes, dict(zip(measures, changes, strict=True)), wells, unseen, left_out)


def _labelled(fields: pd.DataFrame, label: str, columns: list[str]) -> Any:  # noqa: ANN401
    """Measures of the wells of one class, shape (W, F)."""
    if "Metadata_Condition" not in fields:
        return np.empty((0, len(columns)))
    of_class = fields[fields["Metadata_Condition"] == label]
    return well_means(of_class[columns], well_names(of_class))


def _rows(kind: str, direction: Direction) -> list[dict[str, Any]]:
    about = {
        "kind": kind, "source": direction.source, "target": direction.target,
        "unseen_wells_only": direction.unseen, "fields_left_out": direction.left_out,
    }  # fmt: skip
    return [
        {
            **about,
            "measure": measure,
            **asdict(change),
            "classes_differ": change.differs,
            "signs_agree": change.agrees,
            "ratio": change.ratio,
        }
        for measure, change in direction.changes.items()
    ]
