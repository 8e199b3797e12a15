"""Pure functions from arrays to numbers; the unit of n is the well."""

from leigh_mlops.scores.bootstrap import Difference, paired_bootstrap, per_well_log_loss, per_well_mean
from leigh_mlops.scores.classification import classification_scores
from leigh_mlops.scores.counterfactual import (
    LIGHT_RULE,
    Light,
    arrived,
    background_noise,
    changed_share,
    clipped_share,
    light,
    mean_change,
    reencoding_error,
)
from leigh_mlops.scores.screening import ssmd, z_prime
from leigh_mlops.scores.wells import WellScores, all_scores, by_well

__all__ = [
    "z_prime",
    "ssmd",
    "classification_scores",
    "WellScores",
    "by_well",
    "all_scores",
    "Difference",
    "paired_bootstrap",
    "per_well_log_loss",
    "per_well_mean",
    "LIGHT_RULE",
    "Light",
    "arrived",
    "background_noise",
    "changed_share",
    "clipped_share",
    "light",
    "mean_change",
    "reencoding_error",
]
