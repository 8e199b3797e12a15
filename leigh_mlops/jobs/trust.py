"""How far the fields of a job can be trusted: flags, plates that the model does not know, confounds."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.explanations import LatentMap
from leigh_mlops.jobs.fields_table import WELL, well_names
from leigh_mlops.jobs.latents import QUANTILE
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import FLAGS, probe_background, probe_position
from leigh_mlops.plates.flaws import FLAWS
from leigh_mlops.report.words import counted
from leigh_mlops.scores import by_well, classification_scores
from leigh_mlops.scores.stain_order import better_orders

__all__ = ["TRUST_FLAGS", "confound_table", "on_confounds", "on_flags", "on_plates", "trust_flags", "unusable"]

_FLAWS = {"defocus": "out_of_focus", "empty": "empty", "saturation": "saturated"}

TRUST_FLAGS = (*_FLAWS, "stain order", "other plate", "far from training", "unusual energy")
"""Flags of a field, in the order in which `trust` names them."""

MANY = 0.1
"""Share of flagged fields above which a page says so before any picture."""

_LEFT_OUT = ("defocus", "empty")
_MOSTLY = 0.5
_NAMED = 4
_LEAST = 1e-6


def trust_flags(fields: pd.DataFrame, package: ModelPackage) -> pd.DataFrame:
    """One column per flag of `TRUST_FLAGS`, true where a field has it, on the index of the fields.

    - defocus, empty, saturation: as ``Metadata_Flags`` say; without these by the columns
      ``quality_<measure>_<channel>`` in the same way (see `plates.flag_fields`); without these,
      defocus by the texture of the image at the model's size, and saturation is not known.
    - stain order: the field, and most fields of its plate, fit the training fields much better
      with their channels in one other order (see `scores.stain_order`).
    - other plate: the model has seen no field of the plate, by its pixels.
    - far from training: the latent distance is above that of 99 % of the training fields.
    - unusual energy: the energy is above that of 99 % of the validation fields.
    """
    flags = pd.DataFrame(False, index=fields.index, columns=pd.Index(TRUST_FLAGS))
    if fields.empty:
        return flags
    for name, found in _flaws(fields).items():
        flags[name] = found
    flags["stain order"] = _stain_order(fields, package)
    if len(package.seen_digests):
        seen = fields["seen"].astype(bool)
        flags["other plate"] = ~seen.groupby(fields["Metadata_Plate"]).transform("any")
    known = LatentMap.from_arrays(package.arrays)
    if known is not None and len(known.explained) and "latent_distance" in fields:
        flags["far from training"] = fields["latent_distance"] > known.limit(QUANTILE)
    if "energy" in fields and "energy_limit" in package.about:
        flags["unusual energy"] = fields["energy"] > package.about["energy_limit"]["limit"]
    return flags


def unusable(fields: pd.DataFrame, flags: pd.DataFrame) -> "pd.Series[bool]":
    """Fields that no score counts: excluded in the table, out of focus or empty."""
    out = flags[list(_LEFT_OUT)].any(axis=1)
    if "Metadata_Excluded" in fields:
        out |= fields["Metadata_Excluded"].astype(str).str.strip().str.lower().isin(["true", "1", "1.0", "yes"])
    return out


def on_flags(flags: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Warnings and sentences on how many fields have a flag; a plate's own is not counted here."""
    own = flags.drop(columns="other plate")
    flagged = int(own.any(axis=1).sum())
    if not flagged:
        return [], []
    parts = [f"{count} {name}" for name, count in own.sum().items() if count]
    has = "has" if flagged == 1 else "have"
    said = f"{flagged} of {counted(len(flags), 'field')} ({flagged / len(flags):.0%}) {has} a flag ({', '.join(parts)})"
    if flagged <= MANY * len(flags):
        return [], [f"{said}; the column trust names them."]
    return [f"{said}: look at these fields before you believe what is said of their wells."], []


def on_plates(fields: pd.DataFrame, flags: pd.DataFrame, controls: "pd.Series[bool]") -> tuple[list[str], list[str]]:
    """Warnings and sentences on plates that the model does not know, and on swapped stains.

    How far such a plate is from those of training is told by its controls: cells that are treated
    may lie far out because of what they were treated with.

    Args:
        fields: The table of fields.
        flags: What `trust_flags` gives.
        controls: Whether each field lies in a control well.
    """
    warned = [
        f"Plate {plate}: {int(swapped.sum())} of {counted(len(swapped), 'field')} seem as if the channels stood in "
        "another order than in training; compare the stains with the order of the model's."
        for plate, swapped in flags["stain order"].groupby(fields["Metadata_Plate"])
        if swapped.any()
    ]
    unknown = fields[flags["other plate"]]
    if unknown.empty:
        return warned, []
    told, many = _on_unknown(unknown, controls.loc[unknown.index], flags["far from training"])
    return ([*warned, told], []) if many else (warned, [told])


def confound_table(fields: pd.DataFrame, labelled: "pd.Series[bool]", package: ModelPackage) -> dict[str, Any]:
    """How well the model, intensities alone and the position alone name the classes of this data.

    The model is scored on labelled wells that it has not seen; intensities and position are fitted
    and scored by cross-validation over all labelled wells, so that neither has seen what it is scored on.

    Args:
        fields: The table of fields.
        labelled: Whether each field's class may count: no compound stands in its well, and the field is usable.
        package: The model's.

    Returns:
        ``model``, ``intensity``, ``position``, each ``accuracy``, ``auc`` and ``wells``, where they
        can be computed.
    """
    classes = package.model.spec.classes
    if package.model.task != "classify" or "Metadata_Condition" not in fields:
        return {}
    known = labelled & fields["Metadata_Condition"].isin(classes)
    table: dict[str, Any] = {}
    if scores := _of_model(fields[known & ~fields["seen"].astype(bool)], classes):
        table["model"] = scores
    if not {"Metadata_Row", "Metadata_Col"} <= set(fields):
        return table
    classed = fields.assign(Metadata_Condition=fields["Metadata_Condition"].where(known))
    measured = fields.loc[known, [name for name in fields if str(name).startswith("image_intensity_")]]
    measured = measured.astype(float).replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all").dropna()
    probes = {
        "intensity": (probe_background(classed, measured), measured.index),
        "position": (probe_position(classed), fields.index),
    }
    return table | {
        name: scores | {"wells": _wells_scored(classed.loc[rows])} for name, (scores, rows) in probes.items() if scores
    }


def on_confounds(table: dict[str, Any]) -> list[str]:
    """What the table of confounds says, in a sentence; none where there is no position or intensity to compare."""
    if "model" not in table or len(table) < 2:
        return []
    names = {
        "model": "the model on {} that it has not seen",
        "intensity": "mean intensities alone on {}",
        "position": "the position on the plate alone on {}",
    }
    parts = [
        f"{names[name].format(counted(scores['wells'], 'well'))} {scores['accuracy']:.2f}"
        for name, scores in table.items()
    ]
    return [f"Share of labelled wells that are named rightly: {'; '.join(parts)}."]


def _flaws(fields: pd.DataFrame) -> dict[str, "pd.Series[bool]"]:
    if "Metadata_Flags" in fields and fields["Metadata_Flags"].notna().any():
        reasons = fields["Metadata_Flags"].fillna("").astype(str).str.split("; ")
        words = reasons.map(lambda each: {reason.split(" (")[0] for reason in each})
        return {name: words.map(lambda each, flag=FLAGS[flaw]: flag in each) for name, flaw in _FLAWS.items()}
    quality = _prefixed(fields, "quality_")
    flaws = dict(_FLAWS)
    if quality.empty:
        quality = _at_model_size(fields)
        flaws = {"defocus": "out_of_focus"}
    if quality.empty:
        return {}
    table = fields[["Metadata_Plate"]].assign(
        Metadata_Condition=fields.get("Metadata_Condition", pd.Series(pd.NA, fields.index, dtype=object))
    )
    return {
        name: pd.Series(fields.index.isin(FLAWS[flaw](table, quality).index), fields.index)
        for name, flaw in flaws.items()
    }


def _at_model_size(fields: pd.DataFrame) -> pd.DataFrame:
    """Texture in place of focus, so that blurred fields are found without reading an image again."""
    texture = _prefixed(fields, "image_texture_")
    # Texture has no threshold of signal: every channel counts as having some.
    return texture.add_prefix("focus_").join((texture.notna() * 1.0).add_prefix("foreground_"))


def _prefixed(fields: pd.DataFrame, prefix: str) -> pd.DataFrame:
    chosen = [name for name in fields if str(name).startswith(prefix)]
    return fields[chosen].rename(columns=lambda name: str(name).removeprefix(prefix))


def _stain_order(fields: pd.DataFrame, package: ModelPackage) -> "pd.Series[bool]":
    flagged = pd.Series(False, index=fields.index)
    training, names = package.arrays.get("channel_measures"), package.about.get("measured_channels", [])
    columns = [f"image_{what}_{name}" for name in names for what in ("intensity", "texture")]
    if training is None or len(training) < 2 or not set(columns) <= set(fields):
        return flagged
    measured = np.log(np.maximum(fields[columns].to_numpy(float), _LEAST))
    orders = better_orders(measured.reshape(len(fields), len(names), 2), training)
    for rows in fields.groupby("Metadata_Plate").indices.values():
        commonest = Counter(orders[row] for row in rows).most_common(1)[0]
        if commonest[0] is not None and commonest[1] > _MOSTLY * len(rows):
            flagged.iloc[[row for row in rows if orders[row] == commonest[0]]] = True
    return flagged


def _on_unknown(fields: pd.DataFrame, controls: "pd.Series[bool]", far: "pd.Series[bool]") -> tuple[str, bool]:
    """A sentence on plates that the model does not know, and whether it belongs among the warnings."""
    plates = sorted(fields["Metadata_Plate"].astype(str).unique())
    named = f"Plate {plates[0]} is" if len(plates) == 1 else f"{len(plates)} plates ({', '.join(plates[:_NAMED])}) are"
    known = f"{named} none of those that the model was trained or chosen on, by their pixels"
    own = fields[controls]
    if own.empty or "latent_distance" not in own:
        return f"{known}, and the distance from those is not known, for want of controls or of a latent map.", True
    count = int(far[own.index].sum())
    lie = "lies" if count == 1 else "lie"
    return (
        f"{known}; {count} of {counted(len(own), 'field')} of controls there {lie} farther out than {QUANTILE:.0%} of "
        f"the training fields ({1 - QUANTILE:.0%} are expected).",
        count > MANY * len(own),
    )


def _wells_scored(fields: pd.DataFrame) -> int:
    """Number of labelled wells of classes that have two of them, which is what a probe is scored on."""
    wells = fields.dropna(subset="Metadata_Condition").drop_duplicates(WELL)
    counts = wells["Metadata_Condition"].value_counts()
    return int(counts[counts >= 2].sum())


def _of_model(fields: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, float]:
    if fields.empty:
        return {}
    order = {name: number for number, name in enumerate(classes)}
    labels = fields["Metadata_Condition"].map(order).to_numpy(np.int64)
    log_probs: npt.NDArray[np.float64] = np.log(
        fields[[f"probability_{name}" for name in classes]].to_numpy(float).clip(min=1e-300)
    )
    wells = by_well(well_names(fields), labels, log_probs)
    scores = classification_scores(wells.labels, wells.log_probs, classes)
    chosen = {name: scores[name] for name in ("accuracy", "auc") if name in scores}
    return chosen | {"wells": len(wells.wells)}
