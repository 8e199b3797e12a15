"""From a job's fields to its wells and its hits."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype

from leigh_mlops.jobs.fields_table import WELL, holding, kinds_in, well_names
from leigh_mlops.scores import by_well

__all__ = ["hits_of", "well_table"]

_OF_PICTURES = "_full_colour"


def well_table(fields: pd.DataFrame, classes: Sequence[str], out: "pd.Series[bool] | None" = None) -> pd.DataFrame:
    """One row per well: medians of its fields' numbers, shares of what is true or false, and how many fields.

    Where counterfactuals of one well lead to different classes, those count that lead to the
    commonest, and only those that are not red tell what changes. What belongs to a picture alone is left out.

    Args:
        fields: The table of fields.
        classes: Names of the model's classes; none where it does not classify.
        out: Fields that say nothing of the well's class; none where it is not given. A well of such
            fields alone has no class and no probabilities.
    """
    grouped = fields.groupby(WELL, sort=True)
    own = [str(name) for name in fields if not str(name).startswith("Metadata_")]
    kept = [str(name) for name in fields if str(name).startswith("Metadata_") and name not in WELL]
    constant = [name for name in kept if grouped[name].nunique(dropna=False).max() <= 1]
    wells = grouped[constant].first().join(grouped.size().rename("fields"))
    if not len(fields):
        return wells.reset_index()
    counted = _comparable(fields)
    numbers = [name for name in counted[own].select_dtypes("number") if not str(name).endswith(_OF_PICTURES)]
    facts = [name for name in own if name != "seen" and is_bool_dtype(fields[name].dropna().infer_objects())]
    wells = wells.join(counted.groupby(WELL)[numbers].median())
    wells = wells.join(counted[facts].astype("Float64").groupby([fields[name] for name in WELL]).mean().astype(float))
    if "counterfactual_target" in fields:
        wells = wells.join(counted.groupby(WELL)["counterfactual_target"].first())
    used = fields if out is None else fields[~out]
    return _classified(wells.join(grouped["seen"].any()), used, classes, len(constant)).reset_index()


def hits_of(wells: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Wells that look like another class than the one they are labelled as, the surest first."""
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Condition", "predicted", "probability", "fields"]
    if not classes or "Metadata_Condition" not in wells:
        return pd.DataFrame(columns=columns)
    probability = wells[[f"probability_{name}" for name in classes]].max(axis=1)
    known = wells["Metadata_Condition"].notna() & wells["predicted"].notna()
    hits = wells.assign(probability=probability)[known & (wells["Metadata_Condition"] != wells["predicted"])]
    return hits.reindex(columns=columns).sort_values("probability", ascending=False)


def _comparable(fields: pd.DataFrame) -> pd.DataFrame:
    """The fields with only those counterfactuals that can be taken together."""
    if "counterfactual_target" not in fields:
        return fields
    counted = fields.copy()
    columns = [str(name) for name in fields if str(name).startswith("counterfactual_")]
    usual = fields.groupby(WELL)["counterfactual_target"].transform(lambda each: next(iter(each.mode()), None))
    counted[columns] = counted[columns].where(counted["counterfactual_target"] == usual)
    for kind in kinds_in(fields):
        prefixes = tuple(f"counterfactual_{kind}_{what}_" for what in ("change", "after"))
        measures = [name for name in columns if name.startswith(prefixes)]
        counted[measures] = counted[measures].where(holding(counted, kind))
    return counted


def _classified(wells: pd.DataFrame, fields: pd.DataFrame, classes: Sequence[str], place: int) -> pd.DataFrame:
    """With the well's own probabilities: those of the mean log-probability of its fields."""
    if not classes:
        return wells
    columns = [f"probability_{name}" for name in classes]
    wells[columns] = np.nan
    wells.insert(place, "predicted", pd.Series(None, wells.index, dtype=object))
    if fields.empty:
        return wells
    log_probs = np.log(fields[columns].to_numpy(float).clip(min=1e-300))
    merged = by_well(well_names(fields), np.zeros(len(fields), int), log_probs)
    found = pd.DataFrame(np.exp(merged.log_probs), index=list(merged.wells))
    found["predicted"] = np.asarray(classes, object)[merged.log_probs.argmax(axis=1)]
    wells[[*columns, "predicted"]] = found.reindex(well_names(wells.reset_index())).to_numpy()
    wells[columns] = wells[columns].astype(float)
    return wells
