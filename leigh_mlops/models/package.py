"""A model with everything that is needed to use it."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.models.contract import Network
from leigh_mlops.models.device import default_device
from leigh_mlops.models.engines import Engine, build_predictor
from leigh_mlops.models.oracles import OraclePanel
from leigh_mlops.models.package_checks import check_arrays, check_facts, largest_arrays_mib
from leigh_mlops.models.tensor_files import read_arrays, read_json, size_mib, write_arrays
from leigh_mlops.models.transport import ClassMaps
from leigh_mlops.models.weights import DESCRIPTION, load_model, save_with_metadata
from leigh_mlops.scores.conformal import CalibrationWells
from leigh_mlops.scores.realism import Typicality

__all__ = [
    "CALIBRATION",
    "CLASS_MAPS",
    "ORACLES",
    "TYPICALITY",
    "ModelPackage",
    "load_package",
    "load_to_device",
    "save_package",
]

ARRAYS = "arrays.safetensors"
_MEAN, _ARRAY = "mean/", "array/"
CLASS_MAPS = "class_maps/"
"""Prefix of the arrays of the maps between classes."""
ORACLES = "oracles/"
"""Prefix of the arrays of the independent classifiers."""
TYPICALITY = "typicality/"
"""Prefix of the arrays of the texture of real fields, by class index."""
CALIBRATION = "calibration/"
"""Prefix of the arrays of the validation wells that calibrate prediction sets."""


@dataclass
class ModelPackage:
    """A trained network with the data needed to use and evaluate it.

    Attributes:
        model: The network.
        channels: Channel names in the order of the network's input.
        scale: JSON of the intensity scale; not interpreted here.
        class_means: Means of the training latents, ``true`` and ``predicted``
            of shape (K, ...), and other tensors of the kind; ``None`` for none.
        arrays: Digests of the training fields, baselines, position probe; numeric.
        about: Fingerprints, versions, scores; JSON.
        engine: Engine of `predictor`; not stored.
    """

    model: Network
    channels: tuple[str, ...]
    scale: dict[str, Any]
    class_means: dict[str, Tensor] | None = None
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    engine: Engine = field(default_factory=Engine)

    @property
    def predictor(self) -> Network:
        """The network for plain forward passes, which `engine` computes; explanations use ``model``.

        Raises:
            LeighError: The engine is unknown, not installed, or does not fit the network.
        """
        return self.model if self.engine == Engine() else self._faster_model

    @cached_property
    def _faster_model(self) -> Network:
        return build_predictor(self.model, self.engine)

    @property
    def seen_digests(self) -> npt.NDArray[np.uint64]:
        """Digests of the fields by which the model was trained or chosen, each once, shape (N,)."""
        known = [array.astype(np.uint64) for name, array in self.arrays.items() if name.endswith("_digests")]
        return np.unique(np.concatenate([np.zeros(0, np.uint64), *known]))

    @property
    def is_adapted(self) -> bool:
        """Return whether its network takes the statistics of its BatchNorms from the controls of each plate."""
        return self.about.get("adaptation") == "controls"

    @property
    def field_width_um(self) -> float | None:
        """Width in µm of the square that it cuts out of the centre of each field; ``None`` if it takes them whole."""
        width = self.about.get("field_um")
        return float(width) if width is not None and self.about.get("rescaled") else None

    @cached_property
    def class_maps(self) -> ClassMaps:
        """Maps between the classes, none in packages before version 0.2.

        Raises:
            LeighError: One is damaged.
        """
        return ClassMaps.from_arrays(_select_arrays(self.arrays, CLASS_MAPS))

    @cached_property
    def oracles(self) -> OraclePanel | None:
        """Independent classifiers that evaluate counterfactuals; ``None`` in a package without them.

        Raises:
            LeighError: One is damaged.
        """
        arrays = _select_arrays(self.arrays, ORACLES)
        return OraclePanel.from_arrays(arrays, self.model.spec.classes) if arrays else None

    @cached_property
    def calibration_wells(self) -> CalibrationWells | None:
        """Validation wells that calibrate prediction sets; ``None`` in a package without them.

        Raises:
            LeighError: They are damaged.
        """
        arrays = _select_arrays(self.arrays, CALIBRATION)
        return CalibrationWells.from_arrays(arrays) if arrays else None

    @cached_property
    def typicality(self) -> dict[int, Typicality]:
        """Texture of real fields by class index, of those classes that had training fields.

        Raises:
            LeighError: It is damaged.
        """
        labels = range(len(self.model.spec.classes))
        arrays = {label: _select_arrays(self.arrays, f"{TYPICALITY}{label}/") for label in labels}
        return {label: Typicality.from_arrays(each) for label, each in arrays.items() if each}


def save_package(package: ModelPackage, folder: Path) -> None:
    """Write a package: the files of a model and ``arrays.safetensors``; ``model.json`` is written last.

    Raises:
        ValueError: There is not one channel name per image channel.
    """
    if len(package.channels) != package.model.spec.channels:
        raise ValueError(f"channels are {package.channels}; the network takes {package.model.spec.channels}")
    means = {name: tensor.detach().cpu().numpy() for name, tensor in (package.class_means or {}).items()}
    arrays = {f"{_MEAN}{name}": mean for name, mean in means.items()}
    write_arrays(folder / ARRAYS, arrays | {f"{_ARRAY}{name}": array for name, array in package.arrays.items()})
    about = {"channels": list(package.channels), "scale": package.scale, "about": package.about}
    save_with_metadata(package.model, folder, {"package": about})


def load_package(folder: Path) -> ModelPackage:
    """Load a package that :func:`save_package` wrote; its network is in eval mode, on the CPU.

    Raises:
        LeighError: A file is missing, damaged, foreign or larger than the network needs, a number is not finite
            or of another shape than the network requires, or the folder holds a model alone.
    """
    about = read_json(folder / DESCRIPTION).get("package")
    if about is None:
        raise LeighError(f"{folder} holds a model without its package; give the folder of a trained version.")
    _validate(folder, about)
    model = load_model(folder)
    if len(about["channels"]) != model.spec.channels:
        raise LeighError(f"{folder} names {len(about['channels'])} channels for {model.spec.channels}; save it again.")
    check_facts(folder, model.spec, about["scale"], about["about"])
    stored = read_arrays(folder / ARRAYS, largest_arrays_mib(model.spec, size_mib(model.state_dict())))
    means, arrays = _select_arrays(stored, _MEAN), _select_arrays(stored, _ARRAY)
    check_arrays(folder, model, means, arrays)
    tensors = {name: torch.from_numpy(array) for name, array in means.items()}
    return ModelPackage(model, tuple(about["channels"]), about["scale"], tensors or None, arrays, about["about"])


def load_to_device(folder: Path, engine: Engine | None = None) -> ModelPackage:
    """Load a package as :func:`load_package` does, its network on the GPU if there is one.

    Args:
        folder: Folder of the package.
        engine: Engine of its plain forward passes; ``None`` for PyTorch in fp32.

    Raises:
        LeighError: As :func:`load_package`, PyTorch has no code for the GPU, or the engine does not fit.
    """
    package = load_package(folder)
    package.model.to(default_device())
    return package if engine is None else replace(package, engine=engine)


def _validate(folder: Path, about: Any) -> None:  # noqa: ANN401
    for name, kind in {"channels": list, "scale": dict, "about": dict}.items():
        if not isinstance(about, dict) or not isinstance(about.get(name), kind):
            raise LeighError(f"The package in {folder} has no valid {name}; save it again.")
    if not all(isinstance(channel, str) for channel in about["channels"]):
        raise LeighError(f"The package in {folder} has channels without a name; save it again.")


def _select_arrays(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
