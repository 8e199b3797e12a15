"""Explanations by name, and the models that they apply to."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules import activation

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.attribution.captum_adapter import feature_layer, opaque_layers
from leigh_mlops.explanations.attribution.lrp import layers_without_rule
from leigh_mlops.explanations.capabilities import class_names, require_capabilities
from leigh_mlops.explanations.targets import Target
from leigh_mlops.models import has_capability
from leigh_mlops.models.backbone import Backbone
from leigh_mlops.models.learner_head import ForestHead

__all__ = ["EXPLAINERS", "ExplanationContext", "default_explainers", "select_explainers"]

EXPLAINERS = {
    "counterfactual": ("encode", "decode", "classify"),
    "occlusion": ("classify",),
    "occlusion_channels": ("classify",),
    "grad_cam": ("classify",),
    "guided_grad_cam": ("classify",),
    "integrated_gradients": ("classify",),
    "smooth_grad": ("classify",),
    "deep_lift": ("classify",),
    "lrp": ("classify",),
    "prediction_difference": ("classify",),
    "reconstruction": ("encode", "decode"),
    "interpolation": ("encode", "decode"),
}
"""Capabilities that each explanation needs; some also need certain layers, see `_find_incompatibility`."""
_OF_CLUSTERS = ("grad_cam", "guided_grad_cam")
_LINEAR_OPERATIONS = {"pad", "sub", "mul"}
"""Operations of Sobel's gradients, which guided gradients pass as they are; a gate also has an activation."""
_BY_GRADIENTS = ("grad_cam", "guided_grad_cam", "integrated_gradients", "smooth_grad", "deep_lift", "lrp")


@dataclass(frozen=True)
class ExplanationContext:
    """Options of explanations.

    Attributes:
        target: Class for each image (N,), or one for all by name or index: the target of
            counterfactuals and of interpolations (its mean), and the class whose logit maps
            explain. None, and -1 for an image, is the predicted class for maps, and the second best elsewhere.
        labels: Known class of each image (N,), -1 where it has none; an interpolation
            without a target leads away from it.
        kinds: Lengths of the steps of counterfactuals, some of `COUNTERFACTUAL_KINDS`; none for the end of the way,
            ``typical`` or ``confident``.
        confidence: Probability that a ``confident`` counterfactual has, above 0.5 and below 1; None for that of
            the package, see `required_confidence`.
        change_maps: Whether saved counterfactuals get a change map, which takes longer than they do.
        window: Side of the window of occlusion and prediction difference in pixels.
        stride: Step of that window in pixels.
        occlusion_budget: Evaluations of each image that occlusion may take, coarse to fine; 0 for the exact map.
        samples: Replacements of each window for a prediction difference.
        references: Scaled fields (M, C, H, W) from which these come; None for the image's own local mean.
        integration_steps: Points on the path of integrated gradients.
        steps: Number of steps of an interpolation.
        towards: Scaled image (1, C, H, W) that interpolations lead to; None for a class's mean.
        error_maps: Whether a reconstruction worse than those of almost all training fields gets a map of its errors.
    """

    target: Target = None
    labels: Tensor | None = None
    kinds: tuple[str, ...] = ()
    confidence: float | None = None
    change_maps: bool = True
    window: int = 15
    stride: int = 6
    occlusion_budget: int = 0
    samples: int = 4
    references: Tensor | None = None
    integration_steps: int = 64
    steps: int = 8
    towards: Tensor | None = None
    error_maps: bool = False


def select_explainers(model: nn.Module, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Select the explanations that a model supports.

    Args:
        model: Any network.
        names: Requested names; None requests all that it supports.

    Returns:
        Names, in the requested order or that of `EXPLAINERS`.

    Raises:
        LeighError: A name is unknown, or the model does not support it.
    """
    if names is None:
        able = [name for name, needs in EXPLAINERS.items() if all(has_capability(model, need) for need in needs)]
        return tuple(name for name in able if _find_incompatibility(model, name) is None)
    for name in names:
        if name not in EXPLAINERS:
            raise LeighError(f"Unknown explanation {name!r}; choose from {', '.join(EXPLAINERS)}.")
        require_capabilities(model, EXPLAINERS[name], name)
        if why := _find_incompatibility(model, name):
            raise LeighError(why)
    return tuple(names)


def default_explainers(model: nn.Module) -> tuple[str, ...]:
    """Most informative explanations of a model, used where none are named.

    Counterfactuals for a classifier that can decode, occlusion maps for one that
    cannot, and reconstructions and interpolations for a model that does not classify; the latter
    lead from class to class, and are left out where the model knows fewer than two. Grad-CAM and guided Grad-CAM
    for a model that names clusters, as far as they fit its network.
    """
    if not has_capability(model, "classify"):
        return ("reconstruction", "interpolation") if len(class_names(model)) > 1 else ("reconstruction",)
    if getattr(model, "task", "") == "cluster":
        return tuple(name for name in _OF_CLUSTERS if _find_incompatibility(model, name) is None) or ("occlusion",)
    return ("counterfactual",) if has_capability(model, "decode") else ("occlusion",)


def _find_incompatibility(model: nn.Module, method: str) -> str | None:
    """Sentence on why a method does not fit a network and what to take instead, None where it fits.

    Args:
        model: A classifier.
        method: A key of `EXPLAINERS`.
    """
    family = getattr(model.spec, "family", type(model).__name__)
    if method in _BY_GRADIENTS and isinstance(model, Backbone) and isinstance(model.head, ForestHead):
        return f"{method} needs gradients, and a forest has none; take occlusion or prediction_difference."
    if method == "deep_lift" and (opaque := opaque_layers(model)):
        return f"deep_lift has no rule for {', '.join(opaque)} of this {family}; take integrated_gradients."
    if method == "lrp" and (layers := layers_without_rule(model)):
        return (
            f"lrp has no rule for the layers {', '.join(layers)} of {family}; take deep_lift or integrated_gradients."
        )
    if method in ("grad_cam", "guided_grad_cam") and feature_layer(model) is None:
        return f"{method} needs a last map of features, and {family} names none; take integrated_gradients."
    if method == "guided_grad_cam" and (others := _other_activations(model)):
        return (
            f"guided_grad_cam changes the gradients of ReLUs alone, and {family} has {', '.join(others)}; "
            "take grad_cam or smooth_grad."
        )
    return None


def _other_activations(model: nn.Module) -> list[str]:
    """Names of activations other than ReLU, and of a backbone's other operations that are not linear."""
    kinds = {type(layer) for layer in model.modules() if type(layer).__module__ == activation.__name__}
    return sorted({kind.__name__ for kind in kinds - {nn.ReLU}} | {*opaque_layers(model)} - _LINEAR_OPERATIONS)
