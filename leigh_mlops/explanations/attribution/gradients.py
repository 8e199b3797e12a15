"""Maps by gradients of the target's logit."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from captum.attr import (
    GuidedGradCam,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    NoiseTunnel,
    Saliency,
)
from torch import Tensor, nn

from leigh_mlops.explanations.attribution.captum_adapter import feature_layer, unroll
from leigh_mlops.explanations.eval_mode import evaluating

__all__ = ["grad_cam", "guided_grad_cam", "integrated_gradients", "quiet_hooks", "smooth_grad"]


def grad_cam(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    """Contribution of each cell of the last feature map to the target's logit (Selvaraju et al. 2017, eq. 1 and 2).

    Our deviations: the map keeps its sign, since evidence against a class is as informative; and
    it is enlarged to the image's size bilinearly.

    Args:
        model: A classifier with `feature_layer`.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is explained, shape (N,).

    Returns:
        Shape (N, H, W); logits per cell of the feature map: where pooling and a linear head
        follow, the cells sum to the logit without its bias.
    """
    with evaluating(model):
        cam = LayerGradCam(model, feature_layer(model)).attribute(images.clone().requires_grad_(), target)
    large = LayerAttribution.interpolate(cam.detach(), tuple(images.shape[-2:]), "bilinear")
    return cast(Tensor, large.sum(dim=1))


def guided_grad_cam(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    """Guided backpropagation times Grad-CAM (Selvaraju et al. 2017, section 3.2), summed over the channels.

    Guided backpropagation partly recovers the image itself, whatever the network has learned
    (Adebayo et al. 2018; Nie et al. 2018), so that its fine structure is no evidence.

    Args:
        model: A classifier with `feature_layer` whose activations are ReLUs.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is explained, shape (N,).

    Returns:
        Shape (N, H, W), without a unit; 0 where Grad-CAM is evidence against the target.
    """
    hooked = unroll(model)
    with evaluating(hooked), quiet_hooks():
        method = GuidedGradCam(hooked, feature_layer(hooked))
        shares: Tensor = method.attribute(images.clone().requires_grad_(), target, interpolate_mode="bilinear")
    return shares.detach().sum(dim=1)


def integrated_gradients(
    model: nn.Module, images: Tensor, target: Tensor, black: Tensor, *, steps: int = 32
) -> tuple[Tensor, Tensor]:
    """Integrated gradients of the target's logit from black to the image (Sundararajan et al. 2017, eq. 1).

    Args:
        model: A classifier.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is explained, shape (N,).
        black: Scaled value of raw zero for each channel, shape (C,).
        steps: Points of the Gauss-Legendre quadrature, at least 1; each costs a forward and a backward pass.

    Returns:
        Shape (N, H, W), in logits, summed over the channels; and the difference of the logits (N,)
        that each map should sum to.
    """
    dark = black.view(1, -1, 1, 1).expand_as(images)
    with evaluating(model):
        shares: Tensor = IntegratedGradients(model).attribute(
            images, dark, target, n_steps=steps, internal_batch_size=len(images)
        )
        whole = (model(images) - model(dark)).gather(1, target[:, None])[:, 0]
    return shares.detach().sum(dim=1), whole


def smooth_grad(
    model: nn.Module, images: Tensor, target: Tensor, *, samples: int = 16, noise: float = 0.15, seed: int = 0
) -> Tensor:
    """Mean gradient of the target's logit over noisy copies of the image (Smilkov et al. 2017, section 2).

    Args:
        model: A classifier.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is explained, shape (N,).
        samples: Noisy copies of each image.
        noise: Standard deviation of the noise as a share of each image's range.
        seed: Of the noise, which is the same for every image.

    Returns:
        Shape (N, H, W): logits per standard deviation of the training intensities, summed over the channels.
    """
    maps = []
    devices = [images.device] if images.device.type == "cuda" else []
    with evaluating(model), torch.random.fork_rng(devices):
        for image, goal in zip(torch.split(images, 1), torch.split(target, 1), strict=True):
            torch.manual_seed(seed)  # so that an image has the same map in any batch
            maps.append(
                NoiseTunnel(Saliency(model)).attribute(
                    image, nt_samples=samples, nt_samples_batch_size=4, target=goal, abs=False,
                    stdevs=noise * float(image.max() - image.min()),
                )
            )  # fmt: skip
    return torch.cat(maps).detach().sum(dim=1)


@contextmanager
def quiet_hooks() -> Iterator[None]:
    """Suppress Captum's warnings about the hooks that it sets; all of them are on copies or are removed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, message=".*(hooks|attributes).*")
        yield
