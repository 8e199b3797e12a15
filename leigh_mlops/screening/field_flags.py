"""Trust in the fields of a job: flags, plates unknown to the model, and confounds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS, LatentMap
from leigh_mlops.explanations.latent_map import OUTLIER_QUANTILE
from leigh_mlops.images.shortcut_views import quality_views
from leigh_mlops.job_columns import IMAGE, PROBABILITY, QUALITY, ColumnFamily, JobColumn, counterfactual_family
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import FLAGS, probe_features, probe_position, probe_view
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.flaws import FLAWS
from leigh_mlops.scores import aggregate_wells, classification_scores
from leigh_mlops.scores.stain_order import better_orders
from leigh_mlops.screening.well_table import WELL_COLUMNS, well_names

__all__ = [
    "OTHER_PLATE",
    "OWN_FLAGS",
    "TRUST_FLAGS",
    "FlagCounts",
    "UnknownPlates",
    "confound_table",
    "downgrade_flagged",
    "count_flags",
    "count_swapped_stains",
    "find_unknown_plates",
    "is_uncountable",
    "is_unusable",
    "trust_flags",
]

_FLAW_NAMES = {"defocus": "out_of_focus", "empty": "empty", "saturation": "saturated"}
_STAIN_ORDER, OTHER_PLATE, _FAR = "stain order", "other plate", "far from training"
_ENERGY, _ERROR = "unusual energy", "badly reconstructed"
FLAGGED = "flagged"
"""Reason of a status: the field has a flag."""

TRUST_FLAGS = (*_FLAW_NAMES, _STAIN_ORDER, OTHER_PLATE, _FAR, _ENERGY, _ERROR)
"""Flags of a field and, ``other plate``, of its plate."""

OWN_FLAGS = [name for name in TRUST_FLAGS if name != OTHER_PLATE]
"""Flags of the field itself, in the order of the column ``trust``."""

_EXCLUDING_FLAGS = ("defocus", "empty")
_MAJORITY = 0.5
_MODEL_SCORES = ("accuracy", "balanced_accuracy", "auc", "majority_share")
_MIN_MEASURE = 1e-6
_INTENSITY, _TEXTURE = (ColumnFamily(IMAGE(f"{what}_")) for what in ("intensity", "texture"))


@dataclass(frozen=True)
class FlagCounts:
    """Number of flagged fields; the flag of unknown plates is not counted.

    Attributes:
        fields: Number of fields.
        flagged: Number of those with a flag.
        by_flag: Number of fields with each flag.
    """

    fields: int = 0
    flagged: int = 0
    by_flag: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class UnknownPlates:
    """Plates of which the model has seen no field.

    The distance of such plates from those of training is judged by their controls: treated cells
    may lie far out because of their treatment.

    Attributes:
        plates: Names of the plates.
        controls: Number of their fields of controls; None if the distance is not known, for want
            of controls or of a latent map.
        far: Number of those fields that lie far from training.
    """

    plates: tuple[str, ...]
    controls: int | None = None
    far: int = 0


def trust_flags(fields: pd.DataFrame, package: ModelPackage) -> pd.DataFrame:
    """Compute one boolean column per flag of `TRUST_FLAGS`, on the index of the fields.

    - defocus, empty, saturation: from ``Metadata_Flags``; without these from the columns
      ``quality_<measure>_<channel>`` in the same way (see `plates.flag_fields`); without these,
      defocus from the texture of the image at the model's size, and the others are not known.
    - stain order: the field, and most fields of its plate, fit the training fields much better
      with their channels in one other order (see `scores.stain_order`).
    - other plate: the model has seen no field of the plate, by its pixels.
    - far from training: the latent distance is above that of 99 % of the training fields.
    - unusual energy: the energy is above that of 99 % of the validation fields.
    - badly reconstructed: the error of the reconstruction is above that of 99 % of the training fields.
    """
    flags = pd.DataFrame(False, index=fields.index, columns=pd.Index(TRUST_FLAGS))
    if fields.empty:
        return flags
    for name, found in _find_flaws(fields).items():
        flags[name] = found
    flags[_STAIN_ORDER] = _stain_order(fields, package)
    if len(package.seen_digests):
        seen = fields[JobColumn.SEEN].astype(bool)
        flags[OTHER_PLATE] = ~seen.groupby(fields[Metadata.PLATE]).transform("any")
    known = LatentMap.from_arrays(package.arrays)
    if known is not None and len(known.explained) and JobColumn.LATENT_DISTANCE in fields:
        flags[_FAR] = fields[JobColumn.LATENT_DISTANCE] > known.limit(OUTLIER_QUANTILE)
    if JobColumn.ENERGY in fields and "energy_limit" in package.about:
        flags[_ENERGY] = fields[JobColumn.ENERGY] > package.about["energy_limit"]["limit"]
    if JobColumn.RECONSTRUCTION_ERROR in fields and "error_limit" in package.about:
        flags[_ERROR] = fields[JobColumn.RECONSTRUCTION_ERROR] > package.about["error_limit"]["limit"]
    return flags


def is_unusable(fields: pd.DataFrame, flags: pd.DataFrame) -> "pd.Series[bool]":
    """Return whether each field is left out of all scores: excluded in the table, out of focus or empty."""
    out = flags[list(_EXCLUDING_FLAGS)].any(axis=1)
    if Metadata.EXCLUDED in fields:
        out |= fields[Metadata.EXCLUDED].astype(str).str.strip().str.lower().isin(["true", "1", "1.0", "yes"])
    return out


def is_uncountable(fields: pd.DataFrame, flags: pd.DataFrame) -> "pd.Series[bool]":
    """Return whether the cells of each field cannot be counted: it is left out of all scores, and not empty."""
    return is_unusable(fields, flags) & ~flags["empty"]


def downgrade_flagged(fields: pd.DataFrame, flags: pd.DataFrame) -> pd.DataFrame:
    """Return fields in which a counterfactual that claims to be its target is not green where its field is flagged.

    Args:
        fields: The table of fields.
        flags: Flags from `trust_flags`; that of an unknown plate does not count.
    """
    flagged = flags[OWN_FLAGS].any(axis=1)
    changed = {}
    for kind in COUNTERFACTUAL_KINDS:
        of_kind = counterfactual_family(kind)
        if of_kind("reasons") in fields:
            known = flagged & fields[of_kind("status")].notna()
            reasons = fields[of_kind("reasons")]
            joined = reasons.fillna("").map(lambda each: "; ".join(reason for reason in (each, FLAGGED) if reason))
            changed[of_kind("reasons")] = reasons.where(~known, joined)
            changed[of_kind("status")] = fields[of_kind("status")].where(
                ~known | (fields[of_kind("status")] != "green"), "amber"
            )
    return fields.assign(**changed)


def count_flags(flags: pd.DataFrame) -> FlagCounts:
    """Count the flagged fields."""
    own = flags[OWN_FLAGS]
    return FlagCounts(
        len(own), int(own.any(axis=1).sum()), {str(name): int(count) for name, count in own.sum().items()}
    )


def count_swapped_stains(fields: pd.DataFrame, flags: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Count, for each plate that has some, the fields with another order of stains, and all fields."""
    return {
        str(plate): (int(swapped.sum()), len(swapped))
        for plate, swapped in flags[_STAIN_ORDER].groupby(fields[Metadata.PLATE])
        if swapped.any()
    }


def find_unknown_plates(fields: pd.DataFrame, flags: pd.DataFrame, controls: "pd.Series[bool]") -> UnknownPlates | None:
    """Find the plates unknown to the model; None if there are none.

    Args:
        fields: The table of fields.
        flags: Flags from `trust_flags`.
        controls: Whether each field lies in a control well.
    """
    unknown = fields[flags[OTHER_PLATE]]
    if unknown.empty:
        return None
    plates = tuple(sorted(unknown[Metadata.PLATE].astype(str).unique()))
    own = unknown.index[controls.loc[unknown.index]]
    if own.empty or JobColumn.LATENT_DISTANCE not in fields:
        return UnknownPlates(plates)
    return UnknownPlates(plates, len(own), int(flags.loc[own, _FAR].sum()))


def confound_table(fields: pd.DataFrame, labelled: "pd.Series[bool]", package: ModelPackage) -> dict[str, Any]:
    """Compare how well the model, intensities alone and the position alone predict the classes of this data.

    The model is scored on labelled wells that it has not seen; intensities and position are fitted
    and scored by cross-validation over all labelled wells, so that none has seen what it is scored on.

    Args:
        fields: The table of fields.
        labelled: Whether each field's class is usable: its well has no compound, and the field is usable.
        package: The model.

    Returns:
        ``model``, ``intensity``, ``position``, ``background``, ``focus``, ``density``, each with ``accuracy``,
        ``balanced_accuracy``, ``auc``, ``majority_share`` (share of the commonest class) and ``wells``, as far as they
        can be computed.
    """
    classes = package.model.spec.classes
    if package.model.task != "classify" or Metadata.CONDITION not in fields:
        return {}
    known = labelled & fields[Metadata.CONDITION].isin(classes)
    table: dict[str, Any] = {}
    if scores := _score_model(fields[known & ~fields[JobColumn.SEEN].astype(bool)], classes):
        table["model"] = scores
    if not {Metadata.ROW, Metadata.COLUMN} <= set(fields):
        return table
    classed = fields.assign(Metadata_Condition=fields[Metadata.CONDITION].where(known))
    measured = fields.loc[known, [name for name in fields if name in _INTENSITY]]
    measured = measured.astype(float).replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all").dropna()
    probes = {
        "intensity": (probe_features(classed, measured), measured.index),
        "position": (probe_position(classed), fields.index),
    }
    usable = fields.index[known]
    probes |= {
        view: (probe_view(classed, view, {name: each.loc[usable] for name, each in channels.items()}), usable)
        for view, channels in _select_views(fields).items()
    }
    return table | {
        name: scores | {"wells": _count_scored_wells(classed.loc[rows, [Metadata.CONDITION, *WELL_COLUMNS]])}
        for name, (scores, rows) in probes.items()
        if scores
    }


def _select_views(fields: pd.DataFrame) -> dict[str, dict[str, pd.DataFrame]]:
    """Select the measures of views in which only the background, the focus or the number of nuclei remains."""
    quality = _select_family(fields, QUALITY)
    channels = [str(name).removeprefix("focus_") for name in quality if str(name).startswith("focus_")]
    views = quality_views(quality, channels)
    count = IMAGE("nuclei_count")
    return views | ({"density": {"": fields[[count]]}} if count in fields else {})


def _find_flaws(fields: pd.DataFrame) -> dict[str, "pd.Series[bool]"]:
    if Metadata.FLAGS in fields and fields[Metadata.FLAGS].notna().any():
        reasons = fields[Metadata.FLAGS].fillna("").astype(str).str.split("; ")
        words = reasons.map(lambda each: {reason.split(" (")[0] for reason in each})
        return {name: words.map(lambda each, flag=FLAGS[flaw]: flag in each) for name, flaw in _FLAW_NAMES.items()}
    quality = _select_family(fields, QUALITY)
    flaws = dict(_FLAW_NAMES)
    if quality.empty:
        quality = _quality_from_texture(fields)
        flaws = {"defocus": "out_of_focus"}
    if quality.empty:
        return {}
    table = fields[[Metadata.PLATE]].assign(
        Metadata_Condition=fields.get(Metadata.CONDITION, pd.Series(pd.NA, fields.index, dtype=object))
    )
    return {
        name: pd.Series(fields.index.isin(FLAWS[flaw](table, quality).index), fields.index)
        for name, flaw in flaws.items()
    }


def _quality_from_texture(fields: pd.DataFrame) -> pd.DataFrame:
    """Substitute texture for focus, so that blurred fields are found without reading an image again."""
    texture = _select_family(fields, _TEXTURE)
    # Texture has no threshold for signal: every channel counts as having signal.
    return texture.add_prefix("focus_").join((texture.notna() * 1.0).add_prefix("foreground_"))


def _select_family(fields: pd.DataFrame, family: ColumnFamily) -> pd.DataFrame:
    chosen = family.select(fields.columns)
    return fields[list(chosen.values())].set_axis(list(chosen), axis=1)


def _stain_order(fields: pd.DataFrame, package: ModelPackage) -> "pd.Series[bool]":
    flagged = pd.Series(False, index=fields.index)
    training, names = package.arrays.get("channel_measures"), package.about.get("measured_channels", [])
    columns = [family(name) for name in names for family in (_INTENSITY, _TEXTURE)]
    if training is None or len(training) < 2 or not set(columns) <= set(fields):
        return flagged
    measured = np.log(np.maximum(fields[columns].to_numpy(float), _MIN_MEASURE))
    orders = better_orders(measured.reshape(len(fields), len(names), 2), training)
    for rows in fields.groupby(Metadata.PLATE).indices.values():
        commonest = Counter(orders[row] for row in rows).most_common(1)[0]
        if commonest[0] is not None and commonest[1] > _MAJORITY * len(rows):
            flagged.iloc[[row for row in rows if orders[row] == commonest[0]]] = True
    return flagged


def _count_scored_wells(fields: pd.DataFrame) -> int:
    """Count the labelled wells of classes with at least two, on which a probe is scored."""
    wells = fields.dropna(subset=Metadata.CONDITION).drop_duplicates(WELL_COLUMNS)
    counts = wells[Metadata.CONDITION].value_counts()
    return int(counts[counts >= 2].sum())


def _score_model(fields: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, float]:
    if fields.empty:
        return {}
    order = {name: number for number, name in enumerate(classes)}
    labels = fields[Metadata.CONDITION].map(order).to_numpy(np.int64)
    log_probs: npt.NDArray[np.float64] = np.log(
        fields[[PROBABILITY(name) for name in classes]].to_numpy(float).clip(min=1e-300)
    )
    wells = aggregate_wells(well_names(fields), labels, log_probs)
    scores = classification_scores(wells.labels, wells.log_probs, classes)
    chosen = {name: scores[name] for name in _MODEL_SCORES if name in scores}
    return chosen | {"wells": len(wells.wells)}
