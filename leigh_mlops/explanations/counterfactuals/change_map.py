"""Maps of how a counterfactual's change acts on the prediction."""

from captum.attr import IntegratedGradients
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.counterfactuals.boundary import head_margin
from leigh_mlops.explanations.eval_mode import evaluating

__all__ = ["change_map"]


def change_map(model: nn.Module, images: Tensor, counterfactuals: Tensor, target: Tensor, *, steps: int = 8) -> Tensor:
    """Amount by which each pixel's change raises or lowers the target's log-odds.

    Integrated gradients (Sundararajan et al. 2017, eq. 1) from the image to its counterfactual
    instead of from black: the change of each pixel times the mean gradient on the straight line
    between both, by the midpoint rule, summed over the channels. A map sums to the change of the
    log-odds, up to the error of that rule, and exactly for a linear model.

    Args:
        model: A model that can classify.
        images: Scaled, on the model's device, shape (N, C, H, W).
        counterfactuals: The same shape and scale.
        target: Target class of each, shape (N,).
        steps: Midpoints on the line, at least 2; each costs a forward and a backward pass.

    Returns:
        Shape (N, H, W), in nats: positive where the change supports the target.

    Raises:
        LeighError: The model cannot classify.
    """
    require_capabilities(model, ("classify",), "a change map")
    goal = target.to(images.device)
    with evaluating(model):
        # Captum turns gradients on around its own backward pass; only those of the images are taken.
        changes: Tensor = IntegratedGradients(lambda pixels, goals: head_margin(model(pixels), goals, 0.5)).attribute(
            counterfactuals,
            baselines=images,
            additional_forward_args=goal,
            n_steps=steps,
            method="riemann_middle",
            internal_batch_size=len(images),  # all steps at once would take their multiple of memory
        )
    return changes.detach().sum(dim=1)
