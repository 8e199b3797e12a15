"""Prepared data, objectives and the training loop."""

from leigh_mlops.training.adaptation import adapted_batches, fix_adaptation, is_adapted
from leigh_mlops.training.checkpoint import load_checkpoint, save_checkpoint
from leigh_mlops.training.cluster_scores import agreement_scores, retrieval_scores
from leigh_mlops.training.cross_validation import divide_folds, initial_weight_digests, redivide
from leigh_mlops.training.data import PARTS, PreparedData
from leigh_mlops.training.epoch import DivergenceError
from leigh_mlops.training.loop import EpochResult, fit
from leigh_mlops.training.memory import estimate_gpu_memory, estimate_trial_memory, image_bytes
from leigh_mlops.training.objective import OBJECTIVES, Outputs, inverse_error, predict, select_objective
from leigh_mlops.training.processes import DividedTrial, LostProcessError, run_divided_trial
from leigh_mlops.training.state import TrainingState
from leigh_mlops.training.trial import build_network, load_trained_network, place_network, predict_part, run_trial

__all__ = [
    "OBJECTIVES",
    "PARTS",
    "DividedTrial",
    "DivergenceError",
    "EpochResult",
    "LostProcessError",
    "Outputs",
    "PreparedData",
    "TrainingState",
    "adapted_batches",
    "agreement_scores",
    "build_network",
    "initial_weight_digests",
    "divide_folds",
    "fit",
    "inverse_error",
    "fix_adaptation",
    "is_adapted",
    "load_checkpoint",
    "image_bytes",
    "estimate_gpu_memory",
    "estimate_trial_memory",
    "select_objective",
    "place_network",
    "predict",
    "predict_part",
    "redivide",
    "retrieval_scores",
    "run_divided_trial",
    "run_trial",
    "save_checkpoint",
    "load_trained_network",
]
