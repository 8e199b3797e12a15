"""Saving and loading of networks, and initialisation from the weights of another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.families import build_from_spec
from leigh_mlops.models.published_weights import adapt_stem
from leigh_mlops.models.tensor_files import read_json, read_shapes, read_tensors, size_mib, write_json, write_tensors

__all__ = ["DESCRIPTION", "InitialisationReport", "initialise", "load_model", "save_model", "save_with_metadata"]

DESCRIPTION, WEIGHTS = "model.json", "weights.safetensors"
_HEAD = "head."


@dataclass(frozen=True)
class InitialisationReport:
    """Names of the tensors of a network that were initialised from a file.

    Attributes:
        copied: Names of tensors from the file.
        left: Names of tensors that kept their values.
    """

    copied: tuple[str, ...]
    left: tuple[str, ...]


def save_model(model: Network, folder: Path) -> None:
    """Write ``weights.safetensors`` and ``model.json``, the latter last."""
    save_with_metadata(model, folder, {})


def save_with_metadata(model: Network, folder: Path, more: dict[str, Any]) -> None:
    """Save a model like :func:`save_model`, with more keys in ``model.json``."""
    certificate = model.certificate()
    write_tensors(folder / WEIGHTS, model.state_dict())
    write_json(
        folder / DESCRIPTION, model.spec.to_json() | ({"certificate": certificate} if certificate else {}) | more
    )


def load_model(folder: Path) -> Network:
    """Load a network that :func:`save_model` wrote, in eval mode, on the CPU.

    It is built by this package's own code; nothing is unpickled, and no memory is
    allocated before the names and shapes of the weights are checked against the description.

    Raises:
        LeighError: A file is missing, damaged, foreign, larger than its network, or the two do not belong together.
    """
    spec = ModelSpec.from_json(read_json(folder / DESCRIPTION))
    with torch.device("meta"):
        model = build_from_spec(spec)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    weights = folder / WEIGHTS
    _check_shapes(weights, expected, read_shapes(weights, size_mib(model.state_dict())))
    model.to_empty(device="cpu")
    model.load_state_dict(read_tensors(weights), strict=True)
    _check_finite(weights, model.state_dict())
    return model.eval()


def initialise(model: Network, source: Path) -> InitialisationReport:
    """Copy the weights that fit, by name and shape, from a saved model.

    The head is copied only where the source is a model's folder with the same
    classes in the same order. Names as in torchvision's (or timm's) own networks fit,
    too, and first kernels of a file for three colours are adapted to the channels.

    Args:
        model: Changed in place.
        source: A model's folder, or a .safetensors file.

    Raises:
        LeighError: The source can't be read or is not finite, or nothing fits.
    """
    is_folder = source.is_dir()
    tensors = read_tensors(source / WEIGHTS if is_folder else source)
    same = is_folder and ModelSpec.from_json(read_json(source / DESCRIPTION)).classes == model.spec.classes
    own = {name: tensor for name, tensor in model.state_dict().items() if same or not name.startswith(_HEAD)}
    found = {name: tensors.get(name, tensors.get(name.removeprefix("features."))) for name in own}
    if not is_folder and model.stem and (kernels := found.get(model.stem)) is not None and kernels.shape[1:2] == (3,):
        found[model.stem] = adapt_stem(kernels, own[model.stem].shape[1])
    fitting = {name: new for name, new in found.items() if new is not None and new.shape == own[name].shape}
    _check_finite(source, fitting)
    if not fitting:
        raise LeighError(
            f"{source} holds no weights that fit a {model.spec.family} of {model.spec.image_size} pixels and"
            f" {model.spec.channels} channels; give weights of that family or train with --init random."
        )
    _copy_tensors(own, fitting)
    left = tuple(name for name in model.state_dict() if name not in fitting)
    return InitialisationReport(tuple(fitting), left)


@torch.no_grad()
def _copy_tensors(own: dict[str, Tensor], new: dict[str, Tensor]) -> None:
    for name, tensor in new.items():
        own[name].copy_(tensor)


def _check_shapes(path: Path, expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            is_, should = (
                _describe_shape(found.get(name), "missing"),
                _describe_shape(expected.get(name), "no such tensor"),
            )
            raise LeighError(
                f"{path} does not belong to its {DESCRIPTION}: {name} is {is_}, but the description requires {should};"
                " save the model again."
            )


def _check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise LeighError(f"{path} has values in {name} that are not finite; use another version or train it again.")


def _describe_shape(shape: tuple[int, ...] | None, otherwise: str) -> str:
    return otherwise if shape is None else f"a tensor of shape {shape}"
