"""Prepared data, objectives and the training loop."""

from leigh_mlops.training.checkpoint import load_checkpoint, save_checkpoint
from leigh_mlops.training.data import PARTS, PreparedData
from leigh_mlops.training.epoch import DivergenceError
from leigh_mlops.training.folds import digests_of_starts, divisions
from leigh_mlops.training.loop import Epoch, fit
from leigh_mlops.training.memory import image_bytes, memory_of
from leigh_mlops.training.objective import OBJECTIVES, Outputs, inverse_error, objective_of, predict
from leigh_mlops.training.state import TrainingState
from leigh_mlops.training.trial import build_network, run_trial, trained_network

__all__ = [
    "OBJECTIVES",
    "PARTS",
    "DivergenceError",
    "Epoch",
    "Outputs",
    "PreparedData",
    "TrainingState",
    "build_network",
    "digests_of_starts",
    "divisions",
    "fit",
    "inverse_error",
    "load_checkpoint",
    "image_bytes",
    "memory_of",
    "objective_of",
    "predict",
    "run_trial",
    "save_checkpoint",
    "trained_network",
]
