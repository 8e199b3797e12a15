"""Tables of a job's wells and of misclassified wells, from its fields."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype

from leigh_mlops.plates.columns import Metadata, is_metadata
from leigh_mlops.scores import aggregate_wells
from leigh_mlops.screening.field_table import WELL_COLUMNS, counterfactual_kinds, is_valid_counterfactual, well_names

__all__ = ["misclassified_wells", "well_table"]

_PICTURE_SUFFIX = "_full_colour"


def well_table(fields: pd.DataFrame, classes: Sequence[str], out: "pd.Series[bool] | None" = None) -> pd.DataFrame:
    """Build a table of one row per well: medians of numbers, shares of true values, and the number of fields.

    If the counterfactuals of one well lead to different classes, only those that lead to the most common
    one count; changes are taken only from those that are not red. Columns of single pictures are left out.

    Args:
        fields: The table of fields.
        classes: Names of the model's classes; none if it does not classify.
        out: Whether each field is left out of the well's class; by default none is. A well of such
            fields alone has no class and no probabilities.
    """
    grouped = fields.groupby(WELL_COLUMNS, sort=True)
    own = [str(name) for name in fields if not is_metadata(name)]
    kept = [str(name) for name in fields if is_metadata(name) and name not in WELL_COLUMNS]
    constant = [name for name in kept if grouped[name].nunique(dropna=False).max() <= 1]
    wells = grouped[constant].first().join(grouped.size().rename("fields"))
    if not len(fields):
        return wells.reset_index()
    counted = _mask_incomparable(fields)
    numbers = [name for name in counted[own].select_dtypes("number") if not str(name).endswith(_PICTURE_SUFFIX)]
    facts = [name for name in own if name != "seen" and is_bool_dtype(fields[name].dropna().infer_objects())]
    wells = wells.join(counted.groupby(WELL_COLUMNS)[numbers].median())
    wells = wells.join(
        counted[facts].astype("Float64").groupby([fields[name] for name in WELL_COLUMNS]).mean().astype(float)
    )
    if "counterfactual_target" in fields:
        wells = wells.join(counted.groupby(WELL_COLUMNS)["counterfactual_target"].first())
    used = fields if out is None else fields[~out]
    return _classify_wells(wells.join(grouped["seen"].any()), used, classes, len(constant)).reset_index()


def misclassified_wells(wells: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Wells that are classified as another class than their label, the most probable first."""
    columns = [Metadata.PLATE, Metadata.WELL, Metadata.CONDITION, "predicted", "probability", "fields"]
    if not classes or Metadata.CONDITION not in wells:
        return pd.DataFrame(columns=columns)
    probability = wells[[f"probability_{name}" for name in classes]].max(axis=1)
    known = wells[Metadata.CONDITION].notna() & wells["predicted"].notna()
    hits = wells.assign(probability=probability)[known & (wells[Metadata.CONDITION] != wells["predicted"])]
    return hits.reindex(columns=columns).sort_values("probability", ascending=False)


def _mask_incomparable(fields: pd.DataFrame) -> pd.DataFrame:
    """Mask the counterfactuals of each well that cannot be averaged with the others."""
    if "counterfactual_target" not in fields:
        return fields
    counted = fields.copy()
    columns = [str(name) for name in fields if str(name).startswith("counterfactual_")]
    usual = fields.groupby(WELL_COLUMNS)["counterfactual_target"].transform(lambda each: next(iter(each.mode()), None))
    counted[columns] = counted[columns].where(counted["counterfactual_target"] == usual)
    for kind in counterfactual_kinds(fields):
        prefixes = tuple(f"counterfactual_{kind}_{what}_" for what in ("change", "after"))
        measures = [name for name in columns if name.startswith(prefixes)]
        counted[measures] = counted[measures].where(is_valid_counterfactual(counted, kind))
    return counted


def _classify_wells(wells: pd.DataFrame, fields: pd.DataFrame, classes: Sequence[str], place: int) -> pd.DataFrame:
    """Add the probabilities and the class of each well, from the mean log-probability of its fields."""
    if not classes:
        return wells
    columns = [f"probability_{name}" for name in classes]
    wells[columns] = np.nan
    wells.insert(place, "predicted", pd.Series(None, wells.index, dtype=object))
    if fields.empty:
        return wells
    log_probs = np.log(fields[columns].to_numpy(float).clip(min=1e-300))
    merged = aggregate_wells(well_names(fields), np.zeros(len(fields), int), log_probs)
    found = pd.DataFrame(np.exp(merged.log_probs), index=list(merged.wells))
    found["predicted"] = np.asarray(classes, object)[merged.log_probs.argmax(axis=1)]
    wells[[*columns, "predicted"]] = found.reindex(well_names(wells.reset_index())).to_numpy()
    wells[columns] = wells[columns].astype(float)
    return wells
