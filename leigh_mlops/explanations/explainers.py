"""Explanations by name, and which models they are for."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require
from leigh_mlops.explanations.counterfactuals import CONFIDENCE
from leigh_mlops.explanations.obstacles import obstacle
from leigh_mlops.explanations.targets import Target
from leigh_mlops.models import can

__all__ = ["EXPLAINERS", "Context", "default_explainers", "explainers_for"]

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
"""What a model must be able to do for each explanation; `obstacle` knows what else some need of its layers."""


@dataclass(frozen=True)
class Context:
    """What a user can ask of explanations.

    Attributes:
        target: Class for each image (N,), or one for all by name or index: the one to which
            counterfactuals lead, to whose mean interpolations lead, and whose logit maps
            explain. None is the predicted class for maps, and the second best elsewhere.
        labels: Known class of each image (N,), -1 where it has none; an interpolation
            without a target leads away from it.
        kinds: How far the steps of counterfactuals go, some of `KINDS`.
        confidence: Probability that a ``confident`` counterfactual has, above 0.5 and below 1.
        change_maps: Whether saved counterfactuals get a change map, which takes longer than they do.
        window: Side of the window of occlusion and prediction difference in pixels.
        stride: Step of that window in pixels.
        occlusion_budget: Evaluations of each image that occlusion may take, coarse to fine; 0 for the exact map.
        samples: Replacements of each window for a prediction difference.
        references: Scaled fields (M, C, H, W) from which these come; None for the image's own local mean.
        integration_steps: Points on the way of integrated gradients.
        steps: Number of steps of an interpolation.
        towards: Scaled image (1, C, H, W) that interpolations lead to; None for a class's mean.
    """

    target: Target = None
    labels: Tensor | None = None
    kinds: tuple[str, ...] = ("confident",)
    confidence: float = CONFIDENCE
    change_maps: bool = True
    window: int = 15
    stride: int = 6
    occlusion_budget: int = 0
    samples: int = 4
    references: Tensor | None = None
    integration_steps: int = 64
    steps: int = 8
    towards: Tensor | None = None


def explainers_for(model: nn.Module, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The explanations that a model can serve.

    Args:
        model: Any network.
        names: Those asked for; None asks for all that it can serve.

    Returns:
        Names, in the order asked for or that of `EXPLAINERS`.

    Raises:
        LeighError: A name is unknown, or the model cannot serve it.
    """
    if names is None:
        able = [name for name, needs in EXPLAINERS.items() if all(can(model, need) for need in needs)]
        return tuple(name for name in able if obstacle(model, name) is None)
    for name in names:
        if name not in EXPLAINERS:
            raise LeighError(f"Unknown explanation {name!r}; choose from {', '.join(EXPLAINERS)}.")
        require(model, EXPLAINERS[name], name)
        if why := obstacle(model, name):
            raise LeighError(why)
    return tuple(names)


def default_explainers(model: nn.Module) -> tuple[str, ...]:
    """The explanations that say most about a model, for users who name none.

    A classifier that can decode shows counterfactuals, one that cannot its
    occlusion maps, and a model that does not classify how it sees the images.
    """
    if not can(model, "classify"):
        return ("reconstruction", "interpolation")
    return ("counterfactual",) if can(model, "decode") else ("occlusion",)
