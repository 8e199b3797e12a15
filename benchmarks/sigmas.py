"""Estimated, converged and certified norms of a network's convolutions."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.textbook import TextbookResNet, power_vectors
from leigh_mlops.models.invertible import LipschitzConv2d
from leigh_mlops.models.iresnet import InvertibleResNet

__all__ = ["Sigmas"]

MORE_ITERATIONS = 50


@dataclass(frozen=True)
class Sigmas:
    """Estimates of each convolution's norm on the same weights, shape (L,).

    Attributes:
        training: Estimate by the v with which the next training step starts.
        converged: Estimate by that v after ``MORE_ITERATIONS`` more power iterations; like
            ``training`` a lower bound.
        bound: Certified upper bound.
        lipschitz: Bound c of each convolution.
    """

    training: Tensor
    converged: Tensor
    bound: Tensor
    lipschitz: Tensor

    @classmethod
    def measure(cls, model: InvertibleResNet) -> "Sigmas":
        """Measure the convolutions of a network in training, which is left unchanged."""
        textbook = TextbookResNet(model)
        textbook.follow(power_vectors(model))
        training = torch.stack([conv.norm() for conv in textbook.convolutions])
        textbook.iterate(MORE_ITERATIONS)
        converged = torch.stack([conv.norm() for conv in textbook.convolutions])
        certified = [part for part in copy.deepcopy(model).eval().modules() if isinstance(part, LipschitzConv2d)]
        bound = torch.stack([conv.sigma for conv in certified])
        return cls(training, converged, bound, torch.tensor([conv.lipschitz for conv in certified]).to(bound))

    def summary(self) -> str:
        """Describe the ratios over the layers, and how far a layer's bound exceeds c after division by the sigma."""
        pairs = {
            "training / bound": (self.training, self.bound),
            "training / converged": (self.training, self.converged),
        }
        ratios = {name: one / other for name, (one, other) in pairs.items()}
        told = [f"{name} lowest {each.min():.4f}, median {each.median():.4f}" for name, each in ratios.items()]
        excess = self.bound / torch.maximum(self.training, self.lipschitz)
        return f"{'; '.join(told)}; bound / c of the divided weights at most {excess.max():.4f}"
