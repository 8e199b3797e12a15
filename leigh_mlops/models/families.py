"""The families of networks, and functions that build them."""

import inspect
from collections.abc import Sequence
from typing import Any

from leigh_mlops.errors import LeighError
from leigh_mlops.models.autoencoder import Autoencoder
from leigh_mlops.models.backbone import Backbone
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.deep_cluster import DeepCluster
from leigh_mlops.models.iresnet import InvertibleResNet
from leigh_mlops.models.resnext import ResNeXt

__all__ = ["MODELS", "build_from_spec", "build_model"]

MODELS: dict[str, type[Network]] = {
    "resnext": ResNeXt,
    "autoencoder": Autoencoder,
    "iresnet": InvertibleResNet,
    "backbone": Backbone,
    "deepcluster": DeepCluster,
}


def build_model(
    family: str,
    *,
    classes: Sequence[str],
    image_size: int = 224,
    channels: int = 3,
    **architecture: Any,  # noqa: ANN401
) -> Network:
    """Build a network with fresh weights; missing keywords take the published values.

    Args:
        family: A key of ``MODELS``.
        classes: K names, at least two for a classifier.
        image_size: Side of the square images in pixels, a multiple of 32.
        channels: Image channels.
        **architecture: Keywords of the family's class.

    Raises:
        LeighError: The family or a keyword is unknown, or a value is out of bounds.

    Example:
        >>> build_model("autoencoder", classes=["DS", "WT"], image_size=64).spec.architecture
        {'widths': None, 'latent_channels': 2, 'design': 'published', 'variational': False}
    """
    return build_from_spec(ModelSpec(family, tuple(classes), image_size, channels, architecture))


def build_from_spec(spec: ModelSpec) -> Network:
    """Build the network of a spec with fresh weights; defaults are filled into its own spec.

    Raises:
        LeighError: The family or a keyword is unknown, or a value is out of bounds.
    """
    if spec.family not in MODELS:
        raise LeighError(f"{spec.family!r} is not a family of networks; choose one of {', '.join(MODELS)}.")
    kind = MODELS[spec.family]
    if kind.task == "classify" and len(spec.classes) < 2:
        raise LeighError(
            f"A {spec.family} needs at least 2 classes and got {len(spec.classes)}; give images of more classes."
        )
    architecture = _complete_architecture(spec.family, kind, spec.architecture)
    classes = kind.class_names(spec.classes, architecture)
    filled = ModelSpec(spec.family, classes, spec.image_size, spec.channels, architecture)
    return kind(filled, **architecture)


def _complete_architecture(family: str, kind: type[Network], given: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    for key in given:
        if key not in defaults:
            raise LeighError(
                f"{key!r} is not an architecture parameter of {family}; choose from {', '.join(defaults)}."
            )
    return {key: _to_json_value(value) for key, value in (defaults | given).items()}


def _to_json_value(value: Any) -> Any:  # noqa: ANN401
    """Convert tuples to lists and NumPy scalars to Python numbers, as JSON would return them."""
    if isinstance(value, list | tuple):
        return [_to_json_value(each) for each in value]
    return value.item() if hasattr(value, "item") else value
