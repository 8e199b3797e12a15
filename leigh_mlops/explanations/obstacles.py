"""Reasons why a method cannot explain a network, although it classifies."""

from torch import nn
from torch.nn.modules import activation

from leigh_mlops.explanations.attribution.captum_adapter import feature_layer, unroll
from leigh_mlops.explanations.attribution.lrp import layers_without_rule

__all__ = ["find_incompatibility"]


def find_incompatibility(model: nn.Module, method: str) -> str | None:
    """Sentence on why a method does not fit a network and what to take instead, None where it fits.

    Args:
        model: A classifier.
        method: A key of `EXPLAINERS`.
    """
    family = getattr(model.spec, "family", type(model).__name__)
    if method == "lrp" and (layers := layers_without_rule(model)):
        return (
            f"lrp has no rule for the layers {', '.join(layers)} of {family}; take deep_lift or integrated_gradients."
        )
    if method in ("grad_cam", "guided_grad_cam") and feature_layer(unroll(model)) is None:
        return f"{method} needs a last map of features, and {family} names none; take integrated_gradients."
    if method == "guided_grad_cam" and (others := _other_activations(model)):
        return (
            f"guided_grad_cam changes the gradients of ReLUs alone, and {family} has {', '.join(others)}; "
            "take grad_cam or smooth_grad."
        )
    return None


def _other_activations(model: nn.Module) -> list[str]:
    """Class names of activations other than ReLU."""
    kinds = {type(layer) for layer in model.modules() if type(layer).__module__ == activation.__name__}
    return sorted(kind.__name__ for kind in kinds - {nn.ReLU})
