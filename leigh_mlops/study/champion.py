"""Champion or challenger: decided on validation wells, or on plates, that neither version was trained on."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage, load_to_device
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import Difference, paired_bootstrap, per_well_log_loss
from leigh_mlops.scores.replicate_retrieval import well_precisions
from leigh_mlops.study.evaluation import predict_rows, raw_errors, training_mask
from leigh_mlops.study.left_out_plates import LeftOut
from leigh_mlops.tracking import Store, Version
from leigh_mlops.training import PreparedData

__all__ = ["JUDGES", "Decision", "comparison_key", "decide_promotion", "predict_unseen_plates"]

AtSize = Callable[[int], PreparedData]
JUDGES = ("well", "plate")
"""Units by which versions are compared."""

_LOSSES = {"classify": "log loss", "reconstruct": "squared error", "cluster": "missed precision of replicates"}


@dataclass(frozen=True)
class Decision:
    """Decision whether a version becomes champion, and its reason in a sentence."""

    promote: bool
    reason: str

    def tags(self) -> dict[str, object]:
        """Tags of a version that record the decision."""
        return {"decision": self.reason, "promoted": self.promote}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "Decision":
        """The decision that a version was registered with."""
        return cls(tags.get("promoted") == "true", tags.get("decision", ""))


def comparison_key(package: ModelPackage) -> dict[str, object]:
    """Properties that two versions must share to be compared; stored as tags of a version."""
    return {
        "task": package.model.task,
        "classes": list(package.model.spec.classes),
        "channels": list(package.channels),
        "full_scale": package.scale["full_scale"],
        "scale_by": "controls" if package.scale.get("controls") else "training",
        "fields": "whole" if package.field_width_um is None else f"squares of {package.field_width_um:g} µm",
    }


def decide_promotion(
    store: Store, name: str, package: ModelPackage, at_size: AtSize, judge_by: str = "well"
) -> Decision:
    """Compare a package with the champion of a name; the test part is not touched.

    Args:
        store: The registry.
        name: Registered name.
        package: The new version's package.
        at_size: Returns the study's data at another image size.
        judge_by: ``well`` compares them on validation wells; ``plate`` compares classifiers on plates on which
            neither was trained, see :func:`predict_unseen_plates`.
    """
    champion = store.champion(name)
    if champion is None:
        return Decision(True, f"the first version of {name}")
    demo, was_demo = bool(package.about.get("demo")), champion.tags.get("demo") == "true"
    if was_demo and not demo:
        return Decision(True, f"{name} had only a model of demo data, version {champion.version}")
    if demo and not was_demo:
        return Decision(False, f"a demo model never takes the place of version {champion.version}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        other = load_to_device(store.download(champion, Path(temporary)))
    return _compare_with_champion(package, other, champion, at_size, judge_by)


def _compare_with_champion(
    package: ModelPackage, other: ModelPackage, champion: Version, at_size: AtSize, judge_by: str
) -> Decision:
    ours, theirs = comparison_key(package), comparison_key(other)
    differing = [key for key in ours if ours[key] != theirs[key]]
    if differing:
        differences = "; ".join(f"{key} {theirs[key]} against {ours[key]}" for key in differing)
        return Decision(
            False, f"version {champion.version} is of another kind ({differences}); --name starts a line of its own"
        )
    for each in (package, other):
        if (reason := _lack_of_controls(each, at_size(each.model.spec.image_size))) is not None:
            return Decision(False, f"not compared with champion version {champion.version}: {reason}")
    if judge_by == "plate" and package.model.task == "classify":
        return _compare_by_plate(package, other, champion, at_size)
    return _compare(package, other, champion, at_size)


def _lack_of_controls(package: ModelPackage, data: PreparedData) -> str | None:
    """Reason why a package that adapts to plates can't be scored on some data; ``None`` if it can."""
    try:
        if package.is_adapted:
            data.plate_controls(training_mask(package, data))
    except LeighError as error:
        return str(error).rstrip(".")
    return None


def _compare(package: ModelPackage, other: ModelPackage, champion: Version, at_size: AtSize) -> Decision:
    digests = [each.arrays["training_digests"].astype(np.uint64) for each in (package, other)]
    ours, theirs = (at_size(each.model.spec.image_size) for each in (package, other))
    rows = ours.rows_of_unseen_wells(*digests)
    wells = np.unique(ours.wells[rows])
    if len(wells) < 2:
        return Decision(
            False, f"no two validation wells that neither it nor champion version {champion.version} was trained on"
        )
    difference = _difference(package, other, ours, theirs, rows)
    against = (
        f"{_LOSSES[package.model.task]} {difference.mean:+.4g} "
        f"(95 % interval {difference.low:.4g} to {difference.high:.4g}) against champion version {champion.version} "
        f"on {len(wells)} validation wells that neither was trained on"
    )
    return Decision(difference.high < 0, f"{'better' if difference.high < 0 else 'not surely better'}: {against}")


def _difference(
    package: ModelPackage, other: ModelPackage, ours: PreparedData, theirs: PreparedData, rows: np.ndarray
) -> Difference:
    pairs = ((package, ours), (other, theirs))
    if package.model.task == "reconstruct":
        return paired_bootstrap(*(raw_errors(each, data, rows) for each, data in pairs))
    wells, labels = list(ours.wells[rows]), ours.labels[rows]
    if package.model.task == "cluster":
        plates = ours.table[Metadata.PLATE].astype(str).to_numpy(str)[rows]
        found = [predict_rows(each, data, rows).features for each, data in pairs]
        return paired_bootstrap(
            *(-well_precisions(features, wells, plates) for features in found if features is not None)
        )
    losses = [per_well_log_loss(wells, labels, predict_rows(each, data, rows).values) for each, data in pairs]
    return paired_bootstrap(*losses)


def _compare_by_plate(package: ModelPackage, other: ModelPackage, champion: Version, at_size: AtSize) -> Decision:
    data = at_size(package.model.spec.image_size)
    predicted = [predict_unseen_plates(each, at_size(each.model.spec.image_size)) for each in (package, other)]
    # Either may know predictions for fields that the other lacks, and a plate's mean is over its wells.
    rows, *places = np.intersect1d(predicted[0][0], predicted[1][0], return_indices=True)
    losses = [
        _plate_losses(data, rows, log_probs[place]) for (_, log_probs), place in zip(predicted, places, strict=True)
    ]
    plates = list(losses[0])
    if len(plates) < 2:
        return Decision(
            False,
            f"no two plates that neither it nor champion version {champion.version} was trained on; version "
            f"{champion.version} was {'' if LeftOut.from_arrays(other.arrays) else 'not '}judged by plate",
        )
    difference = paired_bootstrap(*([each[plate] for plate in plates] for each in losses))
    better = difference.high < 0
    return Decision(
        better,
        f"{'better' if better else 'not surely better'}: log loss {difference.mean:+.4g} (95 % interval over plates "
        f"{difference.low:.4g} to {difference.high:.4g}) against champion version {champion.version} on {len(plates)} "
        f"of {data.table[Metadata.PLATE].nunique()} plates, each left out of the training",
    )


def _plate_losses(
    data: PreparedData, rows: npt.NDArray[np.int64], log_probs: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Mean log loss of the wells of each plate, for rows (n,) and their log-probabilities (n, K)."""
    plates = data.table[Metadata.PLATE].astype(str).to_numpy(str)[rows]
    losses = {}
    for plate in np.unique(plates):
        chosen = plates == plate
        some = rows[chosen]
        losses[str(plate)] = float(
            per_well_log_loss(list(data.wells[some]), data.labels[some], log_probs[chosen]).mean()
        )
    return losses


def predict_unseen_plates(
    package: ModelPackage, data: PreparedData
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Predictions of a classifier for training and validation fields of plates that it has not seen.

    For a plate that it was trained on these are the stored predictions of its configuration, trained without the
    plate; for a plate of which it has seen no field its own.

    Returns:
        Rows (n,) and log-probabilities (n, K); n may be 0.
    """
    stored = LeftOut.from_arrays(package.arrays)
    rows, log_probs = (
        (np.zeros(0, np.int64), np.zeros((0, len(data.classes)))) if stored is None else stored.match(data)
    )
    learned = np.concatenate([data.rows("train"), data.rows("val")])
    known = np.isin(rows, learned)
    plates = data.table[Metadata.PLATE].astype(str).to_numpy(str)
    seen = np.unique(plates[np.isin(data.cache.digests, package.seen_digests)])
    new = learned[~np.isin(plates[learned], seen)]
    own = predict_rows(package, data, new).values if len(new) else np.zeros((0, len(data.classes)))
    return np.concatenate([rows[known], new]), np.concatenate([log_probs[known], own])
