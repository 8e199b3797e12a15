"""Why a model says what it says: tensors in, tensors out."""

from leigh_mlops.explanations.ecinn import Counterfactual, EcinnStep, counterfactual, ecinn
from leigh_mlops.explanations.explainers import (
    EXPLAINERS,
    Context,
    Explainer,
    default_explainers,
    explainers_for,
)
from leigh_mlops.explanations.fields import ALPHAS, FieldExplanation, explain_fields, predict_fields, verify
from leigh_mlops.explanations.interpolation import interpolate, towards_mean
from leigh_mlops.explanations.means import RunningClassMeans, class_means
from leigh_mlops.explanations.occlusion import occlusion

__all__ = [
    "EXPLAINERS",
    "Context",
    "Explainer",
    "default_explainers",
    "explainers_for",
    "RunningClassMeans",
    "class_means",
    "EcinnStep",
    "ecinn",
    "Counterfactual",
    "counterfactual",
    "interpolate",
    "towards_mean",
    "occlusion",
    "ALPHAS",
    "FieldExplanation",
    "explain_fields",
    "predict_fields",
    "verify",
]
