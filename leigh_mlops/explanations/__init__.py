"""Why a model says what it says: tensors in, tensors out."""

from leigh_mlops.explanations.capabilities import require
from leigh_mlops.explanations.certified import Certified
from leigh_mlops.explanations.counterfactuals import (
    CONFIDENCE,
    DEFAULT_KINDS,
    KINDS,
    check_confidence,
    check_kinds,
)
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.explainers import (
    EXPLAINERS,
    Context,
    default_explainers,
    explainers_for,
)
from leigh_mlops.explanations.faithfulness import METRICS, check_metrics
from leigh_mlops.explanations.field_batch import FieldExplanation
from leigh_mlops.explanations.fields import explain_fields, predict_fields
from leigh_mlops.explanations.latents import LatentMap, PooledLatents
from leigh_mlops.explanations.maps import MAPS, map_names, unit_of
from leigh_mlops.explanations.means import class_means, require_means
from leigh_mlops.explanations.sanity import SIMILAR, MethodCheck, check_methods
from leigh_mlops.explanations.sweep import sweep_of

__all__ = [
    "EXPLAINERS",
    "Context",
    "default_explainers",
    "explainers_for",
    "CONFIDENCE",
    "DEFAULT_KINDS",
    "KINDS",
    "check_confidence",
    "check_kinds",
    "Certified",
    "FieldExplanation",
    "explain_fields",
    "predict_fields",
    "MAPS",
    "map_names",
    "unit_of",
    "METRICS",
    "check_metrics",
    "SIMILAR",
    "MethodCheck",
    "check_methods",
    "class_means",
    "require_means",
    "LatentMap",
    "PooledLatents",
    "sweep_of",
    "evaluating",
    "require",
]
