"""Explanations of a model's predictions: tensors in, tensors out."""

from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.counterfactuals.alpha_sweep import counterfactual_sweep
from leigh_mlops.explanations.counterfactuals.class_means import class_means, require_means
from leigh_mlops.explanations.counterfactuals.endpoints import mapped_fields
from leigh_mlops.explanations.counterfactuals.field_counterfactuals import required_confidence
from leigh_mlops.explanations.counterfactuals.generation import (
    COUNTERFACTUAL_KINDS,
    check_confidence,
    check_kinds,
    default_counterfactual_kinds,
)
from leigh_mlops.explanations.counterfactuals.mask_curve import MaskCurve, SmallestEdit, mask_curve
from leigh_mlops.explanations.counterfactuals.sham_edits import NETWORK, ShamEdits, predict_by_all, sham_edits
from leigh_mlops.explanations.counterfactuals.verification import VerifiedCounterfactual
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.explainers import (
    EXPLAINERS,
    ExplanationContext,
    default_explainers,
    select_explainers,
)
from leigh_mlops.explanations.faithfulness.infidelity import FAITHFULNESS_METRICS, check_metrics
from leigh_mlops.explanations.faithfulness.method_checks import MAX_SIMILARITY, MethodCheck, check_methods
from leigh_mlops.explanations.field_batch import FieldExplanation
from leigh_mlops.explanations.field_explanations import explain_fields, predict_fields
from leigh_mlops.explanations.latent_map import LatentMap, PooledLatents
from leigh_mlops.explanations.maps import MAP_METHODS, map_names, map_unit

__all__ = [
    "EXPLAINERS",
    "ExplanationContext",
    "default_explainers",
    "select_explainers",
    "default_counterfactual_kinds",
    "mapped_fields",
    "MaskCurve",
    "SmallestEdit",
    "mask_curve",
    "NETWORK",
    "ShamEdits",
    "predict_by_all",
    "sham_edits",
    "required_confidence",
    "COUNTERFACTUAL_KINDS",
    "check_confidence",
    "check_kinds",
    "VerifiedCounterfactual",
    "FieldExplanation",
    "explain_fields",
    "predict_fields",
    "MAP_METHODS",
    "map_names",
    "map_unit",
    "FAITHFULNESS_METRICS",
    "check_metrics",
    "MAX_SIMILARITY",
    "MethodCheck",
    "check_methods",
    "class_means",
    "require_means",
    "LatentMap",
    "PooledLatents",
    "counterfactual_sweep",
    "evaluating",
    "require_capabilities",
]
