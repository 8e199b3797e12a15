"""Prepared data, objectives and the training loop."""

from leigh_mlops.training.checkpoint import load_checkpoint, save_checkpoint
from leigh_mlops.training.data import PARTS, PreparedData
from leigh_mlops.training.loop import DivergenceError, Epoch, TrainingState, fit
from leigh_mlops.training.objective import OBJECTIVES, Outputs, objective_of, predict
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
    "fit",
    "load_checkpoint",
    "objective_of",
    "predict",
    "run_trial",
    "save_checkpoint",
    "trained_network",
]
