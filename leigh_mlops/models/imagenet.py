"""Weights that were learned on ImageNet, for the families that have some."""

from torch import Tensor

from leigh_mlops.models.backbone_weights import fetch_backbone_weights
from leigh_mlops.models.contract import Network
from leigh_mlops.models.published_weights import adapt_stem
from leigh_mlops.models.resnext import fetch_resnext_weights

__all__ = ["fetch_imagenet_weights", "load_imagenet_weights"]


def fetch_imagenet_weights(model: Network) -> dict[str, Tensor]:
    """Return ImageNet weights for a model, named as in its ``features``, from a cache or the internet.

    Raises:
        LeighError: There are none for the model, or they could not be fetched.
    """
    return fetch_backbone_weights(model) if model.published_trunk else fetch_resnext_weights(model)


def load_imagenet_weights(model: Network) -> None:
    """Give a network the weights that were learned on ImageNet; the head stays as it is.

    First kernels are adapted to the channels, see :func:`adapt_stem`.

    Args:
        model: A ``resnext`` of the published layers, groups and width, or a network with a published trunk; changed
            in place.

    Raises:
        LeighError: There are no weights for the model, or they could not be fetched.
    """
    fetched = fetch_imagenet_weights(model)
    own = {name.removeprefix("features."): name for name in model.state_dict() if name.startswith("features.")}
    state = {name: tensor for name, tensor in fetched.items() if name in own}
    if model.stem:
        stem = model.stem.removeprefix("features.")
        state[stem] = adapt_stem(state[stem], model.get_parameter(model.stem).shape[1])
    model.get_submodule("features").load_state_dict(state)
