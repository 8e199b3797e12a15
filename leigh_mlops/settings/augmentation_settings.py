"""Augmentation of a trial by serialised transforms of Albumentations, presets of them, and files."""

import json
from pathlib import Path
from typing import Any

import yaml

from leigh_mlops.errors import LeighError
from leigh_mlops.settings.base import quote_value
from leigh_mlops.settings.text_file import read_text_file
from leigh_mlops.settings.yaml_loader import NumberLoader

__all__ = ["AUGMENTATIONS", "augmentation_text", "parse_augmentation", "read_augmentation"]

MAX_LENGTH = 6000
"""Characters that MLflow takes for one parameter."""

_REFLECT = 4
"""``cv2.BORDER_REFLECT_101``: a black border would reveal the deformation to a network."""

AUGMENTATIONS: dict[str, list[dict[str, Any]]] = {
    # The published work used flips and rotation alone, which are hyperparameters of every trial.
    "published": [],
    "morphology": [
        {"__class_fullname__": "D4", "p": 1.0},
        {"__class_fullname__": "ElasticTransform", "alpha": 60, "sigma": 8, "border_mode": _REFLECT, "p": 0.7},
    ],
    "microscope": [
        {"__class_fullname__": "Defocus", "radius": [1, 2], "alias_blur": [0.1, 0.4], "p": 0.3},
        {"__class_fullname__": "MultiplicativeNoise", "multiplier": [0.8, 1.25], "per_channel": True, "p": 0.8},
        {
            "__class_fullname__": "AdditiveNoise",
            "noise_type": "uniform",
            "spatial_mode": "constant",
            "noise_params": {"ranges": [[-0.005, 0.01]]},
            "p": 0.5,
        },
        {"__class_fullname__": "GaussNoise", "std_range": [0.002, 0.01], "per_channel": True, "p": 0.5},
    ],
}
"""Presets: transforms that are applied in turn. Intensities are shares of twice the training fields' brightest."""


def augmentation_text(value: object) -> str | None:
    """Return an augmentation as text: the name of a preset, or JSON of transforms; run records take only texts.

    Args:
        value: ``None``, a preset's name, JSON, or what JSON or YAML holds: one serialised transform, as
            ``albumentations.to_dict`` gives it, or a list of them.

    Raises:
        ValueError: It is neither, or too long for a run's record.
    """
    if value is None:
        return None
    if isinstance(value, dict | list):
        return _dump(value)
    if isinstance(value, str) and value in AUGMENTATIONS:
        return value
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return _dump(json.loads(value))
        except (json.JSONDecodeError, RecursionError):
            pass  # reported below
    raise ValueError(
        f"{quote_value(value)} is no augmentation; give {', '.join(AUGMENTATIONS)}, or transforms as "
        "albumentations.to_dict writes them."
    )


def _dump(transforms: object) -> str:
    text = json.dumps(transforms, separators=(",", ":"))
    if len(text) > MAX_LENGTH:
        raise ValueError(
            f"the augmentation has {len(text)} characters of JSON, and a run's record takes {MAX_LENGTH}; leave out "
            "arguments that have their default values."
        )
    return text


def parse_augmentation(text: str | None) -> list[dict[str, Any]]:
    """Return the serialised transforms of a text of :func:`augmentation_text`; they are not checked."""
    if text is None:
        return []
    parsed = AUGMENTATIONS[text] if text in AUGMENTATIONS else json.loads(text)
    return list(parsed) if isinstance(parsed, list) else [parsed]


def read_augmentation(value: object, folder: Path) -> str | None:
    """Return an augmentation as text; a value that names a file stands for what is in it.

    Args:
        value: As in :func:`augmentation_text`, or the name of a JSON or YAML file.
        folder: Folder of the file that the value is from.

    Raises:
        LeighError: There is no such file, or it holds no transforms.
    """
    if not isinstance(value, str) or value in AUGMENTATIONS or value.lstrip().startswith(("{", "[")):
        try:
            return augmentation_text(value)
        except ValueError as error:
            raise LeighError(str(error)) from None
    path = next((each for each in (folder / value, Path(value)) if each.is_file()), None)
    if path is None:
        raise LeighError(
            f"the augmentation {quote_value(value)} is neither a file nor one of {', '.join(AUGMENTATIONS)}; "
            "correct the name."
        )
    try:
        held = yaml.load(read_text_file(path), NumberLoader)  # JSON is YAML, too
    except LeighError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise LeighError(f"{path}: this is neither valid JSON nor YAML ({problem}); correct the file.") from None
    if not isinstance(held, dict | list):
        raise LeighError(f"{path} holds no transforms; write them as albumentations.to_dict does.")
    return augmentation_text(held)
