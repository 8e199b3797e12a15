"""Table of a job's counterfactuals by target class, beside references and real fields."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.job_columns import (
    AFTER,
    AREA,
    COUNTERFACTUAL,
    IMAGE,
    ORACLE,
    PART,
    REFERENCE,
    ColumnFamily,
    JobColumn,
    counterfactual_family,
)
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores.realism import frechet_distance, real_against_real_auc, realism_auc
from leigh_mlops.screening.well_table import counterfactual_kinds, well_names

__all__ = ["NO_CELLS", "NO_CHANGE", "REAL_FIELDS", "Textures", "counterfactual_table"]

NO_CELLS = "no cells"
"""Reason of a status: the field is empty and counts in no share."""
REAL_FIELDS = "real fields"
NO_CHANGE = "nothing"
"""Name of the reference that leaves the fields as they are."""

Textures = Mapping[str, Mapping[str, Sequence[float]]]
"""Texture features by field, and by the name of the image: ``image``, a kind, or a reference's column prefix."""

_MOST_FIELDS = 400  # of either set: more make an AUC no surer
_LEAST_UNSEEN = 10
_SEED = 0

Doubles = npt.NDArray[np.float64]


def counterfactual_table(fields: pd.DataFrame, textures: Textures, package: ModelPackage) -> pd.DataFrame:
    """Build a table of one row per target class and kind of image: real fields, references, and counterfactuals.

    Args:
        fields: Table of fields of a job.
        textures: Texture of some of its fields and of their counterfactuals.
        package: The model.

    Returns:
        - ``target``, and ``images``: ``real fields``, a reference such as ``nothing`` or ``histogram``, a part of the
          change such as ``intensity of TMRM alone``, or a kind of counterfactual;
        - ``fields`` that count, and ``empty_fields`` that do not, as they hold no cells; ``unseen``, whether only
          fields count that the model has not seen, which is so where there are at least 10 of a direction;
        - shares from 0 to 1 that the own ``network``, each oracle (``oracle_<name>``) and most oracles
          (``most_oracles``) predict as the target; of real fields those of validation wells;
        - ``realism_auc``, by which a forest tells the images from real fields of the class (0.5: it cannot), and
          ``frechet``, the Fréchet distance of both sets in the forest's features, each divided by its spread among
          real training fields; of real fields those between halves of their wells;
        - ``area_<structure>``, median share of the field that the structure takes (of real fields, the fields as they
          are, and counterfactuals).

        Empty where no oracle was asked.
    """
    kinds = [kind for kind in counterfactual_kinds(fields) if counterfactual_family(kind)("oracles_asked") in fields]
    if not kinds:
        return pd.DataFrame()
    of_kind = counterfactual_family(kinds[0])
    made = fields[fields[of_kind("status")].notna()]
    reasons = made.get(of_kind("reasons"), pd.Series("", made.index))
    empty = reasons.str.split("; ").map(lambda each: NO_CELLS in each)
    rows: list[dict[str, Any]] = []
    for target in package.model.spec.classes:
        tried, unseen = _unseen_fields(made[made[JobColumn.TARGET] == target])
        chosen = tried[~empty[tried.index]]
        if not len(chosen):
            continue
        real, _ = _unseen_fields(_real_fields(fields, target))
        rows.append(_real_row(real, textures, package, target))
        for name, family in _image_families(fields).items():
            known = chosen[chosen[family("class")].notna()]
            if known.empty:
                continue
            shares = _shares(known, family, target)
            realism = _realism(real, known, textures, family.prefix.removesuffix("_"), package, target)
            counts = {"fields": len(known), "empty_fields": len(tried) - len(chosen), "unseen": unseen}
            areas = _areas(known, IMAGE if name == NO_CHANGE else ColumnFamily(family(AFTER.prefix)))
            rows.append({"target": target, "images": name} | counts | shares | realism | areas)
    return pd.DataFrame(rows)


def _unseen_fields(fields: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Fields that the model has not seen and whether these are meant; all fields where there are fewer than 10."""
    unseen = fields[~fields[JobColumn.SEEN].astype(bool)]
    return (unseen, True) if len(unseen) >= _LEAST_UNSEEN else (fields, False)


def _image_families(fields: pd.DataFrame) -> dict[str, ColumnFamily]:
    """Columns of each reference, each part of the change alone and each kind of counterfactual, by its name."""
    suffix = "_oracles_asked"
    names = [name.removesuffix(suffix) for name in map(str, fields) if name.endswith(suffix)]
    references = {name.removeprefix(REFERENCE.prefix): name for name in names if name in REFERENCE}
    parts = {f"{name.removeprefix(PART.prefix).replace('_', ' ')} alone": name for name in names if name in PART}
    kinds = {kind: COUNTERFACTUAL(kind) for kind in COUNTERFACTUAL_KINDS if COUNTERFACTUAL(kind) in names}
    return {name: ColumnFamily(f"{prefix}_") for name, prefix in (references | parts | kinds).items()}


def _shares(chosen: pd.DataFrame, family: ColumnFamily, target: str) -> dict[str, float]:
    """Share of the fields that the own network, each oracle and most oracles predict as the target."""
    found = {"network": _share(chosen[family("class")], target)}
    for column in chosen:
        name = str(column).removeprefix(family.prefix)
        if column in family and name in ORACLE and name.endswith("_class"):
            found[name.removesuffix("_class")] = _share(chosen[column], target)
    asked, agreeing = (chosen[family(name)].astype(float) for name in ("oracles_asked", "oracles"))
    known = asked > 0
    found["most_oracles"] = float((2 * agreeing > asked)[known].mean()) if known.any() else float("nan")
    return found


def _share(predicted: "pd.Series[Any]", target: str) -> float:
    known = predicted.dropna()
    return float((known == target).mean()) if len(known) else float("nan")


def _real_fields(fields: pd.DataFrame, target: str) -> pd.DataFrame:
    """Fields of a class by their label, or by the model's prediction where none is labelled so."""
    labelled = fields[fields[Metadata.CONDITION] == target] if Metadata.CONDITION in fields else fields[:0]
    return labelled if len(labelled) else fields[fields[JobColumn.PREDICTED] == target]


def _real_row(real: pd.DataFrame, textures: Textures, package: ModelPackage, target: str) -> dict[str, Any]:
    unseen = bool(len(real)) and not real[JobColumn.SEEN].any()
    row: dict[str, Any] = {"target": target, "images": REAL_FIELDS, "fields": len(real), "empty_fields": 0}
    row["unseen"] = unseen
    row["network"] = _share(real[JobColumn.PREDICTED], target)
    if package.oracles is not None:
        label = package.model.spec.classes.index(target)
        row |= {ORACLE(name): float(package.oracles.ceiling[name][label]) for name in package.oracles.competent}
    features, wells = _texture_rows(real, textures, "image")
    row["realism_auc"] = real_against_real_auc(features, wells, _SEED) if len(features) else float("nan")
    is_first = np.isin(wells, np.unique(wells)[::2])
    row["frechet"] = _frechet(features[is_first], features[~is_first], package, target)
    return row | _areas(real, IMAGE)


def _areas(fields: pd.DataFrame, measures: ColumnFamily) -> dict[str, float]:
    """Median share of the field of each structure, by the name of its column in the table."""
    found = {}
    for measure, column in measures.select(fields).items():
        structure = measure.removeprefix(AREA.prefix).removesuffix("_area")
        if structure != measure:
            found[AREA(structure)] = float(fields[column].astype(float).median())
    return found


def _realism(
    real: pd.DataFrame, chosen: pd.DataFrame, textures: Textures, name: str, package: ModelPackage, target: str
) -> dict[str, float]:
    """AUC and Fréchet distance between images of a name and real fields; NaN without texture."""
    name = "image" if name == REFERENCE(NO_CHANGE) else name.removeprefix(COUNTERFACTUAL.prefix)
    real_features, real_wells = _texture_rows(real, textures, "image")
    features, wells = _texture_rows(chosen, textures, name)
    if not (len(real_features) and len(features)):
        return {"realism_auc": float("nan"), "frechet": float("nan")}
    return {
        "realism_auc": realism_auc(real_features, features, real_wells, wells, _SEED),
        "frechet": _frechet(real_features, features, package, target),
    }


def _frechet(one: Doubles, other: Doubles, package: ModelPackage, target: str) -> float:
    """Fréchet distance of texture features, each divided by its spread among real training fields of the class."""
    reference = package.typicality.get(package.model.spec.classes.index(target))
    if reference is None or not (len(one) and len(other)):
        return float("nan")
    return frechet_distance(one / reference.scale, other / reference.scale)


def _texture_rows(fields: pd.DataFrame, textures: Textures, name: str) -> tuple[Doubles, npt.NDArray[np.str_]]:
    """Texture of at most 400 of some fields that have one, evenly spread, and their wells."""
    keys = fields[JobColumn.FIELD].tolist()
    known = [place for place, key in enumerate(keys) if name in textures.get(key, {})]
    places = [
        known[each] for each in np.unique(np.linspace(0, len(known) - 1, min(len(known), _MOST_FIELDS)).astype(int))
    ]
    wells = np.array(well_names(fields), str)[places] if places else np.zeros(0, str)
    return np.array([textures[keys[place]][name] for place in places], np.float64), wells
