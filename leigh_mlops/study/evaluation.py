"""Scores of a model package on some fields, beside the baselines stored in it."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, PCABaseline
from leigh_mlops.scores import per_well_mean
from leigh_mlops.study.baselines import Baselines, field_intensities, neighbour_scores
from leigh_mlops.training import Outputs, PreparedData, inverse_error, predict, retrieval_scores, select_objective

__all__ = [
    "CLUSTER_SCORES",
    "Evaluation",
    "evaluate_package",
    "predict_rows",
    "raw_errors",
    "select_scores",
    "training_mask",
]

CLUSTER_SCORES = ("replicates/", "nmi/", "ari/")
"""Beginnings of the names of the scores of a model that clusters."""

_INVERTED_FIELDS = 4
_BATCH = 16


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model, the intensity baseline and the position baseline on the same fields.

    Attributes:
        scores: Shared metric names of the model, those per well under ``wells/``, those of
            wells with a neighbour of another class under ``beside/``.
        baseline: Scores of the intensity baseline; of PCA where the model reconstructs, and of the retrieval by
            intensity features where it clusters.
        position: Scores of the position on the plate; empty where the model does not classify.
        outputs: Outputs of the model for each field.
    """

    scores: dict[str, float]
    baseline: dict[str, float]
    position: dict[str, float]
    outputs: Outputs

    def to_json(self, model: str) -> dict[str, Any]:
        """The JSON of the ``evaluate`` command."""
        pairs = ("z_prime/", "z_prime_log_odds/", *CLUSTER_SCORES)
        fields = {name: value for name, value in self.scores.items() if "/" not in name or name.startswith(pairs)}
        wells, neighbours = (select_scores(prefix, self.scores) for prefix in ("wells/", "beside/"))
        return {
            "model": model,
            "fields": fields,
            "wells": wells,
            "beside": neighbours,
            "baseline": self.baseline,
            "position": self.position,
        }


def evaluate_package(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> Evaluation:
    """Score a package on some rows; the data's classes must be the model's."""
    model, outputs = package.model, predict_rows(package, data, rows)
    wells = list(data.wells[outputs.rows])
    scores = select_objective(model).scores(outputs, wells, data.classes)
    scale = IntensityScale.from_json(package.scale)
    batch = next(iter(data.batches_from_rows(rows[:_INVERTED_FIELDS], scale, _INVERTED_FIELDS)))
    error = inverse_error(model, batch.images)
    # An inverse that does not converge has no error; jobs report it field by field.
    if error is not None and math.isfinite(error):
        scores["inverse_error"] = error
    if model.task == "reconstruct":
        return Evaluation(scores, {"mse": _latent_mse(package, data, rows)}, {}, outputs)
    if model.task == "cluster":
        return Evaluation(scores, retrieval_scores(field_intensities(data, outputs.rows), wells), {}, outputs)
    scores |= neighbour_scores(data, outputs.rows, outputs.values)
    baselines = Baselines.from_arrays(package.arrays).scores(data, rows)
    return Evaluation(scores, baselines["baseline"], baselines["position"], outputs)


def select_scores(prefix: str, scores: dict[str, float]) -> dict[str, float]:
    """The scores whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in scores.items() if name.startswith(prefix)}


def predict_rows(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> Outputs:
    """Outputs of a package for some rows, in their order; a network that adapts to plates does so.

    Raises:
        LeighError: It adapts to plates, and one has too few negative controls.
    """
    controls = data.plate_controls(training_mask(package, data)) if package.is_adapted else None
    batches = data.batches_from_rows(rows, IntensityScale.from_json(package.scale), _BATCH, controls=controls)
    outputs = predict(package.predictor, batches, package.about.get("beta", 1.0))
    place = {int(row): number for number, row in enumerate(outputs.rows)}
    order = [place[int(row)] for row in rows]
    features = None if outputs.features is None else outputs.features[order]
    rows, labels, values = outputs.rows[order], outputs.labels[order], outputs.values[order]
    return replace(outputs, rows=rows, labels=labels, values=values, features=features)


def training_mask(package: ModelPackage, data: PreparedData) -> npt.NDArray[np.bool_]:
    """Mask of the fields on which a package was trained, shape (N,)."""
    return np.isin(data.cache.digests, package.arrays["training_digests"].astype(np.uint64))


def _latent_mse(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> float:
    arrays = {name.removeprefix("pca/"): a for name, a in package.arrays.items() if name.startswith("pca/")}
    pca, scale = PCABaseline.from_arrays(arrays), IntensityScale.from_json(package.scale)
    errors = [pca.mse(batch.images.numpy()) for batch in data.batches_from_rows(rows, scale, _BATCH)]
    return float(np.concatenate(errors).mean())


def raw_errors(package: ModelPackage, data: PreparedData, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Mean squared error per well of reconstructions in raw intensity units, so that scales do not matter."""
    model, scale = package.model, IntensityScale.from_json(package.scale)
    device, errors = next(model.parameters()).device, []
    with evaluating(model):
        for batch in data.batches_from_rows(rows, scale, _BATCH):
            made = model(batch.images.to(device)).cpu().numpy()
            difference = scale.invert(made) - data.cache.raw(batch.rows)
            errors.append(np.square(difference.astype(np.float64)).mean(axis=(1, 2, 3)))
    return per_well_mean(list(data.wells[rows]), np.concatenate(errors))
