"""The textbook i-ResNet that ours is measured against, on the very parameters of one of ours.

Every convolution keeps u and v on its full feature map. Each of its forward passes, in training
and in eval mode alike, takes five power iterations and divides the weight by max(1, sigma / c); the
inverse of a block takes ten steps, each of which is such a forward pass.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.models.invertible import LipschitzConv2d, ResidualBlock, Squeeze
from leigh_mlops.models.iresnet import InvertibleResNet

__all__ = ["TextbookBlock", "TextbookConv2d", "TextbookResNet", "largest_difference", "power_vectors"]

POWER_ITERATIONS, INVERSE_ITERATIONS = 5, 10


class TextbookConv2d(nn.Module):
    """W / max(1, sigma / c), sigma by power iteration with the convolution and its transpose (Gouk et al. 2021).

    Args:
        conv: Convolution of ours; weight and bias are shared with it.
        map_size: Side of its feature maps in pixels.

    Attributes:
        u: Unit vector behind the convolution, shape (1, O, S, S).
        v: Unit vector before it, shape (1, I, S, S).
        power_iterations: In each forward pass.
    """

    u: Tensor
    v: Tensor

    def __init__(self, conv: LipschitzConv2d, map_size: int) -> None:
        super().__init__()
        self.weight, self.bias, self.lipschitz = conv.weight, conv.bias, conv.lipschitz
        self.padding, self.power_iterations = conv.weight.shape[-1] // 2, POWER_ITERATIONS
        for name, channels in (("u", conv.out_channels), ("v", conv.in_channels)):
            self.register_buffer(name, _unit(torch.randn(1, channels, map_size, map_size).to(conv.weight)))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (N, I, S, S) to (N, O, S, S)."""
        self.iterate(self.power_iterations)
        # Later iterations must not change the vectors that this pass's gradients need.
        u, v = self.u.clone(), self.v.clone()
        sigma = (u * F.conv2d(v, self.weight, padding=self.padding)).sum()
        weight = self.weight / (sigma / self.lipschitz).clamp(min=1)
        return F.conv2d(x, weight, self.bias, padding=self.padding)

    @torch.no_grad()
    def iterate(self, times: int) -> None:
        """Take some power iterations."""
        for _ in range(times):
            self.v.copy_(_unit(F.conv_transpose2d(self.u, self.weight, padding=self.padding)))
            self.u.copy_(_unit(F.conv2d(self.v, self.weight, padding=self.padding)))

    @torch.no_grad()
    def set_vector(self, v: Tensor) -> None:
        """Set v, (1, I, S, S) or (1, I, 1, 1) for the same at every pixel, and the u that belongs to it."""
        self.v.copy_(v * math.sqrt(v.numel() / self.v.numel()))
        self.u.copy_(_unit(F.conv2d(self.v, self.weight, padding=self.padding)))

    @torch.no_grad()
    def norm(self) -> Tensor:
        """Length of the convolved v: a lower bound on the largest singular value."""
        return torch.linalg.vector_norm(F.conv2d(self.v, self.weight, padding=self.padding))


class TextbookBlock(nn.Module):
    """y = x + g(x), and its inverse by a fixed number of iterations (Behrmann et al. 2019, algorithm 1).

    Args:
        block: Block of ours, whose parameters are shared.
        map_size: Side of its feature maps in pixels.
    """

    def __init__(self, block: ResidualBlock, map_size: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *(TextbookConv2d(part, map_size) if isinstance(part, LipschitzConv2d) else part for part in block.branch)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return y of x, both (N, C, S, S)."""
        return x + self.branch(x)

    def inverse(self, y: Tensor) -> Tensor:
        """Approximate x from y by ten steps."""
        x = y
        for _ in range(INVERSE_ITERATIONS):
            x = y - self.branch(x)
        return x


class TextbookResNet(nn.Module):
    """Textbook network that shares the parameters, ActNorms and head of one of ours.

    Args:
        model: Network of ours; a deep copy of it keeps both apart.
    """

    def __init__(self, model: InvertibleResNet) -> None:
        super().__init__()
        self.spec, self.head = model.spec, model.head
        self.latent_size = math.prod(model.latent_shape)
        self.trunk = nn.ModuleList(_parts(model.trunk, model.spec.image_size))
        self.train(model.training)

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, c, h, w) of scaled images (N, C, S, S)."""
        padded = self.latent_size // images[0, 0].numel()
        x = F.pad(images, (0, 0, 0, 0, 0, padded - images.shape[1]))
        for part in self.trunk:
            x = part(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.head(self.encode(images))
        return logits

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, C, S, S) of latents (N, c, h, w), padding channels dropped."""
        x = latents
        for part in reversed(self.trunk):
            x = part.inverse(x)  # type: ignore[operator]
        return x[:, : self.spec.channels]

    @property
    def convolutions(self) -> list[TextbookConv2d]:
        """Convolutions with a bound, in the order of the trunk."""
        return [part for part in self.modules() if isinstance(part, TextbookConv2d)]

    def follow(self, vectors: Iterable[Tensor]) -> None:
        """Set the v of every convolution and stop its own power iterations, so that sigma is that of v."""
        for conv, v in zip(self.convolutions, vectors, strict=True):
            conv.set_vector(v)
            conv.power_iterations = 0

    def iterate(self, times: int) -> None:
        """Take some power iterations in every convolution."""
        for conv in self.convolutions:
            conv.iterate(times)


def power_vectors(model: nn.Module) -> list[Tensor]:
    """Copies of the v of every convolution of ours, in the order of the trunk.

    After a forward pass in training mode they are those of that pass's sigma, until it goes backward.
    """
    return [part.v.detach().clone() for part in model.modules() if isinstance(part, LipschitzConv2d)]


def largest_difference(gradients: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Largest difference of an entry, relative to the largest entry of the same parameter.

    Parameters whose gradient is nothing but rounding, below 1e-6 of the largest of all (a bias that batch
    normalisation takes away again), are measured by that.
    """
    sizes = [each.abs().max() for each in reference]
    floor = 1e-6 * max(sizes)
    each = zip(gradients, reference, sizes, strict=True)
    return max(float((a - b).abs().max() / torch.maximum(size, floor)) for a, b, size in each)


def _unit(x: Tensor) -> Tensor:
    """A tensor divided by its Euclidean norm."""
    return x / torch.linalg.vector_norm(x).clamp(min=torch.finfo(x.dtype).tiny)


def _parts(trunk: Iterable[nn.Module], side: int) -> Iterator[nn.Module]:
    for part in trunk:
        if isinstance(part, Squeeze):
            side //= 2
        yield TextbookBlock(part, side) if isinstance(part, ResidualBlock) else part
