"""Maps over the pixels of an image, by the name of their method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from leigh_mlops.explanations.attribution.gradients import grad_cam, guided_grad_cam, integrated_gradients, smooth_grad
from leigh_mlops.explanations.attribution.lrp import deep_lift, lrp
from leigh_mlops.explanations.attribution.prediction_difference import prediction_difference
from leigh_mlops.explanations.explainers import ExplanationContext
from leigh_mlops.explanations.occlusion.exact import occlusion, occlusion_with_budget

__all__ = ["ERROR_MAP", "MAP_METHODS", "MAP_UNITS", "MapTask", "MapResult", "map_names", "map_unit"]

ERROR_MAP = "error_map"
"""Name of the map of the squared errors of a reconstruction, mean of the channels."""
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
        context: Options of the explanations.
    """

    model: nn.Module
    images: Tensor
    target: Tensor
    channels: tuple[str, ...]
    black: Tensor
    context: ExplanationContext


@dataclass(frozen=True)
class MapResult:
    """Maps and further columns of a method for N images.

    Attributes:
        maps: By name, float32, shape (N, H, W).
        numbers: Columns of the table of fields, each (N,).
    """

    maps: dict[str, Tensor]
    numbers: dict[str, Tensor] = field(default_factory=dict)


def _occlusion_maps(task: MapTask) -> MapResult:
    context = task.context
    if not context.occlusion_budget:
        return MapResult({"occlusion": _exact_occlusion(task)})
    coarse = occlusion_with_budget(
        task.model, task.images, task.target, budget=context.occlusion_budget,
        window=context.window, stride=context.stride, baseline=task.black,
    )  # fmt: skip
    return MapResult(
        {"occlusion": coarse.map},
        {"occlusion_agreement": coarse.agreement, "occlusion_evaluations": coarse.evaluations},
    )


def _channel_occlusion_maps(task: MapTask) -> MapResult:
    names = map_names("occlusion_channels", task.channels)
    return MapResult({name: _exact_occlusion(task, channel) for channel, name in enumerate(names)})


def _exact_occlusion(task: MapTask, channel: int | None = None) -> Tensor:
    return occlusion(
        task.model, task.images, task.target,
        window=task.context.window, stride=task.context.stride, baseline=task.black, channel=channel,
    )  # fmt: skip


def _prediction_difference_maps(task: MapTask) -> MapResult:
    context = task.context
    return MapResult(
        {
            "prediction_difference": prediction_difference(
                task.model, task.images, task.target, context.references,
                window=context.window, stride=context.stride, samples=context.samples,
            )
        }
    )  # fmt: skip


def _simple_method(name: str, method: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Callable[[MapTask], MapResult]:
    """Wrap a method that returns a map only."""

    def compute_maps(task: MapTask) -> MapResult:
        return MapResult({name: torch.cat([method(task.model, *part) for part in _split_batches(task)])})

    return compute_maps


def _complete_method(
    name: str, method: Callable[[MapTask, Tensor, Tensor], tuple[Tensor, Tensor]]
) -> Callable[[MapTask], MapResult]:
    """Wrap a method whose map has a known sum, so that its completeness error is measured."""

    def compute_maps(task: MapTask) -> MapResult:
        maps, wholes = zip(*(method(task, *part) for part in _split_batches(task)), strict=True)
        heat, whole = torch.cat(maps), torch.cat(wholes)
        return MapResult(
            {name: heat}, {f"{name}_completeness_error": (heat.sum(dim=(1, 2)) - whole).abs() / whole.abs()}
        )

    return compute_maps


def _split_batches(task: MapTask) -> list[tuple[Tensor, Tensor]]:
    return list(zip(*(torch.split(each, _IMAGES_AT_ONCE) for each in (task.images, task.target)), strict=True))


MAP_METHODS: dict[str, Callable[[MapTask], MapResult]] = {
    "occlusion": _occlusion_maps,
    "occlusion_channels": _channel_occlusion_maps,
    "grad_cam": _simple_method("grad_cam", grad_cam),
    "guided_grad_cam": _simple_method("guided_grad_cam", guided_grad_cam),
    "integrated_gradients": _complete_method(
        "integrated_gradients",
        lambda task, images, target: integrated_gradients(
            task.model, images, target, task.black, steps=task.context.integration_steps
        ),
    ),
    "smooth_grad": _simple_method("smooth_grad", smooth_grad),
    "deep_lift": _complete_method(
        "deep_lift", lambda task, images, target: deep_lift(task.model, images, target, task.black)
    ),
    "lrp": _complete_method("lrp", lambda task, images, target: lrp(task.model, images, target)),
    "prediction_difference": _prediction_difference_maps,
}
"""Methods that compute maps; a key is a method's name, and that of its map but for ``occlusion_channels``."""

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
    ERROR_MAP: "squared normalised intensity",
}
"""Units of maps; see `map_unit`."""


def map_names(method: str, channels: Sequence[str]) -> list[str]:
    """Names of the maps that a method computes for images of some channels."""
    return [f"occlusion_{name}" for name in channels] if method == "occlusion_channels" else [method]


def map_unit(name: str) -> str:
    """Unit of a map by its name.

    Example:
        >>> map_unit("occlusion_TMRM"), map_unit("counterfactual_confident_map")
        ('logits', 'nats of log-odds per pixel')
    """
    return next((unit for method, unit in MAP_UNITS.items() if name.startswith(method)), "no unit")
