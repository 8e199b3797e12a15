"""Explanations by name, and which models they are for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import class_names, require
from leigh_mlops.explanations.counterfactuals import CONFIDENCE, counterfactual
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.interpolation import Way, between, towards_mean
from leigh_mlops.explanations.means import Means
from leigh_mlops.explanations.occlusion import occlusion
from leigh_mlops.explanations.targets import Target, choose_target
from leigh_mlops.models import can

__all__ = ["EXPLAINERS", "Context", "Explainer", "default_explainers", "explainers_for", "interpolated"]


@dataclass(frozen=True)
class Context:
    """What explanations need beside the model and the images.

    Attributes:
        means: Class means of the latents, from `class_means`.
        target: Class for each image (N,), or one for all by name or index. None
            is the predicted class for occlusion, and the second best elsewhere.
        labels: Known class of each image (N,), -1 where it has none; an interpolation
            without a target leads away from it.
        kinds: How far the steps of counterfactuals go, some of `KINDS`; where one is made, the last.
        confidence: Probability that a ``confident`` counterfactual has, above 0.5 and below 1.
        baseline: Value under an occluding window in scaled units, a number or
            one per channel (C,).
        window: Side of that window in pixels.
        stride: Step of that window in pixels.
        steps: Number of steps of an interpolation.
        towards: Scaled image (1, C, H, W) that interpolations lead to; None for a class's mean.
    """

    means: Means | None = None
    target: Target = None
    labels: Tensor | None = None
    kinds: tuple[str, ...] = ("confident",)
    confidence: float = CONFIDENCE
    baseline: float | Tensor = 0.0
    window: int = 15
    stride: int = 6
    steps: int = 8
    towards: Tensor | None = None


@dataclass(frozen=True)
class Explainer:
    """One way to explain.

    Attributes:
        name: Its key in `EXPLAINERS`.
        needs: What a model must be able to do, of ``encode``, ``decode``, ``classify``.
        explain: From a model and scaled images (N, C, H, W) to tensors by name,
            each with N as its first axis.
    """

    name: str
    needs: tuple[str, ...]
    explain: Callable[[nn.Module, Tensor, Context], dict[str, Tensor]]


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
        return tuple(name for name, each in EXPLAINERS.items() if all(can(model, need) for need in each.needs))
    for name in names:
        if name not in EXPLAINERS:
            raise LeighError(f"Unknown explanation {name!r}; choose from {', '.join(EXPLAINERS)}.")
        require(model, EXPLAINERS[name].needs, name)
    return tuple(names)


def default_explainers(model: nn.Module) -> tuple[str, ...]:
    """The explanations that say most about a model, for users who name none.

    A classifier that can decode shows counterfactuals, one that cannot its
    occlusion maps, and a model that does not classify how it sees the images.
    """
    if not can(model, "classify"):
        return ("reconstruction", "interpolation")
    return ("counterfactual",) if can(model, "decode") else ("occlusion",)


def _counterfactual(model: nn.Module, images: Tensor, context: Context) -> dict[str, Tensor]:
    found = counterfactual(
        model, images, context.target, context.means, which=context.kinds[-1], confidence=context.confidence
    )
    return {"counterfactual" if name == "images" else name: value for name, value in vars(found).items()}


def _occlusion(model: nn.Module, images: Tensor, context: Context) -> dict[str, Tensor]:
    network = require(model, ("classify",), "occlusion")
    with evaluating(model):
        logits = network(images)
    asked = logits.argmax(dim=1) if context.target is None else context.target
    target = choose_target(asked, logits, class_names(model))
    maps = occlusion(model, images, target, window=context.window, stride=context.stride, baseline=context.baseline)
    return {"occlusion": maps, "target": target}


def _reconstruction(model: nn.Module, images: Tensor, context: Context) -> dict[str, Tensor]:
    network = require(model, ("encode", "decode"), "reconstruction")
    with evaluating(model):
        reconstruction = network.decode(network.encode(images))
    return {"reconstruction": reconstruction, "error": (reconstruction - images).abs()}


def interpolated(model: nn.Module, images: Tensor, context: Context) -> Way:
    """The ways of an interpolation: to the context's image, or to the mean of its class.

    Args:
        model: A model that can encode and decode.
        images: Scaled, on the model's device, shape (N, C, H, W).
        context: Where to, and in how many steps.

    Raises:
        LeighError: See `between` and `towards_mean`.
    """
    if context.towards is not None:
        return between(model, images, context.towards.to(images), context.steps)
    return towards_mean(model, images, context.target, context.means, context.steps, labels=context.labels)


def _interpolation(model: nn.Module, images: Tensor, context: Context) -> dict[str, Tensor]:
    way = interpolated(model, images, context)
    return {"interpolation": torch.movedim(way.frames, 0, 1), "target": way.target}


EXPLAINERS = {
    "counterfactual": Explainer("counterfactual", ("encode", "decode", "classify"), _counterfactual),
    "occlusion": Explainer("occlusion", ("classify",), _occlusion),
    "reconstruction": Explainer("reconstruction", ("encode", "decode"), _reconstruction),
    "interpolation": Explainer("interpolation", ("encode", "decode"), _interpolation),
}
