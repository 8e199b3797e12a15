"""Training states on disk: safetensors and JSON, no pickle."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.models import Network
from leigh_mlops.training.state import TrainingState

__all__ = ["load_best", "load_checkpoint", "load_last", "save_checkpoint"]

_CARRIED = "carried.safetensors"


def save_checkpoint(state: TrainingState, folder: Path) -> None:
    """Write a state, and those of its other folds in ``fold1``, ``fold2``, … below.

    ``state.json`` is written last and renamed, so that its presence means completeness.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.json").unlink(missing_ok=True)
    for number, other in enumerate(state.others, start=1):
        save_checkpoint(other, folder / f"fold{number}")
    tensors, numbers = _split_tensors(state.optimizer.state_dict()["state"])
    save_file(_clone_tensors(dict(state.model.state_dict())), folder / "weights.safetensors")
    save_file(_clone_tensors(state.best_weights), folder / "best.safetensors")
    save_file(_clone_tensors(tensors), folder / "optimizer.safetensors")
    if state.carried:
        save_file(_clone_tensors(state.carried), folder / _CARRIED)
    about = {
        "seed": state.seed,
        "epoch": state.epoch,
        "best": state.best,
        "best_epoch": state.best_epoch,
        "optimizer": {"numbers": numbers},
        "folds": 1 + len(state.others),
    }
    temporary = folder / "state.json.part"
    temporary.write_text(json.dumps(about))
    os.replace(temporary, folder / "state.json")


def load_checkpoint(state: TrainingState, folder: Path) -> None:
    """Restore a saved state into a fresh one of the same model and optimizer.

    Learning rates, weight decay and all other options of the optimizer stay those of the fresh state.

    Raises:
        LeighError: Another number of folds was saved.
    """
    about = json.loads((folder / "state.json").read_text())
    if about["folds"] != 1 + len(state.others):
        raise LeighError(
            f"The checkpoint {folder} has {about['folds']} folds, not {1 + len(state.others)}; "
            "start a new search to change them."
        )
    state.model.load_state_dict(load_file(folder / "weights.safetensors"))
    entries: dict[int, dict[str, Any]] = {int(key): dict(value) for key, value in about["optimizer"]["numbers"].items()}
    for name, tensor in load_file(folder / "optimizer.safetensors").items():
        key, entry = name.split(".", 1)
        entries.setdefault(int(key), {})[entry] = tensor
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": entries, "param_groups": groups})
    state.seed, state.epoch = about["seed"], about["epoch"]
    state.best, state.best_epoch = about["best"], about["best_epoch"]
    state.best_weights = load_file(folder / "best.safetensors")
    if (folder / _CARRIED).exists():  # not in checkpoints of most families
        state.carried = load_file(folder / _CARRIED)
    for number, other in enumerate(state.others, start=1):
        load_checkpoint(other, folder / f"fold{number}")


def load_best(model: Network, folder: Path) -> int:
    """Load the weights of the best epoch into a network of the same spec, and return that epoch's number.

    Of several folds, the network of the first, the study's own division, is kept.
    """
    model.load_state_dict(load_file(folder / "best.safetensors"))
    return int(json.loads((folder / "state.json").read_text())["best_epoch"])


def load_last(model: Network, folder: Path) -> int:
    """Load the weights of the last epoch into a network of the same spec, and return that epoch's number.

    Of several folds, the network of the first is loaded, as by :func:`load_best`.
    """
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return int(json.loads((folder / "state.json").read_text())["epoch"])


def _split_tensors(entries: dict[int, dict[str, Any]]) -> tuple[dict[str, Tensor], dict[int, dict[str, Any]]]:
    tensors: dict[str, Tensor] = {}
    numbers: dict[int, dict[str, Any]] = {}
    for key, values in entries.items():
        tensors |= {f"{key}.{name}": value for name, value in values.items() if isinstance(value, Tensor)}
        numbers[key] = {name: value for name, value in values.items() if not isinstance(value, Tensor)}
    return tensors, numbers


def _clone_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors so that they share no memory, which safetensors would refuse."""
    return {name: torch.clone(value.detach()).contiguous() for name, value in tensors.items()}
