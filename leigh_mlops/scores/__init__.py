"""Scores as pure functions from arrays to numbers; the unit of n is the well."""

from leigh_mlops.scores.bootstrap import Difference, paired_bootstrap, per_well_log_loss, per_well_mean
from leigh_mlops.scores.classification import classification_scores
from leigh_mlops.scores.control_separation import probability_z_prime, ssmd, z_prime
from leigh_mlops.scores.counterfactual import (
    QUALITY_RULE,
    QualityStatus,
    RatedStatus,
    background_noise,
    changed_share,
    clipped_share,
    is_confidence_reached,
    mean_change,
    quality_status,
    rate_counterfactual,
    reencoding_error,
)
from leigh_mlops.scores.realism import (
    Typicality,
    difference_shares,
    fit_typicality,
    frechet_distance,
    real_against_real_auc,
    realism_auc,
    typicality,
)
from leigh_mlops.scores.wells import WellScores, aggregate_wells, all_scores

__all__ = [
    "z_prime",
    "probability_z_prime",
    "ssmd",
    "classification_scores",
    "WellScores",
    "aggregate_wells",
    "all_scores",
    "Difference",
    "paired_bootstrap",
    "per_well_log_loss",
    "per_well_mean",
    "QUALITY_RULE",
    "QualityStatus",
    "RatedStatus",
    "rate_counterfactual",
    "is_confidence_reached",
    "background_noise",
    "changed_share",
    "clipped_share",
    "quality_status",
    "mean_change",
    "reencoding_error",
    "realism_auc",
    "real_against_real_auc",
    "frechet_distance",
    "difference_shares",
    "Typicality",
    "fit_typicality",
    "typicality",
]
