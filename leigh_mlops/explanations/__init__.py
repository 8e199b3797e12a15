"""Why a model says what it says: tensors in, tensors out."""

from leigh_mlops.explanations.boundary import Crossing, head_margin, reach
from leigh_mlops.explanations.certified import Certified, certify
from leigh_mlops.explanations.counterfactuals import (
    CONFIDENCE,
    DEFAULT_KINDS,
    KINDS,
    Counterfactual,
    check_confidence,
    check_kinds,
)
from leigh_mlops.explanations.ecinn import EcinnStep, ecinn
from leigh_mlops.explanations.explainers import (
    EXPLAINERS,
    Context,
    default_explainers,
    explainers_for,
)
from leigh_mlops.explanations.field_batch import FieldExplanation
from leigh_mlops.explanations.fields import explain_fields, predict_fields
from leigh_mlops.explanations.interpolation import interpolate, towards_mean
from leigh_mlops.explanations.means import RunningClassMeans, class_means

__all__ = [
    "EXPLAINERS",
    "Context",
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
    "DEFAULT_KINDS",
    "KINDS",
    "Counterfactual",
    "check_confidence",
    "check_kinds",
    "Certified",
    "certify",
    "interpolate",
    "towards_mean",
    "FieldExplanation",
    "explain_fields",
    "predict_fields",
]
