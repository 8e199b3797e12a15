"""Why a model says what it says: tensors in, tensors out."""

from leigh_mlops.explanations.boundary import Crossing, head_margin, reach
from leigh_mlops.explanations.certified import Certified, certify
from leigh_mlops.explanations.counterfactuals import (
    CONFIDENCE,
    KINDS,
    Counterfactual,
    check_confidence,
    check_kinds,
    counterfactual,
    counterfactuals,
)
from leigh_mlops.explanations.ecinn import EcinnStep, ecinn
from leigh_mlops.explanations.explainers import (
    EXPLAINERS,
    Context,
    Explainer,
    default_explainers,
    explainers_for,
)
from leigh_mlops.explanations.fields import FieldExplanation, explain_fields, predict_fields
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
    "Crossing",
    "head_margin",
    "reach",
    "CONFIDENCE",
    "KINDS",
    "Counterfactual",
    "check_confidence",
    "check_kinds",
    "counterfactual",
    "counterfactuals",
    "Certified",
    "certify",
    "interpolate",
    "towards_mean",
    "occlusion",
    "FieldExplanation",
    "explain_fields",
    "predict_fields",
]
