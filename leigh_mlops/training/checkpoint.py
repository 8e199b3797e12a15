"""A training state on disk: safetensors and JSON, no pickle."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from leigh_mlops.models import Network
from leigh_mlops.training.loop import TrainingState

__all__ = ["load_best", "load_checkpoint", "save_checkpoint"]


def save_checkpoint(state: TrainingState, folder: Path) -> None:
    """Write a state; ``state.json`` is written last and renamed, so that its presence means completeness."""
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = state.optimizer.state_dict()
    tensors, numbers = _split(optimizer["state"])
    save_file(_plain(dict(state.model.state_dict())), folder / "weights.safetensors")
    save_file(_plain(state.best_weights), folder / "best.safetensors")
    save_file(_plain(tensors), folder / "optimizer.safetensors")
    about = {
        "seed": state.seed,
        "epoch": state.epoch,
        "best": state.best,
        "best_epoch": state.best_epoch,
        "optimizer": {"numbers": numbers, "groups": optimizer["param_groups"]},
    }
    temporary = folder / "state.json.part"
    temporary.write_text(json.dumps(about))
    os.replace(temporary, folder / "state.json")


def load_checkpoint(state: TrainingState, folder: Path) -> None:
    """Bring a fresh state of the same model and optimizer to where a saved one was."""
    about = json.loads((folder / "state.json").read_text())
    state.model.load_state_dict(load_file(folder / "weights.safetensors"))
    entries: dict[int, dict[str, Any]] = {int(key): dict(value) for key, value in about["optimizer"]["numbers"].items()}
    for name, tensor in load_file(folder / "optimizer.safetensors").items():
        key, entry = name.split(".", 1)
        entries.setdefault(int(key), {})[entry] = tensor
    state.optimizer.load_state_dict({"state": entries, "param_groups": about["optimizer"]["groups"]})
    state.seed, state.epoch = about["seed"], about["epoch"]
    state.best, state.best_epoch = about["best"], about["best_epoch"]
    state.best_weights = load_file(folder / "best.safetensors")


def load_best(model: Network, folder: Path) -> int:
    """Give a network of the same spec the weights of the best epoch, and return that epoch's number."""
    model.load_state_dict(load_file(folder / "best.safetensors"))
    return int(json.loads((folder / "state.json").read_text())["best_epoch"])


def _split(entries: dict[int, dict[str, Any]]) -> tuple[dict[str, Tensor], dict[int, dict[str, Any]]]:
    tensors: dict[str, Tensor] = {}
    numbers: dict[int, dict[str, Any]] = {}
    for key, values in entries.items():
        tensors |= {f"{key}.{name}": value for name, value in values.items() if isinstance(value, Tensor)}
        numbers[key] = {name: value for name, value in values.items() if not isinstance(value, Tensor)}
    return tensors, numbers


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, which safetensors would refuse."""
    return {name: torch.clone(value.detach()).contiguous() for name, value in tensors.items()}
