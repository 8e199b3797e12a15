"""Trust in the fields of a job: flags, plates unknown to the model, and confounds."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.explanations import LatentMap
from leigh_mlops.explanations.latent_map import OUTLIER_QUANTILE
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import FLAGS, probe_background, probe_position
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.flaws import FLAWS
from leigh_mlops.report.sentences import format_count
from leigh_mlops.scores import aggregate_wells, classification_scores
from leigh_mlops.scores.stain_order import better_orders
from leigh_mlops.screening.field_table import WELL_COLUMNS, well_names

__all__ = [
    "TRUST_FLAGS",
    "confound_table",
    "describe_confounds",
    "describe_flags",
    "describe_unknown_plates",
    "trust_flags",
    "is_unusable",
]

_FLAW_NAMES = {"defocus": "out_of_focus", "empty": "empty", "saturation": "saturated"}

TRUST_FLAGS = (*_FLAW_NAMES, "stain order", "other plate", "far from training", "unusual energy")
"""Flags of a field, in the order of the column ``trust``."""

FLAGGED_WARNING_SHARE = 0.1
"""Share of flagged fields above which a warning is shown before any picture."""

_EXCLUDING_FLAGS = ("defocus", "empty")
_MAJORITY = 0.5
_MAX_NAMED = 4
_MIN_MEASURE = 1e-6


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
    """
    flags = pd.DataFrame(False, index=fields.index, columns=pd.Index(TRUST_FLAGS))
    if fields.empty:
        return flags
    for name, found in _find_flaws(fields).items():
        flags[name] = found
    flags["stain order"] = _stain_order(fields, package)
    if len(package.seen_digests):
        seen = fields["seen"].astype(bool)
        flags["other plate"] = ~seen.groupby(fields[Metadata.PLATE]).transform("any")
    known = LatentMap.from_arrays(package.arrays)
    if known is not None and len(known.explained) and "latent_distance" in fields:
        flags["far from training"] = fields["latent_distance"] > known.limit(OUTLIER_QUANTILE)
    if "energy" in fields and "energy_limit" in package.about:
        flags["unusual energy"] = fields["energy"] > package.about["energy_limit"]["limit"]
    return flags


def is_unusable(fields: pd.DataFrame, flags: pd.DataFrame) -> "pd.Series[bool]":
    """Return whether each field is left out of all scores: excluded in the table, out of focus or empty."""
    out = flags[list(_EXCLUDING_FLAGS)].any(axis=1)
    if Metadata.EXCLUDED in fields:
        out |= fields[Metadata.EXCLUDED].astype(str).str.strip().str.lower().isin(["true", "1", "1.0", "yes"])
    return out


def describe_flags(flags: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on flagged fields; the flag of unknown plates is not counted."""
    own = flags.drop(columns="other plate")
    flagged = int(own.any(axis=1).sum())
    if not flagged:
        return [], []
    parts = [f"{count} {name}" for name, count in own.sum().items() if count]
    has = "has" if flagged == 1 else "have"
    said = (
        f"{flagged} of {format_count(len(flags), 'field')} ({flagged / len(flags):.0%}) {has} a flag "
        f"({', '.join(parts)})"
    )
    if flagged <= FLAGGED_WARNING_SHARE * len(flags):
        return [], [f"{said}; the column trust names them."]
    return [f"{said}: look at these fields before you believe what is said of their wells."], []


def describe_unknown_plates(
    fields: pd.DataFrame, flags: pd.DataFrame, controls: "pd.Series[bool]"
) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on plates unknown to the model, and on swapped stains.

    The distance of such a plate from those of training is judged by its controls: treated cells
    may lie far out because of their treatment.

    Args:
        fields: The table of fields.
        flags: Flags from `trust_flags`.
        controls: Whether each field lies in a control well.
    """
    warned = [
        f"Plate {plate}: {int(swapped.sum())} of {format_count(len(swapped), 'field')} seem as if the channels "
        "stood in another order than in training; compare the stains with the order of the model's."
        for plate, swapped in flags["stain order"].groupby(fields[Metadata.PLATE])
        if swapped.any()
    ]
    unknown = fields[flags["other plate"]]
    if unknown.empty:
        return warned, []
    told, many = _describe_controls_distance(unknown, controls.loc[unknown.index], flags["far from training"])
    return ([*warned, told], []) if many else (warned, [told])


def confound_table(fields: pd.DataFrame, labelled: "pd.Series[bool]", package: ModelPackage) -> dict[str, Any]:
    """Compare how well the model, intensities alone and the position alone predict the classes of this data.

    The model is scored on labelled wells that it has not seen; intensities and position are fitted
    and scored by cross-validation over all labelled wells, so that none has seen what it is scored on.

    Args:
        fields: The table of fields.
        labelled: Whether each field's class is usable: its well has no compound, and the field is usable.
        package: The model.

    Returns:
        ``model``, ``intensity``, ``position``, each with ``accuracy``, ``auc`` and ``wells``, as far
        as they can be computed.
    """
    classes = package.model.spec.classes
    if package.model.task != "classify" or Metadata.CONDITION not in fields:
        return {}
    known = labelled & fields[Metadata.CONDITION].isin(classes)
    table: dict[str, Any] = {}
    if scores := _score_model(fields[known & ~fields["seen"].astype(bool)], classes):
        table["model"] = scores
    if not {Metadata.ROW, Metadata.COLUMN} <= set(fields):
        return table
    classed = fields.assign(Metadata_Condition=fields[Metadata.CONDITION].where(known))
    measured = fields.loc[known, [name for name in fields if str(name).startswith("image_intensity_")]]
    measured = measured.astype(float).replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all").dropna()
    probes = {
        "intensity": (probe_background(classed, measured), measured.index),
        "position": (probe_position(classed), fields.index),
    }
    return table | {
        name: scores | {"wells": _count_scored_wells(classed.loc[rows])}
        for name, (scores, rows) in probes.items()
        if scores
    }


def describe_confounds(table: dict[str, Any]) -> list[str]:
    """Summarise the table of confounds in a sentence; none if there is no position or intensity to compare."""
    if "model" not in table or len(table) < 2:
        return []
    names = {
        "model": "the model on {} that it has not seen",
        "intensity": "mean intensities alone on {}",
        "position": "the position on the plate alone on {}",
    }
    parts = [
        f"{names[name].format(format_count(scores['wells'], 'well'))} {scores['accuracy']:.2f}"
        for name, scores in table.items()
    ]
    return [f"Share of labelled wells that are named rightly: {'; '.join(parts)}."]


def _find_flaws(fields: pd.DataFrame) -> dict[str, "pd.Series[bool]"]:
    if Metadata.FLAGS in fields and fields[Metadata.FLAGS].notna().any():
        reasons = fields[Metadata.FLAGS].fillna("").astype(str).str.split("; ")
        words = reasons.map(lambda each: {reason.split(" (")[0] for reason in each})
        return {name: words.map(lambda each, flag=FLAGS[flaw]: flag in each) for name, flaw in _FLAW_NAMES.items()}
    quality = _select_prefixed(fields, "quality_")
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
    texture = _select_prefixed(fields, "image_texture_")
    # Texture has no threshold for signal: every channel counts as having signal.
    return texture.add_prefix("focus_").join((texture.notna() * 1.0).add_prefix("foreground_"))


def _select_prefixed(fields: pd.DataFrame, prefix: str) -> pd.DataFrame:
    chosen = [name for name in fields if str(name).startswith(prefix)]
    return fields[chosen].rename(columns=lambda name: str(name).removeprefix(prefix))


def _stain_order(fields: pd.DataFrame, package: ModelPackage) -> "pd.Series[bool]":
    flagged = pd.Series(False, index=fields.index)
    training, names = package.arrays.get("channel_measures"), package.about.get("measured_channels", [])
    columns = [f"image_{what}_{name}" for name in names for what in ("intensity", "texture")]
    if training is None or len(training) < 2 or not set(columns) <= set(fields):
        return flagged
    measured = np.log(np.maximum(fields[columns].to_numpy(float), _MIN_MEASURE))
    orders = better_orders(measured.reshape(len(fields), len(names), 2), training)
    for rows in fields.groupby(Metadata.PLATE).indices.values():
        commonest = Counter(orders[row] for row in rows).most_common(1)[0]
        if commonest[0] is not None and commonest[1] > _MAJORITY * len(rows):
            flagged.iloc[[row for row in rows if orders[row] == commonest[0]]] = True
    return flagged


def _describe_controls_distance(
    fields: pd.DataFrame, controls: "pd.Series[bool]", far: "pd.Series[bool]"
) -> tuple[str, bool]:
    """Return a sentence on plates unknown to the model, and whether it is a warning."""
    plates = sorted(fields[Metadata.PLATE].astype(str).unique())
    named = (
        f"Plate {plates[0]} is" if len(plates) == 1 else f"{len(plates)} plates ({', '.join(plates[:_MAX_NAMED])}) are"
    )
    known = f"{named} none of those that the model was trained or chosen on, by their pixels"
    own = fields[controls]
    if own.empty or "latent_distance" not in own:
        return f"{known}, and the distance from those is not known, for want of controls or of a latent map.", True
    count = int(far[own.index].sum())
    lie = "lies" if count == 1 else "lie"
    return (
        f"{known}; {count} of {format_count(len(own), 'field')} of controls there {lie} farther out than "
        f"{OUTLIER_QUANTILE:.0%} of the training fields ({1 - OUTLIER_QUANTILE:.0%} are expected).",
        count > FLAGGED_WARNING_SHARE * len(own),
    )


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
        fields[[f"probability_{name}" for name in classes]].to_numpy(float).clip(min=1e-300)
    )
    wells = aggregate_wells(well_names(fields), labels, log_probs)
    scores = classification_scores(wells.labels, wells.log_probs, classes)
    chosen = {name: scores[name] for name in ("accuracy", "auc") if name in scores}
    return chosen | {"wells": len(wells.wells)}
