"""Maps by rules that propagate the target's logit back through the network, layer by layer."""

from captum.attr import LRP, DeepLift
from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import Tensor, nn

from leigh_mlops.explanations.attribution.captum_adapter import opaque_layers, unroll
from leigh_mlops.explanations.attribution.gradients import quiet_hooks
from leigh_mlops.explanations.eval_mode import evaluating

__all__ = ["deep_lift", "lrp", "layers_without_rule"]


def deep_lift(model: nn.Module, images: Tensor, target: Tensor, black: Tensor) -> tuple[Tensor, Tensor]:
    """Contribution of each pixel's difference from black to the target's logit (Shrikumar et al. 2017, rescale rule).

    Args:
        model: A classifier whose activations are modules.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is explained, shape (N,).
        black: Scaled value of raw zero for each channel, shape (C,).

    Returns:
        Shape (N, H, W), in logits, summed over the channels; and the difference of the logits (N,)
        that each map should sum to.
    """
    hooked, dark = unroll(model, max_by_relus=True), black.view(1, -1, 1, 1).expand_as(images)
    with evaluating(hooked), quiet_hooks():
        shares: Tensor = DeepLift(hooked).attribute(
            images.clone().requires_grad_(), dark.clone().requires_grad_(), target
        )
        whole = (hooked(images) - hooked(dark)).gather(1, target[:, None])[:, 0]
    return shares.detach().sum(dim=1), whole


def lrp(model: nn.Module, images: Tensor, target: Tensor, *, epsilon: float = 1e-4) -> tuple[Tensor, Tensor]:
    """Layer-wise relevance propagation (Bach et al. 2015, eq. 58, the rule epsilon), BatchNorms fused.

    Args:
        model: A classifier all of whose layers have a rule (see `layers_without_rule`).
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is explained, shape (N,).
        epsilon: Amount by which each layer's outputs are kept away from 0, in the layer's units.

    Returns:
        Shape (N, H, W), in logits, summed over the channels; and the logits (N,), which the
        maps sum to apart from the shares that biases and epsilon absorb.
    """
    hooked = unroll(model)
    with evaluating(hooked), quiet_hooks():
        for layer in hooked.modules():
            if type(layer) in SUPPORTED_LAYERS_WITH_RULES:
                layer.rule = EpsilonRule(epsilon)
        shares: Tensor = LRP(hooked).attribute(images.clone().requires_grad_(), target)
        whole = hooked(images).gather(1, target[:, None])[:, 0]
    return shares.detach().sum(dim=1), whole


def layers_without_rule(model: nn.Module) -> list[str]:
    """Class names of the layers that LRP has no rule for, in their order; empty where it works.

    A module that has both parts and weights of its own computes something that no hook sees.
    """
    known = {*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS}
    lacking: list[str] = opaque_layers(model)
    for layer in unroll(model).modules():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        if own if list(layer.children()) else type(layer) not in known:
            lacking.append(type(layer).__name__)
    return list(dict.fromkeys(lacking))
