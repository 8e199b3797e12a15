"""Maps over the pixels of an image, by the name of their method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from leigh_mlops.explanations.explainers import Context
from leigh_mlops.explanations.gradients import grad_cam, guided_grad_cam, integrated_gradients, smooth_grad
from leigh_mlops.explanations.occlusion import occlusion, occlusion_within
from leigh_mlops.explanations.perturbation import prediction_difference
from leigh_mlops.explanations.relevance import deep_lift, lrp

__all__ = ["MAPS", "MAP_UNITS", "MapTask", "Maps", "map_names", "unit_of"]

_IMAGES_AT_ONCE = 4
"""Gradients keep every activation of the network."""


@dataclass(frozen=True)
class MapTask:
    """Images whose target is to be explained.

    Attributes:
        model: A classifier.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is explained, shape (N,).
        channels: Names of the C channels.
        black: Scaled value of raw zero for each channel, shape (C,).
        context: What is asked for.
    """

    model: nn.Module
    images: Tensor
    target: Tensor
    channels: tuple[str, ...]
    black: Tensor
    context: Context


@dataclass(frozen=True)
class Maps:
    """What a method gives for N images.

    Attributes:
        maps: By name, float32, shape (N, H, W).
        numbers: Columns of the table of fields, each (N,).
    """

    maps: dict[str, Tensor]
    numbers: dict[str, Tensor] = field(default_factory=dict)


def _occlusions(task: MapTask) -> Maps:
    context = task.context
    if not context.occlusion_budget:
        return Maps({"occlusion": _occlusion(task)})
    coarse = occlusion_within(
        task.model, task.images, task.target, budget=context.occlusion_budget,
        window=context.window, stride=context.stride, baseline=task.black,
    )  # fmt: skip
    return Maps(
        {"occlusion": coarse.map},
        {"occlusion_agreement": coarse.agreement, "occlusion_evaluations": coarse.evaluations},
    )


def _occlusions_by_channel(task: MapTask) -> Maps:
    names = map_names("occlusion_channels", task.channels)
    return Maps({name: _occlusion(task, channel) for channel, name in enumerate(names)})


def _occlusion(task: MapTask, channel: int | None = None) -> Tensor:
    return occlusion(
        task.model, task.images, task.target,
        window=task.context.window, stride=task.context.stride, baseline=task.black, channel=channel,
    )  # fmt: skip


def _prediction_differences(task: MapTask) -> Maps:
    context = task.context
    return Maps(
        {
            "prediction_difference": prediction_difference(
                task.model, task.images, task.target, context.references,
                window=context.window, stride=context.stride, samples=context.samples,
            )
        }
    )  # fmt: skip


def _plain(name: str, method: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Callable[[MapTask], Maps]:
    """A method that gives a map alone."""

    def made(task: MapTask) -> Maps:
        return Maps({name: torch.cat([method(task.model, *part) for part in _parts(task)])})

    return made


def _summing(
    name: str, method: Callable[[MapTask, Tensor, Tensor], tuple[Tensor, Tensor]]
) -> Callable[[MapTask], Maps]:
    """A method whose map has a sum that is known."""

    def made(task: MapTask) -> Maps:
        maps, wholes = zip(*(method(task, *part) for part in _parts(task)), strict=True)
        heat, whole = torch.cat(maps), torch.cat(wholes)
        return Maps({name: heat}, {f"{name}_completeness_error": (heat.sum(dim=(1, 2)) - whole).abs() / whole.abs()})

    return made


def _parts(task: MapTask) -> list[tuple[Tensor, Tensor]]:
    return list(zip(*(torch.split(each, _IMAGES_AT_ONCE) for each in (task.images, task.target)), strict=True))


MAPS: dict[str, Callable[[MapTask], Maps]] = {
    "occlusion": _occlusions,
    "occlusion_channels": _occlusions_by_channel,
    "grad_cam": _plain("grad_cam", grad_cam),
    "guided_grad_cam": _plain("guided_grad_cam", guided_grad_cam),
    "integrated_gradients": _summing(
        "integrated_gradients",
        lambda task, images, target: integrated_gradients(
            task.model, images, target, task.black, steps=task.context.integration_steps
        ),
    ),
    "smooth_grad": _plain("smooth_grad", smooth_grad),
    "deep_lift": _summing("deep_lift", lambda task, images, target: deep_lift(task.model, images, target, task.black)),
    "lrp": _summing("lrp", lambda task, images, target: lrp(task.model, images, target)),
    "prediction_difference": _prediction_differences,
}
"""Methods that give maps; a key is a method's name, and that of its map but for ``occlusion_channels``."""

MAP_UNITS = {
    "grad_cam": "logits per cell of the feature map",
    "guided_grad_cam": "no unit",
    "integrated_gradients": "logits per pixel",
    "smooth_grad": "logits per standard deviation of intensity",
    "deep_lift": "logits per pixel",
    "lrp": "logits per pixel",
    "prediction_difference": "nats of log-odds",
    "occlusion": "logits",
    "counterfactual": "nats of log-odds per pixel",
}
"""What the numbers of a map are; see `unit_of`."""


def map_names(method: str, channels: Sequence[str]) -> list[str]:
    """Names of the maps that a method gives for images of some channels."""
    return [f"occlusion_{name}" for name in channels] if method == "occlusion_channels" else [method]


def unit_of(name: str) -> str:
    """Unit of a map by its name.

    Example:
        >>> unit_of("occlusion_TMRM"), unit_of("counterfactual_confident_map")
        ('logits', 'nats of log-odds per pixel')
    """
    return next((unit for method, unit in MAP_UNITS.items() if name.startswith(method)), "no unit")
