"""A distribution over latents with one Gaussian per class."""

import math

import torch
from torch import Tensor, nn

__all__ = ["ClassGaussian"]

_LOG_BOUND = 5.0


class ClassGaussian(nn.Module):
    """Class-conditional Gaussian whose means differ by class and channel (Ardizzone et al. 2020, section 3).

    The classes share a standard deviation per channel, bounded to [exp(-5),
    exp(5)], and are equally likely a priori. The posterior is
    then a linear function of the latent's mean over pixels, and the shift from one
    class to another, the difference of their means, is the same for every image.

    Our deviation: means are learned in units in which the distance of two classes
    is the root mean square of their difference, whatever the size of the latent.
    Otherwise one step of the optimizer in each of thousands of channels moves the
    logits, which are sums over all pixels, by hundreds. They start at 0, where the
    classes are identical.

    Args:
        classes: Number K of classes.
        latent_shape: (c, h, w) of a latent.
    """

    def __init__(self, classes: int, latent_shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = latent_shape
        self.pixels = height * width
        self.dimensions = channels * self.pixels
        self.scaled_means = nn.Parameter(torch.zeros(classes, channels, 1, 1))
        self.log_std = nn.Parameter(torch.zeros(channels, 1, 1))

    @property
    def means(self) -> Tensor:
        """Mean of each class, shape (K, c, 1, 1)."""
        return self.scaled_means * self.std / math.sqrt(self.dimensions)

    @property
    def std(self) -> Tensor:
        """Standard deviation shared by the classes, shape (c, 1, 1)."""
        return self.log_std.clamp(-_LOG_BOUND, _LOG_BOUND).exp()

    def forward(self, z: Tensor) -> Tensor:
        """Return :meth:`logits`."""
        return self.logits(z)

    def logits(self, z: Tensor) -> Tensor:
        """Log-probabilities of the classes up to a constant per latent, (N, c, h, w) to (N, K), in nats.

        It is :meth:`log_prob` without the terms that the classes have in common, in which
        their differences would be lost to rounding.
        """
        means = self.scaled_means.flatten(1) / math.sqrt(self.dimensions)
        pooled = (z / self.std).mean((2, 3))
        # A product of matrices would be rounded to half precision by autocast, and then grow by the pixels.
        return self.pixels * ((pooled[:, None] * means).sum(2) - means.square().sum(1) / 2)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of latents (N, c, h, w) under each class, shape (N, K), in nats."""
        at_zero = -(z / self.std).square().flatten(1).sum(1) / 2
        constant = self.pixels * self.std.log().sum() + self.dimensions / 2 * math.log(2 * math.pi)
        return (at_zero - constant)[:, None] + self.logits(z)
